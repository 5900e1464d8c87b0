//! Per-title ladders: what this source needs, found out by trying.
//!
//! Three steps, apart: [`trial()`] encodes a few short samples of the source at some sizes and
//! factors and measures them; [`choose()`] makes of the measurements the quality–rate surface, its
//! convex hull, and the rungs on it that viewers can tell apart; [`Decision::svg`] draws it. Reading
//! the samples is the caller's: this crate does no I/O.

mod choose;
mod noise;
mod plot;
mod presets;
mod trial;

pub use choose::choose;
pub use noise::Noise;
pub use presets::Trade;
pub use trial::{Sample, sizes, trial};

use serde::{Deserialize, Serialize};

use crate::Ladder;
use crate::metric::Verdict;

/// No rung needs fewer bits per second than this to be of use to somebody.
const LEAST: f64 = 150_000.0;

/// What a ladder may cost, and how good it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Budget {
    /// Quality of the best rung as VMAF: what is above it, no viewer sees.
    pub target: f64,
    /// Bits per second of the best rung at most.
    pub max_bitrate: Option<u64>,
    /// Rungs at most.
    pub rungs: usize,
    /// Core-seconds of encoding for a minute of the source at most, all rungs together: rungs get less
    /// effort where that costs the fewest bits, and are left out where that is not enough.
    pub core_seconds_per_minute: Option<f64>,
    /// Aim at the pictures without their noise, where that is less than the target.
    pub ignore_noise: bool,
    /// From one rung to the next, in VMAF, where bits don't ask for more.
    pub step: f64,
    /// Two rungs that are less than this apart in VMAF are one.
    pub visible: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            target: 95.0,
            max_bitrate: None,
            rungs: 6,
            core_seconds_per_minute: None,
            ignore_noise: false,
            step: 6.0,
            visible: 2.0,
        }
    }
}

/// One measurement: the samples encoded at one size and factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
    /// Constant rate factor.
    pub crf: f32,
    /// Bits per second, as a whole film with this segment length would have.
    pub bitrate: f64,
    /// How near it is to the source, both shown at the source's size.
    pub quality: Verdict,
    /// Core-seconds that encoding a second of it takes here.
    pub cost: f64,
}

/// A place on the surface between the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
    /// Constant rate factor.
    pub crf: f32,
    /// Bits per second.
    pub bitrate: f64,
    /// VMAF, as far as it follows from the measurements.
    pub vmaf: f64,
}

/// What was left out of a ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pruned {
    /// The place.
    pub place: Place,
    /// Why, in one sentence.
    pub reason: String,
}

fn describe(place: &Place) -> String {
    format!("{}x{} at {:.0} kbit/s", place.width, place.height, place.bitrate / 1000.0)
}

impl Decision {
    /// Adds what is larger than the pictures that were measured, up to the source's own size: the
    /// same factor as the best rung, and bits that grow as they do between sizes.
    pub fn enlarge(&mut self, own: (u32, u32), measured: (u32, u32)) {
        let Some(top) = self.ladder.rungs.first().cloned() else { return };
        if (top.width, top.height) != measured {
            self.ladder
                .reasons
                .push("larger sizes are left out: even the largest measured one adds nothing".into());
            return;
        }
        let most = self.budget.max_bitrate.unwrap_or(u64::MAX);
        let mut sizes = vec![own];
        // One between, where the step is more than twice each side.
        if own.0 >= measured.0 * 2 {
            sizes.push((own.0 * 2 / 3 / 2 * 2, own.1 * 2 / 3 / 2 * 2));
        }
        for (width, height) in sizes.into_iter().rev() {
            let share = f64::from(width) * f64::from(height) / (f64::from(top.width) * f64::from(top.height));
            let bitrate = (top.bitrate as f64 * share.powf(0.75)) as u64;
            if bitrate > most || self.ladder.rungs.len() >= self.budget.rungs {
                continue;
            }
            let mut rung = top.clone();
            rung.name = format!("{}p", width.min(height));
            (rung.width, rung.height, rung.bitrate, rung.max_bitrate) = (width, height, bitrate, bitrate * 2);
            self.ladder.reasons.push(format!(
                "{width}x{height} at about {} kbit/s is not measured but follows from {}",
                bitrate / 1000,
                top.name
            ));
            self.ladder.rungs.insert(0, rung);
        }
    }
}

/// The ladder of one codec, and everything that it was chosen by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The codec's short name.
    pub codec: String,
    /// What was asked for.
    pub budget: Budget,
    /// What of the pictures is noise, if that was measured.
    #[serde(default)]
    pub noise: Option<Noise>,
    /// What was measured.
    pub points: Vec<Point>,
    /// What less effort means; measured only for a budget of core-seconds.
    #[serde(default)]
    pub trades: Vec<Trade>,
    /// The best quality for each rate: the convex hull over all sizes, in order of rising rate.
    pub hull: Vec<Place>,
    /// Where the rungs are, in order of falling quality.
    pub places: Vec<Place>,
    /// What was left out.
    pub pruned: Vec<Pruned>,
    /// The rungs, and one sentence for each choice.
    pub ladder: Ladder,
    /// Pictures that were tried, and core-seconds that it took.
    pub tried: (u64, f64),
}
