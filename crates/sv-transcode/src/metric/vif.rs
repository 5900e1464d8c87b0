//! Visual information fidelity in the pixel domain (Sheikh and Bovik, "Image information and visual
//! quality", IEEE Transactions on Image Processing 15(2), 2006), at four scales.

use super::{Luma, plane, wide};
use crate::Error;

/// Variance of the noise that eyes add.
const EYES: f32 = 2.0;
/// A copy with more contrast than the original is no better without bound.
const MOST_GAIN: f32 = 100.0;

/// How much of what the original tells is left in the copy: for each scale, finest first, from 0
/// (nothing) over 1 (all) to a little more for a sharpened copy.
///
/// # Errors
/// [`Error::Invalid`] for pictures of two sizes.
pub fn vif(original: &Luma, copy: &Luma) -> Result<[f64; 4], Error> {
    original.same_size(copy)?;
    let mut out = [1.0; 4];
    let mut smaller: Option<(Luma, Luma)> = None;
    for (scale, value) in out.iter_mut().enumerate() {
        let window = gaussian((16 >> scale) + 1);
        if scale > 0 {
            let (a, b) = smaller.as_ref().map_or((original, copy), |(a, b)| (a, b));
            smaller = Some((halve(a, &window), halve(b, &window)));
        }
        let (a, b) = smaller.as_ref().map_or((original, copy), |(a, b)| (a, b));
        *value = at_scale(a, b, &window);
    }
    Ok(out)
}

fn at_scale(a: &Luma, b: &Luma, window: &[f32]) -> f64 {
    let mut rows = Rows::new(a.width, window);
    let (kept, all) = wide(
        #[inline(always)]
        || {
            let (mut kept, mut all) = (0f64, 0f64);
            for y in 0..a.height {
                rows.read(a, b, y);
                let (k, l) = rows.row();
                kept += k;
                all += l;
            }
            (kept, all)
        },
    );
    if all > 0.0 { kept / all } else { 1.0 }
}

/// One row of what is smoothed: both pictures, their squares and their product. A row at a time stays in
/// the processor's cache; planes of all five would not.
struct Rows<'w> {
    window: &'w [f32],
    width: usize,
    /// Smoothed from above to below, with room for the mirrored ends.
    down: [Vec<f32>; 5],
    /// Smoothed both ways.
    soft: [Vec<f32>; 5],
}

impl<'w> Rows<'w> {
    fn new(width: usize, window: &'w [f32]) -> Self {
        let wide = width + window.len() - 1;
        Self {
            window,
            width,
            down: [(); 5].map(|()| vec![0.0; wide]),
            soft: [(); 5].map(|()| vec![0.0; width]),
        }
    }

    /// Smooths row `y` of the pictures.
    #[inline(always)]
    fn read(&mut self, a: &Luma, b: &Luma, y: usize) {
        let (w, half) = (self.width, self.window.len() / 2);
        let [da, db, daa, dbb, dab] = self.down.each_mut().map(|row| &mut row[half..half + w]);
        for row in [&mut *da, &mut *db, &mut *daa, &mut *dbb, &mut *dab] {
            row.fill(0.0);
        }
        for (tap, &weight) in self.window.iter().enumerate() {
            let from = mirror(y as isize + tap as isize - half as isize, a.height) * w;
            let (ra, rb) = (&a.samples[from..from + w], &b.samples[from..from + w]);
            for x in 0..w {
                let (p, q) = (ra[x], rb[x]);
                let (wp, wq) = (weight * p, weight * q);
                da[x] += wp;
                db[x] += wq;
                daa[x] += wp * p;
                dbb[x] += wq * q;
                dab[x] += wp * q;
            }
        }
        for (down, soft) in self.down.iter_mut().zip(&mut self.soft) {
            across(down, soft, self.window);
        }
    }

    /// What is kept of the row, and what there was.
    #[inline(always)]
    fn row(&self) -> (f64, f64) {
        let [ma, mb, aa, bb, ab] = self.soft.each_ref().map(|row| &row[..self.width]);
        let (mut kept, mut all) = (Logs::default(), Logs::default());
        let (mut flat_kept, mut flat) = (0f64, 0f64);
        let mut ratios = [(1f32, 1f32); CHUNK];
        for from in (0..self.width).step_by(CHUNK) {
            let to = (from + CHUNK).min(self.width);
            for (ratio, i) in ratios.iter_mut().zip(from..to) {
                let (mean_a, mean_b) = (ma[i], mb[i]);
                let va = (aa[i] - mean_a * mean_a).max(0.0);
                let vb = (bb[i] - mean_b * mean_b).max(0.0);
                let cov = ab[i] - mean_a * mean_b;
                let opposed = cov < 0.0;
                let gain = if opposed { 0.0 } else { cov / va.max(1e-10) };
                let noise = if opposed { vb } else { vb - gain * cov };
                let gain = gain.min(MOST_GAIN);
                let seen = va >= EYES;
                let (k, l) = (1.0 + gain * gain * va / (noise.max(1e-10) + EYES), 1.0 + va / EYES);
                *ratio = if seen { (k, l) } else { (1.0, 1.0) };
                // Nothing to see in the original: noise in the copy takes away from it.
                flat_kept += f64::from(if seen { 0.0 } else { 1.0 - vb * (EYES * EYES / 255.0 / 255.0) });
                flat += if seen { 0.0 } else { 1.0 };
            }
            let ratios = &ratios[..to - from];
            kept.add(ratios.iter().map(|r| r.0));
            all.add(ratios.iter().map(|r| r.1));
        }
        (kept.sum() + flat_kept, all.sum() + flat)
    }
}

/// So many ratios are multiplied before a logarithm is taken: each is below 2^34, and a product of 16 is
/// far from what doubles hold.
const CHUNK: usize = 16;

/// A sum of binary logarithms.
#[derive(Default)]
struct Logs(f64);

impl Logs {
    #[inline(always)]
    fn add(&mut self, ratios: impl Iterator<Item = f32>) {
        self.0 += ratios.map(f64::from).product::<f64>().log2();
    }

    fn sum(self) -> f64 {
        self.0
    }
}

/// Mirrored at both ends.
#[inline(always)]
fn mirror(at: isize, n: usize) -> usize {
    let last = n as isize - 1;
    let at = at.abs();
    let at = if at > last { 2 * last - at } else { at };
    at.clamp(0, last) as usize
}

/// Smooths a row from left to right; `padded` has half a window of room at each end.
#[inline(always)]
fn across(padded: &mut [f32], out: &mut [f32], window: &[f32]) {
    let (w, half) = (out.len(), window.len() / 2);
    for i in 0..half {
        padded[i] = padded[half + mirror(i as isize - half as isize, w)];
        padded[half + w + i] = padded[half + mirror((w + i) as isize, w)];
    }
    out.fill(0.0);
    for (tap, &weight) in window.iter().enumerate() {
        for (o, s) in out.iter_mut().zip(&padded[tap..tap + w]) {
            *o += weight * s;
        }
    }
}

fn gaussian(taps: usize) -> Vec<f32> {
    let sigma = taps as f32 / 5.0;
    let middle = (taps / 2) as f32;
    let raw: Vec<f32> =
        (0..taps).map(|i| (-(i as f32 - middle).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f32 = raw.iter().sum();
    raw.into_iter().map(|v| v / sum).collect()
}

/// Separable; the picture is mirrored at its edges.
pub(super) fn blur(p: &Luma, window: &[f32]) -> Vec<f32> {
    let mut out = plane(p.width * p.height);
    let width = p.width.max(1);
    smooth(p, window, 0..p.height, |y, row| out[y * width..(y + 1) * width].copy_from_slice(row));
    out
}

/// Gives some smoothed rows of a picture to `take`.
fn smooth(p: &Luma, window: &[f32], rows: impl Iterator<Item = usize>, mut take: impl FnMut(usize, &[f32])) {
    let (w, half) = (p.width, window.len() / 2);
    let mut padded = vec![0f32; w + 2 * half];
    let mut out = vec![0f32; w];
    wide(
        #[inline(always)]
        || {
            for y in rows {
                let down = &mut padded[half..half + w];
                down.fill(0.0);
                for (tap, &weight) in window.iter().enumerate() {
                    let from = mirror(y as isize + tap as isize - half as isize, p.height) * w;
                    for (o, s) in down.iter_mut().zip(&p.samples[from..from + w]) {
                        *o += weight * s;
                    }
                }
                across(&mut padded, &mut out, window);
                take(y, &out);
            }
        },
    );
}

/// Smoothed, and every second sample of every second row of it.
fn halve(p: &Luma, window: &[f32]) -> Luma {
    let (width, height) = ((p.width / 2).max(1), (p.height / 2).max(1));
    let mut samples = plane(0);
    samples.reserve_exact(width * height);
    smooth(p, window, (0..height).map(|y| 2 * y), |_, row| samples.extend(row.iter().step_by(2).take(width)));
    Luma { width, height, samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(w: usize, h: usize) -> Luma {
        let at = |i: usize| 128.0 + 60.0 * ((i % w) as f32 * 0.4).sin() + ((i * 31 % 17) as f32);
        Luma { width: w, height: h, samples: (0..w * h).map(at).collect() }
    }

    #[test]
    fn all_is_left_of_an_equal_picture_and_less_of_a_blurred_one() {
        let p = picture(160, 90);
        for value in vif(&p, &p).unwrap() {
            assert!((value - 1.0).abs() < 1e-3, "{value}");
        }
        let soft = Luma { samples: blur(&p, &gaussian(5)), ..p.clone() };
        let softer = Luma { samples: blur(&p, &gaussian(9)), ..p.clone() };
        let (a, b) = (vif(&p, &soft).unwrap(), vif(&p, &softer).unwrap());
        assert!(a[0] < 0.9 && b[0] < a[0], "{a:?} {b:?}");
        // Blur takes the fine detail first.
        assert!(a[3] > a[0]);
    }

    #[test]
    fn any_size_is_measured_and_two_sizes_are_not() {
        assert!(vif(&picture(8, 8), &picture(8, 9)).is_err());
        for (w, h) in [(1, 1), (2, 3), (5, 33), (64, 1)] {
            let values = vif(&picture(w, h), &picture(w, h)).unwrap();
            assert!(values.iter().all(|v| v.is_finite()), "{w}x{h} {values:?}");
        }
    }
}
