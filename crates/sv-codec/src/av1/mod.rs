//! AV1 ([AV1 Bitstream & Decoding Process Specification](https://aomediacodec.github.io/av1-spec/))
//! and its mapping to MP4 ([AV1-ISOBMFF](https://aomediacodec.github.io/av1-isobmff/)).

mod config;
mod frame;
pub mod metadata;
mod obu;
mod references;
mod sequence;
mod tiles;

pub use config::Config;
pub use obu::{Obu, Obus, is_key, obus, without_delimiters};
pub use sequence::Sequence;
pub use tiles::Tiles;
