//! Frames and packets through the stages, judged by programs that we did not write.
//!
//! Pictures carry their number and sound its channel (see `sv-testkit`), so that every test can
//! tell what came out from what went in.

#[cfg(feature = "pure")]
mod builtin;
#[cfg(feature = "ffmpeg")]
mod corpus;
#[cfg(feature = "ffmpeg")]
mod device;
#[cfg(feature = "ffmpeg")]
mod dolby;
#[cfg(feature = "ffmpeg")]
mod dynamic;
#[cfg(feature = "ffmpeg")]
mod hdr;
mod kit;
#[cfg(feature = "ffmpeg")]
mod made;
mod metric;
#[cfg(feature = "nvcodec")]
mod nvcodec;
#[cfg(feature = "nvcodec")]
mod nvenc;
mod pattern;
mod plan;
#[cfg_attr(not(feature = "ffmpeg"), allow(dead_code, reason = "its table is that of FFmpeg's encoders"))]
mod roundtrip;
mod sound;
#[cfg(feature = "nvcodec")]
mod standin;
mod tone;
