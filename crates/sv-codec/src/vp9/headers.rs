//! How long a frame's uncompressed header is (6.2), which depends on earlier frames' sizes.

use super::{Kind, Start, sync_code};
use crate::{BitReader, Result};

/// Reads the headers of all frames of a stream, in decode order.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// Width and height of the eight reference frames.
    slots: [(u32, u32); 8],
    last: (u32, u32),
}

impl Headers {
    /// Before the first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the uncompressed header at the start of `frame`, which is the next frame (of a superframe, one
    /// of its [`frames`](super::frames)). A frame that only shows an earlier one is a header as a whole.
    ///
    /// # Errors
    /// When it is cut short or breaks the specification.
    pub fn header_len(&mut self, frame: &[u8]) -> Result<usize> {
        let (mut r, Start { profile, kind }) = Start::parse(frame)?;
        let Some(Kind { key, shown, resilient }) = kind else {
            r.skip(3)?; // frame_to_show_map_idx
            return Ok(frame.len());
        };
        let refreshed = if key {
            sync_code(&mut r)?;
            color_config(&mut r, profile)?;
            self.last = size(&mut r)?;
            render_size(&mut r)?;
            0xFF
        } else {
            let intra_only = !shown && r.bit()?;
            if !resilient {
                r.skip(2)?; // reset_frame_context
            }
            if intra_only {
                sync_code(&mut r)?;
                if profile > 0 {
                    color_config(&mut r, profile)?;
                }
                let refreshed = r.bits8(8)?;
                self.last = size(&mut r)?;
                render_size(&mut r)?;
                refreshed
            } else {
                self.inter(&mut r)?
            }
        };
        if !resilient {
            r.skip(2)?; // refresh_frame_context, frame_parallel_decoding_mode
        }
        r.skip(2)?; // frame_context_idx
        loop_filter(&mut r)?;
        r.skip(8)?; // base_q_idx
        for _ in 0..3 {
            if r.bit()? {
                r.skip(5)?;
            }
        }
        segmentation(&mut r)?;
        tiles(&mut r, self.last.0)?;
        r.skip(16)?; // header_size_in_bytes
        for (bit, slot) in self.slots.iter_mut().enumerate() {
            if refreshed.checked_shr(u32::try_from(bit).unwrap_or(0)).unwrap_or(0) & 1 == 1 {
                *slot = self.last;
            }
        }
        Ok(r.byte_pos())
    }

    /// What frames that refer to others say up to the filter of interpolation.
    fn inter(&mut self, r: &mut BitReader<'_>) -> Result<u8> {
        let refreshed = r.bits8(8)?;
        let mut references = [(0, 0); 3];
        for reference in &mut references {
            let slot = usize::try_from(r.bits(3)?).unwrap_or(0);
            *reference = self.slots.get(slot).copied().unwrap_or_default();
            r.skip(1)?; // ref_frame_sign_bias
        }
        let mut found = None;
        for reference in references {
            if r.bit()? {
                found = Some(reference);
                break;
            }
        }
        self.last = match found {
            Some(size) => size,
            None => size(r)?,
        };
        render_size(r)?;
        r.skip(1)?; // allow_high_precision_mv
        if !r.bit()? {
            r.skip(2)?; // raw_interpolation_filter
        }
        Ok(refreshed)
    }
}

fn color_config(r: &mut BitReader<'_>, profile: u8) -> Result<()> {
    if profile >= 2 {
        r.skip(1)?;
    }
    let odd = profile & 1 == 1;
    if r.bits(3)? != 7 { r.skip(if odd { 4 } else { 1 }) } else { r.skip(u64::from(odd)) }
}

fn size(r: &mut BitReader<'_>) -> Result<(u32, u32)> {
    Ok((r.bits(16)?.saturating_add(1), r.bits(16)?.saturating_add(1)))
}

fn render_size(r: &mut BitReader<'_>) -> Result<()> {
    if r.bit()? { r.skip(32) } else { Ok(()) }
}

fn loop_filter(r: &mut BitReader<'_>) -> Result<()> {
    r.skip(6 + 3)?;
    if r.bit()? && r.bit()? {
        for _ in 0..4 + 2 {
            if r.bit()? {
                r.skip(7)?;
            }
        }
    }
    Ok(())
}

fn segmentation(r: &mut BitReader<'_>) -> Result<()> {
    if !r.bit()? {
        return Ok(());
    }
    if r.bit()? {
        for _ in 0..7 {
            if r.bit()? {
                r.skip(8)?;
            }
        }
        if r.bit()? {
            for _ in 0..3 {
                if r.bit()? {
                    r.skip(8)?;
                }
            }
        }
    }
    if r.bit()? {
        r.skip(1)?;
        for _ in 0..8 {
            // With the sign, where there is one.
            for bits in [9, 7, 2, 0] {
                if r.bit()? {
                    r.skip(bits)?;
                }
            }
        }
    }
    Ok(())
}

fn tiles(r: &mut BitReader<'_>, width: u32) -> Result<()> {
    let columns = width.div_ceil(64);
    let (mut log2, mut most) = (0u32, 1u32);
    while 64u32.wrapping_shl(log2) < columns {
        log2 = log2.saturating_add(1);
    }
    while columns.wrapping_shr(most) >= 4 {
        most = most.saturating_add(1);
    }
    while log2 < most.saturating_sub(1) && r.bit()? {
        log2 = log2.saturating_add(1);
    }
    if r.bit()? {
        r.skip(1)?;
    }
    Ok(())
}
