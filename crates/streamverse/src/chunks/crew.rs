//! Workers of this process, and the journal that tells them what to do.

use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sv_core::ErrorKind;
use sv_pipeline::Cancel;
use sv_pipeline::queue::{Claim, Error as QueueError, Failed, NewJob, Options, Queue};

use super::{Store, Unit};
use crate::{Error, Result};

/// A worker says that it is alive at most so often.
const BEAT: Duration = Duration::from_secs(5);

/// A process that dies is noticed by its lock, at once: a lease only has to outlast an encoder that
/// gives nothing for a while.
const LEASE: Duration = Duration::from_secs(600);

/// The workers of one run, and what they have to do.
pub(crate) struct Crew<'a> {
    units: &'a [Unit],
    store: &'a Store,
    queue: Queue,
    cancel: &'a Cancel,
    watch: &'a (dyn Fn(&str, Duration) + Sync),
    standing: Mutex<Standing>,
    changed: Condvar,
}

#[derive(Default)]
struct Standing {
    failed: Option<Error>,
    /// Counts whatever happened, so that nobody sleeps through it.
    events: u64,
}

impl<'a> Crew<'a> {
    /// Enters what is not in the store yet into the journal of `folder`.
    pub(crate) fn new(
        folder: &Path,
        units: &'a [Unit],
        store: &'a Store,
        cancel: &'a Cancel,
        watch: &'a (dyn Fn(&str, Duration) + Sync),
    ) -> Result<Self> {
        let mut options = Options::default();
        options.lease = LEASE;
        let queue = Queue::open(folder, options, SystemTime::now()).map_err(journal)?;
        for unit in units.iter().filter(|unit| !unit.is_done(store)) {
            let payload = serde_json::to_value(unit.number).unwrap_or_default();
            queue.enqueue(&NewJob::new(key(unit), payload), SystemTime::now()).map_err(journal)?;
        }
        let standing = Mutex::new(Standing::default());
        Ok(Self { units, store, queue, cancel, watch, standing, changed: Condvar::new() })
    }

    /// Has `workers` of them work, and gives each unit to `take` when it is in the store, in order.
    pub(crate) fn run(&self, workers: u32, mut take: impl FnMut(&Unit) -> Result<()>) -> Result<()> {
        let stop = self.cancel.part();
        std::thread::scope(|scope| {
            for n in 1..=workers.max(1) {
                let name = format!("worker-{n}");
                let spawned = std::thread::Builder::new().name(name.clone()).spawn_scoped(scope, {
                    let stop = stop.clone();
                    move || self.work(&name, &stop)
                });
                spawned.map_err(Error::from)?;
            }
            let taken = self.units.iter().try_for_each(|unit| {
                self.wait_for(unit)?;
                take(unit)
            });
            // Nothing is left to do, or nothing can be done with it.
            stop.cancel();
            self.tell(|_| ());
            taken
        })
    }

    fn wait_for(&self, unit: &Unit) -> Result<()> {
        let mut standing = self.lock();
        loop {
            if let Some(error) = standing.failed.take() {
                return Err(error);
            }
            if self.cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled"));
            }
            if unit.is_done(self.store) {
                return Ok(());
            }
            // A cancellation rings no bell of ours.
            let waited = self.changed.wait_timeout(standing, Duration::from_millis(200));
            standing = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn work(&self, name: &str, stop: &Cancel) {
        while !stop.is_cancelled() {
            let events = self.lock().events;
            match self.queue.claim(name, SystemTime::now()) {
                Ok(Some(claim)) => {
                    if let Err(error) = self.one(&claim, stop) {
                        self.tell(|standing| standing.failed = Some(error));
                        return;
                    }
                    self.tell(|_| ());
                }
                Ok(None) => {
                    let idle = |standing: &mut Standing| standing.events == events && !stop.is_cancelled();
                    let waited =
                        self.changed.wait_timeout_while(self.lock(), Duration::from_millis(200), idle);
                    drop(waited);
                }
                Err(error) => {
                    self.tell(|standing| standing.failed = Some(journal(error)));
                    return;
                }
            }
        }
    }

    /// Does one unit. An error is one that ends the run.
    fn one(&self, claim: &Claim, stop: &Cancel) -> Result<()> {
        let number = claim.job.payload.as_u64();
        let unit = self.units.iter().find(|unit| Some(u64::from(unit.number)) == number);
        let Some(unit) = unit.filter(|unit| !unit.is_done(self.store)) else {
            return self
                .queue
                .complete(&claim.lease, &serde_json::Value::Null, SystemTime::now())
                .map_err(journal);
        };
        let beaten = Mutex::new(Instant::now());
        let watch = |name: &str, more: Duration| {
            (self.watch)(name, more);
            let mut beaten = beaten.lock().unwrap_or_else(PoisonError::into_inner);
            if beaten.elapsed() > BEAT {
                *beaten = Instant::now();
                // A lost lease shows at the end; the chunk is as good whoever made it.
                let _ = self.queue.heartbeat(&claim.lease, SystemTime::now());
            }
        };
        match unit.run(self.store, stop, &watch) {
            Ok(()) => match self.queue.complete(&claim.lease, &serde_json::Value::Null, SystemTime::now()) {
                Ok(()) | Err(QueueError::LeaseLost(_)) => Ok(()),
                Err(error) => Err(journal(error)),
            },
            Err(_) if stop.is_cancelled() => {
                let _ = self.queue.give_back(&claim.lease, SystemTime::now());
                Ok(())
            }
            Err(error) => {
                // A full or a broken disk may be better in a while; a broken film stays broken.
                let again = error.kind().is_retryable() || error.kind() == ErrorKind::Internal;
                let reason = error.to_string();
                match self.queue.fail(&claim.lease, &reason, again, SystemTime::now()).map_err(journal)? {
                    Failed::AgainAt(_) => {
                        tracing::warn!(chunk = unit.number, %error, "a chunk is tried again");
                        Ok(())
                    }
                    Failed::ForGood => Err(error.context(what(unit))),
                }
            }
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = self.lock();
        change(&mut standing);
        standing.events += 1;
        drop(standing);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(unit: &Unit) -> String {
    format!("chunk-{:05}", unit.number)
}

fn what(unit: &Unit) -> String {
    let end =
        unit.until.map_or_else(|| "the end".to_owned(), |until| format!("{:.1} s", until.as_secs_f64()));
    format!("the pictures from {:.1} s to {end} can't be encoded", unit.from.as_secs_f64())
}

fn journal(error: QueueError) -> Error {
    Error::new(ErrorKind::Io, format!("the journal of chunks can't be used: {error}"))
}
