//! MPEG-2 transport streams ([ISO/IEC 13818-1](https://www.iso.org/standard/83239.html)), read
//! from a file ([`Demuxer`]) or as they come in ([`Parser`]), and written ([`Muxer`]).

mod demux;
mod elementary;
mod frames;
mod mux;
mod packed;
mod packet;
mod parser;
mod pes;
mod psi;

pub use demux::Demuxer;
pub use mux::{Muxer, ORIGIN};
pub use packed::packed_audio;
pub use parser::Parser;
pub(crate) use psi::crc;

/// How far apart the packets of a stream begin that starts with `head`: 188 bytes, 192 with the
/// time stamps of m2ts, 204 with error correction. `None` when it does not look like one.
#[must_use]
pub fn packet_size(head: &[u8]) -> Option<usize> {
    [188usize, 192, 204].into_iter().find(|size| {
        let lead: usize = if *size == 192 { 4 } else { 0 };
        let sync = |n: usize| head.get(lead.saturating_add(size.saturating_mul(n)));
        let present = (0..5).take_while(|n| sync(*n).is_some()).count();
        // One sync byte is chance; a stream cut to a single packet is of no use anyway.
        present >= 2 && (0..present).all(|n| sync(n) == Some(&0x47))
    })
}
