//! Time as a type: ticks of a time base, never float seconds, never a bare integer.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// A positive fraction, kept in lowest terms by [`Ratio::new`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ratio {
    num: NonZeroU32,
    den: NonZeroU32,
}

impl Ratio {
    /// 1/1.
    pub const ONE: Self = Self { num: NonZeroU32::MIN, den: NonZeroU32::MIN };

    /// `num / den`, reduced; `None` when either is zero.
    #[must_use]
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = match a.checked_rem(b) {
                Some(r) => (b, r),
                None => return None,
            };
        }
        let (Some(n), Some(d)) = (num.checked_div(a), den.checked_div(a)) else {
            return None;
        };
        match (NonZeroU32::new(n), NonZeroU32::new(d)) {
            (Some(num), Some(den)) => Some(Self { num, den }),
            _ => None,
        }
    }

    /// The numerator.
    #[must_use]
    pub const fn num(self) -> u32 {
        self.num.get()
    }

    /// The denominator.
    #[must_use]
    pub const fn den(self) -> u32 {
        self.den.get()
    }

    /// `den / num`.
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self { num: self.den, den: self.num }
    }

    /// An approximation for display and estimates; never for timestamps.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.num()) / f64::from(self.den())
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = u64::from(self.num()).saturating_mul(u64::from(other.den()));
        let right = u64::from(other.num()).saturating_mul(u64::from(self.den()));
        left.cmp(&right)
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Seconds per tick. Unlike [`Ratio`] it is not reduced: a file's `2/50` stays what the file said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeBase {
    num: NonZeroU32,
    den: NonZeroU32,
}

impl TimeBase {
    /// One nanosecond per tick.
    pub const NANOS: Self = Self::per_second(NonZeroU32::new(1_000_000_000).unwrap());
    /// One millisecond per tick.
    pub const MILLIS: Self = Self::per_second(NonZeroU32::new(1_000).unwrap());
    /// MPEG's 90 kHz clock.
    pub const MPEG: Self = Self::per_second(NonZeroU32::new(90_000).unwrap());

    /// `num / den` seconds per tick; `None` when either is zero.
    #[must_use]
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        match (NonZeroU32::new(num), NonZeroU32::new(den)) {
            (Some(num), Some(den)) => Some(Self { num, den }),
            _ => None,
        }
    }

    /// `1 / rate` seconds per tick: what MP4 calls a timescale.
    #[must_use]
    pub const fn per_second(rate: NonZeroU32) -> Self {
        Self { num: NonZeroU32::MIN, den: rate }
    }

    /// The numerator, in seconds.
    #[must_use]
    pub const fn num(self) -> u32 {
        self.num.get()
    }

    /// The denominator: ticks in [`num`](Self::num) seconds.
    #[must_use]
    pub const fn den(self) -> u32 {
        self.den.get()
    }
}

impl fmt::Debug for TimeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} s", self.num, self.den)
    }
}

/// Multiplies by `from / to` and rounds to nearest, halves up; saturates at the ends of `i64`.
fn rescale(ticks: i64, from: TimeBase, to: TimeBase) -> i64 {
    if from == to {
        return ticks;
    }
    // i64 * u32 * u32 fits i128, so the products cannot saturate.
    let num = i128::from(ticks).saturating_mul(i128::from(from.num())).saturating_mul(i128::from(to.den()));
    let den = i128::from(from.den()).saturating_mul(i128::from(to.num()));
    let half = den.checked_div(2).unwrap_or(0);
    let value = num.saturating_add(half).checked_div_euclid(den).unwrap_or(0);
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// A moment on a track's timeline, in ticks of the track's [`TimeBase`]. May be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The origin of the timeline.
    pub const ZERO: Self = Self(0);

    /// From ticks.
    #[must_use]
    pub const fn new(ticks: i64) -> Self {
        Self(ticks)
    }

    /// In ticks.
    #[must_use]
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// The same moment in another time base, rounded to the nearest tick.
    #[must_use]
    pub fn rescale(self, from: TimeBase, to: TimeBase) -> Self {
        Self(rescale(self.0, from, to))
    }

    /// `self + duration`, stopping at the end of time.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(duration.0))
    }

    /// `self - duration`, stopping at the beginning of time.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(duration.0))
    }

    /// `self + duration`, or `None` past the end of time.
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add_unsigned(duration.0).map(Self)
    }

    /// How far `self` lies after `earlier`, or `None` if it lies before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        if self < earlier { None } else { Some(Duration(self.0.abs_diff(earlier.0))) }
    }

    /// `self` moved by a signed number of ticks, saturating.
    #[must_use]
    pub fn offset(self, ticks: i64) -> Self {
        Self(self.0.saturating_add(ticks))
    }

    /// An approximation for display; never for arithmetic on timelines.
    #[must_use]
    pub fn to_seconds(self, base: TimeBase) -> f64 {
        let ns = rescale(self.0, base, TimeBase::NANOS);
        // Display only: f64 holds 2^53 ns (104 days) exactly, and rounds beyond.
        #[allow(clippy::as_conversions)]
        let ns = ns as f64;
        ns / 1e9
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// A length of time, in ticks of the track's [`TimeBase`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From ticks.
    #[must_use]
    pub const fn new(ticks: u64) -> Self {
        Self(ticks)
    }

    /// In ticks.
    #[must_use]
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// The same length in another time base, rounded to the nearest tick.
    #[must_use]
    pub fn rescale(self, from: TimeBase, to: TimeBase) -> Self {
        let ticks = i64::try_from(self.0).unwrap_or(i64::MAX);
        Self(rescale(ticks, from, to).unsigned_abs())
    }

    /// `self + other`, stopping at the largest length.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self - other`, stopping at zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// From a wall-clock length, rounded to the nearest tick, saturating.
    #[must_use]
    pub fn from_std(length: std::time::Duration, base: TimeBase) -> Self {
        let ns = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
        Self(rescale(ns, TimeBase::NANOS, base).unsigned_abs())
    }

    /// As a wall-clock length, rounded to the nanosecond, saturating at 292 years.
    #[must_use]
    pub fn to_std(self, base: TimeBase) -> std::time::Duration {
        std::time::Duration::from_nanos(self.rescale(base, TimeBase::NANOS).0)
    }

    /// An approximation for display and rates; never for arithmetic on timelines.
    #[must_use]
    pub fn to_seconds(self, base: TimeBase) -> f64 {
        self.to_std(base).as_secs_f64()
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rescaling_rounds_to_nearest() {
        let film = TimeBase::new(1001, 24000).unwrap();
        assert_eq!(Timestamp::new(1).rescale(film, TimeBase::MPEG).ticks(), 3754); // 3753.75
        assert_eq!(Timestamp::new(-1).rescale(film, TimeBase::MPEG).ticks(), -3754);
        assert_eq!(Duration::new(24).rescale(film, TimeBase::MILLIS).ticks(), 1001);
    }

    #[test]
    fn ratios_are_reduced() {
        assert_eq!(Ratio::new(50, 2), Ratio::new(25, 1));
        assert_eq!(Ratio::new(0, 2), None);
        assert_eq!(Ratio::new(2, 0), None);
        assert!(Ratio::new(30000, 1001) < Ratio::new(30, 1));
    }

    proptest! {
        #[test]
        fn a_finer_base_and_back_is_exact(ticks in -1_000_000_000_000i64..1_000_000_000_000, den in 1u32..100_000, k in 1u32..1000) {
            let from = TimeBase::new(1, den).unwrap();
            let to = TimeBase::new(1, den * k).unwrap();
            let t = Timestamp::new(ticks);
            prop_assert_eq!(t.rescale(from, to).rescale(to, from), t);
        }

        #[test]
        fn nothing_overflows(ticks: i64, a in 1u32.., b in 1u32.., c in 1u32.., d in 1u32..) {
            let from = TimeBase::new(a, b).unwrap();
            let to = TimeBase::new(c, d).unwrap();
            let _ = Timestamp::new(ticks).rescale(from, to);
            let _ = Duration::new(ticks.unsigned_abs()).to_std(from);
        }
    }
}
