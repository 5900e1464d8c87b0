//! XPSNR: PSNR with block-wise perceptual weights (Helmrich et al., "XPSNR: a low-complexity
//! extension of the perceptually weighted PSNR for high-resolution video quality assessment",
//! ICASSP 2020). Luma only; 8-bit scale.

use super::Luma;
use crate::Error;

/// Pictures with more samples than this are looked at in steps of two.
const LARGE: usize = 2048 * 1152;
/// In pictures with fewer, one block's weight is no larger than its largest neighbour's.
const SMALL: usize = 640 * 480;
/// How much change over time counts beside change in space.
const TEMPORAL: f64 = 2.0;
/// The least activity of a block: 2^(8 - 6).
const LEAST: f64 = 4.0;

/// Measures a sequence, picture by picture in the order that they are shown.
#[derive(Debug)]
pub struct Xpsnr {
    /// The original one before, and two before where the rate is high.
    before: Vec<Luma>,
    /// Whether change over time is the second difference, as for 32 frames a second and more.
    fast: bool,
    sum: f64,
    count: u32,
    samples: usize,
}

impl Xpsnr {
    /// For a sequence of so many frames a second.
    #[must_use]
    pub fn new(frame_rate: f64) -> Self {
        Self { before: Vec::new(), fast: frame_rate >= 32.0, sum: 0.0, count: 0, samples: 0 }
    }

    /// Adds a picture, and gives its own value in decibels: infinite for equal pictures.
    ///
    /// # Errors
    /// [`Error::Invalid`] for pictures of two sizes.
    pub fn add(&mut self, original: &Luma, copy: &Luma) -> Result<f64, Error> {
        original.same_size(copy)?;
        self.before.retain(|b| b.width == original.width && b.height == original.height);
        let weighted = self.weighted_error(original, copy);
        self.samples = original.samples.len();
        self.sum += weighted.sqrt();
        self.count += 1;
        self.before.insert(0, original.clone());
        self.before.truncate(if self.fast { 2 } else { 1 });
        Ok(decibels(weighted, self.samples))
    }

    /// The next picture follows `before`. Where that is the last one that was added, nothing changes.
    pub fn restart(&mut self, before: Option<&Luma>) {
        let last = self.before.first().map(|last| &last.samples);
        if last.is_none() || last != before.map(|before| &before.samples) {
            self.before = before.into_iter().cloned().collect();
        }
    }

    /// The whole sequence's value in decibels, or nothing before the first picture.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        let mean = (self.count > 0).then(|| self.sum / f64::from(self.count))?;
        Some(decibels(mean * mean, self.samples))
    }

    fn weighted_error(&self, original: &Luma, copy: &Luma) -> f64 {
        let (w, h) = (original.width, original.height);
        let ratio = (w * h) as f64 / (3840.0 * 2160.0);
        let block = 4 * (32.0 * ratio.sqrt() + 0.5) as usize;
        if block < 4 {
            return (0..h).map(|y| squares(original, copy, 0..w, y)).sum();
        }
        let across = w.div_ceil(block);
        let (mut errors, mut weights) = (Vec::new(), Vec::new());
        for y in (0..h).step_by(block) {
            for x in (0..w).step_by(block) {
                let (right, bottom) = ((x + block).min(w), (y + block).min(h));
                errors.push((y..bottom).map(|y| squares(original, copy, x..right, y)).sum::<f64>());
                weights.push(1.0 / self.activity(original, (x, right), (y, bottom)));
            }
        }
        if w * h <= SMALL {
            smooth(&mut weights, across);
        }
        // 16 * 2^(2 * 8 - 9), corrected for the size of the picture.
        let usual = (2048.0 / ratio.max(1e-5).sqrt()).sqrt();
        errors.iter().zip(&weights).map(|(error, weight)| error * weight).sum::<f64>() * usual
    }

    /// How busy a block is, in space and over time.
    fn activity(&self, p: &Luma, (left, right): (usize, usize), (top, bottom): (usize, usize)) -> f64 {
        let (w, h) = (p.width, p.height);
        let step = if w * h > LARGE { 2 } else { 1 };
        let at = |x: usize, y: usize| p.samples[y * w + x];
        // Rows and columns at the picture's edge have no neighbours.
        let (x0, x1) = (left.max(step), right.min(w.saturating_sub(step)));
        let (y0, y1) = (top.max(step), bottom.min(h.saturating_sub(step)));
        if x1 <= x0 || y1 <= y0 {
            return LEAST;
        }
        let mut space = 0.0;
        for y in (y0..y1).step_by(step) {
            let mut row = 0.0f32;
            for x in (x0..x1).step_by(step) {
                row += if step == 1 {
                    let sides = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
                    let corners = at(x - 1, y - 1) + at(x + 1, y - 1) + at(x - 1, y + 1) + at(x + 1, y + 1);
                    (12.0 * at(x, y) - 2.0 * sides - corners).abs()
                } else {
                    coarse(p, x, y).abs()
                };
            }
            space += f64::from(row);
        }
        let mut activity = space / ((x1 - x0) * (y1 - y0)) as f64;
        activity += TEMPORAL * self.change(p, (left, right), (top, bottom), step)
            / ((right - left) * (bottom - top)) as f64;
        activity.max(LEAST)
    }

    fn change(&self, p: &Luma, (x0, x1): (usize, usize), (y0, y1): (usize, usize), step: usize) -> f64 {
        let (one, two) = (self.before.first(), self.before.get(1));
        let w = p.width;
        let Some(one) = one else { return 0.0 };
        let at = |l: &Luma, x: usize, y: usize| -> f32 {
            if step == 1 {
                return l.samples[y * w + x];
            }
            let (x2, y2) = ((x + 1).min(w - 1), (y + 1).min(l.height - 1));
            l.samples[y * w + x] + l.samples[y * w + x2] + l.samples[y2 * w + x] + l.samples[y2 * w + x2]
        };
        let mut sum = 0.0;
        for y in (y0..y1).step_by(step) {
            let row = (x0..x1).step_by(step).map(|x| match two.filter(|_| self.fast) {
                Some(two) => (at(p, x, y) - 2.0 * at(one, x, y) + at(two, x, y)).abs(),
                None => (at(p, x, y) - at(one, x, y)).abs(),
            });
            sum += f64::from(row.sum::<f32>());
        }
        sum
    }
}

/// The high pass of large pictures: the mean of 2x2 samples against twelve around them.
fn coarse(p: &Luma, x: usize, y: usize) -> f32 {
    let w = p.width;
    let row = |y: usize, x0: usize, x1: usize| p.samples[y * w + x0..=y * w + x1].iter().sum::<f32>();
    let last = |v: usize, n: usize| (v + 2).min(n - 1);
    let (x3, y3) = (last(x, w), last(y, p.height));
    let (x2, y2) = ((x + 1).min(w - 1), (y + 1).min(p.height - 1));
    let inner = row(y, x, x2) + row(y2, x, x2);
    let sides = row(y, x - 1, x - 1) + row(y, x3, x3) + row(y2, x - 1, x - 1) + row(y2, x3, x3);
    let above = row(y - 1, x, x2) + row(y3, x, x2);
    let outer = row(y - 1, x - 1, x - 1) + row(y - 1, x3, x3) + row(y3, x - 1, x - 1) + row(y3, x3, x3);
    12.0 * inner - 3.0 * (sides + above) - 2.0 * outer - spread(p, x, y)
}

/// The ring of twelve around the twelve, two samples away.
fn spread(p: &Luma, x: usize, y: usize) -> f32 {
    let (w, h) = (p.width, p.height);
    let at = |x: usize, y: usize| p.samples[y.min(h - 1) * w + x.min(w - 1)];
    let above = (0..4).map(|i| at(x - 1 + i, y.saturating_sub(2)) + at(x - 1 + i, y + 3)).sum::<f32>();
    let beside = (0..4).map(|i| at(x.saturating_sub(2), y - 1 + i) + at(x + 3, y - 1 + i)).sum::<f32>();
    above + beside
}

fn squares(a: &Luma, b: &Luma, x: std::ops::Range<usize>, y: usize) -> f64 {
    let (start, end) = (y * a.width + x.start, y * a.width + x.end);
    let pairs = a.samples[start..end].iter().zip(&b.samples[start..end]);
    f64::from(pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>())
}

/// No weight stays above the largest of its neighbours to the left, to the right and above.
fn smooth(weights: &mut [f64], across: usize) {
    for i in 0..weights.len() {
        let column = i % across;
        let left = (column > 0).then(|| weights[i - 1]);
        let right = (column + 1 < across).then(|| weights.get(i + 1).copied()).flatten();
        let above = i.checked_sub(across).map(|j| weights[j]);
        let most = [left, right, above].into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
        if most.is_finite() {
            weights[i] = weights[i].min(most);
        }
    }
}

fn decibels(weighted: f64, samples: usize) -> f64 {
    10.0 * (samples as f64 * 255.0 * 255.0 / weighted).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texture(w: usize, h: usize, contrast: f32) -> Luma {
        let samples = (0..w * h).map(|i| 128.0 + contrast * ((i * 7919 % 61) as f32 - 30.0) / 30.0).collect();
        Luma { width: w, height: h, samples }
    }

    fn noisy(p: &Luma, by: f32) -> Luma {
        let samples = p.samples.iter().enumerate().map(|(i, s)| s + if i % 3 == 0 { by } else { -by / 2.0 });
        Luma { samples: samples.collect(), ..*p }
    }

    #[test]
    fn equal_pictures_are_infinitely_near_and_more_noise_is_further() {
        let p = texture(320, 240, 40.0);
        let score = |by| Xpsnr::new(25.0).add(&p, &noisy(&p, by)).unwrap();
        assert!(Xpsnr::new(25.0).add(&p, &p).unwrap().is_infinite());
        assert!(score(1.0) > score(2.0) && score(2.0) > score(8.0));
        // Twice the error is four times its square: 6.02 dB, whatever the weights.
        assert!((score(1.0) - score(2.0) - 6.0206).abs() < 0.01);
    }

    #[test]
    fn noise_is_seen_less_where_there_is_texture() {
        let (flat, busy) = (texture(320, 240, 1.0), texture(320, 240, 60.0));
        let score = |p: &Luma| Xpsnr::new(25.0).add(p, &noisy(p, 3.0)).unwrap();
        assert!(score(&busy) > score(&flat) + 3.0);
    }

    #[test]
    fn sizes_must_agree_and_any_size_is_measured() {
        let mut x = Xpsnr::new(60.0);
        assert!(x.add(&texture(4, 4, 1.0), &texture(4, 5, 1.0)).is_err());
        assert!(x.score().is_none());
        for (w, h) in [(1, 1), (3, 2), (17, 5), (641, 3), (2100, 1200)] {
            let p = texture(w, h, 9.0);
            for _ in 0..3 {
                assert!(x.add(&p, &noisy(&p, 2.0)).unwrap().is_finite(), "{w}x{h}");
            }
        }
        assert!(x.score().unwrap().is_finite());
    }
}
