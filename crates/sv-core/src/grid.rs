//! Where segments may be cut.

use crate::{Duration, TimeBase, Timestamp};

/// Most cuts that are kept: whoever sends more of them isn't telling where anything is.
const MOST: usize = 4096;

/// Longer than any frame of sound.
const FRAME: std::time::Duration = std::time::Duration::from_millis(100);

/// A presentation's common grid: a segment ends before the first key packet that lies in a later cell than the
/// segment's first packet. Whoever cuts and whoever has to know beforehand where a cut will be ask the same grid.
///
/// Cells are of one length, counted from the presentation's beginning. A [`cut`](Self::cut) ends a cell early, and the
/// cells behind it are counted from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    target_ns: i128,
    /// Where the cells before the first cut are counted from, and how many lie before that.
    origin: (i128, i128),
    /// In nanoseconds, ascending.
    cuts: Vec<i128>,
}

impl Grid {
    /// Cells of this length, the first beginning with the presentation.
    #[must_use]
    pub fn new(target: std::time::Duration) -> Self {
        let target_ns = i128::try_from(target.as_nanos().max(1)).unwrap_or(i128::MAX);
        Self { target_ns, origin: (0, 0), cuts: Vec::new() }
    }

    /// Ends a cell at `at`. The numbers of the cells behind it change by it. The latest of more than four thousand is lost.
    pub fn cut(&mut self, at: std::time::Duration) {
        let at = i128::try_from(at.as_nanos()).unwrap_or(i128::MAX);
        let place = self.cuts.partition_point(|cut| *cut < at);
        if at > self.origin.0 && self.cuts.get(place) != Some(&at) {
            self.cuts.insert(place, at);
            self.cuts.truncate(MOST);
        }
    }

    /// Forgets cuts that nobody before whom `at` lies can need any more; every cell behind `at` keeps its number.
    pub fn forget(&mut self, at: std::time::Duration) {
        let at = i128::try_from(at.as_nanos()).unwrap_or(i128::MAX);
        let old = self.cuts.iter().take_while(|cut| **cut <= at).count();
        if let Some(newest) = old.checked_sub(1).and_then(|n| self.cuts.get(n)).copied() {
            self.origin = (newest, self.before(old));
            self.cuts.drain(..old);
        }
    }

    /// Which cell a moment lies in.
    #[must_use]
    pub fn cell(&self, at: Timestamp, base: TimeBase) -> i128 {
        let den = i128::from(base.den());
        let at = scaled(at, base);
        let cut = self.cuts.partition_point(|cut| cut.saturating_mul(den) <= at);
        self.number(cut, at, den)
    }

    /// Which cell a packet belongs to that is shown at `pts` for so long: that of its first moment, but behind a cut if
    /// no more than half of it lies before the cut. (A cut is seldom where a frame of sound begins, and clocks round.)
    #[must_use]
    pub fn cell_of(&self, pts: Timestamp, duration: Duration, base: TimeBase) -> i128 {
        let den = i128::from(base.den());
        let at = scaled(pts, base);
        let half = duration.ticks().checked_div(2).unwrap_or(0);
        let middle = scaled(pts.offset(i64::try_from(half).unwrap_or(0)), base);
        let cut = self.cuts.partition_point(|cut| cut.saturating_mul(den) <= middle);
        self.number(cut, at, den)
    }

    /// The cell of `at`, or the first one behind `cut` cuts if `at` lies before the last of them.
    fn number(&self, cut: usize, at: i128, den: i128) -> i128 {
        let since = at.saturating_sub(self.start_of(cut).saturating_mul(den));
        let cell = den.saturating_mul(self.target_ns);
        // What an encoder's delay puts before the origin belongs to the first cell.
        let within = since.checked_div_euclid(cell).unwrap_or(0).max(0);
        self.before(cut).saturating_add(within)
    }

    /// Where the cells behind so many cuts are counted from.
    fn start_of(&self, cut: usize) -> i128 {
        cut.checked_sub(1).and_then(|n| self.cuts.get(n)).copied().unwrap_or(self.origin.0)
    }

    /// How many cells there are before so many cuts have been passed.
    fn before(&self, cut: usize) -> i128 {
        let each = |n: usize| {
            let end = self.cuts.get(n).copied().unwrap_or(self.origin.0);
            let length = end.saturating_sub(self.start_of(n));
            length.saturating_add(self.target_ns.saturating_sub(1)).checked_div(self.target_ns).unwrap_or(0)
        };
        (0..cut).map(each).fold(self.origin.1, i128::saturating_add)
    }

    /// Where cells were ended, ascending, as far as they aren't forgotten; of those that are, the last.
    #[must_use]
    pub fn cuts(&self) -> Vec<std::time::Duration> {
        let all = std::iter::once(self.origin.0).chain(self.cuts.iter().copied()).filter(|at| *at > 0);
        all.map(|at| std::time::Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX))).collect()
    }

    /// Where a segment will probably end that begins at `at`, in nanoseconds: at the next line of the grid, or the one
    /// behind if that is so near that the key frame for it was the one at `at`.
    #[must_use]
    pub fn end_of(&self, at: Timestamp, base: TimeBase) -> i128 {
        // A frame of sound begins a little before the cut that it is behind.
        let frame = Duration::from_std(FRAME, base);
        let cell = self.cell_of(at, frame, base);
        let end = self.start(cell.saturating_add(1));
        let begin = scaled(at, base).checked_div(i128::from(base.den())).unwrap_or(0);
        let near = end.saturating_sub(begin).saturating_mul(4) < self.target_ns;
        if near && self.cuts.binary_search(&end).is_err() { self.start(cell.saturating_add(2)) } else { end }
    }

    /// When a cell begins, in nanoseconds.
    #[must_use]
    pub fn start(&self, cell: i128) -> i128 {
        let cut = (0..=self.cuts.len()).rev().find(|cut| self.before(*cut) <= cell).unwrap_or(0);
        let within = cell.saturating_sub(self.before(cut));
        self.start_of(cut).saturating_add(within.saturating_mul(self.target_ns))
    }
}

/// Nanoseconds times the denominator of the time base, so that nothing is rounded.
fn scaled(at: Timestamp, base: TimeBase) -> i128 {
    i128::from(at.ticks()).saturating_mul(1_000_000_000).saturating_mul(i128::from(base.num()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration as Length;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_are_counted_from_the_last_cut() {
        let mut grid = Grid::new(Length::from_secs(4));
        grid.cut(Length::from_millis(9500));
        let cell = |ms| grid.cell(Timestamp::new(ms), TimeBase::MILLIS);
        assert_eq!([-5, 0, 3999, 4000, 8000, 9499].map(cell), [0, 0, 0, 1, 2, 2]);
        assert_eq!([9500, 12_000, 13_499, 13_500].map(cell), [3, 3, 3, 4]);
        let starts = [0, 1, 2, 3, 4].map(|n| grid.start(n) / 1_000_000);
        assert_eq!(starts, [0, 4000, 8000, 9500, 13_500]);
    }

    #[test]
    fn a_frame_goes_where_most_of_it_is() {
        let mut grid = Grid::new(Length::from_secs(1));
        grid.cut(Length::from_millis(2002));
        let rate = TimeBase::new(1, 44_100).unwrap();
        // shaka-packager's golden cases cut there: 1.997 s, of 23 ms.
        let cells =
            [87_040, 88_064, 89_088].map(|pts| grid.cell_of(Timestamp::new(pts), Duration::new(1024), rate));
        assert_eq!(cells, [1, 3, 3]);
        let cells = [1990, 2001, 2002]
            .map(|pts| grid.cell_of(Timestamp::new(pts), Duration::new(20), TimeBase::MILLIS));
        assert_eq!(cells, [1, 3, 3]);
    }

    #[test]
    fn ends_are_foreseen() {
        let mut grid = Grid::new(Length::from_secs(2));
        let end = |grid: &Grid, ms| grid.end_of(Timestamp::new(ms), TimeBase::MILLIS) / 1_000_000;
        assert_eq!([0, 1900, 2010].map(|at| end(&grid, at)), [2000, 4000, 4000]);
        grid.cut(Length::from_millis(4130));
        // Sound begins 12 ms before a cut, and its segment goes on from there.
        assert_eq!([2010, 4000, 4118, 4130].map(|at| end(&grid, at)), [4000, 4130, 6130, 6130]);
    }

    proptest! {
        #[test]
        fn every_cell_begins_in_itself(
            target in 100u64..10_000,
            cuts in prop::collection::vec(1u64..100_000, 0..6),
            at in 0i64..120_000,
            forgotten in 0u64..100_000,
        ) {
            let mut grid = Grid::new(Length::from_millis(target));
            cuts.iter().for_each(|cut| grid.cut(Length::from_millis(*cut)));
            let cell = grid.cell(Timestamp::new(at), TimeBase::MILLIS);
            let start = grid.start(cell);
            prop_assert!(start <= i128::from(at) * 1_000_000 && grid.start(cell + 1) > i128::from(at) * 1_000_000);
            prop_assert_eq!(grid.cell(Timestamp::new(i64::try_from(start / 1_000_000).unwrap()), TimeBase::MILLIS), cell);
            grid.forget(Length::from_millis(forgotten));
            if at >= i64::try_from(forgotten).unwrap() {
                prop_assert_eq!(grid.cell(Timestamp::new(at), TimeBase::MILLIS), cell);
            }
        }
    }
}
