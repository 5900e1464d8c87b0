//! The side that calls, and two that meet (rendezvous).

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use super::crypto::{Crypto, Entropy, Fault, KeyLength};
use super::handshake::{Extension, FLAGS, Handshake, MAGIC, Purpose, VERSION, address, extension};
use super::listener::{acceptable, reject};
use super::packet::{Body, Control, Packet};
use super::session::{Session, Terms};
use super::stream_id::StreamId;
use super::{Micros, Settings, low, micros};
use crate::{Error, Result};

/// How often the other side is called.
const AGAIN: Micros = 250_000;

/// How two come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One calls a listener.
    #[default]
    Caller,
    /// Both call each other, from the port that the other calls.
    Rendezvous,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Induction,
    Conclusion,
    /// Nothing of the other one has come.
    Wave,
    /// We ask and the other answers, or the other way around.
    Ask,
    Answer,
    Over,
}

/// One that calls: datagrams go in and come out until there is a [`Session`].
pub struct Caller {
    settings: Settings,
    stream: StreamId,
    mode: Mode,
    to: IpAddr,
    id: u32,
    peer: u32,
    /// The listener's, or ours.
    cookie: u32,
    first: u32,
    entropy: Entropy,
    crypto: Option<Crypto>,
    step: Step,
    begun: Micros,
    zero: Micros,
    /// When we call again.
    at: Micros,
    out: VecDeque<Bytes>,
}

impl Caller {
    /// Calls whoever is there. `seed` must be random, and another each time.
    #[must_use]
    pub fn new(
        settings: Settings,
        mode: Mode,
        stream: StreamId,
        to: IpAddr,
        seed: [u8; 32],
        now: Duration,
    ) -> Self {
        let now = micros(now);
        let mut entropy = Entropy::new(seed);
        let (origin, first) = settings.origin;
        let first = first.unwrap_or_else(|| entropy.word()) & 0x7FFF_FFFF;
        let (step, cookie) = match mode {
            Mode::Caller => (Step::Induction, 0),
            Mode::Rendezvous => (Step::Wave, entropy.word()),
        };
        Self {
            settings,
            stream,
            mode,
            to,
            id: (entropy.word() & 0x3FFF_FFFF).max(1),
            peer: 0,
            cookie,
            first,
            entropy,
            crypto: None,
            step,
            begun: now,
            zero: now.wrapping_sub(origin.into()),
            at: now,
            out: VecDeque::new(),
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.copy_from_slice(&self.entropy.bytes(32));
        seed
    }

    fn handshake(&self, purpose: Purpose) -> Handshake {
        Handshake {
            version: 5,
            encryption: 0,
            extensions: 0,
            first: self.first,
            mtu: 1500,
            window: self.settings.window(),
            purpose,
            id: self.id,
            cookie: self.cookie,
            address: address(self.to),
            extra: Vec::new(),
        }
    }

    /// What both want, with what is asked for.
    fn question(&self) -> Handshake {
        let latency = self.settings.latency_millis();
        let mut handshake = self.handshake(Purpose::Conclusion);
        handshake.extensions = extension::HELLO;
        handshake.extra.push(Extension::Hello {
            request: true,
            version: VERSION,
            flags: FLAGS,
            receiver: latency,
            sender: latency,
        });
        if let Some(crypto) = &self.crypto {
            handshake.encryption = crypto.length().field();
            handshake.extensions |= extension::KEYS;
            handshake.extra.push(Extension::Keys { request: true, message: crypto.offer() });
        }
        if !self.stream.expose().is_empty() {
            handshake.extensions |= extension::CONFIG;
            handshake.extra.push(Extension::Stream(self.stream.clone()));
        }
        handshake
    }

    fn packet(&self, handshake: Handshake, to: u32, now: Micros) -> Bytes {
        let time = low(now.wrapping_sub(self.zero));
        Control { time, to, body: Body::Handshake(handshake) }.build()
    }

    fn say(&mut self, now: Micros) {
        let (handshake, to) = match self.step {
            Step::Induction => {
                (Handshake { version: 4, extensions: 2, ..self.handshake(Purpose::Induction) }, 0)
            }
            Step::Conclusion => (self.question(), 0),
            Step::Wave => {
                let length = self.settings.passphrase.as_ref().map(|_| self.settings.key_length.field());
                (Handshake { encryption: length.unwrap_or(0), ..self.handshake(Purpose::Wave) }, 0)
            }
            Step::Ask => (self.question(), self.peer),
            Step::Answer => (self.handshake(Purpose::Conclusion), self.peer),
            Step::Over => return,
        };
        let packet = self.packet(handshake, to, now);
        self.out.push_back(packet);
        self.at = now.saturating_add(AGAIN);
    }

    /// Calls again where it is time.
    ///
    /// # Errors
    /// [`Error::Refused`] where nobody has answered for too long.
    pub fn tick(&mut self, now: Duration) -> Result<()> {
        let now = micros(now);
        if now >= self.begun.saturating_add(micros(self.settings.patience)) {
            return Err(refused("nobody has answered"));
        }
        if now >= self.at {
            self.say(now);
        }
        Ok(())
    }

    /// When [`tick`](Self::tick) has something to do.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_micros(self.at.min(self.begun.saturating_add(micros(self.settings.patience))))
    }

    /// The next datagram that is to be sent.
    pub fn outgoing(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Takes a datagram of the other side. Gives the session once there is one; datagrams that are still to be sent are the
    /// session's then.
    ///
    /// # Errors
    /// [`Error::Refused`] where the other side says no, or says what doesn't fit.
    pub fn receive(&mut self, datagram: &[u8], now: Duration) -> Result<Option<Box<Session>>> {
        let now = micros(now);
        let Ok(Packet::Control(Control { time, to, body: Body::Handshake(heard) })) = Packet::parse(datagram)
        else {
            return Ok(None);
        };
        if to != self.id && !(to == 0 && self.mode == Mode::Rendezvous) {
            return Ok(None);
        }
        if let Purpose::Reject(code) = heard.purpose {
            self.step = Step::Over;
            return Err(refused(reject::reason(code)));
        }
        match (self.step, heard.purpose) {
            (Step::Induction, Purpose::Induction) => {
                if heard.version != 5 || heard.extensions != MAGIC {
                    return Err(refused(reject::reason(reject::VERSION)));
                }
                self.cookie = heard.cookie;
                self.lock(heard.encryption)?;
                self.step = Step::Conclusion;
                self.say(now);
                Ok(None)
            }
            (Step::Conclusion, Purpose::Conclusion) => self.answered(&heard, time, now).map(Some),
            (Step::Wave, Purpose::Wave | Purpose::Conclusion) => {
                self.meet(&heard)?;
                self.met(&heard, time, now)
            }
            (Step::Ask | Step::Answer, Purpose::Wave | Purpose::Conclusion) => self.met(&heard, time, now),
            _ => Ok(None),
        }
    }

    /// Makes keys, of the length that the other side wants if it says one.
    fn lock(&mut self, field: u16) -> Result<()> {
        if let Some(passphrase) = self.settings.passphrase.clone() {
            let length = KeyLength::of_field(field).unwrap_or(self.settings.key_length);
            let seed = self.seed();
            self.crypto = Crypto::new(&passphrase, length, self.settings.refresh, seed);
            if self.crypto.is_none() {
                return Err(refused("no key could be made"));
            }
        }
        Ok(())
    }

    /// Who has the larger cookie asks.
    fn meet(&mut self, heard: &Handshake) -> Result<()> {
        self.peer = heard.id;
        let difference = self.cookie.wrapping_sub(heard.cookie).cast_signed();
        self.step = match difference {
            0 => return Err(refused(reject::reason(reject::COOKIE))),
            1.. => Step::Ask,
            _ => Step::Answer,
        };
        if self.step == Step::Ask {
            self.lock(heard.encryption)?;
        }
        Ok(())
    }

    fn met(&mut self, heard: &Handshake, time: u32, now: Micros) -> Result<Option<Box<Session>>> {
        if heard.id != self.peer {
            return Ok(None);
        }
        match self.step {
            Step::Ask if heard.hello(false).is_some() => {
                let agreement = self.packet(self.handshake(Purpose::Agreement), self.peer, now);
                let mut session = self.answered(heard, time, now)?;
                session.answer(agreement);
                Ok(Some(session))
            }
            Step::Answer if heard.hello(true).is_some() => self.answer(heard, time, now).map(Some),
            _ => {
                self.say(now);
                Ok(None)
            }
        }
    }

    /// What we asked for was answered.
    fn answered(&mut self, heard: &Handshake, stamp: u32, now: Micros) -> Result<Box<Session>> {
        self.step = Step::Over;
        let (_, _, receiver, sender) =
            acceptable(heard, false).map_err(|code| refused(reject::reason(code)))?;
        if let Some(crypto) = &self.crypto {
            match heard.keys(false) {
                Some(message) if *message == crypto.offer() => {}
                Some(message) if message.len() == 4 && message.ends_with(&[4]) => {
                    return Err(refused(reject::reason(reject::BAD_SECRET)));
                }
                _ => return Err(refused(reject::reason(reject::UNSECURE))),
            }
        }
        let ours = self.settings.latency_millis();
        Ok(self.session(heard, stamp, ours.max(sender), ours.max(receiver), now))
    }

    /// Answers what the other one asks.
    fn answer(&mut self, heard: &Handshake, stamp: u32, now: Micros) -> Result<Box<Session>> {
        let refuse = |code| refused(reject::reason(code));
        let (_, _, receiver, sender) = acceptable(heard, true).map_err(refuse)?;
        let seed = self.seed();
        self.crypto = match (&self.settings.passphrase, heard.keys(true)) {
            (None, None) => None,
            (Some(passphrase), Some(message)) => {
                let answer = Crypto::answer(passphrase, message, self.settings.refresh, seed);
                Some(answer.map_err(|fault| match fault {
                    Fault::Malformed => refuse(reject::ROGUE),
                    Fault::BadSecret => refuse(reject::BAD_SECRET),
                })?)
            }
            _ => return Err(refuse(reject::UNSECURE)),
        };
        let ours = self.settings.latency_millis();
        let (latency, peer_latency) = (ours.max(sender), ours.max(receiver));
        let mut handshake = self.handshake(Purpose::Conclusion);
        handshake.extensions = extension::HELLO;
        handshake.extra.push(Extension::Hello {
            request: false,
            version: VERSION,
            flags: FLAGS,
            receiver: latency,
            sender: peer_latency,
        });
        if let (Some(crypto), Some(message)) = (&self.crypto, heard.keys(true)) {
            handshake.encryption = crypto.length().field();
            handshake.extensions |= extension::KEYS;
            handshake.extra.push(Extension::Keys { request: false, message: message.clone() });
        }
        self.step = Step::Over;
        let reply = self.packet(handshake, self.peer, now);
        let mut session = self.session(heard, stamp, latency, peer_latency, now);
        session.answer(reply);
        Ok(session)
    }

    fn session(
        &mut self,
        heard: &Handshake,
        stamp: u32,
        latency: u16,
        peer_latency: u16,
        now: Micros,
    ) -> Box<Session> {
        let terms = Terms {
            id: self.id,
            peer: heard.id,
            zero: self.zero,
            stamp,
            first: self.first,
            their_first: heard.first,
            window: heard.window,
            latency,
            peer_latency,
            crypto: self.crypto.take(),
        };
        Box::new(Session::new(&self.settings, terms, now))
    }
}

fn refused(reason: &str) -> Error {
    Error::Refused { what: "the connection", reason: reason.to_owned() }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("mode", &self.mode).field("id", &self.id).finish_non_exhaustive()
    }
}
