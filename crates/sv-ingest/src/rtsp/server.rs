//! The side to which streams are recorded: ANNOUNCE, SETUP, RECORD.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sv_core::{Item, Limits};

use super::auth::{Proof, REALM, word};
use super::message::{Message, Parser, Request, Response};
use super::receiver::{Receiver, is_known};
use super::sdp::{self, Media};
use crate::health::Link;
use crate::rtmp::Name;
use crate::{Error, Result};

/// What happens on a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Somebody wants to send: to be answered by [`Server::accept`] or [`Server::refuse`].
    Publish {
        /// The first part of the address's path.
        app: String,
        /// The rest, which may be a secret, or the password that was shown in its place.
        name: Name,
        /// That a password is known, which was not said.
        proof: Option<Proof>,
    },
    /// A medium will come by UDP: to be answered by [`Server::ports`].
    Udp {
        /// Which.
        medium: usize,
        /// From which ports packets of RTP and RTCP come.
        from: (u16, u16),
    },
    /// Media begin to come.
    Record,
    /// A track or a packet.
    Item(Item),
    /// The other side has ended it.
    Ended,
}

/// One connection, without a socket, clock or thread.
pub struct Server {
    parser: Parser,
    limits: Limits,
    session: String,
    state: State,
    media: Vec<Media>,
    ways: Vec<Way>,
    receiver: Receiver,
    /// The number of the request that waits for an answer.
    waits: Option<String>,
    shown: bool,
    /// What digests have to be made with, where they are taken.
    nonce: Option<String>,
    out: Vec<Bytes>,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was announced.
    New,
    /// Whether it may is being decided.
    Asked,
    /// It may.
    Ready,
    Recording,
    Over,
}

/// How a medium comes.
#[derive(Debug)]
struct Way {
    medium: usize,
    /// Its number in the receiver; nothing where it isn't understood.
    number: Option<usize>,
    /// Channels of RTP and RTCP; nothing by UDP.
    channels: Option<(u8, u8)>,
}

impl Server {
    /// Nothing has come. `session` names the session, and should be unguessable.
    #[must_use]
    pub fn new(limits: Limits, session: impl Into<String>) -> Self {
        Self {
            parser: Parser::new(),
            limits,
            session: session.into(),
            state: State::New,
            media: Vec::new(),
            ways: Vec::new(),
            receiver: Receiver::new(),
            waits: None,
            shown: false,
            nonce: None,
            out: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Also takes digests ([RFC 7616](https://www.rfc-editor.org/rfc/rfc7616)) of passwords, and asks for them before it asks
    /// for passwords.
    #[must_use]
    pub fn digests(mut self) -> Self {
        self.nonce = Some(word(&self.session));
        self
    }

    /// Bytes have come, so long after the beginning.
    ///
    /// # Errors
    /// When they are none of RTSP: the connection is of no more use.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Result<()> {
        self.parser.push(bytes);
        while let Some(message) = self.parser.message()? {
            match message {
                Message::Request(request) => self.request(&request),
                Message::Interleaved { channel, data } => self.interleaved(channel, data, now),
                Message::Response(_) => {}
            }
            if self.events.len() > 4096 {
                return Err(Error::LimitExceeded { what: "what waits to be heard", limit: 4096 });
            }
        }
        Ok(())
    }

    /// A datagram of a medium has come by UDP.
    pub fn datagram(&mut self, medium: usize, control: bool, data: &[u8], now: Duration) {
        let known = self.ways.iter().find(|way| way.medium == medium && way.channels.is_none());
        if let Some(number) = known.and_then(|way| way.number) {
            self.media_packet(number, control, Bytes::copy_from_slice(data), now);
        }
    }

    /// So late it is.
    pub fn tick(&mut self, now: Duration) {
        let events = &mut self.events;
        self.receiver.tick(now, &mut |item| events.push_back(Event::Item(item)));
    }

    /// What is known of the line since this was asked last.
    pub fn link(&mut self) -> Link {
        self.receiver.link()
    }

    /// What happens next.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent.
    pub fn outgoing(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out)
    }

    /// Whoever wants to send may.
    pub fn accept(&mut self) {
        if self.state == State::Asked {
            self.state = State::Ready;
            self.answer(Response::new(200));
        }
    }

    /// It may not, for a reason.
    pub fn refuse(&mut self, reason: &str) {
        if self.state == State::Asked {
            self.state = State::New;
            // Who has shown nothing may have something to show.
            let response = if self.shown { Response::new(403) } else { self.unauthorized(false) };
            self.answer(Response {
                body: Bytes::from(format!("{reason}\r\n")),
                ..response.with("Content-Type", "text/plain")
            });
        }
    }

    /// The medium that was to come by UDP is taken at these ports of ours; none where that can't be.
    pub fn ports(&mut self, medium: usize, from: (u16, u16), ours: Option<(u16, u16)>) {
        let Some((rtp, rtcp)) = ours else {
            self.ways.retain(|way| way.medium != medium);
            return self.answer(Response::new(461));
        };
        let transport = format!(
            "RTP/AVP/UDP;unicast;client_port={}-{};server_port={rtp}-{rtcp};mode=record",
            from.0, from.1
        );
        self.answer(Response::new(200).with("Transport", transport).with("Session", self.session.clone()));
    }

    fn answer(&mut self, response: Response) {
        let number = self.waits.take().unwrap_or_default();
        self.out.push(response.with("CSeq", number).build());
    }

    /// What can be shown, the strongest first. FFmpeg keeps the last digest of those that are offered, and knows MD5 alone.
    fn unauthorized(&self, stale: bool) -> Response {
        let mut response = Response::new(401);
        if let Some(nonce) = &self.nonce {
            let stale = if stale { ", stale=true" } else { "" };
            for algorithm in ["SHA-256", "MD5"] {
                let offer = format!(
                    "Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}{stale}"
                );
                response = response.with("WWW-Authenticate", offer);
            }
        }
        response.with("WWW-Authenticate", format!("Basic realm=\"{REALM}\""))
    }

    fn interleaved(&mut self, channel: u8, data: Bytes, now: Duration) {
        let of = |way: &&Way| way.channels.is_some_and(|(a, b)| a == channel || b == channel);
        let Some(way) = self.ways.iter().find(of) else { return };
        let control = way.channels.is_some_and(|(_, b)| b == channel);
        if let Some(number) = way.number {
            self.media_packet(number, control, data, now);
        }
    }

    fn media_packet(&mut self, number: usize, control: bool, data: Bytes, now: Duration) {
        if self.state != State::Recording {
            return;
        }
        if control {
            self.receiver.control(number, &data);
        } else {
            let events = &mut self.events;
            self.receiver.packet(number, data, now, &mut |item| events.push_back(Event::Item(item)));
        }
    }

    fn request(&mut self, request: &Request) {
        let number = request.headers.get("cseq").unwrap_or_default().to_owned();
        if self.waits.replace(number).is_some() {
            // Who doesn't wait for an answer is nobody who was let in.
            self.state = State::Over;
            self.answer(Response::new(455));
            self.events.push_back(Event::Ended);
            return;
        }
        match (request.method.as_str(), self.state) {
            ("OPTIONS", _) => {
                let all = "OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
                self.answer(Response::new(200).with("Public", all));
            }
            ("GET_PARAMETER" | "SET_PARAMETER", _) => {
                self.answer(Response::new(200).with("Session", self.session.clone()));
            }
            ("ANNOUNCE", State::New) => self.announce(request),
            ("SETUP", State::Ready) => self.setup(request),
            ("RECORD", State::Ready) if !self.ways.is_empty() => {
                self.state = State::Recording;
                self.answer(Response::new(200).with("Session", self.session.clone()));
                self.events.push_back(Event::Record);
            }
            ("TEARDOWN", _) => {
                self.state = State::Over;
                self.answer(Response::new(200));
                self.events.push_back(Event::Ended);
            }
            ("ANNOUNCE" | "SETUP" | "RECORD", _) => self.answer(Response::new(455)),
            ("DESCRIBE" | "PLAY" | "PAUSE" | "REDIRECT", _) => self.answer(Response::new(405)),
            _ => self.answer(Response::new(501)),
        }
    }

    fn announce(&mut self, request: &Request) {
        let media = match sdp::parse(&request.body) {
            Ok(media) if media.iter().any(is_known) => media,
            Ok(_) => return self.answer(Response::new(415)),
            Err(_) => return self.answer(Response::new(400)),
        };
        let path = request
            .url
            .split_once("://")
            .map_or("", |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let path = path.trim_end_matches('/');
        let (app, name) = path.split_once('/').unwrap_or(("", path));
        let said = request.headers.get("authorization");
        let password = said.and_then(basic);
        let proof = said.and_then(|said| Proof::parse(said, &request.method, &request.url));
        if proof.as_ref().is_some_and(|proof| self.nonce.as_deref() != Some(proof.nonce())) {
            // One of another connection, or made up: with that of this one it may be right.
            return self.answer(self.unauthorized(true));
        }
        self.shown = password.is_some() || proof.is_some();
        (self.media, self.state) = (media, State::Asked);
        let name = Name::new(password.unwrap_or_else(|| name.to_owned()));
        self.events.push_back(Event::Publish { app: app.to_owned(), name, proof });
    }

    fn setup(&mut self, request: &Request) {
        let ends = |media: &Media| {
            !media.control.is_empty() && request.url.trim_end_matches('/').ends_with(&media.control)
        };
        let only = (self.media.len() == 1).then_some(0);
        let Some(medium) = self.media.iter().position(ends).or(only) else {
            return self.answer(Response::new(404));
        };
        if self.ways.iter().any(|way| way.medium == medium) {
            return self.answer(Response::new(455));
        }
        // The first that can be is taken.
        let all = request.headers.all("transport").flat_map(|value| value.split(','));
        for transport in all {
            let mut parts = transport.split(';').map(str::trim);
            let profile = parts.next().unwrap_or_default().to_ascii_uppercase();
            let value = |name: &str| {
                transport
                    .split(';')
                    .map(str::trim)
                    .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            };
            let pair = |name: &str| {
                let (a, b) = value(name)?.split_once('-')?;
                Some((a.parse::<u16>().ok()?, b.parse::<u16>().ok()?))
            };
            if profile == "RTP/AVP/TCP" {
                let next = u16::try_from(self.ways.len().saturating_mul(2)).unwrap_or(0);
                let (rtp, rtcp) = pair("interleaved").unwrap_or((next, next.saturating_add(1)));
                let (Ok(a), Ok(b)) = (u8::try_from(rtp), u8::try_from(rtcp)) else { continue };
                let taken =
                    |way: &Way| way.channels.is_some_and(|(c, d)| [a, b].contains(&c) || [a, b].contains(&d));
                if a == b || self.ways.iter().any(taken) {
                    continue;
                }
                self.add(medium, Some((a, b)));
                let transport = format!("RTP/AVP/TCP;unicast;interleaved={a}-{b};mode=record");
                return self.answer(
                    Response::new(200).with("Transport", transport).with("Session", self.session.clone()),
                );
            }
            if matches!(profile.as_str(), "RTP/AVP" | "RTP/AVP/UDP")
                && let Some(from) = pair("client_port")
            {
                self.add(medium, None);
                self.events.push_back(Event::Udp { medium, from });
                return;
            }
        }
        self.answer(Response::new(461));
    }

    fn add(&mut self, medium: usize, channels: Option<(u8, u8)>) {
        let number = self.media.get(medium).and_then(|media| self.receiver.add(media, self.limits));
        self.ways.push(Way { medium, number, channels });
    }
}

/// The password of an authorisation ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)).
fn basic(value: &str) -> Option<String> {
    use base64::Engine as _;
    let (scheme, coded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = base64::engine::general_purpose::STANDARD.decode(coded.trim()).ok()?;
    let plain = String::from_utf8(plain).ok()?;
    Some(plain.split_once(':')?.1.to_owned()).filter(|password| !password.is_empty())
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("state", &self.state)
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=control:streamid=0\r\n";

    fn ask(server: &mut Server, text: &str) -> String {
        server.receive(text.replace('\n', "\r\n").as_bytes(), Duration::ZERO).unwrap();
        server.outgoing().iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    }

    fn announce(server: &mut Server, more: &str) -> String {
        let head = format!(
            "ANNOUNCE rtsp://host/live/key RTSP/1.0\nCSeq: 2\n{more}Content-Length: {}\n\n",
            SDP.len()
        );
        server.receive(head.replace('\n', "\r\n").as_bytes(), Duration::ZERO).unwrap();
        server.receive(SDP.as_bytes(), Duration::ZERO).unwrap();
        server.outgoing().iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    }

    #[test]
    fn a_stream_is_announced_and_recorded() {
        let mut server = Server::new(Limits::default(), "abc");
        assert!(ask(&mut server, "OPTIONS * RTSP/1.0\nCSeq: 1\n\n").contains("RECORD"));
        assert!(
            ask(&mut server, "RECORD rtsp://host/live/key RTSP/1.0\nCSeq: 1\n\n").starts_with("RTSP/1.0 455")
        );
        assert_eq!(announce(&mut server, ""), "");
        let Some(Event::Publish { app, name, .. }) = server.event() else { panic!() };
        assert_eq!((app.as_str(), name.expose()), ("live", "key"));
        server.accept();
        assert!(server.outgoing()[0].starts_with(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\n"));
        let setup = "SETUP rtsp://host/live/key/streamid=0 RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\n\n";
        assert!(ask(&mut server, setup).contains("interleaved=0-1;mode=record"));
        assert!(
            ask(&mut server, "RECORD rtsp://host/live/key RTSP/1.0\nCSeq: 4\n\n").contains("Session: abc")
        );
        assert!(matches!(server.event(), Some(Event::Record)));
        let packet = [&[0x80, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0xFC, 1, 2]].concat();
        server.receive(&super::super::message::interleaved(0, &packet), Duration::ZERO).unwrap();
        assert!(matches!(server.event(), Some(Event::Item(Item::Track(_)))));
        assert!(matches!(server.event(), Some(Event::Item(Item::Packet(_)))));
        assert!(
            ask(&mut server, "TEARDOWN rtsp://host/live/key RTSP/1.0\nCSeq: 5\n\n")
                .starts_with("RTSP/1.0 200")
        );
        assert!(matches!(server.event(), Some(Event::Ended)));
    }

    #[test]
    fn a_password_is_asked_for_and_taken_for_the_key() {
        let mut server = Server::new(Limits::default(), "abc");
        announce(&mut server, "");
        server.refuse("no");
        let said = String::from_utf8(server.outgoing()[0].to_vec()).unwrap();
        assert!(said.starts_with("RTSP/1.0 401") && said.contains("Basic realm="), "{said}");
        server.event();
        // "anybody:secret".
        announce(&mut server, "Authorization: Basic YW55Ym9keTpzZWNyZXQ=\n");
        let Some(Event::Publish { name, .. }) = server.event() else { panic!() };
        assert_eq!(name.expose(), "secret");
        server.refuse("no");
        assert!(server.outgoing()[0].starts_with(b"RTSP/1.0 403"));
    }

    #[test]
    fn a_digest_is_asked_for_and_made_with_this_connections_word() {
        let mut server = Server::new(Limits::default(), "abc").digests();
        announce(&mut server, "");
        server.refuse("no");
        let said = String::from_utf8(server.outgoing()[0].to_vec()).unwrap();
        let nonce = said.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(said.matches("WWW-Authenticate: Digest").count() == 2 && !nonce.contains("abc"), "{said}");
        server.event();
        let header = |nonce: &str| {
            format!(
                "Authorization: Digest username=\"studio\", realm=\"streams\", nonce=\"{nonce}\", \
                 uri=\"rtsp://host/live/key\", response=\"00\"\n"
            )
        };
        let said = announce(&mut server, &header("another"));
        assert!(said.starts_with("RTSP/1.0 401") && said.contains("stale=true"), "{said}");
        assert!(server.event().is_none());
        announce(&mut server, &header(&nonce));
        let Some(Event::Publish { proof: Some(proof), .. }) = server.event() else { panic!() };
        assert!(!proof.is_of(&super::super::Digests::new("studio", "a key")));
        server.refuse("no");
        assert!(server.outgoing()[0].starts_with(b"RTSP/1.0 403"));
    }
}
