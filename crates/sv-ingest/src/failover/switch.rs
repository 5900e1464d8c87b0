//! Who of several is on air: decided with the clock as an argument.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sv_core::{Item, Packet, TimeBase, Timestamp, Track, TrackId, TrackKind};

use super::clock::{self, Map, Print};
use super::input::{Grade, Input, Look, PRINTS, Publisher, print};
use super::{Content, Failover, Reason};
use crate::health::{Link, Report};

/// Clocks that are further apart are different clocks: two encoders on one clock differ by their lines alone.
const SAME: i64 = 250_000_000;
/// Packets of a track are no further apart.
const LONGEST: i64 = 1_000_000_000;
/// The longest gap that is left where another takes over.
const GAP: i64 = 100_000_000;
/// Times of sound are rounded.
const ROUNDING: i64 = 5_000_000;
/// A time is put on from here for a track's first packet.
const FRAME: i64 = 40_000_000;
/// How long who has told of tracks may take until packets come.
const START: Duration = Duration::from_secs(2);
/// Who sends the same may be that late.
const LATE: i64 = 2_000_000_000;

/// What happens to the stream besides packets.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// A track is known, or known anew.
    Track(Arc<Track>),
    /// Another one is on air.
    Switched { from: String, to: String, reason: Reason },
}

/// All who send a stream, and what goes out.
#[derive(Debug)]
pub(crate) struct Switch {
    settings: Failover,
    inputs: Vec<Input>,
    numbers: Publisher,
    /// Who is on air.
    active: Option<Publisher>,
    /// Who was, and why it isn't, until the next one is.
    before: Option<(String, Reason)>,
    lanes: Vec<Lane>,
    /// Whether somebody looks at what comes.
    looking: bool,
    out: VecDeque<(Item, bool)>,
    told: Vec<Told>,
}

/// A track that goes out.
#[derive(Debug)]
struct Lane {
    /// As it was told.
    track: Arc<Track>,
    /// Which of the sender's it is, if it has one.
    of: Option<TrackId>,
    /// Where it is: when its last packet is decoded, its latest is shown, and how far packets are apart.
    at: Option<(i64, i64)>,
    step: i64,
    /// When its last packet came.
    came: Duration,
    join: Join,
    /// Nothing of the sender's is shown before this.
    floor: i64,
    prints: VecDeque<Print>,
}

/// What a track begins with behind a change of who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    Joined,
    /// With what follows what was there.
    Next,
    /// With a key picture.
    Key,
}

/// Where another can take over.
enum Cut {
    /// Behind what was there: both send the same.
    Seamless(i64),
    /// At the packet of that number of what is kept, on a clock that is that far from its own.
    Key { index: usize, at: i64, offset: i64 },
}

impl Switch {
    pub(crate) fn new(settings: Failover) -> Self {
        Self {
            settings,
            inputs: Vec::new(),
            numbers: 0,
            active: None,
            before: None,
            lanes: Vec::new(),
            looking: false,
            out: VecDeque::new(),
            told: Vec::new(),
        }
    }

    /// Whether anybody sends.
    pub(crate) fn is_live(&self) -> bool {
        !self.inputs.is_empty()
    }

    /// Whether time has to be told by [`tick`](Self::tick).
    pub(crate) fn is_redundant(&self) -> bool {
        self.inputs.len() > 1
    }

    /// Tracks that were told.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = &Arc<Track>> {
        self.lanes.iter().map(|lane| &lane.track)
    }

    /// What goes out, and whether the stream can begin with it.
    pub(crate) fn next(&mut self) -> Option<(Item, bool)> {
        self.out.pop_front()
    }

    /// What has happened besides.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    fn find(&self, number: Publisher) -> Option<usize> {
        self.inputs.iter().position(|i| i.number == number)
    }

    /// Somebody begins to send. Who had its rank has to go.
    pub(crate) fn begin(&mut self, now: Duration, rank: u8, from: String) -> (Publisher, Option<Publisher>) {
        let gone = self.inputs.iter().position(|i| i.rank == rank).map(|n| self.inputs.remove(n));
        self.numbers = self.numbers.wrapping_add(1);
        let number = self.numbers;
        self.inputs.push(Input::new(number, rank, from, now));
        if let Some(gone) = &gone {
            self.lose(now, gone);
        }
        (number, gone.map(|gone| gone.number))
    }

    /// What it was on air is over.
    fn lose(&mut self, now: Duration, gone: &Input) {
        if self.active == Some(gone.number) {
            self.active = None;
            self.before = Some((gone.from.clone(), Reason::Closed));
        }
        self.decide(now);
    }

    /// Somebody sends nothing more. False where it is not known.
    pub(crate) fn leave(&mut self, now: Duration, number: Publisher) -> bool {
        let Some(index) = self.find(number) else { return false };
        let gone = self.inputs.remove(index);
        if self.inputs.is_empty() {
            for lane in std::mem::take(&mut self.lanes) {
                self.out.push_back((Item::End(lane.track.id), false));
            }
            (self.active, self.before) = (None, None);
        } else {
            self.lose(now, &gone);
        }
        true
    }

    /// Something comes. False where the sender is not known (any more).
    pub(crate) fn give(&mut self, now: Duration, number: Publisher, item: &Item) -> bool {
        let redundant = self.is_redundant();
        let Some(input) = self.inputs.iter_mut().find(|i| i.number == number) else { return false };
        // Who tells of a track first is on air.
        if self.lanes.is_empty() && matches!(item, Item::Track(_)) {
            self.active = Some(number);
        }
        let active = self.active == Some(number);
        input.see(now, item, self.looking);
        match item {
            Item::Track(track) if active => self.track(number, track),
            Item::Packet(packet) => {
                if redundant || !active {
                    input.keep(now, packet);
                }
                if active {
                    self.packet(now, number, packet.clone(), redundant);
                }
            }
            Item::Cue(cue) if active => {
                let mut cue = cue.clone();
                let at = i64::try_from(cue.at.as_nanos()).unwrap_or(i64::MAX);
                cue.at = Duration::from_nanos(u64::try_from(input.map.at(at)).unwrap_or(0));
                self.out.push_back((Item::Cue(cue), false));
            }
            _ => {}
        }
        if redundant || self.active.is_none() {
            self.decide(now);
        }
        true
    }

    /// Time has gone by.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.decide(now);
    }

    /// What somebody has seen and heard of a sender.
    pub(crate) fn observe(&mut self, now: Duration, number: Publisher, content: Content) {
        if let Some(input) = self.inputs.iter_mut().find(|i| i.number == number) {
            input.observe(now, content);
            self.decide(now);
        }
    }

    /// How well a sender's line is.
    pub(crate) fn link(&mut self, number: Publisher, link: Link) {
        if let Some(input) = self.inputs.iter_mut().find(|i| i.number == number) {
            input.link = Some(link);
        }
    }

    /// What there is to look at, of each sender: some of what comes is kept from the first time on that this is asked.
    pub(crate) fn looks(&mut self) -> Vec<(Publisher, Look)> {
        self.looking = true;
        self.inputs.iter().map(|i| (i.number, i.look())).collect()
    }

    /// How well each sender's packets come, who is on air first, then by rank.
    pub(crate) fn reports(&mut self, now: Duration) -> Vec<Report> {
        let active = self.active;
        let mut all: Vec<Report> = self
            .inputs
            .iter_mut()
            .map(|input| {
                let mut report = input.health.report(now);
                report.describe(input.from.clone(), input.rank, active == Some(input.number));
                report.add(input.content(now), input.link);
                report
            })
            .collect();
        all.sort_by_key(|report| (!report.on_air, report.rank));
        all
    }

    fn track(&mut self, number: Publisher, track: &Arc<Track>) {
        let Some(input) = self.inputs.iter().find(|i| i.number == number) else { return };
        let nth = |all: &[Arc<Track>]| {
            let same = all.iter().filter(|t| t.kind() == track.kind());
            same.map(|t| t.id).position(|id| id == track.id)
        };
        let Some(nth) = nth(&input.tracks) else { return };
        let mut same = self.lanes.iter_mut().filter(|lane| lane.track.kind() == track.kind());
        match same.nth(nth) {
            Some(lane) => {
                lane.of = Some(track.id);
                let track = Arc::new(Track { id: lane.track.id, ..Track::clone(track) });
                if *track != *lane.track {
                    lane.track = Arc::clone(&track);
                    self.tell(track);
                }
            }
            None => {
                let taken = self.lanes.iter().map(|lane| lane.track.id.0).max();
                let free = !self.lanes.iter().any(|lane| lane.track.id == track.id);
                let id = if free { track.id } else { TrackId(taken.unwrap_or(0).saturating_add(1)) };
                let told = Arc::new(Track { id, ..Track::clone(track) });
                let lane = Lane {
                    track: Arc::clone(&told),
                    of: Some(track.id),
                    at: None,
                    step: FRAME,
                    came: Duration::ZERO,
                    join: Join::Joined,
                    floor: i64::MIN,
                    prints: VecDeque::new(),
                };
                self.lanes.push(lane);
                self.tell(told);
            }
        }
    }

    fn tell(&mut self, track: Arc<Track>) {
        self.told.push(Told::Track(Arc::clone(&track)));
        self.out.push_back((Item::Track(track), false));
    }

    /// The track by which the stream is cut.
    fn lead(&self) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.track.kind() == TrackKind::Video).or(self.lanes.first())
    }

    /// A packet of who is on air.
    fn packet(&mut self, now: Duration, number: Publisher, mut packet: Packet, redundant: bool) {
        let map = self.find(number).and_then(|n| self.inputs.get(n)).map(|i| i.map).unwrap_or_default();
        let lead = self.lead().map(|lane| lane.track.id);
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.of == Some(packet.track)) else { return };
        let base = lane.track.time_base;
        let nanos = |at: Timestamp| at.rescale(base, TimeBase::NANOS).ticks();
        let ticks = |at: i64| Timestamp::new(at).rescale(TimeBase::NANOS, base);
        let (pts, dts) = (nanos(packet.pts), nanos(packet.dts));
        let pictures = lane.track.kind() == TrackKind::Video;
        let place = |at: i64| if pictures { map.at(at) } else { at.saturating_add(map.offset) };
        let (mut shown, mut decoded) = (place(pts), place(dts));
        let slack = ROUNDING.min(lane.step.wrapping_div(2));
        let behind = lane.at.is_some_and(|(at, _)| decoded <= at.saturating_add(slack));
        match lane.join {
            Join::Key if packet.key => lane.floor = pts,
            Join::Key => return,
            Join::Next if behind => return,
            // Pictures that lead in to a key picture need some before it.
            Join::Next | Join::Joined if pts < lane.floor => return,
            Join::Next | Join::Joined => {}
        }
        lane.join = Join::Joined;
        if !map.is_nothing() {
            // What is decoded later says so, by a tick at least.
            let before = lane.at.map_or(i64::MIN, |(at, _)| at);
            packet.dts = ticks(decoded);
            if decoded <= before || nanos(packet.dts) <= before {
                packet.dts = ticks(before).offset(1);
                decoded = nanos(packet.dts);
            }
            packet.pts = ticks(shown).max(packet.dts);
            shown = shown.max(decoded);
        }
        packet.track = lane.track.id;
        let step = lane.at.map_or(lane.step, |(at, _)| decoded.saturating_sub(at));
        if (1..=LONGEST).contains(&step) {
            lane.step = step;
        }
        lane.came = now;
        lane.at = Some((decoded, lane.at.map_or(shown, |(_, at)| at.max(shown))));
        let leads = lead == Some(packet.track);
        if redundant && leads {
            lane.prints.truncate(PRINTS.saturating_sub(1));
            lane.prints.push_front((print(&packet.data), decoded));
        }
        let begins = packet.key && leads;
        self.out.push_back((Item::Packet(packet), begins));
    }

    /// Looks at who should be on air.
    fn decide(&mut self, now: Duration) {
        let settings = self.settings;
        let kinds: Vec<TrackKind> = self.lanes.iter().map(|lane| lane.track.kind()).collect();
        for input in &mut self.inputs {
            let well = input.grade(now, &settings) == Grade::Well;
            input.well = well.then(|| input.well.unwrap_or(now));
        }
        let active = self.active.and_then(|n| self.inputs.iter().find(|i| i.number == n));
        let order = |input: &&Input| (input.grade(now, &settings), input.rank);
        let others = self.inputs.iter().filter(|i| Some(i.number) != self.active);
        let ready = others.filter(|i| i.last.is_some() && i.is_told(now, &kinds));
        let Some(best) = ready.min_by_key(order) else { return };
        let number = best.number;
        let Some(active) = active else {
            // Even one who has just fallen silent has its last pictures.
            self.take_over(now, number, Reason::Lost, true);
            return;
        };
        let (mine, theirs) = (active.grade(now, &settings), best.grade(now, &settings));
        let long = |since: Duration, length| now.saturating_sub(since) >= length;
        if mine == Grade::Lost {
            let began = active.last.is_some() || long(active.since, START);
            if theirs != Grade::Lost && began {
                self.take_over(now, number, Reason::Lost, true);
            }
            return;
        }
        let well = best.well.is_some_and(|since| long(since, settings.clear));
        let reason = match active.fault(now, &settings) {
            Some(fault) if theirs < mine => fault,
            _ if theirs == mine && best.rank < active.rank && settings.back && well => Reason::Back,
            _ => return,
        };
        self.take_over(now, number, reason, false);
    }

    /// Where `input` could take over; `urgent` where nothing else comes.
    fn cut(&self, now: Duration, input: &Input, urgent: bool) -> Option<Cut> {
        let (lead, mine) = (self.lead()?, input.lead()?);
        let Some((decoded, shown)) = lead.at else {
            let (index, key) = input.ring.packets().map(|(p, _)| p).enumerate().find(|(_, p)| p.key)?;
            return Some(Cut::Key { index, at: input.nanos(key.track, key.pts), offset: 0 });
        };
        let packets = || input.ring.packets().enumerate().filter(|(_, (p, _))| p.track == mine.id);
        let times = |p: &Packet| (input.nanos(p.track, p.pts), input.nanos(p.track, p.dts));
        let newest = packets().map(|(_, (p, _))| times(p).0).max()?;
        let elapsed = i64::try_from(now.saturating_sub(lead.came).as_nanos()).unwrap_or(i64::MAX);
        let due = shown.saturating_add(elapsed.max(if urgent { 0 } else { lead.step }));
        let same = lead.track.codec == mine.codec && lead.track.config == mine.config;
        if same && let Some(offset) = clock::aligned(&lead.prints, &input.prints) {
            // What is kept must begin no later than what comes next, and end not long ago.
            let first = packets().next().map(|(_, (p, _))| times(p).1.saturating_add(offset));
            let next = decoded.saturating_add(lead.step.saturating_mul(3).wrapping_div(2));
            let late = due.saturating_sub(newest.saturating_add(offset));
            if first.is_some_and(|first| first <= next) && late <= LATE {
                return Some(Cut::Seamless(offset));
            }
        }
        let active = self.active.and_then(|n| self.find(n)).and_then(|n| self.inputs.get(n));
        let known = [active.map(|a| a.map.offset), Some(input.map.offset)];
        let near = |offset: &i64| newest.saturating_add(*offset).saturating_sub(due).saturating_abs() <= SAME;
        let offset = known.into_iter().flatten().find(near).unwrap_or_else(|| due.saturating_sub(newest));
        let keys = || packets().filter(|(_, (_, begins))| *begins);
        let place = |p: &Packet| times(p).0.saturating_add(offset);
        let soon = keys()
            .find(|(_, (p, _))| (shown.saturating_add(1)..=shown.saturating_add(GAP)).contains(&place(p)));
        let choice = if urgent {
            let past = || keys().filter(|(_, (p, _))| place(p) <= shown).last();
            soon.or_else(past).or_else(|| keys().next())
        } else {
            // Only one that has just come.
            let last = packets().last().filter(|(_, (_, begins))| *begins);
            soon.filter(|(index, _)| last.is_some_and(|(n, _)| n == *index)).or(last)
        };
        let (index, (packet, _)) = choice?;
        let at = times(packet).0;
        let start = shown.saturating_add(lead.step);
        // Time goes on as it goes for who watches, and never back.
        let latest = due.max(shown.saturating_add(GAP));
        let offset = match at.saturating_add(offset) {
            place if place > latest => due.max(start).saturating_sub(at),
            place if place <= shown && !urgent => start.saturating_sub(at),
            _ => offset,
        };
        Some(Cut::Key { index, at, offset })
    }

    /// Puts it on air, if it has what that takes.
    fn take_over(&mut self, now: Duration, number: Publisher, reason: Reason, urgent: bool) -> bool {
        let Some(index) = self.find(number) else { return false };
        let Some(cut) = self.inputs.get(index).and_then(|input| self.cut(now, input, urgent)) else {
            return false;
        };
        let shown = self.lead().and_then(|lane| lane.at).map(|(_, shown)| shown);
        let step = self.lead().map_or(FRAME, |lane| lane.step);
        let Some(input) = self.inputs.get_mut(index) else { return false };
        let (first, join) = match cut {
            Cut::Seamless(offset) => {
                input.map = Map::offset(offset);
                (0, Join::Next)
            }
            Cut::Key { index, at, offset } => {
                let lead = input.lead().map(|lead| lead.id);
                input.map = match shown {
                    Some(shown) if at.saturating_add(offset) <= shown => {
                        let start = shown.saturating_add(step);
                        let past = input.ring.packets().skip(index).filter(|(packet, _)| {
                            let at = input.nanos(packet.track, packet.pts);
                            Some(packet.track) == lead && at.saturating_add(offset) < start
                        });
                        Map::rushing(offset, at, start, i64::try_from(past.count()).unwrap_or(i64::MAX))
                    }
                    _ => Map::offset(offset),
                };
                (index, Join::Key)
            }
        };
        let (to, tracks, packets) = (input.from.clone(), input.tracks.clone(), input.ring.behind(first));
        let before = self.active.replace(number).and_then(|n| self.inputs.iter().find(|i| i.number == n));
        let before = before.map(|before| (before.from.clone(), reason));
        // Nobody on air since a moment ago, for a reason of its own.
        let before = before.or(self.before.take());
        self.before = None;
        for lane in &mut self.lanes {
            lane.of = None;
        }
        for track in &tracks {
            self.track(number, track);
        }
        let pictures = |lane: &Lane| lane.track.kind() == TrackKind::Video;
        for lane in &mut self.lanes {
            lane.join = if pictures(lane) || join == Join::Next { join } else { Join::Next };
            lane.floor = i64::MIN;
        }
        let redundant = self.is_redundant();
        for packet in packets {
            self.packet(now, number, packet, redundant);
        }
        if let Some((from, reason)) = before {
            self.told.push(Told::Switched { from, to, reason });
        }
        true
    }
}
