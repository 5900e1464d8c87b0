//! Who may send what, and who may get it.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Rules;
use crate::rtmp::Name;

/// What somebody wants.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ask {
    /// To send, or to get.
    pub publish: bool,
    /// By which protocol: `rtmp`.
    pub protocol: &'static str,
    /// The application: the first part of a URL's path.
    pub app: String,
    /// The rest, which may be a secret.
    pub name: Name,
    /// Where it comes from.
    pub peer: SocketAddr,
}

impl Ask {
    /// What somebody at `peer` wants; `name` with what stands behind its question mark.
    #[must_use]
    pub fn new(
        publish: bool,
        protocol: &'static str,
        app: impl Into<String>,
        name: impl Into<String>,
        peer: SocketAddr,
    ) -> Self {
        Self { publish, protocol, app: app.into(), name: Name::new(name), peer }
    }
}

/// What it hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Yes.
    Allow(Grant),
    /// No, for a reason that may be told to anybody.
    Refuse {
        /// The reason.
        reason: String,
    },
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The name by which everybody else knows the stream.
    pub stream: String,
    /// Of several who send it at once, the one with the lowest number is taken: 0 for a primary, 1 for its backup.
    pub rank: u8,
    /// What who sends it is bound to.
    pub rules: Rules,
}

impl Grant {
    /// To send or get the stream of that name.
    #[must_use]
    pub fn new(stream: impl Into<String>) -> Self {
        Self { stream: stream.into(), rank: 0, rules: Rules::default() }
    }
}

impl Verdict {
    /// Yes: it is the stream of that name.
    #[must_use]
    pub fn allow(stream: impl Into<String>) -> Self {
        Self::Allow(Grant::new(stream))
    }

    /// No.
    #[must_use]
    pub fn refuse(reason: impl Into<String>) -> Self {
        Self::Refuse { reason: reason.into() }
    }
}

/// How an [`Ask`] is answered: once, from any thread, now or later. Dropped without an answer, it means no.
pub struct Answer(Option<Box<dyn FnOnce(Verdict) + Send>>);

impl Answer {
    /// What is said goes to `say`.
    #[must_use]
    pub fn new(say: impl FnOnce(Verdict) + Send + 'static) -> Self {
        Self(Some(Box::new(say)))
    }

    /// Answers.
    pub fn say(mut self, verdict: Verdict) {
        if let Some(say) = self.0.take() {
            say(verdict);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(say) = self.0.take() {
            say(Verdict::refuse("nobody could decide"));
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// Decides who may send and get streams.
pub trait Admission: Send + Sync {
    /// Somebody wants something. This is called where media go through: what takes time (a webhook, a database)
    /// belongs on another thread, with the answer.
    fn decide(&self, ask: Ask, answer: Answer);
}

/// Everybody may send and get everything, under the name that is asked for: for a machine that only its owner reaches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Admission for Open {
    fn decide(&self, ask: Ask, answer: Answer) {
        answer.say(Verdict::allow(ask.name.expose()));
    }
}

/// Streams by their keys: who knows a key may send its stream, and everybody may get every stream by its name.
///
/// Keys are kept as their SHA-256 alone. They are compared in a time that says nothing about them.
#[derive(Clone, Default)]
pub struct Keys {
    grants: HashMap<[u8; 32], Grant>,
}

impl Keys {
    /// Nobody may send anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Who knows `key` may send the stream `stream`.
    #[must_use]
    pub fn key(self, key: &str, stream: impl Into<String>) -> Self {
        self.hashed(Sha256::digest(key).into(), stream)
    }

    /// As [`key`](Self::key), where only the key's SHA-256 is known.
    #[must_use]
    pub fn hashed(self, key: [u8; 32], stream: impl Into<String>) -> Self {
        self.grant(key, Grant::new(stream))
    }

    /// Who knows the key of that SHA-256 may do what is granted.
    #[must_use]
    pub fn grant(mut self, key: [u8; 32], grant: Grant) -> Self {
        self.grants.insert(key, grant);
        self
    }

    fn find(&self, key: &str) -> Option<&Grant> {
        let hash: [u8; 32] = Sha256::digest(key).into();
        // All are looked at, each for as long.
        self.grants.iter().fold(
            None,
            |found, (known, grant)| {
                if bool::from(known.ct_eq(&hash)) { Some(grant) } else { found }
            },
        )
    }
}

impl Admission for Keys {
    fn decide(&self, ask: Ask, answer: Answer) {
        let name = ask.name.expose();
        answer.say(match (ask.publish, self.find(name)) {
            (true, Some(grant)) => Verdict::Allow(grant.clone()),
            (true, None) => Verdict::refuse("this stream key is not known"),
            (false, _) => Verdict::allow(name),
        });
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut streams: Vec<_> = self.grants.values().map(|grant| &grant.stream).collect();
        streams.sort();
        f.debug_struct("Keys").field("streams", &streams).finish_non_exhaustive()
    }
}
