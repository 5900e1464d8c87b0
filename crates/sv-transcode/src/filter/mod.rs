//! Frames to frames: size, fields, rotation, dynamic range, samples, channels.

mod audio;
mod level;
mod mix;
mod resample;
mod tone;
mod video;

pub use audio::{Audio, audio};
pub use tone::ToneCurve;
pub(crate) use video::even;
pub use video::{Crop, Deinterlace, DynamicRange, Video, display_size, video};

pub(crate) use video::Plan;
