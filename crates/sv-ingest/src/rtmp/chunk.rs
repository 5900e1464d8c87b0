//! Messages in chunks ([specification, 5.3](https://rtmp.veriskope.com/docs/spec/#53chunking)).

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::{Error, Result};

/// What chunks begin with, until one side says otherwise.
const FIRST_SIZE: usize = 128;
/// The largest size that a message can have.
const LARGEST_SIZE: usize = 0xFF_FFFF;
/// Chunk streams at once. Encoders use four to eight.
const MOST_STREAMS: usize = 64;
/// A time that says that another field has it.
const EXTENDED: u32 = 0xFF_FFFF;
/// What is set aside for a message before its bytes come.
const AHEAD: usize = 16 << 10;
/// A header is never longer.
const LONGEST_HEADER: usize = 18;

const fn broken(problem: &'static str) -> Error {
    Error::Malformed { what: "the chunk stream", problem }
}

/// One message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The message stream: 0 is for the connection.
    pub(super) stream: u32,
    /// Milliseconds, of which 32 bits are told.
    pub(super) time: u32,
    pub(super) body: Bytes,
}

#[derive(Debug, Default)]
struct Stream {
    id: u32,
    time: u32,
    /// What stood where the time stands: a time, or how much is added to it.
    field: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    /// As much of the message as has come.
    body: Vec<u8>,
    begun: bool,
}

/// Takes chunks apart and gives messages.
#[derive(Debug)]
pub(super) struct Reader {
    chunk: usize,
    limit: usize,
    streams: Vec<Stream>,
    /// The beginning of a header whose end hasn't come.
    carry: Vec<u8>,
    /// Which stream the bytes are of that come, and how many.
    current: Option<(usize, usize)>,
}

impl Reader {
    /// Messages longer than `limit` are refused.
    pub(super) fn new(limit: usize) -> Self {
        Self { chunk: FIRST_SIZE, limit, streams: Vec::new(), carry: Vec::new(), current: None }
    }

    /// Messages may be that long from now on.
    pub(super) fn allow(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The other side's chunks are that long from now on.
    pub(super) fn set_chunk(&mut self, size: usize) -> Result<()> {
        if size == 0 || size > 0x7FFF_FFFF {
            return Err(broken("its chunks have no possible size"));
        }
        self.chunk = size.min(LARGEST_SIZE);
        Ok(())
    }

    /// What has come of a message is of no use.
    pub(super) fn abort(&mut self, id: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|s| s.id == id) {
            stream.body = Vec::new();
            stream.begun = false;
        }
    }

    /// Bytes of messages that aren't whole.
    pub(super) fn held(&self) -> usize {
        self.streams.iter().map(|s| s.body.capacity()).fold(0, usize::saturating_add)
    }

    /// Takes of `input` up to the end of a message.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>> {
        loop {
            if let Some((place, left)) = self.current {
                let (mine, rest) = input.split_at(left.min(input.len()));
                *input = rest;
                let left = left.saturating_sub(mine.len());
                self.current = (left > 0).then_some((place, left));
                let Some(stream) = self.streams.get_mut(place) else { return Ok(None) };
                stream.body.extend_from_slice(mine);
                if left > 0 {
                    return Ok(None);
                }
                if stream.body.len() >= stream.length {
                    stream.begun = false;
                    let body = Bytes::from(std::mem::take(&mut stream.body));
                    return Ok(Some(Message {
                        kind: stream.kind,
                        stream: stream.stream,
                        time: stream.time,
                        body,
                    }));
                }
            }
            if input.is_empty() {
                return Ok(None);
            }
            if self.carry.is_empty() {
                match self.header(input)? {
                    Some(len) => *input = input.get(len..).unwrap_or_default(),
                    None => {
                        self.carry.extend_from_slice(input);
                        *input = &[];
                        return Ok(None);
                    }
                }
            } else {
                // Headers that are cut are rare, and short.
                let mut carry = std::mem::take(&mut self.carry);
                let before = carry.len();
                carry.extend(input.iter().take(LONGEST_HEADER.saturating_sub(before)));
                match self.header(&carry)? {
                    Some(len) => *input = input.get(len.saturating_sub(before)..).unwrap_or_default(),
                    None => {
                        *input = &[];
                        self.carry = carry;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads a header, and gives its length where it is whole.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some((fmt, id, mut used)) = basic(bytes) else { return Ok(None) };
        let known = self.streams.iter().position(|s| s.id == id);
        if known.is_none() && fmt != 0 {
            // Some encoders begin a stream with a relative header: its time counts from 0.
            if fmt == 3 {
                return Err(broken("a chunk goes on with a message that never began"));
            }
        }
        let length = [11, 7, 3, 0].get(usize::from(fmt)).copied().unwrap_or(0);
        let Some(fields) = bytes.get(used..).and_then(|rest| rest.get(..length)) else { return Ok(None) };
        used = used.saturating_add(length);
        let number = |from: usize, to: usize| {
            let bytes = fields.get(from..to).unwrap_or_default();
            bytes.iter().fold(0u32, |n, b| n.wrapping_shl(8) | u32::from(*b))
        };
        let before = known.and_then(|place| self.streams.get(place));
        let (begun, expected) = before.map_or((false, 0), |s| (s.begun, s.field));
        let extended = if fmt == 3 { before.is_some_and(|s| s.extended) } else { number(0, 3) == EXTENDED };
        let mut field = if fmt == 3 { expected } else { number(0, 3) };
        if extended {
            let Some(four) = bytes.get(used..).and_then(|rest| rest.first_chunk::<4>()) else {
                return Ok(None);
            };
            let value = u32::from_be_bytes(*four);
            // Some leave the field out of chunks that go on: then these are the message's bytes.
            if fmt != 3 || value == expected {
                used = used.saturating_add(4);
                field = value;
            }
        }
        let place = match known {
            Some(place) => place,
            None if self.streams.len() >= MOST_STREAMS => {
                return Err(broken("it has too many streams at once"));
            }
            None => {
                self.streams.push(Stream { id, ..Stream::default() });
                self.streams.len().saturating_sub(1)
            }
        };
        let others = self.streams.iter().filter(|s| s.begun).map(|s| s.length).fold(0, usize::saturating_add);
        let Some(stream) = self.streams.get_mut(place) else { return Ok(None) };
        let expected_length = stream.length;
        if fmt != 3 && begun {
            // A message that is begun anew was given up.
            stream.body = Vec::new();
        }
        if fmt != 3 || !begun {
            stream.time = if fmt == 0 { field } else { stream.time.wrapping_add(field) };
            (stream.field, stream.extended) = (field, extended);
            if fmt <= 1 {
                stream.length = usize::try_from(number(3, 6)).unwrap_or(usize::MAX);
                stream.kind = fields.get(6).copied().unwrap_or(0);
            }
            if fmt == 0 {
                stream.stream = number(7, 11).swap_bytes();
            }
            // Sound may come between the chunks of a picture; nobody needs more than that at once.
            let others = others.saturating_sub(if begun { expected_length } else { 0 });
            if stream.length.saturating_add(others) > self.limit.saturating_mul(2)
                || stream.length > self.limit
            {
                let limit = u64::try_from(self.limit).unwrap_or(u64::MAX);
                return Err(Error::LimitExceeded { what: "the length of a message", limit });
            }
            stream.begun = true;
            stream.body = Vec::with_capacity(stream.length.min(AHEAD));
        }
        let left = stream.length.saturating_sub(stream.body.len());
        self.current = Some((place, left.min(self.chunk)));
        Ok(Some(used))
    }
}

/// Form, stream, and the bytes that both take.
fn basic(bytes: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *bytes.first()?;
    let fmt = first >> 6;
    Some(match first & 63 {
        0 => (fmt, u32::from(*bytes.get(1)?).saturating_add(64), 2),
        1 => {
            let [low, high] = [*bytes.get(1)?, *bytes.get(2)?];
            (fmt, u32::from(u16::from_le_bytes([low, high])).saturating_add(64), 3)
        }
        id => (fmt, u32::from(id), 1),
    })
}

/// Cuts messages into chunks. Payloads are not copied.
#[derive(Debug)]
pub(super) struct Writer {
    chunk: usize,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self { chunk: FIRST_SIZE }
    }

    /// Our chunks are that long from now on; the other side must have been told.
    pub(super) fn set_chunk(&mut self, size: usize) {
        self.chunk = size.clamp(1, LARGEST_SIZE);
    }

    /// A message whose bytes are those of `parts`, one behind the other, on the chunk stream `id` (2 to 63).
    pub(super) fn write(
        &self,
        id: u8,
        (kind, stream, time): (u8, u32, u32),
        parts: &[&Bytes],
        give: &mut impl FnMut(Bytes),
    ) {
        let length = parts.iter().map(|p| p.len()).fold(0, usize::saturating_add);
        let mut head = BytesMut::with_capacity(LONGEST_HEADER);
        head.put_u8(id & 63);
        head.put_uint(u64::from(time.min(EXTENDED)), 3);
        head.put_uint(u64::try_from(length.min(LARGEST_SIZE)).unwrap_or(0), 3);
        head.put_u8(kind);
        head.put_u32_le(stream);
        if time >= EXTENDED {
            head.put_u32(time);
        }
        let mut room = self.chunk;
        for part in parts {
            let mut part = Bytes::clone(part);
            while !part.is_empty() {
                if room == 0 {
                    head.put_u8(0xC0 | id & 63);
                    if time >= EXTENDED {
                        head.put_u32(time);
                    }
                    room = self.chunk;
                }
                let piece = part.split_to(room.min(part.len()));
                room = room.saturating_sub(piece.len());
                // Short pieces are cheaper copied than sent apart.
                if piece.len() <= 64 {
                    head.extend_from_slice(&piece);
                } else {
                    if !head.is_empty() {
                        give(head.split().freeze());
                    }
                    give(piece);
                }
            }
        }
        if !head.is_empty() {
            give(head.freeze());
        }
    }
}
