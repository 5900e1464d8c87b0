//! Several who send one stream: which of them is on air, and how it goes on where another takes over.

mod clock;
mod input;
mod switch;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub(crate) use input::{Look, Publisher};
pub(crate) use switch::{Switch, Told};

/// When another sender of a stream takes over.
///
/// Only streams that several send under different [ranks](crate::gateway::Grant::rank) are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failover {
    /// Nothing has come for this long, or for two and a half pictures where these are further apart.
    pub loss: Duration,
    /// Pictures have been black for this long.
    pub black: Duration,
    /// The picture hasn't changed for this long.
    pub frozen: Duration,
    /// Nothing has been heard for this long.
    pub silent: Duration,
    /// How long a sender of a better rank must have been well until it is gone back to.
    pub clear: Duration,
    /// Whether it is gone back to at all.
    pub back: bool,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            loss: Duration::from_millis(150),
            black: Duration::from_secs(5),
            frozen: Duration::from_secs(10),
            silent: Duration::from_secs(15),
            clear: Duration::from_secs(5),
            back: true,
        }
    }
}

/// What is seen and heard of who sends a stream, by whoever decodes some of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Pictures are black.
    pub black: bool,
    /// The picture is the one before.
    pub frozen: bool,
    /// Nothing is to be heard.
    pub silent: bool,
}

/// Why another sender has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing came any more.
    Lost,
    /// The one before has gone.
    Closed,
    /// Its pictures were black.
    Black,
    /// Its picture didn't change.
    Frozen,
    /// Nothing was to be heard.
    Silent,
    /// A better one is well again.
    Back,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "nothing came any more",
            Self::Closed => "the one before has gone",
            Self::Black => "its pictures were black",
            Self::Frozen => "its picture stood still",
            Self::Silent => "nothing was to be heard",
            Self::Back => "the better one is well again",
        })
    }
}
