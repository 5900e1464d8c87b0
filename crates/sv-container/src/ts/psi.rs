//! Program specific information (2.4.4): which streams there are.

use bytes::{BufMut, Bytes, BytesMut};
use sv_codec::Reader;

use crate::language;

/// The tag of what a program says of its captions.
const CAPTIONS: u8 = 0x86;

/// Collects the sections of one packet identifier.
#[derive(Debug, Default)]
pub(super) struct Sections {
    buffer: Vec<u8>,
}

impl Sections {
    /// Takes a payload in, and gives the sections that are complete by it and undamaged.
    pub(super) fn push(&mut self, payload: &[u8], start: bool) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut payload = payload;
        if start {
            // The pointer says where the first section begins; what stands before it ends the last one (2.4.4.1).
            let Some((pointer, rest)) = payload.split_first() else { return out };
            let Some((tail, rest)) = rest.split_at_checked(usize::from(*pointer)) else { return out };
            if !self.buffer.is_empty() {
                self.buffer.extend_from_slice(tail);
                self.take(&mut out);
            }
            self.buffer.clear();
            payload = rest;
        } else if self.buffer.is_empty() {
            return out;
        }
        self.buffer.extend_from_slice(payload);
        self.take(&mut out);
        out
    }

    /// Takes whole sections from the front. Behind the last one come bytes that are all ones.
    fn take(&mut self, out: &mut Vec<Vec<u8>>) {
        while let [table, high, low, ..] = *self.buffer.as_slice() {
            if table == 0xFF {
                self.buffer.clear();
                return;
            }
            let length = usize::from(u16::from_be_bytes([high & 15, low])).saturating_add(3);
            if self.buffer.len() < length {
                return;
            }
            let rest = self.buffer.split_off(length);
            let section = std::mem::replace(&mut self.buffer, rest);
            if crc(&section) == 0 {
                out.push(section);
            }
        }
    }
}

/// The checksum of annex A: zero over a section that is whole.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte).wrapping_shl(24), |crc, _| {
            let next = crc.wrapping_shl(1);
            if crc & 0x8000_0000 == 0 { next } else { next ^ 0x04C1_1DB7 }
        })
    })
}

/// Packet identifiers of the program map tables (2.4.4.3).
pub(super) fn program_association(section: &[u8]) -> Vec<u16> {
    let mut r = Reader::new("the program association table", section);
    let mut out = Vec::new();
    if r.u8().ok() != Some(0) || r.skip(7).is_err() {
        return out;
    }
    while r.remaining() >= 8 {
        let (Ok(program), Ok(pid)) = (r.u16(), r.u16()) else { break };
        // Program 0 is the network.
        if program != 0 {
            out.push(pid & 0x1FFF);
        }
    }
    out
}

/// One entry of a program map table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) pid: u16,
    /// `stream_type` (table 2-34).
    pub(super) kind: u8,
    /// ISO 639-2 code.
    pub(super) language: Option<String>,
    /// `private_data_indicator` of the descriptor of that name (2.6.28).
    pub(super) private: Option<[u8; 4]>,
    /// `format_identifier` of a registration descriptor, and what is written behind it.
    pub(super) registration: Option<[u8; 4]>,
    pub(super) registered: Vec<u8>,
    /// Tags of all descriptors.
    pub(super) tags: Vec<u8>,
}

/// What a program map table says.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) streams: Vec<Stream>,
    /// The languages of captions in pictures, by the names that HLS has for them.
    pub(super) captions: Vec<(String, String)>,
}

/// The streams of a program (2.4.4.9).
pub(super) fn program_map(section: &[u8]) -> Program {
    let mut out = Program::default();
    let mut r = Reader::new("the program map table", section);
    let mut parse = || -> sv_codec::Result<()> {
        if r.u8()? != 2 {
            return Ok(());
        }
        r.skip(9)?;
        let info = r.u16()? & 0x0FFF;
        let mut d = Reader::new("the descriptor", r.take(usize::from(info))?);
        while d.remaining() >= 2 {
            let (tag, length) = (d.u8()?, d.u8()?);
            let body = d.take(usize::from(length))?;
            if tag == CAPTIONS {
                caption_services(body, &mut out.captions);
            }
        }
        while r.remaining() >= 9 {
            let kind = r.u8()?;
            let pid = r.u16()? & 0x1FFF;
            let length = r.u16()? & 0x0FFF;
            let mut stream = Stream { pid, kind, ..Stream::default() };
            let mut d = Reader::new("the descriptor", r.take(usize::from(length))?);
            while d.remaining() >= 2 {
                let (tag, length) = (d.u8()?, d.u8()?);
                let body = d.take(usize::from(length))?;
                stream.tags.push(tag);
                match tag {
                    0x05 => stream.registration = body.first_chunk().copied(),
                    0x0A => {
                        stream.language =
                            body.get(..3).and_then(|code| std::str::from_utf8(code).ok()).map(str::to_owned);
                    }
                    CAPTIONS => caption_services(body, &mut out.captions),
                    _ => {}
                }
            }
            out.streams.push(stream);
        }
        Ok(())
    };
    // What was read before a break still counts.
    let _ = parse();
    out
}

/// A `caption_service_descriptor` (ATSC A/65, 6.9.2): six bytes for each service, the first three a language.
fn caption_services(body: &[u8], out: &mut Vec<(String, String)>) {
    let Some((count, services)) = body.split_first() else { return };
    for [a, b, c, which, ..] in services.as_chunks::<6>().0.iter().take(usize::from(count & 0x1F)) {
        let name = match which & 0x80 {
            0 if which & 1 == 0 => "CC1".to_owned(),
            0 => "CC3".to_owned(),
            _ => format!("SERVICE{}", which & 0x3F),
        };
        let code: String = [a, b, c].map(|letter| char::from(letter.to_ascii_lowercase())).iter().collect();
        if let Some(language) = language::tag(&code) {
            out.push((name, language));
        }
    }
}

/// A packet with a program association table and one with a program map table, of one program; more bytes when
/// they don't fit. `version` tells one map from another.
pub(super) fn build(pmt: u16, clock: u16, streams: &[Stream], version: u8) -> Bytes {
    let mut association = BytesMut::new();
    association.put_u16(1);
    association.put_u16(0xE000 | pmt);
    let mut map = BytesMut::new();
    map.put_u16(0xE000 | clock);
    map.put_u16(0xF000);
    for stream in streams {
        let mut descriptors = BytesMut::new();
        if let Some(private) = stream.private {
            descriptors.put_slice(&[0x0F, 4]);
            descriptors.put_slice(&private);
        }
        if let Some(registration) = stream.registration {
            let more = u8::try_from(stream.registered.len()).unwrap_or(0).min(251);
            descriptors.put_slice(&[0x05, more.saturating_add(4)]);
            descriptors.put_slice(&registration);
            descriptors.put_slice(stream.registered.get(..usize::from(more)).unwrap_or_default());
        }
        if let Some(language) = &stream.language {
            descriptors.put_slice(&[0x0A, 4]);
            descriptors.put_slice(language.as_bytes());
            descriptors.put_u8(0);
        }
        map.put_u8(stream.kind);
        map.put_u16(0xE000 | stream.pid);
        map.put_u16(0xF000 | u16::try_from(descriptors.len()).unwrap_or(0));
        map.put_slice(&descriptors);
    }
    let mut out = BytesMut::new();
    packet(&mut out, 0, &section(0, 1, 0, &association));
    packet(&mut out, pmt, &section(2, 1, version, &map));
    out.freeze()
}

/// A section with its head and checksum.
fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len().saturating_add(9)).unwrap_or(0xFFF);
    let [high, low] = length.to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    let mut out =
        vec![table, 0xB0 | (high & 15), low, id_high, id_low, 0xC1 | (version & 31).wrapping_shl(1), 0, 0];
    out.extend_from_slice(body);
    let sum = crc(&out);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

fn packet(out: &mut BytesMut, pid: u16, section: &[u8]) {
    let [high, low] = pid.to_be_bytes();
    let begin = out.len();
    out.put_slice(&[0x47, 0x40 | high, low, 0x10, 0]);
    out.put_slice(section);
    let used = out.len().saturating_sub(begin);
    out.put_bytes(0xFF, used.next_multiple_of(188).saturating_sub(used));
}
