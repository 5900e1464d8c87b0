//! A connection of SRT that we make ourselves: a socket and an engine, on the thread of whoever wants it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::srt::{Caller, Mode, Session, Target};
use crate::{Error, Result};

/// The largest datagram.
const LARGEST: usize = 2048;
/// How many are read at once, so that reading doesn't keep from sending.
const MOST: usize = 64;

/// A socket that is connected to one peer.
struct Socket {
    socket: UdpSocket,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
}

/// A connection.
pub(crate) struct Line {
    socket: Socket,
    born: Instant,
    session: Box<Session>,
}

/// Random bytes of the operating system.
pub(crate) fn random() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| {
        Error::io("asking the system for random numbers")(std::io::Error::other(e.to_string()))
    })?;
    Ok(seed)
}

impl Socket {
    fn open(to: SocketAddr, mode: Mode, local: Option<IpAddr>) -> std::io::Result<Self> {
        // Two that meet call each other from the port that the other calls.
        let port = if mode == Mode::Rendezvous { to.port() } else { 0 };
        let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut socket = UdpSocket::bind((local.unwrap_or(any), port).into())?;
        socket.connect(to)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
        Ok(Self { socket, poll, events: Events::with_capacity(4), buffer: vec![0; LARGEST] })
    }

    /// Waits for datagrams, and gives those that have come.
    fn read(&mut self, wait: Duration, mut take: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(Error::io("waiting for the other side")(error));
            }
            _ => {}
        }
        for _ in 0..MOST {
            match self.socket.recv(&mut self.buffer) {
                Ok(count) => {
                    if !take(self.buffer.get(..count).unwrap_or_default())? {
                        return Ok(());
                    }
                }
                // Nobody may be there yet, which the network tells.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn write(&self, datagram: &Bytes) {
        // What the system doesn't take is lost, and sent again if somebody misses it.
        let _ = self.socket.send(datagram);
    }
}

impl Line {
    /// Calls a peer until it answers, refuses or has been called for long enough.
    pub(crate) fn open(target: &Target, stopped: &dyn Fn() -> bool) -> Result<Self> {
        let what = || format!("calling {target}");
        let mut places = (&*target.host, target.port).to_socket_addrs().map_err(Error::io(what()))?;
        let to = places.next().ok_or_else(|| Error::io(what())(std::io::ErrorKind::NotFound.into()))?;
        let mut socket = Socket::open(to, target.mode, target.local).map_err(Error::io(what()))?;
        let born = Instant::now();
        let mut caller = Caller::new(
            target.settings.clone(),
            target.mode,
            target.stream.clone(),
            to.ip(),
            random()?,
            Duration::ZERO,
        );
        loop {
            let now = born.elapsed();
            caller.tick(now)?;
            while let Some(datagram) = caller.outgoing() {
                socket.write(&datagram);
            }
            if stopped() {
                return Err(Error::Refused { what: "the connection", reason: "it was called off".into() });
            }
            let wait = caller.deadline().saturating_sub(now).clamp(Duration::from_millis(1), NAP);
            let mut met = None;
            socket.read(wait, |datagram| {
                met = caller.receive(datagram, born.elapsed())?;
                Ok(met.is_none())
            })?;
            if let Some(session) = met {
                let mut line = Self { socket, born, session };
                line.flush();
                return Ok(line);
            }
        }
    }

    /// Sends a payload.
    pub(crate) fn send(&mut self, payload: &[u8]) {
        // Where there is no room for it, statistics say so.
        let _ = self.session.send(payload, self.born.elapsed());
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(datagram) = self.session.outgoing() {
            self.socket.write(&datagram);
        }
    }

    /// Waits for the other side, so long at most, and does what is due.
    pub(crate) fn step(&mut self, wait: Duration) -> Result<()> {
        let now = self.born.elapsed();
        let due = self.session.deadline().map_or(wait, |at| at.saturating_sub(now));
        let wait = wait.min(due.max(Duration::from_millis(1)));
        let (session, born) = (&mut self.session, self.born);
        self.socket.read(wait, |datagram| {
            session.receive(datagram, born.elapsed());
            Ok(true)
        })?;
        session.tick(born.elapsed());
        self.flush();
        Ok(())
    }

    /// The next payload that has come.
    pub(crate) fn delivered(&mut self) -> Option<Bytes> {
        self.session.delivered()
    }

    /// Why it is over, if it is.
    pub(crate) fn over(&self) -> Option<Error> {
        let reason = self.session.over()?.to_string();
        Some(Error::Refused { what: "the stream", reason })
    }

    /// Ends it when all that was sent has come and been used, or after a while; at once where nobody waits.
    pub(crate) fn close(&mut self, patience: Duration) {
        let begun = Instant::now();
        let mut settled = None;
        while self.session.over().is_none() && begun.elapsed() < patience {
            if self.session.is_settled() {
                let since: Instant = *settled.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.session.linger() {
                    break;
                }
            }
            if self.step(NAP).is_err() {
                break;
            }
        }
        self.session.close(self.born.elapsed());
        self.flush();
    }
}

/// How often a thread looks whether it is still wanted.
const NAP: Duration = Duration::from_millis(20);
