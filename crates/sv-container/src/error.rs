//! What is wrong with a file, or with what was asked of a writer.

use std::sync::Arc;

use sv_core::ErrorKind;

/// Why a container can't be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes could not be read.
    #[error("reading at byte {offset} failed: {source}")]
    Io {
        /// Where, from the start of the file.
        offset: u64,
        /// What the operating system says.
        source: Arc<std::io::Error>,
    },
    /// The file ends inside something that it promised.
    #[error("the file is cut short: {what} needs bytes up to {needed}, but there are only {size}")]
    Truncated {
        /// What is missing.
        what: String,
        /// The offset behind the last byte that it needs.
        needed: u64,
        /// Bytes in the file.
        size: u64,
    },
    /// A structure breaks its specification.
    #[error("{path} at byte {offset} is broken: {problem}")]
    Malformed {
        /// The box path or structure.
        path: &'static str,
        /// Where it begins, from the start of the file.
        offset: u64,
        /// What is wrong, as a clause.
        problem: &'static str,
    },
    /// A structure or codec header could not be read.
    #[error("the structure at byte {offset} is broken: {source}")]
    Syntax {
        /// Where it begins, from the start of the file; 0 where it was not in a file.
        offset: u64,
        /// What is wrong inside it.
        source: sv_codec::Error,
    },
    /// A bound of [`sv_core::Limits`] was reached.
    #[error(
        "{what} at byte {offset} is above the limit of {limit}; raise it in Limits if the file is trusted"
    )]
    LimitExceeded {
        /// What is too large.
        what: &'static str,
        /// Where, from the start of the file.
        offset: u64,
        /// The bound.
        limit: u64,
    },
    /// This is another kind of file.
    #[error("this is not {expected} but {found}")]
    WrongKind {
        /// What the reader reads.
        expected: &'static str,
        /// What the first bytes look like.
        found: &'static str,
    },
    /// Well-formed, but nothing here can handle it.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// What the file uses.
        what: String,
        /// What would handle it.
        hint: &'static str,
    },
    /// A caller's argument can't be written.
    #[error("track {track} can't be written: {problem}")]
    InvalidInput {
        /// The track that it is about.
        track: u32,
        /// What is wrong, as a clause.
        problem: &'static str,
    },
    /// There is no such track.
    #[error("there is no track {track}")]
    NoTrack {
        /// The number that was asked for.
        track: u32,
    },
}

impl Error {
    /// What a caller would do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Truncated { .. } | Self::Malformed { .. } => ErrorKind::Malformed,
            Self::Syntax { source, .. } => source.kind(),
            Self::LimitExceeded { .. } => ErrorKind::LimitExceeded,
            Self::Unsupported { .. } | Self::WrongKind { .. } => ErrorKind::Unsupported,
            Self::InvalidInput { .. } => ErrorKind::InvalidInput,
            Self::NoTrack { .. } => ErrorKind::NotFound,
        }
    }

    pub(crate) fn io(offset: u64, source: std::io::Error) -> Self {
        Self::Io { offset, source: Arc::new(source) }
    }

    pub(crate) const fn syntax(offset: u64) -> impl Fn(sv_codec::Error) -> Self {
        move |source| Self::Syntax { offset, source }
    }
}

/// `Ok`, or why not.
pub type Result<T, E = Error> = std::result::Result<T, E>;
