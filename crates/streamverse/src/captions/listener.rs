//! Hears captions in the order in which they are shown.

use std::collections::BTreeMap;

use sv_codec::captions::{self, Triplet};
use sv_container::{cea608, cea708, webvtt};
use sv_core::{Codec, Packet, TimeBase, Timestamp, Track};
use sv_package::Carried;

/// Pictures that may be decoded before one that is shown earlier (H.264, annex A.3.1).
const REORDERED: usize = 32;
/// Pictures whose captions wait for the end of their segment, at most.
const MOST_WAITING: usize = 4096;

/// Hears what the captions of one track of pictures say.
pub(crate) struct Listener {
    codec: Codec,
    length_size: u8,
    base: TimeBase,
    channels: [cea608::Decoder; 4],
    services: cea708::Decoder,
    /// Captions of pictures that may be shown behind some that come later, by their time in nanoseconds.
    waiting: BTreeMap<Timestamp, Vec<Triplet>>,
    /// When the last picture ends, in milliseconds.
    end: Timestamp,
    /// The last moment that was heard, in milliseconds.
    heard: Timestamp,
    /// Whether a code was for each channel: codes say which they are for.
    said: [bool; 4],
    /// Whether anything came in each field, if only to keep its place.
    fields: [bool; 2],
}

impl Listener {
    pub(crate) fn new(track: &Track) -> Self {
        let mut listener = Self {
            codec: track.codec,
            length_size: 4,
            base: track.time_base,
            channels: [1, 2, 3, 4].map(cea608::Decoder::new),
            services: cea708::Decoder::new(),
            waiting: BTreeMap::new(),
            end: Timestamp::ZERO,
            heard: Timestamp::new(i64::MIN),
            said: [false; 4],
            fields: [false; 2],
        };
        listener.track(track);
        listener
    }

    /// The track is described anew.
    pub(crate) fn track(&mut self, track: &Track) {
        self.length_size = super::length_size(track);
        (self.codec, self.base) = (track.codec, track.time_base);
    }

    /// Takes the next picture as it is decoded.
    pub(crate) fn packet(&mut self, packet: &Packet) {
        let at = packet.pts.rescale(self.base, TimeBase::NANOS);
        let end = packet.pts.saturating_add(packet.duration).rescale(self.base, TimeBase::MILLIS);
        self.end = self.end.max(end);
        let told = captions::of_packet(self.codec, &packet.data, self.length_size);
        // Two fields may be two pictures of one moment.
        self.waiting.entry(at).or_default().extend(told);
        while self.waiting.len() > MOST_WAITING {
            self.next(true);
        }
    }

    /// Hears the next picture that none can come before any more, or any that is left, and gives its captions.
    pub(crate) fn next(&mut self, any: bool) -> Option<(Timestamp, Vec<Triplet>)> {
        if !any && self.waiting.len() <= REORDERED {
            return None;
        }
        let (at, triplets) = self.waiting.pop_first()?;
        self.decode(at, &triplets);
        Some((at, triplets))
    }

    fn decode(&mut self, at: Timestamp, triplets: &[Triplet]) {
        // A picture may come when text up to a later moment has left.
        let at = at.rescale(TimeBase::NANOS, TimeBase::MILLIS).max(self.heard);
        self.heard = at;
        for triplet in triplets.iter().filter(|triplet| triplet.is_valid()) {
            if let Some((start, pair)) = triplet.packet() {
                self.services.push(at, start, pair);
            }
            let Some((second, pair)) = triplet.pair() else { continue };
            self.fields[usize::from(second)] = true;
            for decoder in &mut self.channels {
                decoder.push(at, second, pair);
            }
            let code = pair[0] & 0x7F;
            if (0x14..=0x1F).contains(&code) && code & 0x06 == 4 {
                self.said[usize::from(second) * 2 + usize::from(code & 8 != 0)] = true;
            }
        }
    }

    /// Hears all pictures that are shown before `at`, in milliseconds; what is shown then is cut there. Nothing happens if
    /// later ones were heard; says whether any were left.
    #[cfg(feature = "live")]
    pub(crate) fn until(&mut self, at: Timestamp) -> bool {
        if self.heard >= at {
            return false;
        }
        let nanos = at.rescale(TimeBase::MILLIS, TimeBase::NANOS);
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() < nanos) {
            let (at, triplets) = first.remove_entry();
            self.decode(at, &triplets);
        }
        // Who asks here asks for channels alone.
        drop(self.services.take());
        self.heard = at;
        self.channels.iter_mut().for_each(|decoder| decoder.cut(at));
        true
    }

    /// Ends what is shown.
    pub(crate) fn finish(&mut self) {
        let end = self.end;
        self.channels.iter_mut().for_each(|decoder| decoder.finish(end));
        self.services.finish(end);
    }

    /// What a channel, from 1 to 4, has said since this was asked last.
    pub(crate) fn take(&mut self, channel: u8) -> Vec<webvtt::Cue> {
        let place = usize::from(channel).saturating_sub(1);
        self.channels.get_mut(place).map(cea608::Decoder::take).unwrap_or_default()
    }

    /// What services have said since this was asked last.
    pub(crate) fn services(&mut self) -> Vec<(u8, webvtt::Cue)> {
        self.services.take()
    }

    /// What there is: channels and services that have said something.
    pub(crate) fn carried(&self) -> Vec<Carried> {
        let carried = |name| Carried { name, language: None };
        let channels = (1..=4).zip(self.said).filter(|(_, said)| *said).map(|(n, _)| format!("CC{n}"));
        let services = self.services.services().map(|n| format!("SERVICE{n}"));
        channels.chain(services).map(carried).collect()
    }

    /// And the first channel of each field that keeps a place: who has heard little of a programme that goes on doesn't
    /// know that nothing will be said.
    #[cfg(feature = "live")]
    pub(crate) fn promised(&self) -> Vec<Carried> {
        let mut all = self.carried();
        for (field, name) in self.fields.iter().zip(["CC1", "CC3"]) {
            if *field && !all.iter().any(|known| known.name == name) {
                all.push(Carried { name: name.to_owned(), language: None });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
