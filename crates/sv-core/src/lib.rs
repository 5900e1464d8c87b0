//! The vocabulary that every StreamVerse crate speaks.
//!
//! Nothing here does anything on its own: the types say what a moment in time is ([`Timestamp`] in
//! a [`TimeBase`]), what a stream is made of ([`Track`], [`Packet`], [`Frame`]), what flows on
//! every edge between two stages ([`Item`]), what comes out at the end ([`Object`]), how much a
//! hostile input may cost ([`Limits`]) and what kind of failure happened ([`ErrorKind`]).
//!
//! Sibling crates never call each other; they meet through these types. Encryption is the example
//! to keep in mind: `sv-drm` puts a [`Protection`] on a track and a [`SampleProtection`] on its
//! packets, and `sv-package` writes what it finds there, without either knowing the other.
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

pub mod color;
pub mod error;
pub mod event;
pub mod frame;
mod grid;
pub mod item;
pub mod limits;
pub mod object;
pub mod packet;
pub mod protection;
pub mod read;
pub mod spherical;
pub mod stage;
pub mod time;
pub mod track;

pub use color::{ColorInfo, HdrMetadata};
pub use error::ErrorKind;
pub use event::Event;
pub use frame::{AudioFrame, Frame, Picture, PixelFormat, Planes, VideoFrame};
pub use grid::Grid;
pub use item::{Cue, Item, Part, Segment};
pub use limits::Limits;
pub use object::{Object, Write};
pub use packet::Packet;
pub use protection::{KeyId, Protection, SampleKey, SampleProtection, Scheme, Subsample};
pub use read::{FileAt, ReadAt};
pub use spherical::Spherical;
pub use stage::{Sink, Source, Stage};
pub use time::{Duration, Ratio, TimeBase, Timestamp};
pub use track::{AudioInfo, Codec, Media, TextInfo, Track, TrackId, TrackKind, VideoInfo};

/// The media payload type, re-exported: a major version of `bytes` is a breaking change of ours.
pub use bytes::Bytes;
