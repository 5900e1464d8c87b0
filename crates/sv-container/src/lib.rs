//! Containers: what packets travel in.
//!
//! [`mp4`] reads ordinary and fragmented files and writes both; [`ts`] reads and writes transport streams; [`webm`]
//! writes WebM; [`byte_stream`] is what H.264 and HEVC have in common there; [`flv`] is both for the tags of Flash video, which RTMP's messages are; [`scte35`] reads and writes splice information; [`webvtt`] and [`ttml`] read and write subtitles;
//! [`detect()`] says what a file is. Readers take bytes through
//! [`ReadAt`](sv_core::ReadAt) or as they come and are [`Source`](sv_core::Source)s of items;
//! writers give bytes. None of them opens a file, knows a clock or starts a thread.
//!
//! All input is taken for hostile: lengths are checked against what is there and against
//! [`Limits`](sv_core::Limits) before anything is allocated, and an error says where it happened.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod amf0;
pub mod byte_stream;
pub mod cea608;
pub mod cea708;
mod detect;
pub mod error;
pub mod flv;
pub mod language;
pub mod mp4;
mod num;
pub mod scte35;
pub mod ts;
pub mod ttml;
pub mod webm;
pub mod webvtt;

pub use detect::{Kind, detect};
pub use error::{Error, Result};

/// Refuses pictures that no decoder should be asked to make room for.
fn check_pixels(media: &sv_core::Media, limits: &sv_core::Limits, offset: u64) -> Result<()> {
    match media {
        sv_core::Media::Video(video)
            if u64::from(video.width).saturating_mul(u64::from(video.height)) > limits.pixels =>
        {
            Err(Error::LimitExceeded { what: "the size of a picture", offset, limit: limits.pixels })
        }
        _ => Ok(()),
    }
}
