//! A connection that has begun.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::crypto::{Crypto, Fault};
use super::handshake::{Handshake, Purpose};
use super::packet::{Body, Control, Data, Packet};
use super::receiver::{Ack, Came, Receiver};
use super::sender::Sender;
use super::{Micros, Settings, Stats, low, micros};

/// After so long without a word, one is sent.
const ALIVE: Micros = 1_000_000;
/// How often keys are told until they are heard of, at least.
const KEYS: Micros = 50_000;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// The other side has ended it.
    Closed,
    /// We have.
    Left,
    /// Nothing has come for too long.
    Silent,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the other side has closed the connection",
            Self::Left => "it was closed here",
            Self::Silent => "nothing has come for too long",
        })
    }
}

/// What both sides have agreed on.
pub(super) struct Terms {
    /// Our socket and the other's.
    pub(super) id: u32,
    pub(super) peer: u32,
    /// When our clock was 0, or would have been.
    pub(super) zero: Micros,
    /// What the other side's clock was when its handshake came.
    pub(super) stamp: u32,
    /// The numbers of our first packet and theirs.
    pub(super) first: u32,
    pub(super) their_first: u32,
    /// What the other side's buffer holds.
    pub(super) window: u32,
    /// How long we hold back what comes, and they what we send, in milliseconds.
    pub(super) latency: u16,
    pub(super) peer_latency: u16,
    pub(super) crypto: Option<Crypto>,
}

/// A connection: payloads and datagrams go in, datagrams and payloads come out.
///
/// Whoever drives it takes all of [`outgoing`](Self::outgoing) and [`delivered`](Self::delivered) after each call, and calls
/// [`tick`](Self::tick) when the moment of [`deadline`](Self::deadline) has come.
pub struct Session {
    id: u32,
    peer: u32,
    zero: Micros,
    silence: Micros,
    latency: Micros,
    peer_latency: Micros,
    receiver: Receiver,
    sender: Sender,
    crypto: Option<Crypto>,
    reply: Option<Bytes>,
    out: VecDeque<Bytes>,
    delivered: VecDeque<Bytes>,
    heard: Micros,
    spoken: Micros,
    keys_at: Micros,
    over: Option<Over>,
    stats: Stats,
}

impl Session {
    pub(super) fn new(settings: &Settings, terms: Terms, now: Micros) -> Self {
        let latency = Micros::from(terms.latency).saturating_mul(1000);
        let theirs = Micros::from(terms.peer_latency).saturating_mul(1000);
        let Settings { buffer, bandwidth, silence, .. } = *settings;
        Self {
            id: terms.id,
            peer: terms.peer,
            zero: terms.zero,
            silence: micros(silence),
            latency,
            peer_latency: theirs,
            receiver: Receiver::new(latency, buffer, terms.their_first, terms.stamp, now),
            sender: Sender::new(theirs, buffer, terms.window, terms.first, bandwidth, now),
            crypto: terms.crypto,
            reply: None,
            out: VecDeque::new(),
            delivered: VecDeque::new(),
            heard: now,
            spoken: now,
            keys_at: 0,
            over: None,
            stats: Stats::default(),
        }
    }

    /// What is said first, and again where it wasn't heard.
    pub(super) fn answer(&mut self, datagram: Bytes) {
        self.reply = Some(datagram.clone());
        self.out.push_back(datagram);
    }

    /// The other side may begin with our number, too.
    pub(super) fn or_from(&mut self, first: u32) {
        self.receiver.or_from(first);
    }

    /// The number of our end, by which datagrams say what they are for.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Whether payloads are encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.crypto.is_some()
    }

    fn stamp(&self, now: Micros) -> u32 {
        low(now.wrapping_sub(self.zero))
    }

    fn say(&mut self, body: Body, now: Micros) {
        let control = Control { time: self.stamp(now), to: self.peer, body };
        self.out.push_back(control.build());
        self.spoken = now;
    }

    /// Takes a datagram. What is broken or for somebody else is counted, and no error.
    pub fn receive(&mut self, datagram: &[u8], now: Duration) {
        let now = micros(now);
        if self.over.is_some() {
            return;
        }
        match Packet::parse(datagram) {
            Ok(Packet::Data(data)) if data.to == self.id => {
                self.heard = now;
                self.data(&data, now);
            }
            // A caller says it to the listener.
            Ok(Packet::Control(Control { body: Body::Handshake(handshake), .. })) => {
                self.handshake(&handshake, now);
            }
            Ok(Packet::Control(Control { time, to, body })) if to == self.id => {
                self.heard = now;
                self.control(time, body, now);
            }
            _ => self.stats.foreign = self.stats.foreign.saturating_add(1),
        }
        self.step(now);
    }

    fn data(&mut self, data: &Data<'_>, now: Micros) {
        self.receiver.settle(data.seq);
        if !self.receiver.wants(data.seq) {
            self.stats.useless = self.stats.useless.saturating_add(1);
            return;
        }
        let payload = match &self.crypto {
            None if data.key == 0 => Some(Bytes::copy_from_slice(data.payload)),
            None => None,
            Some(crypto) => {
                let mut bytes = BytesMut::from(data.payload);
                // What comes in the clear where keys are known isn't from who has them.
                crypto.decrypt(data.key, data.seq, &mut bytes).then(|| bytes.freeze())
            }
        };
        if payload.is_none() {
            self.stats.undecrypted = self.stats.undecrypted.saturating_add(1);
        }
        if let Came::New(Some((first, last))) =
            self.receiver.take(data.seq, data.time, payload, now, &mut self.stats)
        {
            let range = (super::packet::wrap(first), super::packet::wrap(last));
            self.say(Body::Nak(vec![range]), now);
        }
    }

    fn control(&mut self, time: u32, body: Body, now: Micros) {
        match body {
            Body::Ack { number, seq, about } => {
                self.sender.acknowledged(seq, about.map(|about| about.room));
                if number != 0 {
                    self.say(Body::AckAck(number), now);
                }
                // Who only sends measures nothing itself.
                if let Some(about) = about
                    && self.stats.received == 0
                    && about.rtt > 0
                {
                    self.receiver.measure(about.rtt.into());
                }
            }
            Body::Nak(ranges) => {
                for (first, last) in self.sender.missed(&ranges) {
                    self.say(Body::Drop { message: 0, first, last }, now);
                }
            }
            Body::AckAck(number) => self.receiver.heard(number, time, now),
            Body::Drop { first, last, .. } => self.receiver.forget(first, last, &mut self.stats),
            Body::Shutdown => self.over = Some(Over::Closed),
            Body::KeyRequest(message) => {
                let answer = match &mut self.crypto {
                    None => Some(3),
                    Some(crypto) => match crypto.take(&message) {
                        Ok(()) => None,
                        Err(Fault::BadSecret | Fault::Malformed) => Some(4u32),
                    },
                };
                let answer = answer.map_or(message, |state| Bytes::copy_from_slice(&state.to_be_bytes()));
                self.say(Body::KeyResponse(answer), now);
            }
            Body::KeyResponse(answer) => {
                if let Some(crypto) = &mut self.crypto {
                    crypto.heard(&answer);
                }
            }
            Body::Handshake(_)
            | Body::KeepAlive
            | Body::Congestion
            | Body::PeerError(_)
            | Body::Other(..) => {}
        }
    }

    /// The other side has not heard what we said when we met.
    fn handshake(&mut self, handshake: &Handshake, now: Micros) {
        if handshake.id == self.peer
            && handshake.purpose == Purpose::Conclusion
            && let Some(reply) = &self.reply
        {
            self.out.push_back(reply.clone());
            self.spoken = now;
        }
    }

    /// Takes a payload to be sent, of at most [`PAYLOAD`](super::PAYLOAD) bytes. False where there is no room: it is lost.
    pub fn send(&mut self, payload: &[u8], now: Duration) -> bool {
        let now = micros(now);
        if self.over.is_some() {
            return false;
        }
        let (stamp, peer) = (self.stamp(now), self.peer);
        let taken = self.sender.give(payload, stamp, peer, self.crypto.as_mut(), now, &mut self.stats);
        self.step(now);
        taken
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        self.step(micros(now));
    }

    fn step(&mut self, now: Micros) {
        if self.over.is_some() {
            // What has come in time is given on.
            while let Some(payload) = self.receiver.give(Micros::MAX, &mut self.stats) {
                self.delivered.push_back(payload);
            }
            return;
        }
        while let Some(payload) = self.receiver.give(now, &mut self.stats) {
            self.delivered.push_back(payload);
        }
        let missing = self.receiver.ask(now);
        if !missing.is_empty() {
            self.say(Body::Nak(missing), now);
        }
        match self.receiver.ack(now) {
            Some(Ack::Full { number, seq, about }) => {
                self.say(Body::Ack { number, seq, about: Some(about) }, now);
            }
            Some(Ack::Light { seq }) => self.say(Body::Ack { number: 0, seq, about: None }, now),
            None => {}
        }
        self.sender.tidy(now, &mut self.stats);
        let patience = self.receiver.rtt();
        while let Some(datagram) = self.sender.next(now, patience, &mut self.stats) {
            self.out.push_back(datagram);
            self.spoken = now;
        }
        if let Some(message) = self.crypto.as_ref().and_then(Crypto::told)
            && now >= self.keys_at
        {
            let message = message.clone();
            self.keys_at = now.saturating_add(KEYS.max(patience.0.saturating_mul(3) / 2));
            self.say(Body::KeyRequest(message), now);
        }
        if now >= self.spoken.saturating_add(ALIVE) {
            self.say(Body::KeepAlive, now);
        }
        if now >= self.heard.saturating_add(self.silence) {
            self.over = Some(Over::Silent);
            self.step(now);
        }
    }

    /// The next datagram that is to be sent to the other side.
    pub fn outgoing(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// The next payload that has come.
    pub fn delivered(&mut self) -> Option<Bytes> {
        self.delivered.pop_front()
    }

    /// When [`tick`](Self::tick) has something to do; nothing once it is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.over.is_some() {
            return None;
        }
        let keys = self.crypto.as_ref().and_then(Crypto::told).map(|_| self.keys_at);
        let fixed = self.spoken.saturating_add(ALIVE).min(self.heard.saturating_add(self.silence));
        let moving = [self.receiver.deadline(), self.sender.deadline(self.receiver.rtt()), keys];
        Some(Duration::from_micros(moving.into_iter().flatten().fold(fixed, Micros::min)))
    }

    /// Why it is over, if it is.
    #[must_use]
    pub const fn over(&self) -> Option<Over> {
        self.over
    }

    /// Whether all that was sent has come, or been given up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.sender.is_empty()
    }

    /// How long the other side holds back what it has, and with it what is lost where the connection ends sooner.
    #[must_use]
    pub fn linger(&self) -> Duration {
        Duration::from_micros(self.peer_latency.saturating_add(self.receiver.rtt().0))
    }

    /// Ends it: the other side hears of that.
    pub fn close(&mut self, now: Duration) {
        if self.over.is_none() {
            let now = micros(now);
            self.say(Body::Shutdown, now);
            self.over = Some(Over::Left);
            self.step(now);
        }
    }

    /// How it goes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (rtt, variance) = self.receiver.rtt();
        let measured =
            |value| if self.receiver.is_measured() { Duration::from_micros(value) } else { Duration::ZERO };
        Stats {
            rtt: measured(rtt),
            rtt_variance: measured(variance),
            latency: Duration::from_micros(self.latency),
            drift: self.receiver.drift(),
            ..self.stats
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("encrypted", &self.is_encrypted())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
