//! The side that waits to be called.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::crypto::{Crypto, Entropy, Fault, KeyLength};
use super::handshake::{Extension, FLAGS, Handshake, MAGIC, Purpose, STREAM, VERSION, address, extension};
use super::packet::{Body, Control, Packet};
use super::session::{Session, Terms};
use super::stream_id::StreamId;
use super::{Settings, low, micros};

/// Why somebody isn't let in, as handshakes tell it.
pub mod reject {
    /// For no reason that is told.
    pub const UNKNOWN: u32 = 1000;
    /// There is no room.
    pub const RESOURCE: u32 = 1003;
    /// What it said makes no sense.
    pub const ROGUE: u32 = 1004;
    /// It is from before version 1.3.
    pub const VERSION: u32 = 1008;
    /// Two that meet have the same cookie.
    pub const COOKIE: u32 = 1009;
    /// Another passphrase.
    pub const BAD_SECRET: u32 = 1010;
    /// One side has a passphrase and the other none.
    pub const UNSECURE: u32 = 1011;
    /// A stream of bytes, or files.
    pub const MESSAGE_API: u32 = 1012;
    /// Control of congestion that isn't for live streams.
    pub const CONGESTION: u32 = 1013;
    /// A packet filter.
    pub const FILTER: u32 = 1014;
    /// A group of connections.
    pub const GROUP: u32 = 1015;
    /// The stream id makes no sense (1400 of the standard for access control).
    pub const BAD_REQUEST: u32 = 2400;
    /// It isn't known who that is (1401).
    pub const UNAUTHORIZED: u32 = 2401;
    /// There is too much of it (1402).
    pub const OVERLOAD: u32 = 2402;
    /// It may not (1403).
    pub const FORBIDDEN: u32 = 2403;
    /// There is no such stream (1404).
    pub const NOT_FOUND: u32 = 2404;

    /// What a code means, as a clause.
    #[must_use]
    pub const fn reason(code: u32) -> &'static str {
        match code {
            RESOURCE => "it has no room",
            ROGUE => "what was said makes no sense to it",
            VERSION => "it wants another version",
            COOKIE => "both have the same cookie",
            BAD_SECRET => "it has another passphrase",
            UNSECURE => "one side has a passphrase and the other none",
            MESSAGE_API => "it wants messages, or none",
            CONGESTION => "it wants another control of congestion",
            FILTER => "it wants another packet filter",
            GROUP => "it wants no groups, or one",
            BAD_REQUEST => "the stream id makes no sense to it",
            UNAUTHORIZED => "it doesn't know who that is",
            OVERLOAD => "it has too much to do",
            FORBIDDEN => "that isn't allowed",
            NOT_FOUND => "there is no such stream",
            _ => "it doesn't say why",
        }
    }
}

/// A listener: it answers strangers and keeps nothing of them.
pub struct Listener {
    secret: Zeroizing<[u8; 32]>,
    id: u32,
}

/// What a datagram was.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard {
    /// Nothing that anybody wants.
    Nothing,
    /// A first word: this is the answer.
    Reply(Bytes),
    /// Somebody who is where it says wants something.
    Knock(Box<Knock>),
    /// It is for the session of that number.
    Session(u32),
}

/// Somebody who wants something.
pub struct Knock {
    from: IpAddr,
    handshake: Handshake,
    stamp: u32,
    stream: StreamId,
}

impl Listener {
    /// With a seed that nobody else knows.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let id = Entropy::new(seed).word() & 0x3FFF_FFFF;
        Self { secret: Zeroizing::new(seed), id: id.max(1) }
    }

    /// A number that only who hears datagrams at its address knows, for some minutes.
    fn cookie(&self, from: SocketAddr, minute: u64) -> u32 {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.secret) else { return 0 };
        mac.update(from.to_string().as_bytes());
        mac.update(&minute.to_be_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let [a, b, c, d, ..] = hash;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Takes a datagram that came from there.
    #[must_use]
    pub fn receive(&self, datagram: &[u8], from: SocketAddr, now: Duration) -> Heard {
        let Some(to) = Packet::destination(datagram) else { return Heard::Nothing };
        // Data, and control packets but handshakes, are for whom they say.
        if !datagram.starts_with(&[0x80, 0]) {
            return if to == 0 { Heard::Nothing } else { Heard::Session(to) };
        }
        let Ok(Packet::Control(Control { time, body: Body::Handshake(mut handshake), .. })) =
            Packet::parse(datagram)
        else {
            return Heard::Nothing;
        };
        let minute = now.as_secs() / 60;
        match handshake.purpose {
            Purpose::Induction => {
                let reply = Handshake {
                    version: 5,
                    encryption: 0,
                    extensions: MAGIC,
                    purpose: Purpose::Induction,
                    cookie: self.cookie(from, minute),
                    address: address(from.ip()),
                    extra: Vec::new(),
                    id: self.id,
                    ..handshake
                };
                let body = Body::Handshake(reply);
                Heard::Reply(Control { time: low(micros(now)), to: handshake.id, body }.build())
            }
            Purpose::Conclusion => {
                let near = [minute, minute.saturating_sub(1)];
                let known = near.iter().any(|m| {
                    bool::from(self.cookie(from, *m).to_be_bytes().ct_eq(&handshake.cookie.to_be_bytes()))
                });
                if !known {
                    return Heard::Nothing;
                }
                let stream = handshake.extra.iter_mut().find_map(|e| match e {
                    Extension::Stream(id) => Some(std::mem::take(id)),
                    _ => None,
                });
                let stream = stream.unwrap_or_default();
                Heard::Knock(Box::new(Knock { from: from.ip(), handshake, stamp: time, stream }))
            }
            _ => Heard::Nothing,
        }
    }
}

impl Knock {
    /// What it wants.
    #[must_use]
    pub const fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The number of its end: one that knocks again has the same.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.handshake.id
    }

    /// Whether it means to encrypt.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.handshake.keys(true).is_some()
    }

    /// The datagram that says no, by one of [`reject`]'s codes.
    #[must_use]
    pub fn refuse(&self, code: u32, now: Duration) -> Bytes {
        let reply = Handshake {
            version: 5,
            encryption: 0,
            extensions: 0,
            purpose: Purpose::Reject(code),
            address: address(self.from),
            extra: Vec::new(),
            ..self.handshake
        };
        let body = Body::Handshake(reply);
        Control { time: low(micros(now)), to: self.handshake.id, body }.build()
    }

    /// Lets it in. `id` is the number of our end, which no other session may have; `seed` must be random, and another each time. Gives
    /// the session, whose first datagram is the answer.
    ///
    /// # Errors
    /// One of [`reject`]'s codes, with which it is to be [refused](Self::refuse).
    pub fn accept(
        &self,
        settings: &Settings,
        id: u32,
        seed: [u8; 32],
        now: Duration,
    ) -> Result<Box<Session>, u32> {
        let now = micros(now);
        let mut entropy = Entropy::new(seed);
        let heard = &self.handshake;
        let hello = acceptable(heard, true)?;
        let mut crypto_seed = [0; 32];
        crypto_seed.copy_from_slice(&entropy.bytes(32));
        let crypto = match (&settings.passphrase, heard.keys(true)) {
            (None, None) => None,
            (Some(passphrase), Some(message)) => {
                let answer = Crypto::answer(passphrase, message, settings.refresh, crypto_seed);
                Some(answer.map_err(|fault| match fault {
                    Fault::Malformed => reject::ROGUE,
                    Fault::BadSecret => reject::BAD_SECRET,
                })?)
            }
            _ => return Err(reject::UNSECURE),
        };
        let (_, _, receiver, sender) = hello;
        let ours = settings.latency_millis();
        let (latency, peer_latency) = (ours.max(sender), ours.max(receiver));
        let (origin, first) = settings.origin;
        // Both ways begin with the same keys: other numbers keep them from the same counters.
        let first = first.unwrap_or_else(|| entropy.word()) & 0x7FFF_FFFF;
        let mut extra = vec![Extension::Hello {
            request: false,
            version: VERSION,
            flags: FLAGS,
            receiver: latency,
            sender: peer_latency,
        }];
        let mut extensions = extension::HELLO;
        if let (Some(_), Some(message)) = (&crypto, heard.keys(true)) {
            extra.push(Extension::Keys { request: false, message: message.clone() });
            extensions |= extension::KEYS;
        }
        let reply = Handshake {
            version: 5,
            encryption: crypto.as_ref().map_or(0, |c| c.length().field()),
            extensions,
            first,
            mtu: heard.mtu.min(1500),
            window: settings.window(),
            purpose: Purpose::Conclusion,
            id,
            cookie: heard.cookie,
            address: address(self.from),
            extra,
        };
        let zero = now.wrapping_sub(origin.into());
        let reply = Control { time: origin, to: heard.id, body: Body::Handshake(reply) }.build();
        let terms = Terms {
            id,
            peer: heard.id,
            zero,
            stamp: self.stamp,
            first,
            their_first: heard.first,
            window: heard.window,
            latency,
            peer_latency,
            crypto,
        };
        let mut session = Session::new(settings, terms, now);
        session.answer(reply);
        session.or_from(first);
        Ok(Box::new(session))
    }
}

/// What the other side says of how it works, or why that doesn't fit.
pub(super) fn acceptable(heard: &Handshake, asks: bool) -> Result<(u32, u32, u16, u16), u32> {
    if heard.version < 5 {
        return Err(reject::VERSION);
    }
    let hello = heard.hello(asks).ok_or(reject::ROGUE)?;
    if hello.1 & STREAM != 0 {
        return Err(reject::MESSAGE_API);
    }
    for extra in &heard.extra {
        if let Extension::Other { kind, data } = extra {
            match kind {
                6 if !data.starts_with(b"evil") => return Err(reject::CONGESTION),
                7 => return Err(reject::FILTER),
                8 => return Err(reject::GROUP),
                _ => {}
            }
        }
    }
    if heard.encryption != 0 && KeyLength::of_field(heard.encryption).is_none() {
        return Err(reject::ROGUE);
    }
    Ok(hello)
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Knock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knock").field("from", &self.from).finish_non_exhaustive()
    }
}
