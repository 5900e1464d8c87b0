//! `Cues` (RFC 9559, 5.1.5): where clusters begin in a file.

use bytes::Bytes;

use super::ebml::Elements;
use super::head::SEGMENT_DATA;
use super::millis;
use crate::num::u64_of;
use sv_core::{Timestamp, Track};

/// A place where a player may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cue {
    /// The time of the first block there, in ticks of the track.
    pub time: u64,
    /// Where its cluster begins in the file.
    pub offset: u64,
}

/// All of them. Its length depends on nothing but their number, so room for it can be left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cues {
    /// In order of time.
    pub cues: Vec<Cue>,
}

impl Cues {
    /// Bytes of so many of them.
    #[must_use]
    pub fn size(count: usize) -> u64 {
        /// A `CuePoint`: 2 bytes of its own; a time of 10; `CueTrackPositions` with a track and a place, 2, 3 and 10.
        const POINT: usize = 2 + 10 + 2 + 3 + 10;
        u64_of(count.saturating_mul(POINT).saturating_add(4 + 8))
    }

    /// Writes the element for a file of this track.
    #[must_use]
    pub fn build(&self, track: &Track) -> Bytes {
        let mut inner = Elements::default();
        for cue in &self.cues {
            let time = Timestamp::new(i64::try_from(cue.time).unwrap_or(i64::MAX));
            inner.master(0xBB, |w| {
                w.wide_uint(0xB3, millis(track, time)); // CueTime
                w.master(0xB7, |w| {
                    w.uint(0xF7, 1); // CueTrack
                    w.wide_uint(0xF1, cue.offset.saturating_sub(SEGMENT_DATA)); // CueClusterPosition
                });
            });
        }
        let mut w = Elements::default();
        w.id(0x1C53_BB6B);
        w.wide_size(u64_of(inner.out.len()));
        w.out.unsplit(inner.out);
        w.out.freeze()
    }
}
