//! Audio Data Transport Stream: AAC frames that each carry a header (ISO/IEC 14496-3, 1.A.2).

use super::{Config, RATES, channels};
use crate::{BitReader, Result};

/// The header before one or more raw AAC frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// How the frame is coded. SBR can't be told from here.
    pub config: Config,
    /// Bytes of this header, with its checksum if it has one: 7 or 9.
    pub header_len: usize,
    /// Bytes of header and payload together.
    pub frame_len: usize,
    /// Raw data blocks in the payload, 1 to 4; nearly always 1.
    pub blocks: u8,
}

impl Header {
    /// Reads the header at the start of `data`.
    ///
    /// # Errors
    /// When it is cut short, is no ADTS header, or contradicts itself.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("the ADTS header", data);
        if r.bits(12)? != 0xFFF {
            return Err(r.invalid("there is no sync word"));
        }
        r.skip(1)?; // MPEG-2 or MPEG-4
        if r.bits(2)? != 0 {
            return Err(r.invalid("the layer is not 0"));
        }
        let no_checksum = r.bit()?;
        let object_type = r.bits8(2)?.saturating_add(1);
        let index = r.bits8(4)?;
        let rate = RATES
            .get(usize::from(index))
            .copied()
            .ok_or_else(|| r.invalid("the sampling rate is reserved"))?;
        r.skip(1)?;
        let channel_configuration = r.bits8(3)?;
        r.skip(4)?;
        let frame_len = usize::try_from(r.bits(13)?).unwrap_or(0);
        r.skip(11)?; // buffer fullness
        let blocks = r.bits8(2)?.saturating_add(1);
        let header_len = if no_checksum { 7 } else { 9 };
        if frame_len < header_len {
            return Err(r.invalid("the frame is shorter than its header"));
        }
        let config = Config {
            object_type,
            core_rate: rate,
            channel_configuration,
            // 0 means that the payload tells; two channels is the best guess.
            channels: channels(channel_configuration).unwrap_or(2),
            sbr: false,
            ps: false,
            sample_rate: rate,
            frame_samples: 1024,
        };
        Ok(Self { config, header_len, frame_len, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_a_real_stream() {
        // AAC-LC, 44.1 kHz, stereo, 371 bytes, no checksum.
        let header = Header::parse(&[0xFF, 0xF1, 0x50, 0x80, 0x2E, 0x7F, 0xFC]).unwrap();
        assert_eq!((header.config.sample_rate, header.config.channels), (44100, 2));
        assert_eq!((header.header_len, header.frame_len, header.blocks), (7, 371, 1));
        assert_eq!(header.config.adts(364).unwrap(), [0xFF, 0xF1, 0x50, 0x80, 0x2E, 0x7F, 0xFC]);
        assert!(header.config.adts(8185).is_err());
        assert!(Header::parse(&[0xFF, 0xF1, 0x50, 0x80, 0x00, 0x1F, 0xFC]).is_err());
        assert!(Header::parse(&[0xFF, 0xE1]).is_err());
    }
}
