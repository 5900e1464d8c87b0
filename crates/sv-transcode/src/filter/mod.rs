//! Frames to frames: size, fields, rotation, dynamic range, samples, channels.

mod audio;
mod level;
mod mix;
mod resample;
mod tone;
mod video;

pub use audio::{Audio, audio};
pub use tone::ToneCurve;
pub use video::{Crop, Deinterlace, DynamicRange, Video, video};
pub(crate) use video::{display_size, even};

pub(crate) use video::Plan;
