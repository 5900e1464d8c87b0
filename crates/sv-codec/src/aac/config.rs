//! `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).

use bytes::Bytes;

use super::{RATES, channels};
use crate::{BitReader, Error, Result};

/// How an AAC track is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Audio object type of the core coder: 2 is AAC-LC.
    pub object_type: u8,
    /// Samples per second of the core coder.
    pub core_rate: u32,
    /// `channelConfiguration`: 0 where a program configuration element tells.
    pub channel_configuration: u8,
    /// Channels as played: 2 with parametric stereo.
    pub channels: u16,
    /// Whether spectral band replication is signalled (HE-AAC).
    pub sbr: bool,
    /// Whether parametric stereo is signalled (HE-AACv2).
    pub ps: bool,
    /// Samples per second as played: with SBR usually twice the core's.
    pub sample_rate: u32,
    /// Core samples in a frame: 1024, 960, or 512 and 480 for the low-delay coders.
    pub frame_samples: u16,
}

impl Config {
    /// AAC-LC with 1024 samples a frame; `None` for a number of channels without configuration.
    #[must_use]
    pub fn lc(sample_rate: u32, channels: u16) -> Option<Self> {
        let channel_configuration = match channels {
            1..=6 => u8::try_from(channels).ok()?,
            7 => 11,
            8 => 7,
            _ => return None,
        };
        Some(Self {
            object_type: 2,
            core_rate: sample_rate,
            channel_configuration,
            channels,
            sbr: false,
            ps: false,
            sample_rate,
            frame_samples: 1024,
        })
    }

    /// The ADTS header before a frame of `payload` bytes (1.A.2.2), without checksum. It has no words for SBR:
    /// decoders find that in the frames.
    ///
    /// # Errors
    /// When it has no words for the coder, the rate, the channels or the size either.
    pub fn adts(&self, payload: usize) -> Result<[u8; 7]> {
        let unsupported = |feature| Error::Unsupported { what: "the ADTS header", feature };
        let rate = RATES.iter().position(|rate| *rate == self.core_rate);
        let rate = rate.and_then(|rate| u8::try_from(rate).ok()).ok_or(unsupported("this sampling rate"))?;
        if !(1..=4).contains(&self.object_type) || self.frame_samples != 1024 {
            return Err(unsupported("this kind of AAC"));
        }
        if self.channel_configuration > 7 {
            return Err(unsupported("these channels"));
        }
        let size = payload.checked_add(7).and_then(|size| u16::try_from(size).ok());
        let size = size.filter(|size| *size < 1 << 13).ok_or(unsupported("a frame of 8 KiB"))?;
        let channels = self.channel_configuration;
        let [_, low] = size.to_be_bytes();
        let part = |shift: u32| u8::try_from(size.wrapping_shr(shift) & 0xFF).unwrap_or(0);
        Ok([
            0xFF,
            0xF1,
            self.object_type.saturating_sub(1).wrapping_shl(6)
                | rate.wrapping_shl(2)
                | channels.wrapping_shr(2),
            channels.wrapping_shl(6) | part(11),
            part(3),
            // The fullness of a buffer at a variable rate, and one block.
            low.wrapping_shl(5) | 0x1F,
            0xFC,
        ])
    }

    /// Reads an `AudioSpecificConfig`.
    ///
    /// # Errors
    /// When it is cut short, or its rate or channels have no meaning.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("the AudioSpecificConfig", data);
        let mut object_type = object_type_of(&mut r)?;
        let core_rate = rate(&mut r)?;
        let channel_configuration = r.bits8(4)?;
        let (mut sbr, mut ps, mut sample_rate) = (false, false, core_rate);
        if matches!(object_type, 5 | 29) {
            (sbr, ps) = (true, object_type == 29);
            sample_rate = rate(&mut r)?;
            object_type = object_type_of(&mut r)?;
        }
        let mut frame_samples = 1024;
        let mut played = channels(channel_configuration);
        if matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
            let short = r.bit()?;
            frame_samples = match (object_type, short) {
                (23, false) => 512,
                (23, true) => 480,
                (_, true) => 960,
                _ => 1024,
            };
            if r.bit()? {
                r.skip(14)?; // coreCoderDelay
            }
            r.skip(1)?; // extensionFlag
            if channel_configuration == 0 {
                played = Some(program_config(&mut r)?);
            }
        }
        // Backward-compatible signalling: behind the configuration (1.6.6.1).
        if !sbr && r.remaining() >= 16 && r.bits(11)? == 0x2B7 && object_type_of(&mut r)? == 5 && r.bit()? {
            sbr = true;
            sample_rate = rate(&mut r)?;
            ps = r.remaining() >= 12 && r.bits(11)? == 0x548 && r.bit()?;
        }
        let mut played = played.ok_or_else(|| r.invalid("the channel configuration is reserved"))?;
        if ps && played == 1 {
            played = 2;
        }
        let config = Self {
            object_type,
            core_rate,
            channel_configuration,
            channels: played,
            sbr,
            ps,
            sample_rate,
            frame_samples,
        };
        if core_rate == 0 || sample_rate == 0 {
            Err(r.invalid("the sampling rate is zero"))
        } else {
            Ok(config)
        }
    }

    /// Writes an `AudioSpecificConfig` for the plain cases: AAC-LC alone, or under explicitly
    /// signalled SBR and PS. A program configuration element is not rebuilt.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the channels need a program configuration element.
    pub fn build(&self) -> Result<Bytes> {
        if self.channel_configuration == 0 {
            return Err(Error::Unsupported {
                what: "the AudioSpecificConfig",
                feature: "a program configuration element",
            });
        }
        let mut w = Bits::default();
        if self.sbr {
            w.put(5, if self.ps { 29 } else { 5 });
        } else {
            w.put(5, u32::from(self.object_type.min(30)));
        }
        w.rate(self.core_rate);
        w.put(4, u32::from(self.channel_configuration));
        if self.sbr {
            w.rate(self.sample_rate);
            w.put(5, u32::from(self.object_type.min(30)));
        }
        w.put(3, if matches!(self.frame_samples, 960 | 480) { 4 } else { 0 });
        Ok(w.finish())
    }
}

/// `GetAudioObjectType()` (table 1.17).
fn object_type_of(r: &mut BitReader<'_>) -> Result<u8> {
    match r.bits8(5)? {
        31 => Ok(r.bits8(6)?.saturating_add(32)),
        short => Ok(short),
    }
}

fn rate(r: &mut BitReader<'_>) -> Result<u32> {
    match r.bits8(4)? {
        15 => r.bits(24),
        index => {
            RATES.get(usize::from(index)).copied().ok_or_else(|| r.invalid("the sampling rate is reserved"))
        }
    }
}

/// `program_config_element()` (table 4.2): how many channels it describes.
fn program_config(r: &mut BitReader<'_>) -> Result<u16> {
    r.skip(10)?; // instance tag, object type, sampling frequency index
    let [front, side, back, lfe] = [r.bits(4)?, r.bits(4)?, r.bits(4)?, r.bits(2)?];
    let others = r.bits(3)?;
    let coupling = r.bits(4)?;
    for mixdown_bits in [4, 4, 3] {
        if r.bit()? {
            r.skip(mixdown_bits)?;
        }
    }
    let mut count = 0u16;
    for _ in 0..front.saturating_add(side).saturating_add(back) {
        count = count.saturating_add(if r.bit()? { 2 } else { 1 });
        r.skip(4)?;
    }
    count = count.saturating_add(u16::try_from(lfe).unwrap_or(0));
    r.skip(u64::from(lfe.saturating_add(others)).saturating_mul(4))?;
    r.skip(u64::from(coupling).saturating_mul(5))?;
    r.align();
    let comment = r.bits(8)?;
    r.skip(u64::from(comment).saturating_mul(8))?;
    if count == 0 { Err(r.invalid("the program has no channel")) } else { Ok(count) }
}

/// A few bits, most significant first.
#[derive(Default)]
struct Bits {
    value: u128,
    count: u32,
}

impl Bits {
    fn put(&mut self, bits: u32, value: u32) {
        self.value = self.value.wrapping_shl(bits) | u128::from(value);
        self.count = self.count.saturating_add(bits);
    }

    fn rate(&mut self, rate: u32) {
        match RATES.iter().position(|r| *r == rate).and_then(|i| u32::try_from(i).ok()) {
            Some(index) => self.put(4, index),
            None => {
                self.put(4, 15);
                self.put(24, rate & 0xFF_FFFF);
            }
        }
    }

    fn finish(self) -> Bytes {
        let aligned = self.value.wrapping_shl(128u32.saturating_sub(self.count));
        let bytes = usize::try_from(self.count.div_ceil(8)).unwrap_or(16);
        Bytes::copy_from_slice(aligned.to_be_bytes().get(..bytes).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn well_known_configurations() {
        // AAC-LC, 44.1 kHz, stereo: what most files say.
        let lc = Config::parse(&[0x12, 0x10]).unwrap();
        assert_eq!((lc.object_type, lc.sample_rate, lc.channels, lc.sbr), (2, 44100, 2, false));
        assert_eq!(Config::lc(44100, 2).unwrap().build().unwrap(), &[0x12, 0x10][..]);
        // HE-AAC signalled behind an LC configuration: 22.05 kHz core, 44.1 kHz played.
        let he = Config::parse(&[0x13, 0x90, 0x56, 0xE5, 0xA0]).unwrap();
        assert_eq!(
            (he.object_type, he.core_rate, he.sample_rate, he.sbr, he.ps),
            (2, 22050, 44100, true, false)
        );
        // HE-AACv2, explicit: 29, 24 kHz mono core, 48 kHz.
        let v2 = Config::parse(&[0xEB, 0x09, 0x88, 0x00]).unwrap();
        assert_eq!((v2.core_rate, v2.sample_rate, v2.channels, v2.sbr, v2.ps), (24000, 48000, 2, true, true));
    }

    proptest! {
        #[test]
        fn building_is_undone_by_parsing(rate in 1u32..96_001, channels in 1u16..=8, sbr: bool, short: bool) {
            let mut config = Config::lc(rate, channels).unwrap();
            if sbr {
                config.sbr = true;
                config.sample_rate = rate * 2;
            }
            if short {
                config.frame_samples = 960;
            }
            prop_assert_eq!(Config::parse(&config.build().unwrap()).unwrap(), config);
        }

        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Config::parse(&data);
        }
    }
}
