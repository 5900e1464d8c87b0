//! A journal in PostgreSQL: one server, any number of processes.

mod database;
mod link;

use std::fmt;
use std::sync::Mutex;

use ::postgres::Config;
use sv_core::ErrorKind;

use super::journal::{Cell, Journal, Row};
use super::{Error, Options, Queue, Result};
pub use database::Database;
use link::Link;

/// The format that this version writes, kept in the table `format`.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE jobs (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key         TEXT   NOT NULL,
  class       BIGINT NOT NULL,
  state       TEXT   NOT NULL,
  payload     TEXT   NOT NULL,
  progress    TEXT,
  result      TEXT,
  reason      TEXT,
  attempts    BIGINT NOT NULL DEFAULT 0,
  fence       BIGINT NOT NULL DEFAULT 0,
  cancel      BIGINT NOT NULL DEFAULT 0,
  due         BIGINT NOT NULL,
  worker      TEXT,
  lease_until BIGINT,
  created     BIGINT NOT NULL,
  updated     BIGINT NOT NULL
);
CREATE UNIQUE INDEX one_active_job_per_key ON jobs (key) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_by_key ON jobs (key, id);
CREATE INDEX jobs_in_line ON jobs (class, due, id) WHERE state = 'queued';
CREATE INDEX jobs_by_lease ON jobs (lease_until) WHERE state = 'running';
CREATE TABLE format (version BIGINT NOT NULL);
INSERT INTO format VALUES (1);
";

/// Held while a queue is made: any number that others are unlikely to choose.
const MAKING: i64 = 0x7376_7175_6575_6531;

impl Queue {
    /// Joins the queue of a PostgreSQL server, and makes it if it is not there. Any number of
    /// processes may be in it, on any machine; [`Database`] says what to know about that.
    ///
    /// # Errors
    /// [`Error::Newer`] when a later version of this crate made the queue, and [`Error::Journal`]
    /// when the server can't be reached or refuses.
    pub fn connect(database: &Database, options: Options) -> Result<Self> {
        let config = database.config()?;
        let mut journal = Postgres { config, name: database.checked_name()?.into(), link: None, open: false };
        journal.link()?;
        Ok(Self { journal: Mutex::new(Box::new(journal)), options })
    }
}

impl Database {
    /// Removes the queue with all of its jobs. One that isn't there is removed already; whoever is in it gets an error
    /// at the next call.
    ///
    /// # Errors
    /// [`Error::Journal`] when the server can't be reached or refuses.
    pub fn remove(&self) -> Result<()> {
        let name = self.checked_name()?;
        Link::open(&self.config()?)?.batch(format!("DROP SCHEMA IF EXISTS \"{name}\" CASCADE"))
    }
}

/// The connection, as long as there is one. It is given up at the first error and made again by the
/// next call.
struct Postgres {
    config: Config,
    name: String,
    link: Option<Link>,
    /// Whether a transaction is open.
    open: bool,
}

impl Postgres {
    fn link(&mut self) -> Result<&Link> {
        let link = match self.link.take() {
            Some(link) => link,
            None => entered(&self.config, &self.name)?,
        };
        Ok(self.link.insert(link))
    }

    fn ask(&mut self, sql: &str, values: &[Cell]) -> Result<Vec<Row>> {
        let answer = self.link()?.rows(sql, values);
        if answer.is_err() {
            self.link = None;
        }
        answer
    }
}

impl Journal for Postgres {
    fn begin(&mut self) -> Result<()> {
        self.roll_back();
        self.rows("BEGIN ISOLATION LEVEL READ COMMITTED", &[])?;
        self.open = true;
        Ok(())
    }

    fn rows(&mut self, sql: &str, values: &[Cell]) -> Result<Vec<Row>> {
        let used = self.link.is_some();
        if self.open && !used {
            let source = "the transaction was lost with its connection to PostgreSQL".into();
            return Err(Error::Journal { kind: ErrorKind::Unavailable, source });
        }
        match self.ask(sql, values) {
            // The connection may have ended while nobody used it. Nothing is changed outside a
            // transaction, so a new one is asked, once.
            Err(error) if used && !self.open && error.kind() == ErrorKind::Unavailable => {
                self.ask(sql, values)
            }
            answer => answer,
        }
    }

    fn commit(&mut self) -> Result<()> {
        self.rows("COMMIT", &[])?;
        self.open = false;
        Ok(())
    }

    fn roll_back(&mut self) {
        // Without a connection the server has done so, or will.
        if self.open && self.link.is_some() {
            let _ = self.ask("ROLLBACK", &[]);
        }
        self.open = false;
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A connection to the server that is in the queue of this name, which is made if it is not there.
fn entered(config: &Config, name: &str) -> Result<Link> {
    let link = Link::open(config)?;
    let exists = |sql: &str| -> Result<bool> {
        let rows = link.rows(sql, &[name.into()])?;
        rows.first().map_or(Ok(false), |row| row.truth(0))
    };
    let made = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'format'";
    link.batch(format!("SET search_path = \"{name}\""))?;
    if !exists(made)? {
        link.batch(format!("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({MAKING})"))?;
        // Another process may have made it meanwhile.
        if !exists(made)? {
            // Only the owner of the database may make a schema, but others may own an empty one.
            if !exists("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1")? {
                link.batch(format!("CREATE SCHEMA \"{name}\""))?;
            }
            link.batch(SCHEMA.into())?;
        }
        link.batch("COMMIT".into())?;
    }
    let rows = link.rows("SELECT max(version) FROM format", &[])?;
    match rows.first().map_or(Ok(0), |row| row.number(0))? {
        FORMAT => Ok(link),
        found => Err(Error::Newer { found, known: FORMAT }),
    }
}
