//! What is wrong with a header.

use sv_core::ErrorKind;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data ends inside a structure.
    #[error("{what} is cut short at byte {offset}")]
    Truncated {
        /// The structure, as its specification calls it.
        what: &'static str,
        /// Where more was needed, in bytes from the structure's start.
        offset: usize,
    },
    /// A value is not allowed where it stands.
    #[error("{what} is broken at byte {offset}: {problem}")]
    Invalid {
        /// The structure, as its specification calls it.
        what: &'static str,
        /// What is wrong, as a clause.
        problem: &'static str,
        /// Where, in bytes from the structure's start.
        offset: usize,
    },
    /// Valid, but of a kind that nobody has taught this crate.
    #[error("{what} uses {feature}, which is not supported")]
    Unsupported {
        /// The structure, as its specification calls it.
        what: &'static str,
        /// What it uses.
        feature: &'static str,
    },
}

impl Error {
    /// What a caller would do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. } | Self::Invalid { .. } => ErrorKind::Malformed,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }
}

/// `Ok`, or why not.
pub type Result<T, E = Error> = std::result::Result<T, E>;
