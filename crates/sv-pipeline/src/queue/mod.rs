//! A job queue: its journal is SQLite in a folder, or (feature `postgres`) a PostgreSQL server, so a
//! job that was accepted survives whatever happens to the process.
//!
//! A folder is owned by one process, which a lock file enforces; a server is shared by any number of
//! them. Threads of a process share the [`Queue`]. A worker [claims](Queue::claim) a job and holds it
//! under a [`Lease`] that it keeps alive by [heartbeats](Queue::heartbeat). Each claim gets a higher
//! *fence*: a worker that was believed dead and wakes up again holds an old one, and every call with
//! it fails with [`Error::LeaseLost`] instead of disturbing the worker that took over.
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
mod lease;
mod lock;
mod options;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use serde_json::Value;

pub use crate::share::Class;
pub use error::{Error, Result};
pub use job::{Cancelled, Claim, Counts, Enqueued, Failed, Job, JobId, Lease, NewJob, Standing, State};
use journal::{Journal, millis, moment};
pub use options::Options;
#[cfg(feature = "postgres")]
pub use postgres::Database;

/// The queue. Share it by reference or in an `Arc`; calls from several threads take turns.
#[derive(Debug)]
pub struct Queue {
    journal: Mutex<Box<dyn Journal>>,
    options: Options,
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
        let journal = sqlite::Sqlite::open(folder.as_ref())?;
        let queue = Self { journal: Mutex::new(Box::new(journal)), options };
        queue.release(now)?;
        Ok(queue)
    }

    /// Frees all jobs that somebody holds, as [`open`](Self::open) does: for whoever knows by a lock of its own that
    /// nobody works on them any more.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn release(&self, now: SystemTime) -> Result<()> {
        self.write(|tx| lease::release(tx, i64::MAX, millis(now), self.options.attempts))
    }

    /// Puts a job in, unless one with its key is waiting or running: then that one is told.
    ///
    /// When this returns, the job survives a crash.
    ///
    /// # Errors
    /// [`Error::Journal`], as for every call below.
    pub fn enqueue(&self, job: &NewJob, now: SystemTime) -> Result<Enqueued> {
        self.write(|tx| job::enter(tx, job, millis(now)))
    }

    /// Takes the next job that is due: the most urgent class first, then the one waiting longest.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn claim(&self, worker: &str, now: SystemTime) -> Result<Option<Claim>> {
        let (now, until) = (millis(now), self.lease_end(now));
        self.write(|tx| {
            lease::release(tx, now, now, self.options.attempts)?;
            let next = "SELECT id FROM jobs WHERE state = 'queued' AND due <= $1
                        ORDER BY class, due, id LIMIT 1 FOR UPDATE SKIP LOCKED";
            let Some(next) = tx.row(next, &[now.into()])? else { return Ok(None) };
            let take = format!(
                "UPDATE jobs SET state = 'running', worker = $2, lease_until = $3, fence = fence + 1,
                 attempts = attempts + 1, updated = $4 WHERE id = $1 RETURNING {}",
                job::COLUMNS
            );
            let id = next.number(0)?;
            let taken = tx.row(&take, &[id.into(), worker.into(), until.into(), now.into()])?;
            let job = job::from_row(&taken.ok_or(Error::NoSuchJob(JobId(id)))?)?;
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
            tx.rows(
                "UPDATE jobs SET progress = $2, updated = $3 WHERE id = $1",
                &[lease.job.0.into(), progress.to_string().into(), millis(now).into()],
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
            lease::held(tx, lease)?;
            tx.rows(
                "UPDATE jobs SET state = 'done', result = $2, reason = NULL, worker = NULL,
                 lease_until = NULL, updated = $3 WHERE id = $1",
                &[lease.job.0.into(), result.to_string().into(), millis(now).into()],
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
            let held = lease::held(tx, lease)?;
            if again && !held.cancel && held.attempts < self.options.attempts {
                let due = now.checked_add(self.options.pause_after(held.attempts)).unwrap_or(now);
                tx.rows(
                    "UPDATE jobs SET state = 'queued', due = $2, reason = $3, worker = NULL,
                     lease_until = NULL, updated = $4 WHERE id = $1",
                    &[lease.job.0.into(), millis(due).into(), reason.into(), millis(now).into()],
                )?;
                return Ok(Failed::AgainAt(due));
            }
            let state = if held.cancel { State::Cancelled } else { State::Failed };
            tx.rows(
                "UPDATE jobs SET state = $2, reason = $3, worker = NULL, lease_until = NULL,
                 updated = $4 WHERE id = $1",
                &[lease.job.0.into(), state.as_str().into(), reason.into(), millis(now).into()],
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
            let held = lease::held(tx, lease)?;
            let state = if held.cancel { State::Cancelled } else { State::Queued };
            tx.rows(
                "UPDATE jobs SET state = $2, due = $3, worker = NULL, lease_until = NULL,
                 attempts = attempts - 1, updated = $3 WHERE id = $1",
                &[lease.job.0.into(), state.as_str().into(), millis(now).into()],
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
            let found = tx.row("SELECT state FROM jobs WHERE id = $1 FOR UPDATE", &[id.0.into()])?;
            let (state, outcome) = match State::read(found.ok_or(Error::NoSuchJob(id))?.text(0)?)? {
                State::Queued => (State::Cancelled, Cancelled::AtOnce),
                State::Running => (State::Running, Cancelled::Asked),
                State::Done | State::Failed | State::Cancelled => return Ok(Cancelled::WasOver),
            };
            tx.rows(
                "UPDATE jobs SET state = $2, cancel = 1, updated = $3 WHERE id = $1",
                &[id.0.into(), state.as_str().into(), millis(now).into()],
            )?;
            Ok(outcome)
        })
    }

    /// One job.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn job(&self, id: JobId) -> Result<Option<Job>> {
        job::read(&mut **self.lock(), id)
    }

    /// The newest job with this key, over or not.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn latest(&self, key: &str) -> Result<Option<Job>> {
        job::latest(&mut **self.lock(), key)
    }

    /// How many jobs are in which state.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn counts(&self) -> Result<Counts> {
        job::counts(&mut **self.lock())
    }

    /// When to look again if [`claim`](Self::claim) found nothing: the earliest moment at which a
    /// waiting job falls due or a lease runs out. `None` when nothing waits or runs.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn next_due(&self) -> Result<Option<SystemTime>> {
        let sql = "SELECT CASE state WHEN 'queued' THEN due ELSE lease_until END AS next FROM jobs
                   WHERE state IN ('queued', 'running') ORDER BY next LIMIT 1";
        let next = self.lock().row(sql, &[])?;
        next.map(|row| row.number(0).map(moment)).transpose()
    }

    /// Forgets jobs that were over before this moment, and says how many.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn forget(&self, before: SystemTime) -> Result<usize> {
        self.write(|tx| {
            let sql =
                "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND updated < $1 RETURNING id";
            Ok(tx.rows(sql, &[millis(before).into()])?.len())
        })
    }

    fn beat(&self, tx: &mut dyn Journal, lease: &Lease, now: SystemTime) -> Result<Standing> {
        let held = lease::held(tx, lease)?;
        let sql = "UPDATE jobs SET lease_until = $2 WHERE id = $1";
        tx.rows(sql, &[lease.job.0.into(), self.lease_end(now).into()])?;
        Ok(if held.cancel { Standing::Cancelled } else { Standing::GoOn })
    }

    fn lease_end(&self, now: SystemTime) -> i64 {
        millis(now.checked_add(self.options.lease).unwrap_or(now))
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Journal>> {
        self.journal.lock().unwrap_or_else(|panicked| {
            let mut journal = panicked.into_inner();
            journal.roll_back();
            self.journal.clear_poison();
            journal
        })
    }

    fn write<T>(&self, change: impl FnOnce(&mut dyn Journal) -> Result<T>) -> Result<T> {
        let mut journal = self.lock();
        journal.begin()?;
        let value = change(&mut **journal).and_then(|value| journal.commit().map(|()| value));
        if value.is_err() {
            journal.roll_back();
        }
        value
    }
}
