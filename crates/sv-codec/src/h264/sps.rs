//! Sequence parameter set (7.3.2.1.1) and the parts of its VUI (annex E) that streaming needs.

use sv_core::{ColorInfo, Ratio};

use crate::{BitReader, Result, h273, nal};

/// A sequence parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    /// `profile_idc`.
    pub profile: u8,
    /// The byte of `constraint_set` flags.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// `chroma_format_idc`: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Whether the three colour planes are coded apart.
    pub separate_planes: bool,
    /// Bits per luma sample.
    pub bit_depth_luma: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// Bits of `frame_num`.
    pub frame_num_bits: u8,
    /// `pic_order_cnt_type`, 0 to 2.
    pub poc_type: u8,
    /// Bits of `pic_order_cnt_lsb`.
    pub poc_lsb_bits: u8,
    /// `delta_pic_order_always_zero_flag`.
    pub poc_delta_always_zero: bool,
    /// Whether every picture is a frame. Otherwise fields may occur: the video may be interlaced.
    pub frame_mbs_only: bool,
    /// Width in macroblocks.
    pub width_in_mbs: u32,
    /// Height in slice group map units.
    pub height_in_map_units: u32,
    /// Width in samples, after cropping.
    pub width: u32,
    /// Height in samples, after cropping.
    pub height: u32,
    /// Width of a sample over its height, where the VUI says.
    pub sample_aspect: Option<Ratio>,
    /// Colour description, where the VUI has one.
    pub color: Option<ColorInfo>,
    /// Frames per second, where the VUI has timing: half the field rate.
    pub frame_rate: Option<Ratio>,
    /// Most frames that precede another in decoding order and follow it in output order.
    pub max_reorder: Option<u32>,
}

impl Sps {
    /// Reads a unit of type 7, header byte included.
    ///
    /// # Errors
    /// When it is cut short or breaks the specification.
    pub fn parse(unit: &[u8]) -> Result<Self> {
        let rbsp = nal::rbsp(unit, 4096);
        let mut r = BitReader::new("the H.264 SPS", &rbsp);
        r.skip(8)?;
        let profile = r.bits8(8)?;
        let constraints = r.bits8(8)?;
        let level = r.bits8(8)?;
        let id = small(r.ue_max(31, "its id is above 31")?);
        let (mut chroma_format, mut separate_planes, mut bit_depth_luma, mut bit_depth_chroma) =
            (1, false, 8, 8);
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma_format = small(r.ue_max(3, "chroma_format_idc is above 3")?);
            separate_planes = chroma_format == 3 && r.bit()?;
            bit_depth_luma = small(r.ue_max(6, "the bit depth is above 14")?.saturating_add(8));
            bit_depth_chroma = small(r.ue_max(6, "the bit depth is above 14")?.saturating_add(8));
            r.skip(1)?;
            if r.bit()? {
                scaling_matrix(&mut r, if chroma_format == 3 { 12 } else { 8 })?;
            }
        }
        let frame_num_bits = small(r.ue_max(12, "log2_max_frame_num is above 16")?.saturating_add(4));
        let poc_type = small(r.ue_max(2, "pic_order_cnt_type is above 2")?);
        let (mut poc_lsb_bits, mut poc_delta_always_zero) = (0, false);
        match poc_type {
            0 => {
                poc_lsb_bits =
                    small(r.ue_max(12, "log2_max_pic_order_cnt_lsb is above 16")?.saturating_add(4))
            }
            1 => {
                poc_delta_always_zero = r.bit()?;
                r.se()?;
                r.se()?;
                for _ in 0..r.ue_max(255, "the picture order cycle is too long")? {
                    r.se()?;
                }
            }
            _ => {}
        }
        r.ue()?; // max_num_ref_frames
        r.skip(1)?; // gaps_in_frame_num_value_allowed_flag
        let width_in_mbs = r.ue_max(4095, "the picture is too wide")?.saturating_add(1);
        let height_in_map_units = r.ue_max(4095, "the picture is too high")?.saturating_add(1);
        let frame_mbs_only = r.bit()?;
        if !frame_mbs_only {
            r.skip(1)?; // mb_adaptive_frame_field_flag
        }
        r.skip(1)?; // direct_8x8_inference_flag
        let field_factor = if frame_mbs_only { 1u32 } else { 2 };
        let mut width = width_in_mbs.saturating_mul(16);
        let mut height = height_in_map_units.saturating_mul(16).saturating_mul(field_factor);
        if r.bit()? {
            let array_type = if separate_planes { 0 } else { chroma_format };
            let unit_x: u32 = if matches!(array_type, 1 | 2) { 2 } else { 1 };
            let unit_y: u32 = if array_type == 1 { field_factor.saturating_mul(2) } else { field_factor };
            let (left, right, top, bottom) = (r.ue()?, r.ue()?, r.ue()?, r.ue()?);
            let crop_x = left.saturating_add(right).saturating_mul(unit_x);
            let crop_y = top.saturating_add(bottom).saturating_mul(unit_y);
            if crop_x >= width || crop_y >= height {
                return Err(r.invalid("cropping leaves nothing of the picture"));
            }
            width = width.saturating_sub(crop_x);
            height = height.saturating_sub(crop_y);
        }
        let mut sps = Self {
            id,
            profile,
            constraints,
            level,
            chroma_format,
            separate_planes,
            bit_depth_luma,
            bit_depth_chroma,
            frame_num_bits,
            poc_type,
            poc_lsb_bits,
            poc_delta_always_zero,
            frame_mbs_only,
            width_in_mbs,
            height_in_map_units,
            width,
            height,
            sample_aspect: None,
            color: None,
            frame_rate: None,
            max_reorder: None,
        };
        if r.bit()? {
            // Real encoders leave broken VUIs: what was read before the break still counts.
            let _ = vui(&mut r, &mut sps);
        }
        Ok(sps)
    }

    /// `ChromaArrayType`: the chroma format, or 0 where planes are coded apart.
    #[must_use]
    pub const fn chroma_array_type(&self) -> u8 {
        if self.separate_planes { 0 } else { self.chroma_format }
    }
}

/// A value that was checked to be below 256.
fn small(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// `scaling_list()` for each list that is present: only passed over (7.3.2.1.1.1).
pub(super) fn scaling_matrix(r: &mut BitReader<'_>, lists: usize) -> Result<()> {
    for list in 0..lists {
        if !r.bit()? {
            continue;
        }
        let size = if list < 6 { 16 } else { 64 };
        let mut next = 8i32;
        for _ in 0..size {
            if next != 0 {
                next = next.saturating_add(r.se()?).saturating_add(256).rem_euclid(256);
            }
        }
    }
    Ok(())
}

/// `vui_parameters()` (E.1.1).
fn vui(r: &mut BitReader<'_>, sps: &mut Sps) -> Result<()> {
    if r.bit()? {
        let idc = r.bits(8)?;
        sps.sample_aspect =
            if idc == 255 { Ratio::new(r.bits(16)?, r.bits(16)?) } else { h273::sample_aspect(idc) };
    }
    if r.bit()? {
        r.skip(1)?; // overscan_appropriate_flag
    }
    if r.bit()? {
        r.skip(3)?; // video_format
        let mut color = ColorInfo { full_range: r.bit()?, ..ColorInfo::default() };
        if r.bit()? {
            color.primaries = r.bits8(8)?;
            color.transfer = r.bits8(8)?;
            color.matrix = r.bits8(8)?;
        }
        sps.color = Some(color);
    }
    if r.bit()? {
        r.ue()?;
        r.ue()?;
    }
    if r.bit()? {
        let ticks = r.bits(32)?;
        let scale = r.bits(32)?;
        r.skip(1)?; // fixed_frame_rate_flag
        // A tick is a field; two make a frame.
        sps.frame_rate = match ticks.checked_mul(2) {
            Some(frame) => Ratio::new(scale, frame),
            None => Ratio::new(scale / 2, ticks),
        };
    }
    let nal_hrd = r.bit()?;
    if nal_hrd {
        hrd(r)?;
    }
    let vcl_hrd = r.bit()?;
    if vcl_hrd {
        hrd(r)?;
    }
    if nal_hrd || vcl_hrd {
        r.skip(1)?; // low_delay_hrd_flag
    }
    r.skip(1)?; // pic_struct_present_flag
    if r.bit()? {
        r.skip(1)?; // motion_vectors_over_pic_boundaries_flag
        for _ in 0..4 {
            r.ue()?;
        }
        sps.max_reorder = Some(r.ue_max(16, "more than 16 frames are reordered")?);
    }
    Ok(())
}

/// `hrd_parameters()` (E.1.2), only passed over.
fn hrd(r: &mut BitReader<'_>) -> Result<()> {
    let count = r.ue_max(31, "the HRD has more than 32 buffers")?.saturating_add(1);
    r.skip(8)?;
    for _ in 0..count {
        r.ue()?;
        r.ue()?;
        r.skip(1)?;
    }
    r.skip(20)
}
