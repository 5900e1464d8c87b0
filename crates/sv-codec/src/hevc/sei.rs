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
        }
    }
}
