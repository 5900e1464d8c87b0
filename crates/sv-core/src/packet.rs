//! Compressed media, one access unit at a time.

use std::fmt;

use bytes::Bytes;

use crate::{Duration, SampleProtection, Timestamp, TrackId};

/// One compressed access unit: a coded picture, a block of audio, a subtitle cue.
///
/// The payload is in the form that MP4 stores: NAL units with length prefixes and parameter sets
/// in the track's configuration, raw AAC frames without ADTS, OBUs without temporal delimiters,
/// WebVTT cues as plain text without the timing line (or as their `vttc` box, where they have settings
/// or an identifier), whole documents of TTML. A packet of text without data says only that time has
/// gone so far.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// The track that it belongs to; times are in that track's time base.
    pub track: TrackId,
    /// When it is shown.
    pub pts: Timestamp,
    /// When it is decoded: never decreases within a track.
    pub dts: Timestamp,
    /// How long it is shown.
    pub duration: Duration,
    /// Whether decoding can start here.
    pub key: bool,
    /// The payload.
    pub data: Bytes,
    /// How the payload is encrypted, if it is.
    pub protection: Option<SampleProtection>,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("track", &self.track)
            .field("pts", &self.pts)
            .field("dts", &self.dts)
            .field("duration", &self.duration)
            .field("key", &self.key)
            .field("data", &format_args!("<{} bytes>", self.data.len()))
            .field("protected", &self.protection.is_some())
            .finish()
    }
}
