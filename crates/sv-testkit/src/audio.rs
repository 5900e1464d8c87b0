//! Sound whose channels can be told apart.

use std::f64::consts::TAU;

use sv_core::{AudioFrame, AudioInfo, Media, TimeBase, Timestamp, Track, TrackId};

/// The tone of each channel, in hertz: far enough apart for any codec, and low where the
/// low-frequency channel of 5.1 lies.
pub const TONES: [f64; 8] = [440.0, 1100.0, 700.0, 60.0, 1700.0, 2500.0, 3300.0, 4300.0];

/// How loud the tones are, of 1.
const LEVEL: f64 = 0.25;

/// A raw track of tones, as a decoder would announce it.
#[must_use]
pub fn track(id: u32, sample_rate: u32, channels: u16) -> Track {
    Track {
        id: TrackId(id),
        codec: sv_core::Codec::Other("pcm_f32le"),
        time_base: TimeBase::new(1, sample_rate).unwrap_or(TimeBase::MILLIS),
        config: sv_core::Bytes::new(),
        media: Media::Audio(AudioInfo { sample_rate, channels, delay: 0, bit_depth: 32 }),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    }
}

/// `count` samples a channel from sample `start` on, each channel with its tone of [`TONES`].
#[must_use]
pub fn tones(sample_rate: u32, channels: u16, start: u64, count: usize) -> AudioFrame {
    let mut samples = Vec::with_capacity(count * usize::from(channels));
    for i in 0..count {
        let at = (start + i as u64) as f64 / f64::from(sample_rate);
        samples.extend((0..channels).map(|c| (LEVEL * (TAU * TONES[usize::from(c) % 8] * at).sin()) as f32));
    }
    AudioFrame { pts: Timestamp::new(start as i64), sample_rate, channels, samples: samples.into() }
}

/// How much of a tone is in one channel of interleaved samples: its amplitude
/// ([Goertzel's algorithm](https://en.wikipedia.org/wiki/Goertzel_algorithm)).
#[must_use]
pub fn amplitude(samples: &[f32], sample_rate: u32, channels: u16, channel: u16, hertz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hertz / f64::from(sample_rate)).cos();
    let (mut one, mut two, mut n) = (0.0, 0.0, 0usize);
    for sample in samples.iter().skip(channel.into()).step_by(usize::from(channels).max(1)) {
        (two, one) = (one, f64::from(*sample) + coefficient * one - two);
        n += 1;
    }
    let power = one * one + two * two - coefficient * one * two;
    2.0 * power.max(0.0).sqrt() / (n.max(1) as f64)
}

/// Which of [`TONES`] is the loudest in each channel, or `None` for a channel without any.
#[must_use]
pub fn identify(samples: &[f32], sample_rate: u32, channels: u16) -> Vec<Option<usize>> {
    let loudest = |channel| {
        let levels = TONES.map(|hertz| amplitude(samples, sample_rate, channels, channel, hertz));
        let best = (0..TONES.len()).max_by(|a, b| levels[*a].total_cmp(&levels[*b]))?;
        (levels[best] > LEVEL / 10.0).then_some(best)
    };
    (0..channels).map(loudest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_apart() {
        let sound = tones(48_000, 6, 1234, 24_000);
        assert_eq!(identify(&sound.samples, 48_000, 6), (0..6).map(Some).collect::<Vec<_>>());
        let left = amplitude(&sound.samples, 48_000, 6, 0, TONES[0]);
        assert!((left - LEVEL).abs() < 0.01, "{left}");
        assert_eq!(identify(&[0.0; 9600], 48_000, 2), [None, None]);
    }
}
