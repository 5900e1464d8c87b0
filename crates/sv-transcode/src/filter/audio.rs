//! Sound to sound.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_core::{AudioFrame, AudioInfo, Frame, Item, Media, TimeBase, Timestamp, Track};

use super::level::Level;
use super::mix::Mix;
use super::resample::Resampler;
use crate::{Error, Stage};

/// What sound to make.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Audio {
    /// Samples per second and channel; `None` keeps the rate.
    pub sample_rate: Option<u32>,
    /// Channels; `None` keeps their number.
    pub channels: Option<u16>,
    /// Longest silence that is put where the source has a hole. A longer hole stays one, and
    /// sound goes on at its own time.
    pub longest_fill: std::time::Duration,
    /// Louder by so many dB, or quieter.
    pub gain: f32,
    /// True peaks stay below this, in dB relative to full scale, by a limiter that looks ahead.
    pub ceiling: Option<f32>,
}

impl Default for Audio {
    fn default() -> Self {
        Self {
            sample_rate: None,
            channels: None,
            longest_fill: std::time::Duration::from_secs(60),
            gain: 0.0,
            ceiling: None,
        }
    }
}

/// A stage that makes sound of `track` as `config` says: the track (as it is then), frames without
/// holes and overlaps, and its end. Output times are in samples.
///
/// Going down in channels follows ITU-R BS.775 and never clips. Items of other tracks pass through.
///
/// # Errors
/// [`Error::Invalid`] when `track` is no audio or nobody has said how to mix the channels.
pub fn audio(track: &Track, config: &Audio) -> Result<Stage, Error> {
    let Some(info) = track.audio() else {
        return Err(Error::Invalid(format!("track {} is not audio", track.id.0)));
    };
    if config.sample_rate == Some(0) || config.channels == Some(0) {
        return Err(Error::Invalid("sound has at least one channel and one sample a second".into()));
    }
    Ok(Box::new(Filter {
        track: track.clone(),
        info: info.clone(),
        config: config.clone(),
        chain: None,
        out: None,
        level: None,
        ready: VecDeque::new(),
        ended: false,
    }))
}

/// Works on sound of one shape.
struct Chain {
    sample_rate: u32,
    channels: u16,
    mix: Option<Mix>,
    resampler: Option<Resampler>,
    /// When the next input sample is due, in input samples.
    expected: i64,
}

/// What leaves the stage; fixed by the first frame.
struct Out {
    sample_rate: u32,
    channels: u16,
    /// When the next output sample is heard, in output samples.
    next: i64,
}

struct Filter {
    track: Track,
    info: AudioInfo,
    config: Audio,
    chain: Option<Chain>,
    out: Option<Out>,
    level: Option<Level>,
    ready: VecDeque<Item>,
    ended: bool,
}

/// Holes and overlaps shorter than this are jitter of coarse time bases, not of the sound.
const JITTER_MS: i64 = 20;

impl Filter {
    fn frame(&mut self, frame: &AudioFrame) -> Result<(), Error> {
        if frame.sample_rate == 0 || frame.channels == 0 {
            return Err(Error::Invalid("a sound frame has no rate or no channels".into()));
        }
        let Some(base) = TimeBase::new(1, frame.sample_rate) else { return Ok(()) };
        let at = frame.pts.rescale(self.track.time_base, base).ticks();
        let shape = (frame.sample_rate, frame.channels);
        if self.chain.as_ref().is_some_and(|c| (c.sample_rate, c.channels) != shape) {
            self.flush();
            self.chain = None;
        }
        if self.chain.is_none() {
            self.chain = Some(self.chain_for(frame, at)?);
        }
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let channels = usize::from(frame.channels);
        let mut samples = &frame.samples[..];
        let late = at.saturating_sub(chain.expected);
        let jitter = i64::from(frame.sample_rate) * JITTER_MS / 1000;
        if late > jitter {
            self.hole(late, frame.sample_rate, channels);
        } else if late < -jitter {
            // What was heard already is not heard again.
            let skip = usize::try_from(late.unsigned_abs()).unwrap_or(usize::MAX);
            samples = samples.get(skip.saturating_mul(channels)..).unwrap_or_default();
        }
        self.process(samples, channels);
        Ok(())
    }

    fn chain_for(&mut self, frame: &AudioFrame, at: i64) -> Result<Chain, Error> {
        let out_rate =
            self.out.as_ref().map_or(self.config.sample_rate.unwrap_or(frame.sample_rate), |o| o.sample_rate);
        let out_channels =
            self.out.as_ref().map_or(self.config.channels.unwrap_or(frame.channels), |o| o.channels);
        let mix = match (frame.channels, out_channels) {
            (a, b) if a == b => None,
            (a, b) => Some(Mix::new(a, b).ok_or_else(|| {
                Error::Invalid(format!(
                    "nobody has said how to mix {a} channels to {b}: keep them as they are"
                ))
            })?),
        };
        let resampler = (frame.sample_rate != out_rate)
            .then(|| Resampler::new(out_channels, frame.sample_rate, out_rate));
        let mut expected = at;
        match &self.out {
            None => {
                let scaled = rescale(at, frame.sample_rate, out_rate);
                self.out = Some(Out { sample_rate: out_rate, channels: out_channels, next: scaled });
                self.announce(out_rate, out_channels);
                if self.config.gain != 0.0 || self.config.ceiling.is_some() {
                    let Audio { gain, ceiling, .. } = self.config;
                    self.level = Some(Level::new(gain, ceiling, out_rate, out_channels));
                }
            }
            // The shape changed on the way: go on where the last one ended.
            Some(out) => expected = rescale(out.next, out_rate, frame.sample_rate),
        }
        Ok(Chain { sample_rate: frame.sample_rate, channels: frame.channels, mix, resampler, expected })
    }

    fn announce(&mut self, sample_rate: u32, channels: u16) {
        let Some(time_base) = TimeBase::new(1, sample_rate) else { return };
        let mut track = self.track.clone();
        track.duration = track.duration.map(|d| d.rescale(track.time_base, time_base));
        track.time_base = time_base;
        track.media = Media::Audio(AudioInfo { sample_rate, channels, delay: 0, ..self.info.clone() });
        self.ready.push_back(Item::Track(Arc::new(track)));
    }

    /// The source has nothing for `missing` samples.
    fn hole(&mut self, missing: i64, sample_rate: u32, channels: usize) {
        let most = self.config.longest_fill.as_secs_f64() * f64::from(sample_rate);
        if missing as f64 > most {
            // Too long to fill: what is held back belongs before it, and time jumps.
            self.flush();
            self.settle();
            if let (Some(chain), Some(out)) = (&mut self.chain, &mut self.out) {
                chain.expected = chain.expected.saturating_add(missing);
                chain.resampler = chain
                    .resampler
                    .is_some()
                    .then(|| Resampler::new(out.channels, chain.sample_rate, out.sample_rate));
                out.next = rescale(chain.expected, chain.sample_rate, out.sample_rate);
            }
            return;
        }
        let mut left = usize::try_from(missing).unwrap_or(0);
        let silence = vec![0f32; left.min(4096) * channels];
        while left > 0 {
            let n = left.min(4096);
            self.process(&silence[..n * channels], channels);
            left -= n;
        }
    }

    fn process(&mut self, samples: &[f32], channels: usize) {
        let Some(chain) = &mut self.chain else { return };
        chain.expected = chain.expected.saturating_add((samples.len() / channels.max(1)) as i64);
        let mixed = chain.mix.as_ref().map(|mix| mix.apply(samples));
        let mixed = mixed.as_deref().unwrap_or(samples);
        match &mut chain.resampler {
            Some(resampler) => {
                let out = resampler.push(mixed);
                self.emit(out.into());
            }
            None => self.emit(mixed.into()),
        }
    }

    fn flush(&mut self) {
        if let Some(resampler) = self.chain.as_mut().and_then(|c| c.resampler.as_mut()) {
            let rest = resampler.finish();
            self.emit(rest.into());
        }
    }

    /// Gives what the limiter holds back.
    fn settle(&mut self) {
        let rest = self.level.as_mut().map(Level::finish).unwrap_or_default();
        self.give(rest.into());
    }

    fn emit(&mut self, samples: Arc<[f32]>) {
        match &mut self.level {
            Some(level) => {
                let samples = level.push(&samples);
                self.give(samples.into());
            }
            None => self.give(samples),
        }
    }

    fn give(&mut self, samples: Arc<[f32]>) {
        let Some(out) = &mut self.out else { return };
        if samples.is_empty() {
            return;
        }
        let frame = AudioFrame {
            pts: Timestamp::new(out.next),
            sample_rate: out.sample_rate,
            channels: out.channels,
            samples,
        };
        out.next = out.next.saturating_add((frame.samples.len() / usize::from(out.channels)) as i64);
        self.ready.push_back(Item::Frame(self.track.id, Frame::Audio(frame)));
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.flush();
            self.settle();
            self.ready.push_back(Item::End(self.track.id));
        }
    }
}

/// Sample positions from one rate to another.
fn rescale(at: i64, from: u32, to: u32) -> i64 {
    match (TimeBase::new(1, from), TimeBase::new(1, to)) {
        (Some(from), Some(to)) => Timestamp::new(at).rescale(from, to).ticks(),
        _ => at,
    }
}

impl sv_core::Stage for Filter {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            item if item.track() != Some(self.track.id) => self.ready.push_back(item),
            Item::Frame(_, Frame::Audio(frame)) => self.frame(&frame)?,
            Item::End(_) => self.end(),
            // Our own description of the track follows from the first sound.
            _ => {}
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.end();
        Ok(())
    }
}
