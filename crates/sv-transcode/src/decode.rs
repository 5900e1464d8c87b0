//! Packets to frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sv_core::{AudioFrame, Frame, Item, Limits, Packet, TimeBase, Timestamp, Track, TrackId, VideoFrame};

use crate::backend::{self, Backend, Decode};
use crate::dynamic::{Reader, Waiting};
use crate::{Device, Error, Stage};

/// How to decode.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Who does it.
    pub backend: Backend,
    /// A device that decodes and keeps the pictures; it goes before `backend`. Sound has no devices.
    pub device: Option<Device>,
    /// Go on in software where a device that was asked for can't be used or fails, at whatever
    /// picture that happens: none is lost. The pictures since the last key frame wait for it in
    /// memory as they are in the file.
    pub fallback: bool,
    /// Threads inside the decoder, or 0 for as many as the size of the picture asks for. Each one
    /// more holds one more picture in memory.
    pub threads: u32,
    /// Bounds on what a hostile input may cost.
    pub limits: Limits,
    /// Size to which a device scales while it decodes, both sides even: less to copy. Software
    /// decoders leave pictures as they are, so a filter still has to look at them.
    pub scale: Option<(u32, u32)>,
    /// Hears what of the source is damaged, as soon as the decoder knows.
    pub on_damage: Option<OnDamage>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: Backend::Auto,
            device: None,
            fallback: false,
            threads: 0,
            limits: Limits::default(),
            scale: None,
            on_damage: None,
        }
    }
}

/// A part of a track that can't be shown as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The track.
    pub track: TrackId,
    /// Where it begins, in the track's time base.
    pub from: Timestamp,
    /// Where it ends.
    pub until: Timestamp,
    /// What is wrong there, for people.
    pub what: String,
}

/// Somebody who hears of damage. What an error says of it ends the decoding with that error.
#[derive(Clone)]
pub struct OnDamage(Arc<Hear>);

type Hear = dyn Fn(&Damage) -> Result<(), Error> + Send + Sync;

impl OnDamage {
    /// Calls this function.
    pub fn new(hear: impl Fn(&Damage) -> Result<(), Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// An error at the first damage.
    #[must_use]
    pub fn refuse() -> Self {
        Self::new(|damage| Err(Error::Refused(Box::new(damage.clone()))))
    }
}

impl std::fmt::Debug for OnDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnDamage")
    }
}

/// A stage that turns the packets of `track` into frames: the track, frames, then its end. Each
/// picture's time is its packet's, to the tick; sound is as long as the packets say it is.
///
/// Items of other tracks pass through. Damaged packets are skipped, and told to
/// [`Options::on_damage`]; only when nothing could be decoded at all is that an error. Encrypted
/// packets are an error.
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
        on_damage: options.on_damage.clone(),
        expected: BTreeMap::new(),
        shown_until: None,
        last: None,
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
    on_damage: Option<OnDamage>,
    /// Times of packets whose pictures are not out yet, and how long each is shown.
    expected: BTreeMap<Timestamp, sv_core::Duration>,
    /// Until when the last picture is shown.
    shown_until: Option<Timestamp>,
    /// When the last packet that went in is shown, and how long.
    last: Option<(Timestamp, sv_core::Duration)>,
}

/// More than any decoder holds back.
const MOST_EXPECTED: usize = 256;

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
                tracing::debug!(track = self.track.id.0, "skipped: {error}");
                let told = match self.last {
                    Some((from, length)) => self.tell(from, from.saturating_add(length), &error.to_string()),
                    None => Ok(()),
                };
                self.damage.get_or_insert(error);
                told
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
        if self.track.video().is_some() && packet.pts >= Timestamp::ZERO {
            self.expected.insert(packet.pts, packet.duration);
            if self.expected.len() > MOST_EXPECTED {
                self.expected.pop_first();
            }
        }
        self.last = Some((packet.pts, packet.duration));
        if let Some(reader) = self.metadata {
            self.waiting.put(packet.pts, reader.read(packet)?);
        }
        let result = self.inner.push(packet);
        self.survive(result)
    }

    fn tell(&self, from: Timestamp, until: Timestamp, what: &str) -> Result<(), Error> {
        let Some(OnDamage(hear)) = &self.on_damage else { return Ok(()) };
        let from = from.max(Timestamp::ZERO);
        if until <= from {
            return Ok(());
        }
        hear(&Damage { track: self.track.id, from, until, what: what.to_owned() })
    }

    /// Tells of pictures that never came: packets went in, and nothing was shown at their times. Two
    /// packets may be one picture (fields), so only times at which nothing is shown count. What is
    /// before the first picture belongs to a group that began elsewhere.
    fn missed(&mut self, frame: &VideoFrame) -> Result<(), Error> {
        let later = self.expected.split_off(&frame.pts);
        let mut missed = std::mem::replace(&mut self.expected, later);
        let length = self.expected.remove(&frame.pts).filter(|d| *d != sv_core::Duration::ZERO);
        let shown_until =
            self.shown_until.replace(frame.pts.saturating_add(length.unwrap_or(frame.duration)));
        let Some(shown_until) = shown_until else { return Ok(()) };
        missed.retain(|pts, _| *pts >= shown_until);
        match missed.first_key_value() {
            Some((first, _)) => self.tell(*first, frame.pts, "pictures are missing"),
            None => Ok(()),
        }
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
                    if let Frame::Video(picture) = &frame {
                        self.missed(picture)?;
                    }
                    if self.inner.is_patched() {
                        let (from, until) = self.span_of(&frame);
                        self.tell(from, until, "broken places were patched")?;
                    }
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

    fn span_of(&self, frame: &Frame) -> (Timestamp, Timestamp) {
        match frame {
            Frame::Video(frame) => (frame.pts, self.shown_until.unwrap_or(frame.pts)),
            Frame::Audio(frame) => {
                let samples = frame.samples.len() as u64 / u64::from(frame.channels).max(1);
                let base = TimeBase::new(1, frame.sample_rate).unwrap_or(self.track.time_base);
                let length = sv_core::Duration::new(samples).rescale(base, self.track.time_base);
                (frame.pts, frame.pts.saturating_add(length))
            }
        }
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
        let shown_until = self.shown_until.unwrap_or(Timestamp::ZERO);
        let last = std::mem::take(&mut self.expected);
        if let (Some((first, _)), Some((end, length))) =
            (last.range(shown_until..).next(), last.last_key_value())
            && self.frames > 0
        {
            self.tell(*first, end.saturating_add(*length), "pictures are missing")?;
        }
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
