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
    pub(super) tools: Tools,
}

/// What of a sequence header decides the shape of frame headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) decoder_model: bool,
    pub(super) equal_picture_interval: bool,
    pub(super) removal_time_bits: u32,
    pub(super) presentation_time_bits: u32,
    /// Operating points: the layers of each, and whether its removal times are told.
    pub(super) points: [(u16, bool); 32],
    pub(super) point_count: usize,
    pub(super) width_bits: u32,
    pub(super) height_bits: u32,
    /// Bits of frame numbers and of differences between them, if there are any.
    pub(super) frame_ids: Option<(u32, u32)>,
    pub(super) large_superblocks: bool,
    pub(super) warped_motion: bool,
    pub(super) order_hint_bits: u32,
    pub(super) ref_frame_mvs: bool,
    /// 2 where each frame chooses.
    pub(super) screen_content: u8,
    pub(super) integer_mv: u8,
    pub(super) superres: bool,
    pub(super) cdef: bool,
    pub(super) restoration: bool,
    pub(super) separate_uv_delta_q: bool,
    pub(super) film_grain: bool,
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
        let mut tools = Tools { screen_content: 2, integer_mv: 2, point_count: 1, ..Tools::default() };
        if reduced {
            level = r.bits8(5)?;
        } else {
            let mut delay_bits = None;
            if r.bit()? {
                let (units, scale) = (r.bits(32)?, r.bits(32)?);
                tools.equal_picture_interval = r.bit()?;
                if tools.equal_picture_interval {
                    let ticks = uvlc(&mut r)?.saturating_add(1);
                    frame_rate = units.checked_mul(ticks).and_then(|ticks| Ratio::new(scale, ticks));
                }
                tools.decoder_model = r.bit()?;
                if tools.decoder_model {
                    delay_bits = Some(u64::from(r.bits(5)?).saturating_add(1));
                    r.skip(32)?;
                    tools.removal_time_bits = r.bits(5)?.saturating_add(1);
                    tools.presentation_time_bits = r.bits(5)?.saturating_add(1);
                }
            }
            let display_delay = r.bit()?;
            let last = r.bits(5)?;
            tools.point_count = usize::try_from(last).unwrap_or(0).saturating_add(1);
            for (n, point) in tools.points.iter_mut().take(tools.point_count).enumerate() {
                point.0 = u16::try_from(r.bits(12)?).unwrap_or(0);
                let idx = r.bits8(5)?;
                let tier = idx > 7 && r.bit()?;
                if n == 0 {
                    (level, high_tier) = (idx, tier);
                }
                if let Some(bits) = delay_bits {
                    point.1 = r.bit()?;
                    if point.1 {
                        r.skip(bits.saturating_mul(2).saturating_add(1))?;
                    }
                }
                if display_delay && r.bit()? {
                    r.skip(4)?;
                }
            }
        }
        tools.width_bits = r.bits(4)?.saturating_add(1);
        tools.height_bits = r.bits(4)?.saturating_add(1);
        let width = r.bits(tools.width_bits)?.saturating_add(1);
        let height = r.bits(tools.height_bits)?.saturating_add(1);
        if !reduced && r.bit()? {
            let difference = r.bits(4)?.saturating_add(2);
            tools.frame_ids = Some((r.bits(3)?.saturating_add(difference).saturating_add(1), difference));
        }
        tools.large_superblocks = r.bit()?;
        r.skip(2)?; // filter intra, intra edge filter
        if !reduced {
            r.skip(2)?; // interintra, masked compound
            tools.warped_motion = r.bit()?;
            r.skip(1)?; // dual filter
            let order_hint = r.bit()?;
            if order_hint {
                r.skip(1)?; // joint compound
                tools.ref_frame_mvs = r.bit()?;
            }
            tools.screen_content = if r.bit()? { 2 } else { r.bits8(1)? };
            if tools.screen_content > 0 && !r.bit()? {
                tools.integer_mv = r.bits8(1)?;
            }
            if order_hint {
                tools.order_hint_bits = r.bits(3)?.saturating_add(1);
            }
        }
        tools.superres = r.bit()?;
        tools.cdef = r.bit()?;
        tools.restoration = r.bit()?;
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
            tools,
        };
        sequence.color_config(&mut r)?;
        // Only frame headers need this bit; what was read counts without it.
        sequence.tools.film_grain = r.bit().unwrap_or(false);
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
            self.tools.separate_uv_delta_q = r.bit()?;
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
        self.tools.separate_uv_delta_q = r.bit()?;
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
