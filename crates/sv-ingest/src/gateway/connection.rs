//! One connection of RTMP: socket, engine, and the streams at its ends.

use std::collections::VecDeque;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use mio::Registry;
use sv_container::flv::{Demuxer, Kind, Muxer};
use sv_core::Item;

use super::door::Place;
use super::shard::{Inbox, Letter, Whom};
use super::tls::Socket;
use super::{Ask, Entrance, Publication, Settings, Verdict};
use crate::feed::{Feed, Next};
use crate::rtmp::{Event, Server};
use crate::{Error, Result};

/// Bytes that wait in the system's stead for who plays; behind that they wait in its feed.
const AHEAD: usize = 256 << 10;
/// Bytes that wait in a feed.
const FEED: usize = 8 << 20;
/// Pieces that are written at once.
const PIECES: usize = 64;
/// Tags that can't be read, one behind the other, until somebody is sent away.
const PATIENCE: u32 = 16;

static SERIAL: AtomicU64 = AtomicU64::new(1);

/// What a connection works with.
pub(super) struct Context<'a> {
    pub(super) entrance: &'a Entrance,
    pub(super) inbox: &'a Arc<Inbox>,
    pub(super) whom: Whom,
}

struct Publishing {
    stream: u32,
    publication: Publication,
    demuxer: Demuxer,
    broken: u32,
}

struct Playing {
    stream: u32,
    feed: Feed,
    muxer: Muxer,
}

pub(super) struct Connection {
    socket: Socket,
    peer: SocketAddr,
    place: Place,
    serial: u64,
    engine: Server,
    app: String,
    out: VecDeque<Bytes>,
    waiting: usize,
    /// When it was last heard of, or began.
    heard: Instant,
    patience: std::time::Duration,
    silence: std::time::Duration,
    over: bool,
    publishing: Vec<Publishing>,
    playing: Vec<Playing>,
}

impl Connection {
    pub(super) fn new(socket: Socket, peer: SocketAddr, place: Place, settings: &Settings) -> Self {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self {
            socket,
            peer,
            place,
            serial,
            engine: Server::new(settings.limits, serial.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            app: String::new(),
            out: VecDeque::new(),
            waiting: 0,
            heard: Instant::now(),
            patience: settings.patience,
            silence: settings.silence,
            over: false,
            publishing: Vec::new(),
            playing: Vec::new(),
        }
    }

    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether the other side is gone.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Why it should be closed, if it has been silent for too long. Who plays says nothing.
    pub(super) fn is_late(&self, now: Instant) -> Option<&'static str> {
        let silent = now.saturating_duration_since(self.heard);
        match (self.publishing.is_empty(), self.playing.is_empty()) {
            (false, _) => (silent > self.silence).then_some("nothing has come for too long"),
            (true, true) => (silent > self.patience).then_some("it took too long to say what it wants"),
            // What waits for it must move.
            (true, false) => {
                (silent > self.silence && self.waiting >= AHEAD).then_some("it doesn't read what it plays")
            }
        }
    }

    /// Reads all that has come. `last` says that nothing will come behind it: then the end is read too, of which nobody
    /// tells again.
    pub(super) fn read(&mut self, buffer: &mut [u8], last: bool, context: &Context<'_>) -> Result<()> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => {
                    self.over = true;
                    return Ok(());
                }
                Ok(count) => {
                    let received = self.engine.receive(buffer.get(..count).unwrap_or_default());
                    // Who has said nothing that is wanted is a stranger for no longer than at first.
                    if !self.publishing.is_empty() {
                        self.heard = Instant::now();
                    }
                    self.events(context)?;
                    self.flush()?;
                    received?;
                    // A buffer that isn't full has taken everything.
                    if self.socket.is_plain() && count < buffer.len() && !last {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("reading from the connection")(error)),
            }
        }
    }

    fn events(&mut self, context: &Context<'_>) -> Result<()> {
        while let Some(event) = self.engine.event() {
            match event {
                Event::Connect { app, .. } => self.app = app,
                Event::Publish { stream, name } | Event::Play { stream, name }
                    if name.expose().is_empty() =>
                {
                    self.engine.refuse(stream, "it has no name");
                }
                Event::Publish { stream, name } => self.ask(true, stream, name, context),
                Event::Play { stream, name } => self.ask(false, stream, name, context),
                Event::Media { stream, kind, millis, body } => self.media(stream, kind, millis, &body)?,
                Event::Stop { stream } => self.stop(stream, "the publisher has stopped"),
            }
        }
        Ok(())
    }

    fn ask(&mut self, publish: bool, stream: u32, name: crate::rtmp::Name, context: &Context<'_>) {
        // What is the stream's name, and may be a secret, isn't the application's.
        let app = self.app.strip_suffix(name.expose()).and_then(|app| app.strip_suffix('/'));
        let app = app.unwrap_or(&self.app).to_owned();
        let ask = Ask::new(publish, "rtmp", app, name.expose(), self.peer);
        let (inbox, to) = (Arc::clone(context.inbox), context.whom);
        context.entrance.ask(ask, move |verdict| inbox.put(Letter::Verdict { to, stream, verdict }));
    }

    /// What was asked for is decided.
    pub(super) fn decided(&mut self, stream: u32, verdict: Verdict, context: &Context<'_>) -> Result<()> {
        match (verdict, self.engine.wants_to_publish(stream)) {
            (_, None) => {}
            (Verdict::Refuse { reason }, Some(_)) => {
                self.engine.refuse(stream, &reason);
            }
            (Verdict::Allow(grant), Some(true)) => {
                self.place.introduce();
                let (inbox, whom) = (Arc::clone(context.inbox), context.whom);
                let replaced = move || inbox.put(Letter::Replaced(whom));
                let publication = context.entrance.publish(&grant, "rtmp", self.peer, replaced);
                self.engine.accept(stream);
                self.heard = Instant::now();
                let demuxer = Demuxer::new(context.entrance.settings().limits);
                self.publishing.push(Publishing { stream, publication, demuxer, broken: 0 });
            }
            (Verdict::Allow(grant), Some(false)) => {
                let from = context.entrance.hub().stream(&grant.stream);
                if !from.is_live() {
                    self.engine.refuse(stream, "nobody sends this stream");
                    return self.flush();
                }
                self.place.introduce();
                self.engine.accept(stream);
                let tracks = from.tracks();
                self.engine.describe(stream, tracks.iter().map(|t| &**t));
                let (inbox, whom) = (Arc::clone(context.inbox), context.whom);
                let feed = from.subscribe(FEED, Some(Box::new(move || inbox.put(Letter::Ready(whom)))));
                self.playing.push(Playing { stream, feed, muxer: Muxer::new() });
                return self.play(context);
            }
        }
        self.flush()
    }

    fn media(&mut self, stream: u32, kind: Kind, millis: i64, body: &Bytes) -> Result<()> {
        let Some(publishing) = self.publishing.iter_mut().find(|p| p.stream == stream) else { return Ok(()) };
        let Publishing { publication, demuxer, broken, .. } = publishing;
        let mut mine = Ok(());
        let result = demuxer.push(kind, millis, body, |item| {
            if mine.is_ok() {
                mine = publication.give(&item);
            }
        });
        match result {
            Ok(()) => *broken = 0,
            // One tag may be broken by what lies before us; a stream of them is no stream.
            Err(error) => {
                *broken = broken.saturating_add(1);
                if *broken >= PATIENCE {
                    return Err(error.into());
                }
            }
        }
        mine
    }

    fn stop(&mut self, stream: u32, reason: &str) {
        self.playing.retain(|p| p.stream != stream);
        let gone = self.publishing.extract_if(.., |p| p.stream == stream);
        gone.for_each(|publishing| publishing.publication.end(reason));
    }

    /// Sends what is played, as much as the other side takes.
    pub(super) fn play(&mut self, _: &Context<'_>) -> Result<()> {
        let (mut moved, mut over) = (true, Vec::new());
        while moved {
            moved = false;
            self.flush()?;
            for Playing { stream, feed, muxer } in &mut self.playing {
                while self.waiting < AHEAD
                    && let Next::Item(item) = feed.poll()
                {
                    if matches!(item, Item::End(_)) {
                        over.push(*stream);
                        break;
                    }
                    let body = match &item {
                        Item::Track(track) => {
                            let body = muxer.track(track, 0);
                            body.ok().flatten()
                        }
                        Item::Packet(packet) => muxer.packet(packet),
                        _ => None,
                    };
                    if let Some(body) = body {
                        self.engine.send(*stream, &body);
                        for piece in self.engine.outgoing() {
                            self.waiting = self.waiting.saturating_add(piece.len());
                            self.out.push_back(piece);
                        }
                        moved = true;
                    }
                }
            }
        }
        for stream in over {
            self.playing.retain(|p| p.stream != stream);
            self.engine.end(stream);
            self.heard = Instant::now();
            self.flush()?;
        }
        Ok(())
    }

    /// Writes as much as the system takes.
    fn flush(&mut self) -> Result<()> {
        for piece in self.engine.outgoing() {
            self.waiting = self.waiting.saturating_add(piece.len());
            self.out.push_back(piece);
        }
        if self.out.is_empty() && !self.socket.is_plain() {
            return match self.socket.push() {
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                    Err(Error::io("writing to the connection")(error))
                }
                _ => Ok(()),
            };
        }
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.out.iter().zip(&mut slices).map(|(p, s)| *s = IoSlice::new(p)).count();
            match self.socket.write_vectored(slices.get(..count).unwrap_or_default()) {
                Ok(0) => {
                    self.over = true;
                    return Ok(());
                }
                Ok(mut written) => {
                    self.waiting = self.waiting.saturating_sub(written);
                    if self.publishing.is_empty() && !self.playing.is_empty() {
                        self.heard = Instant::now();
                    }
                    while let Some(first) = self.out.front_mut().filter(|_| written > 0) {
                        let part = written.min(first.len());
                        first.advance(part);
                        written = written.saturating_sub(part);
                        if first.is_empty() {
                            self.out.pop_front();
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("writing to the connection")(error)),
            }
        }
        Ok(())
    }

    /// It is over; `lost` where nobody wanted that. Who stops sending says so before.
    pub(super) fn close(&mut self, reason: &str, lost: bool, registry: &Registry) {
        for Publishing { publication, .. } in self.publishing.drain(..) {
            if lost { publication.lose(reason) } else { publication.end(reason) }
        }
        self.playing.clear();
        // A socket that is closed is waited for no more.
        let _ = registry.deregister(self.socket.inner());
        tracing::debug!(peer = %self.peer, reason, "a connection is closed");
    }
}
