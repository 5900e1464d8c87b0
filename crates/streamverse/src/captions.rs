//! Captions that pictures carry: which there are, and what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use sv_codec::captions::{self, Triplet};
use sv_container::{cea608, webvtt};
use sv_core::{Codec, Item, Source as _, TimeBase, Timestamp, Track};

use crate::Result;
use crate::input::Input;

/// Pictures in which captions must have begun to be told of, where they aren't extracted.
const ENOUGH: usize = 900;
/// Pictures that may be decoded before one that is shown earlier (H.264, annex A.3.1).
const REORDERED: usize = 32;

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

/// Reads a track for its captions: from its beginning, or all of it to extract them.
pub(crate) fn scan(mut input: Input, track: &Arc<Track>, extract: bool) -> Result<Found> {
    let mut channels: Vec<_> = (1..=4u8).map(|n| (n, cea608::Decoder::new(n), Vec::new())).collect();
    let (mut has_708, mut now) = (false, Timestamp::ZERO);
    let mut said = [false; 4];
    let mut waiting: BTreeMap<Timestamp, Vec<Triplet>> = BTreeMap::new();
    let mut decode = |at: Timestamp, triplets: &[Triplet]| {
        for triplet in triplets {
            has_708 |= triplet.is_708() && triplet.0[1..] != [0, 0];
            let Some((second, pair)) = triplet.pair() else { continue };
            for (_, decoder, cues) in &mut channels {
                decoder.push(at, second, pair);
                cues.append(&mut decoder.take());
            }
            // Codes say which channel they are for.
            let code = pair[0] & 0x7F;
            if (0x14..=0x1F).contains(&code) && code & 0x06 == 4 {
                said[usize::from(second) * 2 + usize::from(code & 8 != 0)] = true;
            }
        }
    };
    let config = &track.config;
    let length_size = match track.codec {
        Codec::H264 => config.get(4),
        _ => config.get(21),
    };
    let length_size = length_size.map_or(4, |byte| (byte & 3) + 1);
    let mut pictures = 0;
    while let Some(item) = input.next_item()? {
        let Item::Packet(packet) = item else { continue };
        let at = packet.pts.rescale(track.time_base, TimeBase::MILLIS);
        let end = packet.pts.saturating_add(packet.duration).rescale(track.time_base, TimeBase::MILLIS);
        now = now.max(end);
        waiting.insert(at, captions::of_packet(track.codec, &packet.data, length_size));
        if waiting.len() > REORDERED
            && let Some((at, triplets)) = waiting.pop_first()
        {
            decode(at, &triplets);
        }
        pictures += 1;
        if pictures >= ENOUGH && !extract {
            break;
        }
    }
    for (at, triplets) in waiting {
        decode(at, &triplets);
    }
    let mut found = Found::default();
    for (n, mut decoder, mut cues) in channels {
        decoder.finish(now);
        cues.append(&mut decoder.take());
        let name = format!("CC{n}");
        if said[usize::from(n) - 1] {
            found.names.push(name.clone());
        }
        if extract && !cues.is_empty() {
            let mut document = webvtt::Document::default();
            document.blocks.extend(cues.into_iter().map(webvtt::Block::Cue));
            found.texts.push((name, document));
        }
    }
    if has_708 {
        found.names.push("SERVICE1".into());
    }
    Ok(found)
}
