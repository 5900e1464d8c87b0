//! Finds black bars around pictures.

use sv_core::{PixelFormat, VideoFrame};

use crate::filter::Crop;

/// A row or a column belongs to a bar when its mean is at most so much above black and hardly any of
/// its samples (one in [`FEW`]) is brighter than [`BRIGHT`]: noise is, a title is not. In 8-bit steps.
const BLACK: u32 = 16;
const DARK: u32 = 6;
const BRIGHT: u32 = 16;
const FEW: usize = 50;

/// A picture without any row this much brighter than black says nothing: it's a fade or a night.
const LIT: u32 = 24;

/// Bars that are narrower, all together, than this part of the picture are no reason to change its shape.
const LEAST: f64 = 0.015;

/// A bar ends at the same place in many pictures, to so many samples, and in this share of them at least.
/// What is lit in the middle of darkness ends elsewhere each time.
const EDGE: usize = 2;
const SHARE: f64 = 0.3;
/// Fewer pictures tell nothing, and more nothing new.
const ENOUGH: usize = 3;
const MOST: usize = 256;

/// Looks at pictures of one film, and remembers what all of them together show.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    size: Option<(usize, usize)>,
    /// Left, top, right, bottom of everything that was ever seen lit.
    seen: Option<[usize; 4]>,
    /// The same of each picture.
    pictures: Vec<[usize; 4]>,
}

impl Detector {
    /// Looks at a picture: planar, 8 or 10 bits, of limited range. Pictures of another size than the
    /// first are left out.
    pub fn look(&mut self, frame: &VideoFrame) {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let size = *self.size.get_or_insert((width, height));
        let Some(rows) = luma(frame).filter(|_| size == (width, height)) else { return };
        let row = |y: usize| rows.get(y * width..(y + 1) * width).unwrap_or_default();
        let column = |x: usize| rows.iter().skip(x).step_by(width).copied();
        let lit = (0..height).map(|y| mean(row(y).iter().copied())).max().unwrap_or(0);
        if lit < BLACK + LIT {
            return;
        }
        let dark_row = |y: &usize| is_dark(row(*y).iter().copied());
        let dark_column = |x: &usize| is_dark(column(*x));
        let (Some(top), Some(bottom)) =
            ((0..height).find(|y| !dark_row(y)), (0..height).rev().find(|y| !dark_row(y)))
        else {
            return;
        };
        let (Some(left), Some(right)) =
            ((0..width).find(|x| !dark_column(x)), (0..width).rev().find(|x| !dark_column(x)))
        else {
            return;
        };
        let found = [left, top, right + 1, bottom + 1];
        self.seen = Some(match self.seen {
            None => found,
            Some(seen) => {
                [seen[0].min(found[0]), seen[1].min(found[1]), seen[2].max(found[2]), seen[3].max(found[3])]
            }
        });
        if self.pictures.len() < MOST {
            self.pictures.push(found);
        }
    }

    /// What is left when the bars are taken away; nothing where there are none worth it, or too few
    /// pictures were bright enough to tell.
    #[must_use]
    pub fn crop(&self) -> Option<Crop> {
        let ((width, height), seen) = (self.size?, self.seen?);
        if self.pictures.len() < ENOUGH {
            return None;
        }
        let agreed = |side: usize, whole: usize| {
            let edge = seen[side];
            let same = self.pictures.iter().filter(|own| own[side].abs_diff(edge) <= EDGE).count();
            let enough = same >= ENOUGH && same as f64 >= self.pictures.len() as f64 * SHARE;
            if enough { edge } else { whole }
        };
        let [left, top, right, bottom] = [agreed(0, 0), agreed(1, 0), agreed(2, width), agreed(3, height)];
        // Outwards to even numbers: a line of bar is better than a line of picture lost.
        let (left, top) = (left & !1, top & !1);
        let (right, bottom) = ((right + 1) & !1, (bottom + 1) & !1);
        let (right, bottom) = (right.min(width & !1), bottom.min(height & !1));
        let kept = (right - left) as f64 / width as f64 * ((bottom - top) as f64 / height as f64);
        // What is left of a film that is nearly all black is no film.
        if !(0.2..=1.0 - LEAST).contains(&kept) {
            return None;
        }
        let side = |n: usize| u32::try_from(n).ok();
        Some(Crop {
            left: side(left)?,
            top: side(top)?,
            width: side(right - left)?,
            height: side(bottom - top)?,
        })
    }
}

/// Luma in 8-bit steps, without padding.
fn luma(frame: &VideoFrame) -> Option<Vec<u8>> {
    let plane = frame.picture.plane(0)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    let mut out = Vec::with_capacity(width.checked_mul(height)?);
    for y in 0..height {
        let row = plane.data.get(y * plane.stride..)?;
        match frame.picture.format() {
            PixelFormat::Yuv420p8 => out.extend_from_slice(row.get(..width)?),
            PixelFormat::Yuv420p10 => {
                let samples = row.get(..width * 2)?.as_chunks::<2>().0;
                out.extend(samples.iter().map(|s| (u16::from_le_bytes(*s) >> 2).min(255) as u8));
            }
            _ => return None,
        }
    }
    Some(out)
}

fn mean(samples: impl Iterator<Item = u8>) -> u32 {
    let (sum, count) = samples.fold((0u64, 0u64), |(sum, n), s| (sum + u64::from(s), n + 1));
    sum.checked_div(count).and_then(|mean| u32::try_from(mean).ok()).unwrap_or(0)
}

fn is_dark(samples: impl Iterator<Item = u8> + Clone) -> bool {
    let (count, bright) = samples.clone().fold((0usize, 0usize), |(n, bright), s| {
        (n + 1, bright + usize::from(u32::from(s) > BLACK + BRIGHT))
    });
    bright * FEW <= count && mean(samples) <= BLACK + DARK
}
