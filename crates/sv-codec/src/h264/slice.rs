//! Slice headers (7.3.3): where they end, which is where subsample encryption may begin.

use std::collections::BTreeMap;

use super::{Config, IDR, Pps, Sps, unit_type};
use crate::{BitReader, Result, nal};

/// Measures slice headers with the parameter sets that it has been shown.
///
/// ISO/IEC 23001-7, 9.5.2.2 leaves slice headers in the clear; this says how long they are.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    sps: BTreeMap<u8, Sps>,
    pps: BTreeMap<u8, Pps>,
}

impl Slices {
    /// With the parameter sets of a configuration record; broken ones are left out.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut slices = Self::default();
        for unit in config.sps.iter().chain(&config.pps) {
            // What a broken set would have described fails by name when a slice refers to it.
            let _ = slices.parameter_set(unit);
        }
        slices
    }

    /// Takes in a unit if it is an SPS or PPS, and ignores any other: for sets inside packets.
    ///
    /// # Errors
    /// When the set is broken; the earlier one of its number stays.
    pub fn parameter_set(&mut self, unit: &[u8]) -> Result<()> {
        match unit_type(unit) {
            super::SPS => {
                let sps = Sps::parse(unit)?;
                self.sps.insert(sps.id, sps);
            }
            super::PPS => {
                let pps = Pps::parse(unit)?;
                self.pps.insert(pps.id, pps);
            }
            _ => {}
        }
        Ok(())
    }

    /// Bytes of the unit, header byte included, that hold its slice header: the last one may
    /// already hold slice data.
    ///
    /// # Errors
    /// When the header is cut short or broken, or its parameter sets are missing.
    pub fn header_len(&self, unit: &[u8]) -> Result<usize> {
        nal::prefix(unit, |rbsp| self.rbsp_header_len(rbsp))
    }

    fn rbsp_header_len(&self, rbsp: &[u8]) -> Result<usize> {
        let mut r = BitReader::new("the H.264 slice header", rbsp);
        r.skip(1)?;
        let ref_idc = r.bits(2)?;
        let kind = r.bits8(5)?;
        r.ue()?; // first_mb_in_slice
        let slice_type = r.ue_max(9, "slice_type is above 9")? % 5;
        let (p, b, i, sp, si) =
            (slice_type == 0, slice_type == 1, slice_type == 2, slice_type == 3, slice_type == 4);
        let pps_id = u8::try_from(r.ue()?).map_err(|_| r.invalid("its PPS id is above 255"))?;
        let pps = self.pps.get(&pps_id).ok_or_else(|| r.invalid("its PPS is unknown"))?;
        let sps = self.sps.get(&pps.sps_id).ok_or_else(|| r.invalid("its SPS is unknown"))?;
        if sps.separate_planes {
            r.skip(2)?;
        }
        r.skip(u64::from(sps.frame_num_bits))?;
        let field = !sps.frame_mbs_only && r.bit()?;
        if field {
            r.skip(1)?; // bottom_field_flag
        }
        if kind == IDR {
            r.ue()?; // idr_pic_id
        }
        if sps.poc_type == 0 {
            r.skip(u64::from(sps.poc_lsb_bits))?;
            if pps.bottom_field_poc_present && !field {
                r.se()?;
            }
        }
        if sps.poc_type == 1 && !sps.poc_delta_always_zero {
            r.se()?;
            if pps.bottom_field_poc_present && !field {
                r.se()?;
            }
        }
        if pps.redundant_pic_cnt {
            r.ue()?;
        }
        if b {
            r.skip(1)?; // direct_spatial_mv_pred_flag
        }
        let (mut refs_l0, mut refs_l1) = (pps.refs_l0, pps.refs_l1);
        if (p || sp || b) && r.bit()? {
            refs_l0 = r.ue_max(31, "it has more than 32 references")?.saturating_add(1);
            if b {
                refs_l1 = r.ue_max(31, "it has more than 32 references")?.saturating_add(1);
            }
        }
        if !i && !si {
            list_modification(&mut r)?;
        }
        if b {
            list_modification(&mut r)?;
        }
        if (pps.weighted_pred && (p || sp)) || (pps.weighted_bipred == 1 && b) {
            let chroma = sps.chroma_array_type() != 0;
            r.ue()?;
            if chroma {
                r.ue()?;
            }
            weights(&mut r, refs_l0, chroma)?;
            if b {
                weights(&mut r, refs_l1, chroma)?;
            }
        }
        if ref_idc != 0 {
            reference_marking(&mut r, kind == IDR)?;
        }
        if pps.cabac && !i && !si {
            r.ue()?; // cabac_init_idc
        }
        r.se()?; // slice_qp_delta
        if sp || si {
            if sp {
                r.skip(1)?;
            }
            r.se()?;
        }
        if pps.deblocking_control && r.ue()? != 1 {
            r.se()?;
            r.se()?;
        }
        if pps.slice_group_change_rate > 0 {
            let map_units = sps.width_in_mbs.saturating_mul(sps.height_in_map_units);
            // Ceil(Log2(map units / rate + 1)) bits, the division rounded up as its own note says.
            let steps = map_units.div_ceil(pps.slice_group_change_rate);
            r.skip(u64::from(u32::BITS.saturating_sub(steps.leading_zeros())))?;
        }
        Ok(r.byte_pos())
    }
}

/// One list of `ref_pic_list_modification()` (7.3.3.1).
fn list_modification(r: &mut BitReader<'_>) -> Result<()> {
    if !r.bit()? {
        return Ok(());
    }
    // The loop reads at least a bit each time: it ends with the data if nothing else ends it.
    while r.ue_max(5, "a reference list operation is unknown")? != 3 {
        r.ue()?;
    }
    Ok(())
}

/// One list of `pred_weight_table()` (7.3.3.2).
fn weights(r: &mut BitReader<'_>, refs: u32, chroma: bool) -> Result<()> {
    for _ in 0..refs {
        if r.bit()? {
            r.se()?;
            r.se()?;
        }
        if chroma && r.bit()? {
            for _ in 0..4 {
                r.se()?;
            }
        }
    }
    Ok(())
}

/// `dec_ref_pic_marking()` (7.3.3.3).
fn reference_marking(r: &mut BitReader<'_>, idr: bool) -> Result<()> {
    if idr {
        return r.skip(2);
    }
    if !r.bit()? {
        return Ok(());
    }
    loop {
        match r.ue_max(6, "a reference marking operation is unknown")? {
            0 => return Ok(()),
            3 => {
                r.ue()?;
                r.ue()?;
            }
            1 | 2 | 4 | 6 => {
                r.ue()?;
            }
            _ => {}
        }
    }
}
