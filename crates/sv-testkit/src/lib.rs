//! Synthetic media and small helpers for tests; never published.
//!
//! Pictures carry their own number in a code that survives strong compression and scaling
//! ([`video::read_code`]), and each sound channel has a tone of its own ([`audio::identify`]), so
//! that a test can tell which frame and which channel came out at the other end, and prove that
//! none is lost, repeated or swapped.
#![forbid(unsafe_code)]

pub mod audio;
mod env;
mod font;
pub mod hdr;
#[cfg(unix)]
pub mod postgres;
mod rng;
pub mod splices;
pub mod video;

pub use env::{corpus, ffmpeg9, tool};
pub use rng::Rng;
