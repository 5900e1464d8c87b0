//! A job queue in one folder: its journal is SQLite, so a job that was accepted survives whatever
//! happens to the process.
//!
//! One process owns the folder, which a lock file enforces; threads of that process share the
//! [`Queue`]. A worker [claims](Queue::claim) a job and holds it under a [`Lease`] that it keeps
//! alive by [heartbeats](Queue::heartbeat). Each claim gets a higher *fence*: a worker that was
//! believed dead and wakes up again holds an old one, and every call with it fails with
//! [`Error::LeaseLost`] instead of disturbing the worker that took over.
//!
//! There is no clock inside. Every call takes the present moment, so tests own time, and so does a
//! caller that lives in simulated time.
//!
//! ```
//! use std::time::SystemTime;
//! use sv_pipeline::queue::{NewJob, Options, Queue};
//!
//! # let folder = tempfile::tempdir()?;
//! let queue = Queue::open(folder.path(), Options::default(), SystemTime::now())?;
//! queue.enqueue(&NewJob::new("video-7", serde_json::json!({ "preset": "fast" })), SystemTime::now())?;
//!
//! while let Some(claim) = queue.claim("worker-1", SystemTime::now())? {
//!     // ... work, with a heartbeat now and then ...
//!     queue.complete(&claim.lease, &serde_json::json!({ "ok": true }), SystemTime::now())?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod job;
mod journal;
mod lock;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::Value;

pub use crate::share::Class;
pub use error::{Error, Result};
pub use job::{Cancelled, Claim, Counts, Enqueued, Failed, Job, JobId, Lease, NewJob, Standing, State};

/// How patient a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long a worker may stay silent before its job is given to another.
    pub lease: Duration,
    /// How often a job is tried in all, worker deaths included, before it fails for good.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            attempts: 5,
            pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(300),
        }
    }
}

impl Options {
    /// The pause after the `failures`-th failure in a row, from 1.
    fn pause_after(&self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.pause.saturating_mul(doubled).min(self.longest_pause)
    }
}

/// The queue. Share it by reference or in an `Arc`; calls from several threads take turns.
#[derive(Debug)]
pub struct Queue {
    journal: Mutex<Connection>,
    options: Options,
    // Held for its drop: the folder is ours as long as the queue lives.
    _lock: lock::Lock,
}

impl Queue {
    /// Opens the queue of a folder, and makes both if they are not there.
    ///
    /// Jobs that a dead process was working on are free again at once: the lock shows that it is
    /// dead, so there is no need to wait for its leases to run out.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has the folder open, [`Error::Folder`] when it can't
    /// be written, [`Error::Newer`] when a later version of this crate wrote it, and
    /// [`Error::Journal`] when SQLite refuses.
    pub fn open(folder: impl AsRef<Path>, options: Options, now: SystemTime) -> Result<Self> {
        let folder = folder.as_ref();
        let lock = lock::Lock::take(folder)?;
        let queue = Self { journal: Mutex::new(journal::open(folder)?), options, _lock: lock };
        queue.write(|tx| release(tx, None, millis(now), options.attempts))?;
        Ok(queue)
    }

    /// Puts a job in, unless one with its key is waiting or running: then that one is told.
    ///
    /// When this returns, the job survives a crash.
    ///
    /// # Errors
    /// [`Error::Journal`], as for every call below.
    pub fn enqueue(&self, job: &NewJob, now: SystemTime) -> Result<Enqueued> {
        let now = millis(now);
        self.write(|tx| {
            let active = "SELECT id FROM jobs WHERE key = ?1 AND state IN ('queued', 'running')";
            let found: Option<i64> = tx.query_row(active, [&job.key], |r| r.get(0)).optional()?;
            if let Some(id) = found {
                return Ok(Enqueued { id: JobId(id), fresh: false });
            }
            tx.execute(
                "INSERT INTO jobs (key, class, state, payload, due, created, updated)
                 VALUES (?1, ?2, 'queued', ?3, ?4, ?4, ?4)",
                params![job.key, job::rank(job.class), job.payload.to_string(), now],
            )?;
            Ok(Enqueued { id: JobId(tx.last_insert_rowid()), fresh: true })
        })
    }

    /// Takes the next job that is due: the most urgent class first, then the one waiting longest.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn claim(&self, worker: &str, now: SystemTime) -> Result<Option<Claim>> {
        let (now, until) = (millis(now), self.lease_end(now));
        self.write(|tx| {
            release(tx, Some(now), now, self.options.attempts)?;
            let next = "SELECT id FROM jobs WHERE state = 'queued' AND due <= ?1
                        ORDER BY class, due, id LIMIT 1";
            let Some(id) = tx.query_row(next, [now], |r| r.get::<_, i64>(0)).optional()? else {
                return Ok(None);
            };
            tx.execute(
                "UPDATE jobs SET state = 'running', worker = ?2, lease_until = ?3, fence = fence + 1,
                 attempts = attempts + 1, updated = ?4 WHERE id = ?1",
                params![id, worker, until, now],
            )?;
            let job = job::read(tx, JobId(id))?.ok_or(Error::NoSuchJob(JobId(id)))?;
            let lease = Lease { job: job.id, fence: job.fence };
            Ok(Some(Claim { job, lease }))
        })
    }

    /// Says that the worker is alive, and hears whether it should go on.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the job was given to another worker or is over.
    pub fn heartbeat(&self, lease: &Lease, now: SystemTime) -> Result<Standing> {
        self.write(|tx| self.beat(tx, lease, now))
    }

    /// Writes down how far the job is, for those who look; counts as a heartbeat.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], as for [`heartbeat`](Self::heartbeat).
    pub fn progress(&self, lease: &Lease, progress: &Value, now: SystemTime) -> Result<Standing> {
        self.write(|tx| {
            let standing = self.beat(tx, lease, now)?;
            tx.execute(
                "UPDATE jobs SET progress = ?2, updated = ?3 WHERE id = ?1",
                params![lease.job.0, progress.to_string(), millis(now)],
            )?;
            Ok(standing)
        })
    }

    /// The job is done; this is what came of it.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], as for [`heartbeat`](Self::heartbeat).
    pub fn complete(&self, lease: &Lease, result: &Value, now: SystemTime) -> Result<()> {
        self.write(|tx| {
            held(tx, lease)?;
            tx.execute(
                "UPDATE jobs SET state = 'done', result = ?2, reason = NULL, worker = NULL,
                 lease_until = NULL, updated = ?3 WHERE id = ?1",
                params![lease.job.0, result.to_string(), millis(now)],
            )?;
            Ok(())
        })
    }

    /// The job did not work out. With `again` it is tried once more after a pause, as long as
    /// attempts are left; without, or when it was cancelled meanwhile, it is over.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], as for [`heartbeat`](Self::heartbeat).
    pub fn fail(&self, lease: &Lease, reason: &str, again: bool, now: SystemTime) -> Result<Failed> {
        self.write(|tx| {
            held(tx, lease)?;
            let (attempts, cancel): (u32, bool) =
                tx.query_row("SELECT attempts, cancel FROM jobs WHERE id = ?1", [lease.job.0], |r| {
                    Ok((r.get(0)?, r.get(1)?))
                })?;
            if again && !cancel && attempts < self.options.attempts {
                let due = now.checked_add(self.options.pause_after(attempts)).unwrap_or(now);
                tx.execute(
                    "UPDATE jobs SET state = 'queued', due = ?2, reason = ?3, worker = NULL,
                     lease_until = NULL, updated = ?4 WHERE id = ?1",
                    params![lease.job.0, millis(due), reason, millis(now)],
                )?;
                return Ok(Failed::AgainAt(due));
            }
            let state = if cancel { State::Cancelled } else { State::Failed };
            tx.execute(
                "UPDATE jobs SET state = ?2, reason = ?3, worker = NULL, lease_until = NULL,
                 updated = ?4 WHERE id = ?1",
                params![lease.job.0, state.as_str(), reason, millis(now)],
            )?;
            Ok(Failed::ForGood)
        })
    }

    /// Gives a job back unharmed, because the worker has to leave: it is due at once and the
    /// attempt does not count.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], as for [`heartbeat`](Self::heartbeat).
    pub fn give_back(&self, lease: &Lease, now: SystemTime) -> Result<()> {
        self.write(|tx| {
            held(tx, lease)?;
            tx.execute(
                "UPDATE jobs SET state = iif(cancel, 'cancelled', 'queued'), due = ?2, worker = NULL,
                 lease_until = NULL, attempts = attempts - 1, updated = ?2 WHERE id = ?1",
                params![lease.job.0, millis(now)],
            )?;
            Ok(())
        })
    }

    /// Calls a job off. A waiting one is over at once; the worker of a running one hears it at its
    /// next heartbeat and ends it by [`fail`](Self::fail).
    ///
    /// # Errors
    /// [`Error::NoSuchJob`].
    pub fn cancel(&self, id: JobId, now: SystemTime) -> Result<Cancelled> {
        self.write(|tx| {
            let job = job::read(tx, id)?.ok_or(Error::NoSuchJob(id))?;
            let (sql, outcome) = match job.state {
                State::Queued => (
                    "UPDATE jobs SET state = 'cancelled', cancel = 1, updated = ?2 WHERE id = ?1",
                    Cancelled::AtOnce,
                ),
                State::Running => {
                    ("UPDATE jobs SET cancel = 1, updated = ?2 WHERE id = ?1", Cancelled::Asked)
                }
                State::Done | State::Failed | State::Cancelled => return Ok(Cancelled::WasOver),
            };
            tx.execute(sql, params![id.0, millis(now)])?;
            Ok(outcome)
        })
    }

    /// One job.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn job(&self, id: JobId) -> Result<Option<Job>> {
        job::read(&self.lock(), id)
    }

    /// The newest job with this key, over or not.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn latest(&self, key: &str) -> Result<Option<Job>> {
        job::latest(&self.lock(), key)
    }

    /// How many jobs are in which state.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn counts(&self) -> Result<Counts> {
        job::counts(&self.lock())
    }

    /// When to look again if [`claim`](Self::claim) found nothing: the earliest moment at which a
    /// waiting job falls due or a lease runs out. `None` when nothing waits or runs.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn next_due(&self) -> Result<Option<SystemTime>> {
        let sql = "SELECT min(iif(state = 'queued', due, lease_until)) FROM jobs
                   WHERE state IN ('queued', 'running')";
        let due: Option<i64> = self.lock().query_row(sql, [], |r| r.get(0))?;
        Ok(due.map(moment))
    }

    /// Forgets jobs that were over before this moment, and says how many.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn forget(&self, before: SystemTime) -> Result<usize> {
        self.write(|tx| {
            let sql = "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND updated < ?1";
            Ok(tx.execute(sql, [millis(before)])?)
        })
    }

    fn beat(&self, tx: &Transaction<'_>, lease: &Lease, now: SystemTime) -> Result<Standing> {
        held(tx, lease)?;
        let sql = "UPDATE jobs SET lease_until = ?2 WHERE id = ?1 RETURNING cancel";
        let cancel = tx.query_row(sql, params![lease.job.0, self.lease_end(now)], |r| r.get(0))?;
        Ok(if cancel { Standing::Cancelled } else { Standing::GoOn })
    }

    fn lease_end(&self, now: SystemTime) -> i64 {
        millis(now.checked_add(self.options.lease).unwrap_or(now))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic of another caller left no transaction open: dropping one rolls it back.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut journal = self.lock();
        let tx = journal.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = change(&tx)?;
        tx.commit()?;
        Ok(value)
    }
}

/// Frees jobs whose lease ended by `expired`, or all running ones for `None`. One that has used up
/// its attempts fails: a job that kills its worker must not do so for ever.
fn release(tx: &Transaction<'_>, expired: Option<i64>, now: i64, attempts: u32) -> Result<()> {
    tx.execute(
        "UPDATE jobs SET
           state = CASE WHEN cancel THEN 'cancelled' WHEN attempts >= ?3 THEN 'failed' ELSE 'queued' END,
           reason = iif(attempts >= ?3, 'the worker died ' || attempts || ' times over this job', reason),
           worker = NULL, lease_until = NULL, due = ?2, updated = ?2
         WHERE state = 'running' AND (?1 IS NULL OR lease_until <= ?1)",
        params![expired, now, attempts],
    )?;
    Ok(())
}

/// Checks that a lease is the newest of a job that is running.
fn held(tx: &Transaction<'_>, lease: &Lease) -> Result<()> {
    let sql = "SELECT 1 FROM jobs WHERE id = ?1 AND fence = ?2 AND state = 'running'";
    let held = tx.query_row(sql, params![lease.job.0, lease.fence], |_| Ok(())).optional()?;
    held.ok_or(Error::LeaseLost(lease.job))
}

/// Milliseconds since 1970, the journal's unit of time.
fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn moment(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
