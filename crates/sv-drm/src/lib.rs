//! Protection without I/O: Common Encryption of packets, HLS's of transport streams, PSSH boxes, ClearKey licences, tokens.
//!
//! [`cenc::Encryptor`] is a stage: tracks and packets go in clear and come out encrypted, with a
//! [`Protection`](sv_core::Protection) on the track and a [`SampleProtection`](sv_core::SampleProtection)
//! on each packet. Whoever writes the container writes what it finds there.
//!
//! Keys live in [`ContentKey`], which is wiped when dropped and shows nothing in `Debug`. Randomness
//! and the time of day are arguments: nothing here asks the operating system for anything.
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

pub mod aes128;
pub mod cenc;
pub mod clearkey;
mod error;
mod key;
mod keys;
pub mod pssh;
mod schedule;
pub mod token;

pub use error::Error;
pub use key::ContentKey;
pub use keys::{Keys, Label};
pub use schedule::{Later, Rotation, Schedule};
