//! Which frames are key frames, in exact arithmetic.

use std::time::Duration;

use sv_core::{TimeBase, Timestamp};

use super::{Grid, Video};

/// Cuts that lie behind the last frame and are remembered.
const MOST_PASSED: usize = 64;

/// Says for each frame in order whether it is to be a key frame.
pub(super) struct Keys {
    grid: Grid,
    cuts: Vec<Duration>,
    between: Option<Duration>,
    base: TimeBase,
    /// How many cuts lie before the last frame, its cell of the grid, and the part of the cell.
    last: Option<(usize, i128, i128)>,
}

impl Keys {
    pub(super) fn new(config: &Video, base: TimeBase) -> Self {
        Self { grid: config.grid, cuts: config.cuts.clone(), between: config.key_interval, base, last: None }
    }

    pub(super) fn is_key(&mut self, pts: Timestamp) -> bool {
        let at = self.place(pts);
        let key = self.last.is_none_or(|last| at > last);
        if key {
            self.last = Some(at);
        }
        key
    }

    /// A key frame is due at that moment too, and lines are counted from it.
    pub(super) fn cut(&mut self, at: Duration) {
        let place = self.cuts.partition_point(|cut| *cut < at);
        if self.cuts.get(place) != Some(&at) {
            self.cuts.insert(place, at);
            // Whoever is in front of one of those is as far as it will ever count.
            let passed = self.last.map_or(0, |(passed, ..)| passed);
            if let (Some((now, ..)), true) = (&mut self.last, passed > MOST_PASSED) {
                self.cuts.drain(..passed - 1);
                *now = 1;
            }
        }
    }

    fn place(&self, pts: Timestamp) -> (usize, i128, i128) {
        // Everything over (nanoseconds * denominator), so that nothing is rounded: 64 bits of
        // ticks, 32 of numerator and 30 of nanoseconds fit 128.
        let den = i128::from(self.base.den());
        let ticks = i128::from(pts.ticks()) - i128::from(self.grid.origin.ticks());
        let at = ticks * i128::from(self.base.num()) * 1_000_000_000;
        let cells = |length: Duration, at: i128| -> Option<(i128, i128)> {
            let cell = i128::try_from(length.as_nanos()).ok()?.checked_mul(den).filter(|c| *c > 0)?;
            Some((at.div_euclid(cell), at.rem_euclid(cell)))
        };
        let scaled = |cut: &Duration| i128::try_from(cut.as_nanos()).unwrap_or(i128::MAX).saturating_mul(den);
        let passed = self.cuts.partition_point(|cut| scaled(cut) <= at);
        let at = at - passed.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, scaled);
        let Some((cell, rest)) = cells(self.grid.interval, at) else { return (passed, 0, 0) };
        let part = self.between.and_then(|length| cells(length, rest)).map_or(0, |(part, _)| part);
        (passed, cell, part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sv_core::Codec;

    const FOREVER: Duration = Duration::from_secs(1 << 32);

    fn keys(config: &Video, base: TimeBase, times: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut keys = Keys::new(config, base);
        times.filter(|&t| keys.is_key(Timestamp::new(t))).collect()
    }

    #[test]
    fn the_first_frame_behind_each_line_is_key() {
        let mut config = Video::new(Codec::H264);
        let ntsc = TimeBase::new(1001, 30000).unwrap();
        // Four seconds are 119.88 frames, eight are 239.76.
        assert_eq!(keys(&config, ntsc, 0..300), [0, 120, 240]);
        // A variable rate: nothing between 3.9 s and 9 s, so the line at 8 s has its frame late.
        let times = [0, 3900, 9000, 9100, 12000];
        assert_eq!(keys(&config, TimeBase::MILLIS, times.into_iter()), [0, 9000, 12000]);
        config.key_interval = Some(Duration::from_secs(2));
        assert_eq!(keys(&config, TimeBase::MILLIS, (0..9000).step_by(500)), [0, 2000, 4000, 6000, 8000]);
        config.cuts = vec![Duration::from_millis(5000)];
        let wanted = [0, 2000, 4000, 5000, 7000, 9000, 11_000];
        assert_eq!(keys(&config, TimeBase::MILLIS, (0..12_000).step_by(500)), wanted);
        config.cuts.clear();
        config.key_interval = None;
        let mut told = Keys::new(&Video { grid: Grid::every(FOREVER), ..config.clone() }, ntsc);
        let mut at = Vec::new();
        for t in 0..30_000 {
            // Told before its picture comes, with others between.
            if t % 75 == 0 {
                let soon = Timestamp::new(t + 7).rescale(ntsc, TimeBase::NANOS).ticks();
                // Rounded, it may lie a little behind its picture.
                told.cut(Duration::from_nanos(soon.unsigned_abs() - 1000));
            }
            if told.is_key(Timestamp::new(t)) {
                at.push(t);
            }
        }
        let wanted: Vec<i64> = std::iter::once(0).chain((7..30_000).step_by(75)).collect();
        assert_eq!(at, wanted);
        assert!(told.cuts.len() <= MOST_PASSED + 2, "{}", told.cuts.len());
        config.key_interval = Some(Duration::from_secs(2));
        config.grid.origin = Timestamp::new(1400);
        assert_eq!(keys(&config, TimeBase::MILLIS, (1400..6000).step_by(100)), [1400, 3400, 5400]);
    }
}
