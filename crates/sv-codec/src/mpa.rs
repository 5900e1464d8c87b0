//! MPEG-1 and MPEG-2 audio, layers I to III (ISO/IEC 11172-3, 2.4.1; ISO/IEC 13818-3).

use crate::{BitReader, Result};

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// 1, 2 or 3.
    pub layer: u8,
    /// Samples per second.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u16,
    /// Bits per second.
    pub bitrate: u32,
    /// Bytes of the frame, header included.
    pub frame_len: usize,
    /// Samples per channel in the frame.
    pub samples: u32,
}

/// Bit rates in kbit/s, of MPEG-1's three layers and of MPEG-2's first and other two.
const BITRATES: [[u32; 15]; 5] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

impl Header {
    /// Reads the header at the start of `data`.
    ///
    /// # Errors
    /// When it is cut short, is none, or its bit rate is left open ("free format").
    pub fn parse(data: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("the MPEG audio header", data);
        if r.bits(11)? != 0x7FF {
            return Err(r.invalid("there is no sync word"));
        }
        // 0: MPEG-2.5, 2: MPEG-2, 3: MPEG-1.
        let version = r.bits(2)?;
        let layer = 4u8.wrapping_sub(r.bits8(2)?);
        r.skip(1)?;
        let bitrate_index = usize::from(r.bits8(4)?);
        let rate_index = usize::from(r.bits8(2)?);
        let padding = u32::from(r.bit()?);
        r.skip(1)?;
        let channels = if r.bits(2)? == 3 { 1 } else { 2 };
        if version == 1 || layer == 4 {
            return Err(r.invalid("the version or layer is reserved"));
        }
        let mpeg1 = version == 3;
        let row = match (mpeg1, layer) {
            (true, layer) => usize::from(layer.saturating_sub(1)),
            (false, 1) => 3,
            (false, _) => 4,
        };
        let kbits = BITRATES.get(row).and_then(|row| row.get(bitrate_index)).copied().unwrap_or(0);
        let rate = [44100u32, 48000, 32000].get(rate_index).copied().unwrap_or(0);
        let divisor = match version {
            3 => 1u32,
            2 => 2,
            _ => 4,
        };
        let sample_rate = rate.checked_div(divisor).unwrap_or(0);
        if kbits == 0 || sample_rate == 0 {
            return Err(r.invalid("the bit rate or sampling rate is reserved"));
        }
        let bitrate = kbits.saturating_mul(1000);
        let samples: u32 = match (layer, mpeg1) {
            (1, _) => 384,
            (3, false) => 576,
            _ => 1152,
        };
        let slot = if layer == 1 { 4u32 } else { 1 };
        let slots = (samples / 8).saturating_mul(bitrate).checked_div(sample_rate.saturating_mul(slot));
        let frame_len = slots.unwrap_or(0).saturating_add(padding).saturating_mul(slot);
        Ok(Self {
            layer,
            sample_rate,
            channels,
            bitrate,
            frame_len: usize::try_from(frame_len).unwrap_or(usize::MAX),
            samples,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_sizes_of_well_known_streams() {
        // MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes, 418 with padding.
        let header = Header::parse(&[0xFF, 0xFB, 0x90, 0x00]).unwrap();
        assert_eq!((header.layer, header.frame_len, header.samples, header.channels), (3, 417, 1152, 2));
        assert_eq!(Header::parse(&[0xFF, 0xFB, 0x92, 0xC0]).unwrap().frame_len, 418);
        // MPEG-1 layer II, 192 kbit/s, 48 kHz: 576 bytes.
        assert_eq!(Header::parse(&[0xFF, 0xFD, 0xA4, 0x00]).unwrap().frame_len, 576);
        assert!(Header::parse(&[0xFF, 0xFB, 0xF0, 0x00]).is_err());
    }
}
