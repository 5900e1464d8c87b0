//! [ITU-T H.265](https://www.itu.int/rec/T-REC-H.265), High Efficiency Video Coding.

mod config;
mod pps;
pub mod sei;
mod slice;
mod sps;

pub use config::Config;
pub use pps::Pps;
pub use slice::Slices;
pub use sps::{ProfileTierLevel, Sps};

/// `nal_unit_type` of a video parameter set.
pub const VPS: u8 = 32;
/// `nal_unit_type` of a sequence parameter set.
pub const SPS: u8 = 33;
/// `nal_unit_type` of a picture parameter set.
pub const PPS: u8 = 34;
/// `nal_unit_type` of an access unit delimiter.
pub const AUD: u8 = 35;
/// `nal_unit_type` of filler data.
pub const FILLER: u8 = 38;
/// `nal_unit_type` of SEI in front of its picture.
pub const PREFIX_SEI: u8 = 39;
/// `nal_unit_type` of SEI behind its picture.
pub const SUFFIX_SEI: u8 = 40;

/// `nal_unit_type` that Dolby Vision has for its RPU: unspecified by H.265.
pub const RPU: u8 = 62;

/// The `nal_unit_type` of a unit (7.4.2.2); 63, which is unspecified, of an empty one.
#[must_use]
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(63, |b| (b >> 1) & 0x3F)
}

/// Whether the unit holds coded picture data: types 0 to 31.
#[must_use]
pub fn is_slice(unit: &[u8]) -> bool {
    unit_type(unit) < 32
}

/// Whether the unit belongs to an intra random access point picture: decoding can start there.
#[must_use]
pub fn is_irap(unit: &[u8]) -> bool {
    matches!(unit_type(unit), 16..=23)
}

/// Whether an access unit, given by its units, is an intra random access point.
#[must_use]
pub fn is_random_access<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> bool {
    units.into_iter().any(is_irap)
}

/// Bits to tell `values` apart: `Ceil(Log2(values))`.
fn ceil_log2(values: u32) -> u32 {
    u32::BITS.saturating_sub(values.saturating_sub(1).leading_zeros())
}
