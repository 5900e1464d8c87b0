//! Captions that pictures carry: which there are, and what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use sv_codec::captions::{self, Triplet};
use sv_container::{cea608, webvtt};
use sv_core::{Codec, ErrorKind, Item, Packet, Source as _, TimeBase, Timestamp, Track};

use crate::input::Input;
use crate::{Error, Result};

/// Pictures in which captions must have begun to be told of, where they aren't extracted.
const ENOUGH: usize = 900;
/// Pictures that may be decoded before one that is shown earlier (H.264, annex A.3.1).
const REORDERED: usize = 32;
/// Pictures whose captions wait for the end of their segment, at most.
const MOST_WAITING: usize = 4096;

/// A channel of CEA-608 that becomes text, and the language that is spoken in it.
///
/// As text it is `CC1` to `CC4`, and with a language `CC1=en`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channel {
    /// From 1 to 4.
    pub number: u8,
    /// BCP 47; that of the pictures, if nothing is said.
    pub language: Option<String>,
}

impl Channel {
    /// A channel from 1 to 4.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self { number: number.clamp(1, 4), language: None }
    }
}

impl std::str::FromStr for Channel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let (name, language) = match text.split_once('=') {
            Some((name, language)) => (name, Some(crate::pick::language(language).map_err(wrong)?)),
            None => (text, None),
        };
        let number = name.strip_prefix("CC").and_then(|n| n.parse().ok()).filter(|n| (1..=4).contains(n));
        let number = number.ok_or_else(|| wrong(format!("{name:?} is none of CC1, CC2, CC3 and CC4")))?;
        Ok(Self { number, language })
    }
}

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    /// As HLS names them.
    pub(crate) names: Vec<String>,
    /// What the channels of CEA-608 say, by name.
    pub(crate) texts: Vec<(String, webvtt::Document)>,
}

pub(crate) fn may_carry(track: &Track) -> bool {
    matches!(track.codec, Codec::H264 | Codec::Hevc) && track.protection.is_none()
}

/// Hears what the captions of one track of pictures say.
pub(crate) struct Listener {
    codec: Codec,
    length_size: u8,
    base: TimeBase,
    channels: [cea608::Decoder; 4],
    /// Captions of pictures that may be shown behind some that come later.
    waiting: BTreeMap<Timestamp, Vec<Triplet>>,
    /// When the last picture ends, in milliseconds.
    end: Timestamp,
    /// The last moment that was heard.
    heard: Timestamp,
    /// Whether a code was for each channel.
    said: [bool; 4],
    /// Whether anything came in each field, if only to keep its place.
    fields: [bool; 2],
    has_708: bool,
}

impl Listener {
    pub(crate) fn new(track: &Track) -> Self {
        let mut listener = Self {
            codec: track.codec,
            length_size: 4,
            base: track.time_base,
            channels: [1, 2, 3, 4].map(cea608::Decoder::new),
            waiting: BTreeMap::new(),
            end: Timestamp::ZERO,
            heard: Timestamp::new(i64::MIN),
            said: [false; 4],
            fields: [false; 2],
            has_708: false,
        };
        listener.track(track);
        listener
    }

    /// The track is described anew.
    pub(crate) fn track(&mut self, track: &Track) {
        let length_size = match track.codec {
            Codec::H264 => track.config.get(4),
            _ => track.config.get(21),
        };
        self.length_size = length_size.map_or(4, |byte| (byte & 3) + 1);
        (self.codec, self.base) = (track.codec, track.time_base);
    }

    /// Takes the next picture as it is decoded.
    pub(crate) fn packet(&mut self, packet: &Packet) {
        let at = packet.pts.rescale(self.base, TimeBase::MILLIS);
        let end = packet.pts.saturating_add(packet.duration).rescale(self.base, TimeBase::MILLIS);
        self.end = self.end.max(end);
        self.waiting.insert(at, captions::of_packet(self.codec, &packet.data, self.length_size));
        while self.waiting.len() > MOST_WAITING {
            self.settle();
        }
    }

    /// Hears the pictures that none can come before any more.
    fn settle(&mut self) {
        if self.waiting.len() > REORDERED
            && let Some((at, triplets)) = self.waiting.pop_first()
        {
            self.decode(at, &triplets);
        }
    }

    fn decode(&mut self, at: Timestamp, triplets: &[Triplet]) {
        // A picture may come when text up to a later moment has left.
        let at = at.max(self.heard);
        self.heard = at;
        for triplet in triplets {
            self.has_708 |= triplet.is_708() && triplet.0[1..] != [0, 0];
            let Some((second, pair)) = triplet.pair() else { continue };
            self.fields[usize::from(second)] = true;
            for decoder in &mut self.channels {
                decoder.push(at, second, pair);
            }
            // Codes say which channel they are for.
            let code = pair[0] & 0x7F;
            if (0x14..=0x1F).contains(&code) && code & 0x06 == 4 {
                self.said[usize::from(second) * 2 + usize::from(code & 8 != 0)] = true;
            }
        }
    }

    /// Hears all pictures that are shown before `at`, in milliseconds; what is shown then is cut there. Nothing happens if
    /// later ones were heard; says whether any were left.
    pub(crate) fn until(&mut self, at: Timestamp) -> bool {
        if self.heard >= at {
            return false;
        }
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() < at) {
            let (at, triplets) = first.remove_entry();
            self.decode(at, &triplets);
        }
        self.heard = at;
        self.channels.iter_mut().for_each(|decoder| decoder.cut(at));
        true
    }

    /// Hears all that is left, and ends what is shown.
    fn finish(&mut self) {
        while let Some((at, triplets)) = self.waiting.pop_first() {
            self.decode(at, &triplets);
        }
        self.channels.iter_mut().for_each(|decoder| decoder.finish(self.end));
    }

    /// What a channel, from 1 to 4, has said since this was asked last.
    pub(crate) fn take(&mut self, channel: u8) -> Vec<webvtt::Cue> {
        let place = usize::from(channel).saturating_sub(1);
        self.channels.get_mut(place).map(cea608::Decoder::take).unwrap_or_default()
    }

    /// What there is, as HLS names it: channels that have said something.
    pub(crate) fn names(&self) -> Vec<String> {
        let channels = (1..=4).zip(self.said).filter(|(_, said)| *said).map(|(n, _)| format!("CC{n}"));
        channels.chain(self.has_708.then(|| "SERVICE1".to_owned())).collect()
    }

    /// And the first channel of each field that keeps a place: who has heard little of a programme that goes on doesn't
    /// know that nothing will be said.
    pub(crate) fn promised(&self) -> Vec<String> {
        let mut names = self.names();
        for (field, name) in self.fields.iter().zip(["CC1", "CC3"]) {
            if *field && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names
    }
}

/// Reads a track for its captions: from its beginning, or all of it to extract them.
pub(crate) fn scan(mut input: Input, track: &Arc<Track>, extract: bool) -> Result<Found> {
    let mut listener = Listener::new(track);
    let mut pictures = 0;
    while let Some(item) = input.next_item()? {
        let Item::Packet(packet) = item else { continue };
        listener.packet(&packet);
        listener.settle();
        pictures += 1;
        if pictures >= ENOUGH && !extract {
            break;
        }
    }
    listener.finish();
    let mut found = Found { names: listener.names(), texts: Vec::new() };
    for n in (1..=4).filter(|_| extract) {
        let cues = listener.take(n);
        if !cues.is_empty() {
            let mut document = webvtt::Document::default();
            document.blocks.extend(cues.into_iter().map(webvtt::Block::Cue));
            found.texts.push((format!("CC{n}"), document));
        }
    }
    Ok(found)
}
