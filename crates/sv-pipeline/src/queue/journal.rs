//! The SQLite file under the queue.

use std::path::Path;

use rusqlite::Connection;

use super::{Error, Result};

/// The format that this version writes, kept in SQLite's `user_version`.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE jobs (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  key         TEXT    NOT NULL,
  class       INTEGER NOT NULL,
  state       TEXT    NOT NULL,
  payload     TEXT    NOT NULL,
  progress    TEXT,
  result      TEXT,
  reason      TEXT,
  attempts    INTEGER NOT NULL DEFAULT 0,
  fence       INTEGER NOT NULL DEFAULT 0,
  cancel      INTEGER NOT NULL DEFAULT 0,
  due         INTEGER NOT NULL,
  worker      TEXT,
  lease_until INTEGER,
  created     INTEGER NOT NULL,
  updated     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_active_job_per_key ON jobs (key) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_by_key ON jobs (key, id);
CREATE INDEX jobs_in_line ON jobs (class, due, id) WHERE state = 'queued';
PRAGMA user_version = 1;
";

pub(super) fn open(folder: &Path) -> Result<Connection> {
    let mut journal = Connection::open(folder.join("queue.sqlite3"))?;
    // FULL: a job that was acknowledged is on the disk, not only in the kernel's memory.
    journal.pragma_update(None, "journal_mode", "WAL")?;
    journal.pragma_update(None, "synchronous", "FULL")?;
    let found: i64 = journal.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    match found {
        0 => {
            let tx = journal.transaction()?;
            tx.execute_batch(SCHEMA)?;
            tx.commit()?;
        }
        FORMAT => {}
        _ => return Err(Error::Newer { found, known: FORMAT }),
    }
    Ok(journal)
}
