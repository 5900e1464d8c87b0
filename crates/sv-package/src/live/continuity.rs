//! Breaks of a source: clocks that jump, holes, tracks that are described anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sv_core::{Cue, Item, Packet, Stage, TimeBase, Timestamp, Track, TrackId, TrackKind};

use crate::Error;

/// What is taken for one run of packets, in nanoseconds.
const TOLERANCE: i64 = 1_000_000_000;
/// Holes up to this are holes in time; a longer way ahead is another clock.
const LONGEST_HOLE: i64 = 60_000_000_000;

/// Puts all tracks of a source on one timeline that never goes back, and tells each track anew where the
/// source broke, so that what is behind can show it as a discontinuity.
///
/// A break that one track shows counts for all: each is told anew where its own packets jump or, if they
/// don't, with the first packet that can begin at or behind the break.
#[derive(Debug)]
pub struct Continuity {
    /// Where the presentation starts on its own timeline, in nanoseconds; the first packets come there.
    start: i64,
    lanes: BTreeMap<TrackId, Lane>,
    breaks: Vec<Break>,
    /// Packets that came before each track had one: the earliest of them is the start.
    held: Vec<Packet>,
    /// Cues that came before that.
    cues: Vec<Cue>,
    begun: bool,
    /// What breaks next goes on no earlier than here.
    earliest: i64,
    ready: VecDeque<Item>,
}

#[derive(Debug)]
struct Lane {
    track: Arc<Track>,
    /// Which break it is behind, from 0 for none.
    epoch: usize,
    /// Where its packets end on the source's timeline.
    reached: Option<i64>,
    /// And on the presentation's.
    shown: i64,
    /// Nothing is shown before this any more: the start, and what was shown before the last break.
    floor: i64,
    /// Waits for a packet that decoding can start at.
    waits: bool,
}

#[derive(Clone, Copy, Debug)]
struct Break {
    /// Added to the source's times behind it.
    offset: i64,
    /// Where it is on the presentation's timeline.
    at: i64,
}

/// Tracks begin near each other; one that hasn't by then is not waited for.
const MOST_HELD: usize = 256;

impl Continuity {
    /// The first packets come at `start` of the presentation, wherever they are on the source's own timeline.
    #[must_use]
    pub fn new(start: std::time::Duration) -> Self {
        Self {
            start: i64::try_from(start.as_nanos()).unwrap_or(i64::MAX),
            lanes: BTreeMap::new(),
            breaks: Vec::new(),
            held: Vec::new(),
            cues: Vec::new(),
            begun: false,
            earliest: i64::MIN,
            ready: VecDeque::new(),
        }
    }

    /// The source was away, and comes again at that moment of the presentation: if its clock is another one then, time
    /// goes on from there, and not from where everything before it has ended. So what is live stays as late as it was.
    pub fn returns(&mut self, at: std::time::Duration) {
        self.earliest = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    }

    /// How often the source broke.
    #[must_use]
    pub fn breaks(&self) -> usize {
        self.breaks.len().saturating_sub(1)
    }

    fn track(&mut self, track: Arc<Track>) {
        match self.lanes.get_mut(&track.id) {
            Some(lane) if *lane.track == *track => {}
            Some(lane) => {
                // Described otherwise: whatever comes now belongs to another epoch.
                lane.track = track;
                let (at, waits) = (lane.shown, lane.track.kind() == TrackKind::Video);
                let offset = self.breaks.last().map_or(0, |b| b.offset);
                self.breaks.push(Break { offset, at });
                lane.epoch = self.breaks.len().saturating_sub(1);
                lane.waits = waits;
                lane.floor = lane.shown;
                self.ready.push_back(Item::Track(Arc::clone(&lane.track)));
            }
            None => {
                self.ready.push_back(Item::Track(Arc::clone(&track)));
                let waits = track.kind() == TrackKind::Video;
                let epoch = self.breaks.len().saturating_sub(1);
                let (shown, floor) = (self.start, self.start);
                let lane = Lane { track, epoch, reached: None, shown, floor, waits };
                self.lanes.insert(lane.track.id, lane);
            }
        }
    }

    fn begin(&mut self) {
        let nanos = |p: &Packet| {
            let base = self.lanes.get(&p.track).map_or(TimeBase::NANOS, |l| l.track.time_base);
            p.pts.rescale(base, TimeBase::NANOS).ticks()
        };
        let first = self.held.iter().map(nanos).min().unwrap_or(0);
        self.breaks.push(Break { offset: self.start.saturating_sub(first), at: self.start });
        self.begun = true;
        for cue in std::mem::take(&mut self.cues) {
            self.cue(cue);
        }
        for packet in std::mem::take(&mut self.held) {
            self.place(packet);
        }
    }

    fn packet(&mut self, packet: Packet) {
        if self.begun {
            return self.place(packet);
        }
        self.held.push(packet);
        let all = self.lanes.keys().all(|id| self.held.iter().any(|p| p.track == *id));
        if all || self.held.len() >= MOST_HELD {
            self.begin();
        }
    }

    /// A cue counts on the clock that holds where it stands.
    fn cue(&mut self, mut cue: Cue) {
        if !self.begun {
            self.cues.push(cue);
            self.cues.truncate(MOST_HELD);
            return;
        }
        let offset = i128::from(self.breaks.last().map_or(0, |b| b.offset));
        let at = i128::try_from(cue.at.as_nanos()).unwrap_or(i128::MAX).saturating_add(offset).max(0);
        cue.at = std::time::Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX));
        self.ready.push_back(Item::Cue(cue));
    }

    fn place(&mut self, mut packet: Packet) {
        let newest = self.breaks.len().saturating_sub(1);
        let furthest = self.lanes.values().map(|l| l.shown).max().unwrap_or(self.start);
        let Some(lane) = self.lanes.get_mut(&packet.track) else { return };
        let base = lane.track.time_base;
        let nanos = |at: Timestamp| at.rescale(base, TimeBase::NANOS).ticks();
        let at = nanos(packet.dts);
        let step = lane.reached.map_or(0, |reached| at.saturating_sub(reached));
        let jumps = step.saturating_abs() > TOLERANCE;
        let place = |epoch: usize| self.breaks.get(epoch).copied().unwrap_or(Break { offset: 0, at: 0 });
        let begins = packet.key || lane.track.kind() != TrackKind::Video;

        // A hole in time stays one; anything else goes on where everything before it has ended.
        let hole = step > 0 && step <= LONGEST_HOLE;
        // Another track that was described otherwise has left the clock as it was: this one shows that it is another.
        let moved = jumps && !hole && place(newest).offset == place(lane.epoch).offset;
        let mut told = false;
        if lane.epoch < newest && !moved {
            let here = at.saturating_add(place(lane.epoch).offset);
            if jumps || (here >= place(newest).at && begins) {
                lane.epoch = newest;
                told = true;
            }
        } else if jumps {
            let old = place(newest);
            let next = furthest.max(self.earliest);
            let offset = if hole { old.offset } else { next.saturating_sub(nanos(packet.pts)) };
            let at = if hole { at.saturating_add(offset) } else { next };
            self.breaks.push(Break { offset, at });
            lane.epoch = self.breaks.len().saturating_sub(1);
            told = true;
        }
        if told {
            lane.waits = lane.track.kind() == TrackKind::Video;
            lane.floor = lane.shown;
            self.ready.push_back(Item::Track(Arc::clone(&lane.track)));
        }
        let end = packet.dts.saturating_add(packet.duration);
        lane.reached = Some(nanos(end));
        let offset = self.breaks.get(lane.epoch).map_or(0, |b| b.offset);
        let ticks = Timestamp::new(offset).rescale(TimeBase::NANOS, base).ticks();
        packet.pts = packet.pts.offset(ticks);
        packet.dts = packet.dts.offset(ticks);
        // What would be shown a second time, and what nobody could decode.
        if nanos(packet.pts) < lane.floor || (lane.waits && !packet.key) {
            return;
        }
        lane.waits = false;
        lane.shown = lane.shown.max(nanos(packet.pts.saturating_add(packet.duration)));
        self.ready.push_back(Item::Packet(packet));
    }
}

impl Stage for Continuity {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Track(track) => self.track(track),
            Item::Packet(packet) => self.packet(packet),
            Item::Cue(cue) => self.cue(cue),
            other => self.ready.push_back(other),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if !self.begun {
            self.begin();
        }
        Ok(())
    }
}
