//! A thread that reads and writes many connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::connection::{Connection, Context};
use super::door::Place;
use super::tls::Socket;
use super::{Batch, Entrance, Verdict};
use crate::{Error, Result};

const WAKER: Token = Token(usize::MAX);
/// How often deadlines are looked at.
const ROUND: Duration = Duration::from_millis(500);
/// With fewer connections than this, waiting to read several at once saves nothing.
const CROWD: usize = 32;
/// How long packets wait, at most, where a shard has more to do than the first share of its time, in percent, until it is
/// below the second: a step for each degree of hurry.
const STEPS: [(Duration, u128, u128); 3] =
    [(Duration::ZERO, 0, 0), (Duration::from_millis(33), 50, 12), (Duration::from_millis(50), 75, 45)];
/// What is read at once.
const BUFFER: usize = 64 << 10;

/// Something for a shard to do.
pub(super) enum Letter {
    Connection {
        socket: Socket,
        peer: SocketAddr,
        place: Place,
    },
    /// An answer to what a connection asked for.
    Verdict {
        to: Whom,
        stream: u32,
        verdict: Verdict,
    },
    /// Something waits for a connection that plays.
    Ready(Whom),
    /// Somebody else has taken the place of a connection that publishes.
    Replaced(Whom),
    Stop,
}

/// A connection, which may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whom {
    pub(super) token: usize,
    pub(super) serial: u64,
}

/// Where letters for a shard go.
#[derive(Debug)]
pub(super) struct Inbox {
    letters: Mutex<Vec<Letter>>,
    waker: Waker,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Letter")
    }
}

impl Inbox {
    pub(super) fn put(&self, letter: Letter) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let first = letters.is_empty();
        letters.push(letter);
        drop(letters);
        if first && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a thread of the gateway can't be woken");
        }
    }

    fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) struct Shard {
    poll: Poll,
    inbox: Arc<Inbox>,
    connections: Slab<Connection>,
    entrance: Entrance,
}

impl Shard {
    pub(super) fn new(entrance: Entrance) -> Result<Self> {
        let poll = Poll::new().map_err(Error::io("starting to wait for sockets"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(Error::io("starting to wait for sockets"))?;
        let inbox = Arc::new(Inbox { letters: Mutex::default(), waker });
        Ok(Self { poll, inbox, connections: Slab::new(), entrance })
    }

    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; BUFFER];
        let mut round = Instant::now();
        let (mut idle, mut step) = (Duration::ZERO, 0usize);
        loop {
            let begun = Instant::now();
            if let Err(error) = self.poll.poll(&mut events, Some(ROUND))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the gateway can't wait for sockets");
                std::thread::sleep(ROUND);
            }
            idle = idle.saturating_add(begun.elapsed());
            for event in &events {
                if event.token() != WAKER {
                    let Token(token) = event.token();
                    let last = event.is_read_closed() || event.is_error();
                    let readable = event.is_readable() || last;
                    self.with(token, None, |connection, context| {
                        if readable {
                            connection.read(&mut buffer, last, context)?;
                        }
                        connection.play(context)
                    });
                }
            }
            for letter in self.inbox.take() {
                if matches!(letter, Letter::Stop) {
                    let tokens: Vec<usize> = self.connections.iter().map(|(token, _)| token).collect();
                    tokens.into_iter().for_each(|token| self.close(token, "the gateway stops", false));
                    return;
                }
                self.letter(letter);
            }
            let passed = round.elapsed();
            if passed >= ROUND {
                let worked = passed.saturating_sub(idle).as_nanos().saturating_mul(100);
                let share = worked.checked_div(passed.as_nanos()).unwrap_or(0);
                let hurry = STEPS.get(step.saturating_add(1)).is_some_and(|(_, above, _)| share > *above);
                let calm = STEPS.get(step).is_some_and(|(_, _, below)| share < *below);
                step = if hurry { step.saturating_add(1) } else { step.saturating_sub(usize::from(calm)) };
                (round, idle) = (Instant::now(), Duration::ZERO);
                self.round();
            }
            let wait = match self.entrance.settings().batch {
                Batch::Always(wait) => wait,
                Batch::Busy => STEPS.get(step).map_or(Duration::ZERO, |(wait, _, _)| *wait),
                Batch::Never => Duration::ZERO,
            };
            if let Some(rest) = wait.checked_sub(begun.elapsed())
                && self.connections.len() >= CROWD
                && !rest.is_zero()
            {
                std::thread::sleep(rest);
                idle = idle.saturating_add(rest);
            }
        }
    }

    /// Works on a connection, which is closed where that fails.
    fn with(
        &mut self,
        token: usize,
        serial: Option<u64>,
        work: impl FnOnce(&mut Connection, &Context<'_>) -> Result<()>,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let whom = Whom { token, serial: connection.serial() };
        if serial.is_some_and(|serial| serial != whom.serial) {
            return;
        }
        let context = Context { entrance: &self.entrance, inbox: &self.inbox, whom };
        let result = work(connection, &context);
        if let Err(error) = result {
            self.close(token, &error.to_string(), !matches!(error, Error::Denied { .. }));
        } else if connection.is_over() {
            self.close(token, "the other side has closed the connection", true);
        }
    }

    fn close(&mut self, token: usize, reason: &str, lost: bool) {
        let Some(mut connection) = self.connections.try_remove(token) else { return };
        connection.close(reason, lost, self.poll.registry());
    }

    fn letter(&mut self, letter: Letter) {
        match letter {
            Letter::Connection { mut socket, peer, place } => {
                // Frames leave when they are written.
                let _ = socket.inner().set_nodelay(true);
                let entry = self.connections.vacant_entry();
                let token = Token(entry.key());
                let both = Interest::READABLE | Interest::WRITABLE;
                match self.poll.registry().register(socket.inner(), token, both) {
                    Ok(()) => {
                        entry.insert(Connection::new(socket, peer, place, self.entrance.settings()));
                    }
                    Err(error) => tracing::warn!(%error, %peer, "a connection can't be waited for"),
                }
            }
            Letter::Verdict { to, stream, verdict } => {
                self.with(to.token, Some(to.serial), |connection, context| {
                    connection.decided(stream, verdict, context)
                });
            }
            Letter::Ready(to) => {
                self.with(to.token, Some(to.serial), |connection, context| connection.play(context));
            }
            Letter::Replaced(to) => {
                if self.connections.get(to.token).is_some_and(|c| c.serial() == to.serial) {
                    self.close(to.token, "it was sent away", false);
                }
            }
            Letter::Stop => {}
        }
    }

    /// Looks at deadlines.
    fn round(&mut self) {
        let now = Instant::now();
        let late = self.connections.iter().filter_map(|(token, c)| Some((token, c.is_late(now)?)));
        for (token, reason) in late.collect::<Vec<_>>() {
            self.close(token, reason, true);
        }
        self.entrance.hub().tidy();
    }
}
