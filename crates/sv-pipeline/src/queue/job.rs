//! What a job is, and how it is read from the journal.

use std::fmt;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Result, moment};
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
pub(super) const fn rank(class: Class) -> u8 {
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

    /// Whether nothing more will happen to the job.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl rusqlite::types::FromSql for State {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        match value.as_str()? {
            "queued" => Ok(Self::Queued),
            "running" => Ok(Self::Running),
            "done" => Ok(Self::Done),
            "failed" => Ok(Self::Failed),
            "cancelled" => Ok(Self::Cancelled),
            other => Err(rusqlite::types::FromSqlError::Other(format!("unknown job state {other}").into())),
        }
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

const COLUMNS: &str = "SELECT id, key, class, state, payload, progress, result, reason, attempts, fence,
                       cancel, due, created, updated FROM jobs";

pub(super) fn read(journal: &Connection, id: JobId) -> Result<Option<Job>> {
    Ok(journal.query_row(&format!("{COLUMNS} WHERE id = ?1"), [id.0], from_row).optional()?)
}

pub(super) fn latest(journal: &Connection, key: &str) -> Result<Option<Job>> {
    let sql = format!("{COLUMNS} WHERE key = ?1 ORDER BY id DESC LIMIT 1");
    Ok(journal.query_row(&sql, [key], from_row).optional()?)
}

pub(super) fn counts(journal: &Connection) -> Result<Counts> {
    let mut counts = Counts::default();
    // A job that runs is at its last attempt, one that waits has ended them all.
    let sql = "SELECT state, count(*), sum(attempts - (state = 'running')) FROM jobs GROUP BY state";
    let mut statement = journal.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let n = u64::from(row.get::<_, u32>(1)?);
        if matches!(row.get(0)?, State::Queued | State::Running) {
            counts.retries += u64::from(row.get::<_, u32>(2)?);
        }
        match row.get(0)? {
            State::Queued => counts.queued = n,
            State::Running => counts.running = n,
            State::Done => counts.done = n,
            State::Failed => counts.failed = n,
            State::Cancelled => counts.cancelled = n,
        }
    }
    Ok(counts)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: JobId(row.get(0)?),
        key: row.get(1)?,
        class: match row.get(2)? {
            0u8 => Class::Live,
            1 => Class::Normal,
            _ => Class::Background,
        },
        state: row.get(3)?,
        payload: json(row, 4)?.unwrap_or_default(),
        progress: json(row, 5)?,
        result: json(row, 6)?,
        reason: row.get(7)?,
        attempts: row.get(8)?,
        fence: row.get(9)?,
        cancelled: row.get(10)?,
        due: moment(row.get(11)?),
        created: moment(row.get(12)?),
        updated: moment(row.get(13)?),
    })
}

fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    let broken =
        |e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e));
    serde_json::from_str(&text).map(Some).map_err(broken)
}
