//! `AVCDecoderConfigurationRecord`, the body of `avcC` (ISO/IEC 14496-15, 5.3.3.1).

use bytes::{BufMut, Bytes, BytesMut};

use super::Sps;
use crate::{Error, Reader, Result};

/// The decoder configuration of an H.264 track.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// `AVCProfileIndication`.
    pub profile: u8,
    /// `profile_compatibility`: the constraint flags.
    pub constraints: u8,
    /// `AVCLevelIndication`: ten times the level.
    pub level: u8,
    /// Bytes of the length before each unit: 1, 2 or 4.
    pub length_size: u8,
    /// Sequence parameter sets, each a whole unit.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, each a whole unit.
    pub pps: Vec<Bytes>,
}

impl Config {
    /// Reads the body of an `avcC` box.
    ///
    /// # Errors
    /// When it is cut short or of another version.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new("avcC", body);
        if r.u8()? != 1 {
            return Err(Error::Unsupported { what: "avcC", feature: "a version other than 1" });
        }
        let [profile, constraints, level] = r.array()?;
        let length_size = (r.u8()? & 3).saturating_add(1);
        let sps_count = r.u8()? & 0x1F;
        let sps = parameter_sets(&mut r, sps_count)?;
        // Some writers leave the PPS count out when there is none.
        let pps_count = if r.is_empty() { 0 } else { r.u8()? };
        let pps = parameter_sets(&mut r, pps_count)?;
        Ok(Self { profile, constraints, level, length_size, sps, pps })
    }

    /// From parameter sets found in a byte stream, each a whole unit; lengths will have 4 bytes.
    ///
    /// # Errors
    /// When there is no SPS, or the first is broken.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self> {
        let first = sps.first().ok_or(Error::Truncated { what: "the list of H.264 SPS", offset: 0 })?;
        let parsed = Sps::parse(first)?;
        Ok(Self {
            profile: parsed.profile,
            constraints: parsed.constraints,
            level: parsed.level,
            length_size: 4,
            sps,
            pps,
        })
    }

    /// Writes the body of an `avcC` box. Sets beyond what the format can count (31 SPS, 255 PPS,
    /// 64 KiB each) are left out.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(&[1, self.profile, self.constraints, self.level]);
        out.put_u8(0xFC | (self.length_size.clamp(1, 4).saturating_sub(1)));
        put_sets(&mut out, &self.sps, 31, 0xE0);
        put_sets(&mut out, &self.pps, 255, 0);
        if let (100 | 110 | 122 | 144, Some(Ok(sps))) =
            (self.profile, self.sps.first().map(|s| Sps::parse(s)))
        {
            out.put_u8(0xFC | sps.chroma_format);
            out.put_u8(0xF8 | sps.bit_depth_luma.saturating_sub(8));
            out.put_u8(0xF8 | sps.bit_depth_chroma.saturating_sub(8));
            out.put_u8(0);
        }
        out.freeze()
    }
}

fn parameter_sets(r: &mut Reader<'_>, count: u8) -> Result<Vec<Bytes>> {
    (0..count)
        .map(|_| {
            let size = r.u16()?;
            r.take(usize::from(size)).map(Bytes::copy_from_slice)
        })
        .collect()
}

fn put_sets(out: &mut BytesMut, sets: &[Bytes], max: usize, count_prefix: u8) {
    let fitting = || sets.iter().filter_map(|s| u16::try_from(s.len()).ok().map(|n| (n, s))).take(max);
    out.put_u8(count_prefix | u8::try_from(fitting().count()).unwrap_or(0));
    for (size, set) in fitting() {
        out.put_u16(size);
        out.put_slice(set);
    }
}
