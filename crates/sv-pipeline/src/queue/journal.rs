//! What the queue asks of a journal.
//!
//! The rules of the queue are written once, in the SQL that PostgreSQL and SQLite have in common:
//! columns are 64-bit numbers or text, a moment is a number, and so is a truth (0 or 1). Parameters
//! are `$1`, `$2`, …, and `FOR UPDATE` marks what must not change until the transaction ends.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sv_core::ErrorKind;

use super::{Error, Result};

/// A transaction at a time, and statements in it or alone.
pub(super) trait Journal: fmt::Debug + Send {
    /// Begins a transaction. One that a panic left open is rolled back.
    fn begin(&mut self) -> Result<()>;

    /// What a statement gives. Outside a transaction only statements that read are allowed.
    fn rows(&mut self, sql: &str, values: &[Cell]) -> Result<Vec<Row>>;

    /// When this returns, what the transaction did survives a crash.
    fn commit(&mut self) -> Result<()>;

    /// Undoes what the open transaction did, if there is one.
    fn roll_back(&mut self);

    /// The first row of what a statement gives.
    fn row(&mut self, sql: &str, values: &[Cell]) -> Result<Option<Row>> {
        Ok(self.rows(sql, values)?.into_iter().next())
    }
}

/// A value of a statement, or of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// No text, or no number.
    Null,
    Number(i64),
    Text(String),
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A row, in the order of the statement's columns.
#[derive(Debug)]
pub(super) struct Row(pub(super) Vec<Cell>);

impl Row {
    pub(super) fn number(&self, column: usize) -> Result<i64> {
        match self.0.get(column) {
            Some(Cell::Number(number)) => Ok(*number),
            other => Err(damaged(format!("column {column} holds {other:?} instead of a number"))),
        }
    }

    /// A number that is small and not negative.
    pub(super) fn count(&self, column: usize) -> Result<u32> {
        let number = self.number(column)?;
        u32::try_from(number).map_err(|_| damaged(format!("column {column} holds the count {number}")))
    }

    pub(super) fn truth(&self, column: usize) -> Result<bool> {
        Ok(self.number(column)? != 0)
    }

    pub(super) fn text(&self, column: usize) -> Result<&str> {
        self.maybe(column)?.ok_or_else(|| damaged(format!("column {column} holds nothing")))
    }

    /// A text that may be missing.
    pub(super) fn maybe(&self, column: usize) -> Result<Option<&str>> {
        match self.0.get(column) {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            other => Err(damaged(format!("column {column} holds {other:?} instead of text"))),
        }
    }
}

/// The journal holds what no version of this crate wrote.
pub(super) fn damaged(what: String) -> Error {
    Error::Journal { kind: ErrorKind::Malformed, source: what.into() }
}

/// Milliseconds since 1970, the unit of time of journals.
pub(super) fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn moment(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
