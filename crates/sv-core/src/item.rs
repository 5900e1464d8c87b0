//! What flows on every edge between two stages.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Duration, Frame, Packet, Timestamp, Track, TrackId};

/// The one union that every stage takes and gives. Per track the order is fixed: its
/// [`Track`](Item::Track), then packets or frames, a [`Segment`](Item::Segment) after the packets
/// and the [`Part`](Item::Part)s that it closes, and [`End`](Item::End).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// A track begins, or its description changes.
    Track(Arc<Track>),
    /// A compressed access unit.
    Packet(Packet),
    /// Raw media of a track.
    Frame(TrackId, Frame),
    /// A piece of a segment that is not finished yet.
    Part(Part),
    /// A finished segment.
    Segment(Segment),
    /// Something happens at a moment of the presentation.
    Cue(Cue),
    /// A track ends.
    End(TrackId),
}

impl Item {
    /// The track that it is about, if it is about one.
    #[must_use]
    pub fn track(&self) -> Option<TrackId> {
        match self {
            Self::Track(track) => Some(track.id),
            Self::Packet(packet) => Some(packet.track),
            Self::Frame(track, _) | Self::End(track) => Some(*track),
            Self::Part(part) => Some(part.track),
            Self::Segment(segment) => Some(segment.track),
            Self::Cue(_) => None,
        }
    }
}

/// A run of packets that is stored and fetched as one, ready to be written.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The track that it belongs to.
    pub track: TrackId,
    /// Its place on the segment grid, from 0.
    pub number: u64,
    /// When its earliest packet is shown, in the track's time base; negative where an encoder's delay
    /// is to be dropped.
    pub start: Timestamp,
    /// The sum of its packets' durations.
    pub duration: Duration,
    /// Whether decoding can start at its first packet.
    pub key: bool,
    /// Bytes from the segment's first to behind its first key picture: what an I-frame playlist
    /// names. Zero where there is none.
    pub key_bytes: u64,
    /// Packets in it.
    pub packets: u32,
    /// The key that it is encrypted with; `None` when it is clear.
    pub kid: Option<crate::KeyId>,
    /// The bytes to store, in order: headers of ours and payloads that are not copied.
    pub data: Vec<Bytes>,
}

impl Segment {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.data.iter().map(|b| u64::try_from(b.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A piece of a segment that can be read before the segment is whole: a chunk of CMAF, a partial segment
/// of HLS. A segment's bytes are those of its parts, one behind the other.
#[derive(Clone, Debug)]
pub struct Part {
    /// The track that it belongs to.
    pub track: TrackId,
    /// The number of its segment.
    pub segment: u64,
    /// Its place in the segment, from 0.
    pub number: u32,
    /// When its segment starts, as [`Segment::start`]; every part of a segment says the same.
    pub start: Timestamp,
    /// The sum of its packets' durations.
    pub duration: Duration,
    /// Whether decoding can start at its first packet.
    pub key: bool,
    /// The key that its segment is encrypted with; `None` when it is clear.
    pub kid: Option<crate::KeyId>,
    /// The bytes to send, in order.
    pub data: Vec<Bytes>,
}

impl Part {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.data.iter().map(|b| u64::try_from(b.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Something that happens at a moment: an ad break, a chapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When, on the presentation's timeline.
    pub at: std::time::Duration,
    /// What, as the scheme that `scheme` names defines it.
    pub payload: Bytes,
    /// The URN of the payload's scheme.
    pub scheme: String,
}
