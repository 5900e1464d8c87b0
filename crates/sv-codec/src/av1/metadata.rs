//! HDR metadata as metadata OBUs: HDR10 (5.8.3 and 5.8.4), in our units, and messages of ITU-T
//! T.35 (5.8.2), which HDR10+ and Dolby Vision are.

use bytes::{BufMut, Bytes, BytesMut};
use sv_core::HdrMetadata;
use sv_core::color::{ContentLight, MasteringDisplay};

use super::obu::leb128;
use super::{Obu, obus};
use crate::Reader;

/// Whether a metadata payload is the static metadata of HDR10.
#[must_use]
pub fn is_static(payload: &[u8]) -> bool {
    matches!(leb128(&mut Reader::new("the metadata OBU", payload)), Ok(1 | 2))
}

/// The static metadata that the units of a packet or configuration carry.
#[must_use]
pub fn hdr(units: &[u8]) -> HdrMetadata {
    let mut out = HdrMetadata::default();
    for obu in obus(units).map_while(Result::ok).filter(|obu| obu.kind == Obu::METADATA) {
        let mut r = Reader::new("the metadata OBU", obu.payload);
        match leb128(&mut r) {
            Ok(1) => out.light = light(&mut r).or(out.light),
            Ok(2) => out.mastering = mastering(&mut r).or(out.mastering),
            _ => {}
        }
    }
    out
}

/// The message of ITU-T T.35 in a metadata payload, from its country code on.
#[must_use]
pub fn t35(payload: &[u8]) -> Option<&[u8]> {
    let mut r = Reader::new("the metadata OBU", payload);
    let 4 = leb128(&mut r).ok()? else { return None };
    let rest = r.rest();
    // Behind the message are trailing bits: a one, and zeros to no particular length.
    let end = rest.iter().rposition(|byte| *byte != 0).filter(|at| rest.get(*at) == Some(&0x80))?;
    rest.get(..end)
}

/// A metadata unit with one message of ITU-T T.35, from its country code on.
#[must_use]
pub fn build_t35(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len().saturating_add(8));
    out.put_u8(Obu::METADATA.wrapping_shl(3) | 2);
    let mut size = message.len().saturating_add(2);
    while size >= 0x80 {
        out.put_u8(u8::try_from(size & 0x7F).unwrap_or(0) | 0x80);
        size = size.wrapping_shr(7);
    }
    out.put_u8(u8::try_from(size).unwrap_or(0));
    out.put_u8(4);
    out.put_slice(message);
    out.put_u8(0x80);
    out.freeze()
}

/// Metadata units with the static metadata, each with its size; `None` when there is none.
///
/// AV1 has finer steps than our units, but for the largest luminance: that is exact to 1/256 cd/m².
#[must_use]
pub fn build(hdr: &HdrMetadata) -> Option<Bytes> {
    let mut out = BytesMut::new();
    let mut unit = |kind: u8, payload: &[u8]| {
        out.put_u8(Obu::METADATA.wrapping_shl(3) | 2);
        // Kind, payload and trailing bits: always less than what a second byte of size would take.
        out.put_u8(u8::try_from(payload.len().saturating_add(2)).unwrap_or(0));
        out.put_u8(kind);
        out.put_slice(payload);
        out.put_u8(0x80);
    };
    if let Some(light) = hdr.light {
        unit(1, [light.max_content.to_be_bytes(), light.max_average.to_be_bytes()].as_flattened());
    }
    if let Some(mastering) = hdr.mastering {
        let fraction = |value: u64, per_unit: u64, bits: u32| {
            let half = per_unit.wrapping_shr(1);
            value.wrapping_shl(bits).saturating_add(half).checked_div(per_unit).unwrap_or(0)
        };
        let mut payload = Vec::with_capacity(24);
        let [red, green, blue] = mastering.primaries;
        for value in [red, green, blue, mastering.white].as_flattened() {
            let value = fraction(u64::from(*value), 50_000, 16);
            payload.extend(u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes());
        }
        for (value, bits) in [(mastering.max_luminance, 8), (mastering.min_luminance, 14)] {
            let value = fraction(u64::from(value), 10_000, bits);
            payload.extend(u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes());
        }
        unit(2, &payload);
    }
    (!out.is_empty()).then(|| out.freeze())
}

fn light(r: &mut Reader<'_>) -> Option<ContentLight> {
    Some(ContentLight { max_content: r.u16().ok()?, max_average: r.u16().ok()? })
}

/// AV1 counts in binary fractions: chromaticities in 1/65536, luminances in 1/256 and 1/16384.
fn mastering(r: &mut Reader<'_>) -> Option<MasteringDisplay> {
    let scaled = |value: u64, times: u64, bits: u32| {
        let half = 1u64.wrapping_shl(bits.saturating_sub(1));
        value.saturating_mul(times).saturating_add(half).wrapping_shr(bits)
    };
    let mut point = || {
        let mut one = || u16::try_from(scaled(u64::from(r.u16().ok()?), 50_000, 16)).ok();
        Some([one()?, one()?])
    };
    let primaries = [point()?, point()?, point()?];
    let white = point()?;
    let max = scaled(u64::from(r.u32().ok()?), 10_000, 8);
    let min = scaled(u64::from(r.u32().ok()?), 10_000, 14);
    Some(MasteringDisplay {
        primaries,
        white,
        max_luminance: u32::try_from(max).unwrap_or(u32::MAX),
        min_luminance: u32::try_from(min).unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_survive(rest in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let message = [&[0xB5, 0, 0x3C, 0, 1][..], &rest].concat();
            let unit = build_t35(&message);
            let found = obus(&unit).next().unwrap().unwrap();
            prop_assert_eq!(found.whole, &unit[..]);
            prop_assert_eq!(t35(found.payload).unwrap(), &message[..]);
        }
    }

    proptest! {
        #[test]
        fn metadata_survives(
            primaries in prop::array::uniform3(prop::array::uniform2(0u16..50_000)),
            white in prop::array::uniform2(0u16..50_000),
            nits in 0u32..=10_000,
            min_luminance in 0u32..100_000,
            max_content: u16,
            max_average: u16,
        ) {
            let mastering =
                MasteringDisplay { primaries, white, max_luminance: nits * 10_000, min_luminance };
            let light = ContentLight { max_content, max_average };
            let hdr = HdrMetadata { mastering: Some(mastering), light: Some(light) };
            let units = build(&hdr).unwrap();
            prop_assert_eq!(super::hdr(&units), hdr);
            prop_assert!(obus(&units).all(|obu| is_static(obu.unwrap().payload)));
        }
    }
}
