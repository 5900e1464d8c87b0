//! What kind of failure happened: the small closed set that bindings map to exceptions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a caller would do differently. Every crate's error maps to one of these by its `kind()`.
///
/// The set is closed on purpose: a binding maps each to one exception class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The caller passed an argument that can't be right.
    InvalidInput,
    /// The media or file breaks its specification, or was cut short.
    Malformed,
    /// Well-formed, but nothing here can handle it; the message names what could.
    Unsupported,
    /// A bound of [`Limits`](crate::Limits) was reached.
    LimitExceeded,
    /// No such thing.
    NotFound,
    /// Something is there already, or somebody else holds it.
    AlreadyExists,
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// Good credentials, but not for this.
    PermissionDenied,
    /// Too many requests; later is fine.
    RateLimited,
    /// It took longer than allowed.
    Timeout,
    /// The operating system refused: disk full, broken pipe, unreadable file.
    Io,
    /// A service or device is not there at the moment.
    Unavailable,
    /// The caller cancelled.
    Cancelled,
    /// The other side is finished; nothing more can be sent or received.
    Closed,
    /// A bug of ours.
    Internal,
}

impl ErrorKind {
    /// Every kind, for bindings that must map each one.
    pub const ALL: [Self; 15] = [
        Self::InvalidInput,
        Self::Malformed,
        Self::Unsupported,
        Self::LimitExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::RateLimited,
        Self::Timeout,
        Self::Io,
        Self::Unavailable,
        Self::Cancelled,
        Self::Closed,
        Self::Internal,
    ];

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Timeout | Self::Unavailable)
    }

    /// The stable name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::LimitExceeded => "limit_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Io => "io",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }

    /// The kind of an operating system error.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound => Self::NotFound,
            Io::PermissionDenied => Self::PermissionDenied,
            Io::AlreadyExists | Io::AddrInUse => Self::AlreadyExists,
            Io::InvalidInput | Io::IsADirectory | Io::NotADirectory => Self::InvalidInput,
            Io::UnexpectedEof | Io::InvalidData => Self::Malformed,
            Io::TimedOut => Self::Timeout,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_with_json() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }
}
