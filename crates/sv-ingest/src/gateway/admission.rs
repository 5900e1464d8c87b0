//! Who may send what, and who may get it.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Rules;
use crate::rtmp::Name;
#[cfg(feature = "rtsp")]
use crate::rtsp::{Digests, Proof};

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
    /// That a password is known, instead of the name; only where [`Admission::knows_digests`].
    #[cfg(feature = "rtsp")]
    pub proof: Option<Proof>,
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
        Self {
            publish,
            protocol,
            app: app.into(),
            name: Name::new(name),
            #[cfg(feature = "rtsp")]
            proof: None,
            peer,
        }
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

    /// Whether everybody may show by a digest that it knows its key ([`Ask::proof`]). Who is offered that shows nothing else.
    fn knows_digests(&self) -> bool {
        false
    }
}

impl<A: Admission + ?Sized> Admission for std::sync::Arc<A> {
    fn decide(&self, ask: Ask, answer: Answer) {
        (**self).decide(ask, answer);
    }

    fn knows_digests(&self) -> bool {
        (**self).knows_digests()
    }
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
/// Keys are kept as their SHA-256 alone, and as [`Digests`] where they are told. They are compared in a time that says nothing
/// about them.
#[derive(Clone, Default)]
pub struct Keys {
    grants: HashMap<[u8; 32], Grant>,
    #[cfg(feature = "rtsp")]
    digests: HashMap<[u8; 32], Digests>,
}

impl Keys {
    /// Nobody may send anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is kept of a key: its SHA-256.
    #[must_use]
    pub fn hash(key: &str) -> [u8; 32] {
        Sha256::digest(key).into()
    }

    /// Who knows `key` may send the stream `stream`.
    #[must_use]
    pub fn key(self, key: &str, stream: impl Into<String>) -> Self {
        let stream = stream.into();
        self.digest(key, &stream).hashed(Self::hash(key), stream)
    }

    /// As [`key`](Self::key), where only the key's SHA-256 is known.
    #[must_use]
    pub fn hashed(self, key: [u8; 32], stream: impl Into<String>) -> Self {
        self.grant(key, Grant::new(stream))
    }

    /// Who knows `key` may send the stream `stream` beside who knows its [`key`](Self::key): it is taken where that one
    /// fails.
    #[must_use]
    pub fn backup(self, key: &str, stream: impl Into<String>) -> Self {
        let stream = stream.into();
        self.digest(key, &stream).hashed_backup(Self::hash(key), stream)
    }

    /// As [`backup`](Self::backup), where only the key's SHA-256 is known.
    #[must_use]
    pub fn hashed_backup(self, key: [u8; 32], stream: impl Into<String>) -> Self {
        self.grant(key, Grant { rank: 1, ..Grant::new(stream) })
    }

    /// Who knows the key of that SHA-256 may do what is granted.
    #[must_use]
    pub fn grant(mut self, key: [u8; 32], grant: Grant) -> Self {
        self.grants.insert(key, grant);
        self
    }

    /// Who knows `key` may also show it by a digest (of RTSP), with the stream's name as its own.
    #[must_use]
    pub fn digest(mut self, key: &str, stream: &str) -> Self {
        #[cfg(feature = "rtsp")]
        self.digests.insert(Self::hash(key), Digests::new(stream, key));
        #[cfg(not(feature = "rtsp"))]
        let _ = (&mut self, key, stream);
        self
    }

    #[cfg(feature = "rtsp")]
    fn shown(&self, proof: &Proof) -> Option<&Grant> {
        let shown = self.digests.iter().find(|(_, kept)| proof.is_of(kept));
        self.grants.get(shown?.0)
    }

    fn find(&self, key: &str) -> Option<&Grant> {
        let hash = Self::hash(key);
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
        #[cfg(feature = "rtsp")]
        let found = ask.proof.as_ref().map_or_else(|| self.find(name), |proof| self.shown(proof));
        #[cfg(not(feature = "rtsp"))]
        let found = self.find(name);
        answer.say(match (ask.publish, found) {
            (true, Some(grant)) => Verdict::Allow(grant.clone()),
            (true, None) => Verdict::refuse("this stream key is not known"),
            (false, _) => Verdict::allow(name),
        });
    }

    #[cfg(feature = "rtsp")]
    fn knows_digests(&self) -> bool {
        !self.grants.is_empty() && self.grants.keys().all(|hash| self.digests.contains_key(hash))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut streams: Vec<_> = self.grants.values().map(|grant| &grant.stream).collect();
        streams.sort();
        f.debug_struct("Keys").field("streams", &streams).finish_non_exhaustive()
    }
}
