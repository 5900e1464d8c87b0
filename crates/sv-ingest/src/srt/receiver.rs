//! What comes: put in its order, held back for as long as was agreed, and asked for again where it is missing.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::packet::{self, About};
use super::{Micros, Stats, capped};

/// How often what has come is acknowledged at most,
const PERIOD: Micros = 10_000;
/// and how often at least, where fewer packets than `CROWD` come: acknowledgements cost more than packets.
const SLOW: Micros = 40_000;
const CROWD: u64 = 32;
/// After so many packets the sender hears of them at once.
const LIGHT: u64 = 64;
/// How often what is missing is asked for, at most.
const ASK: Micros = 20_000;
/// Ranges in one report: what a datagram holds.
const RANGES: usize = 180;
/// Acknowledgements that are waited for.
const NUMBERS: usize = 128;
/// So many packets are never missing at once, unless two say so.
const FAR: u64 = 256;
/// How far a time stamp may lie beyond what is possible.
const SLACK: Micros = 1_000_000;
/// Of how many samples drift is the mean.
const SAMPLES: i64 = 100;
/// A step of drift that is worth it.
const STEP: i64 = 2_000;

struct Slot {
    /// When it is given on.
    due: Micros,
    /// Nothing where it can't be decrypted.
    payload: Option<Bytes>,
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is new; where others are missing before it, these.
    New(Option<(u64, u64)>),
    /// It is of no use.
    Useless,
}

/// An acknowledgement to be sent.
#[derive(Debug)]
pub(super) enum Ack {
    Full { number: u32, seq: u32, about: About },
    Light { seq: u32 },
}

pub(super) struct Receiver {
    latency: Micros,
    capacity: u64,
    /// When, on our clock, the other side's was 0.
    base: i64,
    /// The last time stamp, which never wraps around here.
    stamp: i64,
    /// The next packet to be given on, and the first that nobody has seen.
    next: u64,
    high: u64,
    /// From `next` on.
    slots: VecDeque<Option<Slot>>,
    /// What is missing, and when it was asked for last.
    missing: BTreeMap<u64, Micros>,
    /// A number far ahead, which may be damage.
    far: Option<u64>,
    /// Where the other side may begin instead, until something has come.
    instead: Option<u32>,
    asked: Micros,
    rtt: Micros,
    variance: Micros,
    measured: bool,
    /// The number of the last acknowledgement, and those that wait for an answer.
    number: u32,
    waiting: VecDeque<(u32, Micros, u64)>,
    /// What was acknowledged last, when, and what the other side knows to have been.
    told: u64,
    told_at: Micros,
    known: u64,
    light: u64,
    /// Packets and bytes since `rate_at`, and those of a second before.
    counted: (u64, u64),
    rates: (u32, u32),
    rate_at: Micros,
    samples: (i64, i64),
    first_rtt: Micros,
    drift: i64,
}

/// A signed difference of moments.
fn signed(at: Micros) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

impl Receiver {
    /// The first packet has the number `first`; the other side's clock was at `stamp` at `now`.
    pub(super) fn new(latency: Micros, buffer: usize, first: u32, stamp: u32, now: Micros) -> Self {
        // Room behind it, so that nothing goes below 0.
        let first = (1u64 << 32).saturating_add(first.into());
        Self {
            latency,
            capacity: u64::try_from(buffer).unwrap_or(u64::MAX).max(32),
            base: signed(now).saturating_sub(stamp.into()),
            stamp: stamp.into(),
            next: first,
            high: first,
            slots: VecDeque::new(),
            missing: BTreeMap::new(),
            far: None,
            instead: None,
            asked: 0,
            rtt: 100_000,
            variance: 50_000,
            measured: false,
            number: 0,
            waiting: VecDeque::new(),
            told: first,
            told_at: now,
            known: first,
            light: first,
            counted: (0, 0),
            rates: (0, 0),
            rate_at: now,
            samples: (0, 0),
            first_rtt: 0,
            drift: 0,
        }
    }

    /// The other side may begin with this number, too: some callers (gosrt) count on from the one that we have told for ourselves, as
    /// both are the same where libsrt answers.
    pub(super) fn or_from(&mut self, first: u32) {
        self.instead = Some(first);
    }

    /// The first packet has come: whether it counts from there.
    pub(super) fn settle(&mut self, seq: u32) {
        let near = |first: &u32| u64::from(seq.wrapping_sub(*first) & 0x7FFF_FFFF) < FAR;
        if let Some(first) = self.instead.take().filter(near) {
            let first = (1u64 << 32).saturating_add(first.into());
            (self.next, self.high, self.told, self.known, self.light) = (first, first, first, first, first);
        }
    }

    pub(super) const fn rtt(&self) -> (Micros, Micros) {
        (self.rtt, self.variance)
    }

    pub(super) const fn is_measured(&self) -> bool {
        self.measured
    }

    fn moment(&mut self, stamp: u32) -> i64 {
        let last = super::low(self.stamp.unsigned_abs());
        // Half of them lie behind.
        let ahead = i64::from(stamp.wrapping_sub(last).cast_signed());
        let at = self.stamp.saturating_add(ahead);
        if at >= 0 && ahead > 0 {
            self.stamp = at;
        }
        self.base.saturating_add(at)
    }

    /// Whether a packet is still of use; it needn't be decrypted otherwise.
    pub(super) fn wants(&self, seq: u32) -> bool {
        let seq = packet::unwrap(seq, self.high);
        seq >= self.high || self.missing.contains_key(&seq)
    }

    /// Takes a packet; `payload` is nothing where it can't be decrypted.
    pub(super) fn take(
        &mut self,
        seq: u32,
        stamp: u32,
        payload: Option<Bytes>,
        now: Micros,
        stats: &mut Stats,
    ) -> Came {
        let seq = packet::unwrap(seq, self.high);
        if seq < self.high && !self.missing.contains_key(&seq) {
            stats.useless = stats.useless.saturating_add(1);
            return Came::Useless;
        }
        let far = seq >= self.high.saturating_add(FAR);
        if (far || seq >= self.next.saturating_add(self.capacity)) && !self.jump(seq, far, stats) {
            return Came::Useless;
        }
        // What is to come can't have been sent in the future.
        let latest = now.saturating_add(self.latency).saturating_add(SLACK);
        let due = self.moment(stamp).saturating_add(signed(self.latency));
        let due = Micros::try_from(due).unwrap_or(0).min(latest);
        let bytes = payload.as_ref().map_or(0, Bytes::len);
        stats.received = stats.received.saturating_add(1);
        stats.received_bytes = stats.received_bytes.saturating_add(u64::try_from(bytes).unwrap_or(0));
        self.counted.0 = self.counted.0.saturating_add(1);
        self.counted.1 = self.counted.1.saturating_add(u64::try_from(bytes).unwrap_or(0));
        let slot = Slot { due, payload };
        if seq < self.high {
            self.missing.remove(&seq);
            stats.recovered = stats.recovered.saturating_add(1);
            let at = usize::try_from(seq.saturating_sub(self.next)).unwrap_or(usize::MAX);
            if let Some(place) = self.slots.get_mut(at) {
                *place = Some(slot);
            }
            return Came::New(None);
        }
        let gap = (self.high < seq).then_some((self.high, seq.saturating_sub(1)));
        for missing in self.high..seq {
            self.missing.insert(missing, now);
            self.slots.push_back(None);
            stats.lost = stats.lost.saturating_add(1);
        }
        self.slots.push_back(Some(slot));
        self.high = seq.saturating_add(1);
        Came::New(gap)
    }

    /// A number for which there is no room, or that is far ahead: after a long silence of the network, or damage. Two that
    /// are near to each other are believed. True where there is room now.
    fn jump(&mut self, seq: u64, far: bool, stats: &mut Stats) -> bool {
        let near = self.far.is_some_and(|far| far.abs_diff(seq) <= 64);
        self.far = Some(seq);
        if far && !near {
            return false;
        }
        // The oldest make room.
        self.far = None;
        let floor = seq.saturating_add(1).saturating_sub(self.capacity);
        while self.next < floor {
            match self.slots.pop_front() {
                Some(Some(_)) => {}
                Some(None) => {
                    self.missing.remove(&self.next);
                }
                None => {
                    // Nobody has seen any of these.
                    let unseen = floor.saturating_sub(self.next);
                    stats.lost = stats.lost.saturating_add(unseen);
                    stats.dropped = stats.dropped.saturating_add(unseen);
                    self.next = floor;
                    self.high = self.high.max(floor);
                    break;
                }
            }
            stats.dropped = stats.dropped.saturating_add(1);
            self.next = self.next.saturating_add(1);
        }
        true
    }

    /// The next payload that is due.
    pub(super) fn give(&mut self, now: Micros, stats: &mut Stats) -> Option<Bytes> {
        loop {
            match self.slots.front() {
                None => return None,
                Some(Some(slot)) if slot.due > now => return None,
                Some(Some(_)) => {
                    let slot = self.slots.pop_front().flatten();
                    self.next = self.next.saturating_add(1);
                    if let Some(payload) = slot.and_then(|slot| slot.payload) {
                        return Some(payload);
                    }
                }
                Some(None) => {
                    let behind = self.slots.iter().flatten().next();
                    if behind.is_none_or(|slot| slot.due > now) {
                        return None;
                    }
                    // What is behind can't wait any more.
                    self.missing.remove(&self.next);
                    self.slots.pop_front();
                    self.next = self.next.saturating_add(1);
                    stats.dropped = stats.dropped.saturating_add(1);
                }
            }
        }
    }

    /// These will never come.
    pub(super) fn forget(&mut self, first: u32, last: u32, stats: &mut Stats) {
        let (first, last) = (packet::unwrap(first, self.high), packet::unwrap(last, self.high));
        if first > last || last >= self.high {
            return;
        }
        for seq in first.max(self.next)..=last {
            if self.missing.remove(&seq).is_some() {
                let at = usize::try_from(seq.saturating_sub(self.next)).unwrap_or(usize::MAX);
                if let Some(place) = self.slots.get_mut(at) {
                    *place = Some(Slot { due: 0, payload: None });
                    stats.dropped = stats.dropped.saturating_add(1);
                }
            }
        }
    }

    /// The first that has not come.
    fn whole(&self) -> u64 {
        self.missing.first_key_value().map_or(self.high, |(seq, _)| *seq)
    }

    fn patience(&self) -> Micros {
        self.variance.saturating_mul(4).saturating_add(self.rtt)
    }

    fn ask_period(&self) -> Micros {
        (self.patience() / 2).max(ASK)
    }

    /// What is missing and was not asked for lately.
    pub(super) fn ask(&mut self, now: Micros) -> Vec<(u32, u32)> {
        let period = self.ask_period();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        if self.missing.is_empty() || now < self.asked.saturating_add(ASK / 2) {
            return Vec::new();
        }
        self.asked = now;
        for (seq, asked) in &mut self.missing {
            if now.saturating_sub(*asked) < period {
                continue;
            }
            let full = ranges.len() >= RANGES;
            match ranges.last_mut() {
                Some((_, last)) if last.saturating_add(1) == *seq => *last = *seq,
                _ if full => break,
                _ => ranges.push((*seq, *seq)),
            }
            *asked = now;
        }
        ranges.into_iter().map(|(a, b)| (packet::wrap(a), packet::wrap(b))).collect()
    }

    /// The acknowledgement that is to be sent now, if one is.
    pub(super) fn ack(&mut self, now: Micros) -> Option<Ack> {
        let whole = self.whole();
        let since = now.saturating_sub(self.told_at);
        if since < self.ack_period(whole) {
            if whole.saturating_sub(self.light) >= LIGHT {
                self.light = whole;
                return Some(Ack::Light { seq: packet::wrap(whole) });
            }
            return None;
        }
        let elapsed = now.saturating_sub(self.rate_at);
        if elapsed >= 500_000 {
            let each = |count: u64| capped(count.saturating_mul(1_000_000).checked_div(elapsed).unwrap_or(0));
            self.rates = (each(self.counted.0), each(self.counted.1));
            (self.counted, self.rate_at) = ((0, 0), now);
        }
        self.number = self.number.wrapping_add(1).max(1);
        if self.waiting.len() >= NUMBERS {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.number, now, whole));
        (self.told, self.told_at, self.light) = (whole, now, whole);
        let used = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        let about = About {
            rtt: capped(self.rtt),
            variance: capped(self.variance),
            // A sender that hears of no room stops for ever.
            room: capped(self.capacity.saturating_sub(used).max(2)),
            packets: self.rates.0,
            capacity: self.rates.0.max(1000),
            bytes: self.rates.1,
        };
        Some(Ack::Full { number: self.number, seq: packet::wrap(whole), about })
    }

    /// After how long what has come is acknowledged; never, where the other side knows.
    fn ack_period(&self, whole: u64) -> Micros {
        if whole == self.known {
            Micros::MAX
        } else if whole == self.told {
            // It has been told, and the answer may be on its way.
            self.patience().max(PERIOD)
        } else if !self.measured || whole.saturating_sub(self.told) >= CROWD {
            PERIOD
        } else {
            SLOW
        }
    }

    /// The other side has heard of an acknowledgement; its clock was at `stamp` then.
    pub(super) fn heard(&mut self, number: u32, stamp: u32, now: Micros) {
        let Some(at) = self.waiting.iter().position(|(n, ..)| *n == number) else { return };
        let Some((_, sent, whole)) = self.waiting.drain(..=at).next_back() else { return };
        self.known = self.known.max(whole);
        let rtt = now.saturating_sub(sent);
        self.measure(rtt);
        if self.first_rtt == 0 {
            self.first_rtt = rtt.max(1);
        }
        // What changed on the way isn't the clock.
        let way = signed(rtt).saturating_sub(signed(self.first_rtt)).wrapping_div(2);
        let sample = signed(now).saturating_sub(self.moment(stamp)).saturating_sub(way);
        self.samples = (self.samples.0.saturating_add(1), self.samples.1.saturating_add(sample));
        if self.samples.0 >= SAMPLES {
            let mean = self.samples.1.checked_div(self.samples.0).unwrap_or(0);
            // The first mean is how long packets take, which latency is beside of.
            if mean.abs() >= STEP {
                self.base = self.base.saturating_add(mean);
                self.drift = self.drift.saturating_sub(mean);
            }
            self.samples = (0, 0);
        }
    }

    /// How long a packet and its answer took.
    pub(super) fn measure(&mut self, rtt: Micros) {
        if self.measured {
            self.variance = self.variance.saturating_mul(3).saturating_add(self.rtt.abs_diff(rtt)) / 4;
            self.rtt = self.rtt.saturating_mul(7).saturating_add(rtt) / 8;
        } else {
            (self.rtt, self.variance, self.measured) = (rtt, rtt / 2, true);
        }
    }

    pub(super) const fn drift(&self) -> i64 {
        self.drift
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Micros> {
        let due = self.slots.iter().flatten().next().map(|slot| slot.due);
        let whole = self.whole();
        let period = self.ack_period(whole);
        let ack = (period != Micros::MAX).then(|| self.told_at.saturating_add(period));
        let ask = (!self.missing.is_empty()).then(|| self.asked.saturating_add(ASK / 2));
        [due, ack, ask].into_iter().flatten().min()
    }
}
