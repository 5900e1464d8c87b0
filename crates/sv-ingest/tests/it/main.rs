//! The crate from outside, judged by programs that are not ours. One binary: it links once, and its tests run in parallel.

mod admission;
mod engine;
mod failover;
mod faults;
mod interop;
mod kit;
#[cfg(feature = "rtsp")]
mod mediamtx;
mod obs;
mod oracle;
mod record;
mod rtmp;
#[cfg(feature = "rtsp")]
mod rtsp;
mod srt;
mod srt_net;
#[cfg(feature = "whip")]
mod whip;
