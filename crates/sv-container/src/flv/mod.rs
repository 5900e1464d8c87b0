//! Flash video: the bodies of its tags, which are also RTMP's messages of sound and pictures.
//!
//! [`parse`] takes a body apart; [`Demuxer`] makes items of bodies and [`Muxer`] bodies of items. Both speak the
//! classic form ([Adobe Flash Video File Format 10.1, annex E](https://rtmp.veriskope.com/pdf/video_file_format_spec_v10_1.pdf))
//! and the enhanced one ([Enhanced RTMP v2](https://veovera.org/docs/enhanced/enhanced-rtmp-v2)): HEVC, AV1, VP8, VP9,
//! Opus, FLAC, AC-3 and E-AC-3, several tracks, times finer than a millisecond.

mod demux;
mod mux;
mod tag;

pub use demux::Demuxer;
pub use mux::{Body, Muxer, fourcc};
pub use tag::{Kind, Message, Messages, Payload, parse};
