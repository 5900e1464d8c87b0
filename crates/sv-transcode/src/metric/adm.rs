//! The detail loss measure (Li, Zhang, Ma and Ngan, "Image quality assessment by separately
//! evaluating detail losses and additive impairments", IEEE Transactions on Multimedia 13(5),
//! 2011), in the form that VMAF takes: four levels of a Daubechies wavelet, weighted by how well
//! eyes see each (Watson et al., "Visibility of wavelet quantization noise", 1997).

use super::{Luma, plane, recycle, wide};
use crate::Error;

/// Daubechies' filter with two vanishing moments: low pass; the high pass is its mirror.
const LOW: [f32; 4] = [0.482_962_9, 0.836_516_3, 0.224_143_87, -0.129_409_52];
const HIGH: [f32; 4] = [-0.129_409_52, -0.224_143_87, 0.836_516_3, -0.482_962_9];
/// Watson's thresholds of luma for horizontal and vertical, and for diagonal detail.
const AMPLITUDES: [[f64; 2]; 4] =
    [[0.67234, 0.72709], [0.41317, 0.49428], [0.22727, 0.28688], [0.11792, 0.15214]];
const ORIENTATION: [f64; 2] = [1.0, 0.534];
/// Samples in a degree of vision: 1080 rows seen from three times their height.
const RESOLUTION: f64 = 3.0 * 1080.0 * std::f64::consts::PI / 180.0;
/// This much of each side of the picture counts for nothing.
const BORDER: f64 = 0.1;
/// The square of the cosine of one degree.
const ONE_DEGREE: f32 = 0.999_695_4;
const MOST_GAIN: f32 = 100.0;

impl Drop for Bands {
    fn drop(&mut self) {
        std::mem::take(&mut self.detail).into_iter().for_each(recycle);
    }
}

/// Detail that is seen, at one level: horizontal, vertical, diagonal.
struct Bands {
    width: usize,
    height: usize,
    detail: [Vec<f32>; 3],
}

/// How much of the original's detail is left in the copy: 1 for all, more for a sharpened copy.
///
/// # Errors
/// [`Error::Invalid`] for pictures of two sizes.
pub fn adm(original: &Luma, copy: &Luma) -> Result<f64, Error> {
    original.same_size(copy)?;
    let least = 1e-2 * (original.width * original.height) as f64 / (1920.0 * 1080.0);
    let mut smaller: Option<(Luma, Luma)> = None;
    let (mut kept, mut all) = (0.0, 0.0);
    for level in 0..4 {
        let (a, b) = smaller.as_ref().map_or((original, copy), |(a, b)| (a, b));
        let ((next_a, bands_a), (next_b, bands_b)) = (split(a), split(b));
        let weights = weights(level);
        kept += restored(&bands_a, &bands_b, weights);
        all += total(&bands_a, weights);
        smaller = Some((next_a, next_b));
    }
    Ok(match (kept, all) {
        (_, all) if all < least => 1.0,
        (kept, _) if kept < least => 0.0,
        (kept, all) => kept / all,
    })
}

/// The inverse of what noise is just seen at a level.
fn weights(level: usize) -> [f32; 3] {
    let of = |kind: usize| {
        let frequency = 2f64.powi(level as i32 + 1) * 0.401 * ORIENTATION[kind] / RESOLUTION;
        let step = 2.0 * 0.495 * 10f64.powf(0.466 * frequency.log10().powi(2)) / AMPLITUDES[level][kind];
        (1.0 / step) as f32
    };
    [of(0), of(0), of(1)]
}

/// One level of the transform: the picture at half the size, and its detail.
fn split(p: &Luma) -> (Luma, Bands) {
    let (w, h) = (p.width, p.height);
    let (width, height) = (w.div_ceil(2), h.div_ceil(2));
    // Mirrored about the first sample, and about the edge behind the last.
    let place = |at: isize, n: usize| -> usize {
        let n = n as isize;
        let at = at.abs();
        (if at >= n { 2 * n - at - 1 } else { at }).clamp(0, n - 1) as usize
    };
    let empty = || {
        let mut samples = plane(0);
        samples.reserve_exact(width * height);
        samples
    };
    let (mut small, mut detail) = (empty(), [empty(), empty(), empty()]);
    // One sample before the row and up to two behind it, mirrored.
    let ends = [(0, -1), (1 + w, w as isize), (2 + w, 1 + w as isize)].map(|(to, at)| (to, 1 + place(at, w)));
    let (mut low, mut high) = (vec![0f32; w + 3], vec![0f32; w + 3]);
    wide(
        #[inline(always)]
        || {
            for y in 0..height {
                low.fill(0.0);
                high.fill(0.0);
                for tap in 0..4 {
                    let from = place(2 * y as isize - 1 + tap as isize, h) * w;
                    let rows = low[1..=w].iter_mut().zip(&mut high[1..=w]).zip(&p.samples[from..from + w]);
                    for ((l, g), s) in rows {
                        *l += LOW[tap] * s;
                        *g += HIGH[tap] * s;
                    }
                }
                for (to, from) in ends {
                    (low[to], high[to]) = (low[from], high[from]);
                }
                across(&low, width, LOW, &mut small);
                across(&high, width, LOW, &mut detail[0]);
                across(&low, width, HIGH, &mut detail[1]);
                across(&high, width, HIGH, &mut detail[2]);
            }
        },
    );
    (Luma { width, height, samples: small }, Bands { width, height, detail })
}

/// Every second sample of a filtered row.
#[inline(always)]
fn across(row: &[f32], width: usize, filter: [f32; 4], out: &mut Vec<f32>) {
    let at = |x: usize| 2 * x;
    out.extend((0..width).map(|x| {
        let four = &row[at(x)..at(x) + 4];
        filter[0] * four[0] + filter[1] * four[1] + filter[2] * four[2] + filter[3] * four[3]
    }));
}

/// The part of the picture that counts: from, to.
fn inside(n: usize) -> (usize, usize) {
    let skip = (n as f64 * BORDER - 0.5).max(0.0) as usize;
    (skip, n - skip)
}

/// The cube root of a sum of cubes, and what even an empty picture has.
fn pooled(cubes: f64, samples: usize) -> f64 {
    cubes.cbrt() + (samples as f64 / 32.0).cbrt()
}

fn total(bands: &Bands, weights: [f32; 3]) -> f64 {
    let ((x0, x1), (y0, y1)) = (inside(bands.width), inside(bands.height));
    let sum = |kind: usize| {
        let row = |y: usize| -> f64 {
            let row = &bands.detail[kind][y * bands.width..][x0..x1];
            row.iter().map(|v| f64::from((v * weights[kind]).abs().powi(3))).sum()
        };
        pooled((y0..y1).map(row).sum(), (x1 - x0) * (y1 - y0))
    };
    sum(0) + sum(1) + sum(2)
}

/// What is left of the original's detail in the copy, less what other impairments hide.
fn restored(a: &Bands, b: &Bands, weights: [f32; 3]) -> f64 {
    let (w, h) = (a.width, a.height);
    let len = w * h;
    let mut kept = [plane(len), plane(len), plane(len)];
    // What was added hides what is near it, in all three orientations together.
    let mut added = plane(len);
    wide(
        #[inline(always)]
        || {
            let [oh, ov, od] = a.detail.each_ref().map(|d| &d[..len]);
            let [th, tv, td] = b.detail.each_ref().map(|d| &d[..len]);
            let [kh, kv, kd] = kept.each_mut().map(|d| &mut d[..len]);
            let added = &mut added[..len];
            for i in 0..len {
                let (o, t) = ([oh[i], ov[i], od[i]], [th[i], tv[i], td[i]]);
                let product = o[0] * t[0] + o[1] * t[1];
                let lengths = (o[0] * o[0] + o[1] * o[1]) * (t[0] * t[0] + t[1] * t[1]);
                let aligned = product >= 0.0 && product * product >= ONE_DEGREE * lengths;
                let left: [f32; 3] = std::array::from_fn(|kind| left(o[kind], t[kind], aligned));
                (kh[i], kv[i], kd[i]) = (left[0], left[1], left[2]);
                let lost = |kind: usize| ((t[kind] - left[kind]) * weights[kind]).abs();
                added[i] = lost(0) + lost(1) + lost(2);
            }
        },
    );
    let mask = masks(&added, w, h);
    let ((x0, x1), (y0, y1)) = (inside(w), inside(h));
    let mut cubes = [0f64; 3];
    for y in y0..y1 {
        for x in x0..x1 {
            let i = y * w + x;
            for kind in 0..3 {
                let seen = ((kept[kind][i] * weights[kind]).abs() - mask[i]).max(0.0);
                cubes[kind] += f64::from(seen * seen * seen);
            }
        }
    }
    kept.into_iter().chain([added, mask]).for_each(recycle);
    cubes.iter().map(|c| pooled(*c, (x1 - x0) * (y1 - y0))).sum()
}

/// What of one sample of the original's detail is in the copy.
#[inline(always)]
fn left(o: f32, t: f32, aligned: bool) -> f32 {
    let none = o == 0.0;
    let share = (t / if none { 1.0 } else { o }).clamp(0.0, 1.0);
    let left = if none { 0.0 } else { share * o };
    // More contrast with the same direction is no impairment.
    let more = if left > 0.0 { t.min(left * MOST_GAIN) } else { t.max(left * MOST_GAIN) };
    if aligned && left != 0.0 { more } else { left }
}

/// How much is hidden at each place: a thirtieth of each neighbour, a fifteenth of its own.
fn masks(added: &[f32], w: usize, h: usize) -> Vec<f32> {
    let mirror = |at: isize, n: usize| -> usize {
        let last = n as isize - 1;
        let at = at.abs();
        (if at > last { 2 * last - at + 1 } else { at }).clamp(0, last) as usize
    };
    let mut across = plane(w * h);
    for y in 0..h {
        let row = &added[y * w..(y + 1) * w];
        for x in 0..w {
            let (left, right) = (mirror(x as isize - 1, w), mirror(x as isize + 1, w));
            across[y * w + x] = row[left] + row[x] + row[right];
        }
    }
    let mut out = plane(w * h);
    for y in 0..h {
        let (above, below) = (mirror(y as isize - 1, h), mirror(y as isize + 1, h));
        for x in 0..w {
            let ring = across[above * w + x] + across[y * w + x] + across[below * w + x];
            out[y * w + x] = (ring + added[y * w + x]) / 30.0;
        }
    }
    recycle(across);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(w: usize, h: usize) -> Luma {
        let at = |i: usize| 128.0 + 60.0 * ((i % w) as f32 * 0.3).sin() + ((i * 31 % 17) as f32);
        Luma { width: w, height: h, samples: (0..w * h).map(at).collect() }
    }

    #[test]
    fn detail_is_kept_or_lost() {
        let p = picture(160, 96);
        assert!((adm(&p, &p).unwrap() - 1.0).abs() < 1e-3);
        let grey = Luma { samples: vec![128.0; 160 * 96], ..p.clone() };
        assert!(adm(&p, &grey).unwrap() < 0.35);
        assert!((adm(&grey, &grey).unwrap() - 1.0).abs() < 1e-3);
        let soft: Vec<f32> = p.samples.iter().map(|s| 128.0 + (s - 128.0) * 0.5).collect();
        let half = adm(&p, &Luma { samples: soft, ..p.clone() }).unwrap();
        assert!((0.4..0.8).contains(&half), "{half}");
    }

    #[test]
    fn any_size_is_measured_and_two_sizes_are_not() {
        assert!(adm(&picture(8, 8), &picture(8, 9)).is_err());
        for (w, h) in [(1, 1), (2, 3), (5, 33), (64, 1)] {
            assert!(adm(&picture(w, h), &picture(w, h)).unwrap().is_finite(), "{w}x{h}");
        }
    }
}
