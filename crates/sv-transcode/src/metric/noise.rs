//! How much noise is in a picture, and what it would be without.

use super::{Luma, plane};

/// Side of a block that is looked at by itself.
const BLOCK: usize = 16;
/// Blocks darker or brighter than this are left out: noise is cut off there, and bars have none.
const LEVELS: (f32, f32) = (24.0, 228.0);
/// The share of the blocks that is taken for flat: what is in the others is detail as well.
const FLAT: f64 = 0.15;

/// The standard deviation of a picture's noise, on the scale of 8 bits, by the Laplacian of Immerkær ("Fast
/// noise variance estimation", Computer Vision and Image Understanding 64(2), 1996) in the flattest blocks.
/// Coded pictures have less of it than what was filmed; 0 is none.
#[must_use]
pub fn noise(picture: &Luma) -> f32 {
    let (w, h) = (picture.width, picture.height);
    let at = |x: usize, y: usize| picture.samples[y * w + x];
    let mut blocks = Vec::new();
    for top in (1..h.saturating_sub(BLOCK)).step_by(BLOCK) {
        for left in (1..w.saturating_sub(BLOCK)).step_by(BLOCK) {
            let (mut sum, mut light) = (0f64, 0f32);
            for y in top..top + BLOCK {
                for x in left..left + BLOCK {
                    let corners = at(x - 1, y - 1) + at(x + 1, y - 1) + at(x - 1, y + 1) + at(x + 1, y + 1);
                    let sides = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
                    let found = corners - 2.0 * sides + 4.0 * at(x, y);
                    sum += f64::from(found * found);
                    light += at(x, y);
                }
            }
            let count = (BLOCK * BLOCK) as f64;
            let light = light / count as f32;
            if (LEVELS.0..=LEVELS.1).contains(&light) {
                // The operator's weights squared add up to 36.
                blocks.push((sum / count / 36.0).sqrt());
            }
        }
    }
    if blocks.is_empty() {
        return 0.0;
    }
    let flat = ((blocks.len() as f64 * FLAT) as usize).clamp(1, blocks.len());
    blocks.sort_by(f64::total_cmp);
    (blocks[..flat].iter().sum::<f64>() / flat as f64) as f32
}

/// The picture with noise of this strength taken out, by Lee's filter ("Digital image enhancement and noise
/// filtering by use of local statistics", IEEE PAMI 2(2), 1980): what varies no more than noise does becomes
/// the mean of its neighbourhood, what varies more is kept.
#[must_use]
pub fn without_noise(picture: &Luma, sigma: f32) -> Luma {
    const REACH: usize = 2;
    let (w, h) = (picture.width, picture.height);
    let mut samples = plane(0);
    samples.reserve_exact(w * h);
    for y in 0..h {
        let (y0, y1) = (y.saturating_sub(REACH), (y + REACH + 1).min(h));
        for x in 0..w {
            let (x0, x1) = (x.saturating_sub(REACH), (x + REACH + 1).min(w));
            let (mut sum, mut squares) = (0f32, 0f32);
            for row in y0..y1 {
                for value in &picture.samples[row * w + x0..row * w + x1] {
                    sum += value;
                    squares += value * value;
                }
            }
            let count = ((y1 - y0) * (x1 - x0)) as f32;
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            let kept = if variance > 0.0 { (variance - sigma * sigma).max(0.0) / variance } else { 0.0 };
            samples.push(mean + kept * (picture.samples[y * w + x] - mean));
        }
    }
    Luma { width: w, height: h, samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bright ramp with a few shapes, and noise of a known strength on it.
    fn noisy(sigma: f32) -> (Luma, Luma) {
        let (w, h) = (320, 176);
        let mut seed = 7u64;
        let mut uniform = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f32 / (1u64 << 24) as f32
        };
        // The sum of twelve uniform numbers is nearly normal, with a deviation of one.
        let mut normal = || (0..12).map(|_| uniform()).sum::<f32>() - 6.0;
        let clean: Vec<f32> = (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                let shape = if (x / 40 + y / 40) % 3 == 0 { 50.0 } else { 0.0 };
                60.0 + x as f32 / 4.0 + shape
            })
            .collect();
        let samples = clean.iter().map(|s| s + sigma * normal()).collect();
        (Luma { width: w, height: h, samples: clean }, Luma { width: w, height: h, samples })
    }

    #[test]
    fn noise_is_told_from_detail() {
        for sigma in [0.0f32, 1.0, 2.5, 5.0, 10.0] {
            let found = noise(&noisy(sigma).1);
            assert!((found - sigma).abs() <= 0.15 + 0.15 * sigma, "{found} and not {sigma}");
        }
        let bars = Luma { width: 64, height: 64, samples: vec![16.0; 64 * 64] };
        assert!(noise(&bars).abs() < 1e-6);
        assert!(noise(&Luma { width: 3, height: 2, samples: vec![90.0; 6] }).abs() < 1e-6);
    }

    #[test]
    fn most_of_the_noise_goes_and_the_picture_stays() {
        let (clean, noisy) = noisy(5.0);
        let off = |p: &Luma| {
            let squares: f32 = p.samples.iter().zip(&clean.samples).map(|(a, b)| (a - b).powi(2)).sum();
            (squares / p.samples.len() as f32).sqrt()
        };
        let quiet = without_noise(&noisy, 5.0);
        assert!(off(&quiet) < off(&noisy) * 0.6, "{} of {}", off(&quiet), off(&noisy));
        // Without noise there is nothing to take out.
        assert!(off(&without_noise(&clean, 0.0)) < 1e-3);
    }
}
