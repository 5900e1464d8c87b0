//! Where a queue on a server is.

use std::fmt;
use std::time::Duration;

use ::postgres::Config;
use sv_core::ErrorKind;

use crate::queue::{Error, Result};

/// How long a server may take to accept a connection, unless the address says otherwise.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may leave what was sent unconfirmed, unless the address says otherwise.
const UNHEARD: Duration = Duration::from_secs(20);
/// How long a connection is silent before it is probed, and how far apart the probes are.
const PROBE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// A queue on a PostgreSQL server (12 or later), for [`Queue::connect`](crate::queue::Queue::connect).
///
/// What is different from a folder:
///
/// - Nothing shows that another process is dead: its jobs are free when their leases end, so leases
///   should be as short as heartbeats allow.
/// - Every process brings its own clock to the leases. The clocks must agree to much less than a
///   lease.
/// - A call may fail because the connection is lost; the next one connects again. Whether the lost
///   call took place is not known then. [`enqueue`](crate::queue::Queue::enqueue) can be repeated
///   because of the key; a job that was claimed unheard is free when its lease ends.
/// - A call waits for each answer of the server for half a minute at most, and blocks its thread as
///   long. The connection has a thread of its own, so that calls work on any other, those of an
///   asynchronous runtime included. That thread ends with the queue.
/// - A key is at most 2,600 bytes long, and a zero byte in a text is kept as U+FFFD.
///
/// The connection is not encrypted: use it within one machine, a private network or a tunnel.
#[derive(Clone)]
#[non_exhaustive]
pub struct Database {
    /// Where the server is: `postgres://user:password@host:5432/database`, or `host=... user=...`.
    /// It is never shown, as it holds a password.
    pub url: String,
    /// The queue's name among those of the database: lower-case letters, digits and `_`, 63 at most.
    /// A schema with this name holds its tables; `DROP SCHEMA ... CASCADE` removes the queue.
    pub name: String,
}

impl Database {
    /// The queue `sv_queue` at this address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), name: "sv_queue".into() }
    }

    /// The address, with times that let no call hang. What is wrong with one is not told in
    /// detail, as it could be part of a password.
    pub(super) fn config(&self) -> Result<Config> {
        let mut config: Config = self.url.parse().map_err(|_| {
            invalid(
                "the address of the PostgreSQL server is not like postgres://user:password@host/database \
                 (special characters in a password are written as %40)",
            )
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNHEARD);
        }
        if config.get_application_name().is_none() {
            config.application_name("streamverse");
        }
        config.keepalives_idle(PROBE.0).keepalives_interval(PROBE.1).keepalives_retries(2);
        // The server's remarks are for a person at a terminal.
        config.notice_callback(|_| ());
        Ok(config)
    }

    /// The name, which can then stand in a statement as it is.
    pub(super) fn checked_name(&self) -> Result<&str> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.name.is_empty() || self.name.len() > 63 || !self.name.chars().all(plain) {
            return Err(invalid(
                "the name of a queue is made of lower-case letters, digits and _, 63 at most",
            ));
        }
        Ok(&self.name)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.name).finish_non_exhaustive()
    }
}

fn invalid(what: &str) -> Error {
    Error::Journal { kind: ErrorKind::InvalidInput, source: what.into() }
}
