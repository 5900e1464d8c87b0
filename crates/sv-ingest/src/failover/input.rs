//! One who sends a stream.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use sv_core::{Item, Packet, TimeBase, Timestamp, Track, TrackId, TrackKind};

use super::clock::{Map, Print};
use super::{Content, Failover, Reason};
use crate::health::{Health, Link};

/// Who sends a stream.
pub(crate) type Publisher = u64;

/// Bytes and packets that are kept of who isn't on air.
const MOST: (usize, usize) = (32 << 20, 8192);
/// How far back it reaches at least, beyond its last key picture.
const BACK: Duration = Duration::from_millis(1500);
/// Payloads that are remembered.
pub(super) const PRINTS: usize = 512;
/// How long pictures may be missing while sound goes on.
const PICTURES: Duration = Duration::from_secs(1);
/// How long tracks that the stream has are waited for.
const TRACKS: Duration = Duration::from_secs(2);
/// Packets of sound that are kept to listen to.
const SOUND: usize = 32;

/// One who sends a stream.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) number: Publisher,
    pub(super) rank: u8,
    /// Where it comes from, for people.
    pub(super) from: String,
    pub(super) since: Duration,
    pub(super) tracks: Vec<Arc<Track>>,
    /// What came last, from a key picture on.
    pub(super) ring: Ring,
    /// When something came last.
    pub(super) last: Option<Duration>,
    /// Since when all is well.
    pub(super) well: Option<Duration>,
    pub(super) health: Health,
    pub(super) link: Option<Link>,
    pub(super) map: Map,
    /// Payloads of its first track.
    pub(super) prints: VecDeque<Print>,
    /// How far apart packets of its first track are.
    step: i64,
    before: Option<i64>,
    /// When its first track had a packet last.
    led: Option<Duration>,
    content: Seen,
    look: Look,
}

/// Since when what is seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    black: Option<Duration>,
    frozen: Option<Duration>,
    silent: Option<Duration>,
}

/// Some of what came last, to look at and listen to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) picture: Option<(Arc<Track>, Packet)>,
    pub(crate) sound: Option<Arc<Track>>,
    pub(crate) packets: VecDeque<Packet>,
}

/// How well somebody sends: the lower the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    Well,
    /// What comes is nothing that should be shown.
    Poor,
    /// Nothing comes.
    Lost,
}

impl Input {
    pub(super) fn new(number: Publisher, rank: u8, from: String, now: Duration) -> Self {
        Self {
            number,
            rank,
            from,
            since: now,
            tracks: Vec::new(),
            ring: Ring::default(),
            last: None,
            well: None,
            health: Health::new(now),
            link: None,
            map: Map::default(),
            prints: VecDeque::new(),
            step: 0,
            before: None,
            led: None,
            content: Seen::default(),
            look: Look::default(),
        }
    }

    pub(super) fn track(&self, id: TrackId) -> Option<&Arc<Track>> {
        self.tracks.iter().find(|t| t.id == id)
    }

    /// The track by which it is cut: the first of pictures, or of sound alone.
    pub(super) fn lead(&self) -> Option<&Arc<Track>> {
        self.tracks.iter().find(|t| t.kind() == TrackKind::Video).or(self.tracks.first())
    }

    /// A time of one of its tracks, in nanoseconds.
    pub(super) fn nanos(&self, id: TrackId, at: Timestamp) -> i64 {
        let base = self.track(id).map_or(TimeBase::NANOS, |t| t.time_base);
        at.rescale(base, TimeBase::NANOS).ticks()
    }

    /// Something has come, some of which is kept to be looked at if `looking`.
    pub(super) fn see(&mut self, now: Duration, item: &Item, looking: bool) {
        self.health.see(now, item);
        match item {
            Item::Track(track) => match self.tracks.iter_mut().find(|t| t.id == track.id) {
                Some(old) => *old = Arc::clone(track),
                None => self.tracks.push(Arc::clone(track)),
            },
            Item::Packet(packet) => {
                self.last = Some(now);
                if self.lead().is_some_and(|lead| lead.id == packet.track) {
                    self.led = Some(now);
                    let at = self.nanos(packet.track, packet.dts);
                    let step = self.before.replace(at).map_or(0, |before| at.saturating_sub(before));
                    if (1..=1_000_000_000).contains(&step) {
                        self.step = step;
                    }
                }
                if looking {
                    self.keep_to_look_at(packet);
                }
            }
            _ => {}
        }
    }

    fn keep_to_look_at(&mut self, packet: &Packet) {
        let Some(track) = self.track(packet.track).cloned() else { return };
        match track.kind() {
            TrackKind::Video if packet.key => self.look.picture = Some((track, packet.clone())),
            TrackKind::Audio => {
                // The first track of sound stands for all.
                let first = self.tracks.iter().find(|t| t.kind() == TrackKind::Audio);
                if first.is_some_and(|first| first.id == track.id) {
                    self.look.sound = Some(track);
                    self.look.packets.truncate(SOUND.saturating_sub(1));
                    self.look.packets.push_front(packet.clone());
                }
            }
            _ => {}
        }
    }

    /// Some of what came last.
    pub(super) fn look(&self) -> Look {
        let mut look = self.look.clone();
        look.packets.make_contiguous().reverse();
        look
    }

    /// Keeps it, in case that it takes over.
    pub(super) fn keep(&mut self, now: Duration, packet: &Packet) {
        let leads = self.lead().is_some_and(|lead| lead.id == packet.track);
        if leads {
            self.print(packet);
        }
        self.ring.push(now, packet.clone(), leads && packet.key);
    }

    fn print(&mut self, packet: &Packet) {
        let at = self.nanos(packet.track, packet.dts);
        self.prints.truncate(PRINTS.saturating_sub(1));
        self.prints.push_front((print(&packet.data), at));
    }

    pub(super) fn observe(&mut self, now: Duration, content: Content) {
        let since = |seen: &mut Option<Duration>, is: bool| *seen = is.then(|| seen.unwrap_or(now));
        since(&mut self.content.black, content.black);
        since(&mut self.content.frozen, content.frozen);
        since(&mut self.content.silent, content.silent);
    }

    /// What has been wrong with pictures and sound for longer than it may.
    pub(super) fn fault(&self, now: Duration, settings: &Failover) -> Option<Reason> {
        let long = |since: Option<Duration>, most| since.is_some_and(|at| now.saturating_sub(at) >= most);
        let Seen { black, frozen, silent } = self.content;
        if long(self.led, self.patience(PICTURES)) {
            // Sound goes on without pictures.
            Some(Reason::Lost)
        } else if long(black, settings.black) {
            Some(Reason::Black)
        } else if long(frozen, settings.frozen) {
            Some(Reason::Frozen)
        } else {
            long(silent, settings.silent).then_some(Reason::Silent)
        }
    }

    /// For how long pictures have been black, still, and nothing was heard.
    pub(super) fn content(&self, now: Duration) -> [Option<Duration>; 3] {
        let Seen { black, frozen, silent } = self.content;
        [black, frozen, silent].map(|since| since.map(|at| now.saturating_sub(at)))
    }

    /// That, or two and a half packets of its first track where these are further apart.
    fn patience(&self, least: Duration) -> Duration {
        let step = Duration::from_nanos(u64::try_from(self.step).unwrap_or(0));
        least.max(step.saturating_mul(5).checked_div(2).unwrap_or_default())
    }

    pub(super) fn grade(&self, now: Duration, settings: &Failover) -> Grade {
        match self.last {
            Some(last) if now.saturating_sub(last) < self.patience(settings.loss) => {
                if self.fault(now, settings).is_some() { Grade::Poor } else { Grade::Well }
            }
            _ => Grade::Lost,
        }
    }

    /// Whether it has told of all that the stream has, or won't.
    pub(super) fn is_told(&self, now: Duration, stream: &[TrackKind]) -> bool {
        let count = |kind| stream.iter().filter(|k| **k == kind).count();
        let mine = |kind| self.tracks.iter().filter(|t| t.kind() == kind).count();
        let kinds = [TrackKind::Video, TrackKind::Audio];
        kinds.into_iter().all(|kind| mine(kind) >= count(kind)) || now.saturating_sub(self.since) >= TRACKS
    }
}

/// What a payload is.
pub(super) fn print(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(data);
    hasher.finish()
}

/// The last packets of who sends.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// With when each came, and whether decoding of the whole stream can start there.
    packets: VecDeque<(Duration, Packet, bool)>,
    bytes: usize,
}

impl Ring {
    fn push(&mut self, now: Duration, packet: Packet, begins: bool) {
        if self.packets.is_empty() && !begins {
            return;
        }
        self.bytes = self.bytes.saturating_add(packet.data.len());
        self.packets.push_back((now, packet, begins));
        loop {
            let next = self.packets.iter().enumerate().skip(1).find(|(_, (.., begins))| *begins);
            let full = self.bytes > MOST.0 || self.packets.len() > MOST.1;
            let old = next.is_some_and(|(_, (at, ..))| now.saturating_sub(*at) >= BACK);
            match next.map(|(n, _)| n) {
                Some(count) if full || old => {
                    let gone = self.packets.drain(..count);
                    let bytes = gone.map(|(_, packet, _)| packet.data.len()).fold(0, usize::saturating_add);
                    self.bytes = self.bytes.saturating_sub(bytes);
                }
                None if full => return self.clear(),
                _ => return,
            }
        }
    }

    fn clear(&mut self) {
        (self.packets, self.bytes) = (VecDeque::new(), 0);
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = (&Packet, bool)> {
        self.packets.iter().map(|(_, packet, begins)| (packet, *begins))
    }

    /// All but the first `count`.
    pub(super) fn behind(&self, count: usize) -> Vec<Packet> {
        self.packets.iter().skip(count).map(|(_, packet, _)| packet.clone()).collect()
    }
}
