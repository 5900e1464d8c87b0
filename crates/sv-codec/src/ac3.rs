//! Dolby Digital and Dolby Digital Plus
//! ([ETSI TS 102 366](https://www.etsi.org/deliver/etsi_ts/102300_102399/102366/)): sync frames,
//! `dac3` and `dec3`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{BitReader, Error, Result};

/// Nominal bit rates in kbit/s by `frmsizecod / 2` (table 4.13).
const RATES: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];

/// Loudspeakers of each `acmod`, without the subwoofer (table 4.3).
const CHANNELS: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// The header of one sync frame of either codec (clauses 4.3 and E.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Whether it is Dolby Digital Plus.
    pub enhanced: bool,
    /// Samples per second.
    pub sample_rate: u32,
    /// Bytes of the frame.
    pub frame_len: usize,
    /// Samples per channel in the frame: 1536 for AC-3.
    pub samples: u32,
    /// Bit stream identification.
    pub bsid: u8,
    /// Bit stream mode: 0 for complete main.
    pub bsmod: u8,
    /// Audio coding mode: which loudspeakers.
    pub acmod: u8,
    /// Whether there is a subwoofer.
    pub lfe: bool,
    /// Code of the sampling rate.
    pub fscod: u8,
    /// AC-3's bit rate code; 0 for E-AC-3.
    pub bit_rate_code: u8,
    /// E-AC-3: 0 independent, 1 dependent, 2 converted.
    pub stream_type: u8,
    /// E-AC-3: number of the substream.
    pub substream: u8,
    /// E-AC-3, dependent substreams: which loudspeakers they add, in the form of `dec3`.
    pub locations: u16,
}

impl Header {
    /// Reads the header at the start of `data`.
    ///
    /// # Errors
    /// When it is cut short, is none, or uses reserved codes.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("the AC-3 sync frame", data);
        if r.bits(16)? != 0x0B77 {
            return Err(r.invalid("there is no sync word"));
        }
        let mut ahead = r.clone();
        ahead.skip(24)?;
        match ahead.bits8(5)? {
            0..=10 => Self::plain(&mut r),
            11..=16 => Self::plus(&mut r),
            _ => Err(r.invalid("bsid is reserved")),
        }
    }

    fn plain(r: &mut BitReader<'_>) -> Result<Self> {
        r.skip(16)?; // crc1
        let fscod = r.bits8(2)?;
        let size_code = r.bits8(6)?;
        let (bsid, bsmod, acmod) = (r.bits8(5)?, r.bits8(3)?, r.bits8(3)?);
        if acmod & 1 != 0 && acmod != 1 {
            r.skip(2)?;
        }
        if acmod & 4 != 0 {
            r.skip(2)?;
        }
        if acmod == 2 {
            r.skip(2)?;
        }
        let lfe = r.bit()?;
        let kbits = RATES.get(usize::from(size_code / 2)).copied();
        let kbits = kbits.ok_or_else(|| r.invalid("the frame size is reserved"))?;
        let (sample_rate, words) = match fscod {
            0 => (48000, kbits.saturating_mul(2)),
            1 => (
                44100,
                kbits.saturating_mul(96_000).div_euclid(44_100).saturating_add(u32::from(size_code & 1)),
            ),
            2 => (32000, kbits.saturating_mul(3)),
            _ => return Err(r.invalid("the sampling rate is reserved")),
        };
        Ok(Self {
            enhanced: false,
            sample_rate,
            frame_len: usize::try_from(words.saturating_mul(2)).unwrap_or(usize::MAX),
            samples: 1536,
            bsid,
            bsmod,
            acmod,
            lfe,
            fscod,
            bit_rate_code: size_code / 2,
            stream_type: 0,
            substream: 0,
            locations: 0,
        })
    }

    fn plus(r: &mut BitReader<'_>) -> Result<Self> {
        let stream_type = r.bits8(2)?;
        let substream = r.bits8(3)?;
        let frame_len = usize::try_from(r.bits(11)?.saturating_add(1).saturating_mul(2)).unwrap_or(0);
        let fscod = r.bits8(2)?;
        let code = r.bits8(2)?;
        let (sample_rate, blocks) = match fscod {
            0 => (48000, code),
            1 => (44100, code),
            2 => (32000, code),
            _ => match code {
                0 => (24000, 3),
                1 => (22050, 3),
                2 => (16000, 3),
                _ => return Err(r.invalid("the sampling rate is reserved")),
            },
        };
        let samples = [256, 512, 768, 1536].get(usize::from(blocks)).copied().unwrap_or(1536);
        let acmod = r.bits8(3)?;
        let lfe = r.bit()?;
        let bsid = r.bits8(5)?;
        let mut locations = 0;
        if stream_type == 1 {
            for _ in 0..(if acmod == 0 { 2 } else { 1 }) {
                r.skip(5)?;
                if r.bit()? {
                    r.skip(8)?;
                }
            }
            if r.bit()? {
                let map = r.bits(16)?;
                // Bits 5 to 12 of the map, counted from the highest, are bits 0 to 7 of `chan_loc`;
                // bit 14 is bit 8 (table F.6.1).
                for (from, to) in
                    [(5, 0), (6, 1), (7, 2), (8, 3), (9, 4), (10, 5), (11, 6), (12, 7), (14, 8u32)]
                {
                    if map.wrapping_shr(15u32.saturating_sub(from)) & 1 != 0 {
                        locations |= 1u16.wrapping_shl(to);
                    }
                }
            }
        }
        Ok(Self {
            enhanced: true,
            sample_rate,
            frame_len,
            samples,
            bsid,
            bsmod: 0,
            acmod,
            lfe,
            fscod,
            bit_rate_code: 0,
            stream_type,
            substream,
            locations,
        })
    }

    /// Loudspeakers, subwoofer included.
    #[must_use]
    pub fn channels(&self) -> u16 {
        channels(self.acmod, self.lfe, self.locations)
    }

    /// Whether the frame begins an access unit: it is not an addition to the one before.
    #[must_use]
    pub const fn begins_unit(&self) -> bool {
        self.stream_type != 1 && self.substream == 0
    }
}

fn channels(acmod: u8, lfe: bool, locations: u16) -> u16 {
    let main = CHANNELS.get(usize::from(acmod)).copied().unwrap_or(2);
    // Pairs are at bits 0, 1, 4, 5 and 6.
    let singles = u16::try_from((locations & 0b1_1000_1100).count_ones()).unwrap_or(0);
    let pairs = u16::try_from((locations & 0b0_0111_0011).count_ones()).unwrap_or(0);
    main.saturating_add(u16::from(lfe)).saturating_add(singles).saturating_add(pairs.saturating_mul(2))
}

/// What `dac3` and `dec3` say, as far as players ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Samples per second.
    pub sample_rate: u32,
    /// Loudspeakers of the first programme, subwoofer included.
    pub channels: u16,
    /// Bits per second.
    pub bitrate: u32,
    /// Of Dolby Atmos, joint object coding: how complex it is (`complexity_index_type_a`), which is how many objects there
    /// are (ETSI TS 103 420, C.3.2). `None` for sound that has no objects.
    pub objects: Option<u8>,
}

fn rate_of(r: &BitReader<'_>, fscod: u8) -> Result<u32> {
    match fscod {
        0 => Ok(48000),
        1 => Ok(44100),
        2 => Ok(32000),
        _ => Err(r.invalid("the sampling rate is reserved")),
    }
}

/// Reads the body of a `dac3` box (F.4).
///
/// # Errors
/// When it is cut short or uses reserved codes.
pub fn parse_dac3(body: &[u8]) -> Result<Config> {
    let mut r = BitReader::new("dac3", body);
    let fscod = r.bits8(2)?;
    r.skip(8)?;
    let (acmod, lfe, rate) = (r.bits8(3)?, r.bit()?, r.bits8(5)?);
    let kbits = RATES.get(usize::from(rate)).copied().ok_or_else(|| r.invalid("the bit rate is reserved"))?;
    let sample_rate = rate_of(&r, fscod)?;
    Ok(Config {
        sample_rate,
        channels: channels(acmod, lfe, 0),
        bitrate: kbits.saturating_mul(1000),
        objects: None,
    })
}

/// Reads the body of a `dec3` box (F.6).
///
/// # Errors
/// When it is cut short or uses reserved codes.
pub fn parse_dec3(body: &[u8]) -> Result<Config> {
    let mut r = BitReader::new("dec3", body);
    let kbits = r.bits(13)?;
    let programmes = r.bits(3)?.saturating_add(1);
    let mut first = None;
    for _ in 0..programmes {
        let fscod = r.bits8(2)?;
        r.skip(5 + 1 + 1 + 3)?;
        let (acmod, lfe) = (r.bits8(3)?, r.bit()?);
        r.skip(3)?;
        let dependent = r.bits(4)?;
        let locations = u16::try_from(r.bits(if dependent > 0 { 9 } else { 1 })?).unwrap_or(0);
        let locations = if dependent > 0 { locations } else { 0 };
        first.get_or_insert((rate_of(&r, fscod)?, channels(acmod, lfe, locations)));
    }
    let (sample_rate, channels) = first.ok_or_else(|| r.invalid("there is no programme"))?;
    // Boxes from before there were objects end here.
    let extended = r.remaining() >= 16 && r.bits(8)? & 1 != 0;
    let objects = if extended { Some(r.bits8(8)?) } else { None };
    Ok(Config { sample_rate, channels, bitrate: kbits.saturating_mul(1000), objects })
}

/// The first ten bytes of a frame as a `dac3` box describes it, with zeros for what the box doesn't say; `None` when it
/// is cut short.
#[must_use]
pub fn sync_header(dac3: &[u8]) -> Option<Bytes> {
    let [a, b, c, ..] = *dac3 else { return None };
    let bits = u32::from_be_bytes([0, a, b, c]);
    let field = |shift: u32, mask: u32| bits.wrapping_shr(shift) & mask;
    let (fscod, bsid, bsmod, acmod) = (field(22, 3), field(17, 31), field(14, 7), field(11, 7));
    let (lfe, rate) = (field(10, 1), field(5, 31));
    let mut out = BytesMut::from(&[0x0B, 0x77, 0, 0][..]);
    // Two codes of mixing levels, where there is a middle and where there are surround loudspeakers, or one of
    // surround in two channels, stand before the subwoofer (4.3.2).
    let levels: u32 = match acmod {
        2 | 3 | 4 | 6 => 2,
        5 | 7 => 4,
        _ => 0,
    };
    let head = u64::from(fscod).wrapping_shl(46) | u64::from(rate.wrapping_shl(1)).wrapping_shl(40);
    let head = head | u64::from(bsid).wrapping_shl(35) | u64::from(bsmod).wrapping_shl(32);
    let head =
        head | u64::from(acmod).wrapping_shl(29) | u64::from(lfe).wrapping_shl(28u32.saturating_sub(levels));
    out.put_slice(head.to_be_bytes().get(2..)?);
    Some(out.freeze())
}

/// The body of `dac3` for a stream of AC-3 frames like this one.
#[must_use]
pub fn build_dac3(header: &Header) -> Bytes {
    let bits = [
        (2, u32::from(header.fscod)),
        (5, u32::from(header.bsid)),
        (3, u32::from(header.bsmod)),
        (3, u32::from(header.acmod)),
        (1, u32::from(header.lfe)),
        (5, u32::from(header.bit_rate_code)),
        (5, 0u32),
    ];
    let word = bits.iter().fold(0u32, |word, (count, value)| word.wrapping_shl(*count) | value);
    Bytes::copy_from_slice(word.to_be_bytes().get(1..).unwrap_or_default())
}

/// The body of `dec3` for an access unit: its frames in order, the independent one first.
///
/// # Errors
/// When the unit does not begin with an E-AC-3 frame, or has more than one programme.
pub fn build_dec3(unit: &[u8]) -> Result<Bytes> {
    let first = Header::parse(unit)?;
    if !first.enhanced {
        return Err(Error::Unsupported { what: "dec3", feature: "AC-3 frames" });
    }
    let (mut dependent, mut locations, mut bytes) = (0u32, 0u16, first.frame_len);
    while let Some(Ok(frame)) = unit.get(bytes..).filter(|rest| !rest.is_empty()).map(Header::parse) {
        if frame.stream_type != 1 {
            return Err(Error::Unsupported { what: "dec3", feature: "more than one programme" });
        }
        dependent = dependent.saturating_add(1);
        locations |= frame.locations;
        bytes = bytes.saturating_add(frame.frame_len.max(1));
    }
    let bits =
        u64::try_from(bytes).unwrap_or(0).saturating_mul(8).saturating_mul(u64::from(first.sample_rate));
    let kbits = bits.checked_div(u64::from(first.samples).saturating_mul(1000)).unwrap_or(0).min(0x1FFF);
    let mut out = BytesMut::with_capacity(6);
    out.put_u16(u16::try_from(kbits.wrapping_shl(3)).unwrap_or(0));
    let fields = [
        (2, u64::from(first.fscod)),
        (5, u64::from(first.bsid)),
        (2, 0),
        (3, u64::from(first.bsmod)),
        (3, u64::from(first.acmod)),
        (1, u64::from(first.lfe)),
        (3, 0),
        (4, u64::from(dependent.min(15))),
    ];
    let word = fields.iter().fold(0u64, |word, (count, value)| word.wrapping_shl(*count) | value);
    if dependent > 0 {
        out.put_u32(u32::try_from(word.wrapping_shl(9) | u64::from(locations)).unwrap_or(0));
    } else {
        let word = u32::try_from(word.wrapping_shl(1)).unwrap_or(0);
        out.put_slice(word.to_be_bytes().get(1..).unwrap_or_default());
    }
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_sizes_of_the_table() {
        // Table 4.13: 192 kbit/s is 384 words at 48 kHz, 417 or 418 at 44.1 kHz, 576 at 32 kHz.
        for (fscod, odd, words) in [(0u8, 0u8, 384), (1, 0, 417), (1, 1, 418), (2, 0, 576)] {
            let frame = [0x0B, 0x77, 0, 0, (fscod << 6) | 20 | odd, 0x40, 0x43, 0];
            let header = Header::parse(&frame).unwrap();
            assert_eq!(header.frame_len, words * 2);
            let config = parse_dac3(&build_dac3(&header)).unwrap();
            assert_eq!((config.sample_rate, config.bitrate), (header.sample_rate, 192_000));
            assert_eq!(config.channels, header.channels());
        }
    }
}
