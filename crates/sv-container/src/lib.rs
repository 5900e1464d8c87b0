//! Containers: what packets travel in. Readers and writers of MP4, without I/O of their own.
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

pub mod detect;
pub mod error;
mod language;
pub mod mp4;
mod num;
pub mod ts;
pub mod webvtt;

pub use detect::{Kind, detect};
pub use error::{Error, Result};
