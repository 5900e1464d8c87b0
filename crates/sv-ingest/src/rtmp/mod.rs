//! RTMP, with what [Enhanced RTMP v2](https://veovera.org/docs/enhanced/enhanced-rtmp-v2) adds: both sides of a connection,
//! without a socket.
//!
//! A [`Server`] takes the bytes that come and gives [`Event`]s; what it says is answered by its methods, and what is to be
//! sent comes out of [`Server::outgoing`]. A [`Client`] is the same for who publishes or plays. Media are bodies of tags,
//! as [`sv_container::flv`] reads and writes them.

mod chunk;
mod client;
mod handshake;
mod link;
mod server;

pub use client::{Client, Purpose, Seen};
pub use server::{Event, Server};

use std::fmt;

/// The name by which a stream is published or played, which may be a secret: nothing prints it unasked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// From what the other side said, or will hear.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name itself, up to a question mark.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// What stands behind the question mark under `name`, as it stands there.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.0.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// All that stands behind the question mark; nothing if there is none.
    #[must_use]
    pub fn rest(&self) -> &str {
        self.0.split_once('?').map_or("", |(_, rest)| rest)
    }

    pub(super) fn whole(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(hidden)")
    }
}
