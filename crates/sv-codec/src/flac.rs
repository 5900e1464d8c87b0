//! FLAC ([RFC 9639](https://www.rfc-editor.org/rfc/rfc9639)): the `STREAMINFO` block.

use crate::{BitReader, Result};

/// What `STREAMINFO` (8.2) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels, 1 to 8.
    pub channels: u16,
    /// Bits per sample, 4 to 32.
    pub bit_depth: u8,
    /// Samples per channel in all; `None` when nobody knows.
    pub samples: Option<u64>,
    /// Samples in the longest block.
    pub max_block: u16,
}

impl StreamInfo {
    /// Reads metadata blocks, of which the first must be `STREAMINFO`: the body of `dfLa` behind
    /// its version and flags, or a FLAC file behind its marker.
    ///
    /// # Errors
    /// When it is cut short or begins with another block.
    pub fn parse(blocks: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("the FLAC STREAMINFO", blocks);
        r.skip(1)?;
        if r.bits(7)? != 0 || r.bits(24)? < 34 {
            return Err(r.invalid("the first metadata block is another one"));
        }
        r.skip(16)?;
        let max_block = u16::try_from(r.bits(16)?).unwrap_or(0);
        r.skip(48)?;
        let sample_rate = r.bits(20)?;
        let channels = u16::from(r.bits8(3)?).saturating_add(1);
        let bit_depth = r.bits8(5)?.saturating_add(1);
        let samples = Some(r.bits64(36)?).filter(|n| *n > 0);
        if sample_rate == 0 {
            return Err(r.invalid("the sampling rate is zero"));
        }
        Ok(Self { sample_rate, channels, bit_depth, samples, max_block })
    }
}
