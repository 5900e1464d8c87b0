//! Slice segment headers (7.3.6): where they end, which is where subsample encryption may begin.

use std::collections::BTreeMap;

use super::sps::ReferenceSet;
use super::{Config, Pps, Sps, ceil_log2, unit_type};
use crate::{BitReader, Error, Result, nal};

/// Measures slice segment headers with the parameter sets that it has been shown.
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
        for unit in config.units() {
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

    /// Bytes of the unit, both header bytes included, that hold its slice segment header, which
    /// ends on a whole byte.
    ///
    /// # Errors
    /// When the header is cut short or broken, uses extensions that are not known here, or its
    /// parameter sets are missing.
    pub fn header_len(&self, unit: &[u8]) -> Result<usize> {
        nal::prefix(unit, |rbsp| self.rbsp_header_len(rbsp))
    }

    fn rbsp_header_len(&self, rbsp: &[u8]) -> Result<usize> {
        let mut r = BitReader::new("the HEVC slice header", rbsp);
        let kind = unit_type(rbsp);
        r.skip(16)?;
        let first = r.bit()?;
        if matches!(kind, 16..=23) {
            r.skip(1)?; // no_output_of_prior_pics_flag
        }
        let pps_id = u8::try_from(r.ue()?).map_err(|_| r.invalid("its PPS id is above 63"))?;
        let pps = self.pps.get(&pps_id).ok_or_else(|| r.invalid("its PPS is unknown"))?;
        let sps = self.sps.get(&pps.sps_id).ok_or_else(|| r.invalid("its SPS is unknown"))?;
        if pps.unknown_extension {
            return Err(Error::Unsupported {
                what: "the HEVC PPS",
                feature: "a multilayer or screen content extension",
            });
        }
        let dependent = !first && pps.dependent_slices && r.bit()?;
        if !first {
            r.skip(u64::from(ceil_log2(sps.ctbs)))?;
        }
        if !dependent {
            independent(&mut r, kind, sps, pps)?;
        }
        if pps.entry_points {
            let count = r.ue()?;
            if count > 0 {
                let bits = r.ue_max(31, "an entry point has more than 32 bits")?.saturating_add(1);
                r.skip(u64::from(count).saturating_mul(u64::from(bits)))?;
            }
        }
        if pps.header_extension {
            let bytes = r.ue_max(256, "the header extension is too long")?;
            r.skip(u64::from(bytes).saturating_mul(8))?;
        }
        r.skip(1)?; // alignment_bit_equal_to_one
        r.align();
        Ok(r.byte_pos())
    }
}

/// The part that dependent slice segments take over from the slice before.
fn independent(r: &mut BitReader<'_>, kind: u8, sps: &Sps, pps: &Pps) -> Result<()> {
    r.skip(u64::from(pps.extra_bits))?;
    let slice_type = r.ue_max(2, "slice_type is above 2")?;
    let (b, p) = (slice_type == 0, slice_type == 1);
    if pps.output_flag {
        r.skip(1)?;
    }
    if sps.separate_planes {
        r.skip(2)?;
    }
    let (mut references, mut temporal_mvp) = (0usize, false);
    if !matches!(kind, 19 | 20) {
        r.skip(u64::from(sps.poc_lsb_bits))?;
        references = short_term(r, sps)?.saturating_add(long_term(r, sps)?);
        temporal_mvp = sps.temporal_mvp && r.bit()?;
    }
    let chroma = sps.chroma_array_type() != 0;
    let (mut sao_luma, mut sao_chroma) = (false, false);
    if sps.sao {
        sao_luma = r.bit()?;
        sao_chroma = chroma && r.bit()?;
    }
    if p || b {
        let (mut refs_l0, mut refs_l1) = (pps.refs_l0, pps.refs_l1);
        if r.bit()? {
            refs_l0 = r.ue_max(14, "it has more than 15 references")?.saturating_add(1);
            if b {
                refs_l1 = r.ue_max(14, "it has more than 15 references")?.saturating_add(1);
            }
        }
        if pps.lists_modification && references > 1 {
            let bits = u64::from(ceil_log2(u32::try_from(references).unwrap_or(u32::MAX)));
            for entries in [Some(refs_l0), b.then_some(refs_l1)].into_iter().flatten() {
                if r.bit()? {
                    r.skip(u64::from(entries).saturating_mul(bits))?;
                }
            }
        }
        if b {
            r.skip(1)?; // mvd_l1_zero_flag
        }
        if pps.cabac_init {
            r.skip(1)?;
        }
        if temporal_mvp {
            let from_l0 = !b || r.bit()?;
            if (from_l0 && refs_l0 > 1) || (!from_l0 && refs_l1 > 1) {
                r.ue()?;
            }
        }
        if (pps.weighted_pred && p) || (pps.weighted_bipred && b) {
            r.ue()?;
            if chroma {
                r.se()?;
            }
            weights(r, refs_l0, chroma)?;
            if b {
                weights(r, refs_l1, chroma)?;
            }
        }
        r.ue()?; // five_minus_max_num_merge_cand
    }
    r.se()?; // slice_qp_delta
    if pps.chroma_qp_offsets {
        r.se()?;
        r.se()?;
    }
    if pps.chroma_qp_offset_lists {
        r.skip(1)?;
    }
    let mut deblocking_disabled = pps.deblocking_disabled;
    if pps.deblocking_override && r.bit()? {
        deblocking_disabled = r.bit()?;
        if !deblocking_disabled {
            r.se()?;
            r.se()?;
        }
    }
    if pps.filter_across_slices && (sao_luma || sao_chroma || !deblocking_disabled) {
        r.skip(1)?;
    }
    Ok(())
}

/// The short-term reference picture set of a slice: how many pictures it uses.
fn short_term(r: &mut BitReader<'_>, sps: &Sps) -> Result<usize> {
    if !r.bit()? {
        return ReferenceSet::parse(r, &sps.reference_sets, true).map(|set| set.used());
    }
    let sets = u32::try_from(sps.reference_sets.len()).unwrap_or(0);
    let index = usize::try_from(r.bits(ceil_log2(sets))?).unwrap_or(usize::MAX);
    let set = sps.reference_sets.get(index);
    set.map(ReferenceSet::used).ok_or_else(|| r.invalid("its reference picture set is unknown"))
}

/// The long-term references of a slice: how many pictures it uses.
fn long_term(r: &mut BitReader<'_>, sps: &Sps) -> Result<usize> {
    let Some(known) = &sps.long_term else {
        return Ok(0);
    };
    let from_sps = if known.is_empty() { 0 } else { r.ue_max(32, "it has too many long-term references")? };
    let own = r.ue_max(32, "it has too many long-term references")?;
    let mut used = 0usize;
    for index in 0..from_sps.saturating_add(own) {
        let uses = if index < from_sps {
            let entry = r.bits(ceil_log2(u32::try_from(known.len()).unwrap_or(0)))?;
            known.get(usize::try_from(entry).unwrap_or(usize::MAX)).copied().unwrap_or(false)
        } else {
            r.skip(u64::from(sps.poc_lsb_bits))?;
            r.bit()?
        };
        used = used.saturating_add(usize::from(uses));
        if r.bit()? {
            r.ue()?; // delta_poc_msb_cycle_lt
        }
    }
    Ok(used)
}

/// One list of `pred_weight_table()` (7.3.6.3).
fn weights(r: &mut BitReader<'_>, refs: u32, chroma: bool) -> Result<()> {
    let flags = |r: &mut BitReader<'_>| (0..refs).map(|_| r.bit()).collect::<Result<Vec<_>>>();
    let luma = flags(r)?;
    let chroma = if chroma { flags(r)? } else { Vec::new() };
    for (index, luma) in luma.into_iter().enumerate() {
        let codes = if luma { 2u8 } else { 0 };
        let more = if chroma.get(index) == Some(&true) { 4 } else { 0 };
        for _ in 0..codes.saturating_add(more) {
            r.se()?;
        }
    }
    Ok(())
}
