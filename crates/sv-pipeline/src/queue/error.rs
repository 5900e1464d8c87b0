//! What the queue refuses, and why.

use std::path::PathBuf;

use sv_core::ErrorKind;

use super::JobId;

/// What went wrong with the queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process owns the folder.
    #[error("the folder {} is in use by another process; stop that one or choose another folder", .0.display())]
    InUse(PathBuf),
    /// The folder can't be made or written.
    #[error("the folder {} can't be written: {source}", folder.display())]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The journal was written by a later version.
    #[error(
        "the journal has format {found}, but this version knows only up to {known}; use the newer program"
    )]
    Newer {
        /// The format of the journal.
        found: i64,
        /// The newest format that this version knows.
        known: i64,
    },
    /// The job was given to another worker, or is over: what this worker does no longer counts.
    #[error("the lease of job {0} is lost; stop working on it")]
    LeaseLost(JobId),
    /// There is no such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// SQLite or PostgreSQL refused: the disk is full, the journal is damaged, or the server can't be
    /// reached. [`kind`](Error::kind) tells whether the same call may succeed later.
    #[error("the journal of jobs can't be used: {source}")]
    Journal {
        /// What a caller would do differently.
        kind: ErrorKind,
        /// What the database says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Results of the queue.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What a caller would do differently.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse(_) => ErrorKind::AlreadyExists,
            Self::Folder { source, .. } => ErrorKind::of_io(source),
            Self::Newer { .. } => ErrorKind::Unsupported,
            Self::LeaseLost(_) => ErrorKind::Closed,
            Self::NoSuchJob(_) => ErrorKind::NotFound,
            Self::Journal { kind, .. } => *kind,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Malformed,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Unavailable,
            _ => ErrorKind::Io,
        };
        Self::Journal { kind, source: Box::new(error) }
    }
}
