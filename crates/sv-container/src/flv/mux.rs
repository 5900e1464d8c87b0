//! From items to bodies.

use bytes::{BufMut as _, Bytes, BytesMut};
use sv_codec::opus;
use sv_core::{Codec, Packet, TimeBase, Track, TrackId, TrackKind};

use super::tag::Kind;
use crate::{Error, Result};

/// The body of a tag, ready to be sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Body {
    /// What it is for.
    pub kind: Kind,
    /// Its time, in milliseconds.
    pub millis: i64,
    /// Whether it is of no use to whoever comes later: whether it is a frame.
    pub frame: bool,
    /// Its first bytes.
    pub head: Bytes,
    /// And all others, as the packet has them.
    pub data: Bytes,
}

impl Body {
    /// A tag's body as it is.
    #[must_use]
    pub const fn new(kind: Kind, millis: i64, data: Bytes) -> Self {
        Self { kind, millis, frame: true, head: Bytes::new(), data }
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len().saturating_add(self.data.len())
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes bodies of tracks and packets: in the classic form where that has the codec, so that every player understands
/// it, and in the enhanced one otherwise. Tracks of a kind behind the first are marked with their numbers.
#[derive(Debug, Default)]
pub struct Muxer {
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    id: TrackId,
    kind: Kind,
    number: u8,
    codec: Codec,
    fourcc: [u8; 4],
    base: TimeBase,
}

impl Lane {
    /// Whether it goes as it went before there was anything else.
    fn is_classic(&self) -> bool {
        self.number == 0 && matches!(self.codec, Codec::H264 | Codec::Aac)
    }

    /// The beginning of an enhanced body.
    fn head(&self, packet: u8, key: bool) -> BytesMut {
        let mut head = BytesMut::with_capacity(16);
        let (first, multitrack) = match self.kind {
            Kind::Audio => (0x90, 5),
            _ => (if key { 0x90 } else { 0xA0 }, 6),
        };
        if self.number == 0 {
            head.put_u8(first | packet);
            head.put_slice(&self.fourcc);
        } else {
            head.put_slice(&[first | multitrack, packet]);
            head.put_slice(&self.fourcc);
            head.put_u8(self.number);
        }
        head
    }
}

impl Muxer {
    /// For tracks that are told by [`track`](Self::track).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A track begins, or is described anew: the body that tells the decoder, if the codec needs one.
    ///
    /// # Errors
    /// When tags can't carry the codec, or there are more than 256 tracks of the kind.
    pub fn track(&mut self, track: &Track, millis: i64) -> Result<Option<Body>> {
        let Some(fourcc) = fourcc(track.codec) else {
            let hint = "FLV and RTMP carry H.264, HEVC, AV1, VP8, VP9, AAC, Opus, FLAC, AC-3, E-AC-3 and MP3";
            return Err(Error::Unsupported { what: format!("{} in FLV", track.codec), hint });
        };
        let kind = if track.kind() == TrackKind::Video { Kind::Video } else { Kind::Audio };
        let before = self.lanes.iter().position(|lane| lane.id == track.id);
        let number =
            match before.and_then(|place| self.lanes.get(place)) {
                Some(lane) => lane.number,
                None => u8::try_from(self.lanes.iter().filter(|lane| lane.kind == kind).count()).map_err(
                    |_| Error::InvalidInput { track: track.id.0, problem: "there are too many tracks" },
                )?,
            };
        let lane = Lane { id: track.id, kind, number, codec: track.codec, fourcc, base: track.time_base };
        let head = match track.codec {
            Codec::H264 if lane.is_classic() => Some(BytesMut::from(&[0x17, 0, 0, 0, 0][..])),
            Codec::Aac if lane.is_classic() => Some(BytesMut::from(&[0xAF, 0][..])),
            Codec::Ac3 | Codec::Eac3 | Codec::Mp3 => None,
            _ => Some(lane.head(0, true)),
        };
        let data = match track.codec {
            Codec::Opus => opus::Config::parse(&track.config).map_err(Error::syntax(0))?.build_head(),
            Codec::Flac => [b"fLaC", &*track.config].concat().into(),
            _ => track.config.clone(),
        };
        match before.and_then(|place| self.lanes.get_mut(place)) {
            Some(old) => *old = lane,
            None => self.lanes.push(lane),
        }
        Ok(head.map(|head| Body { kind, millis, frame: false, head: head.freeze(), data }))
    }

    /// The body of a packet; none where its track was never told.
    #[must_use]
    pub fn packet(&self, packet: &Packet) -> Option<Body> {
        let lane = self.lanes.iter().find(|lane| lane.id == packet.track)?;
        let millis = |at: sv_core::Timestamp| at.rescale(lane.base, TimeBase::MILLIS).ticks();
        let dts = millis(packet.dts);
        let later = i32::try_from(millis(packet.pts).saturating_sub(dts)).unwrap_or(0);
        let [_, composition @ ..] = later.to_be_bytes();
        let head = match (lane.codec, lane.is_classic()) {
            (Codec::H264, true) => {
                let mut head = BytesMut::with_capacity(5);
                head.put_slice(&[if packet.key { 0x17 } else { 0x27 }, 1]);
                head.put_slice(&composition);
                head
            }
            (Codec::Aac, true) => BytesMut::from(&[0xAF, 1][..]),
            (Codec::H264 | Codec::Hevc, _) if later != 0 => {
                let mut head = lane.head(1, packet.key);
                head.put_slice(&composition);
                head
            }
            (Codec::H264 | Codec::Hevc, _) => lane.head(3, packet.key),
            _ => lane.head(1, packet.key),
        };
        let data = packet.data.clone();
        Some(Body { kind: lane.kind, millis: dts, frame: true, head: head.freeze(), data })
    }
}

/// The four letters by which enhanced tags name a codec; none where they can't carry it.
#[must_use]
pub const fn fourcc(codec: Codec) -> Option<[u8; 4]> {
    Some(match codec {
        Codec::H264 => *b"avc1",
        Codec::Hevc => *b"hvc1",
        Codec::Av1 => *b"av01",
        Codec::Vp8 => *b"vp08",
        Codec::Vp9 => *b"vp09",
        Codec::Aac => *b"mp4a",
        Codec::Opus => *b"Opus",
        Codec::Flac => *b"fLaC",
        Codec::Ac3 => *b"ac-3",
        Codec::Eac3 => *b"ec-3",
        Codec::Mp3 => *b".mp3",
        _ => return None,
    })
}
