//! Where segments may be cut.

use crate::{TimeBase, Timestamp};

/// A presentation's common grid: a segment ends before the first key packet that lies in a later cell than the
/// segment's first packet. Whoever cuts and whoever has to know beforehand where a cut will be ask the same grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    target_ns: i128,
}

impl Grid {
    /// Cells of this length, the first beginning with the presentation.
    #[must_use]
    pub fn new(target: std::time::Duration) -> Self {
        Self { target_ns: i128::try_from(target.as_nanos().max(1)).unwrap_or(i128::MAX) }
    }

    /// Which cell a moment lies in.
    #[must_use]
    pub fn cell(self, at: Timestamp, base: TimeBase) -> i128 {
        let ns = i128::from(at.ticks()).saturating_mul(1_000_000_000).saturating_mul(i128::from(base.num()));
        let cell = i128::from(base.den()).saturating_mul(self.target_ns);
        // What an encoder's delay puts before the origin belongs to the first cell.
        ns.checked_div_euclid(cell).unwrap_or(0).max(0)
    }

    /// When a cell begins, in nanoseconds.
    #[must_use]
    pub fn start(self, cell: i128) -> i128 {
        cell.saturating_mul(self.target_ns)
    }
}
