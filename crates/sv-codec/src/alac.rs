//! Apple Lossless: the magic cookie
//! ([ALACMagicCookieDescription](https://github.com/macosforge/alac/blob/master/ALACMagicCookieDescription.txt)).

use crate::{Reader, Result};

/// What `ALACSpecificConfig` says, the first 24 bytes of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Samples in each packet but the last.
    pub frame_samples: u32,
    /// Bits per sample.
    pub bit_depth: u8,
    /// Channels.
    pub channels: u8,
    /// Samples per second.
    pub sample_rate: u32,
}

impl Config {
    /// Reads a cookie.
    ///
    /// # Errors
    /// When it is cut short, or of a version that no decoder knows.
    pub fn parse(cookie: &[u8]) -> Result<Self> {
        let mut r = Reader::new("the ALAC cookie", cookie);
        let frame_samples = r.u32()?;
        if r.u8()? != 0 {
            return Err(r.invalid("its version is another than 0"));
        }
        let bit_depth = r.u8()?;
        r.skip(3)?;
        let channels = r.u8()?;
        r.skip(2 + 4 + 4)?;
        let sample_rate = r.u32()?;
        if channels == 0 || sample_rate == 0 {
            return Err(r.invalid("it has no channels, or no sampling rate"));
        }
        Ok(Self { frame_samples, bit_depth, channels, sample_rate })
    }
}
