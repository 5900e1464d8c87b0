//! [ITU-T H.264](https://www.itu.int/rec/T-REC-H.264), Advanced Video Coding.

mod config;
mod pps;
mod slice;
mod sps;

pub use config::Config;
pub use pps::Pps;
pub use slice::Slices;
pub use sps::Sps;

/// `nal_unit_type` of a coded slice that is not of an IDR picture.
pub const SLICE: u8 = 1;
/// `nal_unit_type` of slice data partition A.
pub const PARTITION_A: u8 = 2;
/// `nal_unit_type` of a coded slice of an IDR picture.
pub const IDR: u8 = 5;
/// `nal_unit_type` of supplemental enhancement information.
pub const SEI: u8 = 6;
/// `nal_unit_type` of a sequence parameter set.
pub const SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub const PPS: u8 = 8;
/// `nal_unit_type` of an access unit delimiter.
pub const AUD: u8 = 9;
/// `nal_unit_type` of filler data.
pub const FILLER: u8 = 12;

/// The `nal_unit_type` of a unit (7.4.1); 0, which is unspecified, of an empty one.
#[must_use]
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |b| b & 0x1F)
}

/// Whether the unit holds coded picture data: types 1 to 5.
#[must_use]
pub fn is_slice(unit: &[u8]) -> bool {
    matches!(unit_type(unit), 1..=5)
}

/// Whether an access unit, given by its units, can be decoded without any before it: it holds an
/// IDR picture.
#[must_use]
pub fn is_idr<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> bool {
    units.into_iter().any(|unit| unit_type(unit) == IDR)
}

/// Whether the unit is an SEI with a recovery point message (annex D.1.8): decoding can start
/// there although the picture is no IDR picture.
#[must_use]
pub fn is_recovery_point(unit: &[u8]) -> bool {
    if unit_type(unit) != SEI {
        return false;
    }
    let rbsp = crate::nal::rbsp(unit.get(1..).unwrap_or_default(), 4096);
    sei_payloads(&rbsp).any(|(kind, _)| kind == 6)
}

/// The messages of an SEI unit's RBSP, without the unit's header: type and payload (7.3.2.3.1).
pub fn sei_payloads(rbsp: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = rbsp;
    std::iter::from_fn(move || {
        // At least type, size and the trailing bits' byte.
        if rest.len() < 3 {
            return None;
        }
        let mut number = || {
            let mut value = 0u32;
            loop {
                let (byte, tail) = rest.split_first()?;
                rest = tail;
                value = value.saturating_add(u32::from(*byte));
                if *byte != 0xFF {
                    return Some(value);
                }
            }
        };
        let kind = number()?;
        let size = usize::try_from(number()?).ok()?;
        let (payload, tail) = rest.split_at_checked(size)?;
        rest = tail;
        Some((kind, payload))
    })
}
