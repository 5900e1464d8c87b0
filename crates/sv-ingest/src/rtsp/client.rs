//! The side that plays what another server has: DESCRIBE, SETUP, PLAY, on one connection.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sv_core::{Item, Limits};

use super::auth::{Challenge, Secret};
use super::message::{Headers, Message, Parser, Request, Response};
use super::receiver::{Receiver, is_known};
use super::sdp::{self, Media};
use crate::{Error, Result};

/// How long a session lasts that says nothing of it, unless something is said.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where a stream is to be had: `rtsp://USER:PASSWORD@HOST:PORT/PATH`.
#[derive(Clone)]
pub struct Address {
    /// The machine.
    pub host: String,
    /// Its port.
    pub port: u16,
    path: String,
    secret: Option<Secret>,
}

impl Address {
    /// Reads a URL. Errors say nothing of what stands in it, since a password may.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |problem| Error::InvalidInput { what: "where to pull from".into(), problem };
        let rest = url.strip_prefix("rtsp://").ok_or(wrong("it must begin with rtsp://"))?;
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong("its port is no number"))?)
            }
            _ => (place, 554),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || path.chars().any(|c| c.is_control() || c == ' ') {
            return Err(wrong("it must name a host, and have no spaces"));
        }
        let secret = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            Secret::new(&decoded(name), &decoded(password))
        });
        Ok(Self { host: host.to_owned(), port, path: path.to_owned(), secret })
    }

    /// Without the password.
    fn url(&self) -> String {
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("rtsp://{}{}{}:{}/{}", brackets.0, self.host, brackets.1, self.port, self.path)
    }
}

/// What stands for itself and what stands behind percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        (bytes, rest) = match hex.filter(|_| *first == b'%') {
            Some(byte) => ([&bytes[..], &[byte]].concat(), more.get(2..).unwrap_or_default()),
            None => ([&bytes[..], &[*first]].concat(), more),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Address {
    /// Without what may be secret: user, password, and what stands behind a question mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url().split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard {
    /// Media begin to come.
    Playing,
    /// A track or a packet.
    Item(Item),
}

/// One connection to a server, without a socket, clock or thread.
pub struct Client {
    address: Address,
    base: String,
    parser: Parser,
    limits: Limits,
    sequence: u32,
    /// What was asked for and has not been answered.
    asked: Option<(&'static str, String, Headers)>,
    challenge: Option<Challenge>,
    nonce: String,
    session: Option<String>,
    timeout: Duration,
    said: Duration,
    /// Media that are not set up.
    waiting: VecDeque<Media>,
    receiver: Receiver,
    media: usize,
    playing: bool,
    out: Vec<Bytes>,
    events: VecDeque<Heard>,
}

fn refused(what: &'static str, reason: impl Into<String>) -> Error {
    Error::Refused { what, reason: reason.into() }
}

impl Client {
    /// Begins to ask for what is there. `nonce` is a word of letters and digits that nobody guesses.
    #[must_use]
    pub fn new(address: Address, limits: Limits, nonce: impl Into<String>) -> Self {
        let base = address.url();
        let mut client = Self {
            address,
            base: base.clone(),
            parser: Parser::new(),
            limits,
            sequence: 0,
            asked: None,
            challenge: None,
            nonce: nonce.into(),
            session: None,
            timeout: TIMEOUT,
            said: Duration::ZERO,
            waiting: VecDeque::new(),
            receiver: Receiver::new(),
            media: 0,
            playing: false,
            out: Vec::new(),
            events: VecDeque::new(),
        };
        client.ask("DESCRIBE", base, Headers::default().with("Accept", "application/sdp"));
        client
    }

    /// Bytes have come, so long after the beginning.
    ///
    /// # Errors
    /// When the server refuses, or breaks the protocol.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Result<()> {
        self.parser.push(bytes);
        while let Some(message) = self.parser.message()? {
            match message {
                Message::Response(response) => self.response(&response)?,
                Message::Interleaved { channel, data } => {
                    let (number, control) = (usize::from(channel >> 1), channel & 1 == 1);
                    let events = &mut self.events;
                    if control {
                        self.receiver.control(number, &data);
                    } else {
                        self.receiver
                            .packet(number, data, now, &mut |item| events.push_back(Heard::Item(item)));
                    }
                }
                Message::Request(request) => {
                    let number = request.headers.get("cseq").unwrap_or_default();
                    self.out.push(Response::new(501).with("CSeq", number).build());
                }
            }
            if self.events.len() > 4096 {
                return Err(Error::LimitExceeded { what: "what waits to be heard", limit: 4096 });
            }
        }
        self.tick(now);
        Ok(())
    }

    /// So late it is: the server is told that somebody is there.
    pub fn tick(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.said);
        if self.playing && self.asked.is_none() && passed >= self.timeout.checked_div(2).unwrap_or(TIMEOUT) {
            self.said = now;
            self.ask("OPTIONS", self.base.clone(), Headers::default());
        }
    }

    /// What happens next.
    pub fn event(&mut self) -> Option<Heard> {
        self.events.pop_front()
    }

    /// What is to be sent.
    pub fn outgoing(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out)
    }

    /// Says good-bye.
    pub fn close(&mut self) {
        if self.session.is_some() {
            self.ask("TEARDOWN", self.base.clone(), Headers::default());
        }
    }

    fn ask(&mut self, method: &'static str, url: String, headers: Headers) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut all =
            headers.clone().with("CSeq", self.sequence.to_string()).with("User-Agent", "streamverse");
        if let Some(session) = &self.session {
            all = all.with("Session", session);
        }
        if let (Some(challenge), Some(secret)) = (&mut self.challenge, &self.address.secret) {
            all = all.with("Authorization", challenge.answer(secret, method, &url, &self.nonce));
        }
        let request =
            Request { method: method.to_owned(), url: url.clone(), headers: all, body: Bytes::new() };
        self.out.push(request.build());
        self.asked = Some((method, url, headers));
    }

    fn response(&mut self, response: &Response) -> Result<()> {
        let Some((method, url, headers)) = self.asked.take() else { return Ok(()) };
        if response.status == 401 {
            let first = self.challenge.is_none();
            let best = Challenge::best(response.headers.all("www-authenticate"));
            let again = best.filter(|best| self.address.secret.is_some() && (first || best.stale()));
            self.challenge = Some(
                again.ok_or_else(|| refused("the stream", "its server asks for another user or password"))?,
            );
            self.ask(method, url, headers);
            return Ok(());
        }
        if !(200..300).contains(&response.status) {
            // Some servers know no OPTIONS inside of a session, and it was they who were told that we are there.
            if matches!(method, "OPTIONS" | "TEARDOWN") {
                return Ok(());
            }
            return Err(refused("the stream", format!("its server answers {} to {method}", response.status)));
        }
        match method {
            "DESCRIBE" => {
                if let Some(base) =
                    response.headers.get("content-base").or(response.headers.get("content-location"))
                {
                    self.base = base.trim().to_owned();
                }
                let media = sdp::parse(&response.body)?;
                self.waiting = media.into_iter().filter(is_known).collect();
                if self.waiting.is_empty() {
                    return Err(refused(
                        "the stream",
                        "it has no pictures or sound in a coding that is known here",
                    ));
                }
                self.set_up();
            }
            "SETUP" => {
                if let Some(session) = response.headers.get("session") {
                    let mut parts = session.split(';');
                    self.session = parts.next().map(|id| id.trim().to_owned());
                    let seconds = parts.find_map(|part| part.trim().strip_prefix("timeout=")?.parse().ok());
                    self.timeout = seconds.filter(|s| *s > 1).map_or(self.timeout, Duration::from_secs);
                }
                self.set_up();
            }
            "PLAY" => {
                self.playing = true;
                self.events.push_back(Heard::Playing);
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks for the next medium, or for all of them to begin.
    fn set_up(&mut self) {
        let Some(media) = self.waiting.pop_front() else {
            return self.ask("PLAY", self.base.clone(), Headers::default().with("Range", "npt=0.000-"));
        };
        // Its number is also that of its channels: all that are asked for are understood.
        let (first, _) = (self.media.saturating_mul(2), self.receiver.add(&media, self.limits));
        self.media = self.media.saturating_add(1);
        let url = match media.control.as_str() {
            "" | "*" => self.base.clone(),
            whole if whole.contains("://") => whole.to_owned(),
            part => format!("{}/{part}", self.base.trim_end_matches('/')),
        };
        let transport = format!("RTP/AVP/TCP;unicast;interleaved={first}-{}", first.saturating_add(1));
        self.ask("SETUP", url, Headers::default().with("Transport", transport));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("playing", &self.playing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_no_password() {
        let address = Address::parse("rtsp://me:p%40ss@[2001:db8::1]:8554/a/b?token=x").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("2001:db8::1", 8554));
        assert_eq!(format!("{address} {address:?}").matches("rtsp://[2001:db8::1]:8554/a/b").count(), 2);
        let told =
            format!("{address} {address:?} {:?}", Client::new(address.clone(), Limits::default(), "n"));
        assert!(!told.contains("p@ss") && !told.contains("p%40ss") && !told.contains("token"), "{told}");
        assert_eq!(Address::parse("rtsp://host/x").unwrap().port, 554);
        for wrong in ["http://a/b", "rtsp://", "rtsp://a:x/b", "rtsp://a/b c"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
