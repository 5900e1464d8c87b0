//! Pictures to packets.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_core::{
    Duration, Frame, Item, Media, PixelFormat, Ratio, TimeBase, Timestamp, Track, TrackId, VideoFrame,
    VideoInfo,
};

use super::grid::Keys;
use super::hdr::Metadata;
use super::{Rate, Video};
use crate::backend::{self, EncodeVideo, Picture};
use crate::dynamic::Waiting;
use crate::{Error, Stage, dolby};

/// A stage that encodes the pictures of one track into track `id`: the new track with its
/// configuration, packets in decoding order, and its end. Packets last until the next picture, so
/// that their durations together are as long as the whole.
///
/// It takes a track before the first frame, and frames of one size. Items of other tracks pass
/// through. A [`Cue`](sv_core::Cue) passes through too, and makes the first picture at or behind its moment a key frame.
///
/// # Errors
/// [`Error::Unsupported`] when nothing here can encode the codec, naming what would switch it on.
pub fn video(config: &Video, id: TrackId) -> Result<Stage, Error> {
    if config.backend == backend::Backend::Auto && !super::is_supported(config.codec) {
        return Err(backend::no_encoder(config.codec));
    }
    Ok(Box::new(Encoder {
        config: config.clone(),
        id,
        source: None,
        work: None,
        held: None,
        ready: VecDeque::new(),
        ended: false,
        finished: false,
    }))
}

struct Encoder {
    config: Video,
    id: TrackId,
    source: Option<Arc<Track>>,
    work: Option<Work>,
    /// The last picture waits for the next one, which says how long it lasts.
    held: Option<VideoFrame>,
    ready: VecDeque<Item>,
    ended: bool,
    finished: bool,
}

struct Work {
    encoder: Box<dyn EncodeVideo>,
    keys: Keys,
    metadata: Option<Metadata>,
    /// What belongs to pictures inside of the encoder.
    waiting: Waiting,
    rate: Ratio,
    base: TimeBase,
    size: (u32, u32),
    format: PixelFormat,
    nominal: Duration,
}

impl Encoder {
    fn open(&mut self, frame: &VideoFrame, source: &Track) -> Result<Work, Error> {
        let base = source.time_base;
        let info = source.video();
        let length = Some(frame.duration).filter(|d| *d != Duration::ZERO);
        let rate = info.and_then(|i| i.frame_rate).or_else(|| rate_of(length?, base)).unwrap_or(DEFAULT_RATE);
        let format = frame.picture.format();
        let bit_depth = match format {
            PixelFormat::Yuv420p10 => 10,
            PixelFormat::Yuv420p8 => 8,
            _ if self.config.device.is_some() => backend::bit_depth(frame),
            _ => return Err(Error::Invalid("encoders take planar 4:2:0: put `filter::video` before".into())),
        };
        let picture = Picture { frame: frame.clone(), frame_rate: rate, bit_depth };
        let encoder = backend::video_encoder(&self.config, &picture)?;
        let info = VideoInfo {
            width: frame.width,
            height: frame.height,
            sample_aspect: Ratio::ONE,
            frame_rate: Some(rate),
            color: frame.color,
            hdr: frame.hdr,
            dolby_vision: dolby::record(self.config.codec, frame, rate.to_f64()),
            quarter_turns: info.map_or(0, |i| i.quarter_turns),
            spherical: info.and_then(|i| i.spherical.clone()),
            interlaced: false,
            bit_depth,
            ..VideoInfo::new(frame.width, frame.height)
        };
        let track = Track {
            id: self.id,
            codec: self.config.codec,
            config: encoder.config(),
            media: Media::Video(info),
            bitrate: match self.config.rate {
                Rate::Average { bitrate, .. } => Some(bitrate),
                Rate::Quality { .. } => None,
            },
            protection: None,
            ..source.clone()
        };
        self.ready.push_back(Item::Track(Arc::new(track)));
        Ok(Work {
            encoder,
            keys: Keys::new(&self.config, base),
            metadata: Metadata::of(self.config.codec, frame),
            waiting: Waiting::default(),
            rate,
            base,
            size: (frame.width, frame.height),
            format,
            nominal: length.unwrap_or_else(|| frame_length(rate, base)),
        })
    }

    fn frame(&mut self, frame: VideoFrame) -> Result<(), Error> {
        let Some(mut last) = self.held.replace(frame) else { return Ok(()) };
        let now = self.held.as_ref().map_or(last.pts, |f| f.pts);
        match now.since(last.pts) {
            Some(length) if length != Duration::ZERO => last.duration = length,
            // Two pictures at one time, or time going back: the later one would have no place.
            _ => {
                tracing::warn!(track = self.id.0, at = ?now, "a picture that is not after the last one is left out");
                self.held = Some(last);
                return Ok(());
            }
        }
        self.encode(&last)
    }

    fn encode(&mut self, frame: &VideoFrame) -> Result<(), Error> {
        if self.work.is_none() {
            let Some(source) = self.source.clone() else {
                return Err(Error::Invalid("an encoder takes the track before its frames".into()));
            };
            self.work = Some(self.open(frame, &source)?);
        }
        let Some(work) = &mut self.work else { return Ok(()) };
        // With a device, pictures may come from there or from memory, one like the other.
        let other = frame.picture.format() != work.format && self.config.device.is_none();
        if (frame.width, frame.height) != work.size || other {
            let (w, h) = work.size;
            return Err(Error::Invalid(format!(
                "a picture of {}x{} came to an encoder of {w}x{h}: put `filter::video` with a size before it",
                frame.width, frame.height
            )));
        }
        let key = work.keys.is_key(frame.pts);
        let tick = tick(frame.pts, work.base, work.rate);
        if work.metadata.is_some() {
            work.waiting.put(frame.pts, frame.dynamic.clone());
        }
        work.encoder.push(frame, tick, key)
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        if let Some(mut last) = self.held.take() {
            if last.duration == Duration::ZERO {
                let nominal = self.work.as_ref().map(|w| w.nominal);
                let base = self.source.as_ref().map(|s| s.time_base);
                last.duration =
                    nominal.or_else(|| base.map(|b| frame_length(DEFAULT_RATE, b))).unwrap_or_default();
            }
            self.encode(&last)?;
        }
        if let Some(work) = &mut self.work {
            work.encoder.finish()?;
        }
        Ok(())
    }
}

/// What is assumed when neither source nor frames say.
pub(crate) const DEFAULT_RATE: Ratio = match Ratio::new(25, 1) {
    Some(rate) => rate,
    None => Ratio::ONE,
};

/// The rate at which frames of this length follow each other.
fn rate_of(length: Duration, base: TimeBase) -> Option<Ratio> {
    let ticks = u32::try_from(length.ticks()).ok()?;
    Ratio::new(base.den(), ticks.checked_mul(base.num())?)
}

fn frame_length(rate: Ratio, base: TimeBase) -> Duration {
    let frame = TimeBase::new(rate.den(), rate.num());
    frame.map_or(Duration::new(1), |frame| Duration::new(1).rescale(frame, base)).max(Duration::new(1))
}

/// The place of a time on the clock of nominal frames.
fn tick(pts: Timestamp, base: TimeBase, rate: Ratio) -> i64 {
    TimeBase::new(rate.den(), rate.num()).map_or(0, |frame| pts.rescale(base, frame).ticks())
}

impl sv_core::Stage for Encoder {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        let own = self.source.as_ref().map(|s| s.id);
        match item {
            Item::Track(track) if own.is_none_or(|id| id == track.id) && track.video().is_some() => {
                if self.work.is_none() {
                    self.source = Some(track);
                }
            }
            Item::Frame(track, Frame::Video(frame)) if own.is_none_or(|id| id == track) => {
                self.frame(frame)?
            }
            Item::End(track) if own == Some(track) => self.end()?,
            Item::Cue(cue) => {
                match &mut self.work {
                    Some(work) => work.keys.cut(cue.at),
                    None => {
                        self.config.cuts.push(cue.at);
                        self.config.cuts.sort_unstable();
                    }
                }
                self.ready.push_back(Item::Cue(cue));
            }
            other => self.ready.push_back(other),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        if let Some(item) = self.ready.pop_front() {
            return Ok(Some(item));
        }
        if let Some(work) = &mut self.work
            && let Some(mut packet) = work.encoder.pull(self.id)?
        {
            if let Some(metadata) = &work.metadata {
                let dynamic = work.waiting.take(packet.pts);
                packet.data = metadata.put_into(&packet.data, packet.key, &dynamic);
            }
            return Ok(Some(Item::Packet(packet)));
        }
        if self.ended && !self.finished {
            self.finished = true;
            return Ok(Some(Item::End(self.id)));
        }
        Ok(None)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.end()
    }
}
