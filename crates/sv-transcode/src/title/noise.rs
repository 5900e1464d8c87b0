//! What of a source is noise, which no viewer misses and every encoder pays for.

use serde::{Deserialize, Serialize};

use super::Sample;
use crate::Error;
use crate::metric::{Judge, Luma, Shown, noise, without_noise};

/// What of some samples is noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Its standard deviation, in steps of 8 bits.
    pub sigma: f32,
    /// VMAF of the pictures without their noise: a copy needs no more to show all the rest.
    pub vmaf: f64,
}

/// Less noise than this is not seen.
const SEEN: f32 = 0.8;
/// Pictures of each sample that are looked at.
const PICTURES: usize = 2;

impl Noise {
    /// Measures the first pictures of each sample.
    ///
    /// # Errors
    /// [`Error::Invalid`] for pictures that can't be read.
    pub fn of(samples: &[Sample]) -> Result<Self, Error> {
        let pictures: Vec<Luma> = samples
            .iter()
            .flat_map(|s| s.frames.iter().take(PICTURES))
            .map(Luma::of)
            .collect::<Result<_, _>>()?;
        let found: Vec<f32> = pictures.iter().map(noise).collect();
        let sigma = found.iter().sum::<f32>() / found.len().max(1) as f32;
        if sigma < SEEN {
            return Ok(Self { sigma, vmaf: 100.0 });
        }
        let mut judge = Judge::new(25.0);
        for (original, sigma) in pictures.iter().zip(&found) {
            let copy = without_noise(original, *sigma);
            judge.add(Shown { before: None, original, after: None, copy: &copy })?;
        }
        Ok(Self { sigma, vmaf: judge.verdict().map_or(100.0, |v| v.vmaf) })
    }

    /// Whether viewers see it.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.sigma >= SEEN
    }

    /// How strong film grain like this is to an AV1 encoder, 1 to 50, or nothing if it isn't seen. SVT-AV1's
    /// authors recommend 8 for live action with some grain and 10 to 15 for much: a deviation of 2 and 3.
    #[must_use]
    pub fn film_grain(&self) -> Option<u8> {
        self.is_seen().then_some((self.sigma * 4.0).round().clamp(1.0, 50.0) as u8)
    }
}
