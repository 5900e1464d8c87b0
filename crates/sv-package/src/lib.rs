//! Packaging without I/O: CMAF segments written once, referenced by HLS and DASH both.
//!
//! Three steps, each of them plain data to the next:
//!
//! 1. A [`Segmenter`] for each track cuts packets on a common grid and gives finished segments.
//! 2. A [`Packager`] for each rendition turns them into named [`Object`](sv_core::Object)s and keeps
//!    a [`Rendition`]: what a manifest must know. It serialises, so a journal of renditions is all
//!    that a run needs to go on after a crash.
//! 3. [`hls`] and [`dash`] write manifests from the list of renditions, and from nothing else.
//!
//! [`Marks`] say where a programme may be left: segments end there and manifests tell of it.
//!
//! What goes on while it is watched is a [`live::Presentation`] instead of a list: the same segments, in
//! parts if latency matters, with a window. What is made only when somebody asks for it is an [`origin::Offer`].
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

mod clock;
pub mod dash;
mod error;
pub mod hls;
pub mod live;
mod marks;
pub mod origin;
mod packager;
mod parts;
mod rendition;
mod role;
mod segmenter;
pub mod steering;
mod text;
mod tiles;
mod trick;

pub use error::Error;
pub use marks::{Asset, Interstitial, Mark, Marks, Splice, What};
pub use packager::{Form, Layout, Packager};
pub use rendition::{Bandwidth, Carried, Info, Key, Rendition, SegmentRecord, VideoRange};
pub use role::Role;
pub use segmenter::Segmenter;
pub use steering::Steering;
pub use text::TextSegmenter;
pub use tiles::Tiles;
pub use trick::TrickPlay;
