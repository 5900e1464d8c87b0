//! Workers of this process, and the journal that tells them what to do.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sv_core::ErrorKind;
use sv_pipeline::Cancel;
use sv_pipeline::queue::{Claim, Error as QueueError, Failed, Lease, NewJob, Options, Queue};
use sv_pipeline::share::Share;

use super::{Journal, Roster, Store, Unit, Workers};
use crate::{Error, Result};

/// A worker says that it is alive at most so often.
const BEAT: Duration = Duration::from_secs(5);

/// A process that dies is noticed by its lock, at once: a lease only has to outlast an encoder that
/// gives nothing for a while.
const LEASE: Duration = Duration::from_secs(600);

/// What a crew has to do.
pub(crate) struct Plan<'a> {
    /// What the run is called on the roster.
    pub(crate) name: &'a str,
    pub(crate) units: &'a [Unit],
    pub(crate) store: &'a Store,
    /// Where the journal is, if it is in a folder.
    pub(crate) folder: &'a std::path::Path,
    pub(crate) journal: &'a Journal,
    pub(crate) cancel: &'a Cancel,
    /// What workers of this process may take of the machine.
    pub(crate) share: &'a Share,
    /// Hears how much more of a rendition is done.
    pub(crate) watch: &'a (dyn Fn(&str, Duration) + Sync),
    pub(crate) roster: &'a Roster,
}

/// The workers of one run, and the journal of what they have to do.
pub(crate) struct Crew<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) queue: Queue,
    standing: Mutex<Standing>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Standing {
    pub(super) failed: Option<Error>,
    /// Processor time that workers of other processes took.
    pub(super) far: Duration,
    /// Counts whatever happened, so that nobody sleeps through it.
    events: u64,
}

impl<'a> Crew<'a> {
    /// Enters what is not in the store yet into the journal beside it.
    pub(crate) fn new(plan: Plan<'a>) -> Result<Self> {
        std::fs::create_dir_all(plan.folder)?;
        plan.store.make()?;
        let mut options = Options::default();
        options.lease = LEASE;
        let queue = match plan.journal {
            Journal::Folder => Queue::open(plan.folder, options, SystemTime::now()),
            // The lock on the output says that no other coordinator lives.
            #[cfg(feature = "postgres")]
            Journal::Database(database) => Queue::connect(database, options)
                .and_then(|queue| queue.release(SystemTime::now()).map(|()| queue)),
        };
        let queue = queue.map_err(journal)?;
        for unit in plan.units.iter().filter(|unit| !unit.is_done(plan.store)) {
            let payload = serde_json::to_value(unit.number).unwrap_or_default();
            queue.enqueue(&NewJob::new(key(unit), payload), SystemTime::now()).map_err(journal)?;
        }
        let done = plan.units.iter().filter(|unit| unit.is_done(plan.store)).count() as u32;
        plan.roster.load(plan.name, |load| {
            (load.done, load.waiting) = (done, plan.units.len() as u32 - done);
        });
        Ok(Self { plan, queue, standing: Mutex::default(), changed: Condvar::new() })
    }

    /// Has them work, and gives each unit to `take` when it is in the store, in order. Tells how much
    /// processor time other processes took.
    pub(crate) fn run(
        &self,
        workers: &Workers,
        mut take: impl FnMut(&Unit) -> Result<()>,
    ) -> Result<Duration> {
        let stop = self.plan.cancel.part();
        std::thread::scope(|scope| {
            let stop_too = &stop;
            let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
            let hired = match workers {
                Workers::Here(count) => (1..=(*count).max(1)).try_for_each(|n| {
                    let name = format!("worker-{n}");
                    thread(&name).spawn_scoped(scope, move || self.work(&name, stop_too)).map(drop)
                }),
                #[cfg(feature = "nats")]
                Workers::Nats(options) => {
                    let far = move || self.failed_by(self.far(options, stop_too));
                    thread("far workers").spawn_scoped(scope, far).map(drop)
                }
            };
            let taken = hired.map_err(Error::from).and_then(|()| {
                self.plan.units.iter().try_for_each(|unit| {
                    self.wait_for(unit)?;
                    take(unit)
                })
            });
            // Nothing is left to do, or nothing can be done with it.
            stop.cancel();
            self.tell(|_| ());
            taken
        })?;
        Ok(self.lock().far)
    }

    fn wait_for(&self, unit: &Unit) -> Result<()> {
        let mut standing = self.lock();
        loop {
            if let Some(error) = standing.failed.take() {
                return Err(error);
            }
            if self.plan.cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled"));
            }
            if unit.is_done(self.plan.store) {
                return Ok(());
            }
            // A cancellation rings no bell of ours.
            let waited = self.changed.wait_timeout(standing, Duration::from_millis(200));
            standing = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn work(&self, name: &str, stop: &Cancel) {
        let known = format!("{name} of {}", self.plan.name);
        while !stop.is_cancelled() {
            let events = self.lock().events;
            self.plan.roster.heard(&known, false, |hand| hand.task = None);
            match self.queue.claim(name, SystemTime::now()) {
                Ok(Some(claim)) => {
                    self.plan.roster.heard(&known, false, |hand| hand.task = Some(claim.job.key.clone()));
                    if let Err(error) = self.one(&claim, &known, stop) {
                        return self.failed_by(Err(error));
                    }
                    self.plan.roster.heard(&known, false, |hand| hand.finished += 1);
                    self.tell(|_| ());
                }
                Ok(None) => {
                    let idle = |standing: &mut Standing| standing.events == events && !stop.is_cancelled();
                    let waited =
                        self.changed.wait_timeout_while(self.lock(), Duration::from_millis(200), idle);
                    drop(waited);
                }
                Err(error) => return self.failed_by(Err(journal(error))),
            }
        }
        self.plan.roster.left(&known);
    }

    /// Ends the run, if something did not go well.
    fn failed_by(&self, result: Result<()>) {
        if let Err(error) = result {
            self.tell(|standing| standing.failed = Some(error));
        }
    }

    /// The unit of a claim, unless it lies in the store already.
    pub(super) fn unit(&self, claim: &Claim) -> Option<&'a Unit> {
        let number = claim.job.payload.as_u64();
        let unit = self.plan.units.iter().find(|unit| Some(u64::from(unit.number)) == number);
        unit.filter(|unit| !unit.is_done(self.plan.store))
    }

    /// Does one unit. An error is one that ends the run.
    fn one(&self, claim: &Claim, known: &str, stop: &Cancel) -> Result<()> {
        let Some(unit) = self.unit(claim) else {
            return self
                .queue
                .complete(&claim.lease, &serde_json::Value::Null, SystemTime::now())
                .map_err(journal);
        };
        let beaten = Mutex::new(Instant::now());
        let watch = |name: &str, more: Duration| {
            (self.plan.watch)(name, more);
            let mut beaten = beaten.lock().unwrap_or_else(PoisonError::into_inner);
            if beaten.elapsed() > BEAT {
                *beaten = Instant::now();
                self.plan.roster.heard(known, false, |_| ());
                // A lost lease shows at the end; the chunk is as good whoever made it.
                let _ = self.queue.heartbeat(&claim.lease, SystemTime::now());
            }
        };
        self.begun();
        match unit.run(self.plan.store, self.plan.share, stop, &watch) {
            Ok(()) => self.done(&claim.lease),
            Err(_) if stop.is_cancelled() => {
                let _ = self.queue.give_back(&claim.lease, SystemTime::now());
                Ok(())
            }
            Err(error) => {
                // A broken film stays broken.
                let again = error.kind().is_retryable() || error.kind() == ErrorKind::Internal;
                self.not_done(unit, &claim.lease, error, again)
            }
        }
    }

    pub(super) fn begun(&self) {
        self.plan.roster.load(self.plan.name, |load| {
            (load.waiting, load.running) = (load.waiting.saturating_sub(1), load.running + 1);
        });
    }

    /// A unit lies in the store.
    pub(super) fn done(&self, lease: &Lease) -> Result<()> {
        self.plan.roster.load(self.plan.name, |load| {
            (load.running, load.done) = (load.running.saturating_sub(1), load.done + 1);
        });
        match self.queue.complete(lease, &serde_json::Value::Null, SystemTime::now()) {
            Ok(()) | Err(QueueError::LeaseLost(_)) => Ok(()),
            Err(error) => Err(journal(error)),
        }
    }

    /// A unit did not work out. An error is one that ends the run.
    pub(super) fn not_done(&self, unit: &Unit, lease: &Lease, error: Error, again: bool) -> Result<()> {
        self.plan.roster.load(self.plan.name, |load| {
            (load.waiting, load.running) = (load.waiting + 1, load.running.saturating_sub(1));
            load.retries += 1;
        });
        match self.queue.fail(lease, &error.to_string(), again, SystemTime::now()).map_err(journal)? {
            Failed::AgainAt(_) => {
                tracing::warn!(chunk = unit.number, %error, "a chunk is tried again");
                Ok(())
            }
            Failed::ForGood => Err(error.context(what(unit))),
        }
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Standing)) {
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

pub(crate) fn journal(error: QueueError) -> Error {
    Error::new(ErrorKind::Io, format!("the journal of chunks can't be used: {error}"))
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        self.plan.roster.over(self.plan.name);
    }
}
