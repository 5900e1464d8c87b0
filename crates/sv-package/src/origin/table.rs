//! Where the samples of a stored track lie.

use std::sync::Arc;

use sv_container::mp4::Located;
use sv_core::{Bytes, Duration, Packet, Timestamp, Track};

/// One sample: a coded picture, a block of sound. Times are in the time base of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where its bytes begin.
    pub offset: u64,
    /// When it is decoded.
    pub dts: i64,
    /// How much later it is shown.
    pub shift: i32,
    /// How many bytes it has.
    pub size: u32,
    /// How long it is shown.
    pub duration: u32,
    /// Whether decoding can start with it.
    pub key: bool,
}

impl Sample {
    /// When it is shown.
    #[must_use]
    pub fn pts(&self) -> i64 {
        self.dts.saturating_add(i64::from(self.shift))
    }

    /// The packet that it is, with these bytes.
    pub(crate) fn packet(&self, track: &Track, data: Bytes) -> Packet {
        Packet {
            track: track.id,
            pts: Timestamp::new(self.pts()),
            dts: Timestamp::new(self.dts),
            duration: Duration::new(u64::from(self.duration)),
            key: self.key,
            data,
            protection: None,
        }
    }
}

/// A track and all of its samples, in decoding order: what a header of a file says, in 32 bytes for each.
#[derive(Clone, Debug)]
pub struct Table {
    /// The track as it is stored.
    pub track: Arc<Track>,
    /// Its samples.
    pub samples: Vec<Sample>,
}

impl Table {
    /// Of a track of which no sample is known yet.
    #[must_use]
    pub fn new(track: Arc<Track>) -> Self {
        Self { track, samples: Vec::new() }
    }

    /// Takes what a [`Demuxer`](sv_container::mp4::Demuxer) says of the next sample.
    pub fn push(&mut self, located: &Located) {
        let packet = &located.packet;
        let dts = packet.dts.ticks();
        let shift = packet.pts.ticks().saturating_sub(dts);
        self.samples.push(Sample {
            offset: located.offset,
            dts,
            // Further apart no fragment can say.
            shift: i32::try_from(shift).unwrap_or(if shift < 0 { i32::MIN } else { i32::MAX }),
            size: located.size,
            duration: u32::try_from(packet.duration.ticks()).unwrap_or(u32::MAX),
            key: packet.key,
        });
    }

    /// Lets the timeline begin at what was moment `start` of it, in ticks of the track.
    pub fn rebase(&mut self, start: i64) {
        for sample in &mut self.samples {
            sample.dts = sample.dts.saturating_sub(start);
        }
    }

    /// The key pictures alone, each shown until the next: what [`TrickPlay`](crate::TrickPlay) makes.
    #[must_use]
    pub fn keys(&self) -> Self {
        let mut samples: Vec<Sample> = self.samples.iter().filter(|s| s.key).copied().collect();
        let end =
            self.samples.iter().map(|s| s.pts().saturating_add(i64::from(s.duration))).max().unwrap_or(0);
        let ends: Vec<i64> = samples.iter().skip(1).map(Sample::pts).chain([end]).collect();
        for (sample, end) in samples.iter_mut().zip(ends) {
            let pts = sample.pts();
            if let Some(length) = u32::try_from(end.saturating_sub(pts)).ok().filter(|length| *length > 0) {
                sample.duration = length;
            }
            (sample.dts, sample.shift) = (pts, 0);
        }
        Self { track: Arc::clone(&self.track), samples }
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.samples.capacity().saturating_mul(size_of::<Sample>()).saturating_add(4096)
    }
}
