//! HLS that others serve, as a source: playlists are read and followed, without a socket or a clock.
//!
//! [`parse`] reads a playlist after [draft-pantos-hls-rfc8216bis](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis). A [`Lane`]
//! follows one media playlist: it says what to get next, takes what came, and gives tracks and packets of it, of
//! MPEG transport streams and of fragmented MP4, whole segments or, where they are offered, the parts of low latency.

mod lane;
mod playlist;

pub use lane::{Get, Lane, Step};
pub use playlist::{Master, Media, Part, Piece, Playlist, Range, Rendition, Segment, Variant, parse};
