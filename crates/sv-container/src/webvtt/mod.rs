//! WebVTT ([W3C](https://www.w3.org/TR/webvtt1/)), and SubRip as another way to write it.
//!
//! Subtitles come from people's text editors: what can be understood is, and the rest is told in
//! [`Document::warnings`].

mod parse;
pub mod sample;
mod srt;
mod write;

use sv_core::{Bytes, Codec, Duration, Media, Packet, TextInfo, TimeBase, Timestamp, Track, TrackId};

pub use parse::parse;
pub use srt::parse_srt;
pub use write::TimestampMap;
pub(crate) use write::clock;

/// A file of cues. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// What follows `WEBVTT` up to the first empty line: a title behind a space, metadata on lines
    /// of their own.
    pub header: String,
    /// Everything else, in the order of the file.
    pub blocks: Vec<Block>,
    /// What was left out or repaired, a sentence each; no more than a hundred.
    pub warnings: Vec<String>,
}

/// One block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Block {
    /// A comment: all that follows `NOTE`.
    Note(String),
    /// A style sheet.
    Style(String),
    /// The settings of a region.
    Region(String),
    /// A cue.
    Cue(Cue),
}

/// Text that is shown for some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cue {
    /// Its identifier, if it has one.
    pub id: Option<String>,
    /// When it appears, in milliseconds.
    pub start: Timestamp,
    /// When it disappears, in milliseconds; later than `start`.
    pub end: Timestamp,
    /// Its settings, such as `line:0 align:start`; often empty.
    pub settings: String,
    /// Its text with its markup, lines separated by `\n`.
    pub text: String,
}

impl Document {
    /// The cues, in the order of the file.
    pub fn cues(&self) -> impl Iterator<Item = &Cue> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Cue(cue) => Some(cue),
            _ => None,
        })
    }

    /// A track of its cues, in milliseconds, whose configuration is the header with styles and
    /// regions (ISO/IEC 14496-30, 7.3).
    #[must_use]
    pub fn track(&self, id: TrackId, language: Option<String>) -> Track {
        let mut head = Self { header: self.header.clone(), ..Self::default() };
        head.blocks
            .extend(self.blocks.iter().filter(|b| matches!(b, Block::Style(_) | Block::Region(_))).cloned());
        let end = self.cues().map(|cue| cue.end).max().and_then(|end| end.since(Timestamp::ZERO));
        Track {
            id,
            codec: Codec::WebVtt,
            time_base: TimeBase::MILLIS,
            config: Bytes::from(head.to_string().trim_end().to_owned()),
            media: Media::Text(TextInfo::default()),
            language,
            label: None,
            default: false,
            duration: end,
            bitrate: None,
            protection: None,
        }
    }

    /// Its cues as packets of that track, in order of their start, as [`sample::payload`] has them.
    #[must_use]
    pub fn packets(&self, track: TrackId) -> Vec<Packet> {
        let mut packets: Vec<Packet> = self
            .cues()
            .map(|cue| Packet {
                track,
                pts: cue.start,
                dts: cue.start,
                duration: cue.end.since(cue.start).unwrap_or(Duration::ZERO),
                key: true,
                data: sample::payload(cue),
                protection: None,
            })
            .collect();
        packets.sort_by_key(|packet| packet.pts);
        packets
    }
}
