//! Open bitstream units (5.3).

use bytes::{BufMut, Bytes, BytesMut};

use super::Sequence;
use crate::{BitReader, Error, Reader, Result};

/// One unit and where it lies in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obu<'a> {
    /// `obu_type`.
    pub kind: u8,
    /// Where its header begins, from the start of the packet.
    pub offset: usize,
    /// The whole unit, header and size included.
    pub whole: &'a [u8],
    /// What follows header and size.
    pub payload: &'a [u8],
}

impl Obu<'_> {
    /// `obu_type` of a sequence header.
    pub const SEQUENCE_HEADER: u8 = 1;
    /// `obu_type` of a temporal delimiter.
    pub const TEMPORAL_DELIMITER: u8 = 2;
    /// `obu_type` of a frame header.
    pub const FRAME_HEADER: u8 = 3;
    /// `obu_type` of a tile group.
    pub const TILE_GROUP: u8 = 4;
    /// `obu_type` of metadata.
    pub const METADATA: u8 = 5;
    /// `obu_type` of a frame: header and tiles together.
    pub const FRAME: u8 = 6;
    /// `obu_type` of padding.
    pub const PADDING: u8 = 15;
}

/// Walks the units of a packet. A unit without a size reaches to the packet's end.
#[must_use]
pub const fn obus(packet: &[u8]) -> Obus<'_> {
    Obus { packet, pos: 0 }
}

/// See [`obus`].
#[derive(Clone, Debug)]
pub struct Obus<'a> {
    packet: &'a [u8],
    pos: usize,
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.packet.get(self.pos..).filter(|rest| !rest.is_empty())?;
        let offset = self.pos;
        let mut parse = || -> Result<Obu<'a>> {
            let mut r = Reader::new("the OBU", rest);
            let header = r.u8()?;
            if header & 0x80 != 0 {
                return Err(r.invalid("the forbidden bit is set"));
            }
            if header & 4 != 0 {
                r.skip(1)?;
            }
            let size = if header & 2 != 0 { leb128(&mut r)? } else { r.remaining() };
            let payload = r.take(size)?;
            let whole = rest.get(..r.pos()).unwrap_or_default();
            self.pos = offset.saturating_add(r.pos());
            Ok(Obu { kind: (header >> 3) & 15, offset, whole, payload })
        };
        let obu = parse();
        if obu.is_err() {
            self.pos = self.packet.len();
        }
        Some(obu)
    }
}

/// `leb128()` (4.10.5), as far as a size can reach.
pub(super) fn leb128(r: &mut Reader<'_>) -> Result<usize> {
    let mut value = 0u64;
    for shift in [0u32, 7, 14, 21, 28, 35, 42, 49] {
        let byte = r.u8()?;
        value |= u64::from(byte & 0x7F).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| r.invalid("a size is beyond any packet"));
        }
    }
    Err(r.invalid("a size has more than eight bytes"))
}

/// A packet as MP4 stores it: without temporal delimiters and padding (AV1-ISOBMFF, 2.4).
///
/// # Errors
/// When a unit is broken.
pub fn without_delimiters(packet: &Bytes) -> Result<Bytes> {
    let unwanted = |obu: &Obu<'_>| matches!(obu.kind, Obu::TEMPORAL_DELIMITER | Obu::PADDING);
    let (mut first, mut later) = (0usize, false);
    for obu in obus(packet) {
        let obu = obu?;
        if !unwanted(&obu) {
            continue;
        }
        if obu.offset == first {
            first = first.saturating_add(obu.whole.len());
        } else {
            later = true;
        }
    }
    if !later {
        return Ok(packet.slice(first.min(packet.len())..));
    }
    let mut out = BytesMut::with_capacity(packet.len());
    for obu in obus(packet) {
        let obu = obu?;
        if !unwanted(&obu) {
            out.put_slice(obu.whole);
        }
    }
    Ok(out.freeze())
}

/// Whether the packet's first frame is a shown key frame (5.9.2), so that decoding can start there
/// given a sequence header.
///
/// # Errors
/// When a unit is broken before a frame is found.
pub fn is_key(packet: &[u8]) -> Result<bool> {
    let mut reduced = false;
    for obu in obus(packet) {
        let obu = obu?;
        match obu.kind {
            Obu::SEQUENCE_HEADER => reduced = Sequence::parse(obu.payload)?.reduced_still_picture,
            Obu::FRAME_HEADER | Obu::FRAME => {
                let mut r = BitReader::new("the AV1 frame header", obu.payload);
                return Ok(reduced || (!r.bit()? && r.bits(2)? == 0 && r.bit()?));
            }
            _ => {}
        }
    }
    Err(Error::Truncated { what: "the AV1 temporal unit", offset: packet.len() })
}
