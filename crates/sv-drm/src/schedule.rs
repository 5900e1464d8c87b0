//! What is encrypted when, and with which key.

use std::time::Duration;

use bytes::Bytes;
use sv_core::{Grid, KeyId};

use crate::ContentKey;

/// What changes from segment to segment. Without one, everything is encrypted with one key.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The grid on which segments are cut: a segment is clear as a whole, or under one key.
    pub grid: Grid,
    /// Segments whose cell of the grid begins before this are clear, so that players start before they have a key.
    pub clear_lead: Duration,
    /// Further keys.
    pub rotation: Option<Rotation>,
}

/// Keys that follow each other (ISO/IEC 23001-7, 6: sample groups of type `seig`).
#[derive(Clone, Debug)]
pub struct Rotation {
    /// How long each is used: the n-th is for segments whose cell of the grid begins in the n-th such time.
    pub period: Duration,
    /// Those of the second period and later ones.
    pub later: Vec<Later>,
}

/// A key of a later period.
#[derive(Clone, Debug)]
pub struct Later {
    /// Its name.
    pub kid: KeyId,
    /// The key.
    pub key: ContentKey,
    /// Whole `pssh` boxes that announce it, with the segments that need it.
    pub pssh: Vec<Bytes>,
}

impl Schedule {
    /// The period of segments that begin in this cell; `None` when they are clear.
    pub(crate) fn period(&self, cell: i128) -> Option<usize> {
        let nanos = |d: Duration| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX);
        let start = self.grid.start(cell);
        if start < nanos(self.clear_lead) {
            return None;
        }
        let period = self.rotation.as_ref().map_or(i128::MAX, |r| nanos(r.period).max(1));
        Some(usize::try_from(start.checked_div(period).unwrap_or(0)).unwrap_or(usize::MAX))
    }
}
