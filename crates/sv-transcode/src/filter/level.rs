//! A gain, and a limiter that keeps true peaks below a ceiling.
//!
//! True peaks are those between the samples, estimated by interpolation to four times the rate as in
//! [ITU-R BS.1770-5](https://www.itu.int/rec/R-REC-BS.1770), annex 2. The limiter looks ahead by
//! [`LOOK_MS`]: what a peak needs is reached when the peak comes, and left slowly behind it.

use std::collections::VecDeque;

/// How far the limiter looks ahead, and how fast it lets go.
const LOOK_MS: u32 = 5;
const RELEASE_MS: u32 = 150;

/// Phases of the interpolation filter, and taps of each.
const PHASES: usize = 4;
const TAPS: usize = 12;

/// Applies a gain; with a ceiling, limits. Gives as many samples as it takes, later.
pub(super) struct Level {
    gain: f32,
    limiter: Option<Limiter>,
}

impl Level {
    /// `gain` in dB, `ceiling` in dB relative to full scale.
    pub(super) fn new(gain: f32, ceiling: Option<f32>, sample_rate: u32, channels: u16) -> Self {
        let limiter = ceiling.map(|ceiling| Limiter::new(linear(ceiling), sample_rate, channels.into()));
        Self { gain: linear(gain), limiter }
    }

    pub(super) fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        let mut scaled: Vec<f32> = samples.iter().map(|s| s * self.gain).collect();
        match &mut self.limiter {
            Some(limiter) => limiter.push(&scaled),
            None => std::mem::take(&mut scaled),
        }
    }

    /// What is held back.
    pub(super) fn finish(&mut self) -> Vec<f32> {
        self.limiter.as_mut().map(Limiter::finish).unwrap_or_default()
    }
}

fn linear(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

struct Limiter {
    ceiling: f32,
    channels: usize,
    /// Samples of look-ahead, for each channel.
    look: usize,
    release: f32,
    /// The last [`TAPS`] samples of each channel, oldest first.
    history: Vec<VecDeque<f32>>,
    /// Samples on their way out, interleaved.
    delay: VecDeque<f32>,
    /// Gains that the peaks ask for, with their places: rising, so that the first is the least.
    least: VecDeque<(u64, f32)>,
    released: f32,
    /// The last `look` gains, and their sum.
    recent: VecDeque<f32>,
    sum: f64,
    place: u64,
}

impl Limiter {
    fn new(ceiling: f32, sample_rate: u32, channels: usize) -> Self {
        let samples = |ms: u32| (sample_rate as usize * ms as usize / 1000).max(1);
        let release = 1.0 - (-1.0 / samples(RELEASE_MS) as f32).exp();
        Self::at_rest(ceiling, samples(LOOK_MS), release, channels.max(1))
    }

    fn at_rest(ceiling: f32, look: usize, release: f32, channels: usize) -> Self {
        Self {
            ceiling,
            channels,
            look,
            release,
            history: vec![VecDeque::from([0.0; TAPS]); channels],
            delay: VecDeque::new(),
            least: VecDeque::new(),
            released: 1.0,
            recent: VecDeque::from(vec![1.0; look]),
            sum: look as f64,
            place: 0,
        }
    }

    fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(samples.len());
        for frame in samples.chunks_exact(self.channels) {
            self.delay.extend(frame);
            let wanted = self.wanted(frame);
            self.advance(wanted, &mut out);
        }
        out
    }

    /// The gain at which the newest peak, half a filter ago, stays below the ceiling.
    fn wanted(&mut self, frame: &[f32]) -> f32 {
        let mut peak = 0f32;
        for (history, sample) in self.history.iter_mut().zip(frame) {
            history.pop_front();
            history.push_back(*sample);
            // Where no sample is near the ceiling, nothing between them is above it.
            let loudest = history.iter().fold(0f32, |most, s| most.max(s.abs()));
            if loudest * 2.0 <= self.ceiling {
                continue;
            }
            peak = peak.max(loudest);
            for phase in &interpolation()[..] {
                let value: f32 = history.iter().zip(phase).map(|(s, c)| s * c).sum();
                peak = peak.max(value.abs());
            }
        }
        if peak > self.ceiling { self.ceiling / peak } else { 1.0 }
    }

    /// One sample further: the least gain of the window, let go slowly, averaged over the window, is
    /// never above what any peak in it asks for.
    fn advance(&mut self, wanted: f32, out: &mut Vec<f32>) {
        while self.least.back().is_some_and(|(_, gain)| *gain >= wanted) {
            self.least.pop_back();
        }
        self.least.push_back((self.place, wanted));
        let window = (self.look + TAPS) as u64;
        while self.least.front().is_some_and(|(at, _)| at + window < self.place) {
            self.least.pop_front();
        }
        let least = self.least.front().map_or(1.0, |(_, gain)| *gain);
        let freed = self.released + (1.0 - self.released) * self.release;
        self.released = freed.min(least);
        self.sum += f64::from(self.released) - f64::from(self.recent.pop_front().unwrap_or(1.0));
        self.recent.push_back(self.released);
        let gain = (self.sum / self.look as f64).min(1.0) as f32;
        self.place += 1;
        if self.place > self.look as u64 {
            let frame = self.delay.drain(..self.channels.min(self.delay.len()));
            out.extend(frame.map(|s| s * gain));
        }
    }

    fn finish(&mut self) -> Vec<f32> {
        let held = self.delay.len();
        let mut out = self.push(&vec![0.0; self.look * self.channels]);
        out.truncate(held);
        *self = Self::at_rest(self.ceiling, self.look, self.release, self.channels);
        out
    }
}

/// A windowed sinc that interpolates three values between two samples and the one at the sample.
fn interpolation() -> &'static [[f32; TAPS]; PHASES] {
    static FILTER: std::sync::OnceLock<[[f32; TAPS]; PHASES]> = std::sync::OnceLock::new();
    FILTER.get_or_init(|| {
        let mut filter = [[0f32; TAPS]; PHASES];
        for (phase, taps) in filter.iter_mut().enumerate() {
            for (tap, value) in taps.iter_mut().enumerate() {
                // Between the two samples in the middle.
                let x = tap as f64 - (TAPS as f64 / 2.0 - 1.0) - phase as f64 / PHASES as f64;
                let sinc = if x == 0.0 {
                    1.0
                } else {
                    (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
                };
                let window = (std::f64::consts::PI * x / TAPS as f64).cos().max(0.0);
                *value = (sinc * window) as f32;
            }
        }
        filter
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sine of this frequency at the worst phase for sample peaks.
    fn tone(amplitude: f32, per_sample: f32, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|n| amplitude * (std::f32::consts::TAU * per_sample * n as f32 + 0.785).sin())
            .collect()
    }

    #[test]
    fn as_many_samples_come_out_in_their_order() {
        for pushes in [vec![1], vec![100, 7, 5000], vec![240], vec![239, 1, 1]] {
            let mut level = Level::new(-6.0206, Some(-1.0), 48_000, 2);
            let total: usize = pushes.iter().sum();
            let input: Vec<f32> = (0..total * 2).map(|n| n as f32 / (total * 4) as f32).collect();
            let mut out = Vec::new();
            let mut at = 0;
            for n in pushes {
                out.extend(level.push(&input[at * 2..(at + n) * 2]));
                at += n;
            }
            out.extend(level.finish());
            assert_eq!(out.len(), input.len());
            assert!(out.iter().zip(&input).all(|(o, i)| (o - i / 2.0).abs() < 1e-4));
        }
    }

    #[test]
    fn peaks_between_the_samples_stay_below_the_ceiling() {
        // At a quarter of the rate and this phase samples are 3 dB below the peaks.
        for per_sample in [0.25, 0.1, 0.01, 0.3] {
            let mut level = Level::new(12.0, Some(-1.0), 48_000, 1);
            let mut out = level.push(&tone(0.1, per_sample, 4800));
            out.extend(level.push(&tone(0.5, per_sample, 9600)));
            out.extend(level.push(&tone(0.1, per_sample, 4800)));
            out.extend(level.finish());
            let mut peak = 0f32;
            for window in out.windows(TAPS) {
                for phase in interpolation() {
                    peak = peak.max(window.iter().zip(phase).map(|(s, c)| s * c).sum::<f32>().abs());
                }
            }
            let ceiling = linear(-1.0);
            assert!(peak <= ceiling * 1.01, "{per_sample}: {peak}");
            // The loud part is at the ceiling, not far below.
            assert!(peak >= ceiling * 0.9, "{per_sample}: {peak}");
            // What was quiet at the beginning has all of its gain.
            let quiet = out[..2400].iter().fold(0f32, |m, s| m.max(s.abs()));
            assert!(quiet > 0.1 * linear(12.0) * 0.69, "{quiet}");
        }
    }
}
