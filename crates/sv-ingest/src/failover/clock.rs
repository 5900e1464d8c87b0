//! From the clock of who sends to that of the stream. All times are nanoseconds.

use std::collections::{HashMap, VecDeque};

/// What is fast-forwarded takes this long for each picture.
const QUICK: i64 = 1_000_000;
/// Sender and stream agree on an alignment if so many payloads do.
const WITNESSES: usize = 3;
/// Times of one payload on two clocks differ by their rounding.
const ROUNDING: i64 = 2_000_000;

/// What a payload was, and when on its clock.
pub(super) type Print = (u64, i64);

/// How times are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) offset: i64,
    rush: Option<Rush>,
}

/// Pictures that are needed for decoding alone, since their moment is over: from `from` until `to` time goes faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rush {
    from: i64,
    to: i64,
    start: i64,
}

impl Map {
    pub(super) const fn offset(offset: i64) -> Self {
        Self { offset, rush: None }
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Such that `key` is shown at `start`, as one of `count` pictures whose moments are over by then.
    pub(super) fn rushing(offset: i64, key: i64, start: i64, count: i64) -> Self {
        let to = start.saturating_add(count.saturating_mul(QUICK)).saturating_sub(offset);
        Self { offset, rush: (to > key).then_some(Rush { from: key, to, start }) }
    }

    /// When it is shown.
    pub(super) fn at(&self, time: i64) -> i64 {
        let plain = time.saturating_add(self.offset);
        let Some(Rush { from, to, start }) = self.rush.filter(|rush| time < rush.to) else { return plain };
        let end = to.saturating_add(self.offset);
        let (passed, length) = (i128::from(time.saturating_sub(from)), i128::from(to.saturating_sub(from)));
        let quick = passed.saturating_mul(i128::from(end.saturating_sub(start))).checked_div(length);
        start.saturating_add(i64::try_from(quick.unwrap_or(0)).unwrap_or(0))
    }
}

/// How far a sender's clock is from the stream's, if both carry the same payloads: what comes twice on either side says
/// nothing.
pub(super) fn aligned(stream: &VecDeque<Print>, sender: &VecDeque<Print>) -> Option<i64> {
    let once = |prints: &VecDeque<Print>| {
        let mut map: HashMap<u64, Option<i64>> = HashMap::with_capacity(prints.len());
        for (print, at) in prints {
            map.entry(*print).and_modify(|seen| *seen = None).or_insert(Some(*at));
        }
        map
    };
    let (there, here) = (once(stream), once(sender));
    let both = here.iter().filter_map(|(print, at)| {
        let (at, there) = ((*at)?, (*there.get(print)?)?);
        Some(there.saturating_sub(at))
    });
    let mut offsets: Vec<i64> = both.collect();
    offsets.sort_unstable();
    let middle = *offsets.get(offsets.len().wrapping_div(2))?;
    let agree = offsets.iter().filter(|o| o.abs_diff(middle) <= ROUNDING.unsigned_abs()).count();
    (agree >= WITNESSES && agree.saturating_mul(4) >= offsets.len().saturating_mul(3)).then_some(middle)
}
