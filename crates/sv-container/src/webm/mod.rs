//! WebM ([container guidelines](https://www.webmproject.org/docs/container/)): the part of Matroska
//! ([RFC 9559](https://www.rfc-editor.org/rfc/rfc9559)) that browsers play, written a track to a file.
//!
//! A presentation is a head and clusters. The head stands alone, as an initialisation segment ([`init_segment`]) in front
//! of clusters that may come for ever, or at the front of one file ([`file_head`]) with [`Cues`] behind it.
//! Times are in milliseconds, as the guidelines want them.

mod cluster;
mod cues;
mod ebml;
mod head;

pub use cluster::cluster;
pub use cues::{Cue, Cues};
pub use head::{Extent, file_head, init_segment};

use sv_core::{Codec, TimeBase, Timestamp, Track};

/// Whether WebM has a place for this codec.
#[must_use]
pub const fn supports(codec: Codec) -> bool {
    name(codec).is_some()
}

/// `CodecID`.
const fn name(codec: Codec) -> Option<&'static str> {
    Some(match codec {
        Codec::Vp8 => "V_VP8",
        Codec::Vp9 => "V_VP9",
        Codec::Av1 => "V_AV1",
        Codec::Opus => "A_OPUS",
        Codec::Vorbis => "A_VORBIS",
        _ => return None,
    })
}

/// A time of the track in milliseconds; what lies before the beginning is at it.
fn millis(track: &Track, at: Timestamp) -> u64 {
    at.rescale(track.time_base, TimeBase::MILLIS).ticks().max(0).unsigned_abs()
}

/// An element that readers pass over, of so many bytes: two at least ([RFC 8794, 11.3.2](https://www.rfc-editor.org/rfc/rfc8794#section-11.3.2)).
#[must_use]
pub fn void(bytes: u64) -> bytes::Bytes {
    let mut w = ebml::Elements::default();
    w.void(bytes);
    w.out.freeze()
}
