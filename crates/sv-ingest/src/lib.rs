//! Live in: the protocols by which streams come.
//!
//! [`rtmp`], [`srt`], `rtsp` and `whip` are protocol engines without a socket, clock or thread: bytes go in, events and bytes come out. [`gateway`] has
//! the sockets and threads: who is let in sends a stream to a [`Hub`], and who subscribes to it there has a [`Feed`] of
//! its tracks and packets, whichever protocol brought them. [`push`] passes streams on, [`record`] keeps them, and
//! [`health`] says how well they come.

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

pub mod error;
mod failover;
mod feed;
pub mod gateway;
pub mod health;
pub mod hls;
mod hub;
#[cfg(any(feature = "whip", feature = "rtsp"))]
mod lane;
mod line;
pub mod push;
pub mod record;
pub mod rtmp;
#[cfg(feature = "rtsp")]
pub mod rtsp;
pub mod srt;
mod steady;
#[cfg(any(feature = "whip", feature = "rtsp"))]
mod timeline;
mod transport;
#[cfg(feature = "whip")]
pub mod whip;

pub use error::{Error, Result};
pub use failover::{Content, Failover, Reason};
pub use feed::{Feed, Next};
pub use hub::{Hub, Sample, is_name};
pub use steady::Steady;
