//! `HEVCDecoderConfigurationRecord`, the body of `hvcC` (ISO/IEC 14496-15, 8.3.3.1).

use bytes::{BufMut, Bytes, BytesMut};

use super::{PPS, ProfileTierLevel, SPS, Sps, VPS, unit_type};
use crate::{Error, Reader, Result};

/// The decoder configuration of an HEVC track.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Profile, tier and level.
    pub profile: ProfileTierLevel,
    /// `chroma_format_idc`.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub bit_depth_luma: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// Temporal sub-layers; 0 when nobody knows.
    pub sub_layers: u8,
    /// Whether all temporal sub-layers are nested.
    pub temporal_id_nesting: bool,
    /// Bytes of the length before each unit: 1, 2 or 4.
    pub length_size: u8,
    /// Units by type, in the order of the file: parameter sets, and perhaps SEI.
    pub arrays: Vec<(u8, Vec<Bytes>)>,
}

impl Config {
    /// Reads the body of an `hvcC` box.
    ///
    /// # Errors
    /// When it is cut short or of another version.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new("hvcC", body);
        // Early writers left the version at 0.
        if r.u8()? > 1 {
            return Err(Error::Unsupported { what: "hvcC", feature: "a version above 1" });
        }
        let first = r.u8()?;
        let profile = ProfileTierLevel {
            space: first >> 6,
            high_tier: first & 0x20 != 0,
            profile: first & 0x1F,
            compatibility: r.u32()?,
            constraints: r.array()?,
            level: r.u8()?,
        };
        r.skip(3)?; // segmentation and parallelism
        let chroma_format = r.u8()? & 3;
        let bit_depth_luma = (r.u8()? & 7).saturating_add(8);
        let bit_depth_chroma = (r.u8()? & 7).saturating_add(8);
        r.skip(2)?; // average frame rate
        let flags = r.u8()?;
        let mut arrays = Vec::new();
        for _ in 0..r.u8()? {
            let kind = r.u8()? & 0x3F;
            let count = r.u16()?;
            let mut units = Vec::new();
            for _ in 0..count {
                let size = r.u16()?;
                units.push(Bytes::copy_from_slice(r.take(usize::from(size))?));
            }
            arrays.push((kind, units));
        }
        Ok(Self {
            profile,
            chroma_format,
            bit_depth_luma,
            bit_depth_chroma,
            sub_layers: (flags >> 3) & 7,
            temporal_id_nesting: flags & 4 != 0,
            length_size: (flags & 3).saturating_add(1),
            arrays,
        })
    }

    /// From units found in a byte stream; lengths will have 4 bytes. Units of other types than
    /// parameter sets and SEI are left out.
    ///
    /// # Errors
    /// When there is no SPS, or the first is broken.
    pub fn from_units(units: impl IntoIterator<Item = Bytes>) -> Result<Self> {
        let mut arrays: Vec<(u8, Vec<Bytes>)> = Vec::new();
        for unit in units {
            let kind = unit_type(&unit);
            if !matches!(kind, VPS | SPS | PPS | super::PREFIX_SEI | super::SUFFIX_SEI) {
                continue;
            }
            match arrays.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, list)) if list.contains(&unit) => {}
                Some((_, list)) => list.push(unit),
                None => arrays.push((kind, vec![unit])),
            }
        }
        arrays.sort_by_key(|(kind, _)| *kind);
        let first = arrays.iter().find(|(kind, _)| *kind == SPS).and_then(|(_, list)| list.first());
        let sps = Sps::parse(first.ok_or(Error::Truncated { what: "the list of HEVC SPS", offset: 0 })?)?;
        Ok(Self {
            profile: sps.profile,
            chroma_format: sps.chroma_format,
            bit_depth_luma: sps.bit_depth_luma,
            bit_depth_chroma: sps.bit_depth_chroma,
            sub_layers: sps.sub_layers,
            temporal_id_nesting: sps.temporal_id_nesting,
            length_size: 4,
            arrays,
        })
    }

    /// All units in order.
    pub fn units(&self) -> impl Iterator<Item = &Bytes> {
        self.arrays.iter().flat_map(|(_, units)| units)
    }

    /// The units of one type.
    pub fn units_of(&self, kind: u8) -> impl Iterator<Item = &Bytes> {
        self.units().filter(move |unit| unit_type(unit) == kind)
    }

    /// Writes the body of an `hvcC` box. Units of 64 KiB and more can't be told and are left out.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        let ptl = &self.profile;
        out.put_u8(1);
        out.put_u8(ptl.space.wrapping_shl(6) | if ptl.high_tier { 0x20 } else { 0 } | (ptl.profile & 0x1F));
        out.put_u32(ptl.compatibility);
        out.put_slice(&ptl.constraints);
        out.put_u8(ptl.level);
        out.put_slice(&[0xF0, 0x00, 0xFC]);
        out.put_u8(0xFC | self.chroma_format);
        out.put_u8(0xF8 | self.bit_depth_luma.saturating_sub(8));
        out.put_u8(0xF8 | self.bit_depth_chroma.saturating_sub(8));
        out.put_u16(0);
        let nesting = if self.temporal_id_nesting { 4 } else { 0 };
        let length = self.length_size.clamp(1, 4).saturating_sub(1);
        out.put_u8(self.sub_layers.min(7).wrapping_shl(3) | nesting | length);
        out.put_u8(u8::try_from(self.arrays.len()).unwrap_or(u8::MAX));
        for (kind, units) in self.arrays.iter().take(usize::from(u8::MAX)) {
            // Complete: all parameter sets of this type are here. SEI may occur in packets too.
            let complete = if matches!(*kind, VPS | SPS | PPS) { 0x80 } else { 0 };
            out.put_u8(complete | (kind & 0x3F));
            let fitting = || units.iter().filter_map(|u| u16::try_from(u.len()).ok().map(|n| (n, u)));
            out.put_u16(u16::try_from(fitting().count()).unwrap_or(u16::MAX));
            for (size, unit) in fitting().take(usize::from(u16::MAX)) {
                out.put_u16(size);
                out.put_slice(unit);
            }
        }
        out.freeze()
    }
}
