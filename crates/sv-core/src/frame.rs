//! Raw media: pictures and sound between a decoder and an encoder.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::color::DynamicMetadata;
use crate::{ColorInfo, Duration, HdrMetadata, Timestamp};

/// Raw media of one moment.
#[derive(Clone, Debug)]
pub enum Frame {
    /// A picture.
    Video(VideoFrame),
    /// Some sound.
    Audio(AudioFrame),
}

/// How a picture's samples lie in memory. Planes are Y, then U and V of half width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Planar 4:2:0, a byte a sample.
    Yuv420p8,
    /// Planar 4:2:0, 10 bits in the low bits of a little-endian word of 16.
    Yuv420p10,
    /// Whatever a backend uses inside; only that backend can read it.
    Opaque,
}

/// One plane of a picture.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// Rows of samples, `stride` bytes apart; the last row may end early.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// Where a picture's samples are. A backend keeps its own surfaces behind this, so that a frame
/// goes from its decoder to its encoder without a copy, and reads foreign ones by
/// [`plane`](Self::plane).
pub trait Picture: Any + Send + Sync {
    /// How the samples lie.
    fn format(&self) -> PixelFormat;
    /// Plane 0 (Y), 1 (U) or 2 (V); `None` for other numbers and where memory can't be read.
    fn plane(&self, index: usize) -> Option<Plane<'_>>;
    /// For the backend that made it.
    fn as_any(&self) -> &dyn Any;
}

/// One picture.
#[derive(Clone)]
pub struct VideoFrame {
    /// When it is shown, in its track's time base.
    pub pts: Timestamp,
    /// How long it is shown; zero when nobody knows.
    pub duration: Duration,
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
    /// What the sample values mean.
    pub color: ColorInfo,
    /// HDR10 static metadata.
    pub hdr: HdrMetadata,
    /// Metadata of this picture alone: HDR10+ and Dolby Vision.
    pub dynamic: DynamicMetadata,
    /// The samples.
    pub picture: Arc<dyn Picture>,
}

impl fmt::Debug for VideoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VideoFrame({:?}, {}x{}, {:?})", self.pts, self.width, self.height, self.picture.format())
    }
}

/// Samples in ordinary memory.
#[derive(Clone)]
pub struct Planes {
    /// How the samples lie.
    pub format: PixelFormat,
    /// Each plane's bytes and stride.
    pub planes: Vec<(Vec<u8>, usize)>,
}

impl Picture for Planes {
    fn format(&self) -> PixelFormat {
        self.format
    }

    fn plane(&self, index: usize) -> Option<Plane<'_>> {
        self.planes.get(index).map(|(data, stride)| Plane { data, stride: *stride })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Some sound: 32-bit float samples, channels interleaved in the order of ISO/IEC 23091-3
/// (L R C LFE Ls Rs for 5.1).
#[derive(Clone)]
pub struct AudioFrame {
    /// When its first sample is heard, in its track's time base.
    pub pts: Timestamp,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// The samples, nominally in -1 to 1; their number is a multiple of `channels`.
    pub samples: Arc<[f32]>,
}

impl fmt::Debug for AudioFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AudioFrame({:?}, {} Hz, {} channels, {} values)",
            self.pts,
            self.sample_rate,
            self.channels,
            self.samples.len()
        )
    }
}
