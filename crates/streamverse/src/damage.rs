//! What of a source is damaged, and when.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sv_core::{TimeBase, Timestamp, Track, TrackKind};
use sv_transcode::decode::{self, OnDamage};

use crate::{Error, Result};

/// A part of the presentation that can't be shown as it was meant. What is good around it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Damage {
    /// The source's track.
    pub track: u32,
    /// What it holds.
    pub kind: TrackKind,
    /// Where it begins, in milliseconds of the presentation.
    pub from_ms: u64,
    /// Where it ends.
    pub until_ms: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TrackKind::Video => "pictures are",
            TrackKind::Audio => "sound is",
            TrackKind::Text => "text is",
        };
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let (from, until) = (seconds(self.from_ms), seconds(self.until_ms));
        write!(f, "the source's {kind} damaged from {from:.2} s to {until:.2} s: {}", self.what)
    }
}

/// Two damages that are nearer to each other than this are one, in milliseconds.
const NEAR: u64 = 500;

/// More of them are not told apart: the last one grows.
const MOST: usize = 500;

/// Collects damage, from any number of threads.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
    strict: bool,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Damage>,
    /// Until when each was written down.
    kept: Vec<u64>,
    /// Writes down what is new, so that a crash doesn't lose it.
    keep: Option<Box<Keep>>,
}

type Keep = dyn FnMut(&Damage) -> Result<()> + Send;

impl Ledger {
    /// An empty one; a strict one takes nothing in, and fails instead.
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, ..Self::default() }
    }

    /// Has `keep` write down whatever comes in from now on.
    pub(crate) fn keep(&self, keep: impl FnMut(&Damage) -> Result<()> + Send + 'static) {
        self.lock().keep = Some(Box::new(keep));
    }

    /// What was found, in order of time.
    pub(crate) fn list(&self) -> Vec<Damage> {
        let mut entries = self.lock().entries.clone();
        entries.sort_by_key(|d| (d.from_ms, d.track));
        entries
    }

    /// Whom a decoder of this track tells.
    pub(crate) fn listener(&self, track: &Track) -> OnDamage {
        let (ledger, kind, base) = (self.clone(), track.kind(), track.time_base);
        OnDamage::new(move |damage: &decode::Damage| {
            let ms = |at: Timestamp| at.rescale(base, TimeBase::MILLIS).ticks().max(0).unsigned_abs();
            let found = Damage {
                track: damage.track.0,
                kind,
                from_ms: ms(damage.from),
                until_ms: ms(damage.until),
                what: damage.what.clone(),
            };
            let refused = || {
                let mut told = damage.clone();
                told.what = found.to_string();
                sv_transcode::Error::Refused(Box::new(told))
            };
            ledger.add(found.clone()).map_err(|_| refused())
        })
    }

    /// Takes damage in. A strict ledger refuses it.
    pub(crate) fn add(&self, found: Damage) -> Result<()> {
        if self.strict {
            return Err(Error::new(sv_core::ErrorKind::Malformed, found.to_string()));
        }
        let mut inner = self.lock();
        let full = inner.entries.len() >= MOST;
        let near = inner.entries.iter().rposition(|d| {
            let touches = found.from_ms <= d.until_ms + NEAR && d.from_ms <= found.until_ms + NEAR;
            d.track == found.track && (full || (touches && d.what == found.what))
        });
        let place = match near {
            None if full => return Ok(()),
            None => {
                inner.kept.push(0);
                inner.entries.push(found);
                inner.entries.len() - 1
            }
            Some(place) => {
                let Some(entry) = inner.entries.get_mut(place) else { return Ok(()) };
                entry.from_ms = entry.from_ms.min(found.from_ms);
                entry.until_ms = entry.until_ms.max(found.until_ms);
                place
            }
        };
        let Inner { entries, kept, keep } = &mut *inner;
        match (entries.get(place), kept.get_mut(place), keep) {
            // Not each of a thousand broken pictures in a row is worth a line that is synced.
            (Some(entry), Some(kept), Some(keep)) if entry.until_ms >= *kept + NEAR || *kept == 0 => {
                *kept = entry.until_ms;
                keep(entry)
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("entries", &self.lock().entries).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_damage_of_one_kind_is_one() {
        let ledger = Ledger::new(false);
        let at = |from_ms, until_ms, what: &str| Damage {
            track: 1,
            kind: TrackKind::Video,
            from_ms,
            until_ms,
            what: what.into(),
        };
        for (from, until) in [(1000, 1040), (1040, 1080), (1300, 1340), (5000, 5040), (1010, 1020)] {
            ledger.add(at(from, until, "broken")).unwrap();
        }
        ledger.add(at(1000, 1040, "missing")).unwrap();
        let spans: Vec<_> = ledger.list().iter().map(|d| (d.from_ms, d.until_ms)).collect();
        assert_eq!(spans, [(1000, 1340), (1000, 1040), (5000, 5040)]);
        assert_eq!(
            ledger.list()[2].to_string(),
            "the source's pictures are damaged from 5.00 s to 5.04 s: broken"
        );
        assert!(Ledger::new(true).add(at(0, 1, "broken")).is_err());
    }
}
