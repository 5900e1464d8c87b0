//! HDR10 metadata as metadata OBUs (5.8.3 and 5.8.4), in our units.

use sv_core::HdrMetadata;
use sv_core::color::{ContentLight, MasteringDisplay};

use super::obu::leb128;
use super::{Obu, obus};
use crate::Reader;

/// Whether a metadata payload is the static metadata of HDR10.
pub(super) fn is_static(payload: &[u8]) -> bool {
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
