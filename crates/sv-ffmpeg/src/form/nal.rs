//! H.264 and HEVC: start codes to lengths, parameter sets to `avcC` and `hvcC`
//! (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1).

use bytes::Bytes;

use super::Sampling;

/// The NAL units between start codes (Annex B of both standards).
pub(crate) fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start(data);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = find_start(unit);
        let (this, next) = match end {
            Some(at) => (&unit[..at], Some(&unit[at + 3..])),
            None => (unit, None),
        };
        rest = next;
        // Zeros before the next start code belong to it, and a unit never ends in one.
        let len = this.iter().rposition(|&b| b != 0).map_or(0, |p| p + 1);
        Some(&this[..len])
    })
    .filter(|unit| !unit.is_empty())
}

fn after_start(data: &[u8]) -> Option<&[u8]> {
    find_start(data).map(|at| &data[at + 3..])
}

fn find_start(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(window) = data.get(at..at + 3) {
        // Looking at the third byte first skips most positions two or three at a time.
        match window {
            [0, 0, 1] => return Some(at),
            [_, _, 0] => at += 1,
            [_, _, _] => at += if window[2] > 1 { 3 } else { 1 },
            _ => return None,
        }
    }
    None
}

/// Whether the bytes begin with a start code.
pub(crate) fn is_annex_b(data: &[u8]) -> bool {
    data.starts_with(&[0, 0, 1]) || data.starts_with(&[0, 0, 0, 1])
}

fn unit_type(unit: &[u8], hevc: bool) -> u8 {
    match unit.first() {
        Some(b) if hevc => (b >> 1) & 0x3f,
        Some(b) => b & 0x1f,
        None => 0,
    }
}

/// Whether the unit is an encoder's calling card (user data SEI): the same in every chunk of a
/// film but the first, so chunks made apart would differ by it.
fn is_calling_card(unit: &[u8], hevc: bool) -> bool {
    const USER_DATA_UNREGISTERED: u8 = 5;
    match unit_type(unit, hevc) {
        39 if hevc => unit.get(2) == Some(&USER_DATA_UNREGISTERED),
        6 if !hevc => unit.get(1) == Some(&USER_DATA_UNREGISTERED),
        _ => false,
    }
}

/// Start codes become lengths of four bytes. Everything else stays, parameter sets included.
pub(crate) fn to_lengths(data: &[u8], hevc: bool) -> Vec<u8> {
    join(units(data), data.len(), hevc, false)
}

/// As [`to_lengths`], for what our own encoders make: without their calling card.
pub(crate) fn encoded_to_lengths(data: &[u8], hevc: bool) -> Vec<u8> {
    join(units(data), data.len(), hevc, true)
}

fn join<'a>(units: impl Iterator<Item = &'a [u8]>, size: usize, hevc: bool, encoded: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 16);
    for unit in units {
        if encoded && is_calling_card(unit, hevc) {
            continue;
        }
        let Ok(len) = u32::try_from(unit.len()) else { continue };
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(unit);
    }
    out
}

/// The body of `avcC` from Annex B parameter sets, or `None` without both kinds.
pub(crate) fn avcc(extradata: &[u8], sampling: Sampling) -> Option<Bytes> {
    let of = |kind| units(extradata).filter(move |u| unit_type(u, false) == kind && u.len() <= 0xffff);
    let (sets, pictures): (Vec<_>, Vec<_>) = (of(7).take(31).collect(), of(8).take(255).collect());
    let [_, profile, compatibility, level, ..] = **sets.first()? else { return None };
    pictures.first()?;
    let mut out = vec![1, profile, compatibility, level, 0xff, 0xe0 | sets.len() as u8];
    sets.iter().for_each(|unit| push_unit(&mut out, unit));
    out.push(pictures.len() as u8);
    pictures.iter().for_each(|unit| push_unit(&mut out, unit));
    if !matches!(profile, 66 | 77 | 88) {
        let depth = 0xf8 | sampling.depth.saturating_sub(8);
        out.extend_from_slice(&[0xfc | sampling.chroma_format(), depth, depth, 0]);
    }
    Some(out.into())
}

/// The body of `hvcC` from Annex B parameter sets, or `None` when one of the three is missing.
pub(crate) fn hvcc(extradata: &[u8], sampling: Sampling) -> Option<Bytes> {
    const VPS: u8 = 32;
    const SPS: u8 = 33;
    const PPS: u8 = 34;
    const SEI: u8 = 39;
    let of = |kind| -> Vec<&[u8]> {
        units(extradata)
            .filter(move |u| unit_type(u, true) == kind && u.len() <= 0xffff && !is_calling_card(u, true))
            .take(64)
            .collect()
    };
    let arrays = [(VPS, of(VPS)), (SPS, of(SPS)), (PPS, of(PPS)), (SEI, of(SEI))];
    if arrays.iter().take(3).any(|(_, units)| units.is_empty()) {
        return None;
    }
    // Two bytes of NAL header, then vps id, sub-layers and nesting in one, then the profile and
    // level in twelve (ITU-T H.265, 7.3.2.2.1 and 7.3.3).
    let sps = unescaped(arrays[1].1.first()?, 15);
    let (&nesting, profile) = (sps.get(2)?, sps.get(3..15)?);
    let layers = ((nesting >> 1) & 7) + 1;
    let mut out = vec![1];
    out.extend_from_slice(profile);
    let depth = 0xf8 | sampling.depth.saturating_sub(8);
    out.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | sampling.chroma_format(), depth, depth, 0, 0]);
    out.push((layers << 3) | ((nesting & 1) << 2) | 3);
    let present = arrays.iter().filter(|(_, units)| !units.is_empty());
    out.push(present.clone().count() as u8);
    for (kind, units) in present {
        out.push(0x80 | kind);
        out.extend_from_slice(&(units.len() as u16).to_be_bytes());
        units.iter().for_each(|unit| push_unit(&mut out, unit));
    }
    Some(out.into())
}

fn push_unit(out: &mut Vec<u8>, unit: &[u8]) {
    out.extend_from_slice(&(unit.len() as u16).to_be_bytes());
    out.extend_from_slice(unit);
}

/// The first `len` bytes without emulation prevention.
fn unescaped(unit: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len);
    for (i, &byte) in unit.iter().enumerate() {
        if out.len() == len {
            break;
        }
        if byte == 3 && i >= 2 && unit[i - 1] == 0 && unit[i - 2] == 0 {
            continue;
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_end_before_the_next_start_code() {
        let data = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 4, 0, 5];
        let found: Vec<&[u8]> = units(&data).collect();
        assert_eq!(found, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 4, 0, 5]]);
        assert_eq!(to_lengths(&data[6..], false), [0, 0, 0, 2, 0x68, 3, 0, 0, 0, 4, 0x65, 4, 0, 5]);
        assert_eq!(units(&[1, 2, 3]).count(), 0);
        assert_eq!(units(&[0, 0]).count(), 0);
    }
}
