//! Those who come by SRT: one socket for all of them, and a thread that has it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use sv_core::Item;

use super::door::{Hall, Place};
use super::{Ask, Batch, Entrance, Grant, Publication, Verdict};
use crate::feed::{Feed, Next};
use crate::health::Link;
use crate::line::random;
use crate::srt::{self, Heard, Knock, Listener, Over, Passphrase, Session, Stats, reject};
use crate::transport::{Incoming, Outgoing};
use crate::{Error, Result};

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
/// How long datagrams wait to be read in one go, at most: what they hold waits for its moment anyway.
const PAUSE: Duration = Duration::from_millis(8);
/// This part of the time for which they are held back is what they may wait.
const PART: u32 = 15;
/// A shorter pause isn't worth one.
const SHORTEST: Duration = Duration::from_millis(1);
/// So many datagrams in half a second are worth a pause.
const BUSY: u32 = 200;
/// What a datagram takes of the system's memory; a pause fills a quarter of that.
const KEPT: usize = 4 * 2304;
/// How often deadlines of those who knock are looked at.
const ROUND: Duration = Duration::from_millis(500);
/// Bytes that wait in a feed.
const FEED: usize = 8 << 20;
/// Bytes that the system should hold for us.
const KERNEL: usize = 8 << 20;
/// After how long a silence a session may go on from another port.
const MOVED: Duration = Duration::from_millis(500);
/// How long what was sent may take to arrive at the end.
const LINGER: Duration = Duration::from_millis(500);
/// Payloads that can't be read, one behind the other, until somebody is sent away.
const PATIENCE: u32 = 64;

/// How those who come by SRT are treated.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SrtSettings {
    /// How each connection works: its latency above all. A passphrase that stands here is everybody's.
    pub connection: srt::Settings,
    /// Passphrases that differ from stream to stream.
    pub passphrases: Option<Passphrases>,
}

/// Says which passphrase a stream has: it is asked where media go through, so what takes time belongs on another thread,
/// with the answer.
#[derive(Clone)]
pub struct Passphrases(Arc<Find>);

type Find = dyn Fn(&str, Unlock) + Send + Sync;

impl Passphrases {
    /// `find` is called with the stream's name.
    #[must_use]
    pub fn new(find: impl Fn(&str, Unlock) + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }
}

impl fmt::Debug for Passphrases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrases")
    }
}

/// How a passphrase is told: once, from any thread. Dropped without that, nobody is let in.
pub struct Unlock(Option<Box<Say>>);

/// Nothing where nobody knows; otherwise the passphrase, or that there is none.
type Found = Option<Option<Passphrase>>;
type Say = dyn FnOnce(Found) + Send;

impl Unlock {
    /// The stream has this passphrase, or none.
    pub fn say(mut self, passphrase: Option<Passphrase>) {
        if let Some(say) = self.0.take() {
            say(Some(passphrase));
        }
    }
}

impl Drop for Unlock {
    fn drop(&mut self) {
        if let Some(say) = self.0.take() {
            say(None);
        }
    }
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unlock")
    }
}

/// Who knocks: where it is, and the number of its end.
type Who = (SocketAddr, u32);

enum Letter {
    Verdict(Who, bool, Verdict),
    Unlocked(Who, bool, Grant, Found),
    /// Something waits for a session that plays.
    Ready(u32),
    /// Somebody else has taken the place of a session that publishes.
    Replaced(u32),
    Stop,
}

struct Inbox {
    letters: Mutex<Vec<Letter>>,
    waker: Waker,
}

impl Inbox {
    fn put(&self, letter: Letter) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let first = letters.is_empty();
        letters.push(letter);
        drop(letters);
        if first && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the thread of SRT can't be woken");
        }
    }

    fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

enum Role {
    Publishing { publication: Publication, incoming: Box<Incoming>, broken: u32, told: Told },
    Playing { feed: Feed, outgoing: Outgoing, ends: Option<Duration> },
}

/// What was last told of how well a line does.
#[derive(Default)]
struct Told {
    at: Duration,
    received: u64,
    dropped: u64,
}

impl Told {
    /// Tells it once a second: what was given up since is lost for good.
    fn tell(&mut self, now: Duration, stats: &Stats, publication: &Publication) {
        if now.saturating_sub(self.at) < Duration::from_secs(1) {
            return;
        }
        let lost = stats.dropped.saturating_sub(self.dropped);
        let all = stats.received.saturating_sub(self.received).saturating_add(lost);
        *self = Self { at: now, received: stats.received, dropped: stats.dropped };
        let share = |part: u64| u32::try_from(part).map_or(f64::MAX, f64::from);
        let link = Link {
            rtt: (!stats.rtt.is_zero()).then_some(stats.rtt),
            loss: (all > 0).then(|| share(lost) / share(all)),
            jitter: None,
        };
        publication.link(link);
    }
}

struct Connection {
    session: Box<Session>,
    peer: SocketAddr,
    peer_id: u32,
    /// Where it calls us, if we have several addresses.
    local: Option<IpAddr>,
    heard: Duration,
    /// The moment that stands in the schedule.
    due: Option<Duration>,
    role: Role,
    /// Held as long as it is here.
    _place: Place,
}

struct Waiting {
    knock: Box<Knock>,
    place: Place,
    local: Option<IpAddr>,
    since: Duration,
}

/// A listener with its thread, which ends when this is dropped.
pub(super) struct Desk {
    address: SocketAddr,
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    pub(super) fn open(address: SocketAddr, settings: SrtSettings, entrance: Entrance) -> Result<Self> {
        let what = || format!("listening at {address}");
        let mut socket = UdpSocket::bind(address).map_err(Error::io(what()))?;
        let bound = socket.local_addr().map_err(Error::io(what()))?;
        let state = UdpSocketState::new((&socket).into()).map_err(Error::io(what()))?;
        // The system gives as much of that as it may.
        let _ = state.set_recv_buffer_size((&socket).into(), KERNEL);
        let _ = state.set_send_buffer_size((&socket).into(), KERNEL);
        let poll = Poll::new().map_err(Error::io(what()))?;
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE).map_err(Error::io(what()))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(Error::io(what()))?;
        let inbox = Arc::new(Inbox { letters: Mutex::default(), waker });
        let held = state.recv_buffer_size((&socket).into()).unwrap_or(0);
        let work = Work {
            room: u32::try_from(held / KEPT).unwrap_or(u32::MAX).max(16),
            socket,
            state,
            poll,
            inbox: Arc::clone(&inbox),
            listener: Listener::new(random()?),
            settings,
            entrance,
            hall: Arc::new(Hall::default()),
            connections: HashMap::new(),
            known: HashMap::new(),
            waiting: HashMap::new(),
            schedule: BTreeSet::new(),
            born: Instant::now(),
            batch: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("ingest srt".into()).spawn(move || work.run());
        Ok(Self { address: bound, inbox, thread: Some(thread.map_err(Error::io(what()))?) })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.inbox.put(Letter::Stop);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

struct Work {
    socket: UdpSocket,
    state: UdpSocketState,
    poll: Poll,
    inbox: Arc<Inbox>,
    listener: Listener,
    settings: SrtSettings,
    entrance: Entrance,
    hall: Arc<Hall>,
    connections: HashMap<u32, Connection>,
    /// Sessions of those who knocked, as they may knock again.
    known: HashMap<Who, u32>,
    waiting: HashMap<Who, Waiting>,
    /// When sessions have something to do.
    schedule: BTreeSet<(Duration, u32)>,
    born: Instant,
    /// Datagrams that leave in one go.
    batch: Vec<u8>,
    /// Datagrams that may wait to be read.
    room: u32,
}

impl Work {
    fn now(&self) -> Duration {
        self.born.elapsed()
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let size = self.state.gro_segments().max(1).saturating_mul(2048).min(64 << 10);
        // Buffers that are a power of two apart would share the same few lines of the processor's cache.
        let size = size.saturating_add(1536);
        let mut space = vec![vec![0u8; size]; BATCH_SIZE];
        let mut round = Duration::ZERO;
        let (mut datagrams, mut pause, mut paused) = (0u32, None, false);
        // What is due soon is done together: waking up costs more than working.
        let calm = self.entrance.settings().batch != Batch::Never;
        let held = self.settings.connection.latency;
        let longest = held.checked_div(PART).unwrap_or(PAUSE).clamp(SHORTEST, PAUSE);
        loop {
            if !paused {
                let now = self.now();
                let next = self.schedule.first().map_or(ROUND, |(at, _)| at.saturating_sub(now));
                let wait = next.clamp(if calm { longest } else { SHORTEST }, ROUND);
                if let Err(error) = self.poll.poll(&mut events, Some(wait))
                    && error.kind() != std::io::ErrorKind::Interrupted
                {
                    tracing::error!(%error, "the gateway can't wait for datagrams");
                    std::thread::sleep(ROUND);
                }
            }
            let came = paused || events.iter().any(|event| event.token() == SOCKET);
            let count = if came { self.read(&mut space) } else { 0 };
            datagrams = datagrams.saturating_add(count);
            for letter in self.inbox.take() {
                if matches!(letter, Letter::Stop) {
                    let all: Vec<u32> = self.connections.keys().copied().collect();
                    all.into_iter().for_each(|id| self.end(id, "the gateway stops"));
                    return;
                }
                self.letter(letter);
            }
            self.due();
            let now = self.now();
            let since = now.saturating_sub(round);
            if since >= ROUND {
                // With fewer, there is one at a time anyway; with many more, there isn't room for them for so long.
                let full = since.saturating_mul(self.room).checked_div(datagrams).unwrap_or(ROUND);
                pause = (calm && datagrams >= BUSY).then(|| longest.min(full)).filter(|p| *p >= SHORTEST);
                (round, datagrams) = (now, 0);
                let patience = self.entrance.settings().patience;
                self.waiting.retain(|_, waiting| now.saturating_sub(waiting.since) < patience);
                self.entrance.hub().tidy();
            }
            // Whoever reads again behind it need not be woken.
            paused = count > 0 && pause.is_some();
            if let Some(pause) = pause.filter(|_| paused) {
                std::thread::sleep(pause);
            }
        }
    }

    /// Reads all that has come, and says how many datagrams that were.
    fn read(&mut self, space: &mut [Vec<u8>]) -> u32 {
        let mut count = 0u32;
        let mut touched = BTreeSet::new();
        loop {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let read = {
                let mut slices: Vec<IoSliceMut<'_>> = space.iter_mut().map(|b| IoSliceMut::new(b)).collect();
                self.state.recv((&self.socket).into(), &mut slices, &mut metas)
            };
            let read = match read {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // Others tell of datagrams that nobody has taken.
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock && count < 4096 => {
                    count = count.saturating_add(1);
                    continue;
                }
                Err(_) => break,
            };
            let now = self.now();
            for (meta, buffer) in metas.iter().zip(space.iter()).take(read) {
                let datagrams = buffer.get(..meta.len).unwrap_or_default();
                for datagram in datagrams.chunks(meta.stride.max(1)) {
                    count = count.saturating_add(1);
                    if let Some(id) = self.datagram(datagram, meta, now) {
                        touched.insert(id);
                    }
                }
            }
            if read < BATCH_SIZE && count > 0 && read < space.len() {
                break;
            }
        }
        for id in touched {
            self.serve(id);
        }
        count
    }

    /// Takes a datagram; gives the session that it was for.
    fn datagram(&mut self, datagram: &[u8], meta: &RecvMeta, now: Duration) -> Option<u32> {
        let from = meta.addr;
        match self.listener.receive(datagram, from, now) {
            Heard::Session(id) => {
                let connection = self.connections.get_mut(&id)?;
                if connection.peer != from {
                    // Who stands between us may have given it another port; nobody else knows the number.
                    let quiet = now.saturating_sub(connection.heard) >= MOVED;
                    if connection.peer.ip() != from.ip() || !quiet {
                        return None;
                    }
                    self.known.remove(&(connection.peer, connection.peer_id));
                    connection.peer = from;
                    self.known.insert((from, connection.peer_id), id);
                }
                connection.heard = now;
                connection.session.receive(datagram, now);
                Some(id)
            }
            Heard::Reply(reply) => {
                self.send(&reply, from, meta.dst_ip);
                None
            }
            Heard::Knock(knock) => {
                let who = (from, knock.id());
                if let Some(id) = self.known.get(&who).copied() {
                    let connection = self.connections.get_mut(&id)?;
                    connection.session.receive(datagram, now);
                    return Some(id);
                }
                if !self.waiting.contains_key(&who) {
                    self.knock(who, knock, meta.dst_ip, now);
                }
                None
            }
            Heard::Nothing => None,
        }
    }

    /// Somebody new wants something.
    fn knock(&mut self, who: Who, knock: Box<Knock>, local: Option<IpAddr>, now: Duration) {
        let Some(place) = self.hall.enter(who.0.ip(), self.entrance.settings()) else {
            let reply = knock.refuse(reject::OVERLOAD, now);
            return self.send(&reply, who.0, local);
        };
        let Some(wish) = knock.stream().wish().filter(|wish| !wish.name.is_empty()) else {
            let reply = knock.refuse(reject::BAD_REQUEST, now);
            return self.send(&reply, who.0, local);
        };
        let publish = wish.publish;
        self.waiting.insert(who, Waiting { knock, place, local, since: now });
        let ask = Ask::new(publish, "srt", wish.host, wish.name, who.0);
        let inbox = Arc::clone(&self.inbox);
        self.entrance.ask(ask, move |verdict| inbox.put(Letter::Verdict(who, publish, verdict)));
    }

    fn letter(&mut self, letter: Letter) {
        match letter {
            Letter::Verdict(who, publish, Verdict::Refuse { .. }) => {
                self.refuse(who, if publish { reject::UNAUTHORIZED } else { reject::FORBIDDEN });
            }
            Letter::Verdict(who, publish, Verdict::Allow(grant)) => match &self.settings.passphrases {
                None => {
                    let passphrase = self.settings.connection.passphrase.clone();
                    self.admit(who, publish, &grant, passphrase);
                }
                Some(Passphrases(find)) => {
                    let (inbox, find) = (Arc::clone(&self.inbox), Arc::clone(find));
                    let name = grant.stream.clone();
                    let say = move |found| inbox.put(Letter::Unlocked(who, publish, grant, found));
                    find(&name, Unlock(Some(Box::new(say))));
                }
            },
            Letter::Unlocked(who, _, _, None) => self.refuse(who, reject::FORBIDDEN),
            Letter::Unlocked(who, publish, grant, Some(passphrase)) => {
                self.admit(who, publish, &grant, passphrase);
            }
            Letter::Ready(id) => self.serve(id),
            Letter::Replaced(id) => self.end(id, "another publisher has taken its place"),
            Letter::Stop => {}
        }
    }

    fn refuse(&mut self, who: Who, code: u32) {
        if let Some(waiting) = self.waiting.remove(&who) {
            let reply = waiting.knock.refuse(code, self.now());
            self.send(&reply, who.0, waiting.local);
        }
    }

    /// Lets somebody in.
    fn admit(&mut self, who: Who, publish: bool, grant: &Grant, passphrase: Option<Passphrase>) {
        let from = self.entrance.hub().stream(&grant.stream);
        if !publish && !from.is_live() {
            return self.refuse(who, reject::NOT_FOUND);
        }
        let Some(waiting) = self.waiting.get(&who) else { return };
        let settings = srt::Settings { passphrase, ..self.settings.connection.clone() };
        let Ok(seed) = random() else { return self.refuse(who, reject::UNKNOWN) };
        let number = |bytes: &[u8]| bytes.iter().fold(0u32, |n, b| n.wrapping_shl(8) | u32::from(*b));
        let mut id = (number(seed.get(..4).unwrap_or_default()) & 0x3FFF_FFFF).max(1);
        while self.connections.contains_key(&id) {
            id = (id.wrapping_add(1) & 0x3FFF_FFFF).max(1);
        }
        let Ok(fresh) = random() else { return self.refuse(who, reject::UNKNOWN) };
        let now = self.now();
        let session = match waiting.knock.accept(&settings, id, fresh, now) {
            Ok(session) => session,
            Err(code) => {
                tracing::debug!(peer = %who.0, reason = reject::reason(code), "a call by SRT is refused");
                return self.refuse(who, code);
            }
        };
        let Some(Waiting { mut place, local, .. }) = self.waiting.remove(&who) else { return };
        place.introduce();
        let inbox = Arc::clone(&self.inbox);
        let role = if publish {
            let replaced = move || inbox.put(Letter::Replaced(id));
            let publication = self.entrance.publish(grant, "srt", who.0, replaced);
            let incoming = Box::new(Incoming::new(self.entrance.settings().limits));
            Role::Publishing { publication, incoming, broken: 0, told: Told::default() }
        } else {
            let ring = move || inbox.put(Letter::Ready(id));
            let feed = from.subscribe(FEED, Some(Box::new(ring)));
            Role::Playing { feed, outgoing: Outgoing::default(), ends: None }
        };
        let (peer, peer_id) = who;
        let connection =
            Connection { session, peer, peer_id, local, heard: now, due: None, role, _place: place };
        self.connections.insert(id, connection);
        self.known.insert(who, id);
        self.serve(id);
    }

    /// Does for a session what can be done now, and notes when there is more.
    fn serve(&mut self, id: u32) {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Connection { session, role, .. } = connection;
        let mut reason = None;
        match role {
            Role::Publishing { publication, incoming, broken, told } => {
                told.tell(now, &session.stats(), publication);
                while let Some(payload) = session.delivered() {
                    match incoming.push(&payload, publication) {
                        Ok(()) => *broken = 0,
                        Err(error @ Error::Denied { .. }) => reason = Some(error.to_string()),
                        Err(error) => {
                            *broken = broken.saturating_add(1);
                            if *broken >= PATIENCE {
                                reason = Some(error.to_string());
                            }
                        }
                    }
                }
            }
            Role::Playing { feed, outgoing, ends } => {
                while ends.is_none() {
                    match feed.poll() {
                        Next::Item(Item::End(_)) | Next::Over => {
                            outgoing.finish(|datagram| {
                                let _ = session.send(datagram, now);
                            });
                            // What the other side holds back would be lost with the connection.
                            *ends = Some(now.saturating_add(session.linger()).saturating_add(LINGER));
                        }
                        Next::Item(item) => outgoing.push(&item, |datagram| {
                            // Where there is no room, statistics say so.
                            let _ = session.send(datagram, now);
                        }),
                        Next::Nothing => break,
                    }
                }
                // What a player sends is nothing that anybody wants.
                while session.delivered().is_some() {}
                if ends.is_some_and(|at| now >= at) {
                    reason = Some("the stream has ended".into());
                }
            }
        }
        self.flush(id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(over) = connection.session.over() {
            reason.get_or_insert(over.to_string());
        }
        if let Some(reason) = reason {
            return self.end(id, &reason);
        }
        let linger = match &connection.role {
            Role::Playing { ends: Some(at), .. } => Some(*at),
            _ => None,
        };
        let due = [connection.session.deadline(), linger].into_iter().flatten().min();
        // An entry that is early does no harm, and costs less than one that is moved again and again.
        if let Some(due) = due
            && connection.due.is_none_or(|at| due < at)
        {
            if let Some(old) = connection.due.replace(due) {
                self.schedule.remove(&(old, id));
            }
            self.schedule.insert((due, id));
        }
    }

    /// Sessions that have something to do.
    fn due(&mut self) {
        let now = self.now();
        while let Some((at, id)) = self.schedule.first().copied().filter(|(at, _)| *at <= now) {
            self.schedule.remove(&(at, id));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.due = None;
                connection.session.tick(now);
                self.serve(id);
            }
        }
    }

    fn send(&self, datagram: &[u8], to: SocketAddr, from: Option<IpAddr>) {
        self.transmit(datagram, None, to, from);
    }

    fn transmit(&self, contents: &[u8], segment: Option<usize>, to: SocketAddr, from: Option<IpAddr>) {
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size: segment, src_ip: from };
        // What the system doesn't take is lost, and sent again if somebody misses it.
        if let Err(error) = self.state.try_send((&self.socket).into(), &transmit)
            && error.kind() != std::io::ErrorKind::WouldBlock
        {
            tracing::debug!(%error, %to, "a datagram can't be sent");
        }
    }

    /// Sends what a session says, datagrams of the same length together.
    fn flush(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (to, from) = (connection.peer, connection.local);
        let most = self.state.max_gso_segments().clamp(1, 44);
        let mut batch = std::mem::take(&mut self.batch);
        let (mut length, mut count) = (0usize, 0usize);
        loop {
            let next: Option<Bytes> =
                self.connections.get_mut(&id).and_then(|connection| connection.session.outgoing());
            let fits =
                next.as_ref().is_some_and(|datagram| count > 0 && count < most && datagram.len() == length);
            if count > 0 && !fits {
                self.transmit(&batch, (count > 1).then_some(length), to, from);
                batch.clear();
                count = 0;
            }
            let Some(datagram) = next else { break };
            length = datagram.len();
            count = count.saturating_add(1);
            batch.extend_from_slice(&datagram);
        }
        self.batch = batch;
    }

    fn end(&mut self, id: u32, reason: &str) {
        let now = self.now();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session.close(now);
            self.flush(id);
        }
        let Some(mut connection) = self.connections.remove(&id) else { return };
        self.known.remove(&(connection.peer, connection.peer_id));
        if let Some(due) = connection.due {
            self.schedule.remove(&(due, id));
        }
        let Stats { rtt, received, lost, dropped, sent, sent_again, .. } = connection.session.stats();
        tracing::debug!(peer = %connection.peer, reason, ?rtt, received, lost, dropped, sent, sent_again, "a connection of SRT is over");
        if let Role::Publishing { mut publication, mut incoming, .. } = connection.role {
            while let Some(payload) = connection.session.delivered() {
                let _ = incoming.push(&payload, &mut publication);
            }
            incoming.finish(&mut publication);
            let silent = connection.session.over() == Some(Over::Silent);
            if silent { publication.lose(reason) } else { publication.end(reason) }
        }
    }
}
