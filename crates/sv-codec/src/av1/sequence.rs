//! Sequence header (5.5).

use sv_core::{ColorInfo, Ratio};

use crate::{BitReader, Result};

/// A sequence header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sequence {
    /// `seq_profile`: 0 Main, 1 High, 2 Professional.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point.
    pub level: u8,
    /// `seq_tier` of the first operating point.
    pub high_tier: bool,
    /// Largest width in samples.
    pub width: u32,
    /// Largest height in samples.
    pub height: u32,
    /// Bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// Whether there is no chroma.
    pub monochrome: bool,
    /// Whether chroma has half the width.
    pub subsampling_x: bool,
    /// Whether chroma has half the height.
    pub subsampling_y: bool,
    /// `chroma_sample_position`.
    pub chroma_position: u8,
    /// Colour description.
    pub color: ColorInfo,
    /// Frames per second, where the timing is there and constant.
    pub frame_rate: Option<Ratio>,
    /// `reduced_still_picture_header`.
    pub reduced_still_picture: bool,
}

impl Sequence {
    /// Reads the payload of a sequence header OBU.
    ///
    /// # Errors
    /// When it is cut short or breaks the specification.
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let mut r = BitReader::new("the AV1 sequence header", payload);
        let profile = r.bits8(3)?;
        if profile > 2 {
            return Err(r.invalid("seq_profile is above 2"));
        }
        r.skip(1)?; // still_picture
        let reduced = r.bit()?;
        let (mut level, mut high_tier, mut frame_rate) = (0, false, None);
        if reduced {
            level = r.bits8(5)?;
        } else {
            let mut delay_bits = None;
            if r.bit()? {
                let (units, scale) = (r.bits(32)?, r.bits(32)?);
                if r.bit()? {
                    let ticks = uvlc(&mut r)?.saturating_add(1);
                    frame_rate = units.checked_mul(ticks).and_then(|ticks| Ratio::new(scale, ticks));
                }
                if r.bit()? {
                    delay_bits = Some(u64::from(r.bits(5)?).saturating_add(1));
                    r.skip(32 + 5 + 5)?;
                }
            }
            let display_delay = r.bit()?;
            for point in 0..=r.bits(5)? {
                r.skip(12)?;
                let idx = r.bits8(5)?;
                let tier = idx > 7 && r.bit()?;
                if point == 0 {
                    (level, high_tier) = (idx, tier);
                }
                if let Some(bits) = delay_bits
                    && r.bit()?
                {
                    r.skip(bits.saturating_mul(2).saturating_add(1))?;
                }
                if display_delay && r.bit()? {
                    r.skip(4)?;
                }
            }
        }
        let (width_bits, height_bits) = (r.bits(4)?.saturating_add(1), r.bits(4)?.saturating_add(1));
        let width = r.bits(width_bits)?.saturating_add(1);
        let height = r.bits(height_bits)?.saturating_add(1);
        if !reduced && r.bit()? {
            r.skip(7)?;
        }
        r.skip(3)?; // 128x128 superblocks, filter intra, intra edge filter
        if !reduced {
            r.skip(4)?; // interintra, masked, warped, dual filter
            let order_hint = r.bit()?;
            if order_hint {
                r.skip(2)?;
            }
            let screen_content = if r.bit()? { true } else { r.bit()? };
            if screen_content && !r.bit()? {
                r.skip(1)?;
            }
            if order_hint {
                r.skip(3)?;
            }
        }
        r.skip(3)?; // superres, cdef, restoration
        let mut sequence = Self {
            profile,
            level,
            high_tier,
            width,
            height,
            bit_depth: 8,
            monochrome: false,
            subsampling_x: true,
            subsampling_y: true,
            chroma_position: 0,
            color: ColorInfo::default(),
            frame_rate,
            reduced_still_picture: reduced,
        };
        sequence.color_config(&mut r)?;
        Ok(sequence)
    }

    /// `color_config()` (5.5.2).
    fn color_config(&mut self, r: &mut BitReader<'_>) -> Result<()> {
        let high = r.bit()?;
        self.bit_depth = match (self.profile == 2 && high && r.bit()?, high) {
            (true, _) => 12,
            (_, true) => 10,
            _ => 8,
        };
        self.monochrome = self.profile != 1 && r.bit()?;
        if r.bit()? {
            self.color.primaries = r.bits8(8)?;
            self.color.transfer = r.bits8(8)?;
            self.color.matrix = r.bits8(8)?;
        }
        let ColorInfo { primaries, transfer, matrix, .. } = self.color;
        if self.monochrome {
            self.color.full_range = r.bit()?;
            return Ok(());
        }
        if (primaries, transfer, matrix) == (1, 13, 0) {
            self.color.full_range = true;
            (self.subsampling_x, self.subsampling_y) = (false, false);
            return Ok(());
        }
        self.color.full_range = r.bit()?;
        (self.subsampling_x, self.subsampling_y) = match (self.profile, self.bit_depth) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, 12) => {
                let x = r.bit()?;
                (x, x && r.bit()?)
            }
            _ => (true, false),
        };
        if self.subsampling_x && self.subsampling_y {
            self.chroma_position = r.bits8(2)?;
        }
        Ok(())
    }
}

/// `uvlc()` (4.10.3).
fn uvlc(r: &mut BitReader<'_>) -> Result<u32> {
    let mut zeros = 0u32;
    while !r.bit()? {
        zeros = zeros.saturating_add(1);
        if zeros >= 32 {
            return Ok(u32::MAX);
        }
    }
    Ok(1u32.wrapping_shl(zeros).wrapping_sub(1).saturating_add(r.bits(zeros)?))
}
