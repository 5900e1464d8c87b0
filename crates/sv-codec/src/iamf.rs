//! IAMF ([Immersive Audio Model and Formats](https://aomediacodec.github.io/iamf/)): `iacb`, as far as
//! manifests ask.

use crate::{Error, Reader, Result, aac, flac};

/// Which codec the streams inside are coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// Opus.
    Opus,
    /// AAC-LC.
    Aac,
    /// FLAC.
    Flac,
    /// PCM.
    Pcm,
}

/// What the descriptors in an `iacb` box say (IAMF, 6.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Primary profile.
    pub primary: u8,
    /// Additional profile.
    pub additional: u8,
    /// The codec of the streams inside.
    pub inner: Inner,
    /// Samples per second, as decoded.
    pub sample_rate: u32,
}

const CODEC_CONFIG: u8 = 0;
const SEQUENCE_HEADER: u8 = 31;

impl Config {
    /// Reads the body of an `iacb` box: its version, then a size, then open bitstream units.
    ///
    /// # Errors
    /// When it is cut short, lacks a sequence header or a codec, or has a codec that the format doesn't know.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new("iacb", body);
        if r.u8()? != 1 {
            return Err(Error::Unsupported { what: "iacb", feature: "a version other than 1" });
        }
        let size = leb128(&mut r)?;
        let mut units = Reader::new("the descriptors of IAMF", r.take(size)?);
        let (mut profiles, mut codec) = (None, None);
        while !units.is_empty() && (profiles.is_none() || codec.is_none()) {
            let (kind, mut unit) = next_unit(&mut units)?;
            match kind {
                SEQUENCE_HEADER if profiles.is_none() => {
                    if &unit.array()? != b"iamf" {
                        return Err(unit.invalid("it does not begin with the format's name"));
                    }
                    profiles = Some((unit.u8()?, unit.u8()?));
                }
                CODEC_CONFIG if codec.is_none() => codec = Some(codec_config(&mut unit)?),
                _ => {}
            }
        }
        let (Some((primary, additional)), Some((inner, sample_rate))) = (profiles, codec) else {
            return Err(units.invalid("there is no sequence header, or no codec"));
        };
        Ok(Self { primary, additional, inner, sample_rate })
    }
}

/// The type and the payload of the unit that begins here (3.2).
fn next_unit<'a>(r: &mut Reader<'a>) -> Result<(u8, Reader<'a>)> {
    let head = r.u8()?;
    let size = leb128(r)?;
    let mut unit = Reader::new("a descriptor of IAMF", r.take(size)?);
    if head & 2 != 0 {
        leb128(&mut unit)?; // num_samples_to_trim_at_end
        leb128(&mut unit)?; // num_samples_to_trim_at_start
    }
    if head & 1 != 0 {
        let extension = leb128(&mut unit)?;
        unit.skip(extension)?;
    }
    Ok((head >> 3, unit))
}

/// The codec and its sampling rate (3.5 and 3.11).
fn codec_config(unit: &mut Reader<'_>) -> Result<(Inner, u32)> {
    leb128(unit)?; // codec_config_id
    let codec: [u8; 4] = unit.array()?;
    leb128(unit)?; // num_samples_per_frame
    unit.skip(2)?; // audio_roll_distance
    match &codec {
        b"Opus" => Ok((Inner::Opus, 48000)),
        b"fLaC" => Ok((Inner::Flac, flac::StreamInfo::parse(unit.rest())?.sample_rate)),
        b"ipcm" => {
            unit.skip(2)?; // sample_format_flags, sample_size
            Ok((Inner::Pcm, unit.u32()?))
        }
        b"mp4a" => {
            // A DecoderConfigDescriptor of ISO/IEC 14496-1, with a DecoderSpecificInfo in it.
            descriptor(unit, 4)?;
            unit.skip(13)?;
            let size = descriptor(unit, 5)?;
            Ok((Inner::Aac, aac::Config::parse(unit.take(size)?)?.sample_rate))
        }
        _ => Err(unit.invalid("its codec is none that the format knows")),
    }
}

/// The size of the descriptor with this tag that begins here.
fn descriptor(r: &mut Reader<'_>, tag: u8) -> Result<usize> {
    if r.u8()? != tag {
        return Err(r.invalid("a descriptor of AAC is missing"));
    }
    let mut size = 0usize;
    for _ in 0..4 {
        let byte = r.u8()?;
        size = size.wrapping_shl(7) | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(size)
}

/// A number in groups of seven bits, the lowest first; of 32 bits at most (3.1).
fn leb128(r: &mut Reader<'_>) -> Result<usize> {
    let mut value = 0u64;
    for shift in [0u32, 7, 14, 21, 28, 35, 42, 49] {
        let byte = r.u8()?;
        value |= u64::from(byte & 0x7F).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| r.invalid("a number has more than 32 bits"))?;
            return Ok(usize::try_from(value).unwrap_or(usize::MAX));
        }
    }
    Err(r.invalid("a number has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_header_and_codec() {
        // Base profile with Opus; the units are those of 3.4 and 3.5.
        let opus =
            [31 << 3, 6, b'i', b'a', b'm', b'f', 1, 1, 0, 10, 0xC8, 1, b'O', b'p', b'u', b's', 0xC0, 7, 0, 0];
        let body = |units: &[u8]| [&[1, u8::try_from(units.len()).unwrap()], units].concat();
        let config = Config::parse(&body(&opus)).unwrap();
        assert_eq!(
            (config.primary, config.additional, config.inner, config.sample_rate),
            (1, 1, Inner::Opus, 48000)
        );
        assert!(Config::parse(&body(&opus[..8])).is_err(), "no codec");
    }
}
