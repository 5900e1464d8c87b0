//! The one error of the facade: every crate's error ends up here with its kind and sentence kept.

use std::error::Error as StdError;
use std::fmt;

use sv_core::ErrorKind;

/// What went wrong: one sentence for a person, a [`kind`](Self::kind) for a program, and the cause.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Results of the facade.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of its own, without a cause below it.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// What a caller would do differently.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Puts what was being done in front: `context: message`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    pub(crate) fn wrap(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Self {
        let mut message = source.to_string();
        let mut cause = source.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their cause in their own sentence.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self { kind, message, source: Some(Box::new(source)) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|s| {
            let s: &(dyn StdError + 'static) = s.as_ref();
            s
        })
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::wrap(ErrorKind::of_io(&error), error)
    }
}

macro_rules! from {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::wrap(error.kind(), error)
            }
        }
    )+};
}

from!(sv_container::Error, sv_drm::Error, sv_package::Error, sv_transcode::Error);

#[cfg(feature = "ffmpeg")]
from!(sv_ffmpeg::Error);

#[cfg(feature = "gateway")]
from!(sv_ingest::Error);
