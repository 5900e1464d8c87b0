//! VMAF (Netflix's model v0.6.1, 1080p on a television) out of measures of our own.

use std::sync::OnceLock;

use super::vif::{blur, vif};
use super::{Luma, Xpsnr, adm, recycle};
use crate::Error;

/// What a copy is like.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// VMAF, 0 to 100.
    pub vmaf: f64,
    /// XPSNR of luma in decibels, 99 at most.
    pub xpsnr: f64,
    /// Detail that is left.
    pub adm: f64,
    /// Information that is left at four scales, finest first.
    pub vif: [f64; 4],
    /// How much the original moves, in 8-bit steps.
    pub motion: f64,
}

/// The picture that is judged, with its neighbours in time.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The original one before, unless it is the first.
    pub before: Option<&'a Luma>,
    /// The original.
    pub original: &'a Luma,
    /// The original one behind, unless it is the last.
    pub after: Option<&'a Luma>,
    /// What has become of it.
    pub copy: &'a Luma,
}

/// Measures a sequence; not every picture need be given.
#[derive(Debug)]
pub struct Judge {
    xpsnr: Xpsnr,
    sum: [f64; 7],
    count: u32,
}

/// The taps of the blur before motion is measured.
const SOFT: [f32; 5] = [0.054_488_685, 0.244_201_34, 0.402_619_95, 0.244_201_34, 0.054_488_685];

impl Judge {
    /// For a sequence of so many frames a second.
    #[must_use]
    pub fn new(frame_rate: f64) -> Self {
        Self { xpsnr: Xpsnr::new(frame_rate), sum: [0.0; 7], count: 0 }
    }

    /// Adds a picture, and gives its own VMAF.
    ///
    /// # Errors
    /// [`Error::Invalid`] for pictures of two sizes.
    pub fn add(&mut self, shown: Shown<'_>) -> Result<f64, Error> {
        let Shown { before, original, after, copy } = shown;
        self.xpsnr.restart(before);
        self.xpsnr.add(original, copy)?;
        let (adm, vif) = (adm(original, copy)?, vif(original, copy)?);
        let motion = motion(before, original, after);
        let features = [adm, motion, vif[0], vif[1], vif[2], vif[3]];
        let vmaf = model().predict(features);
        let all = [vmaf, adm, motion, vif[0], vif[1], vif[2], vif[3]];
        for (sum, value) in self.sum.iter_mut().zip(all) {
            *sum += value;
        }
        self.count += 1;
        Ok(vmaf)
    }

    /// What the sequence is like on average, or nothing before the first picture.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let xpsnr = self.xpsnr.score()?.min(99.0);
        let [vmaf, adm, motion, a, b, c, d] = self.sum.map(|s| s / f64::from(self.count));
        Some(Verdict { vmaf, xpsnr, adm, vif: [a, b, c, d], motion })
    }
}

/// The smaller of the changes from the picture before and to the one behind: a cut is no motion.
fn motion(before: Option<&Luma>, now: &Luma, after: Option<&Luma>) -> f64 {
    let soft = blur(now, &SOFT);
    let change = |other: &Luma| {
        let other = blur(other, &SOFT);
        let sum: f64 = soft.iter().zip(&other).map(|(a, b)| f64::from((a - b).abs())).sum();
        recycle(other);
        sum / soft.len().max(1) as f64
    };
    let same = |l: &&Luma| l.samples.len() == now.samples.len();
    let Some(before) = before.filter(same) else { return 0.0 };
    let back = change(before);
    after.filter(same).map_or(back, |after| back.min(change(after)))
}

/// A support vector regression.
struct Model {
    vectors: Vec<(f64, [f64; 6])>,
}

/// From features to what the vectors were trained on: detail, motion, four scales of information.
const SLOPES: [f64; 6] = [
    2.809_807_750_250_541_4,
    0.062_644_074_666_860_16,
    1.222_763_456_258_933,
    1.536_031_881_108_414_6,
    1.762_086_499_550_105_8,
    2.086_564_682_864_32,
];
const INTERCEPTS: [f64; 6] = [
    -1.799_396_859_718_674_7,
    -0.003_017_198_086_831_897,
    -0.172_812_509_542_536_4,
    -0.529_430_909_008_122_2,
    -0.757_718_579_209_372_1,
    -1.083_428_597_549_764,
];
/// The same for what comes out.
const OUT: (f64, f64) = (0.012_020_766_332_648_465, -0.309_298_192_759_196_3);
const RHO: f64 = -1.33133;
const GAMMA: f64 = 0.04;

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| Model::parse(include_str!("vmaf_v0.6.1.txt")))
}

impl Model {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        let vectors = lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            let weight = words.next()?.parse().ok()?;
            let mut vector = [0.0; 6];
            for word in words {
                let (number, value) = word.split_once(':')?;
                *vector.get_mut(number.parse::<usize>().ok()?.checked_sub(1)?)? = value.parse().ok()?;
            }
            Some((weight, vector))
        });
        Self { vectors: vectors.collect() }
    }

    fn predict(&self, features: [f64; 6]) -> f64 {
        let x: [f64; 6] = std::array::from_fn(|i| SLOPES[i] * features[i] + INTERCEPTS[i]);
        let kernel =
            |v: &[f64; 6]| (-GAMMA * x.iter().zip(v).map(|(a, b)| (a - b).powi(2)).sum::<f64>()).exp();
        let sum: f64 = self.vectors.iter().map(|(weight, vector)| weight * kernel(vector)).sum();
        ((sum - RHO - OUT.1) / OUT.0).clamp(0.0, 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_whole_and_rises_with_what_is_left() {
        assert_eq!(model().vectors.len(), 211);
        let at = |q: f64| model().predict([q, 3.0, q, q, q, q]);
        assert!(at(1.0) > 97.0 && at(0.95) < at(1.0) && at(0.9) < at(0.95) && at(0.8) < at(0.9));
        assert!((0.0..=100.0).contains(&at(0.0)) && (0.0..=100.0).contains(&at(5.0)));
    }

    #[test]
    fn a_cut_is_no_motion() {
        let flat = |v: f32| Luma { width: 16, height: 16, samples: vec![v; 256] };
        let (a, b, c) = (flat(10.0), flat(12.0), flat(200.0));
        assert!((motion(Some(&a), &b, Some(&c)) - 2.0).abs() < 1e-3);
        assert!((motion(Some(&a), &b, None) - 2.0).abs() < 1e-3);
        assert!(motion(None, &b, Some(&c)).abs() < 1e-9);
    }
}
