//! Sequence parameter set (7.3.2.2), with its profile (7.3.3) and the parts of its VUI (annex E)
//! that streaming needs.

use sv_core::{ColorInfo, Ratio};

use crate::{BitReader, Result, h273, nal};

/// `profile_tier_level()` without sub-layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileTierLevel {
    /// `general_profile_space`, 0 to 3.
    pub space: u8,
    /// Whether it is the high tier.
    pub high_tier: bool,
    /// `general_profile_idc`: 1 Main, 2 Main 10.
    pub profile: u8,
    /// `general_profile_compatibility_flag` 0 to 31, the first in the highest bit.
    pub compatibility: u32,
    /// The six bytes of constraint flags.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
}

impl ProfileTierLevel {
    /// Reads the structure, sub-layers included, and keeps the general part.
    pub(super) fn parse(r: &mut BitReader<'_>, max_sub_layers_minus1: u32) -> Result<Self> {
        let mut ptl = Self {
            space: r.bits8(2)?,
            high_tier: r.bit()?,
            profile: r.bits8(5)?,
            compatibility: r.bits(32)?,
            ..Self::default()
        };
        for byte in &mut ptl.constraints {
            *byte = r.bits8(8)?;
        }
        ptl.level = r.bits8(8)?;
        let mut present = Vec::new();
        for _ in 0..max_sub_layers_minus1 {
            present.push((r.bit()?, r.bit()?));
        }
        if max_sub_layers_minus1 > 0 {
            r.skip(u64::from(8u32.saturating_sub(max_sub_layers_minus1)).saturating_mul(2))?;
        }
        for (profile, level) in present {
            r.skip(if profile { 88 } else { 0 })?;
            r.skip(if level { 8 } else { 0 })?;
        }
        Ok(ptl)
    }
}

/// A short-term reference picture set: distances in picture order and whether this picture uses
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReferenceSet {
    pub(super) negative: Vec<(i32, bool)>,
    pub(super) positive: Vec<(i32, bool)>,
}

impl ReferenceSet {
    /// `st_ref_pic_set( index )` (7.3.7), `earlier` being those of the SPS before it, `in_slice`
    /// whether it stands in a slice header.
    pub(super) fn parse(r: &mut BitReader<'_>, earlier: &[Self], in_slice: bool) -> Result<Self> {
        if !earlier.is_empty() && r.bit()? {
            return Self::predicted(r, earlier, in_slice);
        }
        let negative = r.ue_max(16, "a reference picture set is too large")?;
        let positive = r.ue_max(16, "a reference picture set is too large")?;
        let mut side = |count: u32, sign: i32| {
            let mut at = 0i32;
            (0..count)
                .map(|_| {
                    let step = i32::try_from(r.ue_max(0x7FFF, "a reference is too far away")?).unwrap_or(0);
                    at = at.saturating_add(step.saturating_add(1).saturating_mul(sign));
                    Ok((at, r.bit()?))
                })
                .collect::<Result<Vec<_>>>()
        };
        Ok(Self { negative: side(negative, -1)?, positive: side(positive, 1)? })
    }

    /// A set that is given by its difference from an earlier one (7.4.8).
    fn predicted(r: &mut BitReader<'_>, earlier: &[Self], in_slice: bool) -> Result<Self> {
        let back = if in_slice { r.ue_max(63, "a reference picture set is unknown")? } else { 0 };
        let back = usize::try_from(back).unwrap_or(usize::MAX);
        let Some(source) = earlier.iter().rev().nth(back) else {
            return Err(r.invalid("a reference picture set is unknown"));
        };
        let sign = if r.bit()? { -1 } else { 1 };
        let magnitude = i32::try_from(r.ue_max(0x7FFF, "a reference is too far away")?).unwrap_or(0);
        let delta = magnitude.saturating_add(1).saturating_mul(sign);
        let mut flags = |poc: i32| -> Result<(i32, bool, bool)> {
            let used = r.bit()?;
            Ok((poc, used, used || r.bit()?))
        };
        let negative = source.negative.iter().map(|(poc, _)| flags(*poc)).collect::<Result<Vec<_>>>()?;
        let positive = source.positive.iter().map(|(poc, _)| flags(*poc)).collect::<Result<Vec<_>>>()?;
        let own = flags(0)?;
        let moved = |(poc, used, kept): &(i32, bool, bool)| kept.then(|| (poc.saturating_add(delta), *used));
        let own = std::iter::once(&own);
        let below = positive.iter().rev().chain(own.clone()).chain(&negative);
        let above = negative.iter().rev().chain(own).chain(&positive);
        let set = Self {
            negative: below.filter_map(moved).filter(|(poc, _)| *poc < 0).collect(),
            positive: above.filter_map(moved).filter(|(poc, _)| *poc > 0).collect(),
        };
        if set.negative.len() > 16 || set.positive.len() > 16 {
            return Err(r.invalid("a reference picture set is too large"));
        }
        Ok(set)
    }

    /// Pictures that the current one uses.
    pub(super) fn used(&self) -> usize {
        self.negative.iter().chain(&self.positive).filter(|(_, used)| *used).count()
    }
}

/// A sequence parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// `sps_seq_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// Profile, tier and level.
    pub profile: ProfileTierLevel,
    /// Temporal sub-layers, 1 to 7.
    pub sub_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nesting: bool,
    /// `chroma_format_idc`: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Width in samples, after cropping.
    pub width: u32,
    /// Height in samples, after cropping.
    pub height: u32,
    /// Bits per luma sample.
    pub bit_depth_luma: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// Width of a sample over its height, where the VUI says.
    pub sample_aspect: Option<Ratio>,
    /// Colour description, where the VUI has one.
    pub color: Option<ColorInfo>,
    /// Pictures per second, where the VUI has timing.
    pub frame_rate: Option<Ratio>,
    /// Whether each picture is a field.
    pub field_pictures: bool,
    pub(super) separate_planes: bool,
    pub(super) poc_lsb_bits: u32,
    pub(super) ctbs: u32,
    pub(super) sao: bool,
    pub(super) reference_sets: Vec<ReferenceSet>,
    /// Whether long-term references exist, and which of those in the SPS are used.
    pub(super) long_term: Option<Vec<bool>>,
    pub(super) temporal_mvp: bool,
}

impl Sps {
    /// Reads a unit of type 33, both header bytes included.
    ///
    /// # Errors
    /// When it is cut short or breaks the specification.
    pub fn parse(unit: &[u8]) -> Result<Self> {
        let rbsp = nal::rbsp(unit, 1 << 14);
        let mut r = BitReader::new("the HEVC SPS", &rbsp);
        r.skip(16 + 4)?;
        let sub_layers_minus1 = r.bits(3)?.min(6);
        let temporal_id_nesting = r.bit()?;
        let profile = ProfileTierLevel::parse(&mut r, sub_layers_minus1)?;
        let id = small(r.ue_max(15, "its id is above 15")?);
        let chroma_format = small(r.ue_max(3, "chroma_format_idc is above 3")?);
        let separate_planes = chroma_format == 3 && r.bit()?;
        let (coded_width, coded_height) =
            (r.ue_max(65535, "the picture is too wide")?, r.ue_max(65535, "the picture is too high")?);
        let (mut width, mut height) = (coded_width, coded_height);
        if r.bit()? {
            let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
            let unit_y = if chroma_format == 1 { 2 } else { 1 };
            let (left, right, top, bottom) = (r.ue()?, r.ue()?, r.ue()?, r.ue()?);
            width = width.saturating_sub(left.saturating_add(right).saturating_mul(unit_x));
            height = height.saturating_sub(top.saturating_add(bottom).saturating_mul(unit_y));
        }
        if width == 0 || height == 0 {
            return Err(r.invalid("the picture is empty"));
        }
        let bit_depth_luma = small(r.ue_max(8, "the bit depth is above 16")?.saturating_add(8));
        let bit_depth_chroma = small(r.ue_max(8, "the bit depth is above 16")?.saturating_add(8));
        let poc_lsb_bits = r.ue_max(12, "the picture order count is too long")?.saturating_add(4);
        let ordering = if r.bit()? { sub_layers_minus1.saturating_add(1) } else { 1 };
        for _ in 0..ordering.saturating_mul(3) {
            r.ue()?;
        }
        let min_coding_bits = r.ue_max(3, "the coding block is too large")?.saturating_add(3);
        let ctb_bits = r.ue_max(3, "the coding tree block is too large")?.saturating_add(min_coding_bits);
        for _ in 0..4 {
            r.ue()?;
        }
        if r.bit()? && r.bit()? {
            scaling_lists(&mut r)?;
        }
        r.skip(1)?; // amp_enabled_flag
        let sao = r.bit()?;
        if r.bit()? {
            r.skip(8)?;
            r.ue()?;
            r.ue()?;
            r.skip(1)?;
        }
        let sets = r.ue_max(64, "it has too many reference picture sets")?;
        let mut reference_sets = Vec::new();
        for _ in 0..sets {
            let set = ReferenceSet::parse(&mut r, &reference_sets, false)?;
            reference_sets.push(set);
        }
        let mut long_term = None;
        if r.bit()? {
            let count = r.ue_max(32, "it has too many long-term references")?;
            let mut used = Vec::new();
            for _ in 0..count {
                r.skip(u64::from(poc_lsb_bits))?;
                used.push(r.bit()?);
            }
            long_term = Some(used);
        }
        let temporal_mvp = r.bit()?;
        r.skip(1)?; // strong_intra_smoothing_enabled_flag
        let ctb = 1u32.wrapping_shl(ctb_bits);
        let mut sps = Self {
            id,
            profile,
            sub_layers: small(sub_layers_minus1.saturating_add(1)),
            temporal_id_nesting,
            chroma_format,
            width,
            height,
            bit_depth_luma,
            bit_depth_chroma,
            sample_aspect: None,
            color: None,
            frame_rate: None,
            field_pictures: false,
            separate_planes,
            poc_lsb_bits,
            ctbs: coded_width.div_ceil(ctb).saturating_mul(coded_height.div_ceil(ctb)),
            sao,
            reference_sets,
            long_term,
            temporal_mvp,
        };
        if r.bit()? {
            // Real encoders leave broken VUIs: what was read before the break still counts.
            let _ = vui(&mut r, &mut sps);
        }
        Ok(sps)
    }

    /// `ChromaArrayType`: the chroma format, or 0 where planes are coded apart.
    pub(super) const fn chroma_array_type(&self) -> u8 {
        if self.separate_planes { 0 } else { self.chroma_format }
    }
}

/// A value that was checked to be below 256.
fn small(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// `scaling_list_data()` (7.3.4), only passed over.
pub(super) fn scaling_lists(r: &mut BitReader<'_>) -> Result<()> {
    for size in 0..4u32 {
        for _ in 0..(if size == 3 { 2 } else { 6 }) {
            if !r.bit()? {
                r.ue()?;
                continue;
            }
            if size > 1 {
                r.se()?;
            }
            for _ in 0..(if size == 0 { 16 } else { 64 }) {
                r.se()?;
            }
        }
    }
    Ok(())
}

/// `vui_parameters()` (E.2.1) up to the timing.
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
    r.skip(1)?; // neutral_chroma_indication_flag
    sps.field_pictures = r.bit()?;
    r.skip(1)?; // frame_field_info_present_flag
    if r.bit()? {
        for _ in 0..4 {
            r.ue()?;
        }
    }
    if r.bit()? {
        let ticks = r.bits(32)?;
        sps.frame_rate = Ratio::new(r.bits(32)?, ticks);
    }
    Ok(())
}
