//! HEVC whose parameter sets have numbers that nobody else uses, so that it can follow another encoder's
//! in one stream.
//!
//! Encoders number their sets from 0, which is the single bit `1` as Exp-Golomb code (ITU-T H.265, 9.2).
//! 15 is a code of nine bits. So what follows it moves by a whole byte, and a slice's header need not be
//! understood beyond the number, nor its entropy-coded data touched.

use bytes::Bytes;
use sv_codec::hevc::{self, Config, PPS, SPS, VPS};
use sv_codec::nal;
use sv_core::{Packet, TrackId, VideoFrame};

use super::EncodeVideo;
use crate::Error;

/// An encoder of HEVC and its parameter sets' new numbers.
pub(super) struct Renumbered {
    encoder: Box<dyn EncodeVideo>,
    config: Bytes,
}

impl Renumbered {
    pub(super) fn new(encoder: Box<dyn EncodeVideo>) -> Result<Self, Error> {
        let mut config = Config::parse(&encoder.config())
            .map_err(|error| Error::Invalid(format!("an encoder's configuration is broken: {error}")))?;
        for unit in config.arrays.iter_mut().flat_map(|(_, units)| units) {
            *unit = renumbered(unit)?.into();
        }
        Ok(Self { encoder, config: config.build() })
    }
}

impl EncodeVideo for Renumbered {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        self.encoder.push(frame, tick, key)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.encoder.finish()
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        let Some(mut packet) = self.encoder.pull(id)? else { return Ok(None) };
        let units: Result<Vec<_>, Error> = nal::units(&packet.data, 4)
            .map(|unit| renumbered(unit.map_err(|error| Error::Invalid(error.to_string()))?.data))
            .collect();
        let units = units?;
        packet.data = nal::length_prefixed(units.iter().map(Vec::as_slice));
        Ok(Some(packet))
    }
}

/// A unit with 15 in place of 0 where it names a parameter set, or is one.
fn renumbered(unit: &[u8]) -> Result<Vec<u8>, Error> {
    const HEADER: usize = 16;
    let kind = hevc::unit_type(unit);
    let mut raw = nal::rbsp(unit, unit.len());
    match kind {
        VPS => first_four(&mut raw)?,
        SPS => {
            first_four(&mut raw)?;
            // Profile, tier and level are 12 bytes where there is one sub-layer (7.3.3).
            if raw.get(2).is_none_or(|byte| byte & 0x0E != 0) {
                return Err(Error::Invalid("HEVC with several sub-layers can't be numbered anew".into()));
            }
            widen(&mut raw, HEADER + 8 * 13)?;
        }
        PPS => {
            widen(&mut raw, HEADER)?;
            widen(&mut raw, HEADER + 9)?;
        }
        // Slices; those that can be entered say one thing more before it (7.3.6.1).
        0..=15 => widen(&mut raw, HEADER + 1)?,
        16..=31 => widen(&mut raw, HEADER + 2)?,
        _ => return Ok(unit.to_vec()),
    }
    Ok(nal::escape(&raw))
}

/// 15 in place of 0 in the four bits after the unit's header: the number of a VPS.
fn first_four(raw: &mut [u8]) -> Result<(), Error> {
    match raw.get_mut(2) {
        Some(byte) if *byte >> 4 == 0 => *byte |= 0xF0,
        _ => return Err(taken()),
    }
    Ok(())
}

/// The nine bits of 15 in place of the one bit of 0 at `place`.
fn widen(raw: &mut Vec<u8>, place: usize) -> Result<(), Error> {
    let (index, bit) = (place / 8, place % 8);
    let byte = raw.get(index).copied().ok_or_else(taken)?;
    let before = byte & !(0xFF_u8 >> bit);
    let zero = 0x80_u8 >> bit;
    if byte & zero == 0 {
        return Err(taken());
    }
    let after = byte & (0xFF_u8 >> bit) & !zero;
    let code = 0b0000_1000_u16 << (8 - bit);
    let [high, low] = code.to_be_bytes();
    raw[index] = low | after;
    raw.insert(index, high | before);
    Ok(())
}

fn taken() -> Error {
    Error::Invalid("an HEVC encoder numbers its parameter sets other than from 0".into())
}
