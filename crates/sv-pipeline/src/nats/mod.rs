//! Work for many machines, through NATS JetStream.
//!
//! A [`Board`] offers tasks, [`work`] takes them. A task is a small JSON document that says where
//! its media lie; media never go through NATS. JetStream may lose what it acknowledged (by default it
//! syncs every two minutes), so it is no more than a way to find hands: what is done and what is
//! left is the business of the journal of whoever offers ([`queue`](crate::queue)), and offering a
//! task twice must do no harm.
//!
//! Each slot of a worker asks for one task when it is free, so none waits in a buffer while its time
//! runs out, and says every few seconds that it is alive: a task whose worker falls silent goes to
//! another after [`Options::patience`].

mod board;
mod link;
mod message;
mod worker;

pub use board::Board;
pub use message::{News, Outcome, Report, Task};
pub use worker::work;

use std::time::Duration;

/// How to find the server and the others.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where the server is, such as `nats://127.0.0.1:4222`; several separated by commas. What it
    /// says about users and passwords is never shown.
    pub url: String,
    /// A credentials file, if the server asks for one.
    pub credentials: Option<std::path::PathBuf>,
    /// Whose work: only workers of the same group take a board's tasks. Letters, digits, `-`, `_`.
    pub group: String,
    /// How long a worker may be silent before its task goes to another.
    pub patience: Duration,
}

impl Options {
    /// The server at this address, with everything else as usual.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), credentials: None, group: "all".into(), patience: Duration::from_secs(10) }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("group", &self.group)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// What can go wrong between a board and its workers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server can't be reached, or refuses.
    #[error("the NATS server {what}: {reason}")]
    Server {
        /// What was tried.
        what: &'static str,
        /// What the client library says.
        reason: String,
    },
    /// A group's or a board's name with other characters than those of a subject.
    #[error("{0:?} is no name for a group or a board: letters, digits, - and _ only")]
    Name(String),
    /// The operating system refuses threads or sockets.
    #[error("no threads for the NATS client: {0}")]
    Threads(std::io::Error),
}
