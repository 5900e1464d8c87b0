//! HDR10 metadata as supplemental enhancement information (annex D.2.28 and D.2.35).

use bytes::Bytes;
use sv_core::HdrMetadata;
use sv_core::color::{ContentLight, MasteringDisplay};

use super::{PREFIX_SEI, unit_type};
use crate::h264::sei_payloads;
use crate::{Reader, nal};

/// The static metadata that the SEI units among `units` carry.
#[must_use]
pub fn hdr<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> HdrMetadata {
    let mut out = HdrMetadata::default();
    for unit in units.into_iter().filter(|unit| unit_type(unit) == PREFIX_SEI) {
        let rbsp = nal::rbsp(unit.get(2..).unwrap_or_default(), 4096);
        for (kind, payload) in sei_payloads(&rbsp) {
            match kind {
                137 => out.mastering = mastering(payload).or(out.mastering),
                144 => out.light = light(payload).or(out.light),
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
    if rbsp.is_empty() {
        return None;
    }
    rbsp.push(0x80);
    let mut unit = vec![PREFIX_SEI.wrapping_shl(1), 1];
    unit.extend(nal::escape(&rbsp));
    Some(Bytes::from(unit))
}

/// An SEI unit without the metadata of HDR10: `None` when nothing else is in it.
#[must_use]
pub fn without_hdr(unit: &[u8]) -> Option<Bytes> {
    let (header, body) = unit.split_at_checked(2)?;
    let rbsp = nal::rbsp(body, unit.len());
    let mut out = Vec::new();
    for (kind, payload) in sei_payloads(&rbsp).filter(|(kind, _)| !matches!(kind, 137 | 144)) {
        for mut value in [usize::try_from(kind).ok()?, payload.len()] {
            while value >= 255 {
                out.push(255);
                value = value.saturating_sub(255);
            }
            out.push(u8::try_from(value).ok()?);
        }
        out.extend_from_slice(payload);
    }
    if out.is_empty() {
        return None;
    }
    out.push(0x80);
    Some([header, &nal::escape(&out)].concat().into())
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
            prop_assert_eq!(without_hdr(&unit), None);
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
            prop_assert_eq!(without_hdr(&unit(both)).unwrap(), unit(alone));
        }
    }
}
