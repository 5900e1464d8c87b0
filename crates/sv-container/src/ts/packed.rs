//! Packed audio: the frames of one sound, and when the first is heard ([RFC 8216,
//! 3.4](https://www.rfc-editor.org/rfc/rfc8216#section-3.4)).

use bytes::{BufMut, Bytes, BytesMut};
use sv_core::{Packet, Track};

use super::mux::Stream;
use crate::Result;

/// Who says what the time is (RFC 8216, 3.4).
const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";
/// Who says what encrypted sound is (MPEG-2 Stream Encryption Format for HTTP Live Streaming, 2.4).
const DESCRIPTION: &[u8] = b"com.apple.streaming.audioDescription\0";

/// A segment of packed audio of these packets, which are all of `track`: an ID3 tag with the time of the first,
/// on the clock of [`ORIGIN`](super::ORIGIN), and AAC with ADTS headers or the frames as they are.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) where a [`Muxer`](super::Muxer) has no place for the codec.
pub fn packed_audio(track: &Track, packets: &[Packet]) -> Result<Bytes> {
    let stream = Stream::new(track, 0)?;
    let frames = stream.access_units(packets)?;
    let time = packets.first().map_or(0, |packet| stream.time(packet.pts));
    let secret = packets.iter().any(|packet| packet.protection.is_some());
    let setup = stream.setup(packets).filter(|_| secret);
    let mut frame = BytesMut::new();
    private(&mut frame, OWNER, &time.to_be_bytes());
    if let Some(setup) = setup {
        private(&mut frame, DESCRIPTION, &setup);
    }
    let mut tag = BytesMut::with_capacity(frames.len().saturating_add(200));
    tag.put_slice(b"ID3\x04\0\0");
    tag.put_slice(&size(frame.len()));
    tag.put_slice(&frame);
    tag.put_slice(&frames);
    Ok(tag.freeze())
}

/// A `PRIV` frame (ID3v2.4.0, 4.27).
fn private(out: &mut BytesMut, owner: &[u8], data: &[u8]) {
    out.put_slice(b"PRIV");
    out.put_slice(&size(owner.len().saturating_add(data.len())));
    out.put_slice(&[0, 0]);
    out.put_slice(owner);
    out.put_slice(data);
}

/// Sizes have seven bits in each byte.
fn size(n: usize) -> [u8; 4] {
    [21u32, 14, 7, 0].map(|shift| u8::try_from(n.wrapping_shr(shift) & 0x7F).unwrap_or(0))
}
