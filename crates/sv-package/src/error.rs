use sv_core::{Codec, ErrorKind, TrackId};

/// What can go wrong in packaging.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No manifest can name this codec, or its configuration is broken.
    #[error("track {track}: {codec} can't be packaged: its configuration gives no codec string; transcode it", track = track.0)]
    Codec {
        /// The track.
        track: TrackId,
        /// Its codec.
        codec: Codec,
    },
    /// Items came in an order that a track can't have.
    #[error("track {track}: {what}", track = track.0)]
    Order {
        /// The track.
        track: TrackId,
        /// What was wrong.
        what: &'static str,
    },
    /// The container writer refused.
    #[error("track {track}: the segment can't be written", track = track.0)]
    Container {
        /// The track.
        track: TrackId,
        /// Why.
        #[source]
        source: sv_container::Error,
    },
    /// Content steering that manifests can't say.
    #[error("content steering: {what}")]
    Steering {
        /// What is wrong.
        what: &'static str,
    },
    /// There is nothing to write a manifest about.
    #[error(
        "there is no finished segment to write a manifest about; the source has no audio or video that could be read"
    )]
    Empty,
}

impl Error {
    /// What a caller would do differently.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Codec { .. } => ErrorKind::Unsupported,
            Self::Order { .. } => ErrorKind::Internal,
            Self::Container { source, .. } => source.kind(),
            Self::Empty | Self::Steering { .. } => ErrorKind::InvalidInput,
        }
    }
}
