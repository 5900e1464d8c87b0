//! A journal in SQLite: one folder, one process.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::journal::{Cell, Journal, Row, damaged};
use super::lock::Lock;
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

/// The file, and the lock that makes the folder ours. Fields are dropped in this order.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    _lock: Lock,
}

impl Sqlite {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let lock = Lock::take(folder)?;
        let mut connection = Connection::open(folder.join("queue.sqlite3"))?;
        // FULL: a job that was acknowledged is on the disk, not only in the kernel's memory.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.set_prepared_statement_cache_capacity(64);
        let found: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        match found {
            0 => {
                let tx = connection.transaction()?;
                tx.execute_batch(SCHEMA)?;
                tx.commit()?;
            }
            FORMAT => {}
            _ => return Err(Error::Newer { found, known: FORMAT }),
        }
        Ok(Self { connection, _lock: lock })
    }
}

impl Journal for Sqlite {
    fn begin(&mut self) -> Result<()> {
        self.roll_back();
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn rows(&mut self, sql: &str, values: &[Cell]) -> Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(&dialect(sql))?;
        let columns = statement.column_count();
        let mut found = statement.query(params_from_iter(values))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let cells = (0..columns).map(|column| cell(row.get_ref(column)?));
            rows.push(Row(cells.collect::<Result<_>>()?));
        }
        Ok(rows)
    }

    fn commit(&mut self) -> Result<()> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    fn roll_back(&mut self) {
        if !self.connection.is_autocommit() {
            // Where this fails, the next BEGIN says why.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

/// A statement as SQLite wants it. It locks no rows: whoever writes has the journal to himself.
fn dialect(sql: &str) -> String {
    sql.replace('$', "?").replace(" FOR UPDATE SKIP LOCKED", "").replace(" FOR UPDATE", "")
}

fn cell(value: ValueRef<'_>) -> Result<Cell> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Number(number)),
        ValueRef::Text(_) => Ok(Cell::Text(value.as_str().map_err(rusqlite::Error::from)?.into())),
        other => Err(damaged(format!("a value is of the type {}", other.data_type()))),
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        })
    }
}
