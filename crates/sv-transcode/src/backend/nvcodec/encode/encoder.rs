//! Pictures in, packets out, in the same order.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_core::{Codec, Duration, Packet, Timestamp, TrackId, VideoFrame};

use super::engine::Engine;
use super::{failed, stream};
use crate::backend::EncodeVideo;
use crate::{Error, cpu};

/// Pictures that the device works on while the next ones are copied to it.
const BEHIND: usize = 4;

/// A picture that the device has.
struct Inside {
    slot: usize,
    tick: i64,
    pts: Timestamp,
    duration: Duration,
    key: bool,
}

pub(super) struct Encoder {
    engine: Engine,
    codec: Codec,
    config: Bytes,
    free: Vec<usize>,
    inside: VecDeque<Inside>,
    /// How many of those inside have a packet by now, or will have one without another picture.
    coded: usize,
    /// How many stay inside before a packet is waited for.
    behind: usize,
    ready: VecDeque<Packet>,
    tick: Option<i64>,
    ended: bool,
    _held: cpu::Held,
}

impl Encoder {
    /// An encoder around an engine that looks ahead for so many pictures.
    pub(super) fn new(mut engine: Engine, ahead: usize, codec: Codec) -> Result<Self, String> {
        let config = stream::record(codec, &engine.headers()?)?;
        let behind = BEHIND + ahead;
        let mut free = Vec::new();
        for at in 0..behind + 2 {
            engine.add_slot()?;
            free.push(at);
        }
        Ok(Self {
            engine,
            codec,
            config,
            free,
            inside: VecDeque::new(),
            coded: 0,
            behind,
            ready: VecDeque::new(),
            tick: None,
            ended: false,
            _held: cpu::Held::now(),
        })
    }

    /// Waits for the packet of the first picture inside, if it is coded.
    fn take(&mut self) -> Result<(), Error> {
        let Some(inside) = self.inside.front().filter(|_| self.coded > 0) else { return Ok(()) };
        let (bytes, timestamp) = self.engine.packet(inside.slot)?;
        if timestamp != inside.tick as u64 {
            return Err(failed("packets come in another order than pictures"));
        }
        let (data, key) = stream::packet(self.codec, bytes).map_err(failed)?;
        if inside.key && !key {
            return Err(failed("no key frame where one was asked for"));
        }
        self.ready.push_back(Packet {
            track: TrackId(0),
            pts: inside.pts,
            dts: inside.pts,
            duration: inside.duration,
            key,
            data,
            protection: None,
        });
        self.free.push(inside.slot);
        self.inside.pop_front();
        self.coded -= 1;
        Ok(())
    }
}

impl EncodeVideo for Encoder {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        if self.ended {
            return Err(Error::Invalid("a picture came behind the end".into()));
        }
        if self.free.is_empty() {
            self.take()?;
        }
        let Some(slot) = self.free.last().copied() else {
            return Err(failed("the encoder holds back more pictures than it said"));
        };
        let tick = self.tick.map_or(tick, |last| tick.max(last.saturating_add(1)));
        let whole = self.engine.encode(slot, frame, tick as u64, key)?;
        self.tick = Some(tick);
        self.free.pop();
        self.inside.push_back(Inside { slot, tick, pts: frame.pts, duration: frame.duration, key });
        if whole {
            self.coded = self.inside.len();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if !std::mem::replace(&mut self.ended, true) {
            self.engine.end()?;
            self.coded = self.inside.len();
        }
        Ok(())
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        if self.ready.is_empty() && (self.ended || self.inside.len() > self.behind) {
            self.take()?;
        }
        Ok(self.ready.pop_front().map(|packet| Packet { track: id, ..packet }))
    }
}
