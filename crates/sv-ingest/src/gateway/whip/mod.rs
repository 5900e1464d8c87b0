//! Where senders by WHIP are: one port of UDP and one of TCP for all, and a thread.

mod clients;
mod thread;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Waker;

use super::{Entrance, Gateway, Grant};
use crate::whip::{Address, Fragment, Way};
use crate::{Error, Result};
use thread::Thread;

/// Letters that wait at most: beyond that nobody is let in.
const MOST_LETTERS: usize = 4096;

/// Where media come in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WhipSettings {
    /// The port of UDP.
    pub udp: SocketAddr,
    /// The port of TCP, for networks that have no UDP.
    pub tcp: Option<SocketAddr>,
    /// Addresses by which senders reach this machine, best first. Without any, what the sockets have: where these are for
    /// all interfaces, the addresses from which the machine reaches others.
    pub public: Vec<IpAddr>,
    /// A key picture is asked for when none has come for so long: segments begin at them.
    pub key_interval: Duration,
}

impl WhipSettings {
    /// At that port of UDP, with a key picture every two seconds.
    #[must_use]
    pub const fn new(udp: SocketAddr) -> Self {
        Self { udp, tcp: None, public: Vec::new(), key_interval: Duration::from_secs(2) }
    }
}

/// Senders by WHIP: what an HTTP server needs. Clones are the same.
#[derive(Clone)]
pub struct Whip {
    inbox: Arc<Inbox>,
    addresses: Arc<[Address]>,
}

/// A session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// By what it can be asked for, which nobody guesses.
    pub session: String,
    /// Which state of ICE it is in, for `ETag`.
    pub tag: String,
    /// The answer to the offer.
    pub answer: String,
}

/// What came of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patched {
    /// It was taken.
    Taken,
    /// ICE begins anew.
    Restarted {
        /// Ours in exchange.
        fragment: Fragment,
        /// The new tag.
        tag: String,
    },
}

/// Why a session isn't opened or changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// There is no such session.
    Missing,
    /// The tag is of an earlier state.
    Stale,
    /// No tag was said.
    Untagged,
    /// ICE's name is new, and the tag doesn't say that it should be.
    Conflict,
    /// There are too many sessions, or too many of that address that have not come to anything.
    Full,
    /// The gateway has ended.
    Over,
    /// What was said can't be taken.
    Wrong(Error),
}

pub(super) enum Letter {
    Open {
        offer: String,
        grant: Grant,
        from: SocketAddr,
        then: Box<dyn FnOnce(Result<Opened, Trouble>) + Send>,
    },
    Patch {
        session: String,
        tag: Option<String>,
        fragment: Fragment,
        then: Box<dyn FnOnce(Result<Patched, Trouble>) + Send>,
    },
    Close {
        session: String,
        then: Box<dyn FnOnce(bool) + Send>,
    },
    /// Somebody else has taken the place of the session with that number.
    Replaced(u64),
    Stop,
}

pub(super) struct Inbox {
    letters: Mutex<Option<Vec<Letter>>>,
    waker: Waker,
}

impl Inbox {
    /// Puts a letter in, or gives it back where nobody will read it.
    fn put(&self, letter: Letter) -> Option<Letter> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *letters {
            Some(waiting) if waiting.len() < MOST_LETTERS || !matches!(letter, Letter::Open { .. }) => {
                waiting.push(letter);
            }
            _ => return Some(letter),
        }
        drop(letters);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the thread of WHIP can't be woken");
        }
        None
    }

    fn take(&self) -> Vec<Letter> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nobody reads letters any more.
    fn close(&self) -> Vec<Letter> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

impl Letter {
    /// Tells who waits that nothing comes of it.
    fn refuse(self, why: Trouble) {
        match self {
            Self::Open { then, .. } => then(Err(why)),
            Self::Patch { then, .. } => then(Err(why)),
            Self::Close { then, .. } => then(false),
            Self::Replaced(_) | Self::Stop => {}
        }
    }
}

impl Whip {
    /// Where media come in.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Opens a session for what was granted to who offers it from `from`; `then` hears of it from another thread. The
    /// stream begins when the sender has shown itself; one that doesn't within the gateway's patience is forgotten.
    pub fn open(
        &self,
        offer: String,
        grant: Grant,
        from: SocketAddr,
        then: impl FnOnce(Result<Opened, Trouble>) + Send + 'static,
    ) {
        self.send(Letter::Open { offer, grant, from, then: Box::new(then) });
    }

    /// Takes what came later to a session in the state `tag`, as `If-Match` has it: `*` is any, and what begins ICE anew
    /// must say it.
    pub fn patch(
        &self,
        session: &str,
        tag: Option<String>,
        fragment: Fragment,
        then: impl FnOnce(Result<Patched, Trouble>) + Send + 'static,
    ) {
        self.send(Letter::Patch { session: session.to_owned(), tag, fragment, then: Box::new(then) });
    }

    /// Ends a session; `then` hears whether there was one.
    pub fn close(&self, session: &str, then: impl FnOnce(bool) + Send + 'static) {
        self.send(Letter::Close { session: session.to_owned(), then: Box::new(then) });
    }

    fn send(&self, letter: Letter) {
        if let Some(letter) = self.inbox.put(letter) {
            let full = self.inbox.letters.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            letter.refuse(if full { Trouble::Full } else { Trouble::Over });
        }
    }
}

impl fmt::Debug for Whip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whip").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// The thread, which ends when this is dropped.
pub(super) struct Door {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Door {
    fn drop(&mut self) {
        let told = self.inbox.put(Letter::Stop).is_none();
        if let Some(thread) = self.thread.take().filter(|_| told) {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

pub(super) fn open(settings: WhipSettings, entrance: Entrance) -> Result<(Door, Whip)> {
    let public = settings.public.clone();
    let (thread, inbox, udp, tcp) = Thread::new(settings, entrance)?;
    let ips = |socket: SocketAddr| if public.is_empty() { reached(socket.ip()) } else { public.clone() };
    let udp_addresses = ips(udp).into_iter().map(|ip| Address { way: Way::Udp, at: (ip, udp.port()).into() });
    let tcp_addresses = tcp.into_iter().flat_map(|tcp| {
        ips(tcp).into_iter().map(move |ip| Address { way: Way::Tcp, at: (ip, tcp.port()).into() })
    });
    let addresses: Arc<[Address]> = udp_addresses.chain(tcp_addresses).collect();
    let ours = addresses.to_vec();
    let work = std::thread::Builder::new().name("ingest whip".into()).spawn(move || thread.run(&ours));
    let thread = Some(work.map_err(Error::io("starting a thread"))?);
    Ok((Door { inbox: Arc::clone(&inbox), thread }, Whip { inbox, addresses }))
}

/// Addresses at which a socket is reached that is bound to this one.
fn reached(ip: IpAddr) -> Vec<IpAddr> {
    if !ip.is_unspecified() {
        return vec![ip];
    }
    // No packet is sent: the system only says from which address it would be. The ones far away are for documentation.
    let from = |near: IpAddr, far: IpAddr| {
        let socket = UdpSocket::bind((near, 0)).ok()?;
        socket.connect((far, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let four = from(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let six = from(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1).into());
    let found: Vec<IpAddr> = four.into_iter().chain(six.filter(|_| ip.is_ipv6())).collect();
    if found.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { found }
}

impl Gateway {
    /// Takes media of senders by WHIP there. An HTTP server brings their offers to what this gives: `streamverse` has one.
    ///
    /// # Errors
    /// When an address can't be listened to.
    pub fn whip(&self, settings: WhipSettings) -> Result<Whip> {
        let (door, whip) = open(settings, self.entrance.clone())?;
        self.whips.lock().unwrap_or_else(PoisonError::into_inner).push(door);
        Ok(whip)
    }
}
