//! Colours that BT.709 can't show, brought in.
//!
//! Intensity and hue stay, by the space that BT.2100 defines for them (ICtCp); only the saturation
//! goes down. Clipping each channel instead would change all three.

use super::color::{BT709, BT2020, ICTCP, LMS, Matrix, WHITE, inverse, pq_light, pq_signal, product};
use super::color::{times, to_xyz};

/// So much of the saturation that BT.709 has for a hue is never touched.
const KEPT: f64 = 0.9;

/// Brings linear light of BT.2020 into BT.709. White is 1 on both sides.
pub(super) struct Gamut {
    to_709: Matrix,
    from_lms: Matrix,
    from_ictcp: Matrix,
}

impl Gamut {
    pub(super) fn new() -> Self {
        let to_709 = product(&inverse(&to_xyz(&BT709)), &to_xyz(&BT2020));
        Self { to_709, from_lms: product(&to_709, &inverse(&LMS)), from_ictcp: inverse(&ICTCP) }
    }

    /// Linear light of BT.709 between 0 and 1.
    pub(super) fn fit(&self, light: [f64; 3]) -> [f64; 3] {
        let lms = times(&LMS, light.map(|l| l * WHITE)).map(pq_signal);
        let [i, t, p] = times(&ICTCP, lms);
        let shown = |saturation: f64| self.shown([i, t * saturation, p * saturation]);
        if is_inside(shown(1.0 / KEPT)) {
            return times(&self.to_709, light);
        }
        // The largest multiple of the saturation that BT.709 has; grey always is inside.
        let (mut inside, mut outside) = (0.0, 1.0 / KEPT);
        for _ in 0..10 {
            let middle = (inside + outside) / 2.0;
            *(if is_inside(shown(middle)) { &mut inside } else { &mut outside }) = middle;
        }
        // From `KEPT` on saturation nears that limit and never gets there, so that different
        // colours stay different.
        let over = (1.0 / inside.max(1e-6) - KEPT) / (1.0 - KEPT);
        shown(inside * (KEPT + (1.0 - KEPT) * over.tanh()))
    }

    fn shown(&self, ictcp: [f64; 3]) -> [f64; 3] {
        times(&self.from_lms, times(&self.from_ictcp, ictcp).map(pq_light)).map(|l| l / WHITE)
    }
}

fn is_inside(light: [f64; 3]) -> bool {
    light.iter().all(|l| (-1e-6..=1.0 + 1e-6).contains(l))
}
