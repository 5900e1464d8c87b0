//! Captions that pictures carry: which there are, and what they say.

mod insert;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sv_codec::captions::{self, Triplet};
use sv_container::{cea608, cea708, webvtt};
use sv_core::{Codec, ErrorKind, Item, Limits, Source as _, TimeBase, Timestamp, Track};
use sv_package::Carried;

use crate::input::Input;
use crate::{Error, Result};

pub(crate) use insert::{Data, Insert};

/// Pictures in which captions must have begun to be told of, where they aren't asked for.
const ENOUGH: usize = 900;
/// Pictures that may be decoded before one that is shown earlier (H.264, annex A.3.1).
const REORDERED: usize = 32;

/// What is wanted of a track. Where it is nothing, no more than the beginning is read, for what there is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// What the captions say.
    pub(crate) text: bool,
    /// The captions themselves.
    pub(crate) data: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Whether pictures have room for captions, be it empty.
    pub(crate) some: bool,
    /// The channels and services.
    pub(crate) carried: Vec<Carried>,
    /// What they say.
    pub(crate) texts: Vec<(Carried, webvtt::Document)>,
    /// The captions of each picture that has some.
    pub(crate) data: Data,
}

pub(crate) fn may_carry(track: &Track) -> bool {
    captions::may_carry(track.codec) && track.protection.is_none()
}

/// How many bytes the length of a unit has.
fn length_size(track: &Track) -> u8 {
    let told = match track.codec {
        Codec::H264 => track.config.get(4),
        _ => track.config.get(21),
    };
    told.map_or(4, |byte| (byte & 3) + 1)
}

/// Reads a track for its captions: from its beginning, or all of it for what is wanted.
pub(crate) fn scan(mut input: Input, track: &Arc<Track>, wanted: Wanted) -> Result<Found> {
    let length_size = length_size(track);
    let mut listener = Listener::new(wanted);
    let mut waiting: BTreeMap<Timestamp, Vec<Triplet>> = BTreeMap::new();
    let mut pictures = 0;
    while let Some(item) = input.next_item()? {
        let Item::Packet(packet) = item else { continue };
        let at = packet.pts.rescale(track.time_base, TimeBase::NANOS);
        let end = packet.pts.saturating_add(packet.duration).rescale(track.time_base, TimeBase::MILLIS);
        listener.end = listener.end.max(end);
        // Two fields may be two pictures of one moment.
        waiting.entry(at).or_default().extend(captions::of_packet(track.codec, &packet.data, length_size));
        if waiting.len() > REORDERED
            && let Some((at, triplets)) = waiting.pop_first()
        {
            listener.hear(at, triplets)?;
        }
        pictures += 1;
        if pictures >= ENOUGH && !wanted.text && !wanted.data {
            break;
        }
    }
    for (at, triplets) in waiting {
        listener.hear(at, triplets)?;
    }
    let languages = input.caption_languages();
    Ok(listener.found(&languages))
}

/// Hears captions in the order in which they are shown.
struct Listener {
    wanted: Wanted,
    /// When the last picture ends, in milliseconds.
    end: Timestamp,
    channels: Vec<(u8, cea608::Decoder, Vec<webvtt::Cue>)>,
    /// Which of them are spoken to: codes say which channel they are for.
    said: BTreeSet<u8>,
    services: cea708::Decoder,
    spoken: BTreeMap<u8, Vec<webvtt::Cue>>,
    /// Bytes of text that are kept.
    kept: usize,
    found: Found,
}

impl Listener {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            end: Timestamp::ZERO,
            channels: (1..=4u8).map(|n| (n, cea608::Decoder::new(n), Vec::new())).collect(),
            said: BTreeSet::new(),
            services: cea708::Decoder::new(),
            spoken: BTreeMap::new(),
            kept: 0,
            found: Found::default(),
        }
    }

    fn hear(&mut self, at: Timestamp, mut triplets: Vec<Triplet>) -> Result<()> {
        self.found.some |= !triplets.is_empty();
        // What only fills up says nothing to anybody.
        triplets.retain(|triplet| triplet.is_valid());
        let moment = at.rescale(TimeBase::NANOS, TimeBase::MILLIS);
        for triplet in &triplets {
            if let Some((start, pair)) = triplet.packet() {
                self.services.push(moment, start, pair);
            }
            let Some((second, pair)) = triplet.pair() else { continue };
            for (_, decoder, _) in &mut self.channels {
                decoder.push(moment, second, pair);
            }
            let code = pair[0] & 0x7F;
            if (0x14..=0x1F).contains(&code) && code & 0x06 == 4 {
                self.said.insert(1 + u8::from(second) * 2 + u8::from(code & 8 != 0));
            }
        }
        self.collect();
        if self.wanted.data && at >= Timestamp::ZERO && !triplets.is_empty() {
            self.found.data.add(at, &triplets);
        }
        if self.kept.saturating_add(self.found.data.size()) > Limits::default().structure_bytes {
            let message = "the captions are larger than any that are meant to be read; leave them out";
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(())
    }

    /// Takes what the decoders have.
    fn collect(&mut self) {
        let size = |cues: &[webvtt::Cue]| cues.iter().map(|cue| cue.text.len() + 128).sum::<usize>();
        for (_, decoder, cues) in &mut self.channels {
            let mut more = decoder.take();
            if self.wanted.text {
                self.kept = self.kept.saturating_add(size(&more));
                cues.append(&mut more);
            }
        }
        for (number, cue) in self.services.take() {
            if self.wanted.text {
                self.kept = self.kept.saturating_add(size(std::slice::from_ref(&cue)));
                self.spoken.entry(number).or_default().push(cue);
            }
        }
    }

    fn found(mut self, languages: &BTreeMap<String, String>) -> Found {
        let end = self.end;
        self.channels.iter_mut().for_each(|(_, decoder, _)| decoder.finish(end));
        self.services.finish(end);
        self.collect();
        let carried = |name: String| Carried { language: languages.get(&name).cloned(), name };
        let channels = self.said.iter().map(|n| carried(format!("CC{n}")));
        let services = self.services.services().map(|n| carried(format!("SERVICE{n}")));
        self.found.carried = channels.chain(services).collect();
        let document = |mut cues: Vec<webvtt::Cue>| {
            cues.sort_by_key(|cue| cue.start);
            let mut document = webvtt::Document::default();
            document.blocks.extend(cues.into_iter().map(webvtt::Block::Cue));
            document
        };
        // The first channel of a field says what the service of its number says, for older receivers.
        let double = |n: u8| match n {
            1 => self.spoken.contains_key(&1),
            3 => self.spoken.contains_key(&2),
            _ => false,
        };
        for (n, _, cues) in self.channels {
            if !cues.is_empty() && !double(n) {
                self.found.texts.push((carried(format!("CC{n}")), document(cues)));
            }
        }
        for (n, cues) in self.spoken {
            self.found.texts.push((carried(format!("SERVICE{n}")), document(cues)));
        }
        self.found
    }
}
