//! Packed audio: the frames of one sound, and when the first is heard ([RFC 8216,
//! 3.4](https://www.rfc-editor.org/rfc/rfc8216#section-3.4)).

use bytes::{BufMut, Bytes, BytesMut};
use sv_core::{Packet, Track};

use super::mux::Stream;
use crate::Result;

/// Who says what the time is (RFC 8216, 3.4).
const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";

/// A segment of packed audio of these packets, which are all of `track`: an ID3 tag with the time of the first,
/// on the clock of [`ORIGIN`](super::ORIGIN), and AAC with ADTS headers or the frames as they are.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) where a [`Muxer`](super::Muxer) has no place for the codec.
pub fn packed_audio(track: &Track, packets: &[Packet]) -> Result<Bytes> {
    let stream = Stream::new(track, 0)?;
    let frames = stream.access_units(packets)?;
    let time = packets.first().map_or(0, |packet| stream.time(packet.pts));
    let mut tag = BytesMut::with_capacity(frames.len().saturating_add(80));
    let body = OWNER.len().saturating_add(8);
    // Sizes have seven bits in each byte, and these are below 128.
    let size = |n: usize| [0, 0, 0, u8::try_from(n & 0x7F).unwrap_or(0)];
    tag.put_slice(b"ID3\x04\0\0");
    tag.put_slice(&size(body.saturating_add(10)));
    tag.put_slice(b"PRIV");
    tag.put_slice(&size(body));
    tag.put_slice(&[0, 0]);
    tag.put_slice(OWNER);
    tag.put_u64(time);
    tag.put_slice(&frames);
    Ok(tag.freeze())
}
