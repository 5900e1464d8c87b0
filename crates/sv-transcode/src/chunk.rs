//! Where to cut a film into chunks that are encoded apart.
//!
//! Chunks begin on lines of the segment grid, so that their segments are those of a film that is
//! encoded in one go. Among the lines near the wanted length, the one right behind a scene's
//! beginning is the best place: what is before it tells an encoder nothing about what is behind.

use std::time::Duration;

use sv_core::{Grid, TimeBase, Timestamp};

/// A source's key frame is taken for a cut when it stands nearer to the last one than this part of
/// the usual distance: encoders put them at a regular distance, and out of turn at cuts.
const OUT_OF_TURN: f64 = 0.9;

/// The beginnings of the chunks of a film of `length`, the first one zero: lines of `grid`, whose cells are `segment` long
/// at most, about `target` apart, and never nearer than two thirds of it.
///
/// `cuts` are the beginnings of scenes, in order, as far as anybody knows ([`scenes`]).
#[must_use]
pub fn plan(
    length: Duration,
    grid: &Grid,
    segment: Duration,
    target: Duration,
    cuts: &[Duration],
) -> Vec<Duration> {
    let time = |line: i128| Duration::from_nanos(u64::try_from(grid.start(line).max(0)).unwrap_or(u64::MAX));
    // The first line at or behind a moment.
    let line = |at: Duration| {
        let ns = Timestamp::new(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX));
        let cell = grid.cell(ns, TimeBase::NANOS);
        if time(cell) < at { cell + 1 } else { cell }
    };
    let mut starts = vec![Duration::ZERO];
    let mut last = Duration::ZERO;
    // What is left is not worth a chunk of its own unless it is two thirds of one.
    while length.saturating_sub(last) > target * 5 / 3 {
        let (from, to) = (line(last + target * 2 / 3).max(line(last) + 1), line(last + target * 4 / 3));
        let usual = line(last + target);
        let best = (from..=to.max(from)).filter(|&n| time(n) < length).min_by_key(|&n| {
            let at = time(n);
            let before = cuts.partition_point(|c| *c <= at);
            let behind = before.checked_sub(1).and_then(|i| cuts.get(i)).map(|cut| at - *cut);
            // The part of a segment that still belongs to the scene before, in tenths; without a
            // cut in that segment one place is as good as another.
            let rest =
                behind.filter(|b| *b < segment).map_or(10, |b| b.as_nanos() * 10 / segment.as_nanos().max(1));
            (rest, n.abs_diff(usual))
        });
        let Some(best) = best else { break };
        last = time(best);
        starts.push(last);
    }
    starts
}

/// Those of a source's key frames that stand where a scene begins, as far as their places tell.
#[must_use]
pub fn scenes(keys: &[Duration]) -> Vec<Duration> {
    let gaps: Vec<Duration> = keys.windows(2).map(|w| w[1].saturating_sub(w[0])).collect();
    let mut sorted = gaps.clone();
    sorted.sort_unstable();
    // The usual distance is the one that nearly all keep to: a few long ones may be holes.
    let Some(usual) = sorted.get(sorted.len() * 9 / 10).copied() else { return Vec::new() };
    let behind = keys.iter().skip(1).zip(&gaps);
    behind
        .filter(|(_, gap)| gap.as_secs_f64() < usual.as_secs_f64() * OUT_OF_TURN)
        .map(|(at, _)| *at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(length: Duration, segment: Duration, target: Duration, cuts: &[Duration]) -> Vec<Duration> {
        super::plan(length, &Grid::new(segment), segment, target, cuts)
    }

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn chunks_begin_on_lines_and_behind_cuts() {
        let plain = plan(s(100.0), s(4.0), s(30.0), &[]);
        assert_eq!(plain, [0.0, 32.0, 64.0].map(s));
        // 24 s follows a cut by a tenth of a second, 28 s by three seconds.
        let cut = plan(s(70.0), s(4.0), s(30.0), &[s(23.9), s(25.0), s(45.0)]);
        assert_eq!(cut, [0.0, 24.0].map(s));
        assert_eq!(plan(s(45.0), s(4.0), s(30.0), &[]), [s(0.0)]);
        assert_eq!(plan(s(0.0), s(4.0), s(30.0), &[]), [s(0.0)]);
        // A chunk is at least a segment.
        let long = plan(s(30.0), s(10.0), s(2.0), &[]);
        assert_eq!(long, [0.0, 10.0, 20.0].map(s));
        // The grid goes on from a cue: lines are 25, 29, 33 and so on.
        let mut grid = Grid::new(s(4.0));
        grid.cut(s(25.0));
        assert_eq!(super::plan(s(100.0), &grid, s(4.0), s(30.0), &[]), [0.0, 33.0, 65.0].map(s));
    }

    #[test]
    fn a_key_frame_out_of_turn_is_a_cut() {
        let keys = [0.0, 10.0, 20.0, 23.0, 33.0, 43.0, 45.5, 55.5, 65.5, 75.5, 85.5].map(s);
        assert_eq!(scenes(&keys), [23.0, 45.5].map(s));
        assert_eq!(scenes(&[s(0.0), s(2.0), s(4.0), s(6.0)]), []);
        assert_eq!(scenes(&[]), []);
    }
}
