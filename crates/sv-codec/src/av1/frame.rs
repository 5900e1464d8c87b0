//! Frame headers (5.9), read to their end: where it is depends on nearly every field.

use super::references::{self, Hints};
use super::{Obu, Sequence};
use crate::{BitReader, Result};

const KEY: u8 = 0;
const INTER: u8 = 1;
const INTRA_ONLY: u8 = 2;
const SWITCH: u8 = 3;
const NO_REFERENCE: u8 = 7;
const ALL: u8 = 0xFF;

/// What stays of a frame in each of the eight slots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    pub(super) key: bool,
    /// Before and after the width is made smaller (7.16), and the height.
    size: Size,
    pub(super) order_hint: u32,
    segments: Segments,
}

/// The eight slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) slots: [Slot; 8],
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    upscaled_width: u32,
    width: u32,
    height: u32,
}

/// The change of the quantiser in each segment, where there is one.
type Segments = [Option<i32>; 8];

/// What tile groups need to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) tile_columns: u32,
    pub(super) tile_rows: u32,
    /// Bits of a tile's number.
    pub(super) tile_bits: u32,
    /// Bytes of a tile's size.
    pub(super) tile_size_bytes: usize,
}

/// The fields that later ones depend on.
struct Header<'s> {
    sequence: &'s Sequence,
    kind: u8,
    intra: bool,
    shown: bool,
    showable: bool,
    resilient: bool,
    screen_content: bool,
    integer_mv: bool,
    size_override: bool,
    order_hint: u32,
    primary: u8,
    refreshed: u8,
    size: Size,
    references: [usize; 7],
    high_precision: bool,
    intra_block_copy: bool,
    base_q: u8,
    /// Whether a quantiser of 0 is lossless: no plane has another.
    same_q: bool,
    segments: Segments,
    lossless: bool,
}

impl Frame {
    /// Reads the header at the start of a unit, keeps what later ones need, and gives its length in bytes. `None`
    /// for one that only shows an earlier frame.
    pub(super) fn parse(
        obu: &Obu<'_>,
        sequence: &Sequence,
        memory: &mut Memory,
    ) -> Result<(Option<Self>, usize)> {
        let mut r = BitReader::new("the AV1 frame header", obu.payload);
        let Some(mut header) = Header::start(&mut r, obu, sequence, memory)? else {
            return Ok((None, r.byte_pos()));
        };
        let frame = header.tiles(&mut r)?;
        header.quantization(&mut r)?;
        header.segmentation(&mut r, memory)?;
        header.filters(&mut r)?;
        header.prediction(&mut r, memory)?;
        header.film_grain(&mut r)?;
        let slot = Slot {
            key: header.kind == KEY,
            size: header.size,
            order_hint: header.order_hint,
            segments: header.segments,
        };
        references::refresh(memory, header.refreshed, slot);
        Ok((Some(frame), r.byte_pos()))
    }
}

impl<'s> Header<'s> {
    /// `uncompressed_header()` (5.9.2) up to the tiles.
    fn start(
        r: &mut BitReader<'_>,
        obu: &Obu<'_>,
        sequence: &'s Sequence,
        memory: &mut Memory,
    ) -> Result<Option<Self>> {
        let tools = &sequence.tools;
        let reduced = sequence.reduced_still_picture;
        let mut header = Self {
            sequence,
            kind: KEY,
            intra: true,
            shown: true,
            showable: false,
            resilient: true,
            screen_content: false,
            integer_mv: false,
            size_override: false,
            order_hint: 0,
            primary: NO_REFERENCE,
            refreshed: ALL,
            size: Size::default(),
            references: [0; 7],
            high_precision: false,
            intra_block_copy: false,
            base_q: 0,
            same_q: true,
            segments: Segments::default(),
            lossless: false,
        };
        if !reduced && !header.kind_of_frame(r, memory)? {
            return Ok(None);
        }
        if header.kind == KEY && header.shown {
            for slot in &mut memory.slots {
                slot.order_hint = 0;
            }
        }
        let frozen = r.bit()?; // disable_cdf_update
        header.screen_content = if tools.screen_content == 2 { r.bit()? } else { tools.screen_content == 1 };
        if header.screen_content {
            header.integer_mv = if tools.integer_mv == 2 { r.bit()? } else { tools.integer_mv == 1 };
        }
        if let Some((bits, _)) = tools.frame_ids {
            r.bits(bits)?;
        }
        header.size_override = header.kind == SWITCH || (!reduced && r.bit()?);
        header.order_hint = r.bits(tools.order_hint_bits)?;
        if !header.intra && !header.resilient {
            header.primary = r.bits8(3)?;
        }
        if tools.decoder_model && r.bit()? {
            removal_times(r, obu, sequence)?;
        }
        if header.kind != SWITCH && !(header.kind == KEY && header.shown) {
            header.refreshed = r.bits8(8)?;
        }
        if (!header.intra || header.refreshed != ALL) && header.resilient && tools.order_hint_bits > 0 {
            for slot in &mut memory.slots {
                slot.order_hint = r.bits(tools.order_hint_bits)?;
            }
        }
        if header.intra {
            header.size(r)?;
            render_size(r)?;
            if header.screen_content && header.size.upscaled_width == header.size.width {
                header.intra_block_copy = r.bit()?;
            }
        } else {
            header.inter(r, memory)?;
        }
        if !reduced && !frozen {
            r.skip(1)?; // disable_frame_end_update_cdf
        }
        Ok(Some(header))
    }

    /// The type of the frame, or false if it only shows an earlier one.
    fn kind_of_frame(&mut self, r: &mut BitReader<'_>, memory: &mut Memory) -> Result<bool> {
        let tools = &self.sequence.tools;
        let timed = tools.decoder_model && !tools.equal_picture_interval;
        if r.bit()? {
            let index = usize::try_from(r.bits(3)?).unwrap_or(0);
            if timed {
                r.bits(tools.presentation_time_bits)?;
            }
            if let Some((bits, _)) = tools.frame_ids {
                r.bits(bits)?;
            }
            if let Some(slot) = memory.slots.get(index).copied().filter(|slot| slot.key) {
                references::refresh(memory, ALL, slot);
            }
            return Ok(false);
        }
        self.kind = r.bits8(2)?;
        self.intra = matches!(self.kind, KEY | INTRA_ONLY);
        self.shown = r.bit()?;
        if self.shown && timed {
            r.bits(tools.presentation_time_bits)?;
        }
        self.showable = if self.shown { self.kind != KEY } else { r.bit()? };
        self.resilient = self.kind == SWITCH || (self.kind == KEY && self.shown) || r.bit()?;
        Ok(true)
    }

    /// What frames say that refer to others.
    fn inter(&mut self, r: &mut BitReader<'_>, memory: &Memory) -> Result<()> {
        let tools = &self.sequence.tools;
        let short = tools.order_hint_bits > 0 && r.bit()?;
        if short {
            let (last, gold) = (r.bits(3)?, r.bits(3)?);
            let hints = Hints { memory, bits: tools.order_hint_bits, current: self.order_hint };
            self.references =
                hints.frame_refs(last, gold).ok_or_else(|| r.invalid("its references are none"))?;
        }
        for reference in &mut self.references {
            if !short {
                *reference = usize::try_from(r.bits(3)?).unwrap_or(0);
            }
            if let Some((_, bits)) = tools.frame_ids {
                r.bits(bits)?;
            }
        }
        if self.size_override && !self.resilient {
            self.size_with_refs(r, memory)?;
        } else {
            self.size(r)?;
            render_size(r)?;
        }
        self.high_precision = !self.integer_mv && r.bit()?;
        if !r.bit()? {
            r.skip(2)?; // interpolation_filter
        }
        r.skip(1)?; // is_motion_mode_switchable
        if !self.resilient && tools.ref_frame_mvs {
            r.skip(1)?; // use_ref_frame_mvs
        }
        Ok(())
    }

    /// `frame_size()` (5.9.5).
    fn size(&mut self, r: &mut BitReader<'_>) -> Result<()> {
        let Sequence { width, height, tools, .. } = self.sequence;
        (self.size.width, self.size.height) = match self.size_override {
            true => {
                (r.bits(tools.width_bits)?.saturating_add(1), r.bits(tools.height_bits)?.saturating_add(1))
            }
            false => (*width, *height),
        };
        self.superres(r)
    }

    /// `superres_params()` (5.9.8).
    fn superres(&mut self, r: &mut BitReader<'_>) -> Result<()> {
        self.size.upscaled_width = self.size.width;
        if self.sequence.tools.superres && r.bit()? {
            let denominator = r.bits(3)?.saturating_add(9);
            let wide = self.size.upscaled_width.saturating_mul(8).saturating_add(denominator / 2);
            self.size.width = wide.checked_div(denominator).unwrap_or(1);
        }
        Ok(())
    }

    /// `frame_size_with_refs()` (5.9.7).
    fn size_with_refs(&mut self, r: &mut BitReader<'_>, memory: &Memory) -> Result<()> {
        for reference in self.references {
            if r.bit()? {
                let slot = memory.slots.get(reference).copied().unwrap_or_default();
                self.size = Size { width: slot.size.upscaled_width, ..slot.size };
                return self.superres(r);
            }
        }
        self.size(r)?;
        render_size(r)
    }

    /// `tile_info()` (5.9.15).
    fn tiles(&self, r: &mut BitReader<'_>) -> Result<Frame> {
        let log = if self.sequence.tools.large_superblocks { 7 } else { 6 };
        let blocks = |length: u32| length.div_ceil(8).wrapping_mul(8).div_ceil(1u32.wrapping_shl(log));
        let (columns, rows) = (blocks(self.size.width), blocks(self.size.height));
        if columns == 0 || rows == 0 {
            return Err(r.invalid("it has no size"));
        }
        let most_wide = 4096u32.wrapping_shr(log);
        let most_area = (4096u32 * 2304).wrapping_shr(log).wrapping_shr(log);
        let least_columns = tile_log2(most_wide, columns);
        let least = least_columns.max(tile_log2(most_area, rows.saturating_mul(columns)));
        let (tile_columns, tile_rows);
        let (columns_log2, rows_log2);
        if r.bit()? {
            let count = |log2: u32, all: u32| -> u32 {
                let size =
                    all.saturating_add(1u32.wrapping_shl(log2).wrapping_sub(1)).wrapping_shr(log2).max(1);
                all.div_ceil(size)
            };
            columns_log2 = increments(r, least_columns, tile_log2(1, columns.min(64)))?;
            tile_columns = count(columns_log2, columns);
            rows_log2 = increments(r, least.saturating_sub(columns_log2), tile_log2(1, rows.min(64)))?;
            tile_rows = count(rows_log2, rows);
        } else {
            let widest;
            (tile_columns, widest) = own_sizes(r, columns, most_wide)?;
            columns_log2 = tile_log2(1, tile_columns);
            let all = rows.saturating_mul(columns);
            let area = if least > 0 { all.wrapping_shr(least.saturating_add(1)) } else { all };
            let most_high = area.checked_div(widest).unwrap_or(1).max(1);
            (tile_rows, _) = own_sizes(r, rows, most_high)?;
            rows_log2 = tile_log2(1, tile_rows);
        }
        let tile_bits = columns_log2.saturating_add(rows_log2);
        let mut tile_size_bytes = 4;
        if tile_bits > 0 {
            r.bits(tile_bits)?; // context_update_tile_id
            tile_size_bytes = usize::try_from(r.bits(2)?).unwrap_or(0).saturating_add(1);
        }
        Ok(Frame { tile_columns, tile_rows, tile_bits, tile_size_bytes })
    }

    /// `quantization_params()` (5.9.12).
    fn quantization(&mut self, r: &mut BitReader<'_>) -> Result<()> {
        self.base_q = r.bits8(8)?;
        let mut delta = |r: &mut BitReader<'_>| -> Result<()> {
            if r.bit()? && r.bits(7)? != 0 {
                self.same_q = false;
            }
            Ok(())
        };
        delta(r)?;
        let separate = self.sequence.tools.separate_uv_delta_q;
        if !self.sequence.monochrome {
            let different = separate && r.bit()?;
            for _ in 0..if different { 4 } else { 2 } {
                delta(r)?;
            }
        }
        if r.bit()? {
            r.skip(if separate { 12 } else { 8 })?;
        }
        Ok(())
    }

    /// `segmentation_params()` (5.9.14), and what follows up to the loop filter.
    fn segmentation(&mut self, r: &mut BitReader<'_>, memory: &Memory) -> Result<()> {
        let enabled = r.bit()?;
        if enabled {
            let mut update = true;
            if self.primary != NO_REFERENCE {
                if r.bit()? {
                    r.skip(1)?; // segmentation_temporal_update
                }
                update = r.bit()?;
            }
            if update {
                for segment in &mut self.segments {
                    *segment = segment_features(r)?;
                }
            } else {
                let primary = self.references.get(usize::from(self.primary)).copied().unwrap_or(0);
                self.segments = memory.slots.get(primary).map(|slot| slot.segments).unwrap_or_default();
            }
        }
        if self.base_q > 0 && r.bit()? {
            r.skip(2)?; // delta_q_res
            if !self.intra_block_copy && r.bit()? {
                r.skip(3)?; // delta_lf_res, delta_lf_multi
            }
        }
        let base = i32::from(self.base_q);
        let quantiser = |change: &Option<i32>| base.saturating_add(change.unwrap_or(0)).clamp(0, 255);
        let zero = if enabled { self.segments.iter().all(|s| quantiser(s) == 0) } else { base == 0 };
        self.lossless = zero && self.same_q;
        Ok(())
    }

    /// `loop_filter_params()` (5.9.11), `cdef_params()` (5.9.19), `lr_params()` (5.9.20), `read_tx_mode()` (5.9.21).
    fn filters(&mut self, r: &mut BitReader<'_>) -> Result<()> {
        let Sequence { tools, monochrome, subsampling_x, subsampling_y, .. } = self.sequence;
        if !self.lossless && !self.intra_block_copy {
            let levels = r.bits(12)?;
            if !monochrome && levels != 0 {
                r.skip(12)?;
            }
            r.skip(3)?; // sharpness
            if r.bit()? && r.bit()? {
                for _ in 0..8 + 2 {
                    if r.bit()? {
                        r.skip(7)?;
                    }
                }
            }
            if tools.cdef {
                r.skip(2)?;
                let strengths = 1u64.wrapping_shl(r.bits(2)?);
                r.skip(strengths.saturating_mul(if *monochrome { 6 } else { 12 }))?;
            }
        }
        let all_lossless = self.lossless && self.size.width == self.size.upscaled_width;
        if !all_lossless && !self.intra_block_copy && tools.restoration {
            let luma = r.bits(2)? != 0;
            let chroma = !monochrome && (r.bits(2)? != 0) | (r.bits(2)? != 0);
            if luma || chroma {
                if r.bit()? && !tools.large_superblocks {
                    r.skip(1)?;
                }
                if *subsampling_x && *subsampling_y && chroma {
                    r.skip(1)?;
                }
            }
        }
        if !self.lossless {
            r.skip(1)?; // tx_mode_select
        }
        Ok(())
    }

    /// `frame_reference_mode()` (5.9.23) to `global_motion_params()` (5.9.24).
    fn prediction(&mut self, r: &mut BitReader<'_>, memory: &Memory) -> Result<()> {
        let tools = &self.sequence.tools;
        let compound = !self.intra && r.bit()?;
        if compound && tools.order_hint_bits > 0 {
            let hints = Hints { memory, bits: tools.order_hint_bits, current: self.order_hint };
            if hints.skip_mode_allowed(&self.references) {
                r.skip(1)?;
            }
        }
        if !self.intra && !self.resilient && tools.warped_motion {
            r.skip(1)?; // allow_warped_motion
        }
        r.skip(1)?; // reduced_tx_set
        if self.intra {
            return Ok(());
        }
        for _ in 0..7 {
            if !r.bit()? {
                continue;
            }
            let rotation = r.bit()?;
            let translation = !rotation && r.bit()?;
            for _ in 0..if translation {
                0
            } else if rotation {
                2
            } else {
                4
            } {
                global_parameter(r, 12)?;
            }
            let bits = if translation { 9u32.saturating_sub(u32::from(!self.high_precision)) } else { 12 };
            for _ in 0..2 {
                global_parameter(r, bits)?;
            }
        }
        Ok(())
    }

    /// `film_grain_params()` (5.9.30).
    fn film_grain(&self, r: &mut BitReader<'_>) -> Result<()> {
        let Sequence { tools, monochrome, subsampling_x, subsampling_y, .. } = self.sequence;
        if !tools.film_grain || (!self.shown && !self.showable) || !r.bit()? {
            return Ok(());
        }
        r.skip(16)?; // grain_seed
        if self.kind == INTER && !r.bit()? {
            return r.skip(3); // film_grain_params_ref_idx
        }
        let points = |r: &mut BitReader<'_>| -> Result<u64> {
            let count = u64::from(r.bits(4)?);
            r.skip(count.saturating_mul(16))?;
            Ok(count)
        };
        let luma = points(r)?;
        let from_luma = !monochrome && r.bit()?;
        let (mut cb, mut cr) = (0, 0);
        if !(*monochrome || from_luma || *subsampling_x && *subsampling_y && luma == 0) {
            (cb, cr) = (points(r)?, points(r)?);
        }
        r.skip(2)?; // grain_scaling_minus_8
        let lag = u64::from(r.bits(2)?);
        let places = lag.saturating_mul(2).saturating_mul(lag.saturating_add(1));
        let mut coefficients = 0;
        if luma > 0 {
            coefficients = places;
        }
        for plane in [cb, cr] {
            if from_luma || plane > 0 {
                coefficients = coefficients.saturating_add(places).saturating_add(u64::from(luma > 0));
            }
        }
        r.skip(coefficients.saturating_mul(8))?;
        r.skip(4)?; // ar_coeff_shift_minus_6, grain_scale_shift
        for plane in [cb, cr] {
            r.skip(if plane > 0 { 25 } else { 0 })?;
        }
        r.skip(2) // overlap_flag, clip_to_restricted_range
    }
}

/// The buffer removal times of the operating points that the unit belongs to.
fn removal_times(r: &mut BitReader<'_>, obu: &Obu<'_>, sequence: &Sequence) -> Result<()> {
    let extension = match obu.whole {
        [header, extension, ..] if header & 4 != 0 => *extension,
        _ => 0,
    };
    let (temporal, spatial) = (extension >> 5, (extension >> 3) & 3);
    let tools = &sequence.tools;
    for (layers, told) in tools.points.iter().take(tools.point_count) {
        let has = |bit: u8| layers.wrapping_shr(u32::from(bit)) & 1 == 1;
        if *told && (*layers == 0 || (has(temporal) && has(spatial.saturating_add(8)))) {
            r.bits(tools.removal_time_bits)?;
        }
    }
    Ok(())
}

/// `render_size()` (5.9.6).
fn render_size(r: &mut BitReader<'_>) -> Result<()> {
    if r.bit()? { r.skip(32) } else { Ok(()) }
}

/// `tile_log2()` (5.9.16).
fn tile_log2(block: u32, target: u32) -> u32 {
    let mut log2 = 0u32;
    while log2 < 31 && block.wrapping_shl(log2) < target {
        log2 = log2.saturating_add(1);
    }
    log2
}

/// A number from `least` that a bit for each step raises to `most`.
fn increments(r: &mut BitReader<'_>, least: u32, most: u32) -> Result<u32> {
    let mut value = least;
    while value < most && r.bit()? {
        value = value.saturating_add(1);
    }
    Ok(value)
}

/// Tiles of sizes that are told one by one: how many there are, and the largest.
fn own_sizes(r: &mut BitReader<'_>, all: u32, most: u32) -> Result<(u32, u32)> {
    let (mut start, mut count, mut largest) = (0u32, 0u32, 0u32);
    while start < all {
        let size = ns(r, all.saturating_sub(start).min(most))?.saturating_add(1);
        start = start.saturating_add(size);
        count = count.saturating_add(1);
        largest = largest.max(size);
        if count > 64 {
            return Err(r.invalid("it has too many tiles"));
        }
    }
    Ok((count, largest))
}

/// `ns(n)` (4.10.7): a number below `n`.
fn ns(r: &mut BitReader<'_>, n: u32) -> Result<u32> {
    let width = 32u32.saturating_sub(n.leading_zeros());
    let short = 1u32.wrapping_shl(width).wrapping_sub(n);
    let value = r.bits(width.saturating_sub(1))?;
    if width == 0 || value < short {
        return Ok(value);
    }
    Ok(value.wrapping_shl(1).wrapping_sub(short).wrapping_add(r.bits(1)?))
}

/// The features of a segment; gives the change of the quantiser.
fn segment_features(r: &mut BitReader<'_>) -> Result<Option<i32>> {
    let mut quantiser = None;
    for (feature, bits) in [9u32, 7, 7, 7, 7, 3, 0, 0].into_iter().enumerate() {
        if !r.bit()? {
            continue;
        }
        let value = i32::try_from(r.bits(bits)?).unwrap_or(0);
        if feature == 0 {
            // `su(9)` (4.10.6).
            quantiser = Some(if value >= 256 { value.saturating_sub(512) } else { value });
        }
    }
    Ok(quantiser)
}

/// `decode_signed_subexp_with_ref()` (5.9.26), whose length does not depend on the reference.
fn global_parameter(r: &mut BitReader<'_>, bits: u32) -> Result<()> {
    let symbols = 2u32.wrapping_shl(bits).saturating_add(1);
    let (mut step, mut base) = (0u32, 0u32);
    loop {
        let width = if step == 0 { 3 } else { step.saturating_add(2) };
        let range = 1u32.wrapping_shl(width);
        if symbols <= base.saturating_add(range.saturating_mul(3)) {
            ns(r, symbols.saturating_sub(base))?;
            return Ok(());
        }
        if !r.bit()? {
            return r.skip(u64::from(width));
        }
        step = step.saturating_add(1);
        base = base.saturating_add(range);
    }
}
