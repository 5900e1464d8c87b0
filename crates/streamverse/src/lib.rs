//! The streaming platform as a library.
//!
//! This crate re-exports the family behind features and holds the recipes that wire its members
//! together; the members never call each other.
#![forbid(unsafe_code)]

mod error;
pub mod vod;

pub use error::{Error, Result};
pub use sv_codec as codec;
pub use sv_container as container;
pub use sv_core as core;
pub use sv_drm as drm;
#[cfg(feature = "ffmpeg")]
pub use sv_ffmpeg as ffmpeg;
pub use sv_package as package;
pub use sv_pipeline as pipeline;
pub use sv_transcode as transcode;
