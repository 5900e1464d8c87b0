//! One timeline for streams of RTP, each of which has a clock of its own.

use std::time::Duration;

/// How far apart the first reports may find two streams, and later ones, in ticks of 90 kHz: 10 ms, and 80 ms.
const FIRST: i64 = 900;
const LATER: i64 = 7200;

/// Puts streams on one timeline of 90 kHz.
///
/// A stream begins where its first packet comes in. When reports have told what time of the sender's wall clock a stream's
/// clock stands for, for this stream and for another, the one that is early is moved: time never goes back. Reports
/// of careless senders are up to a packet off, so later ones must find more, twice, before anything is moved again.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    rate: u32,
    /// What is added to its clock, in ticks of 90 kHz.
    offset: Option<i64>,
    /// By how much the sender's wall clock is ahead of the timeline, as its last report had it.
    ahead: Option<i64>,
    /// Whether it has been brought in line once.
    settled: bool,
    /// How many reports found it early, one after the other, and of which stream they were.
    early: (u32, usize),
}

/// A stream of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(usize);

fn ticks(time: Duration) -> i64 {
    i64::try_from(time.as_micros().saturating_mul(9).wrapping_div(100)).unwrap_or(i64::MAX)
}

impl Stream {
    fn ticks(&self, clock: i64) -> i64 {
        let all = i128::from(clock).saturating_mul(90_000);
        i64::try_from(all.checked_div(i128::from(self.rate)).unwrap_or(0)).unwrap_or(i64::MAX)
    }
}

impl Timeline {
    /// Adds a stream whose clock runs at `rate` Hz.
    pub(crate) fn add(&mut self, rate: u32) -> StreamId {
        self.streams.push(Stream {
            rate: rate.max(1),
            offset: None,
            ahead: None,
            settled: false,
            early: (0, 0),
        });
        StreamId(self.streams.len().saturating_sub(1))
    }

    /// When a packet is, of that time of its stream's clock, that came in so long after the beginning.
    pub(crate) fn at(&mut self, stream: StreamId, clock: i64, came: Duration) -> i64 {
        let Some(stream) = self.streams.get_mut(stream.0) else { return ticks(came) };
        let own = stream.ticks(clock);
        own.saturating_add(*stream.offset.get_or_insert(ticks(came).saturating_sub(own)))
    }

    /// A report says what time of a wall clock a stream's clock stands for.
    pub(crate) fn report(&mut self, id: StreamId, clock: i64, wall: Duration) {
        let Some(stream) = self.streams.get_mut(id.0) else { return };
        let Some(offset) = stream.offset else { return };
        let ahead = ticks(wall).saturating_sub(stream.ticks(clock).saturating_add(offset));
        stream.ahead = Some(ahead);
        let known = || self.streams.iter().filter_map(|stream| stream.ahead);
        let Some(least) = known().min().filter(|_| known().count() > 1) else { return };
        for stream in &mut self.streams {
            let Some(ahead) = &mut stream.ahead else { continue };
            // The wall clock is further ahead of what stands too early on the timeline.
            let behind = ahead.saturating_sub(least);
            let (limit, times) = if stream.settled { (LATER, 2) } else { (FIRST, 1) };
            stream.early = match stream.early {
                _ if behind <= limit => (0, id.0),
                // What another stream said counts once.
                (count, by) if count == 0 || by == id.0 => (count.saturating_add(1), id.0),
                same => same,
            };
            if stream.early.0 >= times {
                (*ahead, stream.early) = (least, (0, id.0));
                stream.offset = stream.offset.map(|offset| offset.saturating_add(behind));
            }
            stream.settled = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn sound_and_pictures_meet_by_reports_and_never_go_back() {
        let mut timeline = Timeline::default();
        let (picture, sound) = (timeline.add(90_000), timeline.add(48_000));
        // Both are of the same moment, but the picture's packets took 100 ms longer to come.
        assert_eq!(timeline.at(sound, 480_000, ms(0)), 0);
        assert_eq!(timeline.at(picture, 9_000_000, ms(100)), 9000);
        timeline.report(sound, 480_000, ms(5_000));
        timeline.report(picture, 9_000_000, ms(5_000));
        // 20 ms later by either clock.
        assert_eq!(timeline.at(sound, 480_960, ms(20)), 9000 + 1800);
        assert_eq!(timeline.at(picture, 9_001_800, ms(120)), 9000 + 1800);
        // One report that is off by half a second moves nothing, a second one does.
        timeline.report(picture, 9_001_800, ms(5_520));
        assert_eq!(timeline.at(picture, 9_001_800, ms(120)), 9000 + 1800);
        timeline.report(picture, 9_001_800, ms(5_520));
        assert_eq!(timeline.at(picture, 9_001_800, ms(120)), 9000 + 1800 + 45_000);
    }

    #[test]
    fn one_stream_alone_is_left_where_it_is() {
        let mut timeline = Timeline::default();
        let stream = timeline.add(90_000);
        assert_eq!(timeline.at(stream, 90_000, ms(10)), 900);
        timeline.report(stream, 90_000, ms(700_000));
        assert_eq!(timeline.at(stream, 180_000, ms(10)), 90_900);
    }
}
