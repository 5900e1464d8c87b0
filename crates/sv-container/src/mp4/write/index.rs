//! `sidx`: where the segments of a single-file presentation are (ISO/IEC 14496-12, 8.16.3).

use bytes::Bytes;
use sv_core::Track;

use super::boxes::Boxes;
use crate::num::u32_of;

/// One segment that an [`Index`] points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Bytes of the segment.
    pub size: u32,
    /// Its length in ticks of the track's time base.
    pub duration: u64,
    /// Whether its first packet is a sync sample.
    pub key: bool,
}

/// A segment index over media segments that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The earliest presentation time of the first segment, in ticks of the track's time base.
    pub earliest: u64,
    /// Bytes between the end of this box and the first segment.
    pub gap: u64,
    /// The segments in order.
    pub segments: Vec<Reference>,
}

impl Index {
    /// Bytes of the box for so many segments: to reserve its place before they are known.
    #[must_use]
    pub const fn size(segments: usize) -> usize {
        segments.saturating_mul(12).saturating_add(40)
    }

    /// The whole box. What the format can't hold saturates: 65,535 segments of 2 GiB.
    #[must_use]
    pub fn build(&self, track: &Track) -> Bytes {
        let factor = u64::from(track.time_base.num());
        let mut w = Boxes::with_capacity(Self::size(self.segments.len()));
        w.full(b"sidx", 1, 0, |w| {
            w.u32(track.id.0);
            w.u32(track.time_base.den());
            w.u64(self.earliest.saturating_mul(factor));
            w.u64(self.gap);
            w.u16(0);
            let count = u16::try_from(self.segments.len()).unwrap_or(u16::MAX);
            w.u16(count);
            for segment in self.segments.iter().take(usize::from(count)) {
                w.u32(segment.size & 0x7FFF_FFFF);
                w.u32(u32_of(segment.duration.saturating_mul(factor)));
                w.u32(if segment.key { 0x9000_0000 } else { 0 });
            }
        });
        w.out.freeze()
    }
}
