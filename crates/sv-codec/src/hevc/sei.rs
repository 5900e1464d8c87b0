//! HDR metadata as supplemental enhancement information: HDR10 (annex D.2.28 and D.2.35), and HDR10+
//! as a message of ITU-T T.35 (D.2.6).

use bytes::Bytes;
use sv_core::HdrMetadata;
use sv_core::color::{ContentLight, MasteringDisplay};

use super::{PREFIX_SEI, unit_type};
use crate::h264::sei_payloads;
use crate::{Reader, nal, t35};

const T35: u32 = 4;
const MASTERING: u32 = 137;
const LIGHT: u32 = 144;
/// What is looked at of a unit: what it means for more is beyond all that these messages can be.
const MOST: usize = 4096;

/// The static metadata that the SEI units among `units` carry.
#[must_use]
pub fn hdr<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> HdrMetadata {
    let mut out = HdrMetadata::default();
    for unit in units.into_iter().filter(|unit| unit_type(unit) == PREFIX_SEI) {
        let rbsp = nal::rbsp(unit.get(2..).unwrap_or_default(), MOST);
        for (kind, payload) in sei_payloads(&rbsp) {
            match kind {
                MASTERING => out.mastering = mastering(payload).or(out.mastering),
                LIGHT => out.light = light(payload).or(out.light),
                _ => {}
            }
        }
    }
    out
}

fn mastering(payload: &[u8]) -> Option<MasteringDisplay> {
    let mut r = Reader::new("the mastering display SEI", payload);
    let mut point = || Some([r.u16().ok()?, r.u16().ok()?]);
    let (green, blue, red, white) = (point()?, point()?, point()?, point()?);
    let (max_luminance, min_luminance) = (r.u32().ok()?, r.u32().ok()?);
    Some(MasteringDisplay { primaries: [red, green, blue], white, max_luminance, min_luminance })
}

fn light(payload: &[u8]) -> Option<ContentLight> {
    let mut r = Reader::new("the content light SEI", payload);
    Some(ContentLight { max_content: r.u16().ok()?, max_average: r.u16().ok()? })
}

/// A prefix SEI unit with the metadata; `None` when there is none.
#[must_use]
pub fn build(hdr: &HdrMetadata) -> Option<Bytes> {
    let mut rbsp = Vec::new();
    if let Some(mastering) = hdr.mastering {
        rbsp.extend([137, 24]);
        let [red, green, blue] = mastering.primaries;
        for value in [green, blue, red, mastering.white].as_flattened() {
            rbsp.extend(value.to_be_bytes());
        }
        rbsp.extend(mastering.max_luminance.to_be_bytes());
        rbsp.extend(mastering.min_luminance.to_be_bytes());
    }
    if let Some(light) = hdr.light {
        rbsp.extend([144, 4]);
        rbsp.extend(light.max_content.to_be_bytes());
        rbsp.extend(light.max_average.to_be_bytes());
    }
    (!rbsp.is_empty()).then(|| finish(&[PREFIX_SEI.wrapping_shl(1), 1], rbsp))
}

/// The HDR10+ message that the SEI units among `units` carry, from its country code on.
#[must_use]
pub fn hdr10_plus<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Option<Bytes> {
    units.into_iter().filter(|unit| unit_type(unit) == PREFIX_SEI).find_map(|unit| {
        let rbsp = nal::rbsp(unit.get(2..)?, MOST);
        let mut payloads = sei_payloads(&rbsp);
        let found = payloads.find(|(kind, payload)| is_hdr10_plus(*kind, payload));
        found.map(|(_, payload)| Bytes::copy_from_slice(payload))
    })
}

/// Whether a message is static metadata of HDR10.
#[must_use]
pub fn is_static(kind: u32, _: &[u8]) -> bool {
    matches!(kind, MASTERING | LIGHT)
}

/// Whether a message is HDR10+.
#[must_use]
pub fn is_hdr10_plus(kind: u32, payload: &[u8]) -> bool {
    kind == T35 && t35::is_hdr10_plus(payload)
}

/// A prefix SEI unit with one message of ITU-T T.35, from its country code on.
#[must_use]
pub fn build_t35(message: &[u8]) -> Bytes {
    let mut rbsp = Vec::with_capacity(message.len().saturating_add(16));
    put(&mut rbsp, T35, message);
    finish(&[PREFIX_SEI.wrapping_shl(1), 1], rbsp)
}

/// Type, size and payload of a message (7.3.5).
fn put(rbsp: &mut Vec<u8>, kind: u32, payload: &[u8]) {
    for mut value in [usize::try_from(kind).unwrap_or(0), payload.len()] {
        while value >= 255 {
            rbsp.push(255);
            value = value.saturating_sub(255);
        }
        rbsp.push(u8::try_from(value).unwrap_or(0));
    }
    rbsp.extend_from_slice(payload);
}

fn finish(header: &[u8], mut rbsp: Vec<u8>) -> Bytes {
    rbsp.push(0x80);
    [header, &nal::escape(&rbsp)].concat().into()
}

/// An SEI unit without the messages, by type and payload, that are unwanted: `None` when nothing else
/// is in it.
#[must_use]
pub fn without(unit: &[u8], unwanted: impl Fn(u32, &[u8]) -> bool) -> Option<Bytes> {
    let (header, body) = unit.split_at_checked(2)?;
    let rbsp = nal::rbsp(body, unit.len());
    let mut out = Vec::new();
    for (kind, payload) in sei_payloads(&rbsp).filter(|(kind, payload)| !unwanted(*kind, payload)) {
        put(&mut out, kind, payload);
    }
    (!out.is_empty()).then(|| finish(header, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn metadata_survives(primaries: [[u16; 2]; 3], white: [u16; 2], max_luminance: u32, min_luminance: u32, max_content: u16, max_average: u16) {
            let hdr = HdrMetadata {
                mastering: Some(MasteringDisplay { primaries, white, max_luminance, min_luminance }),
                light: Some(ContentLight { max_content, max_average }),
            };
            let unit = build(&hdr).unwrap();
            prop_assert_eq!(super::hdr([&unit[..]]), hdr);
            prop_assert_eq!(without(&unit, is_static), None);
        }

        #[test]
        fn hdr10_plus_survives(rest in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let message = [&[0xB5, 0, 0x3C, 0, 1][..], &rest].concat();
            let unit = build_t35(&message);
            prop_assert_eq!(hdr10_plus([&unit[..]]).unwrap(), message);
            prop_assert_eq!(without(&unit, is_hdr10_plus), None);
            prop_assert_eq!(without(&unit, is_static).unwrap(), unit);
        }

        #[test]
        fn other_messages_stay(kind in prop_oneof![0u8..137, 145u8..254], payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut rbsp = vec![kind];
            rbsp.extend(std::iter::repeat_n(255, payload.len() / 255));
            rbsp.push((payload.len() % 255) as u8);
            rbsp.extend(&payload);
            let (alone, mut both) = (rbsp.clone(), vec![144, 4, 0, 9, 0, 3]);
            both.extend(rbsp);
            let unit = |mut rbsp: Vec<u8>| {
                rbsp.push(0x80);
                [&[PREFIX_SEI << 1, 1][..], &nal::escape(&rbsp)].concat()
            };
            prop_assert_eq!(without(&unit(both), is_static).unwrap(), unit(alone));
        }
    }
}
