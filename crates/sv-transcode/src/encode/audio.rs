//! Sound to packets.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_core::{AudioFrame, AudioInfo, Codec, Frame, Item, Media, Packet, TimeBase, Track, TrackId};

use super::Audio;
use crate::backend::{self, EncodeAudio};
use crate::{Error, Stage};

/// A stage that encodes the sound of one track into track `id`: the new track with its
/// configuration, packets, and its end. Times are in samples. The first packet lies
/// [`AudioInfo::delay`] samples before the first frame, and the last one ends with the last
/// sample, so that the packets' durations less the delay are the exact number of samples.
///
/// It takes a track before the first frame. Put [`filter::audio`](crate::filter::audio) before it,
/// which closes holes. Items of other tracks pass through.
///
/// # Errors
/// [`Error::Unsupported`] when nothing here can encode the codec, naming what would switch it on.
pub fn audio(config: &Audio, id: TrackId) -> Result<Stage, Error> {
    if config.backend == backend::Backend::Auto && !super::is_supported(config.codec) {
        return Err(backend::no_encoder(config.codec));
    }
    Ok(Box::new(Encoder {
        config: config.clone(),
        id,
        source: None,
        work: None,
        ready: VecDeque::new(),
        ended: false,
        finished: false,
    }))
}

struct Encoder {
    config: Audio,
    id: TrackId,
    source: Option<Arc<Track>>,
    work: Option<Work>,
    ready: VecDeque<Item>,
    ended: bool,
    finished: bool,
}

struct Work {
    encoder: Box<dyn EncodeAudio>,
    base: TimeBase,
    shape: (u32, u16),
    /// Samples pushed so far.
    taken: i64,
    /// From which sample on how much is added to the encoder's times, in order.
    shifts: VecDeque<(i64, i64)>,
    shift: i64,
}

impl Encoder {
    fn open(&mut self, frame: &AudioFrame, source: &Track) -> Result<Work, Error> {
        let (sample_rate, channels) = (frame.sample_rate, frame.channels);
        let Some(base) = TimeBase::new(1, sample_rate) else {
            return Err(Error::Invalid("sound has at least one sample a second".into()));
        };
        if self.config.codec == Codec::Opus && sample_rate != 48_000 {
            return Err(Error::Invalid(
                "Opus is encoded at 48000 samples a second: put `filter::audio` before".into(),
            ));
        }
        let encoder = backend::audio_encoder(&self.config, sample_rate, channels)?;
        let info = AudioInfo {
            sample_rate,
            channels,
            delay: encoder.delay(),
            bit_depth: bit_depth(self.config.codec),
        };
        let track = Track {
            id: self.id,
            codec: self.config.codec,
            time_base: base,
            config: encoder.config(),
            media: Media::Audio(info),
            duration: source.duration.map(|d| d.rescale(source.time_base, base)),
            bitrate: (self.config.codec != Codec::Flac).then_some(self.config.bitrate),
            protection: None,
            ..source.clone()
        };
        self.ready.push_back(Item::Track(Arc::new(track)));
        Ok(Work {
            encoder,
            base,
            shape: (sample_rate, channels),
            taken: 0,
            shifts: VecDeque::new(),
            shift: 0,
        })
    }

    fn frame(&mut self, frame: &AudioFrame) -> Result<(), Error> {
        let Some(source) = self.source.clone() else {
            return Err(Error::Invalid("an encoder takes the track before its frames".into()));
        };
        if self.work.is_none() {
            self.work = Some(self.open(frame, &source)?);
        }
        let Some(work) = &mut self.work else { return Ok(()) };
        if work.shape != (frame.sample_rate, frame.channels) {
            return Err(Error::Invalid(
                "sound changed its rate or channels: put `filter::audio` before".into(),
            ));
        }
        // The encoder counts samples; where time jumps, the count does not, and the difference is
        // added to what comes out from there on.
        let at = frame.pts.rescale(source.time_base, work.base).ticks();
        let shift = at.saturating_sub(work.taken);
        if work.shifts.back().is_none_or(|(_, last)| *last != shift) {
            work.shifts.push_back((work.taken, shift));
        }
        work.taken =
            work.taken.saturating_add((frame.samples.len() / usize::from(frame.channels).max(1)) as i64);
        work.encoder.push(&frame.samples)
    }

    fn end(&mut self) -> Result<(), Error> {
        if !self.ended {
            self.ended = true;
            if let Some(work) = &mut self.work {
                work.encoder.finish()?;
            }
        }
        Ok(())
    }
}

impl Work {
    fn packet(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        let Some(mut packet) = self.encoder.pull(id)? else { return Ok(None) };
        let at = packet.pts.ticks().saturating_add(i64::from(self.encoder.delay()));
        while let Some((_, shift)) = self.shifts.front().filter(|(from, _)| *from <= at).copied() {
            self.shift = shift;
            // The last one stays: it is what the next frame is compared with.
            if self.shifts.len() == 1 {
                break;
            }
            self.shifts.pop_front();
        }
        (packet.pts, packet.dts) = (packet.pts.offset(self.shift), packet.dts.offset(self.shift));
        Ok(Some(packet))
    }
}

fn bit_depth(codec: Codec) -> u8 {
    if codec == Codec::Flac { 16 } else { 0 }
}

impl sv_core::Stage for Encoder {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        let own = self.source.as_ref().map(|s| s.id);
        match item {
            Item::Track(track) if own.is_none_or(|id| id == track.id) && track.audio().is_some() => {
                if self.work.is_none() {
                    self.source = Some(track);
                }
            }
            Item::Frame(track, Frame::Audio(frame)) if own.is_none_or(|id| id == track) => {
                self.frame(&frame)?
            }
            Item::End(track) if own == Some(track) => self.end()?,
            other => self.ready.push_back(other),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        if let Some(item) = self.ready.pop_front() {
            return Ok(Some(item));
        }
        if let Some(work) = &mut self.work
            && let Some(packet) = work.packet(self.id)?
        {
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
