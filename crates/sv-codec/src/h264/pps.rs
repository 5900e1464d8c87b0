//! Picture parameter set (7.3.2.2): the parts that slice headers depend on.

use crate::{BitReader, Result, nal};

/// A picture parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pps {
    /// `pic_parameter_set_id`, 0 to 255.
    pub id: u8,
    /// The SPS that it refers to.
    pub sps_id: u8,
    /// Whether slices are coded with CABAC.
    pub cabac: bool,
    /// `bottom_field_pic_order_in_frame_present_flag`.
    pub bottom_field_poc_present: bool,
    /// `slice_group_change_rate` where slice headers carry a change cycle, otherwise 0.
    pub slice_group_change_rate: u32,
    /// Entries of reference list 0 unless a slice says otherwise.
    pub refs_l0: u32,
    /// Entries of reference list 1 unless a slice says otherwise.
    pub refs_l1: u32,
    /// `weighted_pred_flag`.
    pub weighted_pred: bool,
    /// `weighted_bipred_idc`.
    pub weighted_bipred: u8,
    /// `deblocking_filter_control_present_flag`.
    pub deblocking_control: bool,
    /// `redundant_pic_cnt_present_flag`.
    pub redundant_pic_cnt: bool,
}

impl Pps {
    /// Reads a unit of type 8, header byte included.
    ///
    /// # Errors
    /// When it is cut short or breaks the specification.
    pub fn parse(unit: &[u8]) -> Result<Self> {
        let rbsp = nal::rbsp(unit, 1 << 16);
        let mut r = BitReader::new("the H.264 PPS", &rbsp);
        r.skip(8)?;
        let id = u8::try_from(r.ue_max(255, "its id is above 255")?).unwrap_or(0);
        let sps_id = u8::try_from(r.ue_max(31, "its SPS id is above 31")?).unwrap_or(0);
        let cabac = r.bit()?;
        let bottom_field_poc_present = r.bit()?;
        let mut slice_group_change_rate = 0;
        let groups = r.ue_max(7, "it has more than 8 slice groups")?.saturating_add(1);
        if groups > 1 {
            match r.ue_max(6, "slice_group_map_type is above 6")? {
                0 => (0..groups).try_for_each(|_| r.ue().map(drop))?,
                2 => (1..groups).try_for_each(|_| r.ue().and_then(|_| r.ue()).map(drop))?,
                3..=5 => {
                    r.skip(1)?;
                    slice_group_change_rate = r.ue()?.saturating_add(1);
                }
                6 => {
                    let bits = if groups > 4 {
                        3u64
                    } else if groups > 2 {
                        2
                    } else {
                        1
                    };
                    let map_units = u64::from(r.ue()?).saturating_add(1);
                    r.skip(map_units.saturating_mul(bits))?;
                }
                _ => {}
            }
        }
        let refs_l0 = r.ue_max(31, "it has more than 32 references")?.saturating_add(1);
        let refs_l1 = r.ue_max(31, "it has more than 32 references")?.saturating_add(1);
        let weighted_pred = r.bit()?;
        let weighted_bipred = r.bits8(2)?;
        for _ in 0..3 {
            r.se()?; // pic_init_qp, pic_init_qs, chroma_qp_index_offset
        }
        let deblocking_control = r.bit()?;
        r.skip(1)?; // constrained_intra_pred_flag
        let redundant_pic_cnt = r.bit()?;
        Ok(Self {
            id,
            sps_id,
            cabac,
            bottom_field_poc_present,
            slice_group_change_rate,
            refs_l0,
            refs_l1,
            weighted_pred,
            weighted_bipred,
            deblocking_control,
            redundant_pic_cnt,
        })
    }
}
