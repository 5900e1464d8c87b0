//! Captions that pictures carry: which there are, and what they say.

mod insert;
mod listener;

use std::collections::BTreeMap;
use std::sync::Arc;

use sv_codec::captions;
use sv_container::webvtt;
use sv_core::{Codec, ErrorKind, Item, Limits, Source as _, Timestamp, Track};
use sv_package::Carried;

use crate::input::Input;
use crate::{Error, Result};

pub(crate) use insert::{Data, Insert};
pub(crate) use listener::Listener;

/// Pictures in which captions must have begun to be told of, where they aren't asked for.
const ENOUGH: usize = 900;

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
    let mut scan = Scan {
        wanted,
        listener: Listener::new(track),
        texts: Default::default(),
        spoken: BTreeMap::new(),
        kept: 0,
        found: Found::default(),
    };
    let mut pictures = 0;
    while let Some(item) = input.next_item()? {
        let Item::Packet(packet) = item else { continue };
        scan.listener.packet(&packet);
        scan.hear(false)?;
        pictures += 1;
        if pictures >= ENOUGH && !wanted.text && !wanted.data {
            break;
        }
    }
    scan.hear(true)?;
    let languages = input.caption_languages();
    scan.found(&languages)
}

/// What is heard of a track, and kept.
struct Scan {
    wanted: Wanted,
    listener: Listener,
    /// What channels say.
    texts: [Vec<webvtt::Cue>; 4],
    /// What services say.
    spoken: BTreeMap<u8, Vec<webvtt::Cue>>,
    /// Bytes of text that are kept.
    kept: usize,
    found: Found,
}

impl Scan {
    /// Hears the pictures that none can come before any more, or all that are left.
    fn hear(&mut self, all: bool) -> Result<()> {
        while let Some((at, mut triplets)) = self.listener.next(all) {
            self.found.some |= !triplets.is_empty();
            // What only fills up says nothing to anybody.
            triplets.retain(|triplet| triplet.is_valid());
            self.collect();
            if self.wanted.data && at >= Timestamp::ZERO && !triplets.is_empty() {
                self.found.data.add(at, &triplets);
            }
            if self.kept.saturating_add(self.found.data.size()) > Limits::default().structure_bytes {
                let message = "the captions are larger than any that are meant to be read; leave them out";
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
        }
        Ok(())
    }

    /// Takes what has been said.
    fn collect(&mut self) {
        let size = |cues: &[webvtt::Cue]| cues.iter().map(|cue| cue.text.len() + 128).sum::<usize>();
        for (number, cues) in (1..=4u8).zip(&mut self.texts) {
            let mut more = self.listener.take(number);
            if self.wanted.text {
                self.kept = self.kept.saturating_add(size(&more));
                cues.append(&mut more);
            }
        }
        for (number, cue) in self.listener.services() {
            if self.wanted.text {
                self.kept = self.kept.saturating_add(size(std::slice::from_ref(&cue)));
                self.spoken.entry(number).or_default().push(cue);
            }
        }
    }

    fn found(mut self, languages: &BTreeMap<String, String>) -> Result<Found> {
        self.listener.finish();
        self.collect();
        let named = |carried: Carried| Carried { language: languages.get(&carried.name).cloned(), ..carried };
        let carried = |name: String| named(Carried { name, language: None });
        self.found.carried = self.listener.carried().into_iter().map(named).collect();
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
        for (n, cues) in (1..=4u8).zip(self.texts) {
            if !cues.is_empty() && !double(n) {
                self.found.texts.push((carried(format!("CC{n}")), document(cues)));
            }
        }
        for (n, cues) in self.spoken {
            self.found.texts.push((carried(format!("SERVICE{n}")), document(cues)));
        }
        Ok(self.found)
    }
}
