//! Packets on the wire ([draft-sharabayko-srt](https://datatracker.ietf.org/doc/html/draft-sharabayko-srt-01#section-3), 3).

use bytes::{BufMut as _, Bytes, BytesMut};

use super::handshake::Handshake;
use crate::{Error, Result};

/// What stands before every packet's contents, in bytes.
pub const HEADER: usize = 16;
/// The largest payload of a data packet: an Ethernet frame without the headers of IP, UDP and SRT.
pub const PAYLOAD: usize = 1456;

const CONTROL: u32 = 1 << 31;
const SEQUENCE: u32 = CONTROL - 1;
const MESSAGE: u32 = (1 << 26) - 1;
const USER: u16 = 0x7FFF;

/// What a packet may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// Data.
    Data(Data<'a>),
    /// Anything else.
    Control(Control),
}

/// A packet of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Its number, of 31 bits.
    pub seq: u32,
    /// Where it is in its message: bit 1 for the first of its packets, bit 0 for the last.
    pub position: u8,
    /// Whether messages must come in their order.
    pub ordered: bool,
    /// What it is encrypted with: 0 for nothing, 1 for the even key, 2 for the odd one.
    pub key: u8,
    /// Whether it has been sent before.
    pub again: bool,
    /// The number of its message, of 26 bits.
    pub message: u32,
    /// When it was given to the sender, in microseconds of the sender's clock.
    pub time: u32,
    /// The socket that it is for.
    pub to: u32,
    /// The data.
    pub payload: &'a [u8],
}

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// When it was sent, in microseconds of the sender's clock.
    pub time: u32,
    /// The socket that it is for; 0 for a listener.
    pub to: u32,
    /// What it says.
    pub body: Body,
}

/// What a control packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// How a connection begins.
    Handshake(Handshake),
    /// The sender is still there.
    KeepAlive,
    /// All before `seq` has come.
    Ack {
        /// The number of the acknowledgement, 0 for one that wants no answer.
        number: u32,
        /// The first packet that has not come.
        seq: u32,
        /// More about the receiver.
        about: Option<About>,
    },
    /// These have not come: ranges, both ends among them.
    Nak(Vec<(u32, u32)>),
    /// Slow down; nobody sends it.
    Congestion,
    /// The connection is over.
    Shutdown,
    /// An acknowledgement has come.
    AckAck(u32),
    /// These will never come.
    Drop {
        /// The number of the message.
        message: u32,
        /// The first of its packets.
        first: u32,
        /// The last of them.
        last: u32,
    },
    /// The receiver can't store what comes.
    PeerError(u32),
    /// Keys for what follows.
    KeyRequest(Bytes),
    /// The same, or a word that says what is wrong with them.
    KeyResponse(Bytes),
    /// Something that nobody has taught us.
    Other(u16, u16),
}

/// What a full acknowledgement says of the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// How long a packet and its answer take, in microseconds.
    pub rtt: u32,
    /// How much that varies, in microseconds.
    pub variance: u32,
    /// How many packets there is room for.
    pub room: u32,
    /// Packets each second that come; 0 where it isn't told.
    pub packets: u32,
    /// Packets each second that could come; 0 where it isn't told.
    pub capacity: u32,
    /// Bytes each second that come; 0 where it isn't told.
    pub bytes: u32,
}

/// Reads words of 32 bits, the largest byte first.
pub(super) struct Words<'a>(pub(super) &'a [u8]);

impl Words<'_> {
    pub(super) fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }
}

fn broken(problem: &'static str) -> Error {
    Error::Malformed { what: "a packet of SRT", problem }
}

/// The two halves of a word.
pub(super) fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is no packet of SRT.
    pub fn parse(datagram: &'a [u8]) -> Result<Self> {
        let short = || broken("it ends inside of its header");
        let mut words = Words(datagram);
        let mut next = || words.word().ok_or_else(short);
        let (first, second, time, to) = (next()?, next()?, next()?, next()?);
        let rest = words.0;
        if first & CONTROL == 0 {
            let bits = |shift: u32, mask: u32| u8::try_from(second.wrapping_shr(shift) & mask).unwrap_or(0);
            return Ok(Self::Data(Data {
                seq: first,
                position: bits(30, 3),
                ordered: bits(29, 1) == 1,
                key: bits(27, 3),
                again: bits(26, 1) == 1,
                message: second & MESSAGE,
                time,
                to,
                payload: rest,
            }));
        }
        let (kind, subtype) = halves(first & SEQUENCE);
        Ok(Self::Control(Control { time, to, body: Body::parse(kind, subtype, second, rest)? }))
    }

    /// The socket that a datagram is for, if it is one of SRT.
    #[must_use]
    pub fn destination(datagram: &[u8]) -> Option<u32> {
        let (_, rest) = datagram.split_first_chunk::<12>()?;
        Words(rest).word()
    }
}

impl Body {
    fn parse(kind: u16, subtype: u16, info: u32, rest: &[u8]) -> Result<Self> {
        let mut words = Words(rest);
        Ok(match (kind, subtype) {
            (0, _) => Self::Handshake(Handshake::parse(rest)?),
            (1, _) => Self::KeepAlive,
            (2, _) => {
                let seq = words.word().ok_or_else(|| broken("an acknowledgement without a number"))?;
                let [rtt, variance, room] = [words.word(), words.word(), words.word()];
                let about = rtt.zip(variance).zip(room).map(|((rtt, variance), room)| About {
                    rtt,
                    variance,
                    room,
                    packets: words.word().unwrap_or(0),
                    capacity: words.word().unwrap_or(0),
                    bytes: words.word().unwrap_or(0),
                });
                Self::Ack { number: info, seq: seq & SEQUENCE, about }
            }
            (3, _) => {
                let mut ranges = Vec::with_capacity(rest.len() / 4);
                while let Some(word) = words.word() {
                    let last = if word & CONTROL == 0 {
                        word
                    } else {
                        words.word().ok_or_else(|| broken("a range without an end"))? & SEQUENCE
                    };
                    ranges.push((word & SEQUENCE, last));
                }
                Self::Nak(ranges)
            }
            (4, _) => Self::Congestion,
            (5, _) => Self::Shutdown,
            (6, _) => Self::AckAck(info),
            (7, _) => {
                let ends = words.word().zip(words.word());
                let (first, last) = ends.ok_or_else(|| broken("a drop request without a range"))?;
                Self::Drop { message: info & MESSAGE, first: first & SEQUENCE, last: last & SEQUENCE }
            }
            (8, _) => Self::PeerError(info),
            (USER, 3) => Self::KeyRequest(Bytes::copy_from_slice(rest)),
            (USER, 4) => Self::KeyResponse(Bytes::copy_from_slice(rest)),
            (kind, subtype) => Self::Other(kind, subtype),
        })
    }

    /// Kind, subtype and the word that depends on them.
    const fn head(&self) -> (u16, u16, u32) {
        match self {
            Self::Handshake(_) => (0, 0, 0),
            Self::KeepAlive => (1, 0, 0),
            Self::Ack { number, .. } => (2, 0, *number),
            Self::Nak(_) => (3, 0, 0),
            Self::Congestion => (4, 0, 0),
            Self::Shutdown => (5, 0, 0),
            Self::AckAck(number) => (6, 0, *number),
            Self::Drop { message, .. } => (7, 0, *message),
            Self::PeerError(code) => (8, 0, *code),
            Self::KeyRequest(_) => (USER, 3, 0),
            Self::KeyResponse(_) => (USER, 4, 0),
            Self::Other(kind, subtype) => (*kind, *subtype, 0),
        }
    }
}

impl Control {
    /// The datagram that says it.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        let (kind, subtype, info) = self.body.head();
        out.put_u16(kind | 0x8000);
        out.put_u16(subtype);
        out.put_u32(info);
        out.put_u32(self.time);
        out.put_u32(self.to);
        match &self.body {
            Body::Handshake(handshake) => handshake.write(&mut out),
            Body::Ack { seq, about, .. } => {
                out.put_u32(*seq);
                if let Some(about) = about {
                    for word in
                        [about.rtt, about.variance, about.room, about.packets, about.capacity, about.bytes]
                    {
                        out.put_u32(word);
                    }
                }
            }
            Body::Nak(ranges) => {
                for (first, last) in ranges {
                    if first == last {
                        out.put_u32(*first);
                    } else {
                        out.put_u32(*first | CONTROL);
                        out.put_u32(*last);
                    }
                }
            }
            Body::Drop { first, last, .. } => {
                out.put_u32(*first);
                out.put_u32(*last);
            }
            Body::KeyRequest(message) | Body::KeyResponse(message) => out.put_slice(message),
            // Some implementations want four bytes at least.
            Body::KeepAlive | Body::Shutdown | Body::AckAck(_) => out.put_u32(0),
            Body::Congestion | Body::PeerError(_) | Body::Other(..) => {}
        }
        out.freeze()
    }
}

impl Data<'_> {
    /// Writes what stands before the payload.
    pub(super) fn write_header(&self, out: &mut BytesMut) {
        out.put_u32(self.seq & SEQUENCE);
        let bit = |set: bool, shift: u32| u32::from(set).wrapping_shl(shift);
        let word = u32::from(self.position & 3).wrapping_shl(30)
            | bit(self.ordered, 29)
            | u32::from(self.key & 3).wrapping_shl(27)
            | bit(self.again, 26);
        out.put_u32(word | self.message & MESSAGE);
        out.put_u32(self.time);
        out.put_u32(self.to);
    }

    /// The datagram that carries it.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER.saturating_add(self.payload.len()));
        self.write_header(&mut out);
        out.put_slice(self.payload);
        out.freeze()
    }
}

/// A sequence number that never wraps around, near to one that is known.
pub(super) fn unwrap(seq: u32, near: u64) -> u64 {
    let low = u32::try_from(near & u64::from(SEQUENCE)).unwrap_or(0);
    let ahead = seq.wrapping_sub(low) & SEQUENCE;
    // Half of them lie behind.
    if ahead < 1 << 30 {
        near.saturating_add(ahead.into())
    } else {
        near.saturating_sub((1u64 << 31).saturating_sub(ahead.into()))
    }
}

/// The number on the wire of one that never wraps around.
pub(super) fn wrap(seq: u64) -> u32 {
    u32::try_from(seq & u64::from(SEQUENCE)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn data_is_read_as_it_is_written(
            seq in 0..1u32 << 31, position in 0..4u8, ordered: bool, key in 0..4u8, again: bool,
            message in 0..1u32 << 26, time: u32, to: u32, payload: Vec<u8>,
        ) {
            let data = Data { seq, position, ordered, key, again, message, time, to, payload: &payload };
            let datagram = data.build();
            prop_assert_eq!(Packet::parse(&datagram).unwrap(), Packet::Data(data));
            prop_assert_eq!(Packet::destination(&datagram), Some(to));
        }

        #[test]
        fn control_is_read_as_it_is_written(
            time: u32, to: u32, number: u32, kind in 9..USER, seq in 0..1u32 << 31, words: [u32; 6],
            ranges in prop::collection::vec((0..1u32 << 31, 0..1u32 << 31), 0..300),
            message in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let [rtt, variance, room, packets, capacity, bytes] = words;
            let about = About { rtt, variance, room, packets, capacity, bytes };
            for body in [
                Body::KeepAlive, Body::Congestion, Body::Shutdown, Body::AckAck(number), Body::PeerError(number),
                Body::Ack { number, seq, about: None }, Body::Ack { number, seq, about: Some(about) },
                Body::Nak(ranges), Body::Drop { message: number & MESSAGE, first: seq, last: seq ^ 1 },
                Body::KeyRequest(message.clone().into()), Body::KeyResponse(message.into()), Body::Other(kind, 7),
            ] {
                let control = Control { time, to, body };
                let datagram = control.build();
                prop_assert_eq!(Packet::parse(&datagram).unwrap(), Packet::Control(control));
            }
        }

        #[test]
        fn numbers_wrap_around(near in 1u64 << 31..1 << 40, step in -(1i64 << 29)..1 << 29) {
            let seq = near.saturating_add_signed(step);
            prop_assert_eq!(unwrap(wrap(seq), near), seq);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Packet::parse(&bytes);
        }
    }
}
