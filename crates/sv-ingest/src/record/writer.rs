//! From a feed to the bytes of recordings: no file, no clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sv_container::mp4;
use sv_core::{Item, Media, Packet, Stage as _, TimeBase, Timestamp, Track, TrackId, TrackKind};

use crate::{Result, Steady};

/// A fragment ends with the first picture behind so much, or with a key picture behind half of it: this much is lost
/// where the machine fails.
const FRAGMENT: i64 = 1_000_000_000;
/// And where it has so many bytes.
const MOST: usize = 16 << 20;
/// A clock that goes on further ahead than this is another clock.
const HOLE: i64 = 10_000_000_000;
/// One that goes back further than this too.
const LATE: i64 = -1_000_000_000;
/// Seconds from NTP's origin to that of Unix.
const NTP: u64 = 2_208_988_800;

/// A piece of what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A part begins: at that time since 1970, with these bytes.
    Begin(Duration, Bytes),
    /// What is appended to it, in one go.
    Fragment(Bytes),
    /// It is whole.
    End,
}

/// Makes parts of what a stream has.
#[derive(Debug)]
pub(super) struct Writer {
    part: i64,
    bytes: u64,
    steady: Steady,
    lanes: BTreeMap<TrackId, Lane>,
    pending: Vec<Packet>,
    pending_bytes: usize,
    open: Option<Open>,
    /// When the stream's time was which time of ours.
    anchor: Option<(Duration, i64)>,
    ready: VecDeque<Piece>,
}

#[derive(Debug)]
struct Lane {
    track: Arc<Track>,
    last: Option<Timestamp>,
}

/// A part that is written.
#[derive(Debug)]
struct Open {
    /// What is zero in it, in nanoseconds of the stream.
    origin: i64,
    /// When its first picture is.
    began: i64,
    sequence: u32,
    bytes: u64,
}

fn nanos(track: &Track, at: Timestamp) -> i64 {
    at.rescale(track.time_base, TimeBase::NANOS).ticks()
}

impl Writer {
    /// Parts of that length and that many bytes, at most and about.
    pub(super) fn new(part: Duration, bytes: u64) -> Self {
        Self {
            part: i64::try_from(part.as_nanos()).unwrap_or(i64::MAX),
            bytes,
            steady: Steady::new(),
            lanes: BTreeMap::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            open: None,
            anchor: None,
            ready: VecDeque::new(),
        }
    }

    /// Something has come, at that time since 1970.
    pub(super) fn push(&mut self, now: Duration, item: Item) -> Result<()> {
        self.steady.push(item)?;
        while let Some(item) = self.steady.pull()? {
            self.item(now, item)?;
        }
        Ok(())
    }

    pub(super) fn pull(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    /// Ends the part, if there is one.
    pub(super) fn finish(&mut self, now: Duration) -> Result<()> {
        self.steady.finish()?;
        while let Some(item) = self.steady.pull()? {
            self.item(now, item)?;
        }
        self.close()
    }

    /// What was given can't be kept: a new part begins with the next key picture.
    pub(super) fn restart(&mut self) {
        (self.open, self.pending, self.pending_bytes) = (None, Vec::new(), 0);
        self.ready.clear();
    }

    fn item(&mut self, now: Duration, item: Item) -> Result<()> {
        match item {
            Item::Track(track) => self.track(track),
            Item::Packet(packet) => self.packet(now, packet),
            Item::End(_) => {
                self.close()?;
                self.lanes.clear();
                self.anchor = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn track(&mut self, track: Arc<Track>) -> Result<()> {
        if !mp4::supports(track.codec) {
            tracing::warn!(codec = %track.codec, "a track can't be kept in MP4 and is left out");
            return Ok(());
        }
        // Packets stand at their own times: what players should leave out is told nowhere.
        let mut plain = Track::clone(&track);
        match &mut plain.media {
            Media::Video(video) => video.reorder = sv_core::Duration::ZERO,
            Media::Audio(audio) => audio.delay = 0,
            Media::Text(_) => {}
        }
        let track = Arc::new(plain);
        match self.lanes.get(&track.id) {
            Some(lane) if lane.track == track => return Ok(()),
            // A file says once what it holds.
            Some(_) => self.close()?,
            None if self.open.is_some() => self.close()?,
            None => {}
        }
        self.lanes.insert(track.id, Lane { track, last: None });
        Ok(())
    }

    /// The track by which parts are cut.
    fn lead(&self) -> Option<TrackId> {
        let video = self.lanes.values().find(|l| l.track.kind() == TrackKind::Video);
        video.or(self.lanes.values().next()).map(|lane| lane.track.id)
    }

    fn packet(&mut self, now: Duration, mut packet: Packet) -> Result<()> {
        let lead = self.lead() == Some(packet.track);
        let Some(lane) = self.lanes.get_mut(&packet.track) else { return Ok(()) };
        let track = Arc::clone(&lane.track);
        let before = lane.last.unwrap_or(packet.dts);
        let step = nanos(&track, packet.dts).saturating_sub(nanos(&track, before));
        if (LATE..0).contains(&step) {
            // A track that overlaps itself, as where a film is looped: it goes on where it is.
            (packet.dts, packet.pts) = (before, packet.pts.max(before));
        }
        lane.last = Some(packet.dts);
        let at = nanos(&track, packet.dts);
        if !(LATE..=HOLE).contains(&step) {
            self.close()?;
            self.anchor = None;
        }
        if lead {
            self.cut(&track, &packet, at)?;
        }
        if self.open.is_none() && self.pending.is_empty() && !(lead && packet.key) {
            return Ok(());
        }
        self.anchor.get_or_insert((now, at));
        self.pending_bytes = self.pending_bytes.saturating_add(packet.data.len());
        self.pending.push(packet);
        if self.pending_bytes >= MOST {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends a fragment, or a part, before a packet of the first track.
    fn cut(&mut self, track: &Track, packet: &Packet, at: i64) -> Result<()> {
        let full = |open: &Open| at.saturating_sub(open.began) >= self.part || open.bytes >= self.bytes;
        if packet.key && self.open.as_ref().is_some_and(full) {
            return self.close();
        }
        let first = self.pending.iter().find(|p| p.track == track.id);
        let span = first.map_or(0, |first| at.saturating_sub(nanos(track, first.dts)));
        if span >= FRAGMENT || (packet.key && span >= FRAGMENT.wrapping_div(2)) {
            self.flush()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.flush()?;
        if self.open.take().is_some() {
            self.ready.push_back(Piece::End);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        if pending.is_empty() {
            return Ok(());
        }
        let of = |packet: &Packet| self.lanes.get(&packet.track).map(|lane| nanos(&lane.track, packet.dts));
        let first = pending.iter().filter_map(of).min().unwrap_or(0);
        let began = pending.first().and_then(of).unwrap_or(first);
        let tracks: Vec<&Track> = self.lanes.values().map(|lane| &*lane.track).collect();
        let mut begun = None;
        if self.open.is_none() {
            let (wall, there) = self.anchor.unwrap_or_default();
            let since = first.saturating_sub(there);
            let apart = Duration::from_nanos(since.unsigned_abs());
            let wall = if since < 0 { wall.saturating_sub(apart) } else { wall.saturating_add(apart) };
            let header = mp4::init_segment(&tracks)?;
            self.ready.push_back(Piece::Begin(wall, header));
            self.open = Some(Open { origin: first, began, sequence: 0, bytes: 0 });
            begun = Some(wall);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut data =
            Vec::with_capacity(pending.iter().map(|p| p.data.len()).sum::<usize>().saturating_add(4096));
        for track in tracks {
            let back = Timestamp::new(open.origin).rescale(TimeBase::NANOS, track.time_base).ticks();
            let moved = pending.iter().filter(|p| p.track == track.id).map(|p| Packet {
                // What comes late by the rounding of clocks stands at the beginning.
                dts: p.dts.offset(back.saturating_neg()).max(Timestamp::ZERO),
                pts: p.pts.offset(back.saturating_neg()),
                ..p.clone()
            });
            let packets: Vec<Packet> = moved.collect();
            let Some(base) = packets.first().map(|p| p.dts) else { continue };
            open.sequence = open.sequence.wrapping_add(1);
            let prft = begun.take().map(|wall| {
                let at = Duration::from_nanos(u64::try_from(nanos(track, base)).unwrap_or(0));
                let media_time = u64::try_from(base.ticks()).unwrap_or(0);
                mp4::Prft { track: track.id.0, ntp: ntp(wall.saturating_add(at)), media_time }
            });
            let options = mp4::Options { styp: false, prft, ..mp4::Options::default() };
            let pieces = mp4::fragment(track, open.sequence, base, &packets, &options)?;
            pieces.iter().for_each(|piece| data.extend_from_slice(piece));
        }
        open.bytes = open.bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        self.ready.push_back(Piece::Fragment(data.into()));
        Ok(())
    }
}

/// A time since 1970 as NTP has it.
fn ntp(wall: Duration) -> u64 {
    let fraction =
        (u64::from(wall.subsec_nanos()) << 32).saturating_add(500_000_000).wrapping_div(1_000_000_000);
    (wall.as_secs().saturating_add(NTP) << 32).saturating_add(fraction)
}

/// The time since 1970 of one of NTP.
pub(super) fn wall(ntp: u64) -> Duration {
    let fraction = (ntp & 0xFFFF_FFFF).saturating_mul(1_000_000_000).saturating_add(1 << 31) >> 32;
    Duration::from_secs((ntp >> 32).saturating_sub(NTP)).saturating_add(Duration::from_nanos(fraction))
}

#[cfg(test)]
mod tests {
    use sv_core::{AudioInfo, Codec, Duration as Ticks, VideoInfo};

    use super::*;

    fn track(id: u32) -> Item {
        let (codec, config, media) = if id == 1 {
            (
                Codec::Vp9,
                Bytes::from_static(&[1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0]),
                Media::Video(VideoInfo::new(640, 360)),
            )
        } else {
            let media = AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 };
            (Codec::Aac, Bytes::from_static(&[0x11, 0x90]), Media::Audio(media))
        };
        Item::Track(Arc::new(Track {
            id: TrackId(id),
            codec,
            time_base: TimeBase::MILLIS,
            config,
            media,
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        }))
    }

    fn packet(id: u32, millis: i64, key: bool) -> Item {
        let at = Timestamp::new(millis);
        let (track, data) = (TrackId(id), Bytes::from_static(b"anything"));
        Item::Packet(Packet { track, pts: at, dts: at, duration: Ticks::ZERO, key, data, protection: None })
    }

    /// Parts and fragments of ten seconds whose sound and pictures are moved by so much behind the first five.
    fn written(moved: (i64, i64)) -> (usize, usize) {
        let mut writer = Writer::new(Duration::from_secs(3600), u64::MAX);
        let mut all = vec![track(1), track(2)];
        for n in 0..250 {
            let late = n >= 125;
            all.push(packet(1, n * 40 + if late { moved.1 } else { 0 }, n % 25 == 0));
            all.push(packet(2, n * 40 + if late { moved.0 } else { 0 }, true));
        }
        for item in all {
            writer.push(Duration::from_secs(1_000_000), item).unwrap();
        }
        writer.finish(Duration::ZERO).unwrap();
        let pieces: Vec<Piece> = std::iter::from_fn(|| writer.pull()).collect();
        let count = |is: fn(&Piece) -> bool| pieces.iter().filter(|p| is(p)).count();
        assert_eq!(count(|p| matches!(p, Piece::Begin(..))), count(|p| matches!(p, Piece::End)));
        (count(|p| matches!(p, Piece::End)), count(|p| matches!(p, Piece::Fragment(_))))
    }

    #[test]
    fn a_part_goes_on_over_small_steps_and_ends_at_another_clock() {
        assert_eq!(written((0, 0)), (1, 10));
        // Sound overlaps itself, as where a film is looped.
        assert_eq!(written((-100, 0)), (1, 10));
        // A hole is no end.
        assert_eq!(written((3000, 3000)), (1, 10));
        assert_eq!(written((-5000, -5000)).0, 2);
        assert_eq!(written((60_000, 60_000)).0, 2);
    }

    #[test]
    fn times_of_ntp_are_times() {
        for at in [Duration::ZERO, Duration::from_nanos(1_796_000_000_123_456_789)] {
            assert!(wall(ntp(at)).abs_diff(at) <= Duration::from_nanos(1));
        }
    }
}
