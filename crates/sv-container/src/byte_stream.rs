//! Streams of NAL units, as transport streams and RTP carry H.264 and HEVC: their parameter sets go from the stream
//! into the track's configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use sv_codec::{h264, hevc, nal, sample_aes};
use sv_core::Codec;

/// Parameter sets by type and number, as last seen.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    sets: BTreeMap<(u8, u8), Bytes>,
}

/// An access unit in the form of MP4: units behind their lengths of four bytes, without parameter sets, delimiters and filler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// The units.
    pub data: Bytes,
    /// Whether decoding can start here.
    pub key: bool,
    /// The body of the track's new `avcC` or `hvcC`, if this unit changes it.
    pub config: Option<Bytes>,
}

/// Splits the payload of a PES packet where access unit delimiters stand: it may hold several
/// pictures. The first part is what comes before any delimiter but the first.
pub(crate) fn pictures(codec: Codec, payload: &[u8]) -> Vec<&[u8]> {
    let delimiter = |unit: &[u8]| match codec {
        Codec::H264 => h264::unit_type(unit) == h264::AUD,
        _ => hevc::unit_type(unit) == hevc::AUD,
    };
    let mut cuts: Vec<usize> = nal::annex_b(payload)
        .filter(|unit| delimiter(unit.data))
        .map(|unit| unit.offset.saturating_sub(3))
        .skip(1)
        .collect();
    cuts.push(payload.len());
    let mut from = 0;
    cuts.into_iter().filter_map(|to| payload.get(std::mem::replace(&mut from, to)..to)).collect()
}

impl ParameterSets {
    /// Makes an access unit of the units of a picture of H.264, or else HEVC; `None` when they hold no picture data. In a
    /// `secret` stream, slices come without the emulation prevention that their encryption made necessary.
    pub fn convert<'a>(
        &mut self,
        codec: Codec,
        units: impl IntoIterator<Item = &'a [u8]>,
        secret: bool,
    ) -> Option<AccessUnit> {
        let mut kept = Vec::new();
        let (mut changed, mut key, mut coded) = (false, false, false);
        for unit in units {
            let drop = match codec {
                Codec::H264 => {
                    key |= h264::unit_type(unit) == h264::IDR || h264::is_recovery_point(unit);
                    coded |= h264::is_slice(unit);
                    match h264::unit_type(unit) {
                        h264::SPS => self.insert(
                            h264::SPS,
                            h264::Sps::parse(unit).ok().map(|s| s.id),
                            unit,
                            &mut changed,
                        ),
                        h264::PPS => self.insert(
                            h264::PPS,
                            h264::Pps::parse(unit).ok().map(|p| p.id),
                            unit,
                            &mut changed,
                        ),
                        kind => matches!(kind, h264::AUD | h264::FILLER),
                    }
                }
                _ => {
                    key |= hevc::is_irap(unit);
                    coded |= hevc::is_slice(unit);
                    match hevc::unit_type(unit) {
                        hevc::VPS => self.insert(hevc::VPS, unit.get(2).map(|b| b >> 4), unit, &mut changed),
                        hevc::SPS => self.insert(
                            hevc::SPS,
                            hevc::Sps::parse(unit).ok().map(|s| s.id),
                            unit,
                            &mut changed,
                        ),
                        hevc::PPS => self.insert(
                            hevc::PPS,
                            hevc::Pps::parse(unit).ok().map(|p| p.id),
                            unit,
                            &mut changed,
                        ),
                        kind => matches!(kind, hevc::AUD | hevc::FILLER),
                    }
                }
            };
            if !drop && secret && sample_aes::covers(unit) {
                kept.push(Cow::Owned(nal::rbsp(unit, unit.len())));
            } else if !drop {
                kept.push(Cow::Borrowed(unit));
            }
        }
        let config = if changed { self.config(codec) } else { None };
        coded.then(|| AccessUnit { data: nal::length_prefixed(kept.iter().map(|unit| &**unit)), key, config })
    }

    /// Notes a set; a broken one goes nowhere. Says that the unit need not stay in its packet.
    fn insert(&mut self, kind: u8, id: Option<u8>, unit: &[u8], changed: &mut bool) -> bool {
        if let Some(id) = id
            && self.sets.get(&(kind, id)).is_none_or(|known| *known != unit)
        {
            self.sets.insert((kind, id), Bytes::copy_from_slice(unit));
            *changed = true;
        }
        true
    }

    /// The body of `avcC` or `hvcC` that the sets make, once there are enough of them.
    #[must_use]
    pub fn config(&self, codec: Codec) -> Option<Bytes> {
        let of = |kind: u8| self.sets.iter().filter(move |(k, _)| k.0 == kind).map(|(_, set)| set.clone());
        if codec == Codec::H264 {
            let config =
                h264::Config::from_parameter_sets(of(h264::SPS).collect(), of(h264::PPS).collect()).ok()?;
            return (!config.pps.is_empty()).then(|| config.build());
        }
        let config = hevc::Config::from_units(self.sets.values().cloned()).ok()?;
        config.units_of(hevc::PPS).next()?;
        Some(config.build())
    }
}
