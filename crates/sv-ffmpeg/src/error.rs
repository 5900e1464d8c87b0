//! What goes wrong between us and FFmpeg.

use crate::ffi as ff;
use sv_core::ErrorKind;

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no container that is on the list of safe ones.
    #[error("{name}: this is not a media file, or of a kind that is not accepted ({reason})")]
    UnknownFormat {
        /// What the caller calls the input.
        name: String,
        /// FFmpeg's reason.
        reason: String,
    },
    /// A call of FFmpeg failed.
    #[error("can't {what}: {reason}")]
    Call {
        /// What was tried.
        what: String,
        /// FFmpeg's reason.
        reason: String,
        /// FFmpeg's number for it.
        code: i32,
    },
    /// The linked FFmpeg was built without this.
    #[error("the linked FFmpeg {version} has no {what}; install a build of FFmpeg that has it")]
    Missing {
        /// Encoder, decoder or filter, with its name.
        what: String,
        /// The version that is linked.
        version: String,
    },
    /// FFmpeg is not installed, or not the version that this was built for.
    #[error(
        "FFmpeg's library {file} can't be loaded; install the FFmpeg that this was built for \
         (on Debian: apt install ffmpeg)"
    )]
    Absent {
        /// The file that was looked for, or what is missing in it.
        file: String,
    },
    /// An argument can't be right.
    #[error("{0}")]
    Invalid(String),
    /// A bound of [`sv_core::Limits`] was reached.
    #[error("{what} is {value}, more than the limit of {limit}")]
    Limit {
        /// Which value.
        what: &'static str,
        /// How much it is.
        value: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The input could not be read.
    #[error("reading {name} failed: {source}")]
    Read {
        /// What the caller calls the input.
        name: String,
        /// What the reader said.
        source: std::io::Error,
    },
}

impl Error {
    /// What a caller would do differently.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownFormat { .. } => ErrorKind::Malformed,
            Self::Call { code, .. } => match *code {
                ff::AVERROR_INVALIDDATA | ff::AVERROR_EOF => ErrorKind::Malformed,
                ff::AVERROR_PATCHWELCOME => ErrorKind::Unsupported,
                c if c == -libc_code::EINVAL => ErrorKind::InvalidInput,
                c if c == -libc_code::ENOMEM => ErrorKind::LimitExceeded,
                _ => ErrorKind::Internal,
            },
            Self::Missing { .. } | Self::Absent { .. } => ErrorKind::Unsupported,
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Limit { .. } => ErrorKind::LimitExceeded,
            Self::Read { source, .. } => ErrorKind::of_io(source),
        }
    }

    pub(crate) fn call(what: impl Into<String>, code: i32) -> Self {
        Self::Call { what: what.into(), reason: reason(code), code }
    }

    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), version: crate::probe::version() }
    }

    /// Whether one damaged packet caused it, so that the next one may be fine.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Call { code, .. } if *code == ff::AVERROR_INVALIDDATA)
    }
}

/// `errno` values that FFmpeg negates; the same on every system that we build for.
pub(crate) mod libc_code {
    pub(crate) const EIO: i32 = 5;
    pub(crate) const ENOMEM: i32 = 12;
    pub(crate) const EINVAL: i32 = 22;
    #[cfg(target_os = "linux")]
    pub(crate) const ENOSYS: i32 = 38;
    #[cfg(target_os = "windows")]
    pub(crate) const ENOSYS: i32 = 40;
    #[cfg(not(any(target_os = "linux", target_os = "windows")))]
    pub(crate) const ENOSYS: i32 = 78;
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    pub(crate) const EAGAIN: i32 = 35;
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    pub(crate) const EAGAIN: i32 = 11;
    pub(crate) const EPERM: i32 = 1;
}

/// FFmpeg's words for a number, in our style.
pub(crate) fn reason(code: i32) -> String {
    let mut text = [0u8; 128];
    // SAFETY: the buffer is 128 bytes long and av_strerror always ends it with a zero.
    unsafe { ff::av_strerror(code, text.as_mut_ptr().cast(), text.len()) };
    let text = std::ffi::CStr::from_bytes_until_nul(&text).unwrap_or_default();
    text.to_string_lossy().to_lowercase()
}

/// Turns a negative return value into an error.
pub(crate) fn check(code: i32, what: impl FnOnce() -> String) -> Result<i32, Error> {
    if code < 0 { Err(Error::call(what(), code)) } else { Ok(code) }
}
