//! What waits between who sends a stream and who wants it: bounded, and never in the sender's way.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sv_core::Item;

/// The end at which items come out.
///
/// Who is too slow loses packets: as many as fit wait, then all are left out until there is room again and decoding can
/// start. What a track is now is never left out.
pub struct Feed(Arc<Shared>);

/// The end at which items go in.
pub(crate) struct Tap(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    bell: Condvar,
    /// Called when something comes where nothing was.
    ring: Option<Box<dyn Fn() + Send + Sync>>,
}

struct State {
    items: VecDeque<Item>,
    bytes: usize,
    limit: usize,
    /// Packets are left out until decoding can start.
    skips: bool,
    lost: u64,
    /// Nothing more comes.
    over: bool,
    /// Nobody listens.
    left: bool,
}

/// What came of waiting.
#[derive(Debug)]
pub enum Next {
    /// This.
    Item(Item),
    /// Nothing yet.
    Nothing,
    /// Nothing more will come.
    Over,
}

/// Both ends of a feed in which so many bytes wait at most.
pub(crate) fn feed(limit: usize, ring: Option<Box<dyn Fn() + Send + Sync>>) -> (Tap, Feed) {
    let state =
        State { items: VecDeque::new(), bytes: 0, limit, skips: true, lost: 0, over: false, left: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), bell: Condvar::new(), ring });
    (Tap(Arc::clone(&shared)), Feed(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(item: &Item) -> usize {
    match item {
        Item::Packet(packet) => packet.data.len().saturating_add(64),
        Item::Track(track) => track.config.len().saturating_add(512),
        _ => 64,
    }
}

impl State {
    /// Lets go of all but what each track is now: who changes its tracks again and again fills no memory by it.
    fn shrink(&mut self) {
        let mut seen = BTreeSet::new();
        let mut kept: VecDeque<Item> = VecDeque::new();
        for item in std::mem::take(&mut self.items).into_iter().rev() {
            if matches!(item, Item::Packet(_)) {
                self.lost = self.lost.saturating_add(1);
            } else if item.track().is_some_and(|id| seen.insert(id)) {
                kept.push_front(item);
            }
        }
        (self.items, self.skips) = (kept, true);
        self.bytes = self.items.iter().map(weight).fold(0, usize::saturating_add);
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(weight(&item));
        Some(item)
    }
}

impl Tap {
    /// Whether somebody listens.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.state().left
    }

    /// Puts an item in; `begins` where decoding of the whole stream can start at it. False where nobody listens.
    pub(crate) fn give(&self, item: &Item, begins: bool) -> bool {
        let mut state = self.0.state();
        if state.left {
            return false;
        }
        let after = state.bytes.saturating_add(weight(item));
        if matches!(item, Item::Packet(_)) {
            if state.skips && begins && (state.bytes == 0 || after <= state.limit.wrapping_div(2)) {
                state.skips = false;
            } else if !state.skips && after > state.limit && state.bytes > 0 {
                state.skips = true;
            }
            if state.skips {
                state.lost = state.lost.saturating_add(1);
                return true;
            }
        } else if after > state.limit {
            state.shrink();
        }
        let empty = state.items.is_empty();
        state.bytes = state.bytes.saturating_add(weight(item));
        state.items.push_back(item.clone());
        drop(state);
        if empty {
            self.0.bell.notify_one();
            if let Some(ring) = &self.0.ring {
                ring();
            }
        }
        true
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.bell.notify_all();
        if let Some(ring) = &self.0.ring {
            ring();
        }
    }
}

impl Feed {
    /// The next item, if it is there.
    pub fn poll(&mut self) -> Next {
        let mut state = self.0.state();
        match state.take() {
            Some(item) => Next::Item(item),
            None if state.over => Next::Over,
            None => Next::Nothing,
        }
    }

    /// The next item, if it comes within that time.
    pub fn next(&mut self, patience: Duration) -> Next {
        let until = Instant::now().checked_add(patience);
        let mut state = self.0.state();
        loop {
            if let Some(item) = state.take() {
                return Next::Item(item);
            }
            if state.over {
                return Next::Over;
            }
            let left = until.map_or(patience, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Next::Nothing;
            }
            state = self.0.bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Packets that were left out, those before the first at which decoding could start among them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.state().lost
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.left = true;
        state.items = VecDeque::new();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state();
        f.debug_struct("Feed")
            .field("items", &state.items.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sv_core::{
        AudioInfo, Bytes, Codec, Duration as Ticks, Media, Packet, TimeBase, Timestamp, Track, TrackId,
    };

    use super::*;

    fn track(config: u8) -> Item {
        Item::Track(Arc::new(Track {
            id: TrackId(2),
            codec: Codec::Aac,
            time_base: TimeBase::MILLIS,
            config: Bytes::from(vec![config; 100]),
            media: Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 }),
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        }))
    }

    fn packet(n: i64) -> Item {
        let at = Timestamp::new(n);
        let data = Bytes::from(vec![0; 100]);
        let track = TrackId(2);
        Item::Packet(Packet {
            track,
            pts: at,
            dts: at,
            duration: Ticks::ZERO,
            key: true,
            data,
            protection: None,
        })
    }

    #[test]
    fn nobody_fills_it() {
        let (tap, mut feed) = feed(10_000, None);
        for n in 0..10_000u32 {
            tap.give(&track(n.to_be_bytes()[3]), false);
            tap.give(&packet(n.into()), true);
            assert!(feed.0.state().bytes <= 12_000);
        }
        // What the track is at last is there, and what comes behind it.
        let mut last = None;
        while let Next::Item(item) = feed.poll() {
            if let Item::Track(track) = item {
                last = track.config.first().copied();
            }
        }
        assert_eq!((last, feed.0.state().bytes), (Some(9999u32.to_be_bytes()[3]), 0));
        assert!(feed.lost() > 9000);
    }

    #[test]
    fn who_is_slow_goes_on_where_decoding_can_start() {
        let (tap, mut feed) = feed(1000, None);
        assert!((0..20).all(|n| tap.give(&packet(n), n == 0)));
        let got = std::iter::from_fn(|| match feed.poll() {
            Next::Item(Item::Packet(packet)) => Some(packet.dts.ticks()),
            _ => None,
        });
        assert_eq!(got.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        tap.give(&packet(20), false);
        assert!(matches!(feed.poll(), Next::Nothing));
        tap.give(&packet(21), true);
        assert!(matches!(feed.poll(), Next::Item(_)));
        drop(tap);
        assert!(matches!(feed.poll(), Next::Over));
    }
}
