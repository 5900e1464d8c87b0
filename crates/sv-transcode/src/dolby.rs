//! Dolby Vision: the metadata (RPU) of each picture, which says how to make the studio's picture of
//! the base layer.
//!
//! What is kept is profile 8, whose base layer is HDR10 or HLG; profile 7 becomes that without its
//! enhancement layer. Profile 5 has a base layer in colours of its own (IPTPQc2) that mean nothing
//! without the RPU, and so has profile 10 (AV1) where it is compatible with nothing: these are
//! refused, because made into pictures of any other kind they would be wrong. Between stages the RPU
//! is in the form of HEVC (see [`DynamicMetadata`]).
//!
//! RPUs that borrow from the one before ("metadata compression", which AV1 sources use) would have to
//! be in the order of the source, and are not kept.
//!
//! [`DynamicMetadata`]: sv_core::color::DynamicMetadata

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use dolby_vision::av1::convert_regular_rpu_to_av1_payload;
use dolby_vision::rpu::ConversionMode;
use dolby_vision::rpu::dovi_rpu::DoviRpu;
use dolby_vision::rpu::extension_metadata::blocks::ExtMetadataBlock;
use sv_codec::{BitReader, nal};
use sv_core::color::DolbyVision;
use sv_core::{Codec, VideoFrame};

use crate::Error;

/// An RPU has some hundred bytes.
const MOST_BYTES: usize = 4096;
/// How a message of ITU-T T.35 begins that is an RPU: the United States, Dolby, the kind for AV1, and
/// the constant part of a container of EMDF (ETSI TS 102 366, annex H), of which three more bits follow.
const AV1: [u8; 10] = [0xB5, 0x00, 0x3B, 0x00, 0x00, 0x08, 0x00, 0x37, 0xCD, 0x08];
/// The header of a unit of type 62.
const UNIT: [u8; 2] = [62 << 1, 1];

/// The RPU in a unit of type 62, as it is or as profile 8. `None` when it can't be read, does not stand
/// for itself, or is of a profile that is not kept.
///
/// # Errors
/// [`Error::Incapable`] for colours that only Dolby Vision knows.
pub(crate) fn hevc(unit: &[u8]) -> Result<Option<Bytes>, Error> {
    let rpu = bounded(unit).and_then(|unit| guarded(|| DoviRpu::parse_unspec62_nalu(unit).ok()));
    let Some(mut rpu) = rpu else { return Ok(None) };
    if rpu.dovi_profile == 5 {
        return Err(incompatible());
    }
    if rpu.rpu_data_mapping.is_none() || rpu.vdr_dm_data.is_none() {
        tracing::debug!("an RPU that borrows from the one before is left out");
        return Ok(None);
    }
    Ok(match rpu.dovi_profile {
        8 => Some(Bytes::copy_from_slice(unit)),
        7 => guarded(move || {
            rpu.convert_with_mode(ConversionMode::To81).ok()?;
            rpu.write_hevc_unspec62_nalu().ok().map(Bytes::from)
        }),
        _ => None,
    })
}

/// Looks at a message of AV1, from its country code on.
///
/// # Errors
/// As [`hevc`].
pub(crate) fn av1(message: &[u8]) -> Result<(), Error> {
    match bounded(message).and_then(unwrapped) {
        Some(rpu) => hevc(&[&UNIT[..], &nal::escape(&rpu)].concat()).map(drop),
        None => Ok(()),
    }
}

/// Whether what a track says means colours that only Dolby Vision knows.
pub(crate) fn is_incompatible(dolby: DolbyVision) -> bool {
    dolby.profile == 5 || dolby.profile == 10 && dolby.compatibility == 0
}

/// The crate panics at what it has never seen ("not implemented"), which hostile bytes can be. It
/// works on copies, so that nothing is left in pieces; what it panicked at is no RPU to us.
fn guarded<T>(work: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok().flatten()
}

fn bounded(bytes: &[u8]) -> Option<&[u8]> {
    (bytes.len() <= MOST_BYTES).then_some(bytes)
}

/// The RPU in a message of AV1. The crate would do it, but allocates whatever length it is told.
fn unwrapped(message: &[u8]) -> Option<Vec<u8>> {
    let (constant, rest) = message.split_at_checked(AV1.len())?;
    let mut r = BitReader::new("the RPU's container", rest);
    if constant != AV1 || r.bits(3).ok()? != 1 {
        return None;
    }
    // variable_bits(8) of annex H.2.1.1, of which two groups reach beyond the longest RPU.
    let mut size = r.bits(8).ok()?;
    if r.bit().ok()? {
        size = ((size + 1) << 8) + r.bits(8).ok()?;
        if r.bit().ok()? {
            return None;
        }
    }
    let size = usize::try_from(size).ok().filter(|size| *size < rest.len())?;
    let prefix = 25;
    std::iter::once(Some(prefix)).chain((0..size).map(|_| u8::try_from(r.bits(8).ok()?).ok())).collect()
}

/// Why such pictures are not decoded.
pub(crate) fn incompatible() -> Error {
    Error::Incapable {
        what: "Dolby Vision of profile 5, or of profile 10 without a compatible base layer, can't be converted: \
            its pictures are in colours of their own, and would be wrong as HDR10, HLG or standard range"
            .into(),
        hint: "package it as it is, or take a source of profile 8 or 7".into(),
    }
}

/// The RPU for pictures that were turned clockwise by quarters and then scaled: the black bars that it
/// tells of are elsewhere.
pub(crate) fn fitted(unit: &Bytes, from: (u32, u32), to: (u32, u32), turns: u8) -> Option<Bytes> {
    let mut rpu = guarded(|| DoviRpu::parse_unspec62_nalu(unit).ok())?;
    let bars = match rpu.vdr_dm_data.as_ref().and_then(|data| data.get_block(5)) {
        Some(ExtMetadataBlock::Level5(area)) => area.get_offsets(),
        _ => (0, 0, 0, 0),
    };
    let (left, right, top, bottom) = match (bars, turns % 4) {
        ((0, 0, 0, 0), _) => return Some(unit.clone()),
        ((left, right, top, bottom), 1) => (bottom, top, left, right),
        ((left, right, top, bottom), 2) => (right, left, bottom, top),
        ((left, right, top, bottom), 3) => (top, bottom, right, left),
        (bars, _) => bars,
    };
    let from = if turns % 2 == 1 { (from.1, from.0) } else { from };
    let scaled = |bar: u16, from: u32, to: u32| {
        let bar = u64::from(bar) * u64::from(to) + u64::from(from / 2);
        u16::try_from(bar.checked_div(u64::from(from))?).ok()
    };
    let across = [scaled(left, from.0, to.0)?, scaled(right, from.0, to.0)?];
    let down = [scaled(top, from.1, to.1)?, scaled(bottom, from.1, to.1)?];
    guarded(move || {
        rpu.set_active_area_offsets(across[0], across[1], down[0], down[1]).ok()?;
        rpu.write_hevc_unspec62_nalu().ok().map(Bytes::from)
    })
}

/// The RPU as AV1 carries it: a message of ITU-T T.35 from its country code on.
pub(crate) fn to_av1(unit: &Bytes) -> Option<Bytes> {
    let rpu = nal::rbsp(unit.get(UNIT.len()..)?, unit.len());
    let payload = guarded(|| convert_regular_rpu_to_av1_payload(&rpu).ok())?;
    Some([&AV1[..1], &payload].concat().into())
}

/// Whether a message of ITU-T T.35 is an RPU.
pub(crate) fn is_av1(message: &[u8]) -> bool {
    message.starts_with(&AV1)
}

/// What a track of pictures like this one, so many a second, says of its Dolby Vision.
pub(crate) fn record(codec: Codec, frame: &VideoFrame, rate: f64) -> Option<DolbyVision> {
    frame.dynamic.dolby_vision.as_ref()?;
    let compatibility = match frame.color {
        color if color.is_pq() => 1,
        color if color.is_hlg() => 4,
        _ => return None,
    };
    let profile = match codec {
        Codec::Hevc => 8,
        Codec::Av1 => 10,
        _ => return None,
    };
    let level = level(frame.width, frame.height, rate);
    Some(DolbyVision { profile, level, enhancement: false, compatibility })
}

/// Dolby Vision Profiles and Levels, §3.2: the first level that is wide and fast enough.
fn level(width: u32, height: u32, rate: f64) -> u8 {
    /// Columns, and samples a second.
    const LEVELS: [(u32, u64); 13] = [
        (1280, 1280 * 720 * 24),
        (1280, 1280 * 720 * 30),
        (1920, 1920 * 1080 * 24),
        (2560, 1920 * 1080 * 30),
        (3840, 1920 * 1080 * 60),
        (3840, 3840 * 2160 * 24),
        (3840, 3840 * 2160 * 30),
        (3840, 3840 * 2160 * 48),
        (3840, 3840 * 2160 * 60),
        (3840, 3840 * 2160 * 120),
        (7680, 7680 * 4320 * 30),
        (7680, 7680 * 4320 * 60),
        (7680, 7680 * 4320 * 120),
    ];
    let speed = f64::from(width) * f64::from(height) * rate;
    // The most is far below 2^53, so the cast is exact.
    let found = LEVELS.iter().position(|(columns, most)| width <= *columns && speed <= *most as f64);
    found.map_or(13, |index| index as u8 + 1)
}
