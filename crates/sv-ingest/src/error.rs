//! What goes wrong with those who send, and with the machine.

use std::sync::Arc;

use sv_core::ErrorKind;

/// Why a stream can't be taken or sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The other side breaks the protocol.
    #[error("{what} is broken: {problem}")]
    Malformed {
        /// The structure, as its specification calls it.
        what: &'static str,
        /// What is wrong, as a clause.
        problem: &'static str,
    },
    /// The media inside are broken, or nobody has taught us their kind.
    #[error(transparent)]
    Media(#[from] sv_container::Error),
    /// A structure inside could not be read.
    #[error(transparent)]
    Syntax(#[from] sv_codec::Error),
    /// The other side asks for more than it may have.
    #[error("{what} is above the limit of {limit}")]
    LimitExceeded {
        /// What is too large.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The other side said no.
    #[error("{what} was refused by the other side: {reason}")]
    Refused {
        /// What we asked for.
        what: &'static str,
        /// What it said.
        reason: String,
    },
    /// Who sends may not, or no longer.
    #[error("{reason}")]
    Denied {
        /// Why, as a sentence.
        reason: String,
    },
    /// An argument can't be right.
    #[error("{what}: {problem}")]
    InvalidInput {
        /// The argument, which is no secret.
        what: String,
        /// What is wrong, as a clause.
        problem: &'static str,
    },
    /// The operating system refused.
    #[error("{what} failed: {source}")]
    Io {
        /// What we were doing.
        what: String,
        /// What the system says.
        source: Arc<std::io::Error>,
    },
}

impl Error {
    /// What a caller would do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } => ErrorKind::Malformed,
            Self::Media(error) => error.kind(),
            Self::Syntax(error) => error.kind(),
            Self::LimitExceeded { .. } => ErrorKind::LimitExceeded,
            Self::Refused { .. } | Self::Denied { .. } => ErrorKind::PermissionDenied,
            Self::InvalidInput { .. } => ErrorKind::InvalidInput,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source: Arc::new(source) }
    }
}

/// `Ok`, or why not.
pub type Result<T, E = Error> = std::result::Result<T, E>;
