//! Dolby AC-4 ([ETSI TS 103 190-2](https://www.etsi.org/deliver/etsi_ts/103100_103199/10319002/)): `dac4`.

use crate::{BitReader, Error, Result};

/// What `ac4_dsi_v1` (E.6), the body of `dac4`, says of a stream and of its first presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Version of the bit stream.
    pub bitstream_version: u8,
    /// Samples per second.
    pub sample_rate: u32,
    /// Version of the first presentation.
    pub presentation_version: u8,
    /// Which decoders can play it, `mdcompat`: 0 to 7.
    pub compatibility: u8,
    /// Its groups of loudspeakers, `presentation_channel_mask_v1`, a bit for each index of table A.27; 0 where it is
    /// made of objects or doesn't tell.
    pub mask: u32,
}

impl Config {
    /// Reads the body of a `dac4` box.
    ///
    /// # Errors
    /// When it is cut short, or of another version than 1.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("dac4", body);
        if r.bits(3)? != 1 {
            return Err(Error::Unsupported { what: "dac4", feature: "a version other than 1" });
        }
        let bitstream_version = r.bits8(7)?;
        let sample_rate = if r.bit()? { 48000 } else { 44100 };
        r.skip(4)?; // frame_rate_index
        let presentations = r.bits(9)?;
        if bitstream_version > 1 && r.bit()? {
            r.skip(16)?;
            if r.bit()? {
                r.skip(128)?;
            }
        }
        r.skip(2 + 32 + 32)?; // ac4_bitrate_dsi
        r.align();
        let mut config =
            Self { bitstream_version, sample_rate, presentation_version: 0, compatibility: 0, mask: 0 };
        if presentations == 0 {
            return Ok(config);
        }
        config.presentation_version = r.bits8(8)?;
        if r.bits(8)? == 255 {
            r.skip(16)?;
        }
        if config.presentation_version > 0 {
            config.presentation(&mut r)?;
        } else {
            // `ac4_presentation_v0_dsi` begins in the same way.
            let kind = r.bits(5)?;
            config.compatibility = if kind == 6 { 0 } else { r.bits8(3)? };
        }
        Ok(config)
    }

    /// `ac4_presentation_v1_dsi` (E.10), as far as the loudspeakers.
    fn presentation(&mut self, r: &mut BitReader<'_>) -> Result<()> {
        const ONLY_METADATA: u32 = 6;
        if r.bits(5)? == ONLY_METADATA {
            return Ok(());
        }
        self.compatibility = r.bits8(3)?;
        if r.bit()? {
            r.skip(5)?;
        }
        r.skip(2 + 2 + 5 + 10)?;
        if !r.bit()? {
            return Ok(());
        }
        if matches!(r.bits(5)?, 11..=14) {
            r.skip(3)?;
        }
        self.mask = r.bits(24)?;
        Ok(())
    }

    /// Loudspeakers, subwoofers included; `None` where they aren't told.
    #[must_use]
    pub fn channels(&self) -> Option<u16> {
        // Which bits of the mask stand for a pair (A.3, table A.27).
        const PAIRS: u32 = 0b111_0010_0001_1011_1101;
        let count = |bits: u32| u16::try_from(bits.count_ones()).unwrap_or(0);
        let channels = count(self.mask).saturating_add(count(self.mask & PAIRS));
        (channels > 0).then_some(channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_loudspeakers_and_a_subwoofer() {
        // dac4 of a 5.1 stream by Dolby's encoder.
        let body = [
            0x20, 0xA6, 0x01, 0x60, 0, 0, 0, 0x1F, 0xFF, 0xFF, 0xFF, 0xE0, 0x01, 0x0E, 0xF9, 0, 0, 0x09, 0,
            0, 0x11, 0xCA, 0x02, 0, 0, 0x11, 0xC0, 0x80,
        ];
        let config = Config::parse(&body).unwrap();
        assert_eq!((config.mask, config.channels(), config.sample_rate), (0x47, Some(6), 48000));
        assert_eq!((config.bitstream_version, config.presentation_version, config.compatibility), (2, 1, 1));
    }
}
