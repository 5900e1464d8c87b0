//! Stops a run from outside.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Something that sleeps and must hear of a cancellation.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

/// Asks a run to stop. Clones share one fate; cancelling twice is the same as once.
#[derive(Clone, Default)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    sleepers: Mutex<Vec<Weak<dyn Wake>>>,
}

impl Wake for Inner {
    fn wake(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        for sleeper in sleepers.iter().filter_map(Weak::upgrade) {
            sleeper.wake();
        }
    }
}

impl Cancel {
    /// Asks the run to stop soon and wakes everything in it that waits.
    pub fn cancel(&self) {
        self.inner.wake();
    }

    /// For a part of the run: it is cancelled with the whole, and alone without it.
    #[must_use]
    pub fn part(&self) -> Self {
        let part = Self::default();
        let inner: Arc<dyn Wake> = part.inner.clone();
        self.register(Arc::downgrade(&inner));
        if self.is_cancelled() {
            part.cancel();
        }
        part
    }

    /// Whether the run has been asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::SeqCst)
    }

    pub(crate) fn register(&self, sleeper: Weak<dyn Wake>) {
        let mut sleepers = self.inner.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        sleepers.retain(|sleeper| sleeper.strong_count() > 0);
        sleepers.push(sleeper);
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cancel({})", self.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_the_whole_and_not_the_other_way_round() {
        let whole = Cancel::default();
        let (one, other) = (whole.part(), whole.part());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !whole.is_cancelled());
        whole.cancel();
        assert!(other.is_cancelled() && whole.part().is_cancelled());
    }
}
