//! DTS:X, profile 2 of DTS-UHD ([ETSI TS 103 491](https://www.etsi.org/deliver/etsi_ts/103400_103499/103491/)): `udts`.

use crate::{BitReader, Result};

/// What the body of `udts` says (annex B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Samples per second.
    pub sample_rate: u32,
    /// Its loudspeakers, a bit for each.
    pub mask: u32,
}

impl Config {
    /// Reads the body of a `udts` box.
    ///
    /// # Errors
    /// When it is cut short.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("udts", body);
        // Profile, length of frames, size of payloads, number of presentations.
        r.skip(6 + 2 + 3 + 5)?;
        let mask = r.bits(32)?;
        let base: u32 = if r.bit()? { 48_000 } else { 44_100 };
        let sample_rate = base.wrapping_shl(r.bits(2)?);
        Ok(Self { sample_rate, mask })
    }

    /// Loudspeakers.
    #[must_use]
    pub fn channels(&self) -> u16 {
        u16::try_from(self.mask.count_ones()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_loudspeakers_and_a_subwoofer() {
        let config = Config::parse(&[0x01, 0x20, 0, 0, 0, 0x3F, 0x80, 0]).unwrap();
        assert_eq!((config.mask, config.channels(), config.sample_rate), (0x3F, 6, 48_000));
    }
}
