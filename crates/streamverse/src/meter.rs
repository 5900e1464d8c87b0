//! Tells how far each rendition is: events for whoever watches.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sv_core::{Event, Timestamp};

/// Progress of one rendition is told at most this often.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes progress events. Clones tell into the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    events: SyncSender<Event>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    began: Instant,
    total_ms: Option<u64>,
    lanes: HashMap<String, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    first_ms: Option<u64>,
    done_ms: u64,
    told: Option<Instant>,
}

impl Meter {
    /// A meter and the stream of its events.
    pub(crate) fn new() -> (Self, Receiver<Event>) {
        let (events, receiver) = sync_channel(4096);
        let state = State { began: Instant::now(), total_ms: None, lanes: HashMap::new() };
        (Self { inner: Arc::new(Inner { events, state: Mutex::new(state) }) }, receiver)
    }

    /// Begins to count from now, for a source of this length.
    pub(crate) fn begin(&self, total: Option<Duration>) {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.began = Instant::now();
        state.total_ms = total.map(|t| t.as_millis() as u64);
    }

    /// Wall-clock time since [`begin`](Self::begin).
    pub(crate) fn elapsed(&self) -> Duration {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner).began.elapsed()
    }

    /// Tells an event; a receiver that is too slow misses it.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.inner.events.try_send(event);
    }

    /// A rendition has come to this moment, in milliseconds.
    pub(crate) fn at(&self, name: &str, at: Timestamp) {
        let now = Instant::now();
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = state.lanes.entry(name.to_owned()).or_default();
        let at = u64::try_from(at.ticks()).unwrap_or(0);
        lane.first_ms.get_or_insert(at);
        lane.done_ms = lane.done_ms.max(at);
        if lane.told.is_some_and(|told| now.duration_since(told) < PAUSE) {
            return;
        }
        lane.told = Some(now);
        let event = state.progress(name, now, None);
        drop(state);
        self.tell(event);
    }

    /// A segment is stored.
    pub(crate) fn stored(&self, name: &str, number: u64, bytes: u64) {
        self.tell(Event::Segment { rendition: name.to_owned(), number, bytes });
    }

    /// A rendition is complete.
    pub(crate) fn complete(&self, name: &str) {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lanes.entry(name.to_owned()).or_default();
        let event = state.progress(name, Instant::now(), Some(1.0));
        drop(state);
        self.tell(event);
    }
}

impl State {
    fn progress(&self, name: &str, now: Instant, fraction: Option<f64>) -> Event {
        let lane = self.lanes.get(name);
        let done_ms = lane.map_or(0, |l| l.done_ms);
        let fresh_ms = done_ms - lane.and_then(|l| l.first_ms).unwrap_or(0).min(done_ms);
        let elapsed = now.duration_since(self.began).as_secs_f64().max(1e-3);
        let speed = fresh_ms as f64 / 1000.0 / elapsed;
        let fraction = fraction.unwrap_or_else(|| match self.total_ms {
            Some(total) if total > 0 => (done_ms as f64 / total as f64).min(0.999),
            _ => 0.0,
        });
        let left_ms = if fraction >= 1.0 {
            Some(0)
        } else {
            self.total_ms
                .filter(|_| speed > 0.0)
                .map(|total| (total.saturating_sub(done_ms) as f64 / speed) as u64)
        };
        Event::Progress { rendition: name.to_owned(), done_ms, fraction, speed, left_ms }
    }
}
