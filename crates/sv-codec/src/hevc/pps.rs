//! Picture parameter set (7.3.2.3): the parts that slice headers depend on.

use super::sps::scaling_lists;
use crate::{BitReader, Result, nal};

/// A picture parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pps {
    /// `pps_pic_parameter_set_id`, 0 to 63.
    pub id: u8,
    /// The SPS that it refers to.
    pub sps_id: u8,
    pub(super) dependent_slices: bool,
    pub(super) output_flag: bool,
    pub(super) extra_bits: u8,
    pub(super) cabac_init: bool,
    pub(super) refs_l0: u32,
    pub(super) refs_l1: u32,
    pub(super) chroma_qp_offsets: bool,
    pub(super) weighted_pred: bool,
    pub(super) weighted_bipred: bool,
    /// Tiles or wavefronts: slices have entry points.
    pub(super) entry_points: bool,
    pub(super) filter_across_slices: bool,
    pub(super) deblocking_override: bool,
    pub(super) deblocking_disabled: bool,
    pub(super) lists_modification: bool,
    pub(super) header_extension: bool,
    pub(super) chroma_qp_offset_lists: bool,
    /// Whether it has extensions that change slice headers in ways that are not known here.
    pub(super) unknown_extension: bool,
}

impl Pps {
    /// Reads a unit of type 34, both header bytes included.
    ///
    /// # Errors
    /// When it is cut short or breaks the specification.
    pub fn parse(unit: &[u8]) -> Result<Self> {
        let rbsp = nal::rbsp(unit, 1 << 14);
        let mut r = BitReader::new("the HEVC PPS", &rbsp);
        r.skip(16)?;
        let id = u8::try_from(r.ue_max(63, "its id is above 63")?).unwrap_or(0);
        let sps_id = u8::try_from(r.ue_max(15, "its SPS id is above 15")?).unwrap_or(0);
        let dependent_slices = r.bit()?;
        let output_flag = r.bit()?;
        let extra_bits = r.bits8(3)?;
        r.skip(1)?; // sign_data_hiding_enabled_flag
        let cabac_init = r.bit()?;
        let refs_l0 = r.ue_max(14, "it has more than 15 references")?.saturating_add(1);
        let refs_l1 = r.ue_max(14, "it has more than 15 references")?.saturating_add(1);
        r.se()?;
        r.skip(1)?; // constrained_intra_pred_flag
        let transform_skip = r.bit()?;
        if r.bit()? {
            r.ue()?;
        }
        r.se()?;
        r.se()?;
        let chroma_qp_offsets = r.bit()?;
        let weighted_pred = r.bit()?;
        let weighted_bipred = r.bit()?;
        r.skip(1)?; // transquant_bypass_enabled_flag
        let tiles = r.bit()?;
        let wavefronts = r.bit()?;
        if tiles {
            let columns = r.ue_max(1023, "it has too many tiles")?;
            let rows = r.ue_max(1023, "it has too many tiles")?;
            if !r.bit()? {
                for _ in 0..columns.saturating_add(rows) {
                    r.ue()?;
                }
            }
            r.skip(1)?; // loop_filter_across_tiles_enabled_flag
        }
        let filter_across_slices = r.bit()?;
        let (mut deblocking_override, mut deblocking_disabled) = (false, false);
        if r.bit()? {
            deblocking_override = r.bit()?;
            deblocking_disabled = r.bit()?;
            if !deblocking_disabled {
                r.se()?;
                r.se()?;
            }
        }
        if r.bit()? {
            scaling_lists(&mut r)?;
        }
        let lists_modification = r.bit()?;
        r.ue()?; // log2_parallel_merge_level_minus2
        let header_extension = r.bit()?;
        let (mut chroma_qp_offset_lists, mut unknown_extension) = (false, false);
        if r.bit()? {
            let range = r.bit()?;
            unknown_extension = r.bits(7)? != 0;
            if range {
                if transform_skip {
                    r.ue()?;
                }
                r.skip(1)?;
                chroma_qp_offset_lists = r.bit()?;
            }
        }
        Ok(Self {
            id,
            sps_id,
            dependent_slices,
            output_flag,
            extra_bits,
            cabac_init,
            refs_l0,
            refs_l1,
            chroma_qp_offsets,
            weighted_pred,
            weighted_bipred,
            entry_points: tiles || wavefronts,
            filter_across_slices,
            deblocking_override,
            deblocking_disabled,
            lists_modification,
            header_extension,
            chroma_qp_offset_lists,
            unknown_extension,
        })
    }
}
