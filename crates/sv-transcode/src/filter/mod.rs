//! Frames to frames: size, fields, rotation, samples, channels.

mod audio;
mod mix;
mod resample;
mod video;

pub use audio::{Audio, audio};
pub use video::{Deinterlace, DynamicRange, Video, video};
pub(crate) use video::{display_size, even};

pub(crate) use video::Plan;
