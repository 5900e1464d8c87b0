//! The crate from outside, judged by programs that are not ours. One binary: it links once, and its tests run in parallel.

mod admission;
mod engine;
mod kit;
mod oracle;
mod rtmp;
#[cfg(feature = "rtsp")]
mod rtsp;
#[cfg(feature = "whip")]
mod whip;
