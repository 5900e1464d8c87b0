//! The way in for any protocol: ask whether somebody may send a stream, and send it.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sv_core::Item;

use super::rules::Watch;
use super::{Answer, Ask, Grant, Notice, Settings, Verdict};
use crate::failover::{Publisher, Told};
use crate::health::Link;
use crate::hub::{Hub, Stream, is_name};
use crate::{Error, Result};

/// The way in of a gateway. Clones are the same.
///
/// A protocol that the gateway doesn't speak itself comes in by this: it asks with [`ask`](Self::ask), and sends with
/// what [`publish`](Self::publish) gives.
#[derive(Clone, Debug)]
pub struct Entrance {
    hub: Hub,
    settings: Arc<Settings>,
}

/// One who sends a stream. It has ended when this is dropped.
pub struct Publication {
    to: Arc<Stream>,
    number: Publisher,
    from: String,
    settings: Arc<Settings>,
    watch: Watch,
    over: bool,
}

impl Entrance {
    pub(super) const fn new(hub: Hub, settings: Arc<Settings>) -> Self {
        Self { hub, settings }
    }

    /// The streams.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// How the gateway works.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks whether somebody may have what it wants; `then` hears the answer, at once or from another thread. A
    /// name that no stream can have is refused, and who comes at the wrong time.
    pub fn ask(&self, ask: Ask, then: impl FnOnce(Verdict) + Send + 'static) {
        let (notice, peer, publish) = (Arc::clone(&self.settings.notice), ask.peer, ask.publish);
        let answer = Answer::new(move |verdict| {
            let verdict = match verdict {
                Verdict::Allow(grant) if !is_name(&grant.stream) => {
                    Verdict::refuse("a stream's name is made of letters, digits, hyphens and underscores")
                }
                Verdict::Allow(grant) if publish => match grant.rules.allowed(SystemTime::now()) {
                    Ok(_) => Verdict::Allow(grant),
                    Err(reason) => Verdict::Refuse { reason },
                },
                other => other,
            };
            if let Verdict::Refuse { reason } = &verdict {
                notice(Notice::Refused { peer, reason: reason.clone() });
            }
            then(verdict);
        });
        self.settings.admission.decide(ask, answer);
    }

    /// Begins to send the stream that was granted, by a protocol, from an address or whatever tells a person where it comes from.
    /// It takes the place of who sends it under the same rank; one of another rank stays, and the best that is well is on air.
    /// `replaced` is called when somebody else takes its place, or it is sent away by
    /// [`Hub::dismiss`], from where media go through: it should only pass it on to whoever ends the publication.
    pub fn publish(
        &self,
        grant: &Grant,
        protocol: &'static str,
        from: impl fmt::Display,
        replaced: impl FnOnce() + Send + 'static,
    ) -> Publication {
        let to = self.hub.stream(&grant.stream);
        let from = from.to_string();
        let (number, told) = to.begin(grant.rank, from.clone(), Box::new(replaced));
        let notice = Notice::Started { stream: grant.stream.clone(), from: from.clone(), protocol };
        (self.settings.notice)(notice);
        let watch = Watch::new(&grant.rules, SystemTime::now(), Instant::now());
        let settings = Arc::clone(&self.settings);
        let publication = Publication { to, number, from, settings, watch, over: false };
        publication.tell(told);
        publication
    }
}

/// What happened to a stream by itself, as a notice.
pub(super) fn notice(stream: &str, told: Told) -> Notice {
    let stream = stream.to_owned();
    match told {
        Told::Track(track) => Notice::Track { stream, track },
        Told::Switched { from, to, reason } => Notice::Switched { stream, from, to, reason },
    }
}

impl Publication {
    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        self.to.name()
    }

    /// Sends a track, before its packets and when it changes, or a packet.
    ///
    /// # Errors
    /// When another publisher has taken its place, or what was granted doesn't allow it.
    pub fn give(&mut self, item: &Item) -> Result<()> {
        if self.watch.is_needed() {
            self.watch.see(Instant::now(), item)?;
        }
        if let Some(told) = self.to.give(self.number, item) {
            self.tell(told);
            return Ok(());
        }
        self.over = true;
        Err(Error::Denied { reason: "another publisher has taken its place".into() })
    }

    /// Tells what the protocol knows of the line, whenever it knows something new.
    pub fn link(&self, link: Link) {
        self.to.link(self.number, link);
    }

    fn tell(&self, told: Vec<Told>) {
        for told in told {
            (self.settings.notice)(notice(self.to.name(), told));
        }
    }

    /// Ends it, for a reason that is a sentence.
    pub fn end(mut self, reason: &str) {
        self.leave(reason, false);
    }

    /// Ends it because the sender is gone without a word: it may soon be there again.
    pub fn lose(mut self, reason: &str) {
        self.leave(reason, true);
    }

    fn leave(&mut self, reason: &str, lost: bool) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(told) = self.to.leave(self.number) {
            self.tell(told);
            let (stream, reason) = (self.to.name().to_owned(), reason.to_owned());
            (self.settings.notice)(if self.to.is_live() {
                Notice::Left { stream, from: self.from.clone(), reason }
            } else {
                Notice::Ended { stream, reason, lost }
            });
        }
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.leave("the publisher has gone", true);
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication").field("stream", &self.to.name()).finish_non_exhaustive()
    }
}
