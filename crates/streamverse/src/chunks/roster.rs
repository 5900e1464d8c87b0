//! Who works on what, for those who look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// A board on which the workers of any number of runs stand. Clones are the same board.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    workers: BTreeMap<String, (Hand, Instant)>,
    runs: BTreeMap<String, Load>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Hand {
    /// Its name: `worker-1` here, `HOST-PID/SLOT` elsewhere.
    pub name: String,
    /// Whether it belongs to another process.
    pub remote: bool,
    /// What it works on, if anything: the run and the chunk.
    pub task: Option<String>,
    /// Chunks that it has finished.
    pub finished: u64,
    /// Milliseconds since it was last heard of.
    pub silent_ms: u64,
}

/// The chunks of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Load {
    /// Not begun yet.
    pub waiting: u32,
    /// With a worker.
    pub running: u32,
    /// Finished.
    pub done: u32,
    /// How often a chunk was begun again because its worker failed or fell silent.
    pub retries: u32,
}

impl Roster {
    /// The workers, by name, without those that were not heard of for a minute.
    #[must_use]
    pub fn workers(&self) -> Vec<Hand> {
        let mut inner = self.lock();
        inner.workers.retain(|_, (_, heard)| heard.elapsed().as_secs() < 60);
        let hand = |(hand, heard): &(Hand, Instant)| Hand {
            silent_ms: u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..hand.clone()
        };
        inner.workers.values().map(hand).collect()
    }

    /// The runs that are cut into chunks, by name.
    #[must_use]
    pub fn runs(&self) -> BTreeMap<String, Load> {
        self.lock().runs.clone()
    }

    pub(super) fn load(&self, run: &str, change: impl FnOnce(&mut Load)) {
        change(self.lock().runs.entry(run.to_owned()).or_default());
    }

    pub(super) fn over(&self, run: &str) {
        self.lock().runs.remove(run);
    }

    pub(super) fn heard(&self, name: &str, remote: bool, change: impl FnOnce(&mut Hand)) {
        let mut inner = self.lock();
        let fresh = || {
            (Hand { name: name.to_owned(), remote, task: None, finished: 0, silent_ms: 0 }, Instant::now())
        };
        let (hand, heard) = inner.workers.entry(name.to_owned()).or_insert_with(fresh);
        *heard = Instant::now();
        change(hand);
    }

    pub(super) fn left(&self, name: &str) {
        self.lock().workers.remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
