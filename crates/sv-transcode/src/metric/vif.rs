//! Visual information fidelity in the pixel domain (Sheikh and Bovik, "Image information and visual
//! quality", IEEE Transactions on Image Processing 15(2), 2006), at four scales.

use super::{Luma, plane, recycle};
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
    let product = |x: &Luma, y: &Luma| {
        let mut samples = plane(x.samples.len());
        for (out, (x, y)) in samples.iter_mut().zip(x.samples.iter().zip(&y.samples)) {
            *out = x * y;
        }
        blur(&Luma { samples, ..*x }, window)
    };
    let (ma, mb) = (blur(a, window), blur(b, window));
    let (aa, bb, ab) = (product(a, a), product(b, b), product(a, b));
    let (mut kept, mut all) = (0f64, 0f64);
    for i in 0..ma.len() {
        let (mean_a, mean_b) = (ma[i], mb[i]);
        let va = (aa[i] - mean_a * mean_a).max(0.0);
        let vb = (bb[i] - mean_b * mean_b).max(0.0);
        let cov = ab[i] - mean_a * mean_b;
        if va < EYES {
            // Nothing to see in the original: noise in the copy takes away from it.
            kept += f64::from(1.0 - vb * (EYES * EYES / 255.0 / 255.0));
            all += 1.0;
            continue;
        }
        let mut gain = cov / va;
        let mut noise = vb - gain * cov;
        if cov < 0.0 {
            (gain, noise) = (0.0, vb);
        }
        gain = gain.min(MOST_GAIN);
        let noise = noise.max(1e-10);
        kept += f64::from((1.0 + gain * gain * va / (noise + EYES)).log2());
        all += f64::from((1.0 + va / EYES).log2());
    }
    [ma, mb, aa, bb, ab].into_iter().for_each(recycle);
    if all > 0.0 { kept / all } else { 1.0 }
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
    let (w, h) = (p.width, p.height);
    let half = window.len() / 2;
    let mirror = |at: isize, n: usize| -> usize {
        let last = n as isize - 1;
        let at = at.abs();
        let at = if at > last { 2 * last - at } else { at };
        at.clamp(0, last) as usize
    };
    let mut down = plane(w * h);
    for y in 0..h {
        let out = &mut down[y * w..(y + 1) * w];
        for (tap, &weight) in window.iter().enumerate() {
            let from = mirror(y as isize + tap as isize - half as isize, h) * w;
            for (o, s) in out.iter_mut().zip(&p.samples[from..from + w]) {
                *o += weight * s;
            }
        }
    }
    let mut out = plane(w * h);
    let mut padded = vec![0f32; w + 2 * half];
    for y in 0..h {
        let row = &down[y * w..(y + 1) * w];
        for (i, cell) in padded.iter_mut().enumerate() {
            *cell = row[mirror(i as isize - half as isize, w)];
        }
        let out = &mut out[y * w..(y + 1) * w];
        for (tap, &weight) in window.iter().enumerate() {
            for (o, s) in out.iter_mut().zip(&padded[tap..tap + w]) {
                *o += weight * s;
            }
        }
    }
    recycle(down);
    out
}

fn halve(p: &Luma, window: &[f32]) -> Luma {
    let soft = blur(p, window);
    let (width, height) = ((p.width / 2).max(1), (p.height / 2).max(1));
    let mut samples = plane(0);
    samples.reserve_exact(width * height);
    for y in 0..height {
        let row = &soft[2 * y * p.width..][..p.width];
        samples.extend(row.iter().step_by(2).take(width));
    }
    recycle(soft);
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
