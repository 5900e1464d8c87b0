//! Network abstraction layer units: what H.264 and HEVC share.
//!
//! Two framings exist. In a byte stream (H.264 and H.265, annex B) start codes stand between the
//! units; in MP4 (ISO/IEC 14496-15) a length stands before each. Inside both, an emulation
//! prevention byte follows every two zero bytes that would otherwise look like a start code.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Result};

/// One unit and where it lies in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// Where its header byte stands, from the start of the packet.
    pub offset: usize,
    /// The unit: header and payload, without start code or length.
    pub data: &'a [u8],
}

/// Walks the length-prefixed units of a packet as MP4 stores it.
///
/// `length_size` is 1 to 4, as the configuration record says. A length that reaches beyond the
/// packet ends the walk with an error.
#[must_use]
pub fn units(packet: &[u8], length_size: u8) -> Units<'_> {
    Units { packet, pos: 0, length_size: usize::from(length_size.clamp(1, 4)) }
}

/// See [`units`].
#[derive(Clone, Debug)]
pub struct Units<'a> {
    packet: &'a [u8],
    pos: usize,
    length_size: usize,
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<Unit<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.packet.get(self.pos..).filter(|rest| !rest.is_empty())?;
        let offset = self.pos.saturating_add(self.length_size);
        let unit = rest.split_at_checked(self.length_size).and_then(|(prefix, body)| {
            let length = prefix.iter().fold(0u32, |n, b| n.wrapping_shl(8) | u32::from(*b));
            body.get(..usize::try_from(length).ok()?)
        });
        match unit {
            Some(data) => {
                self.pos = offset.saturating_add(data.len());
                Some(Ok(Unit { offset, data }))
            }
            None => {
                let offset = std::mem::replace(&mut self.pos, self.packet.len());
                Some(Err(Error::Truncated { what: "the NAL unit", offset }))
            }
        }
    }
}

/// Walks the units of a byte stream (annex B). Zero bytes around start codes belong to no unit.
#[must_use]
pub fn annex_b(stream: &[u8]) -> AnnexB<'_> {
    let pos = start_code(stream, 0).map_or(stream.len(), |at| at.saturating_add(3));
    AnnexB { stream, pos }
}

/// See [`annex_b`].
#[derive(Clone, Debug)]
pub struct AnnexB<'a> {
    stream: &'a [u8],
    pos: usize,
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.pos < self.stream.len() {
            let offset = self.pos;
            let end = start_code(self.stream, offset).unwrap_or(self.stream.len());
            self.pos = end.saturating_add(3);
            let data = self.stream.get(offset..end).unwrap_or_default();
            let length = data.iter().rposition(|b| *b != 0).map_or(0, |last| last.saturating_add(1));
            if let Some(data) = data.get(..length).filter(|data| !data.is_empty()) {
                return Some(Unit { offset, data });
            }
        }
        None
    }
}

/// Where the next `00 00 01` stands at or behind `from`.
fn start_code(stream: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(stream.get(from..)?, &[0, 0, 1]).map(|at| from.saturating_add(at))
}

/// Writes units with 4-byte lengths: the form of a packet in MP4.
#[must_use]
pub fn length_prefixed<'a>(units: impl IntoIterator<Item = &'a [u8]> + Clone) -> Bytes {
    let size = units.clone().into_iter().fold(0usize, |n, u| n.saturating_add(u.len()).saturating_add(4));
    let mut out = BytesMut::with_capacity(size);
    for unit in units {
        // A unit longer than 4 GiB cannot be in memory that `Limits` let in.
        if let Ok(length) = u32::try_from(unit.len()) {
            out.put_u32(length);
            out.put_slice(unit);
        }
    }
    out.freeze()
}

/// A byte stream from a length-prefixed packet: 4-byte start codes, `before` first (parameter sets).
///
/// # Errors
/// [`Error::Truncated`] when a length reaches beyond the packet.
pub fn to_annex_b<'a>(
    packet: &[u8],
    length_size: u8,
    before: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Bytes> {
    let mut out = BytesMut::with_capacity(packet.len().saturating_add(256));
    for unit in before {
        out.put_slice(&[0, 0, 0, 1]);
        out.put_slice(unit);
    }
    for unit in units(packet, length_size) {
        out.put_slice(&[0, 0, 0, 1]);
        out.put_slice(unit?.data);
    }
    Ok(out.freeze())
}

/// The raw byte sequence payload: the unit without emulation prevention bytes (H.264, 7.3.1).
///
/// Stops after `max` bytes of output, so that a look at a header never costs a copy of a picture.
#[must_use]
pub fn rbsp(unit: &[u8], max: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len().min(max));
    let mut zeros = 0u8;
    for byte in unit {
        if out.len() >= max {
            break;
        }
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros.saturating_add(1) } else { 0 };
        out.push(*byte);
    }
    out
}

/// Bytes in which most slice headers end.
const FRONT: usize = 64;

/// How many bytes of the unit hold what `parse` finds at the front of its [`rbsp`], which it says the length of: a slice
/// header. It is shown as little as it needs, for units are long and headers short.
pub(crate) fn prefix(unit: &[u8], parse: impl Fn(&[u8]) -> Result<usize>) -> Result<usize> {
    let front = unit.get(..FRONT.min(unit.len())).unwrap_or_default();
    // Two zero bytes stand in front of each byte that prevents emulation: without them nothing needs to be taken out.
    let pairs = front.iter().zip(front.iter().skip(1));
    if !pairs.fold(false, |found, (a, b)| found | (a | b == 0)) {
        match parse(front) {
            Err(Error::Truncated { .. }) if front.len() < unit.len() => {}
            other => return other,
        }
    }
    for most in [FRONT, 1024] {
        let some = rbsp(unit, most);
        match parse(&some) {
            Err(Error::Truncated { .. }) if some.len() < unit.len() => {}
            other => return Ok(raw_len(unit, other?)),
        }
    }
    Ok(raw_len(unit, parse(&rbsp(unit, usize::MAX))?))
}

/// How many bytes of the unit hold the first `rbsp_len` bytes of its [`rbsp`].
#[must_use]
pub fn raw_len(unit: &[u8], rbsp_len: usize) -> usize {
    let (mut zeros, mut seen) = (0u8, 0usize);
    for (index, byte) in unit.iter().enumerate() {
        if seen >= rbsp_len {
            return index;
        }
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros.saturating_add(1) } else { 0 };
        seen = seen.saturating_add(1);
    }
    unit.len()
}

/// Inserts emulation prevention bytes: the inverse of [`rbsp`].
#[must_use]
pub fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len().saturating_add(8));
    let mut zeros = 0u8;
    for byte in rbsp {
        if zeros >= 2 && *byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros.saturating_add(1) } else { 0 };
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn start_codes_of_both_lengths() {
        let stream = [9, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0, 0, 3, 0, 5, 0, 0];
        let found: Vec<_> = annex_b(&stream).map(|u| (u.offset, u.data.to_vec())).collect();
        assert_eq!(found, [(5, vec![0x67, 1, 2]), (11, vec![0x68, 3]), (17, vec![0x65, 0, 0, 3, 0, 5])]);
    }

    #[test]
    fn a_length_beyond_the_packet_is_an_error_once() {
        let found: Vec<_> = units(&[0, 0, 0, 1, 0x65, 0, 0, 0, 9, 1], 4).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Ok(Unit { offset: 4, data: &[0x65] }));
        assert_eq!(found[1], Err(Error::Truncated { what: "the NAL unit", offset: 5 }));
    }

    proptest! {
        #[test]
        fn escaping_is_undone(data in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(3), any::<u8>()], 0..200)) {
            let escaped = escape(&data);
            prop_assert!(start_code(&escaped, 0).is_none());
            prop_assert_eq!(&rbsp(&escaped, usize::MAX), &data);
            for n in 0..data.len() {
                let raw = raw_len(&escaped, n);
                prop_assert_eq!(&rbsp(&escaped[..raw], usize::MAX)[..], &data[..n]);
            }
        }

        #[test]
        fn framings_agree(units_in in prop::collection::vec(prop::collection::vec(1u8.., 1..40), 0..8)) {
            let packet = length_prefixed(units_in.iter().map(Vec::as_slice));
            let back: Vec<Vec<u8>> = units(&packet, 4).map(|u| u.unwrap().data.to_vec()).collect();
            prop_assert_eq!(&back, &units_in);
            let stream = to_annex_b(&packet, 4, []).unwrap();
            let back: Vec<Vec<u8>> = annex_b(&stream).map(|u| u.data.to_vec()).collect();
            prop_assert_eq!(&back, &units_in);
        }
    }
}
