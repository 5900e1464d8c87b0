use sv_core::{Codec, ErrorKind, TrackId};

/// What can go wrong in protection. No variant carries a key or a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A packet's payload is not what its codec promises, so its protected ranges can't be found.
    #[error("track {track}: the packet at decode time {dts} can't be encrypted: {reason}", track = track.0)]
    Bitstream {
        /// The track.
        track: TrackId,
        /// The packet's decode time in ticks.
        dts: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Common Encryption of this codec is not built yet.
    #[error("track {track}: {codec} can't be encrypted yet; leave it clear or transcode it", track = track.0)]
    Codec {
        /// The track.
        track: TrackId,
        /// Its codec.
        codec: Codec,
    },
    /// The track is encrypted already.
    #[error("track {track} is encrypted already; decrypt it first", track = track.0)]
    Encrypted {
        /// The track.
        track: TrackId,
    },
    /// A packet came before its track.
    #[error("a packet of track {track} came before the track itself", track = track.0)]
    Order {
        /// The track.
        track: TrackId,
    },
    /// Text that should be a key or key id is not.
    #[error("{what} must be {expected}")]
    Syntax {
        /// Which text.
        what: &'static str,
        /// What it should look like.
        expected: &'static str,
    },
    /// None of the keys is for this track.
    #[error("track {track}: there is no key for {label}; add a line with it to the key file, or one without a label for all", track = track.0)]
    NoKey {
        /// The track.
        track: TrackId,
        /// What it would be called.
        label: &'static str,
    },
    /// The keys of the key file are used up.
    #[error("track {track}: there is no key for the crypto period {period}, counted from 0; add a line @{period} KID:KEY to the key file", track = track.0)]
    NoPeriod {
        /// The track.
        track: TrackId,
        /// Which period.
        period: usize,
    },
    /// An encrypted segment is cut short, or was encrypted with another key.
    #[error("the segment can't be decrypted: it is cut short, or encrypted with another key")]
    Segment,
    /// A licence request asks for something that can't be given.
    #[error("the licence request is not valid: {0}")]
    Request(&'static str),
    /// A token is forged, mutilated or made for another path.
    #[error("the playback token is not valid")]
    Token,
    /// A token was good once.
    #[error("the playback token has expired; ask for a new playback URL")]
    Expired,
    /// A PSSH box breaks its specification.
    #[error("the pssh box is not valid: {0}")]
    Pssh(&'static str),
}

impl Error {
    /// What a caller would do differently.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Bitstream { .. } | Self::Segment | Self::Pssh(_) => ErrorKind::Malformed,
            Self::Codec { .. } => ErrorKind::Unsupported,
            Self::Encrypted { .. }
            | Self::Syntax { .. }
            | Self::NoKey { .. }
            | Self::NoPeriod { .. }
            | Self::Request(_) => ErrorKind::InvalidInput,
            Self::Order { .. } => ErrorKind::Internal,
            Self::Token => ErrorKind::PermissionDenied,
            Self::Expired => ErrorKind::Unauthenticated,
        }
    }
}
