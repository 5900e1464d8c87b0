//! AV1 ([AV1 Bitstream & Decoding Process Specification](https://aomediacodec.github.io/av1-spec/))
//! and its mapping to MP4 ([AV1-ISOBMFF](https://aomediacodec.github.io/av1-isobmff/)).

mod config;
pub mod metadata;
mod obu;
mod sequence;

pub use config::Config;
pub use obu::{Obu, Obus, is_key, obus, without_delimiters};
pub use sequence::Sequence;
