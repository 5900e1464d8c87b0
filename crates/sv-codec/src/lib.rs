//! Bitstream syntax of the codecs that streaming uses: what their headers say, and nothing about
//! pictures or sound.
//!
//! Each codec has a module of its own with the names of its specification: [`h264`] (SPS, PPS,
//! slice headers, `avcC`), [`hevc`], [`av1`], [`vp8`], [`vp9`], [`aac`], [`opus`], [`ac3`], [`ac4`], [`dtsx`],
//! [`flac`], [`alac`], [`iamf`] and [`mpa`] (MPEG audio). [`nal`] holds what H.264 and HEVC share. Above them stand two questions
//! that every packager asks: what to call a track ([`rfc6381::string`]) and what its configuration
//! tells about it ([`describe`]).
//!
//! All input is taken for hostile: nothing here panics, and nothing allocates more than a small
//! multiple of the bytes that it was given.
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

pub mod aac;
pub mod ac3;
pub mod ac4;
pub mod alac;
pub mod av1;
pub mod bits;
pub mod captions;
mod describe;
pub mod dtsx;
pub mod error;
pub mod flac;
pub mod h264;
mod h273;
pub mod hevc;
pub mod iamf;
pub mod mpa;
pub mod nal;
pub mod opus;
pub mod read;
pub mod rfc6381;
pub mod sample_aes;
pub mod t35;
pub mod vp8;
pub mod vp9;

pub use bits::BitReader;
pub use describe::describe;
pub use error::{Error, Result};
pub use read::Reader;
