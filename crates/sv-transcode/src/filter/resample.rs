//! Sample rates, by a windowed sinc.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side: more are steeper and slower.
const CROSSINGS: usize = 24;
/// Sharpness of the Kaiser window: about 100 dB of stop band.
const BETA: f64 = 10.0;
/// More phases than this are interpolated by choosing the nearest.
const MOST_PHASES: u64 = 2048;

/// Turns interleaved samples of one rate into another, with all the samples that the ratio gives.
pub(crate) struct Resampler {
    channels: usize,
    /// Input samples per output sample, in lowest terms: `step / phases`.
    step: u64,
    phases: u64,
    /// Samples on each side of a position.
    half: usize,
    /// One row of `2 * half` weights for each phase.
    table: Vec<f32>,
    rows: u64,
    buffer: Vec<f32>,
    /// Position of the next output sample, in input samples from the buffer's start: whole part
    /// and phase.
    whole: usize,
    phase: u64,
    taken: u64,
    given: u64,
}

impl Resampler {
    pub(crate) fn new(channels: u16, from: u32, to: u32) -> Self {
        let divisor = gcd(from, to);
        let (step, phases) = (u64::from(from / divisor), u64::from(to / divisor));
        // Going down, the filter must be as much longer as it is lower.
        let cutoff = (f64::from(to) / f64::from(from)).min(1.0) * 0.97;
        let half = (CROSSINGS as f64 / cutoff).ceil() as usize;
        let rows = phases.min(MOST_PHASES);
        let mut table = Vec::with_capacity(rows as usize * 2 * half);
        for row in 0..rows {
            let fraction = row as f64 / rows as f64;
            let weights: Vec<f64> = (0..2 * half)
                .map(|i| kernel(i as f64 - (half as f64 - 1.0) - fraction, cutoff, half))
                .collect();
            // Each phase passes a constant unchanged.
            let sum: f64 = weights.iter().sum();
            table.extend(weights.iter().map(|w| (w / sum) as f32));
        }
        let channels = usize::from(channels);
        Self {
            channels,
            step,
            phases,
            half,
            table,
            rows,
            // Silence before the first sample, so that the first output sits on it.
            buffer: vec![0.0; (half - 1) * channels],
            whole: 0,
            phase: 0,
            taken: 0,
            given: 0,
        }
    }

    pub(crate) fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        self.taken += (samples.len() / self.channels) as u64;
        self.buffer.extend_from_slice(samples);
        self.run(u64::MAX)
    }

    /// The rest, so that all samples together are as long as the input was.
    pub(crate) fn finish(&mut self) -> Vec<f32> {
        let wanted = (self.taken * self.phases).div_ceil(self.step);
        self.buffer.resize(self.buffer.len() + 2 * self.half * self.channels, 0.0);
        self.run(wanted)
    }

    fn run(&mut self, most: u64) -> Vec<f32> {
        let mut out = Vec::new();
        let taps = 2 * self.half;
        while self.given < most && (self.whole + taps) * self.channels <= self.buffer.len() {
            let row = (self.phase * self.rows / self.phases) as usize * taps;
            let weights = &self.table[row..row + taps];
            let window = &self.buffer[self.whole * self.channels..][..taps * self.channels];
            for channel in 0..self.channels {
                let of_channel = window.iter().skip(channel).step_by(self.channels);
                out.push(of_channel.zip(weights).map(|(s, w)| s * w).sum());
            }
            self.given += 1;
            let position = self.phase + self.step;
            self.whole += (position / self.phases) as usize;
            self.phase = position % self.phases;
        }
        let used = (self.whole * self.channels).min(self.buffer.len());
        self.buffer.drain(..used);
        self.whole -= used / self.channels;
        out
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

fn kernel(x: f64, cutoff: f64, half: usize) -> f64 {
    let r = x / half as f64;
    if r.abs() >= 1.0 {
        return 0.0;
    }
    let sinc = if x == 0.0 { cutoff } else { (PI * x * cutoff).sin() / (PI * x) };
    sinc * bessel(BETA * (1.0 - r * r).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order zero, by its series.
fn bessel(x: f64) -> f64 {
    let mut sum = 1.0;
    let mut term = 1.0;
    for k in 1..60 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f64, n: usize) -> Vec<f32> {
        (0..n).map(|i| (2.0 * PI * hz * i as f64 / f64::from(rate)).sin() as f32).collect()
    }

    #[test]
    fn a_tone_stays_itself_and_in_place() {
        for (from, to) in
            [(44_100, 48_000), (48_000, 44_100), (8_000, 48_000), (96_000, 48_000), (22_050, 48_000)]
        {
            let input = tone(from, 1000.0, from as usize / 2);
            let mut resampler = Resampler::new(1, from, to);
            let mut out: Vec<f32> = input.chunks(777).flat_map(|c| resampler.push(c)).collect();
            out.extend(resampler.finish());
            assert_eq!(out.len(), to as usize / 2, "{from} to {to}");
            let expected = tone(to, 1000.0, out.len());
            let middle = 2000.min(out.len() / 4)..out.len() - 2000.min(out.len() / 4);
            let worst = out[middle.clone()].iter().zip(&expected[middle]).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0, f32::max);
            assert!(worst < 1e-3, "{from} to {to}: {worst}");
        }
    }

    #[test]
    fn what_can_not_be_carried_is_silent() {
        // 20 kHz does not fit 32 kHz: it must vanish, not fold back.
        let input = tone(48_000, 20_000.0, 24_000);
        let mut resampler = Resampler::new(1, 48_000, 32_000);
        let out = resampler.push(&input);
        let loudest = out[1000..out.len() - 1000].iter().fold(0.0f32, |m, s| m.max(s.abs()));
        assert!(loudest < 1e-3, "{loudest}");
    }
}
