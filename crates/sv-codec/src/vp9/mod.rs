//! VP9 ([bitstream specification](https://www.webmproject.org/vp9/)): uncompressed headers,
//! superframes and `vpcC` ([VP codec ISO media file format binding](https://www.webmproject.org/vp9/mp4/)).

use bytes::{BufMut, Bytes, BytesMut};
use sv_core::ColorInfo;

mod headers;

use crate::{BitReader, Reader, Result};
pub use headers::Headers;

/// The start of a frame's uncompressed header (6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Whether it is a key frame.
    pub key: bool,
    /// Whether it is shown.
    pub shown: bool,
    /// What only key frames tell.
    pub format: Option<Format>,
}

/// The format of the pictures from a key frame on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Format {
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
    /// Bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// `chromaSubsampling` of `vpcC`: 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub subsampling: u8,
    /// Colour description, as far as VP9 tells.
    pub color: ColorInfo,
}

/// What all headers begin with.
struct Start {
    profile: u8,
    /// `None` for a frame that only shows an earlier one.
    kind: Option<Kind>,
}

struct Kind {
    key: bool,
    shown: bool,
    /// `error_resilient_mode`.
    resilient: bool,
}

impl Start {
    fn parse(frame: &[u8]) -> Result<(BitReader<'_>, Self)> {
        let mut r = BitReader::new("the VP9 frame header", frame);
        if r.bits(2)? != 2 {
            return Err(r.invalid("there is no frame marker"));
        }
        let profile = r.bits8(1)? | r.bits8(1)?.wrapping_shl(1);
        if profile == 3 {
            r.skip(1)?;
        }
        let kind = match r.bit()? {
            true => None,
            false => Some(Kind { key: !r.bit()?, shown: r.bit()?, resilient: r.bit()? }),
        };
        Ok((r, Self { profile, kind }))
    }
}

fn sync_code(r: &mut BitReader<'_>) -> Result<()> {
    if r.bits(24)? != 0x49_8342 {
        return Err(r.invalid("there is no sync code"));
    }
    Ok(())
}

impl Header {
    /// Reads the header at the start of a frame.
    ///
    /// # Errors
    /// When it is cut short or breaks the specification.
    pub fn parse(frame: &[u8]) -> Result<Self> {
        let (mut r, Start { profile, kind }) = Start::parse(frame)?;
        let Some(Kind { key, shown, .. }) = kind else {
            // An earlier frame is shown again.
            return Ok(Self { profile, key: false, shown: true, format: None });
        };
        if !key {
            return Ok(Self { profile, key, shown, format: None });
        }
        sync_code(&mut r)?;
        let bit_depth = match (profile >= 2, profile >= 2 && r.bit()?) {
            (true, true) => 12,
            (true, false) => 10,
            _ => 8,
        };
        let space = r.bits8(3)?;
        let (primaries, matrix) = match space {
            1 | 3 => (6, 6),
            2 => (1, 1),
            4 => (7, 7),
            5 => (9, 9),
            7 => (1, 0),
            _ => (2, 2),
        };
        let odd = profile & 1 == 1;
        let (full_range, subsampling) = if space == 7 {
            (true, 3)
        } else {
            let full = r.bit()?;
            let code = match (odd && !r.bit()?, odd && !r.bit()?) {
                (false, false) => 1,
                (false, true) => 2,
                _ => 3,
            };
            (full, code)
        };
        if odd {
            r.skip(1)?;
        }
        let transfer = if primaries == 9 { 2 } else { primaries };
        let format = Format {
            width: r.bits(16)?.saturating_add(1),
            height: r.bits(16)?.saturating_add(1),
            bit_depth,
            subsampling,
            color: ColorInfo { primaries, transfer, matrix, full_range },
        };
        Ok(Self { profile, key, shown, format: Some(format) })
    }
}

/// The frames of a packet, which may be a superframe (annex B).
#[must_use]
pub fn frames(packet: &[u8]) -> Vec<&[u8]> {
    index(packet).unwrap_or_else(|| vec![packet])
}

fn index(packet: &[u8]) -> Option<Vec<&[u8]>> {
    let marker = *packet.last()?;
    if marker >> 5 != 6 {
        return None;
    }
    let count = usize::from(marker & 7).checked_add(1)?;
    let width = usize::from((marker >> 3) & 3).checked_add(1)?;
    let size = count.checked_mul(width)?.checked_add(2)?;
    let start = packet.len().checked_sub(size)?;
    let (mut rest, index) = packet.split_at_checked(start)?;
    if *index.first()? != marker {
        return None;
    }
    let mut out = Vec::with_capacity(count);
    for entry in index.get(1..)?.chunks_exact(width).take(count) {
        let size = entry.iter().rev().fold(0usize, |n, byte| n.wrapping_shl(8) | usize::from(*byte));
        let (frame, tail) = rest.split_at_checked(size)?;
        rest = tail;
        out.push(frame);
    }
    Some(out)
}

/// `VPCodecConfigurationRecord`, the body of `vpcC` behind its version and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Ten times the level.
    pub level: u8,
    /// Bits per sample.
    pub bit_depth: u8,
    /// 0 and 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub subsampling: u8,
    /// Colour description.
    pub color: ColorInfo,
}

impl Config {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is cut short.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new("vpcC", body);
        let (profile, level, packed) = (r.u8()?, r.u8()?, r.u8()?);
        let color =
            ColorInfo { primaries: r.u8()?, transfer: r.u8()?, matrix: r.u8()?, full_range: packed & 1 != 0 };
        Ok(Self { profile, level, bit_depth: packed >> 4, subsampling: (packed >> 1) & 7, color })
    }

    /// From a stream that begins with the key frame `packet` and has so many pictures a second
    /// (30 is a good guess).
    ///
    /// # Errors
    /// When it is no key frame, or broken.
    pub fn from_packet(packet: &[u8], frame_rate: u32) -> Result<Self> {
        let first = frames(packet).first().copied().unwrap_or_default();
        let header = Header::parse(first)?;
        let Some(format) = header.format else {
            return Err(BitReader::new("the VP9 frame header", first).invalid("it is no key frame"));
        };
        Ok(Self {
            profile: header.profile,
            level: level(format.width, format.height, frame_rate),
            bit_depth: format.bit_depth,
            subsampling: format.subsampling,
            color: format.color,
        })
    }

    /// Writes a record.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8);
        out.put_slice(&[self.profile, self.level]);
        out.put_u8(
            self.bit_depth.wrapping_shl(4)
                | (self.subsampling & 7).wrapping_shl(1)
                | u8::from(self.color.full_range),
        );
        out.put_slice(&[self.color.primaries, self.color.transfer, self.color.matrix, 0, 0]);
        out.freeze()
    }
}

/// The lowest level by picture size and luma sample rate
/// ([levels](https://www.webmproject.org/vp9/levels/)); bit rates are not considered.
fn level(width: u32, height: u32, frame_rate: u32) -> u8 {
    const LEVELS: [(u8, u64, u64); 14] = [
        (10, 829_440, 36_864),
        (11, 2_764_800, 73_728),
        (20, 4_608_000, 122_880),
        (21, 9_216_000, 245_760),
        (30, 20_736_000, 552_960),
        (31, 36_864_000, 983_040),
        (40, 83_558_400, 2_228_224),
        (41, 160_432_128, 2_228_224),
        (50, 311_951_360, 8_912_896),
        (51, 588_251_136, 8_912_896),
        (52, 1_176_502_272, 8_912_896),
        (60, 1_176_502_272, 35_651_584),
        (61, 2_353_004_544, 35_651_584),
        (62, 4_706_009_088, 35_651_584),
    ];
    let size = u64::from(width).saturating_mul(u64::from(height));
    let rate = size.saturating_mul(u64::from(frame_rate));
    LEVELS.iter().find(|(_, rates, sizes)| rate <= *rates && size <= *sizes).map_or(62, |(level, ..)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superframe_is_split() {
        // Two frames of 3 and 1 bytes, one byte a size.
        let packet = [1, 2, 3, 4, 0xC1, 3, 1, 0xC1];
        assert_eq!(frames(&packet), [&[1u8, 2, 3][..], &[4]]);
        assert_eq!(frames(&[1, 2, 3]), [&[1u8, 2, 3][..]]);
        assert_eq!(frames(&[0xC1]), [&[0xC1u8][..]]);
    }
}
