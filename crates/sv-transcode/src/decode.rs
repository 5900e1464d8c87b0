//! Packets to frames.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_core::{AudioFrame, Frame, Item, Limits, Packet, TimeBase, Timestamp, Track};

use crate::backend::{self, Backend, Decode};
use crate::dynamic::{Reader, Waiting};
use crate::{Error, Stage};

/// How to decode.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Who does it.
    pub backend: Backend,
    /// Threads inside the decoder, or 0 for as many as the size of the picture asks for. Each one
    /// more holds one more picture in memory.
    pub threads: u32,
    /// Bounds on what a hostile input may cost.
    pub limits: Limits,
    /// Size to which a device scales while it decodes, both sides even: less to copy. Software
    /// decoders leave pictures as they are, so a filter still has to look at them.
    pub scale: Option<(u32, u32)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { backend: Backend::Auto, threads: 0, limits: Limits::default(), scale: None }
    }
}

/// A stage that turns the packets of `track` into frames: the track, frames, then its end. Each
/// picture's time is its packet's, to the tick; sound is as long as the packets say it is.
///
/// Items of other tracks pass through. Damaged packets are skipped and logged; only when nothing
/// could be decoded at all is that an error. Encrypted packets are an error.
///
/// # Errors
/// [`Error::Unsupported`], naming the feature to switch on. [`Error::Incapable`] for Dolby Vision
/// whose colours mean nothing to anything else (profile 5), here or with the first packet.
pub fn open(track: &Track, options: &Options) -> Result<Stage, Error> {
    if track.protection.is_some() {
        return Err(Error::Invalid(format!("track {} is encrypted: decrypt it first", track.id.0)));
    }
    let inner = backend::decoder(track, options)?;
    Ok(Box::new(Decoder {
        track: Arc::new(track.clone()),
        inner,
        ready: VecDeque::from([]),
        state: State::Fresh,
        durations: VecDeque::new(),
        metadata: Reader::of(track)?,
        waiting: Waiting::default(),
        packets: 0,
        frames: 0,
        damage: None,
    }))
}

#[derive(PartialEq, Eq)]
enum State {
    Fresh,
    Running,
    Draining,
    Ended,
}

struct Decoder {
    track: Arc<Track>,
    inner: Box<dyn Decode>,
    ready: VecDeque<Item>,
    state: State,
    /// Times and durations of sound packets whose frames are not out yet.
    durations: VecDeque<(Timestamp, sv_core::Duration)>,
    /// Reads what the packets say of their pictures.
    metadata: Option<Reader>,
    /// What they said of pictures that are not out yet.
    waiting: Waiting,
    packets: u64,
    frames: u64,
    damage: Option<Error>,
}

impl Decoder {
    fn begin(&mut self) {
        if self.state == State::Fresh {
            self.state = State::Running;
            self.ready.push_back(Item::Track(Arc::clone(&self.track)));
        }
    }

    fn survive(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(error) if error.is_damage() => {
                tracing::warn!(track = self.track.id.0, "skipped: {error}");
                self.damage.get_or_insert(error);
                Ok(())
            }
            result => result,
        }
    }

    fn packet(&mut self, packet: &Packet) -> Result<(), Error> {
        if packet.protection.is_some() {
            return Err(Error::Invalid(format!("track {} is encrypted: decrypt it first", self.track.id.0)));
        }
        self.packets += 1;
        if self.track.audio().is_some() {
            self.durations.push_back((packet.pts, packet.duration));
            // A decoder holds back a few packets at most; what is older was never decoded.
            while self.durations.len() > 64 {
                self.durations.pop_front();
            }
        }
        if let Some(reader) = self.metadata {
            self.waiting.put(packet.pts, reader.read(packet)?);
        }
        let result = self.inner.push(packet);
        self.survive(result)
    }

    fn end(&mut self) -> Result<(), Error> {
        if matches!(self.state, State::Draining | State::Ended) {
            return Ok(());
        }
        self.begin();
        self.state = State::Draining;
        let result = self.inner.finish();
        self.survive(result)
    }

    fn frame(&mut self) -> Result<Option<Frame>, Error> {
        /// A decoder that only reports damage must not keep us here for ever.
        const MOST_DAMAGE: u32 = 1000;
        for _ in 0..MOST_DAMAGE {
            match self.inner.pull() {
                Ok(Some(frame)) => {
                    if let Some(frame) = self.presented(frame) {
                        self.frames += 1;
                        return Ok(Some(frame));
                    }
                }
                Ok(None) => return Ok(None),
                error => {
                    let result = error.map(drop);
                    self.survive(result)?;
                }
            }
        }
        Ok(None)
    }

    /// The part of a frame that lies on the timeline.
    fn presented(&mut self, frame: Frame) -> Option<Frame> {
        match frame {
            // A picture that is still shown at the origin is not before it, but its time is.
            Frame::Video(mut frame) => {
                frame.dynamic = self.waiting.take(frame.pts);
                (frame.pts >= Timestamp::ZERO).then_some(Frame::Video(frame))
            }
            Frame::Audio(frame) => {
                let length = self.length_of(&frame);
                trim(frame, self.track.time_base, length).map(Frame::Audio)
            }
        }
    }

    /// How many samples of the frame count, if its packet says fewer than there are.
    fn length_of(&mut self, frame: &AudioFrame) -> Option<usize> {
        let at = self.durations.iter().position(|(pts, _)| *pts == frame.pts)?;
        let (_, duration) = self.durations.drain(..=at).next_back()?;
        if duration == sv_core::Duration::ZERO {
            return None;
        }
        let base = self.track.time_base;
        let samples = samples_in(duration.ticks(), base, frame.sample_rate)?;
        // Times of a coarse base (milliseconds in Matroska) are rounded, and no reason to cut.
        let slack = samples_in(2, base, frame.sample_rate)?;
        let have = (frame.samples.len() as u64).checked_div(frame.channels.into())?;
        (samples.saturating_add(slack.max(2)) < have).then(|| usize::try_from(samples).ok()).flatten()
    }
}

/// Ticks of a time base in samples, rounded to nearest.
fn samples_in(ticks: u64, base: TimeBase, sample_rate: u32) -> Option<u64> {
    let samples = TimeBase::new(1, sample_rate)?;
    Some(sv_core::Duration::new(ticks).rescale(base, samples).ticks())
}

/// Cuts off what lies before the origin and behind `length` samples.
fn trim(mut frame: AudioFrame, base: TimeBase, length: Option<usize>) -> Option<AudioFrame> {
    let channels = usize::from(frame.channels).max(1);
    let total = frame.samples.len() / channels;
    let end = length.unwrap_or(total).min(total);
    let early = frame.pts.ticks().min(0).unsigned_abs();
    let start = usize::try_from(samples_in(early, base, frame.sample_rate)?).ok()?.min(end);
    if start == end {
        return None;
    }
    if (start, end) != (0, total) {
        frame.samples = frame.samples[start * channels..end * channels].into();
    }
    if start > 0 {
        frame.pts = Timestamp::ZERO;
    }
    Some(frame)
}

impl sv_core::Stage for Decoder {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            item if item.track() != Some(self.track.id) => self.ready.push_back(item),
            Item::Packet(packet) => {
                self.begin();
                self.packet(&packet)?;
            }
            Item::End(_) => self.end()?,
            _ => self.begin(),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        if let Some(item) = self.ready.pop_front() {
            return Ok(Some(item));
        }
        if matches!(self.state, State::Fresh | State::Ended) {
            return Ok(None);
        }
        if let Some(frame) = self.frame()? {
            return Ok(Some(Item::Frame(self.track.id, frame)));
        }
        if self.state != State::Draining {
            return Ok(None);
        }
        self.state = State::Ended;
        match self.damage.take() {
            Some(first) if self.frames == 0 => Err(Error::Undecodable {
                track: self.track.id.0,
                packets: self.packets,
                first: first.to_string(),
            }),
            _ => Ok(Some(Item::End(self.track.id))),
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.end()
    }
}
