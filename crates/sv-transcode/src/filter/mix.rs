//! Channels to channels.
//!
//! The matrix follows [ITU-R BS.775](https://www.itu.int/rec/R-REC-BS.775) for stereo: centre and
//! surrounds at -3 dB, no low-frequency channel. Rows are then scaled so that no input can push an
//! output beyond full scale.

/// Where a channel stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Left,
    Right,
    Centre,
    Low,
    SideLeft,
    SideRight,
    BackLeft,
    BackRight,
    BackCentre,
}

/// The usual places for a number of channels, in the order of `AudioFrame`.
fn places(channels: u16) -> Option<&'static [Place]> {
    use Place::{BackCentre, BackLeft, BackRight, Centre, Left, Low, Right, SideLeft, SideRight};
    Some(match channels {
        1 => &[Centre],
        2 => &[Left, Right],
        3 => &[Left, Right, Centre],
        4 => &[Left, Right, Centre, BackCentre],
        5 => &[Left, Right, Centre, SideLeft, SideRight],
        6 => &[Left, Right, Centre, Low, SideLeft, SideRight],
        7 => &[Left, Right, Centre, Low, BackCentre, SideLeft, SideRight],
        8 => &[Left, Right, Centre, Low, BackLeft, BackRight, SideLeft, SideRight],
        _ => return None,
    })
}

/// Turns `from` interleaved channels into `to`.
pub(crate) struct Mix {
    from: usize,
    to: usize,
    /// `to` rows of `from` weights.
    weights: Vec<f32>,
}

impl Mix {
    /// `None` where nobody has said how.
    pub(crate) fn new(from: u16, to: u16) -> Option<Self> {
        let (source, target) = (places(from)?, places(to)?);
        let mut weights = Vec::with_capacity(source.len() * target.len());
        for &out in target {
            let mut row: Vec<f32> = source.iter().map(|&place| weight(place, out, source, target)).collect();
            let sum: f32 = row.iter().sum();
            if sum > 1.0 {
                row.iter_mut().for_each(|w| *w /= sum);
            }
            weights.extend(row);
        }
        Some(Self { from: from.into(), to: to.into(), weights })
    }

    pub(crate) fn apply(&self, samples: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(samples.len() / self.from * self.to);
        for frame in samples.chunks_exact(self.from) {
            let rows = self.weights.chunks_exact(self.from);
            out.extend(rows.map(|row| row.iter().zip(frame).map(|(w, s)| w * s).sum::<f32>()));
        }
        out
    }
}

const MINUS_3_DB: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// How much of a channel at `place` goes to the one at `out`.
fn weight(place: Place, out: Place, source: &[Place], target: &[Place]) -> f32 {
    use Place::{BackCentre, BackLeft, BackRight, Centre, Left, Low, Right, SideLeft, SideRight};
    if place == out {
        return 1.0;
    }
    // A channel that has a place of its own goes nowhere else; the low one is dropped.
    if target.contains(&place) || place == Low {
        return 0.0;
    }
    let has = |p| target.contains(&p);
    match (place, out) {
        // Mono is the same on both sides at full scale; a centre among others is shared.
        (Centre, Left | Right) if source.len() == 1 => 1.0,
        (Centre, Left | Right) => MINUS_3_DB,
        (Left | Right, Centre) if target.len() == 1 => 0.5,
        (SideLeft, BackLeft) | (SideRight, BackRight) | (BackLeft, SideLeft) | (BackRight, SideRight) => 1.0,
        (BackCentre, SideLeft | SideRight | BackLeft | BackRight) => MINUS_3_DB,
        (BackCentre, Left | Right) if !has(SideLeft) && !has(BackLeft) => 0.5,
        (SideLeft | BackLeft | SideRight | BackRight, BackCentre) => MINUS_3_DB,
        (SideLeft | BackLeft, Left) | (SideRight | BackRight, Right)
            if !has(SideLeft) && !has(BackLeft) && !has(BackCentre) =>
        {
            MINUS_3_DB
        }
        (SideLeft | BackLeft | SideRight | BackRight | BackCentre, Centre) if target.len() == 1 => {
            0.5 * MINUS_3_DB
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surround_to_stereo_never_clips_and_keeps_sides_apart() {
        let mix = Mix::new(6, 2).unwrap();
        let full = mix.apply(&[1.0; 6]);
        assert!(full.iter().all(|s| (*s - 1.0).abs() < 1e-6), "{full:?}");
        let left = mix.apply(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(left[0] > 0.4 && left[1] == 0.0);
        let low = mix.apply(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(low, [0.0, 0.0]);
        let centre = mix.apply(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(centre[0], centre[1]);
        let ratio = centre[0] / left[0];
        assert!((ratio - MINUS_3_DB).abs() < 1e-6);
    }

    #[test]
    fn mono_is_heard_on_both_sides() {
        assert_eq!(Mix::new(1, 2).unwrap().apply(&[0.5, -0.25]), [0.5, 0.5, -0.25, -0.25]);
        assert_eq!(Mix::new(2, 1).unwrap().apply(&[1.0, 0.0]), [0.5]);
        assert!(Mix::new(11, 2).is_none());
    }
}
