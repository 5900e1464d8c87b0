//! What both sides of a connection have in common: handshake, chunks, and the messages about them.

use bytes::{Bytes, BytesMut};
use sv_container::amf0::Value;
use sv_container::flv::{self, Body, Kind};
use sv_core::{Codec, Track};

use super::chunk::{Message, Reader, Writer};
use super::handshake::{Handshake, Side};
use crate::{Error, Result};

/// Our chunks: frames of most streams fit into one.
const CHUNK: usize = 60_000;
/// How much the other side may send before it must hear from us, and we from it.
pub(super) const WINDOW: u32 = 2_500_000;
/// Before anybody is let in, messages are commands, and those are short.
const STRANGER: usize = 64 << 10;

/// Chunk streams of what we send.
const CONTROL: u8 = 2;
const COMMAND: u8 = 3;
const AUDIO: u8 = 4;
const VIDEO: u8 = 6;
const DATA: u8 = 5;

/// `UserControl` events.
const STREAM_BEGIN: u16 = 0;
const PING: u16 = 6;
const PONG: u16 = 7;

/// What comes, beyond what the link answers itself.
pub(super) enum Incoming {
    Command { stream: u32, name: String, transaction: f64, values: Vec<Value> },
    Media { stream: u32, kind: Kind, time: u32, body: Bytes },
}

#[derive(Debug)]
pub(super) struct Link {
    handshake: Handshake,
    reader: Reader,
    writer: Writer,
    /// Messages of media that came in one.
    aggregate: Option<(u32, u32, Bytes)>,
    /// The time of the first of them.
    first: Option<u32>,
    received: u64,
    acknowledged: u64,
    window: u64,
    out: Vec<Bytes>,
}

impl Link {
    pub(super) fn new(side: Side, seed: u64) -> Self {
        let (handshake, hello) = Handshake::new(side, seed);
        let out = if hello.is_empty() { Vec::new() } else { vec![Bytes::from(hello)] };
        Self {
            handshake,
            reader: Reader::new(STRANGER),
            writer: Writer::new(),
            aggregate: None,
            first: None,
            received: 0,
            acknowledged: 0,
            window: u64::from(WINDOW),
            out,
        }
    }

    /// Frames may come, up to that length.
    pub(super) fn allow(&mut self, limit: usize) {
        self.reader.allow(limit.max(STRANGER));
    }

    /// Bytes kept for messages that aren't whole.
    pub(super) fn held(&self) -> usize {
        self.reader.held()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.handshake.is_done()
    }

    /// What is to be sent.
    pub(super) fn outgoing(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out)
    }

    /// Takes of `input` up to something that the other layers must hear.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>> {
        loop {
            if let Some(one) = self.unpack()? {
                return Ok(Some(one));
            }
            if input.is_empty() {
                return Ok(None);
            }
            if !self.handshake.is_done() {
                let answer = self.handshake.receive(input)?;
                if !answer.is_empty() {
                    self.out.push(answer.into());
                }
                continue;
            }
            let before = input.len();
            let message = self.reader.next(input);
            self.count(before.saturating_sub(input.len()));
            if let Some(message) = message?
                && let Some(incoming) = self.message(message)?
            {
                return Ok(Some(incoming));
            }
        }
    }

    /// Says how much has come, as often as was asked for.
    fn count(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(u64::try_from(bytes).unwrap_or(0));
        if self.received.saturating_sub(self.acknowledged) >= self.window {
            self.acknowledged = self.received;
            // It counts on from 0 behind four bytes.
            let count = u32::try_from(self.received & u64::from(u32::MAX)).unwrap_or(0);
            self.control(3, &count.to_be_bytes());
        }
    }

    fn message(&mut self, message: Message) -> Result<Option<Incoming>> {
        let Message { kind, stream, time, body } = message;
        let number = |at: usize| {
            let four = body.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied();
            four.map(u32::from_be_bytes)
                .ok_or(Error::Malformed { what: "a control message", problem: "it is cut short" })
        };
        match kind {
            1 => self.reader.set_chunk(usize::try_from(number(0)?).unwrap_or(usize::MAX))?,
            2 => self.reader.abort(number(0)?),
            4 if body.starts_with(&PING.to_be_bytes()) => {
                let mut pong = PONG.to_be_bytes().to_vec();
                pong.extend(body.iter().skip(2).take(4));
                self.control(4, &pong);
            }
            // Never so small that acknowledging costs more than reading.
            5 => self.window = u64::from(number(0)?.max(64 << 10)),
            8 | 9 | 18 => {
                return Ok(Kind::of(kind).map(|kind| Incoming::Media { stream, kind, time, body }));
            }
            15 => return Ok(Some(Incoming::Media { stream, kind: Kind::Script, time, body: amf3(body) })),
            22 => (self.aggregate, self.first) = (Some((stream, time, body)), None),
            20 | 17 => {
                let body = if kind == 17 { amf3(body) } else { body };
                let mut values = Value::read_all(&body)?.into_iter();
                let Some(Value::String(name)) = values.next() else {
                    return Err(Error::Malformed { what: "a command", problem: "it has no name" });
                };
                let transaction = values.next().and_then(|v| v.as_number()).unwrap_or(0.0);
                return Ok(Some(Incoming::Command { stream, name, transaction, values: values.collect() }));
            }
            _ => {}
        }
        Ok(None)
    }

    /// The next of what came in one message (7.1.6): tags of FLV, whose times count from the message's.
    fn unpack(&mut self) -> Result<Option<Incoming>> {
        while let Some((stream, time, mut rest)) = self.aggregate.take() {
            let Some([kind, l0, l1, l2, t0, t1, t2, t3, ..]) = rest.first_chunk::<11>().copied() else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or(usize::MAX);
            let own = u32::from_be_bytes([t3, t0, t1, t2]);
            let end = length.saturating_add(11);
            if end > rest.len() {
                return Err(Error::Malformed { what: "an aggregate message", problem: "it is cut short" });
            }
            let body = rest.split_to(end).slice(11..);
            // Behind each stands its length once more.
            let rest = rest.slice(4.min(rest.len())..);
            let first = *self.first.get_or_insert(own);
            self.aggregate = Some((stream, time, rest));
            if let Some(kind) = Kind::of(kind) {
                let time = time.wrapping_add(own.wrapping_sub(first));
                return Ok(Some(Incoming::Media { stream, kind, time, body }));
            }
        }
        Ok(None)
    }

    fn send(&mut self, id: u8, head: (u8, u32, u32), parts: &[&Bytes]) {
        let out = &mut self.out;
        self.writer.write(id, head, parts, &mut |piece| out.push(piece));
    }

    pub(super) fn control(&mut self, kind: u8, body: &[u8]) {
        self.send(CONTROL, (kind, 0, 0), &[&Bytes::copy_from_slice(body)]);
    }

    /// How much may come before we want to hear of it, and how long our chunks are.
    pub(super) fn settle(&mut self) {
        self.control(5, &WINDOW.to_be_bytes());
        let mut bandwidth = WINDOW.to_be_bytes().to_vec();
        bandwidth.push(2);
        self.control(6, &bandwidth);
        self.lengthen();
    }

    pub(super) fn lengthen(&mut self) {
        self.control(1, &u32::try_from(CHUNK).unwrap_or(128).to_be_bytes());
        self.writer.set_chunk(CHUNK);
    }

    /// A stream begins that the other side may listen to.
    pub(super) fn begin(&mut self, stream: u32) {
        let mut body = STREAM_BEGIN.to_be_bytes().to_vec();
        body.extend_from_slice(&stream.to_be_bytes());
        self.control(4, &body);
    }

    pub(super) fn command(&mut self, stream: u32, name: &str, transaction: f64, values: &[Value]) {
        let mut body = BytesMut::new();
        Value::string(name).write(&mut body);
        Value::Number(transaction).write(&mut body);
        values.iter().for_each(|value| value.write(&mut body));
        self.send(COMMAND, (20, stream, 0), &[&body.freeze()]);
    }

    pub(super) fn media(&mut self, stream: u32, body: &Body) {
        let id = match body.kind {
            Kind::Audio => AUDIO,
            Kind::Video => VIDEO,
            Kind::Script => DATA,
        };
        // 32 bits of it are told.
        let time = u32::try_from(body.millis & i64::from(u32::MAX)).unwrap_or(0);
        self.send(id, (body.kind.number(), stream, time), &[&body.head, &body.data]);
    }

    pub(super) fn data(&mut self, stream: u32, values: &[Value]) {
        let mut body = BytesMut::new();
        values.iter().for_each(|value| value.write(&mut body));
        self.send(DATA, (18, stream, 0), &[&body.freeze()]);
    }
}

/// Messages of AMF 3 begin with a byte that says so, and go on in AMF 0.
fn amf3(body: Bytes) -> Bytes {
    if body.first() == Some(&0) { body.slice(1..) } else { body }
}

/// A clock of which 32 bits are told, as the 64 bits that it has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock(Option<i64>);

impl Clock {
    /// The nearest moment, to the last one of sound or pictures, that has these bits.
    pub(super) fn unwrap(&mut self, kind: Kind, time: u32) -> i64 {
        let now = match self.0 {
            None => i64::from(time),
            Some(last) => {
                let bits = u32::try_from(last & i64::from(u32::MAX)).unwrap_or(0);
                let step = i32::from_be_bytes(time.wrapping_sub(bits).to_be_bytes());
                last.saturating_add(i64::from(step))
            }
        };
        if kind != Kind::Script {
            self.0 = Some(now);
        }
        now
    }
}

/// `onMetaData`: what programs want to hear that ask nobody else. It tells of the first track of each kind.
pub(super) fn describe<'a>(tracks: impl Iterator<Item = &'a Track> + Clone) -> Vec<Value> {
    let mut pairs = Vec::new();
    let number = |n: u32| Value::Number(f64::from(n));
    if let Some((codec, video)) = tracks.clone().find_map(|t| Some((t.codec, t.video()?))) {
        pairs.push(("width", number(video.width)));
        pairs.push(("height", number(video.height)));
        if let Some(rate) = video.frame_rate {
            pairs.push(("framerate", Value::Number(f64::from(rate.num()) / f64::from(rate.den()))));
        }
        let id = if codec == Codec::H264 { Some(7) } else { flv::fourcc(codec).map(u32::from_be_bytes) };
        pairs.extend(id.map(|id| ("videocodecid", number(id))));
    }
    if let Some((codec, audio)) = tracks.clone().find_map(|t| Some((t.codec, t.audio()?))) {
        pairs.push(("audiosamplerate", number(audio.sample_rate)));
        pairs.push(("audiochannels", number(audio.channels.into())));
        pairs.push(("stereo", Value::Boolean(audio.channels > 1)));
        let id = if codec == Codec::Aac { Some(10) } else { flv::fourcc(codec).map(u32::from_be_bytes) };
        pairs.extend(id.map(|id| ("audiocodecid", number(id))));
    }
    vec![Value::string("onMetaData"), Value::object(pairs)]
}
