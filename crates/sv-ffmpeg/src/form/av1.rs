//! AV1: temporal delimiters out, sequence header to `av1C`
//! ([AV1-ISOBMFF](https://aomediacodec.github.io/av1-isobmff/#av1codecconfigurationbox), 2.3).

use std::borrow::Cow;

use bytes::Bytes;

use super::Sampling;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;

/// The open bitstream units of a temporal unit: type, whole unit, payload (AV1, 5.3.1).
fn units(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let &header = data.first()?;
        let mut at = 1 + usize::from(header & 4 != 0);
        let size = if header & 2 != 0 {
            let mut size = 0u64;
            for i in 0..8 {
                let &byte = data.get(at)?;
                at += 1;
                size |= u64::from(byte & 0x7f) << (7 * i);
                if byte & 0x80 == 0 {
                    break;
                }
            }
            usize::try_from(size).ok()?
        } else {
            data.len().checked_sub(at)?
        };
        let end = at.checked_add(size)?;
        let (unit, payload) = (data.get(..end)?, data.get(at..end)?);
        data = &data[end..];
        Some(((header >> 3) & 15, unit, payload))
    })
}

/// The temporal unit without its delimiter.
pub(crate) fn strip(data: &[u8]) -> Cow<'_, [u8]> {
    match units(data).next() {
        // Nearly always it is the first unit and the only one, so nothing need be copied.
        Some((TEMPORAL_DELIMITER, unit, _)) => Cow::Borrowed(&data[unit.len()..]),
        _ => Cow::Borrowed(data),
    }
}

/// The body of `av1C` from a sequence header somewhere in `data`.
pub(crate) fn av1c(data: &[u8], sampling: Sampling) -> Option<Bytes> {
    let (_, unit, payload) = units(data).find(|(kind, ..)| *kind == SEQUENCE_HEADER)?;
    let (profile, level, tier) = operating_point(payload)?;
    let (high, twelve) = (sampling.depth > 8, sampling.depth > 10);
    let mut out = vec![
        0x81,
        (profile << 5) | level,
        (tier << 7)
            | (u8::from(high) << 6)
            | (u8::from(twelve) << 5)
            | (u8::from(sampling.mono) << 4)
            | ((sampling.chroma.0 & 1) << 3)
            | ((sampling.chroma.1 & 1) << 2),
        0,
    ];
    out.extend_from_slice(unit);
    Some(out.into())
}

/// Profile, level and tier of the first operating point (AV1, 5.5.1).
fn operating_point(header: &[u8]) -> Option<(u8, u8, u8)> {
    let mut at = 0usize;
    let mut bits = |n: u32| -> Option<u32> {
        let mut value = 0;
        for _ in 0..n {
            let byte = header.get(at / 8)?;
            value = (value << 1) | u32::from((byte >> (7 - at % 8)) & 1);
            at += 1;
        }
        Some(value)
    };
    let profile = bits(3)? as u8;
    bits(1)?;
    if bits(1)? == 1 {
        return Some((profile, bits(5)? as u8, 0));
    }
    if bits(1)? == 1 {
        bits(32)?;
        bits(32)?;
        if bits(1)? == 1 {
            let zeros = (0..32).take_while(|_| bits(1) == Some(0)).count();
            bits(zeros as u32)?;
        }
        if bits(1)? == 1 {
            bits(5 + 32 + 5 + 5)?;
        }
    }
    bits(1)?;
    bits(5 + 12)?;
    let level = bits(5)? as u8;
    let tier = if level > 7 { bits(1)? as u8 } else { 0 };
    Some((profile, level, tier))
}
