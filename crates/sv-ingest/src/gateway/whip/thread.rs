//! The thread that moves what all senders by WHIP send.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use str0m::ice::StunMessage;

use super::clients::Client;
use super::{Inbox, Letter, Opened, Patched, Trouble, WhipSettings};
use crate::gateway::{Entrance, Grant, Publication};
use crate::whip::{Address, Fragment, Output, Session, Way};
use crate::{Error, Result};

const WAKER: Token = Token(0);
const UDP: Token = Token(1);
const LISTENER: Token = Token(2);
/// Tokens of connections begin here.
const CLIENTS: usize = 3;
/// Why a session ends that nobody has ended.
const SILENT: &str = "nothing has come for too long";
/// How often deadlines of strangers are looked at, at least.
const ROUND: Duration = Duration::from_millis(500);
/// Datagrams that are read in one go at most, before anything else is looked at.
const DATAGRAMS: usize = 4096;
/// Addresses from which one session is sent at most.
const MOST_PEERS: usize = 16;
/// What the system should keep of what comes while this thread is at other work: a key picture of each of many.
const BUFFER: usize = 4 << 20;

pub(super) struct Thread {
    poll: Poll,
    inbox: Arc<Inbox>,
    udp: UdpSocket,
    /// Whether the socket of UDP tells addresses of IPv4 in the form of IPv6.
    mapped: bool,
    listener: Option<TcpListener>,
    entrance: Entrance,
    interval: Duration,
    sessions: HashMap<u64, Place>,
    by_id: HashMap<String, u64>,
    by_name: HashMap<String, u64>,
    by_peer: HashMap<(Way, SocketAddr), u64>,
    clients: Slab<Client>,
    by_client: HashMap<SocketAddr, usize>,
    due: BTreeSet<(Instant, u64)>,
    serial: u64,
}

/// A session where it is.
struct Place {
    session: Session,
    id: String,
    tag: String,
    /// ICE's name for us.
    name: String,
    grant: Grant,
    from: SocketAddr,
    publication: Option<Publication>,
    peers: Vec<(Way, SocketAddr)>,
    born: Instant,
    heard: Instant,
    wake: Option<Instant>,
}

type Parts = (Thread, Arc<Inbox>, SocketAddr, Option<SocketAddr>);

fn random() -> String {
    let mut bytes = [0; 16];
    // A system without randomness has no TLS either: then nothing gets this far.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Thread {
    pub(super) fn new(settings: WhipSettings, entrance: Entrance) -> Result<Parts> {
        let listening = |at: SocketAddr| format!("listening at {at}");
        let mut udp = UdpSocket::bind(settings.udp).map_err(Error::io(listening(settings.udp)))?;
        // The system may give less, which is what it is.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&udp, BUFFER);
        let address = udp.local_addr().map_err(Error::io(listening(settings.udp)))?;
        let poll = Poll::new().map_err(Error::io("starting to wait for sockets"))?;
        let registry = poll.registry();
        registry.register(&mut udp, UDP, Interest::READABLE).map_err(Error::io(listening(address)))?;
        let mut listener = None;
        if let Some(at) = settings.tcp {
            let mut socket = TcpListener::bind(at).map_err(Error::io(listening(at)))?;
            registry.register(&mut socket, LISTENER, Interest::READABLE).map_err(Error::io(listening(at)))?;
            listener = Some(socket);
        }
        let tcp = listener.as_ref().map(TcpListener::local_addr).transpose();
        let tcp = tcp.map_err(Error::io("asking for the address of a socket"))?;
        let waker = Waker::new(registry, WAKER).map_err(Error::io("starting to wait for sockets"))?;
        let inbox = Arc::new(Inbox { letters: Mutex::new(Some(Vec::new())), waker });
        let thread = Self {
            poll,
            inbox: Arc::clone(&inbox),
            udp,
            mapped: address.is_ipv6(),
            listener,
            entrance,
            interval: settings.key_interval,
            sessions: HashMap::new(),
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            by_peer: HashMap::new(),
            clients: Slab::new(),
            by_client: HashMap::new(),
            due: BTreeSet::new(),
            serial: 0,
        };
        Ok((thread, inbox, address, tcp))
    }

    /// Works until it is told to stop. Senders find us at `ours`.
    pub(super) fn run(mut self, ours: &[Address]) {
        let mut events = Events::with_capacity(256);
        let mut buffer = vec![0; 64 << 10];
        // Connections and sockets that have more than was read of them.
        let mut more: Vec<Token> = Vec::new();
        let mut round = Instant::now();
        loop {
            let now = Instant::now();
            let next = self.due.first().map_or(ROUND, |(at, _)| at.saturating_duration_since(now));
            // The system counts milliseconds, rounded up: what is due is never asked for too early.
            let wait = if more.is_empty() { next.min(ROUND) } else { Duration::ZERO };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "the thread of WHIP can't wait for sockets");
                std::thread::sleep(ROUND);
            }
            let mut ready = std::mem::take(&mut more);
            for event in &events {
                if !ready.contains(&event.token()) {
                    ready.push(event.token());
                }
            }
            for token in ready {
                match token {
                    WAKER => {}
                    UDP if self.datagrams(&mut buffer) => more.push(UDP),
                    UDP => {}
                    LISTENER => self.admit(),
                    Token(token) if self.read(token.saturating_sub(CLIENTS), &mut buffer) => {
                        more.push(Token(token))
                    }
                    Token(_) => {}
                }
            }
            // Media that came before a letter are before it.
            for letter in self.inbox.take() {
                if matches!(letter, Letter::Stop) {
                    let all: Vec<u64> = self.sessions.keys().copied().collect();
                    all.into_iter().for_each(|number| self.end(number, "the gateway stops"));
                    self.inbox.close().into_iter().for_each(|letter| letter.refuse(Trouble::Over));
                    return;
                }
                self.letter(letter, ours);
            }
            let now = Instant::now();
            while let Some((at, number)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
                self.due.remove(&(at, number));
                self.with(number, |place| {
                    place.wake = None;
                    place.session.tick(now)
                });
            }
            if now.saturating_duration_since(round) >= ROUND {
                round = now;
                self.round(now);
            }
        }
    }

    /// Reads datagrams. True where more may be there.
    fn datagrams(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..DATAGRAMS {
            match self.udp.recv_from(buffer) {
                Ok((count, from)) => {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    let data = buffer.get(..count).unwrap_or_default();
                    self.datagram(Way::Udp, from, data);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // What was sent to somebody who isn't there comes back as an error of the socket.
                Err(_) => {}
            }
        }
        true
    }

    /// Gives a datagram to the session that it is for, and says which that is.
    fn datagram(&mut self, way: Way, from: SocketAddr, data: &[u8]) -> Option<u64> {
        let now = Instant::now();
        // Who says the name and knows the password sends from wherever it is: its session says whether that is so.
        let named =
            (data.first().is_some_and(|first| *first < 2)).then(|| StunMessage::parse(data).ok()).flatten();
        let named = named.as_ref().and_then(|message| message.split_username());
        let number = match named {
            Some((name, _)) => self.by_name.get(name),
            None => self.by_peer.get(&(way, from)),
        };
        let number = *number?;
        let mut mine = false;
        self.with(number, |place| {
            mine = place.session.receive(way, from, data, now)?;
            if mine {
                place.heard = now;
                if place.peers.last() != Some(&(way, from)) {
                    place.peers.retain(|peer| *peer != (way, from));
                    place.peers.push((way, from));
                }
            }
            Ok(())
        });
        if mine && self.by_peer.insert((way, from), number).is_none() {
            let place = self.sessions.get_mut(&number)?;
            if place.peers.len() > MOST_PEERS {
                let gone = place.peers.remove(0);
                self.by_peer.remove(&gone);
            }
        }
        mine.then_some(number)
    }

    /// Takes connections, as many strangers as may be.
    fn admit(&mut self) {
        while let Some(Ok((mut stream, peer))) = self.listener.as_ref().map(TcpListener::accept) {
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            let settings = self.entrance.settings();
            let strangers =
                self.clients.iter().filter(|(_, c)| c.session.is_none() && c.peer.ip() == peer.ip());
            if self.clients.len() >= settings.connections || strangers.count() >= settings.strangers {
                tracing::debug!(%peer, "there are too many connections");
                continue;
            }
            let _ = stream.set_nodelay(true);
            let entry = self.clients.vacant_entry();
            let token = Token(entry.key().saturating_add(CLIENTS));
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, token, both).is_ok() {
                self.by_client.insert(peer, entry.key());
                entry.insert(Client::new(stream, peer, Instant::now()));
            }
        }
    }

    /// Reads and writes a connection. True where more may be there.
    fn read(&mut self, key: usize, buffer: &mut [u8]) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        let mut all: Vec<Bytes> = Vec::new();
        client.flush();
        let more = client.read(buffer, |datagram| all.push(datagram));
        let peer = client.peer;
        for datagram in all {
            let number = self.datagram(Way::Tcp, peer, &datagram);
            if let (Some(client), Some(number)) = (self.clients.get_mut(key), number) {
                client.session = Some(number);
            }
        }
        if self.clients.get(key).is_some_and(|client| client.over) {
            self.hang_up(key);
            return false;
        }
        more
    }

    fn hang_up(&mut self, key: usize) {
        let Some(mut client) = self.clients.try_remove(key) else { return };
        // A socket that is closed is waited for no more.
        let _ = self.poll.registry().deregister(&mut client.stream);
        self.by_client.remove(&client.peer);
    }

    fn letter(&mut self, letter: Letter, ours: &[Address]) {
        match letter {
            Letter::Open { offer, grant, from, then } => then(self.open(&offer, grant, from, ours)),
            Letter::Patch { session, tag, fragment, then } => {
                then(self.patch(&session, tag.as_deref(), &fragment))
            }
            Letter::Close { session, then } => {
                let number = self.by_id.get(&session).copied();
                if let Some(number) = number {
                    self.end(number, "the sender has ended it");
                }
                then(number.is_some());
            }
            Letter::Replaced(number) => self.end(number, "another publisher has taken its place"),
            Letter::Stop => {}
        }
    }

    fn open(
        &mut self,
        offer: &str,
        grant: Grant,
        from: SocketAddr,
        ours: &[Address],
    ) -> Result<Opened, Trouble> {
        let settings = self.entrance.settings();
        let strangers =
            self.sessions.values().filter(|p| p.publication.is_none() && p.from.ip() == from.ip());
        if self.sessions.len() >= settings.connections || strangers.count() >= settings.strangers {
            return Err(Trouble::Full);
        }
        let now = Instant::now();
        let accepted = Session::accept(offer, ours, self.interval, settings.limits, now);
        let (mut session, answer) = accepted.map_err(Trouble::Wrong)?;
        self.serial = self.serial.saturating_add(1);
        let (number, id, tag, name) = (self.serial, random(), random(), session.name());
        self.by_id.insert(id.clone(), number);
        self.by_name.insert(name.clone(), number);
        let opened = Opened { session: id.clone(), tag: tag.clone(), answer };
        let (peers, publication) = (Vec::new(), None);
        let place = Place {
            session,
            id,
            tag,
            name,
            grant,
            from,
            publication,
            peers,
            born: now,
            heard: now,
            wake: None,
        };
        self.sessions.insert(number, place);
        self.with(number, |_| Ok(()));
        Ok(opened)
    }

    fn patch(&mut self, id: &str, tag: Option<&str>, fragment: &Fragment) -> Result<Patched, Trouble> {
        let number = *self.by_id.get(id).ok_or(Trouble::Missing)?;
        let place = self.sessions.get_mut(&number).ok_or(Trouble::Missing)?;
        let tag = tag.ok_or(Trouble::Untagged)?;
        if tag != "*" && tag.trim_matches('"') != place.tag {
            return Err(Trouble::Stale);
        }
        if tag != "*" && place.session.is_new(fragment) {
            return Err(Trouble::Conflict);
        }
        let restarted = place.session.patch(fragment).map_err(Trouble::Wrong)?;
        let patched = match restarted {
            None => Patched::Taken,
            Some(fragment) => {
                place.tag = random();
                let before = std::mem::replace(&mut place.name, place.session.name());
                self.by_name.remove(&before);
                self.by_name.insert(place.name.clone(), number);
                Patched::Restarted { fragment, tag: place.tag.clone() }
            }
        };
        self.with(number, |_| Ok(()));
        Ok(patched)
    }

    /// Works on a session, and does what comes of it.
    fn with(&mut self, number: u64, work: impl FnOnce(&mut Place) -> Result<()>) {
        let Some(place) = self.sessions.get_mut(&number) else { return };
        let reason = match work(place).and_then(|()| self.drain(number)) {
            Ok(None) => return,
            Ok(Some(reason)) => reason.to_owned(),
            Err(error) => error.to_string(),
        };
        self.end(number, &reason);
    }

    /// What a session says is done. Gives the reason where it has ended.
    fn drain(&mut self, number: u64) -> Result<Option<&'static str>> {
        let Some(place) = self.sessions.get_mut(&number) else { return Ok(None) };
        let now = Instant::now();
        loop {
            match place.session.poll(now)? {
                Output::Send { way: Way::Udp, to, data } => {
                    // What the system doesn't take is lost, as on any network.
                    let _ = self.udp.send_to(&data, outward(to, self.mapped));
                }
                Output::Send { way: Way::Tcp, to, data } => {
                    let key = self.by_client.get(&to).copied();
                    if let Some(client) = key.and_then(|key| self.clients.get_mut(key)) {
                        client.send(&data);
                    }
                }
                Output::Connected => {
                    let inbox: Weak<Inbox> = Arc::downgrade(&self.inbox);
                    let replaced = move || {
                        if let Some(inbox) = inbox.upgrade() {
                            let _ = inbox.put(Letter::Replaced(number));
                        }
                    };
                    let peer = place.peers.last().map_or(place.from, |(_, peer)| *peer);
                    place.publication = Some(self.entrance.publish(&place.grant, "whip", peer, replaced));
                }
                Output::Item(item) => {
                    if let Some(publication) = &mut place.publication {
                        publication.give(&item)?;
                    }
                }
                Output::Link(link) => {
                    if let Some(publication) = &place.publication {
                        publication.link(link);
                    }
                }
                Output::Ended(reason) => return Ok(Some(reason)),
                Output::Wait(at) => {
                    if place.wake != Some(at) {
                        if let Some(before) = place.wake.replace(at) {
                            self.due.remove(&(before, number));
                        }
                        self.due.insert((at, number));
                    }
                    return Ok(None);
                }
            }
        }
    }

    fn end(&mut self, number: u64, reason: &str) {
        let Some(mut place) = self.sessions.remove(&number) else { return };
        if let Some(at) = place.wake {
            self.due.remove(&(at, number));
        }
        self.by_id.remove(&place.id);
        self.by_name.remove(&place.name);
        for peer in &place.peers {
            self.by_peer.remove(peer);
        }
        tracing::debug!(from = %place.from, reason, "a session of WHIP is over");
        if let Some(publication) = place.publication.take() {
            let silent = reason == SILENT;
            if silent { publication.lose(reason) } else { publication.end(reason) }
        }
        place.session.close();
        let now = Instant::now();
        while let Ok(
            Output::Send { .. } | Output::Item(_) | Output::Connected | Output::Link(_) | Output::Ended(_),
        ) = place.session.poll(now).inspect(|output| {
            if let Output::Send { way: Way::Udp, to, data } = output {
                let _ = self.udp.send_to(data, outward(*to, self.mapped));
            }
        }) {}
        let clients = self.clients.iter().filter(|(_, client)| client.session == Some(number));
        let clients: Vec<usize> = clients.map(|(key, _)| key).collect();
        clients.into_iter().for_each(|key| self.hang_up(key));
    }

    /// Looks at who has said nothing for long.
    fn round(&mut self, now: Instant) {
        let settings = self.entrance.settings();
        let (patience, silence) = (settings.patience, settings.silence);
        let late = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        let gone = self.sessions.iter().filter_map(|(number, place)| match &place.publication {
            None if late(place.born, patience) => Some((*number, "the sender has not come")),
            Some(_) if late(place.heard, silence) => Some((*number, SILENT)),
            _ => None,
        });
        for (number, reason) in gone.collect::<Vec<_>>() {
            self.end(number, reason);
        }
        let strangers =
            self.clients.iter().filter(|(_, c)| c.over || (c.session.is_none() && late(c.born, patience)));
        let strangers: Vec<usize> = strangers.map(|(key, _)| key).collect();
        strangers.into_iter().for_each(|key| self.hang_up(key));
        self.entrance.hub().tidy();
    }
}

/// The address in the form that the socket takes.
fn outward(to: SocketAddr, mapped: bool) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(four) if mapped => SocketAddr::new(four.to_ipv6_mapped().into(), to.port()),
        _ => to,
    }
}
