//! Who comes in: a listener, and how many may stand in the hall.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use super::shard::{Inbox, Letter};
use super::tls::Socket;
use super::{Certificate, Entrance, Settings};
use crate::{Error, Result};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

/// What counts connections.
#[derive(Debug, Default)]
pub(super) struct Hall {
    inside: AtomicUsize,
    strangers: Mutex<HashMap<IpAddr, usize>>,
}

/// A place in the hall, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    hall: Arc<Hall>,
    /// Where a stranger came from; nobody who was let in.
    stranger: Option<IpAddr>,
}

impl Hall {
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr, settings: &Settings) -> Option<Place> {
        if self.inside.fetch_add(1, Ordering::AcqRel) >= settings.connections {
            self.inside.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let mut place = Place { hall: Arc::clone(self), stranger: None };
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = strangers.entry(from).or_default();
        if *count >= settings.strangers {
            drop(strangers);
            return None;
        }
        *count = count.saturating_add(1);
        place.stranger = Some(from);
        Some(place)
    }
}

impl Place {
    /// Whoever has it is no stranger any more.
    pub(super) fn introduce(&mut self) {
        let Some(from) = self.stranger.take() else { return };
        let mut strangers = self.hall.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = strangers.get_mut(&from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                strangers.remove(&from);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.introduce();
        self.hall.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A listener with its thread, which ends when this is dropped.
pub(super) struct Door {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    pub(super) fn open(
        address: SocketAddr,
        certificate: Option<Arc<Certificate>>,
        shards: Vec<Arc<Inbox>>,
        entrance: Entrance,
    ) -> Result<Self> {
        let listening = || format!("listening at {address}");
        let mut listener = TcpListener::bind(address).map_err(Error::io(listening()))?;
        let address = listener.local_addr().map_err(Error::io(listening()))?;
        let mut poll = Poll::new().map_err(Error::io(listening()))?;
        let register = poll.registry().register(&mut listener, LISTENER, Interest::READABLE);
        register.map_err(Error::io(listening()))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(Error::io(listening()))?;
        let closing = Arc::new(AtomicBool::new(false));
        let (end, hall) = (Arc::clone(&closing), Arc::new(Hall::default()));
        let work = move || {
            let mut events = Events::with_capacity(8);
            let mut next = 0usize;
            while !end.load(Ordering::Acquire) {
                if poll.poll(&mut events, None).is_err() {
                    continue;
                }
                loop {
                    match listener.accept() {
                        Ok((socket, peer)) => {
                            let Some(socket) = Socket::new(socket, certificate.as_deref()) else { continue };
                            let Some(place) = hall.enter(peer.ip(), entrance.settings()) else {
                                tracing::debug!(%peer, "there are too many connections");
                                continue;
                            };
                            next = next.wrapping_add(1);
                            if let Some(shard) = shards.get(next.checked_rem(shards.len()).unwrap_or(0)) {
                                shard.put(Letter::Connection { socket, peer, place });
                            }
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => {
                            // No descriptors are left: there will be when somebody goes.
                            tracing::warn!(%error, "a connection can't be taken");
                            std::thread::sleep(Duration::from_millis(50));
                            if end.load(Ordering::Acquire) {
                                break;
                            }
                        }
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("ingest door".into()).spawn(work);
        let thread = Some(thread.map_err(Error::io(listening()))?);
        Ok(Self { address, closing, waker, thread })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        let woken = self.waker.wake().is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}
