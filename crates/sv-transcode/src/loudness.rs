//! How loud sound is, and how to make it as loud as wanted:
//! [EBU R 128](https://tech.ebu.ch/publications/r128) with the meter of ITU-R BS.1770.

use serde::{Deserialize, Serialize};

use crate::Error;

/// How loud sound is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Loudness {
    /// Of the whole programme, in LUFS; nothing where there is only silence.
    pub integrated: Option<f64>,
    /// How far its loud and quiet parts lie apart, in LU (EBU Tech 3342).
    pub range: f64,
    /// The highest true peak, in dB relative to full scale.
    pub true_peak: f64,
}

/// How loud it should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Target {
    /// Of the whole programme, in LUFS.
    pub integrated: f64,
    /// The highest true peak, in dB relative to full scale.
    pub true_peak: f64,
}

impl Target {
    /// Nothing is raised by more dB than this: that would be its noise. (Stereo of a surround track
    /// may need 26: the mix never clips, so it is soft.)
    pub const MOST_GAIN: f64 = 30.0;

    /// Coding moves peaks: so far below the wanted true peak, in dB, they are held before it.
    pub const MARGIN: f64 = 1.0;

    /// So many LUFS, with true peaks of at most -1 dBTP: -23 in broadcasting (EBU R 128), -16 or -14
    /// on the web.
    #[must_use]
    pub fn new(integrated: f64) -> Self {
        Self { integrated, true_peak: -1.0 }
    }

    /// Where true peaks are held before coding, in dB relative to full scale.
    #[must_use]
    pub fn ceiling(&self) -> f64 {
        self.true_peak - Self::MARGIN
    }

    /// The gain in dB that brings `measured` there. Silence is left alone, and nothing is raised by
    /// more than [`MOST_GAIN`](Self::MOST_GAIN).
    #[must_use]
    pub fn gain(&self, measured: &Loudness) -> f64 {
        measured.integrated.map_or(0.0, |loud| (self.integrated - loud).clamp(-60.0, Self::MOST_GAIN))
    }
}

/// Measures sound that is pushed through.
pub struct Meter {
    inner: ebur128::EbuR128,
    channels: usize,
}

impl Meter {
    /// For sound of this rate and these channels, in the order of [`sv_core::AudioFrame`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a rate or number of channels that nobody measures.
    pub fn new(sample_rate: u32, channels: u16) -> Result<Self, Error> {
        use ebur128::{Channel, Mode};
        let invalid =
            |_| Error::Invalid(format!("{channels} channels at {sample_rate} Hz can't be measured"));
        let mode = Mode::I | Mode::LRA | Mode::TRUE_PEAK | Mode::HISTOGRAM;
        let mut inner = ebur128::EbuR128::new(channels.into(), sample_rate, mode).map_err(invalid)?;
        if channels == 6 {
            // Left, right, centre, low frequencies (which do not count), surrounds.
            let order = [
                Channel::Left,
                Channel::Right,
                Channel::Center,
                Channel::Unused,
                Channel::LeftSurround,
                Channel::RightSurround,
            ];
            inner.set_channel_map(&order).map_err(invalid)?;
        }
        Ok(Self { inner, channels: usize::from(channels).max(1) })
    }

    /// Takes interleaved samples.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they are no whole number of all channels.
    pub fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        let broken = |_| Error::Invalid("a part of a sample can't be measured".into());
        if !samples.len().is_multiple_of(self.channels) {
            return Err(broken(ebur128::Error::NoMem));
        }
        self.inner.add_frames_f32(samples).map_err(broken)
    }

    /// What it has heard so far.
    #[must_use]
    pub fn loudness(&self) -> Loudness {
        let peaks = (0..self.inner.channels()).filter_map(|n| self.inner.true_peak(n).ok());
        let peak = peaks.fold(0.0, f64::max);
        Loudness {
            integrated: self.inner.loudness_global().ok().filter(|loud| loud.is_finite()),
            range: self.inner.loudness_range().ok().filter(|range| range.is_finite()).unwrap_or(0.0),
            true_peak: 20.0 * peak.max(1e-6).log10(),
        }
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("channels", &self.channels).finish_non_exhaustive()
    }
}
