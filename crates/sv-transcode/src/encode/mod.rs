//! Frames to packets.

mod audio;
mod grid;
mod hdr;
mod video;

use std::time::Duration;

use sv_core::{Codec, Timestamp};

use crate::{Backend, Device};

pub use audio::audio;
#[cfg(feature = "ffmpeg")]
pub(crate) use video::DEFAULT_RATE;
pub use video::video;

/// How many bits go where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// The same quality throughout, within a cap that keeps streaming smooth: the codec's own
    /// constant rate factor (x264 and x265: 0 best to 51; AV1 and VP9: to 63).
    Quality {
        /// The factor; smaller is better.
        crf: f32,
        /// The cap, if there is one.
        cap: Option<Cap>,
    },
    /// An average, within a cap.
    Average {
        /// Bits per second.
        bitrate: u64,
        /// The cap, if there is one.
        cap: Option<Cap>,
    },
}

/// The leaky bucket of a decoder's buffer model: what a player with that buffer can count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Bits per second that flow in.
    pub bitrate: u64,
    /// Bits that the buffer holds.
    pub buffer: u64,
}

/// How much work to put into a given number of bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Real time on little.
    Fastest,
    /// Between that and the next.
    Faster,
    /// The usual choice where computing costs more than storing.
    #[default]
    Fast,
    /// The codec's own middle.
    Balanced,
    /// The usual choice for what many people watch.
    Best,
}

impl Effort {
    /// All of them, from the least.
    pub const ALL: [Self; 5] = [Self::Fastest, Self::Faster, Self::Fast, Self::Balanced, Self::Best];
}

/// Where key frames are: one at the first frame at or after each multiple of `interval` from
/// `origin`, closing the group before it. Tracks with the same grid can be cut at the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Where the grid begins, in the time base of the track.
    pub origin: Timestamp,
    /// From one line to the next.
    pub interval: Duration,
}

impl Grid {
    /// Lines at every `interval` from the origin of the timeline.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self { origin: Timestamp::ZERO, interval }
    }
}

/// How to encode pictures. Size, frame rate, colour and depth are those of the frames.
///
/// No key frame is made beside those of the grid (and of `key_interval`), scene cuts included, so
/// that tracks of one source have theirs at the same times. Two encoders with the same settings
/// give the same configuration whatever frame they begin with: work that was cut short can go on
/// at any line of the grid.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Video {
    /// The codec.
    pub codec: Codec,
    /// How many bits.
    pub rate: Rate,
    /// How much work.
    pub effort: Effort,
    /// Threads inside the encoder. One is the cheapest for a whole ladder, where rungs run side by
    /// side, and gives the same bytes everywhere.
    pub threads: u32,
    /// AV1 only: take film grain out and describe it, at this strength (1 to 50), for decoders to put
    /// grain like it back: noise costs few bits then. `None` encodes grain as it is.
    pub film_grain: Option<u8>,
    /// Where key frames are.
    pub grid: Grid,
    /// Moments behind which the grid is counted anew: each has a line of its own. Ascending. A
    /// [`Cue`](sv_core::Cue) that comes before its picture does is one more.
    pub cuts: Vec<Duration>,
    /// More key frames, so often between two lines of the grid.
    pub key_interval: Option<Duration>,
    /// Who does it.
    pub backend: Backend,
    /// A device that encodes; it goes before `backend`. Pictures may be on it or in memory.
    pub device: Option<Device>,
    /// Go on in software where the device (that of `device`, or what [`Backend::Hardware`] and `nvenc`
    /// find) can't be used or fails, at whatever picture that happens: none is lost, and a key frame is
    /// made there. Builds without the feature `ffmpeg` go on only where the device can't be used at all.
    pub fallback: bool,
    /// Settings for the implementation by its own names, on top of all others. For measurements
    /// and specialists: they bind you to one [`Backend::Named`].
    pub options: Vec<(String, String)>,
}

impl Video {
    /// Good quality of this codec, with key frames every four seconds.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        let crf = match codec {
            Codec::Hevc => 26.0,
            Codec::Av1 => 35.0,
            Codec::Vp9 => 33.0,
            _ => 23.0,
        };
        Self {
            codec,
            rate: Rate::Quality { crf, cap: None },
            effort: Effort::default(),
            threads: 1,
            film_grain: None,
            grid: Grid::every(Duration::from_secs(4)),
            cuts: Vec::new(),
            key_interval: None,
            backend: Backend::Auto,
            device: None,
            fallback: false,
            options: Vec::new(),
        }
    }
}

/// How to encode sound. Rate and channels are those of the frames.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Audio {
    /// The codec.
    pub codec: Codec,
    /// Bits per second, all channels together; lossless codecs ignore it.
    pub bitrate: u64,
    /// Who does it.
    pub backend: Backend,
    /// As for [`Video::options`].
    pub options: Vec<(String, String)>,
}

impl Audio {
    /// The codec at so many bits per second.
    #[must_use]
    pub fn new(codec: Codec, bitrate: u64) -> Self {
        Self { codec, bitrate, backend: Backend::Auto, options: Vec::new() }
    }
}

/// Whether anything here can encode this codec.
#[must_use]
pub fn is_supported(codec: Codec) -> bool {
    crate::backend::can_encode(codec)
}
