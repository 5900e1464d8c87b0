//! As much of fragmented MP4 ([ISO/IEC 14496-12](https://www.iso.org/standard/83102.html)) as FFmpeg writes
//! into a pipe when each picture is a fragment of its own.

use std::io::{self, Read};

use super::matroska::Found;

/// No box is larger: ten times a raw picture of 8K.
const LARGEST: u64 = 1 << 30;

/// Boxes that hold what a codec's decoder has to know.
const CONFIGS: [&[u8; 4]; 4] = [b"avcC", b"hvcC", b"av1C", b"vpcC"];
/// Where a track's boxes are, from the top.
const PATH: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];

/// Reads a stream as it comes; its clock has to count microseconds.
pub(super) struct Reader<R> {
    from: R,
    /// When the fragment's picture is shown, and whether it is a key frame.
    next: Option<(i64, bool)>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, next: None }
    }

    /// What comes next; nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        loop {
            let mut head = [0; 8];
            if self.from.read(&mut head[..1])? == 0 {
                return Ok(None);
            }
            self.from.read_exact(&mut head[1..])?;
            let [s0, s1, s2, s3, kind @ ..] = head;
            let size = match u32::from_be_bytes([s0, s1, s2, s3]) {
                1 => {
                    let mut long = [0; 8];
                    self.from.read_exact(&mut long)?;
                    u64::from_be_bytes(long).checked_sub(16)
                }
                size => u64::from(size).checked_sub(8),
            };
            let size = size.filter(|size| *size <= LARGEST).ok_or_else(|| broken("a size"))?;
            let mut body = Vec::new();
            // What is not there is not made room for.
            (&mut self.from).take(size).read_to_end(&mut body)?;
            if (body.len() as u64) < size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match &kind {
                b"moov" => return Ok(Some(Found::Track { private: config(&body)?, delay: 0 })),
                b"moof" => self.next = Some(fragment(&body)?),
                b"mdat" => {
                    let (at, key) = self.next.take().ok_or_else(|| broken("a fragment"))?;
                    return Ok(Some(Found::Packet { at, key, data: body }));
                }
                _ => {}
            }
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of its MP4 stream is wrong"))
}

/// The boxes in some bytes, one after the other.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let head: [u8; 8] = rest.get(..8)?.try_into().ok()?;
        let [s0, s1, s2, s3, kind @ ..] = head;
        let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
        let body = rest.get(8..size)?;
        rest = rest.get(size..)?;
        Some((kind, body))
    })
}

fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(k, _)| k == kind).map(|(_, body)| body)
}

/// The decoder's configuration in `moov`.
fn config(moov: &[u8]) -> io::Result<Vec<u8>> {
    /// Of a visual sample entry, before its boxes.
    const ENTRY: usize = 78;
    let found = || {
        let stsd = PATH[1..].iter().try_fold(moov, |bytes, kind| child(bytes, kind))?;
        let (_, entry) = boxes(stsd.get(8..)?).next()?;
        let inner = entry.get(ENTRY..)?;
        boxes(inner).find(|(kind, _)| CONFIGS.contains(&kind)).map(|(_, body)| body.to_vec())
    };
    found().ok_or_else(|| broken("the description"))
}

/// When the one picture of `moof` is shown, and whether it is a key frame.
fn fragment(moof: &[u8]) -> io::Result<(i64, bool)> {
    let found = || {
        let traf = child(moof, b"traf")?;
        let tfdt = child(traf, b"tfdt")?;
        let decoded = match tfdt.first()? {
            1 => i64::from_be_bytes(tfdt.get(4..12)?.try_into().ok()?),
            _ => i64::from(u32::from_be_bytes(tfdt.get(4..8)?.try_into().ok()?)),
        };
        let number = |bytes: &[u8], at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
        };
        let tfhd = child(traf, b"tfhd")?;
        let told = number(tfhd, 0)?;
        // What stands before the default flags, if it does.
        let before = [(0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4)];
        let skip: usize = before.iter().filter(|(bit, _)| told & bit != 0).map(|(_, size)| size).sum();
        let usual = if told & 0x20 != 0 { number(tfhd, 8 + skip) } else { None };
        let trun = child(traf, b"trun")?;
        let told = number(trun, 0)?;
        if number(trun, 4)? != 1 {
            return None;
        }
        let mut at = 8 + if told & 0x1 != 0 { 4 } else { 0 };
        let mut flags = usual.unwrap_or(0);
        if told & 0x4 != 0 {
            flags = number(trun, at)?;
            at += 4;
        }
        at += [0x100, 0x200].iter().filter(|bit| told & **bit != 0).count() * 4;
        if told & 0x400 != 0 {
            flags = number(trun, at)?;
            at += 4;
        }
        let offset = if told & 0x800 != 0 { number(trun, at)?.cast_signed() } else { 0 };
        Some((decoded.checked_add(i64::from(offset))?, flags & 0x1_0000 == 0))
    };
    found().ok_or_else(|| broken("a fragment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    }

    #[test]
    fn fragments_say_when_and_broken_ones_are_errors() {
        let tfdt = make(b"tfdt", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200]);
        let tfhd = make(b"tfhd", &[0, 2, 0, 0x20, 0, 0, 0, 1, 0x01, 0x01, 0, 0]);
        // An offset of minus fifty.
        let trun = make(b"trun", &[1, 0, 8, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xce]);
        let moof = make(b"moof", &make(b"traf", &[tfhd, tfdt.clone(), trun].concat()));
        let stream = [moof.clone(), make(b"mdat", &[1, 2, 3])].concat();
        let mut reader = Reader::new(&stream[..]);
        let packet = Found::Packet { at: 150, key: false, data: vec![1, 2, 3] };
        assert_eq!(reader.next().unwrap(), Some(packet));
        assert_eq!(reader.next().unwrap(), None);
        for broken in [
            &stream[..stream.len() - 1],
            &stream[..5],
            &[0, 0, 0, 4, b'm', b'o', b'o', b'f'],
            &[0xff, 0xff, 0xff, 0xff, b'm', b'o', b'o', b'f', 1],
            &make(b"moof", &make(b"traf", &tfdt)),
            &make(b"moov", &[1, 2, 3]),
            &make(b"mdat", &[]),
        ] {
            assert!(Reader::new(broken).next().is_err(), "{broken:?}");
        }
    }
}
