//! What leaves: kept until the other side has it, sent again where it asks for it, and no faster than it may.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::crypto::Crypto;
use super::packet::{self, Data, HEADER, PAYLOAD};
use super::{Bandwidth, Micros, Stats};

/// Headers of IP and UDP.
const AROUND: u64 = 28;
/// How much may leave at once after a pause.
const BURST: Micros = 5_000;
/// How long a packet is kept at least, and beyond the latency.
const KEPT: Micros = 1_000_000;
const BEYOND: Micros = 20_000;
/// Over what time the input is measured.
const WINDOW: Micros = 500_000;
/// How long the last packet waits for word of it, at least.
const TAIL: Micros = 80_000;
/// How often the last packet is sent again.
const TAILS: u32 = 8;

struct Kept {
    datagram: Bytes,
    /// When it was given to us, and when it was sent last.
    given: Micros,
    sent: Option<Micros>,
}

pub(super) struct Sender {
    /// The number of the first that is kept, and of the first that was never sent.
    first: u64,
    unsent: u64,
    kept: VecDeque<Kept>,
    wanted: BTreeSet<u64>,
    capacity: usize,
    /// How many the other side has room for.
    window: u64,
    latency: Micros,
    message: u32,
    bandwidth: Bandwidth,
    /// When the next may leave.
    at: Micros,
    last: Micros,
    tails: u32,
    /// What came in since when, and how much each second before.
    input: (u64, Micros),
    rate: u64,
    mean: u64,
}

impl Sender {
    pub(super) fn new(
        latency: Micros,
        buffer: usize,
        window: u32,
        first: u32,
        bandwidth: Bandwidth,
        now: Micros,
    ) -> Self {
        let first = (1u64 << 32).saturating_add(first.into());
        Self {
            first,
            unsent: first,
            kept: VecDeque::new(),
            wanted: BTreeSet::new(),
            capacity: buffer.max(32),
            window: u64::from(window).max(2),
            latency,
            message: 0,
            bandwidth,
            at: now,
            last: now,
            tails: 0,
            input: (0, now),
            rate: 0,
            mean: 1316,
        }
    }

    /// Takes a payload to be sent, of which `stamp` says when. False where there is no room for it.
    pub(super) fn give(
        &mut self,
        payload: &[u8],
        stamp: u32,
        to: u32,
        crypto: Option<&mut Crypto>,
        now: Micros,
        stats: &mut Stats,
    ) -> bool {
        if payload.len() > PAYLOAD || self.kept.len() >= self.capacity {
            stats.unsent = stats.unsent.saturating_add(1);
            return false;
        }
        let size = u64::try_from(payload.len()).unwrap_or(0);
        self.input.0 = self.input.0.saturating_add(size).saturating_add(AROUND).saturating_add(16);
        self.mean = self.mean.saturating_mul(15).saturating_add(size).wrapping_div(16).max(1);
        let count = u64::try_from(self.kept.len()).unwrap_or(0);
        let seq = packet::wrap(self.first.saturating_add(count));
        // Numbers of messages go around from 1.
        self.message = if self.message >= (1 << 26) - 1 { 1 } else { self.message.saturating_add(1) };
        let mut out = BytesMut::with_capacity(HEADER.saturating_add(payload.len()));
        let mut data = Data {
            seq,
            position: 3,
            ordered: true,
            key: 0,
            again: false,
            message: self.message,
            time: stamp,
            to,
            payload,
        };
        let mut body = BytesMut::new();
        if let Some(crypto) = crypto {
            body.extend_from_slice(payload);
            data.key = crypto.encrypt(seq, &mut body);
            data.write_header(&mut out);
            out.extend_from_slice(&body);
        } else {
            data.write_header(&mut out);
            out.extend_from_slice(payload);
        }
        self.kept.push_back(Kept { datagram: out.freeze(), given: now, sent: None });
        true
    }

    /// All before `seq` has come, and there is room for so many more.
    pub(super) fn acknowledged(&mut self, seq: u32, room: Option<u32>) {
        let seq = packet::unwrap(seq, self.unsent);
        if seq > self.unsent {
            return;
        }
        if let Some(room) = room {
            self.window = u64::from(room).max(2);
        }
        while self.first < seq && self.kept.pop_front().is_some() {
            self.first = self.first.saturating_add(1);
            self.tails = 0;
        }
        self.wanted = self.wanted.split_off(&self.first);
    }

    /// These have not come. Gives those that will never, because they aren't kept any more.
    pub(super) fn missed(&mut self, ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let mut gone = Vec::new();
        for (first, last) in ranges {
            let (first, last) = (packet::unwrap(*first, self.unsent), packet::unwrap(*last, self.unsent));
            if first > last || last >= self.unsent {
                continue;
            }
            if first < self.first {
                gone.push((packet::wrap(first), packet::wrap(last.min(self.first.saturating_sub(1)))));
            }
            for seq in first.max(self.first)..=last {
                self.wanted.insert(seq);
            }
        }
        gone
    }

    /// Bytes each second that may leave.
    fn allowed(&self) -> u64 {
        match self.bandwidth {
            Bandwidth::Most(most) => most,
            Bandwidth::Input { bytes, overhead } => {
                let rate = bytes.unwrap_or(self.rate);
                let more = rate.saturating_mul(u64::from(overhead)) / 100;
                // Before anything is measured there is nothing to go by.
                if rate == 0 { 125_000_000 } else { rate.saturating_add(more).max(20_000) }
            }
        }
    }

    fn step(&self) -> Micros {
        let size = self.mean.saturating_add(AROUND).saturating_add(16);
        size.saturating_mul(1_000_000).checked_div(self.allowed()).unwrap_or(0)
    }

    fn is_waiting(&self) -> bool {
        let end = self.first.saturating_add(u64::try_from(self.kept.len()).unwrap_or(0));
        let flying = self.unsent.saturating_sub(self.first);
        !self.wanted.is_empty() || (self.unsent < end && flying < self.window)
    }

    /// Lets go of what is too late, and measures the input.
    pub(super) fn tidy(&mut self, now: Micros, stats: &mut Stats) {
        let patience = self.latency.max(KEPT).saturating_add(BEYOND);
        while self.kept.front().is_some_and(|kept| kept.given.saturating_add(patience) < now) {
            self.kept.pop_front();
            self.first = self.first.saturating_add(1);
            self.unsent = self.unsent.max(self.first);
            stats.unsent = stats.unsent.saturating_add(1);
        }
        if self.wanted.first().is_some_and(|seq| *seq < self.first) {
            self.wanted = self.wanted.split_off(&self.first);
        }
        let elapsed = now.saturating_sub(self.input.1);
        if elapsed >= WINDOW {
            let rate = self.input.0.saturating_mul(1_000_000).checked_div(elapsed).unwrap_or(0);
            // A pause of the input leaves what waits its speed.
            if rate > 0 {
                self.rate = if self.rate == 0 { rate } else { self.rate.saturating_add(rate) / 2 };
            }
            self.input = (0, now);
        }
    }

    fn kept(&mut self, seq: u64) -> Option<&mut Kept> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.kept.get_mut(at)
    }

    /// The next datagram that may leave now.
    pub(super) fn next(
        &mut self,
        now: Micros,
        patience: (Micros, Micros),
        stats: &mut Stats,
    ) -> Option<Bytes> {
        let (rtt, variance) = patience;
        loop {
            if !self.is_waiting() {
                return self.tail(now, patience, stats);
            }
            if self.at > now {
                return None;
            }
            let again = self.wanted.pop_first();
            let seq = again.unwrap_or(self.unsent);
            let recent = rtt.saturating_sub(variance.saturating_mul(4));
            let kept = self.kept(seq)?;
            // What was sent again just now may be on its way.
            if again.is_some() && kept.sent.is_some_and(|sent| now.saturating_sub(sent) < recent) {
                continue;
            }
            kept.sent = Some(now);
            let datagram = kept.datagram.clone();
            self.at = self.at.max(now.saturating_sub(BURST)).saturating_add(self.step());
            self.last = now;
            let size = u64::try_from(datagram.len().saturating_sub(HEADER)).unwrap_or(0);
            if again.is_some() {
                stats.sent_again = stats.sent_again.saturating_add(1);
                return Some(marked(&datagram));
            }
            self.unsent = self.unsent.saturating_add(1);
            stats.sent = stats.sent.saturating_add(1);
            stats.sent_bytes = stats.sent_bytes.saturating_add(size);
            return Some(datagram);
        }
    }

    fn tail_period(&self, (rtt, variance): (Micros, Micros)) -> Micros {
        rtt.saturating_add(variance.saturating_mul(4)).saturating_add(TAIL)
    }

    /// Nobody misses the last packet before another one comes: without word of it, it is sent again.
    fn tail(&mut self, now: Micros, patience: (Micros, Micros), stats: &mut Stats) -> Option<Bytes> {
        if self.unsent == self.first
            || self.tails >= TAILS
            || now < self.last.saturating_add(self.tail_period(patience))
        {
            return None;
        }
        let kept = self.kept(self.unsent.saturating_sub(1))?;
        kept.sent = Some(now);
        let datagram = marked(&kept.datagram);
        self.last = now;
        self.tails = self.tails.saturating_add(1);
        stats.sent_again = stats.sent_again.saturating_add(1);
        Some(datagram)
    }

    /// Whether all that was given has come, or been given up.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn deadline(&self, patience: (Micros, Micros)) -> Option<Micros> {
        if self.is_waiting() {
            return Some(self.at);
        }
        let kept = self.latency.max(KEPT).saturating_add(BEYOND);
        let late = self.kept.front().map(|first| first.given.saturating_add(kept).saturating_add(1));
        let tail = (self.unsent > self.first && self.tails < TAILS)
            .then(|| self.last.saturating_add(self.tail_period(patience)));
        [late, tail].into_iter().flatten().min()
    }
}

/// The same, with the flag of packets that are sent again.
fn marked(datagram: &[u8]) -> Bytes {
    let mut out = BytesMut::from(datagram);
    if let Some(byte) = out.get_mut(4) {
        *byte |= 0x04;
    }
    out.freeze()
}
