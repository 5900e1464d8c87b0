//! As much of Matroska ([RFC 9559](https://www.rfc-editor.org/rfc/rfc9559)) as goes through the pipes: raw
//! pictures in, packets out.

use std::io::{self, Read, Write};

use sv_core::{PixelFormat, Ratio, VideoFrame};

const EBML: u32 = 0x1A45_DFA3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK_ENTRY: u32 = 0xAE;
const CODEC_PRIVATE: u32 = 0x63A2;
const CODEC_DELAY: u32 = 0x56AA;
const CLUSTER: u32 = 0x1F43_B675;
const TIMESTAMP: u32 = 0xE7;
const BLOCK_GROUP: u32 = 0xA0;
const BLOCK: u32 = 0xA1;
const SIMPLE_BLOCK: u32 = 0xA3;

/// No packet is larger: ten times a raw picture of 8K.
const LARGEST: u64 = 1 << 30;

/// An element with its size.
fn put(out: &mut Vec<u8>, id: u32, body: &[u8]) {
    let bytes = id.to_be_bytes();
    out.extend_from_slice(&bytes[(id.leading_zeros() / 8) as usize..]);
    // Eight bytes of size, always: nobody counts them here.
    out.extend_from_slice(&((1 << 56) | body.len() as u64).to_be_bytes());
    out.extend_from_slice(body);
}

fn number(out: &mut Vec<u8>, id: u32, value: u64) {
    put(out, id, &value.to_be_bytes());
}

/// The beginning of a stream of raw pictures like this one. Times are in microseconds.
pub(super) fn header(frame: &VideoFrame, rate: Ratio) -> Vec<u8> {
    let mut out = Vec::new();
    let mut ebml = Vec::new();
    put(&mut ebml, 0x4282, b"matroska");
    number(&mut ebml, 0x4287, 4);
    number(&mut ebml, 0x4285, 2);
    put(&mut out, EBML, &ebml);
    out.extend_from_slice(&SEGMENT.to_be_bytes());
    // A size that nobody knows yet.
    out.extend_from_slice(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut info = Vec::new();
    number(&mut info, 0x002A_D7B1, 1000);
    put(&mut info, 0x4D80, b"streamverse");
    put(&mut info, 0x5741, b"streamverse");
    put(&mut out, INFO, &info);
    let mut video = Vec::new();
    number(&mut video, 0xB0, frame.width.into());
    number(&mut video, 0xBA, frame.height.into());
    // FFmpeg's own name for planar 4:2:0 of 10 bits, little end first; the other has a registered one.
    let deep = frame.picture.format() == PixelFormat::Yuv420p10;
    put(&mut video, 0x2E_B524, if deep { &[b'Y', b'3', 11, 10] } else { b"I420" });
    let mut entry = Vec::new();
    number(&mut entry, 0xD7, 1);
    number(&mut entry, 0x73C5, 1);
    number(&mut entry, 0x83, 1);
    put(&mut entry, 0x86, b"V_UNCOMPRESSED");
    number(&mut entry, 0x23_E383, (1e9 / rate.to_f64().max(1e-3)).round() as u64);
    put(&mut entry, 0xE0, &video);
    let mut tracks = Vec::new();
    put(&mut tracks, TRACK_ENTRY, &entry);
    put(&mut out, TRACKS, &tracks);
    out
}

/// One picture, in a cluster of its own; `at` is in microseconds.
pub(super) fn write_picture(out: &mut impl Write, frame: &VideoFrame, at: u64) -> io::Result<()> {
    let wide = if frame.picture.format() == PixelFormat::Yuv420p10 { 2 } else { 1 };
    let (w, h) = (frame.width as usize, frame.height as usize);
    let sizes = [(w, h), (w.div_ceil(2), h.div_ceil(2)), (w.div_ceil(2), h.div_ceil(2))];
    let samples: usize = sizes.iter().map(|(w, h)| w * h * wide).sum();
    let mut head = Vec::new();
    let mut time = Vec::new();
    number(&mut time, TIMESTAMP, at);
    // Track 1, at the cluster's time, a key frame like all raw pictures.
    let block = [0x81, 0, 0, 0x80];
    let size = block.len() + samples;
    head.extend_from_slice(&CLUSTER.to_be_bytes());
    head.extend_from_slice(&((1 << 56) | (time.len() + 1 + 8 + size) as u64).to_be_bytes());
    head.extend_from_slice(&time);
    head.push(SIMPLE_BLOCK as u8);
    head.extend_from_slice(&((1 << 56) | size as u64).to_be_bytes());
    head.extend_from_slice(&block);
    out.write_all(&head)?;
    for (index, (w, h)) in sizes.into_iter().enumerate() {
        let short =
            || io::Error::new(io::ErrorKind::InvalidInput, "a picture has fewer samples than its size says");
        let plane = frame.picture.plane(index).ok_or_else(short)?;
        for y in 0..h {
            let row = plane.data.get(y * plane.stride..).and_then(|row| row.get(..w * wide));
            out.write_all(row.ok_or_else(short)?)?;
        }
    }
    Ok(())
}

/// What a program has put into its stream.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// The track: its `CodecPrivate`, and its delay in nanoseconds.
    Track { private: Vec<u8>, delay: u64 },
    /// A packet, and when it is shown, in microseconds.
    Packet { at: i64, key: bool, data: Vec<u8> },
}

/// Reads a stream as it comes.
pub(super) struct Reader<R> {
    from: R,
    cluster: i64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, cluster: 0 }
    }

    /// What comes next; nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        loop {
            let Some((id, size)) = self.element()? else { return Ok(None) };
            match (id, size) {
                // Their children come by themselves.
                (SEGMENT | CLUSTER | BLOCK_GROUP, _) => {}
                (TRACKS, Some(size)) => return Ok(Some(track(&self.body(size)?)?)),
                (TIMESTAMP, Some(size)) => {
                    self.cluster = i64::try_from(value(&self.body(size)?)).map_err(|_| broken("a time"))?;
                }
                (SIMPLE_BLOCK | BLOCK, Some(size)) => {
                    let body = self.body(size)?;
                    let [_, high, low, flags, ..] = body[..] else { return Err(broken("a block")) };
                    let at = self.cluster.saturating_add(i16::from_be_bytes([high, low]).into());
                    // Only simple blocks say so; in the others sound is, all of whose packets are key.
                    let key = id == BLOCK || flags & 0x80 != 0;
                    return Ok(Some(Found::Packet {
                        at: at.saturating_mul(1000),
                        key,
                        data: body[4..].to_vec(),
                    }));
                }
                (_, Some(size)) => {
                    let skipped = io::copy(&mut (&mut self.from).take(size), &mut io::sink())?;
                    if skipped < size {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                (_, None) => return Err(broken("an element")),
            }
        }
    }

    /// The next element's name and size; a size may be unknown.
    fn element(&mut self) -> io::Result<Option<(u32, Option<u64>)>> {
        let mut first = [0];
        if self.from.read(&mut first)? == 0 {
            return Ok(None);
        }
        let more = first[0].leading_zeros() as usize;
        if more > 3 {
            return Err(broken("a name"));
        }
        let mut id = [0; 4];
        id[3 - more] = first[0];
        self.from.read_exact(&mut id[4 - more..])?;
        self.from.read_exact(&mut first)?;
        let more = first[0].leading_zeros() as usize;
        if more > 7 {
            return Err(broken("a size"));
        }
        let mut size = [0; 8];
        size[7 - more] = first[0] & (0x7f >> more);
        self.from.read_exact(&mut size[8 - more..])?;
        let size = u64::from_be_bytes(size);
        let unknown = size == (1 << (7 * (more + 1))) - 1;
        Ok(Some((u32::from_be_bytes(id), (!unknown).then_some(size))))
    }

    fn body(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > LARGEST {
            return Err(broken("a size"));
        }
        let mut body = Vec::new();
        // What is not there is not made room for.
        (&mut self.from).take(size).read_to_end(&mut body)?;
        if (body.len() as u64) < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(body)
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of its Matroska stream is wrong"))
}

fn value(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// The first track of `Tracks`.
fn track(body: &[u8]) -> io::Result<Found> {
    let mut reader = Reader::new(body);
    let (mut private, mut delay) = (Vec::new(), 0);
    while let Some((id, size)) = reader.element()? {
        let Some(size) = size else { return Err(broken("an element")) };
        match id {
            TRACK_ENTRY => {}
            CODEC_PRIVATE => private = reader.body(size)?,
            CODEC_DELAY => delay = value(&reader.body(size)?),
            _ => drop(reader.body(size)?),
        }
    }
    Ok(Found::Track { private, delay })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_streams_are_errors_and_take_no_memory() {
        let all = |bytes: &[u8]| -> io::Result<usize> {
            let mut reader = Reader::new(bytes);
            let mut count = 0;
            while reader.next()?.is_some() {
                count += 1;
            }
            Ok(count)
        };
        assert_eq!(all(&[]).unwrap(), 0);
        for bytes in [
            &[0x00][..],
            &[0xA3],
            &[0xA3, 0x00],
            &[0xA3, 0x85, 1, 2],
            &[0xA3, 0x82, 1, 2],
            // A block of 2^56 bytes less two.
            &[0xA3, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe],
            &[0xEC, 0x88, 1],
            &[0xEC, 0xff],
            &[0x16, 0x54, 0xAE, 0x6B, 0x83, 0x63, 0xA2, 0x88],
        ] {
            assert!(all(bytes).is_err(), "{bytes:?}");
        }
        let mut bytes = Vec::new();
        number(&mut bytes, TIMESTAMP, 40);
        put(&mut bytes, SIMPLE_BLOCK, &[0x81, 0xff, 0xff, 0x80, 7, 8]);
        let mut reader = Reader::new(&bytes[..]);
        let packet = Found::Packet { at: 39_000, key: true, data: vec![7, 8] };
        assert_eq!(reader.next().unwrap(), Some(packet));
        assert_eq!(reader.next().unwrap(), None);
    }
}
