//! Packets of RTP and RTCP ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550)), and their order.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf as _, Bytes};

/// Packets that wait for one that is missing, at most, and how long.
const MOST_WAITING: usize = 256;
const PATIENCE: Duration = Duration::from_millis(200);

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) kind: u8,
    pub(super) marker: bool,
    pub(super) sequence: u16,
    pub(super) time: u32,
    pub(super) payload: Bytes,
}

impl Packet {
    /// Reads a packet; nothing where it is none.
    pub(super) fn parse(mut data: Bytes) -> Option<Self> {
        let [first, second, s1, s0, t3, t2, t1, t0, ..] = *data.first_chunk::<12>()?;
        if first >> 6 != 2 {
            return None;
        }
        data.advance(12);
        let sources = usize::from(first & 0x0F).checked_mul(4)?;
        (data.len() >= sources).then(|| data.advance(sources))?;
        if first & 0x10 != 0 {
            let [_, _, high, low] = *data.first_chunk::<4>()?;
            let words = usize::from(u16::from_be_bytes([high, low])).checked_add(1)?.checked_mul(4)?;
            (data.len() >= words).then(|| data.advance(words))?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(*data.last()?);
            data.truncate(data.len().checked_sub(padding)?);
        }
        let (sequence, time) = (u16::from_be_bytes([s1, s0]), u32::from_be_bytes([t3, t2, t1, t0]));
        Some(Self { kind: second & 0x7F, marker: second & 0x80 != 0, sequence, time, payload: data })
    }
}

/// The sender's report in a packet of RTCP: what time of a wall clock, counted from 1900, a time of RTP stands for.
pub(super) fn report(mut data: &[u8]) -> Option<(Duration, u32)> {
    while let Some([first, kind, high, low]) = data.first_chunk::<4>().copied() {
        let len = usize::from(u16::from_be_bytes([high, low])).checked_add(1)?.checked_mul(4)?;
        let (one, rest) = data.split_at_checked(len)?;
        if first >> 6 == 2 && kind == 200 {
            let word = |at: usize| Some(u32::from_be_bytes(*one.get(at..)?.first_chunk::<4>()?));
            let (seconds, fraction, time) = (word(8)?, word(12)?, word(16)?);
            let nanos = u64::from(fraction).checked_mul(1_000_000_000)? >> 32;
            return Some((
                Duration::from_secs(seconds.into()).checked_add(Duration::from_nanos(nanos))?,
                time,
            ));
        }
        data = rest;
    }
    None
}

/// A number that begins anew behind its largest, made one that doesn't.
#[derive(Debug, Default)]
pub(super) struct Unwrap {
    last: Option<i64>,
}

impl Unwrap {
    /// The value nearest to the last one that ends in `value`, of `bits` bits.
    pub(super) fn next(&mut self, value: u32, bits: u32) -> i64 {
        let turn = 1i64.checked_shl(bits).unwrap_or(i64::MAX);
        let value = i64::from(value);
        let last = self.last.unwrap_or(value);
        let back = last.wrapping_sub(value).rem_euclid(turn);
        let near = last.saturating_sub(back);
        let half = turn.wrapping_div(2);
        let near = if back > half { near.saturating_add(turn) } else { near };
        self.last = Some(near);
        near
    }
}

/// Puts packets in their order. What is missing is waited for a little.
#[derive(Debug, Default)]
pub(super) struct Order {
    number: Unwrap,
    next: Option<i64>,
    waiting: BTreeMap<i64, (Duration, Packet)>,
    /// Packets whose turn it was, and those that never came.
    given: u64,
    lost: u64,
}

impl Order {
    /// Takes a packet, and gives those whose turn it is, each with whether nothing is missing before it.
    pub(super) fn push(&mut self, packet: Packet, now: Duration, give: &mut dyn FnMut(Packet, bool)) {
        let number = self.number.next(packet.sequence.into(), 16);
        if self.next.is_none_or(|next| number >= next) {
            self.waiting.insert(number, (now, packet));
        }
        self.release(now, give);
    }

    /// How many came and how many were lost since this was asked last.
    pub(super) fn count(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.given), std::mem::take(&mut self.lost))
    }

    /// Gives what has waited for too long.
    pub(super) fn release(&mut self, now: Duration, give: &mut dyn FnMut(Packet, bool)) {
        while let Some(entry) = self.waiting.first_entry() {
            let whole = self.next.is_none_or(|next| *entry.key() == next);
            let late = now.saturating_sub(entry.get().0) >= PATIENCE;
            if !whole && !late && self.waiting.len() <= MOST_WAITING {
                return;
            }
            let Some((number, (_, packet))) = self.waiting.pop_first() else { return };
            let missing = self.next.map_or(0, |next| number.saturating_sub(next));
            self.lost = self.lost.saturating_add(u64::try_from(missing).unwrap_or(0));
            self.given = self.given.saturating_add(1);
            self.next = Some(number.saturating_add(1));
            give(packet, whole);
        }
    }
}

/// How unevenly packets arrive (RFC 3550, 6.4.1), in ticks of their clock.
#[derive(Debug, Default)]
pub(super) struct Jitter {
    /// By how much the last one was later than its time.
    last: Option<f64>,
    value: f64,
}

impl Jitter {
    /// A packet of that time came at that moment.
    pub(super) fn see(&mut self, time: i64, rate: u32, now: Duration) {
        // Precise for as long as 2^53 ticks.
        let time = i32::try_from(time & 0x7FFF_FFFF).map_or(0.0, f64::from);
        let transit = now.as_secs_f64().mul_add(f64::from(rate), -time);
        if let Some(last) = self.last.replace(transit) {
            let difference = (transit - last).abs();
            // A clock that jumps, or begins anew, is no jitter.
            if difference < f64::from(rate) {
                self.value += (difference - self.value) / 16.0;
            }
        }
    }

    pub(super) fn value(&self, rate: u32) -> Duration {
        Duration::try_from_secs_f64(self.value / f64::from(rate.max(1))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16) -> Packet {
        Packet { kind: 96, marker: false, sequence, time: 0, payload: Bytes::new() }
    }

    #[test]
    fn numbers_go_on_behind_their_largest() {
        let mut unwrap = Unwrap::default();
        let got: Vec<i64> = [65_534, 65_535, 0, 65_533, 1].map(|n| unwrap.next(n, 16)).into();
        assert_eq!(got, [65_534, 65_535, 65_536, 65_533, 65_537]);
    }

    #[test]
    fn packets_come_in_their_order_and_what_is_missing_is_not_waited_for_long() {
        let (mut order, mut got) = (Order::default(), Vec::new());
        let ms = Duration::from_millis;
        for (sequence, at) in [(65_534, 0), (0, 1), (65_535, 2), (2, 3), (65_534, 4)] {
            order.push(packet(sequence), ms(at), &mut |p, whole| got.push((p.sequence, whole)));
        }
        assert_eq!(got, [(65_534, true), (65_535, true), (0, true)]);
        order.release(ms(203), &mut |p, whole| got.push((p.sequence, whole)));
        assert_eq!(got.last(), Some(&(2, false)));
        assert_eq!(order.count(), (4, 1));
        assert_eq!(order.count(), (0, 0));
    }

    #[test]
    fn packets_that_arrive_unevenly() {
        let (mut even, mut uneven) = (Jitter::default(), Jitter::default());
        for n in 0..400 {
            let at = Duration::from_millis(20 * n + 1000);
            even.see(i64::try_from(n * 960).unwrap(), 48_000, at);
            uneven.see(i64::try_from(n * 960).unwrap(), 48_000, at + Duration::from_millis(8 * (n % 2)));
        }
        assert!(even.value(48_000) < Duration::from_micros(50), "{even:?}");
        let wrong = uneven.value(48_000).as_secs_f64() - 0.008;
        assert!(wrong.abs() < 0.000_1, "{uneven:?}");
    }

    #[test]
    fn a_packet_with_everything() {
        let head = [0xB1, 0xE0, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0xBE, 0xDE, 0, 1, 9, 9, 9, 9];
        let data = [&head[..], b"body", &[0, 0, 3]].concat();
        let packet = Packet::parse(data.into()).unwrap();
        assert_eq!((packet.kind, packet.marker, packet.sequence, packet.time), (96, true, 7, 9));
        assert_eq!(&packet.payload[..], b"body");
        assert!(Packet::parse(Bytes::from_static(&[0x80; 11])).is_none());
    }

    #[test]
    fn a_report_among_others() {
        let receiver = [0x80, 201, 0, 1, 0, 0, 0, 1];
        let mut sender = vec![0x80, 200, 0, 6, 0, 0, 0, 1];
        sender.extend([0, 0, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 1, 0, 0, 0, 1]);
        let got = report(&[&receiver[..], &sender].concat());
        assert_eq!(got, Some((Duration::from_millis(10_500), 99)));
        assert_eq!(report(&[0x80, 200, 0, 9, 1]), None);
    }
}
