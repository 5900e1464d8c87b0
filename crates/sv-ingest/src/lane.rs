//! What RTP brings of one track, as its decoder takes it, becomes the track and its packets.

use std::sync::Arc;

use bytes::Bytes;
use sv_codec::{av1, describe, h264, opus, vp8, vp9};
use sv_container::byte_stream::ParameterSets;
use sv_core::{Codec, Duration, Item, Limits, Media, Packet, TimeBase, Timestamp, Track, TrackId, TrackKind};

/// Opus says on the way in which of its packets are stereo: WebRTC's are all taken for it.
const STEREO: opus::Config =
    opus::Config { channels: 2, pre_skip: 0, input_rate: 48_000, gain: 0, family: 0, mapping: Bytes::new() };
/// How far apart pictures are taken to be before there are two: a thirtieth of a second.
const STEP: i64 = 3000;
/// Pictures by which order of decoding and order of showing may differ.
const MOST_REORDER: usize = 16;

/// One track. Its times are in ticks of 90 kHz.
#[derive(Debug)]
pub(crate) struct Lane {
    id: TrackId,
    codec: Codec,
    limits: Limits,
    sets: ParameterSets,
    /// What has been said before any packet, or what the last key picture said.
    config: Bytes,
    track: Option<Arc<Track>>,
    /// Nothing can be decoded before a key picture.
    waits: bool,
    order: Order,
}

/// What came of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A packet at which decoding can start.
    Key,
    /// Another packet.
    Other,
    /// Nothing: it can't be decoded without what isn't there.
    Lost,
}

impl Lane {
    pub(crate) fn new(id: TrackId, codec: Codec, limits: Limits) -> Self {
        let sets = ParameterSets::default();
        let config = if codec == Codec::Opus { STEREO.build() } else { Bytes::new() };
        Self { id, codec, limits, sets, config, track: None, waits: true, order: Order::default() }
    }

    /// Parameter sets that were said before any packet: what changes them counts, what says them again doesn't.
    #[cfg(feature = "rtsp")]
    pub(crate) fn learn(&mut self, sets: &[Bytes]) {
        // Sets alone are no picture.
        let _ = self.sets.convert(self.codec, sets.iter().map(|set| &**set), false);
        self.config = self.sets.config(self.codec).unwrap_or_default();
    }

    /// What was said of the configuration before any packet.
    #[cfg(feature = "rtsp")]
    pub(crate) fn configured(&mut self, config: Bytes) {
        self.config = config;
    }

    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) const fn track(&self) -> Option<&Arc<Track>> {
        self.track.as_ref()
    }

    /// The frame of that time. `whole` where nothing is missing since the last one; pictures that need what is missing are
    /// left out up to the next key picture, since a player would show them broken.
    pub(crate) fn push(&mut self, data: Bytes, at: i64, whole: bool, mut give: impl FnMut(Item)) -> Seen {
        if data.is_empty() || data.len() > self.limits.packet_bytes {
            return Seen::Lost;
        }
        self.waits |= !whole;
        let Some((data, key, config)) = self.form(data) else { return Seen::Lost };
        self.waits &= !key;
        if let Some(config) = config
            && let Some(track) = self.configure(config, &data)
        {
            give(Item::Track(track));
        }
        let Some(track) = self.track.as_ref().filter(|_| !self.waits) else { return Seen::Lost };
        let kind = track.kind();
        let (pts, dts) = self.order.next(at, kind == TrackKind::Video);
        let (pts, dts) = (Timestamp::new(pts), Timestamp::new(dts));
        let (track, duration) = (self.id, Duration::ZERO);
        give(Item::Packet(Packet { track, pts, dts, duration, key, data, protection: None }));
        if key { Seen::Key } else { Seen::Other }
    }

    /// The packet as MP4 has it, whether decoding can start there, and what it says of the configuration. Nothing where
    /// it is broken, or holds no picture.
    fn form(&mut self, data: Bytes) -> Option<(Bytes, bool, Option<Bytes>)> {
        match self.codec {
            Codec::H264 | Codec::Hevc => {
                let units = sv_codec::nal::annex_b(&data).map(|unit| unit.data);
                let mut unit = self.sets.convert(self.codec, units, false)?;
                if unit.config.is_none() && self.track.is_none() && !self.config.is_empty() {
                    unit.config = Some(self.config.clone());
                }
                if let Some(depth) = unit.config.as_deref().and_then(reorder) {
                    self.order.depth = depth;
                }
                Some((unit.data, unit.key, unit.config))
            }
            Codec::Vp8 => {
                let header = vp8::Header::parse(&data).ok()?;
                Some((data, header.key, header.key.then(|| header.config().build())))
            }
            Codec::Vp9 => {
                let key = vp9::frames(&data).first().and_then(|f| vp9::Header::parse(f).ok())?.key;
                let config = key.then(|| vp9::Config::from_packet(&data, 30).ok()).flatten();
                Some((data, key, config.map(|config| config.build())))
            }
            Codec::Av1 => {
                let data = av1::without_delimiters(&data).ok()?;
                let key = av1::is_key(&data).ok()?;
                let config = key.then(|| av1::Config::from_packet(&data).ok()).flatten();
                Some((data, key, config.map(|config| config.build())))
            }
            _ => {
                let config = self.track.is_none().then(|| self.config.clone());
                Some((data, true, config))
            }
        }
    }

    /// The track, where it is new or has changed.
    fn configure(&mut self, config: Bytes, first: &[u8]) -> Option<Arc<Track>> {
        let media = describe(self.codec, &config, Some(first))?;
        if let Media::Video(video) = &media
            && u64::from(video.width).saturating_mul(u64::from(video.height)) > self.limits.pixels
        {
            return None;
        }
        if self.track.as_ref().is_some_and(|track| track.config == config && track.media == media) {
            return None;
        }
        let track = Arc::new(Track {
            id: self.id,
            codec: self.codec,
            time_base: TimeBase::MPEG,
            config,
            media,
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        });
        self.track = Some(Arc::clone(&track));
        Some(track)
    }
}

/// By how many pictures a stream of H.264 says that the orders differ.
fn reorder(config: &[u8]) -> Option<usize> {
    let config = h264::Config::parse(config).ok()?;
    let sps = h264::Sps::parse(config.sps.first()?).ok()?;
    usize::try_from(sps.max_reorder?).ok().filter(|depth| *depth <= MOST_REORDER)
}

/// RTP says when a picture is shown and brings pictures in the order of decoding: when each is decoded follows from both.
#[derive(Debug, Default)]
struct Order {
    /// By how many pictures the orders differ.
    depth: usize,
    /// Times of pictures that have not been taken for one's decoding, from early to late.
    times: Vec<i64>,
    /// The latest of all.
    top: Option<i64>,
    /// When the last one is decoded.
    last: Option<i64>,
}

impl Order {
    /// When what is shown at `at` is shown and decoded: never earlier than what came before it is decoded.
    fn next(&mut self, at: i64, pictures: bool) -> (i64, i64) {
        let after = self.last.map_or(i64::MIN, |last| last.saturating_add(1));
        let mut dts = at;
        if pictures {
            let back = self.top.is_some_and(|top| at < top);
            self.depth = if back { self.depth.max(1) } else { self.depth };
            self.top = self.top.max(Some(at));
            let place = self.times.partition_point(|time| *time <= at);
            self.times.insert(place.min(self.times.len()), at);
            dts = if self.times.len() > self.depth {
                self.times.remove(0)
            } else {
                let missing = self.depth.saturating_sub(self.times.len()).saturating_add(1);
                let first = self.times.first().copied().unwrap_or(at);
                first.saturating_sub(STEP.saturating_mul(i64::try_from(missing).unwrap_or(1)))
            };
            while self.times.len() > self.depth {
                self.times.remove(0);
            }
        }
        let dts = dts.min(at).max(after);
        self.last = Some(dts);
        (at.max(dts), dts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(depth: usize, shown: &[i64]) -> Vec<(i64, i64)> {
        let mut order = Order { depth, ..Order::default() };
        shown.iter().map(|at| order.next(*at, true)).collect()
    }

    #[test]
    fn pictures_in_order_are_decoded_when_they_are_shown() {
        assert_eq!(times(0, &[0, 3000, 6000]), [(0, 0), (3000, 3000), (6000, 6000)]);
    }

    #[test]
    fn pictures_out_of_order_are_decoded_in_time() {
        // I P B B P B B, two pictures deep.
        let shown = [0, 9000, 3000, 6000, 18_000, 12_000, 15_000];
        let got = times(2, &shown);
        assert!(got.iter().zip(shown).all(|((pts, dts), at)| *pts == at && dts <= pts), "{got:?}");
        assert!(got.windows(2).all(|w| w[0].1 < w[1].1), "{got:?}");
    }

    #[test]
    fn time_that_goes_back_is_held() {
        let got = times(0, &[9000, 12_000, 3000, 15_000]);
        assert!(got.windows(2).all(|w| w[0].1 < w[1].1), "{got:?}");
    }

    #[test]
    fn vp8_waits_for_a_key_picture_and_tells_a_new_size() {
        let key = |width: u16| {
            let [low, high] = width.to_le_bytes();
            Bytes::from(vec![0x10, 0, 0, 0x9D, 1, 0x2A, low, high, 0x68, 1, 0])
        };
        let between = Bytes::from_static(&[0x11, 0, 0, 0]);
        let mut lane = Lane::new(TrackId(1), Codec::Vp8, Limits::default());
        let mut told = Vec::new();
        let mut push = |data: Bytes, at, whole| {
            lane.push(data, at, whole, |item| {
                if let Item::Track(track) = item {
                    told.push(track.video().unwrap().width);
                }
            })
        };
        assert_eq!(push(between.clone(), 0, true), Seen::Lost);
        assert_eq!(push(key(640), 3000, true), Seen::Key);
        assert_eq!(push(between.clone(), 6000, true), Seen::Other);
        assert_eq!(push(between.clone(), 9000, false), Seen::Lost);
        assert_eq!(push(between.clone(), 12_000, true), Seen::Lost);
        assert_eq!(push(key(640), 15_000, true), Seen::Key);
        assert_eq!(push(key(320), 18_000, true), Seen::Key);
        assert_eq!(told, [640, 320]);
    }
}
