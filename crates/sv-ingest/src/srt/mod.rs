//! SRT, both sides of a connection, without a socket: the protocol of
//! [draft-sharabayko-srt](https://datatracker.ietf.org/doc/html/draft-sharabayko-srt-01) for live streams.
//!
//! A [`Listener`] hears strangers and keeps nothing of them before they have shown where they are; a [`Knock`] is one that
//! wants something, and becomes a [`Session`] when it is let in. A [`Caller`] is the other side of that, or one of two that
//! meet (rendezvous). A session takes datagrams and payloads, and gives datagrams and payloads. Moments are told by whoever
//! drives it, as what has passed since some moment of its choice; [`Session::deadline`] says when it has something to do.

mod caller;
mod crypto;
mod handshake;
mod listener;
mod packet;
mod receiver;
mod sender;
mod session;
mod stream_id;
mod target;

pub use caller::{Caller, Mode};
pub use crypto::{KeyLength, KeyMaterial, Passphrase};
pub use handshake::{Extension, Handshake, Purpose};
pub use listener::{Heard, Knock, Listener, reject};
pub use packet::{About, Body, Control, Data, HEADER, PAYLOAD, Packet};
pub use session::{Over, Session};
pub use stream_id::{StreamId, Wish};
pub use target::Target;

use std::time::Duration;

/// Microseconds since whoever drives us began.
pub(super) type Micros = u64;

pub(super) fn micros(at: Duration) -> Micros {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

/// The low 32 bits.
pub(super) fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// As a number of 32 bits, or the largest of them.
pub(super) fn capped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// How a connection works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How long what comes is held back, so that what is missing can come again: four times the round trip, at least.
    /// The larger one of both sides counts.
    pub latency: Duration,
    /// What both sides must know to understand each other; without one, nothing is encrypted.
    pub passphrase: Option<Passphrase>,
    /// How long keys are, where we choose them.
    pub key_length: KeyLength,
    /// After how many packets a key is renewed.
    pub refresh: u64,
    /// Packets that wait at most, for each way.
    pub buffer: usize,
    /// How fast packets leave.
    pub bandwidth: Bandwidth,
    /// After what silence the other side is given up.
    pub silence: Duration,
    /// How long a caller tries.
    pub patience: Duration,
    /// Where our packets' clock begins, and the number of the first one: random, if nobody says.
    pub origin: (u32, Option<u32>),
}

/// How fast packets leave, so that those that are sent again find room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bandwidth {
    /// So many bytes each second, at most.
    Most(u64),
    /// What comes in and so many percent more.
    Input {
        /// Bytes each second that come in; measured, if nobody says.
        bytes: Option<u64>,
        /// Percent.
        overhead: u8,
    },
}

impl Default for Settings {
    /// A latency of 120 ms, no encryption, 8192 packets, 1 Gbit/s, 5 s of silence, and 3 s for a caller.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(120),
            passphrase: None,
            key_length: KeyLength::default(),
            refresh: crypto::REFRESH,
            buffer: 8192,
            bandwidth: Bandwidth::Most(125_000_000),
            silence: Duration::from_secs(5),
            patience: Duration::from_secs(3),
            origin: (0, None),
        }
    }
}

impl Settings {
    /// As handshakes have it.
    fn latency_millis(&self) -> u16 {
        u16::try_from(self.latency.as_millis()).unwrap_or(u16::MAX)
    }

    fn window(&self) -> u32 {
        u32::try_from(self.buffer).unwrap_or(u32::MAX).max(32)
    }
}

/// How a connection goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How long a packet and its answer take.
    pub rtt: Duration,
    /// How much that varies.
    pub rtt_variance: Duration,
    /// How long what comes is held back.
    pub latency: Duration,
    /// Packets of data that have come, each counted once.
    pub received: u64,
    /// Their payloads' bytes.
    pub received_bytes: u64,
    /// Packets that were missing for a time, or for ever.
    pub lost: u64,
    /// Of these, those that came when they were sent again.
    pub recovered: u64,
    /// Of these, those that were given up.
    pub dropped: u64,
    /// Packets that came twice, or when they were given up already.
    pub useless: u64,
    /// Packets whose key isn't known.
    pub undecrypted: u64,
    /// Datagrams that are broken or don't belong here.
    pub foreign: u64,
    /// Packets that were sent, each counted once.
    pub sent: u64,
    /// Their payloads' bytes.
    pub sent_bytes: u64,
    /// Packets that were sent again, as often as they were.
    pub sent_again: u64,
    /// Packets that were given up unsent or unheard of.
    pub unsent: u64,
    /// How far the other side's clock has run ahead of ours since the beginning, in microseconds.
    pub drift: i64,
}
