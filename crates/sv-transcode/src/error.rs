//! What goes wrong in transcoding.

use sv_core::{Codec, ErrorKind};

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing that is compiled in and works here can do it.
    #[error("nothing here can {task} {codec}; {hint}")]
    Unsupported {
        /// "decode" or "encode".
        task: &'static str,
        /// The codec.
        codec: Codec,
        /// What would switch it on.
        hint: String,
    },
    /// The chosen backend can't do something about it.
    #[error("{what}; {hint}")]
    Incapable {
        /// What can't be done.
        what: String,
        /// What would switch it on.
        hint: String,
    },
    /// The input is damaged beyond use.
    #[error(
        "no frame of track {track} could be decoded from {packets} packets; the first error was: {first}"
    )]
    Undecodable {
        /// The track's number.
        track: u32,
        /// Packets that were tried.
        packets: u64,
        /// The first error.
        first: String,
    },
    /// One packet is damaged; decoding may go on behind it.
    #[error("a damaged {codec} packet: {reason}")]
    Damaged {
        /// The codec.
        codec: Codec,
        /// The decoder's words.
        reason: String,
    },
    /// The source is damaged, and whoever asked wants none of it
    /// ([`OnDamage::refuse`](crate::decode::OnDamage::refuse)).
    #[error("the source is damaged: {}", .0.what)]
    Refused(Box<crate::decode::Damage>),
    /// An argument can't be right, or items came in an order that can't be.
    #[error("{0}")]
    Invalid(String),
    /// A codec library failed.
    #[error("{library}: {reason}")]
    Library {
        /// Which one.
        library: &'static str,
        /// Its words.
        reason: String,
    },
    /// FFmpeg failed.
    #[cfg(feature = "ffmpeg")]
    #[error(transparent)]
    Ffmpeg(#[from] sv_ffmpeg::Error),
}

impl Error {
    /// What a caller would do differently.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsupported { .. } | Self::Incapable { .. } => ErrorKind::Unsupported,
            Self::Undecodable { .. } | Self::Damaged { .. } | Self::Refused(_) => ErrorKind::Malformed,
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Library { .. } => ErrorKind::Internal,
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg(error) => error.kind(),
        }
    }

    /// Whether one damaged packet caused it, so that the next one may be fine.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg(error) => error.is_damage(),
            _ => false,
        }
    }
}
