//! MP4: the ISO base media file format
//! ([ISO/IEC 14496-12](https://www.iso.org/standard/83102.html)), progressive and fragmented.
//!
//! Writing is for streaming first: [`init_segment`] and [`fragment`] make CMAF headers and chunks
//! whose payloads are never copied.

mod read;
mod write;

pub use read::{Demuxer, Located};
pub use write::{Emsg, Index, Options, Prft, Reference, fragment, init_segment, progressive, supports};
