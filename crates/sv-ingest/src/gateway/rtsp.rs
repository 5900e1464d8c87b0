//! Where others record to by RTSP: a listener and its thread.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::tls::Socket;
use super::{Ask, Certificate, Entrance, Gateway, Publication, Verdict};
use crate::rtsp::{Event, Server};
use crate::{Error, Result};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// Tokens of connections begin here, and those of datagrams there.
const CONNECTIONS: usize = 2;
const DATAGRAMS: usize = 1 << 24;
/// How often deadlines and what waits are looked at.
const ROUND: Duration = Duration::from_millis(100);
/// How often what is known of a line is told.
const TELL: Duration = Duration::from_secs(1);
/// Reads of one socket in one go, so that nobody holds up the others.
const READS: usize = 64;
/// What waits to be sent at most: answers alone.
const MOST_WAITING: usize = 256 << 10;
/// What the system should keep of datagrams while this thread is at other work.
const BUFFER: usize = 1 << 20;

enum Letter {
    Verdict { to: Whom, verdict: Verdict },
    Replaced(Whom),
    Stop,
}

/// A connection, which may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whom {
    key: usize,
    serial: u64,
}

struct Inbox {
    letters: Mutex<Vec<Letter>>,
    waker: Waker,
}

impl Inbox {
    fn put(&self, letter: Letter) {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the thread of RTSP can't be woken");
        }
    }
}

/// The thread, which ends when this is dropped.
pub(super) struct Door {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.inbox.put(Letter::Stop);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

struct Thread {
    poll: Poll,
    inbox: Arc<Inbox>,
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    entrance: Entrance,
    connections: Slab<Connection>,
    datagrams: Slab<Port>,
    serial: u64,
}

struct Connection {
    socket: Socket,
    peer: SocketAddr,
    /// The address of ours at which it came.
    here: IpAddr,
    engine: Server,
    serial: u64,
    grant: Option<super::Grant>,
    publication: Option<Publication>,
    born: Instant,
    heard: Instant,
    /// When the line was told of last.
    told: Instant,
    out: VecDeque<Bytes>,
    waiting: usize,
    over: bool,
}

/// A port of UDP on which a medium comes.
struct Port {
    socket: UdpSocket,
    of: Whom,
    from: IpAddr,
    medium: usize,
    control: bool,
}

fn open(
    address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    entrance: Entrance,
) -> Result<(Door, SocketAddr)> {
    let listening = || format!("listening at {address}");
    let mut listener = TcpListener::bind(address).map_err(Error::io(listening()))?;
    let address = listener.local_addr().map_err(Error::io(listening()))?;
    let poll = Poll::new().map_err(Error::io(listening()))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(Error::io(listening()))?;
    let waker = Waker::new(poll.registry(), WAKER).map_err(Error::io(listening()))?;
    let inbox = Arc::new(Inbox { letters: Mutex::default(), waker });
    let (connections, datagrams) = (Slab::new(), Slab::new());
    let to = Arc::clone(&inbox);
    let thread =
        Thread { poll, inbox: to, listener, certificate, entrance, connections, datagrams, serial: 0 };
    let work = std::thread::Builder::new().name("ingest rtsp".into()).spawn(move || thread.run());
    let thread = Some(work.map_err(Error::io("starting a thread"))?);
    Ok((Door { inbox, thread }, address))
}

fn session() -> String {
    let mut bytes = [0; 16];
    // A system without randomness has no TLS either. A session is bound to its connection, so nobody gains by guessing.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Thread {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut buffer = vec![0; 64 << 10];
        let mut more: Vec<Token> = Vec::new();
        let mut round = Instant::now();
        loop {
            let wait = if more.is_empty() { ROUND } else { Duration::ZERO };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "the thread of RTSP can't wait for sockets");
                std::thread::sleep(ROUND);
            }
            let mut ready = std::mem::take(&mut more);
            for event in &events {
                if !ready.contains(&event.token()) {
                    ready.push(event.token());
                }
            }
            // Media that came before their connection ended are before that.
            ready.sort_by_key(|token| token.0 < DATAGRAMS);
            for token in ready {
                let again = match token {
                    WAKER => false,
                    LISTENER => {
                        self.admit();
                        false
                    }
                    Token(token) if token >= DATAGRAMS => {
                        self.datagram(token.saturating_sub(DATAGRAMS), &mut buffer)
                    }
                    Token(token) => self.read(token.saturating_sub(CONNECTIONS), &mut buffer),
                };
                if again {
                    more.push(token);
                }
            }
            let letters =
                std::mem::take(&mut *self.inbox.letters.lock().unwrap_or_else(PoisonError::into_inner));
            for letter in letters {
                match letter {
                    Letter::Stop => {
                        let all: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
                        return all.into_iter().for_each(|key| self.close(key, "the gateway stops"));
                    }
                    Letter::Verdict { to, verdict } => self.decided(to, verdict),
                    Letter::Replaced(whom) if self.is_there(whom) => {
                        self.close(whom.key, "another publisher has taken its place");
                    }
                    Letter::Replaced(_) => {}
                }
            }
            if round.elapsed() >= ROUND {
                round = Instant::now();
                self.round();
            }
        }
    }

    fn is_there(&self, whom: Whom) -> bool {
        self.connections.get(whom.key).is_some_and(|connection| connection.serial == whom.serial)
    }

    fn admit(&mut self) {
        while let Ok((stream, peer)) = self.listener.accept() {
            let settings = self.entrance.settings();
            let stranger = |c: &Connection| c.publication.is_none() && c.peer.ip() == peer.ip();
            let strangers = self.connections.iter().filter(|(_, c)| stranger(c)).count();
            if self.connections.len() >= settings.connections || strangers >= settings.strangers {
                tracing::debug!(%peer, "there are too many connections");
                continue;
            }
            let Ok(here) = stream.local_addr() else { continue };
            let _ = stream.set_nodelay(true);
            let Some(mut socket) = Socket::new(stream, self.certificate.as_deref()) else { continue };
            self.serial = self.serial.saturating_add(1);
            let entry = self.connections.vacant_entry();
            let token = Token(entry.key().saturating_add(CONNECTIONS));
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(socket.inner(), token, both).is_err() {
                continue;
            }
            let now = Instant::now();
            let engine = Server::new(settings.limits, session());
            entry.insert(Connection {
                socket,
                peer,
                here: here.ip(),
                engine: if settings.admission.knows_digests() { engine.digests() } else { engine },
                serial: self.serial,
                grant: None,
                publication: None,
                born: now,
                heard: now,
                told: now,
                out: VecDeque::new(),
                waiting: 0,
                over: false,
            });
        }
    }

    /// Reads a connection. True where more may be there.
    fn read(&mut self, key: usize, buffer: &mut [u8]) -> bool {
        let mut more = true;
        for _ in 0..READS {
            let Some(connection) = self.connections.get_mut(key) else { return false };
            let result = match connection.socket.read(buffer) {
                Ok(0) => {
                    connection.over = true;
                    more = false;
                    Ok(())
                }
                Ok(count) => {
                    connection.heard = Instant::now();
                    connection
                        .engine
                        .receive(buffer.get(..count).unwrap_or_default(), connection.born.elapsed())
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    more = false;
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                Err(error) => Err(Error::io("reading the connection")(error)),
            };
            if let Err(error) = result.and_then(|()| self.events(key)) {
                self.close(key, &error.to_string());
                return false;
            }
            if !more {
                break;
            }
        }
        if self.connections.get(key).is_some_and(|connection| connection.over) {
            self.close(key, "the sender has closed the connection");
            return false;
        }
        more
    }

    /// Reads a port of UDP. True where more may be there.
    fn datagram(&mut self, number: usize, buffer: &mut [u8]) -> bool {
        let Some(port) = self.datagrams.get(number) else { return false };
        let (of, from, medium, control) = (port.of, port.from, port.medium, port.control);
        for _ in 0..READS {
            let Some(port) = self.datagrams.get(number) else { return false };
            match port.socket.recv_from(buffer) {
                // Whoever else knows the port is not heard.
                Ok((_, peer)) if peer.ip() != from => {}
                Ok((count, _)) => {
                    let Some(connection) = self.connections.get_mut(of.key) else { return false };
                    connection.heard = Instant::now();
                    let data = buffer.get(..count).unwrap_or_default();
                    connection.engine.datagram(medium, control, data, connection.born.elapsed());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.after(of.key, false),
                Err(_) => {}
            }
        }
        self.after(of.key, true)
    }

    fn after(&mut self, key: usize, more: bool) -> bool {
        if let Err(error) = self.events(key) {
            self.close(key, &error.to_string());
            return false;
        }
        more
    }

    /// What an engine says is done.
    fn events(&mut self, key: usize) -> Result<()> {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
            let whom = Whom { key, serial: connection.serial };
            match connection.engine.event() {
                None => break,
                Some(Event::Publish { app, name, proof }) => {
                    let (inbox, peer) = (Arc::clone(&self.inbox), connection.peer);
                    let mut ask = Ask::new(true, "rtsp", app, name.expose(), peer);
                    ask.proof = proof;
                    self.entrance.ask(ask, move |verdict| inbox.put(Letter::Verdict { to: whom, verdict }));
                }
                Some(Event::Udp { medium, from }) => self.listen(whom, medium, from),
                Some(Event::Record) => {
                    let Some(grant) = connection.grant.take() else { continue };
                    let inbox = Arc::clone(&self.inbox);
                    let replaced = move || inbox.put(Letter::Replaced(whom));
                    connection.publication =
                        Some(self.entrance.publish(&grant, "rtsp", connection.peer, replaced));
                }
                Some(Event::Item(item)) => {
                    if let Some(publication) = &mut connection.publication {
                        publication.give(&item)?;
                    }
                }
                Some(Event::Ended) => {
                    // The connection is left to the other side, which may still be saying something: who is cut short complains.
                    if let Some(publication) = connection.publication.take() {
                        publication.end("the sender has ended it");
                    }
                    connection.born = Instant::now();
                }
            }
        }
        self.flush(key);
        Ok(())
    }

    /// Two ports of UDP, one behind the other, for a medium.
    fn listen(&mut self, of: Whom, medium: usize, client: (u16, u16)) {
        let Some(connection) = self.connections.get(of.key) else { return };
        let (here, from) = (connection.here, connection.peer.ip());
        let pair = (0..64).find_map(|_| {
            let first = UdpSocket::bind((here, 0).into()).ok()?;
            let port = first.local_addr().ok()?.port();
            let second =
                UdpSocket::bind((here, port.checked_add(1).filter(|_| port % 2 == 0)?).into()).ok()?;
            Some((port, first, second))
        });
        let ours = pair.and_then(|(port, first, second)| {
            for (mut socket, control) in [(first, false), (second, true)] {
                // The system may give less, which is what it is.
                let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER);
                let entry = self.datagrams.vacant_entry();
                let token = Token(entry.key().saturating_add(DATAGRAMS));
                self.poll.registry().register(&mut socket, token, Interest::READABLE).ok()?;
                entry.insert(Port { socket, of, from, medium, control });
            }
            Some((port, port.saturating_add(1)))
        });
        if let Some(connection) = self.connections.get_mut(of.key) {
            connection.engine.ports(medium, client, ours);
        }
    }

    fn decided(&mut self, to: Whom, verdict: Verdict) {
        if !self.is_there(to) {
            return;
        }
        let Some(connection) = self.connections.get_mut(to.key) else { return };
        match verdict {
            Verdict::Allow(grant) => {
                connection.grant = Some(grant);
                connection.engine.accept();
            }
            Verdict::Refuse { reason } => connection.engine.refuse(&reason),
        }
        self.after(to.key, false);
    }

    /// Writes as much as the system takes.
    fn flush(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        for piece in connection.engine.outgoing() {
            connection.waiting = connection.waiting.saturating_add(piece.len());
            connection.out.push_back(piece);
        }
        connection.over |= connection.waiting > MOST_WAITING;
        while let Some(piece) = connection.out.front_mut().filter(|_| !connection.over) {
            match connection.socket.write(piece) {
                Ok(0) => connection.over = true,
                Ok(count) => {
                    piece.advance(count.min(piece.len()));
                    connection.waiting = connection.waiting.saturating_sub(count);
                    if piece.is_empty() {
                        connection.out.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => connection.over = true,
            }
        }
        // What is encrypted may wait too; what fails is heard of by reading.
        let _ = connection.socket.push();
    }

    fn close(&mut self, key: usize, reason: &str) {
        let Some(mut connection) = self.connections.try_remove(key) else { return };
        if let Some(publication) = connection.publication.take() {
            publication.lose(reason);
        }
        // A socket that is closed is waited for no more.
        let _ = self.poll.registry().deregister(connection.socket.inner());
        let ports = self.datagrams.iter().filter(|(_, port)| port.of.serial == connection.serial);
        for number in ports.map(|(number, _)| number).collect::<Vec<_>>() {
            if let Some(mut port) = self.datagrams.try_remove(number) {
                let _ = self.poll.registry().deregister(&mut port.socket);
            }
        }
        tracing::debug!(peer = %connection.peer, reason, "a connection of RTSP is closed");
    }

    fn round(&mut self) {
        let settings = self.entrance.settings();
        let (patience, silence, now) = (settings.patience, settings.silence, Instant::now());
        let late = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        let gone = self.connections.iter().filter_map(|(key, c)| match c.publication {
            _ if c.over => Some((key, "the sender has closed the connection")),
            None if late(c.born, patience) => Some((key, "nobody has begun to send")),
            Some(_) if late(c.heard, silence) => Some((key, "nothing has come for too long")),
            _ => None,
        });
        for (key, reason) in gone.collect::<Vec<_>>() {
            self.close(key, reason);
        }
        for key in self.connections.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.engine.tick(connection.born.elapsed());
                if let Some(publication) = &connection.publication
                    && now.saturating_duration_since(connection.told) >= TELL
                {
                    connection.told = now;
                    publication.link(connection.engine.link());
                }
            }
            self.after(key, false);
        }
        self.entrance.hub().tidy();
    }
}

impl Gateway {
    /// Takes streams that others record by RTSP there, and says where: port 0 is any that is free. Their media come on the same
    /// connection or by UDP, on ports that the system chooses.
    ///
    /// # Errors
    /// When the address can't be listened to.
    pub fn rtsp(&self, address: SocketAddr) -> Result<SocketAddr> {
        self.rtsp_door(address, None)
    }

    /// The same of RTSP inside of TLS.
    ///
    /// # Errors
    /// As [`rtsp`](Self::rtsp).
    pub fn rtsps(&self, address: SocketAddr, certificate: Certificate) -> Result<SocketAddr> {
        self.rtsp_door(address, Some(Arc::new(certificate)))
    }

    fn rtsp_door(&self, address: SocketAddr, certificate: Option<Arc<Certificate>>) -> Result<SocketAddr> {
        let (door, address) = open(address, certificate, self.entrance.clone())?;
        self.rtsps.lock().unwrap_or_else(PoisonError::into_inner).push(door);
        Ok(address)
    }
}
