//! Opus: the header of [RFC 7845](https://www.rfc-editor.org/rfc/rfc7845) and its MP4 form, `dOps`
//! ([Encapsulation of Opus in ISOBMFF, 4.3.2](https://opus-codec.org/docs/opus_in_isobmff.html)).

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Reader, Result};

/// How an Opus track is coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels as played.
    pub channels: u8,
    /// Samples at 48 kHz that a decoder must drop at the start.
    pub pre_skip: u16,
    /// Samples per second of what was encoded; only informative, Opus always plays at 48 kHz.
    pub input_rate: u32,
    /// Gain in steps of 1/256 dB.
    pub gain: i16,
    /// Channel mapping family: 0 for mono and stereo.
    pub family: u8,
    /// Streams, coupled streams and the mapping of each channel; empty in family 0.
    pub mapping: Bytes,
}

impl Config {
    /// Reads the body of a `dOps` box.
    ///
    /// # Errors
    /// When it is cut short or of another version.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new("dOps", body);
        if r.u8()? != 0 {
            return Err(Error::Unsupported { what: "dOps", feature: "a version other than 0" });
        }
        let (channels, pre_skip, input_rate) = (r.u8()?, r.u16()?, r.u32()?);
        let gain = r.u16()?.cast_signed();
        Self::finish(r, channels, pre_skip, input_rate, gain)
    }

    /// Reads an `OpusHead` packet, as Ogg and Matroska store it.
    ///
    /// # Errors
    /// When it is none, is cut short, or of an incompatible version.
    pub fn parse_head(packet: &[u8]) -> Result<Self> {
        let mut r = Reader::new("OpusHead", packet);
        if &r.array()? != b"OpusHead" {
            return Err(r.invalid("it does not begin with its name"));
        }
        if r.u8()? & 0xF0 != 0 {
            return Err(Error::Unsupported { what: "OpusHead", feature: "a version above 15" });
        }
        let channels = r.u8()?;
        let pre_skip = u16::from_le_bytes(r.array()?);
        let input_rate = u32::from_le_bytes(r.array()?);
        let gain = i16::from_le_bytes(r.array()?);
        Self::finish(r, channels, pre_skip, input_rate, gain)
    }

    /// The part that is the same in both.
    fn finish(mut r: Reader<'_>, channels: u8, pre_skip: u16, input_rate: u32, gain: i16) -> Result<Self> {
        if channels == 0 {
            return Err(r.invalid("it has no channel"));
        }
        let family = r.u8()?;
        let mapping = if family == 0 { &[][..] } else { r.take(usize::from(channels).saturating_add(2))? };
        Ok(Self { channels, pre_skip, input_rate, gain, family, mapping: Bytes::copy_from_slice(mapping) })
    }

    /// Writes the body of a `dOps` box.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.mapping.len().saturating_add(11));
        out.put_u8(0);
        out.put_u8(self.channels);
        out.put_u16(self.pre_skip);
        out.put_u32(self.input_rate);
        out.put_i16(self.gain);
        out.put_u8(self.family);
        out.put_slice(&self.mapping);
        out.freeze()
    }

    /// Writes an `OpusHead` packet.
    #[must_use]
    pub fn build_head(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.mapping.len().saturating_add(19));
        out.put_slice(b"OpusHead\x01");
        out.put_u8(self.channels);
        out.put_u16_le(self.pre_skip);
        out.put_u32_le(self.input_rate);
        out.put_i16_le(self.gain);
        out.put_u8(self.family);
        out.put_slice(&self.mapping);
        out.freeze()
    }
}

/// Samples at 48 kHz in a packet (RFC 6716, 3.1); `None` where it is empty or too long.
#[must_use]
pub fn samples(packet: &[u8]) -> Option<u32> {
    let (toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame: u32 = match config {
        0..=11 => *[480, 960, 1920, 2880].get(usize::from(config % 4))?,
        12..=15 => *[480, 960].get(usize::from(config % 2))?,
        _ => *[120, 240, 480, 960].get(usize::from(config % 4))?,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3F),
    };
    // No packet is longer than 120 ms.
    frame.checked_mul(frames).filter(|samples| *samples <= 5760)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_forms_survive(channels in 1u8..=8, pre_skip: u16, input_rate: u32, gain: i16, surround: bool) {
            let mapping = if surround { Bytes::from(vec![1; usize::from(channels) + 2]) } else { Bytes::new() };
            let config = Config { channels, pre_skip, input_rate, gain, family: u8::from(surround), mapping };
            prop_assert_eq!(&Config::parse(&config.build()).unwrap(), &config);
            prop_assert_eq!(&Config::parse_head(&config.build_head()).unwrap(), &config);
        }
    }

    #[test]
    fn packet_lengths_of_the_specification() {
        assert_eq!(samples(&[0xFC]), Some(960)); // CELT, 20 ms, one frame
        assert_eq!(samples(&[0x1B, 2]), Some(5760)); // SILK, 60 ms, two frames
        assert_eq!(samples(&[0x1B, 3]), None); // 180 ms
        assert_eq!(samples(&[]), None);
    }
}
