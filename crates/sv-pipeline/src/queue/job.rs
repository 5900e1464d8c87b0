//! What a job is, and how it is read from the journal.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sv_core::ErrorKind;

use super::journal::{Journal, Row, damaged, moment};
use super::{Error, Result};
use crate::share::Class;

/// Names a job for ever; numbers grow in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a class stands in line.
pub(super) const fn rank(class: Class) -> u32 {
    match class {
        Class::Live => 0,
        Class::Normal => 1,
        Class::Background => 2,
    }
}

/// What to put into the queue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewJob {
    /// At most one job with the same key waits or runs at a time.
    pub key: String,
    /// How urgent it is.
    pub class: Class,
    /// What the worker needs to know. It is stored as it is: no secrets.
    pub payload: Value,
}

impl NewJob {
    /// A job of the normal class.
    #[must_use]
    pub fn new(key: impl Into<String>, payload: Value) -> Self {
        Self { key: key.into(), class: Class::Normal, payload }
    }
}

/// What [`enqueue`](super::Queue::enqueue) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job with this key.
    pub id: JobId,
    /// Whether it is new; `false` when one with this key was waiting or running.
    pub fresh: bool,
}

/// The right to work on a job. Whoever holds an outdated one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which job.
    pub job: JobId,
    /// How often the job had been claimed, this time included. Side effects outside the queue may
    /// be keyed by it, so that those of an older claim are told apart.
    pub fence: i64,
}

/// A job and the right to work on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The job, as it is now.
    pub job: Job,
    /// The right to work on it.
    pub lease: Lease,
}

/// What a worker hears at a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Go on.
    GoOn,
    /// The job was called off: stop, and end it by [`fail`](super::Queue::fail).
    Cancelled,
}

/// What [`fail`](super::Queue::fail) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The job is tried again, not before this moment.
    AgainAt(SystemTime),
    /// The job is over.
    ForGood,
}

/// What [`cancel`](super::Queue::cancel) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The job had not begun, and never will.
    AtOnce,
    /// Its worker hears it at the next heartbeat.
    Asked,
    /// It was over already.
    WasOver,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for a worker, or for the end of the pause after a failure.
    Queued,
    /// A worker holds it.
    Running,
    /// It was completed.
    Done,
    /// It failed for good.
    Failed,
    /// It was called off.
    Cancelled,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn read(text: &str) -> Result<Self> {
        let all = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];
        let unknown = || damaged(format!("there is no job state {text}"));
        all.into_iter().find(|state| state.as_str() == text).ok_or_else(unknown)
    }

    /// Whether nothing more will happen to the job.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A job as the journal knows it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its key.
    pub key: String,
    /// How urgent it is.
    pub class: Class,
    /// Where it stands.
    pub state: State,
    /// What the worker needs to know.
    pub payload: Value,
    /// What the worker last said about how far it is.
    pub progress: Option<Value>,
    /// What came of it, once it is done.
    pub result: Option<Value>,
    /// Why it last failed.
    pub reason: Option<String>,
    /// How often it was claimed, without claims that were given back.
    pub attempts: u32,
    /// The fence of its newest claim.
    pub fence: i64,
    /// Whether somebody called it off.
    pub cancelled: bool,
    /// Before this moment it is not claimed.
    pub due: SystemTime,
    /// When it was put in.
    pub created: SystemTime,
    /// When it last changed, heartbeats aside.
    pub updated: SystemTime,
}

/// How many jobs are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Waiting.
    pub queued: u64,
    /// Held by a worker.
    pub running: u64,
    /// Completed.
    pub done: u64,
    /// Failed for good.
    pub failed: u64,
    /// Called off.
    pub cancelled: u64,
    /// How often those that wait or run were claimed before and did not end.
    pub retries: u64,
}

/// How often a job is entered again whose key others take and free at the same moment.
const TRIES: u32 = 16;

/// Puts a job in, unless one with its key is there.
pub(super) fn enter(tx: &mut dyn Journal, job: &NewJob, now: i64) -> Result<Enqueued> {
    let told = |row: &Row, fresh| Ok(Enqueued { id: JobId(row.number(0)?), fresh });
    for _ in 0..TRIES {
        let active = "SELECT id FROM jobs WHERE key = $1 AND state IN ('queued', 'running')";
        if let Some(row) = tx.row(active, &[job.key.as_str().into()])? {
            return told(&row, false);
        }
        // Does nothing if another process was quicker: then its job is found.
        let insert = "INSERT INTO jobs (key, class, state, payload, due, created, updated)
                      VALUES ($1, $2, 'queued', $3, $4, $4, $4) ON CONFLICT DO NOTHING RETURNING id";
        let (class, payload) = (rank(job.class), job.payload.to_string());
        let values = [job.key.as_str().into(), class.into(), payload.into(), now.into()];
        if let Some(row) = tx.row(insert, &values)? {
            return told(&row, true);
        }
    }
    let busy = format!("others keep taking and freeing the key {:?}; try again", job.key);
    Err(Error::Journal { kind: ErrorKind::Unavailable, source: busy.into() })
}

/// What [`from_row`] reads.
pub(super) const COLUMNS: &str = "id, key, class, state, payload, progress, result, reason, attempts, fence,
                                  cancel, due, created, updated";

pub(super) fn read(journal: &mut dyn Journal, id: JobId) -> Result<Option<Job>> {
    let row = journal.row(&format!("SELECT {COLUMNS} FROM jobs WHERE id = $1"), &[id.0.into()])?;
    row.as_ref().map(from_row).transpose()
}

pub(super) fn latest(journal: &mut dyn Journal, key: &str) -> Result<Option<Job>> {
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE key = $1 ORDER BY id DESC LIMIT 1");
    journal.row(&sql, &[key.into()])?.as_ref().map(from_row).transpose()
}

pub(super) fn counts(journal: &mut dyn Journal) -> Result<Counts> {
    let mut counts = Counts::default();
    // A job that runs is at its last attempt, one that waits has ended them all.
    let sql = "SELECT state, count(*),
               CAST(sum(attempts - CASE state WHEN 'running' THEN 1 ELSE 0 END) AS BIGINT)
               FROM jobs GROUP BY state";
    for row in journal.rows(sql, &[])? {
        let (state, n) = (State::read(row.text(0)?)?, u64::from(row.count(1)?));
        if !state.is_over() {
            counts.retries += u64::from(row.count(2)?);
        }
        match state {
            State::Queued => counts.queued = n,
            State::Running => counts.running = n,
            State::Done => counts.done = n,
            State::Failed => counts.failed = n,
            State::Cancelled => counts.cancelled = n,
        }
    }
    Ok(counts)
}

/// A job from its [`COLUMNS`].
pub(super) fn from_row(row: &Row) -> Result<Job> {
    Ok(Job {
        id: JobId(row.number(0)?),
        key: row.text(1)?.into(),
        class: match row.number(2)? {
            0 => Class::Live,
            1 => Class::Normal,
            _ => Class::Background,
        },
        state: State::read(row.text(3)?)?,
        payload: json(row, 4)?.unwrap_or_default(),
        progress: json(row, 5)?,
        result: json(row, 6)?,
        reason: row.maybe(7)?.map(Into::into),
        attempts: row.count(8)?,
        fence: row.number(9)?,
        cancelled: row.truth(10)?,
        due: moment(row.number(11)?),
        created: moment(row.number(12)?),
        updated: moment(row.number(13)?),
    })
}

fn json(row: &Row, column: usize) -> Result<Option<Value>> {
    let broken = |e| damaged(format!("column {column} holds no JSON: {e}"));
    row.maybe(column)?.map(|text| serde_json::from_str(text).map_err(broken)).transpose()
}
