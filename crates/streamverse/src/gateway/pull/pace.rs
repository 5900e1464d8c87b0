//! When packets are due that come in lumps.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sv_core::{Item, TimeBase, Timestamp, TrackId};

/// What is further from what was expected than this is another clock, in nanoseconds.
const JUMP: i64 = 10_000_000_000;

/// Gives a moment to each packet, so that what comes in lumps goes on as it was made. Clones of several threads share it.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A moment, and the time in nanoseconds that is due then.
    anchor: Option<(Instant, i64)>,
    bases: BTreeMap<TrackId, TimeBase>,
}

impl Pace {
    /// How long to wait with an item. What comes first is held for `hold`, and all that follows keeps its distance; who is too late
    /// for that moves everything behind it.
    pub(super) fn wait(&self, now: Instant, item: &Item, hold: Duration) -> Duration {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let packet = match item {
            Item::Track(track) => {
                state.bases.insert(track.id, track.time_base);
                return Duration::ZERO;
            }
            Item::Packet(packet) => packet,
            _ => return Duration::ZERO,
        };
        let base = state.bases.get(&packet.track).copied().unwrap_or(TimeBase::NANOS);
        let nanos = Timestamp::rescale(packet.dts, base, TimeBase::NANOS).ticks();
        let due = state.anchor.and_then(|(at, zero)| {
            let ahead = nanos.checked_sub(zero)?;
            let nanos = |length: Duration| i64::try_from(length.as_nanos()).ok();
            // The moment may be to come.
            let passed = nanos(now.saturating_duration_since(at))?;
            let to_come = nanos(at.saturating_duration_since(now))?;
            let left = ahead.saturating_sub(passed).saturating_add(to_come);
            // Late by less than what is held is made up for by what comes next.
            let late = i64::try_from(hold.as_nanos()).unwrap_or(JUMP).max(100_000_000);
            (left.saturating_abs() < JUMP && left > -late).then_some(left)
        });
        match due {
            Some(left) => Duration::from_nanos(left.max(0).unsigned_abs()),
            None => {
                state.anchor = now.checked_add(hold).map(|at| (at, nanos));
                hold
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sv_core::{Bytes, Packet};

    fn packet(millis: i64) -> Item {
        let time = Timestamp::new(millis * 1_000_000);
        Item::Packet(Packet {
            track: TrackId(1),
            pts: time,
            dts: time,
            duration: sv_core::Duration::new(1),
            key: true,
            data: Bytes::new(),
            protection: None,
        })
    }

    #[test]
    fn lumps_become_a_stream_again() {
        let (pace, start) = (Pace::default(), Instant::now());
        let hold = Duration::from_secs(4);
        let wait = |at: u64, time: i64| {
            pace.wait(start + Duration::from_millis(at), &packet(time), hold).as_millis()
        };
        // A lump of two seconds at once, and the next one when the first is half through.
        assert_eq!((wait(0, 90_000), wait(0, 91_000), wait(0, 91_960)), (4000, 5000, 5960));
        assert_eq!((wait(5000, 92_000), wait(5000, 93_000)), (1000, 2000));
        // Late, but not by more than is held.
        assert_eq!(wait(9500, 95_000), 0);
        assert_eq!(wait(9500, 96_000), 500);
        // Another clock begins anew, and so does what is later than all that is held.
        assert_eq!(wait(10_000, 5), 4000);
        assert_eq!(wait(30_000, 6005), 4000);
    }
}
