//! What the service remembers, in SQLite. Calls block for as long as a disk takes: handlers reach
//! it through [`App::blocking`](crate::app::App::blocking), which moves them off the async threads.

mod lives;
mod uploads;
mod videos;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::files;

pub(crate) use lives::{LiveRow, Recorded};
pub(crate) use uploads::Upload;
pub(crate) use videos::{Key, State, VideoRow};

/// The format that this version writes, kept in SQLite's `user_version`.
const FORMAT: i64 = 3;

const SCHEMA: &str = "
CREATE TABLE videos (
  id       TEXT PRIMARY KEY,
  upload   TEXT    NOT NULL,             -- the file of the original
  title    TEXT    NOT NULL,
  filename TEXT    NOT NULL,
  size     INTEGER NOT NULL,
  state    TEXT    NOT NULL,
  options  TEXT    NOT NULL,             -- JSON: of the newest transcode
  run      INTEGER NOT NULL DEFAULT 0,   -- number of the newest transcode
  ready    INTEGER NOT NULL DEFAULT 0,   -- number of the transcode that can be watched, or 0
  report   TEXT,                         -- JSON: what that transcode made
  problem  TEXT,                         -- JSON: why the newest transcode failed
  created  INTEGER NOT NULL
) STRICT;
CREATE TABLE keys (
  kid    BLOB PRIMARY KEY,
  video  TEXT    NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
  run    INTEGER NOT NULL,
  scheme TEXT    NOT NULL,
  key    BLOB    NOT NULL,
  UNIQUE (video, run)
) STRICT;
CREATE TABLE uploads (
  id       TEXT PRIMARY KEY,
  length   INTEGER NOT NULL,
  stored   INTEGER NOT NULL DEFAULT 0,   -- bytes that survive a power failure
  metadata TEXT    NOT NULL,             -- JSON
  expires  INTEGER NOT NULL,
  video    TEXT                          -- what became of it
) STRICT;
";
/// What came with format 2.
const LIVES: &str = "
CREATE TABLE lives (
  id      TEXT PRIMARY KEY,
  title   TEXT    NOT NULL,
  key     BLOB    NOT NULL UNIQUE,       -- SHA-256 of what who sends must know
  created INTEGER NOT NULL,
  started INTEGER,                       -- when it was last begun to be sent
  stopped INTEGER                        -- when it was ended for good
) STRICT;
";
/// What came with format 3.
const RECORDINGS: &str = "
ALTER TABLE lives ADD COLUMN keep_hours INTEGER;     -- how long its recordings are kept, if it is recorded
ALTER TABLE lives ADD COLUMN part_minutes INTEGER;   -- and how long each of their parts is
PRAGMA user_version = 3;
";

/// The database of videos, keys and uploads.
#[derive(Debug)]
pub(crate) struct Store {
    db: Mutex<Connection>,
}

/// Why the database can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the database was written by a newer version (format {0}); use that one")]
    Newer(i64),
    #[error("the database can't be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the database can't be made: {0}")]
    Io(#[from] std::io::Error),
}

impl Store {
    /// Opens the database of a data folder, and makes it if it is not there.
    pub(crate) fn open(root: &Path) -> Result<Self, OpenError> {
        let path = root.join("library.sqlite3");
        // It holds keys. SQLite gives the files beside it the same rights.
        files::private(&path)?;
        let mut db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: what a client was told is on the disk, not only in the kernel's memory.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        // A deleted key leaves no trace in free pages.
        db.pragma_update(None, "secure_delete", true)?;
        let format = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        let missing = match format {
            0 => &[SCHEMA, LIVES, RECORDINGS][..],
            1 => &[LIVES, RECORDINGS],
            2 => &[RECORDINGS],
            FORMAT => &[],
            newer => return Err(OpenError::Newer(newer)),
        };
        let tx = db.transaction()?;
        missing.iter().try_for_each(|step| tx.execute_batch(step))?;
        tx.commit()?;
        Ok(Self { db: Mutex::new(db) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database answers.
    pub(crate) fn check(&self) -> rusqlite::Result<()> {
        self.lock().query_row("SELECT 1", [], |_| Ok(()))
    }
}
