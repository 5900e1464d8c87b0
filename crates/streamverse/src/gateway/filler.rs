//! What is shown while nobody sends: the last key picture or a slate, and silence.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sv_codec::{aac, opus};
use sv_core::{
    Bytes, Codec, Duration as Ticks, ErrorKind, Item, Packet, Source as _, TimeBase, Timestamp, Track,
    TrackId, TrackKind,
};

use crate::input::{Input, Prefer};
use crate::{Error, Result};

/// How long the last key picture is shown before it is sent again: a part has one then.
const STILL: Duration = Duration::from_millis(200);
/// The most that a slate may have.
const MOST: usize = 256 << 20;

/// A film that is shown where nobody sends: its packets stay in memory.
#[derive(Debug)]
pub(super) struct Slate(Vec<Reel>);

/// Packets that are shown again and again, from zero on.
#[derive(Clone, Debug)]
struct Reel {
    track: Arc<Track>,
    packets: Vec<Packet>,
    length: i64,
}

/// Goes on with a stream that nobody sends any more.
#[derive(Debug, Default)]
pub(super) struct Filler {
    lanes: BTreeMap<TrackId, Lane>,
    slate: Option<Arc<Slate>>,
    /// Where all tracks have ended, in nanoseconds, while it works.
    began: Option<i64>,
}

#[derive(Debug)]
struct Lane {
    track: Arc<Track>,
    key: Option<Packet>,
    /// Where the next packet is decoded and shown at the earliest, in the track's time base.
    end: (i64, i64),
    reel: Option<Reel>,
    next: usize,
    lap: i64,
    /// Where what was shown in its stead ends, in nanoseconds, until something comes behind it.
    until: Option<i64>,
}

impl Slate {
    /// Reads a film.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut input = Input::open(path, Prefer::Own)?;
        let mut reels: BTreeMap<TrackId, Reel> = BTreeMap::new();
        let mut bytes = 0usize;
        while let Some(item) = input.next_item()? {
            match item {
                Item::Track(track) if track.kind() != TrackKind::Text => {
                    reels.insert(track.id, Reel { track, packets: Vec::new(), length: 0 });
                }
                Item::Packet(packet) => {
                    bytes += packet.data.len();
                    if bytes > MOST {
                        let message =
                            format!("{} is too long for a slate: it has more than 256 MiB", path.display());
                        return Err(Error::new(ErrorKind::LimitExceeded, message));
                    }
                    if let Some(reel) = reels.get_mut(&packet.track) {
                        reel.packets.push(packet);
                    }
                }
                _ => {}
            }
        }
        let reels: Vec<Reel> =
            reels.into_values().filter(|reel| !reel.packets.is_empty()).map(Reel::rewound).collect();
        if !reels.iter().any(|reel| reel.track.kind() == TrackKind::Video && reel.packets[0].key) {
            let message = format!("{} has no pictures that could be a slate", path.display());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self(reels))
    }

    /// What of it stands in for a track: of its kind and codec, and as large.
    fn of(&self, track: &Track) -> Option<&Reel> {
        let alike = |reel: &&Reel| {
            let size = |track: &Track| track.video().map(|v| (v.width, v.height));
            let sound = |track: &Track| track.audio().map(|a| (a.sample_rate, a.channels));
            reel.track.codec == track.codec
                && size(&reel.track) == size(track)
                && sound(&reel.track) == sound(track)
        };
        self.0.iter().find(alike)
    }
}

impl Reel {
    fn rewound(mut self) -> Self {
        let first = self.packets.first().map_or(0, |p| p.dts.ticks());
        for packet in &mut self.packets {
            (packet.pts, packet.dts) = (packet.pts.offset(-first), packet.dts.offset(-first));
        }
        let end = |p: &Packet| p.dts.saturating_add(p.duration).ticks();
        self.length = self.packets.last().map_or(0, end).max(1);
        self
    }

    /// The same on the clock of a track and with its number.
    fn instead_of(&self, track: &Track) -> Self {
        let (from, to) = (self.track.time_base, track.time_base);
        let packets = self.packets.iter().map(|packet| Packet {
            track: track.id,
            pts: packet.pts.rescale(from, to),
            dts: packet.dts.rescale(from, to),
            duration: packet.duration.rescale(from, to),
            ..packet.clone()
        });
        Self {
            packets: packets.collect(),
            length: Timestamp::new(self.length).rescale(from, to).ticks().max(1),
            track: Arc::new(Track { id: track.id, time_base: to, ..Track::clone(&self.track) }),
        }
    }

    /// One packet that is shown again and again.
    fn still(track: &Arc<Track>, data: Bytes, length: Ticks) -> Self {
        let (zero, id) = (Timestamp::ZERO, track.id);
        let packet =
            Packet { track: id, pts: zero, dts: zero, duration: length, key: true, data, protection: None };
        Self { track: Arc::clone(track), packets: vec![packet], length: length.ticks().cast_signed().max(1) }
    }
}

impl Filler {
    pub(super) fn new(slate: Option<Arc<Slate>>) -> Self {
        Self { slate, ..Self::default() }
    }

    /// What goes to the presentation.
    pub(super) fn see(&mut self, item: &Item) {
        match item {
            Item::Track(track) => match self.lanes.get_mut(&track.id) {
                Some(lane) if lane.track == *track => {}
                _ => {
                    let lane = Lane {
                        track: Arc::clone(track),
                        key: None,
                        end: (0, 0),
                        reel: None,
                        next: 0,
                        lap: 0,
                        until: None,
                    };
                    self.lanes.insert(track.id, lane);
                }
            },
            Item::Packet(packet) => {
                if let Some(lane) = self.lanes.get_mut(&packet.track) {
                    let (dts, pts) = (
                        packet.dts.saturating_add(packet.duration),
                        packet.pts.saturating_add(packet.duration),
                    );
                    // A clock that jumps back is another one.
                    let goes_on = lane.end.0 <= dts.ticks();
                    lane.end = (dts.ticks(), if goes_on { lane.end.1.max(pts.ticks()) } else { pts.ticks() });
                    if packet.key && lane.track.kind() == TrackKind::Video {
                        lane.key = Some(packet.clone());
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether it stands where something was shown in its stead, on a clock that has gone on.
    pub(super) fn is_old(&mut self, item: &Item) -> bool {
        let Item::Packet(packet) = item else { return false };
        let Some(lane) = self.lanes.get_mut(&packet.track) else { return false };
        let Some(until) = lane.until else { return false };
        let at = packet.dts.rescale(lane.track.time_base, TimeBase::NANOS).ticks();
        let old = (until - 1_000_000_000..until).contains(&at);
        if !old {
            lane.until = None;
        }
        old
    }

    /// Whether it goes on with the stream at the moment.
    pub(super) const fn works(&self) -> bool {
        self.began.is_some()
    }

    /// Nobody sends any more: gives what has to be told first, or nothing where it can't go on, with why.
    pub(super) fn begin(&mut self) -> Result<Vec<Item>, String> {
        let mut told = Vec::new();
        for lane in self.lanes.values_mut() {
            let slate = self.slate.as_ref().and_then(|slate| slate.of(&lane.track));
            lane.reel = match (slate, lane.track.kind()) {
                (Some(reel), _) => {
                    let reel = reel.instead_of(&lane.track);
                    told.push(Item::Track(Arc::clone(&reel.track)));
                    Some(reel)
                }
                (None, TrackKind::Video) => lane.key.as_ref().map(|key| {
                    let length = Ticks::from_std(STILL, lane.track.time_base);
                    Reel::still(&lane.track, key.data.clone(), length)
                }),
                (None, _) => silence(&lane.track),
            };
            if lane.reel.is_none() {
                return Err(format!("no silence of {} is known here", lane.track.codec));
            }
            if self.slate.is_some() && slate.is_none() {
                tracing::warn!(codec = %lane.track.codec, "the slate isn't coded as this stream is: its last picture and silence stand in");
            }
            (lane.next, lane.lap) = (0, 0);
        }
        let ends = self
            .lanes
            .values()
            .map(|lane| Timestamp::new(lane.end.1).rescale(lane.track.time_base, TimeBase::NANOS).ticks());
        self.began = ends.max();
        Ok(told)
    }

    /// What is missing up to so long after the stream has ended.
    pub(super) fn fill(&mut self, until: Duration) -> Vec<Item> {
        let Some(began) = self.began else { return Vec::new() };
        self.reach(began.saturating_add(i64::try_from(until.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// What is missing so that all tracks reach where the furthest is.
    pub(super) fn level(&mut self) -> Vec<Item> {
        let furthest = self.lanes.values().filter_map(|lane| lane.until).max();
        furthest.map(|furthest| self.reach(furthest)).unwrap_or_default()
    }

    fn reach(&mut self, target: i64) -> Vec<Item> {
        let mut items = Vec::new();
        for (id, lane) in &mut self.lanes {
            let Some(reel) = &lane.reel else { continue };
            let (base, from) = (lane.track.time_base, lane.end.1);
            while let Some(packet) = reel.packets.get(lane.next) {
                let start = from.saturating_add(lane.lap.saturating_mul(reel.length));
                let dts = packet.dts.offset(start);
                if dts.rescale(base, TimeBase::NANOS).ticks() >= target {
                    break;
                }
                let pts = packet.pts.offset(start);
                let end = dts.saturating_add(packet.duration);
                lane.until = Some(end.rescale(base, TimeBase::NANOS).ticks());
                items.push(Item::Packet(Packet { track: *id, pts, dts, ..packet.clone() }));
                lane.next += 1;
                if lane.next == reel.packets.len() {
                    (lane.next, lane.lap) = (0, lane.lap + 1);
                }
            }
        }
        items
    }

    /// Somebody sends again.
    pub(super) fn end(&mut self) {
        self.began = None;
    }
}

/// A packet in which nothing is heard, for codecs of which one is known.
fn silence(track: &Arc<Track>) -> Option<Reel> {
    let audio = track.audio()?;
    let (data, samples) = match track.codec {
        Codec::Aac => {
            let config = aac::Config::parse(&track.config).ok()?;
            (silent_aac(audio.channels)?, (u32::from(config.frame_samples), config.core_rate))
        }
        // RFC 6716: 20 ms of CELT at full band (configuration 31), stereo or not; the rest is a frame of silence.
        Codec::Opus if audio.channels <= 2 => {
            let data = [if audio.channels == 2 { 0xFC } else { 0xF8 }, 0xFF, 0xFE];
            (Bytes::copy_from_slice(&data), (opus::samples(&data)?, 48_000))
        }
        _ => return None,
    };
    let rate = TimeBase::new(1, samples.1)?;
    let length = Ticks::new(samples.0.into()).rescale(rate, track.time_base);
    Some(Reel::still(track, data, length))
}

/// A frame of AAC without a spectral band: ISO/IEC 14496-3, 4.4.2.1, of up to six channels in their usual order.
fn silent_aac(channels: u16) -> Option<Bytes> {
    let elements: &[(u8, u8)] = match channels {
        1 => &[(0, 0)],
        2 => &[(1, 0)],
        3 => &[(0, 0), (1, 0)],
        4 => &[(0, 0), (1, 0), (0, 1)],
        5 => &[(0, 0), (1, 0), (1, 1)],
        6 => &[(0, 0), (1, 0), (1, 1), (3, 0)],
        _ => return None,
    };
    let mut bits = Vec::new();
    let mut put = |value: u32, count: u32| bits.extend((0..count).rev().map(|n| value >> n & 1 == 1));
    for (kind, tag) in elements {
        put((*kind).into(), 3);
        put((*tag).into(), 4);
        // ics_info: reserved, a long window of the sine's shape, no band, no prediction.
        let info = (0, 1 + 2 + 1 + 6 + 1);
        // After global_gain and what it shares: no pulses, no noise shaping, no gain control.
        if *kind == 1 {
            put(1, 1); // common_window
            put(info.0, info.1);
            put(0, 2); // ms_mask_present
            for _ in 0..2 {
                put(0, 8 + 3);
            }
        } else {
            put(0, 8);
            put(info.0, info.1);
            put(0, 3);
        }
    }
    put(7, 3);
    let byte =
        |bits: &[bool]| (0..8).fold(0, |byte, n| byte << 1 | u8::from(bits.get(n).copied().unwrap_or(false)));
    Some(bits.chunks(8).map(byte).collect::<Vec<u8>>().into())
}
