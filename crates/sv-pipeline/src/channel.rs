//! A queue between two threads, bounded by the bytes that wait in it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sv_core::{Frame, Item, PixelFormat};

use crate::cancel::{Cancel, Wake};

/// Items that wait at most, however small: packets may each hold on to the large piece of the file
/// that they were cut out of.
const ITEMS: usize = 64;

/// The run was cancelled, or the other side is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

struct State {
    items: VecDeque<(Item, usize)>,
    bytes: usize,
    finished: bool,
    abandoned: bool,
}

pub(crate) struct Channel {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
    cancel: Cancel,
}

/// The end that items are put in at. Dropping it without [`finish`](Sender::finish) stops the reader.
pub(crate) struct Sender(Arc<Channel>);

/// The end that items are taken out at. Dropping it stops the writer.
pub(crate) struct Receiver(Arc<Channel>);

/// A queue that holds items of `capacity` bytes, or a single one that is larger.
pub(crate) fn channel(capacity: usize, cancel: &Cancel) -> (Sender, Receiver) {
    let state = State { items: VecDeque::new(), bytes: 0, finished: false, abandoned: false };
    let channel = Arc::new(Channel {
        state: Mutex::new(state),
        changed: Condvar::new(),
        capacity,
        cancel: cancel.clone(),
    });
    let wake: Arc<dyn Wake> = channel.clone();
    cancel.register(Arc::downgrade(&wake));
    (Sender(channel.clone()), Receiver(channel))
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Channel {
    fn wake(&self) {
        // The lock orders this behind whoever has looked at the flag and is about to sleep.
        drop(self.lock());
        self.changed.notify_all();
    }
}

impl Sender {
    /// Puts items in, in order; waits while there is no room for the next. Nothing is left in `items`.
    pub(crate) fn send(&self, items: &mut Vec<Item>) -> Result<(), Stopped> {
        let mut state = self.0.lock();
        for item in items.drain(..) {
            let weight = weight(&item);
            loop {
                if state.abandoned || self.0.cancel.is_cancelled() {
                    return Err(Stopped);
                }
                let room = state.items.len() < ITEMS && state.bytes.saturating_add(weight) <= self.0.capacity;
                if state.items.is_empty() || room {
                    break;
                }
                self.0.changed.notify_all();
                state = self.0.wait(state);
            }
            state.bytes = state.bytes.saturating_add(weight);
            state.items.push_back((item, weight));
        }
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }

    /// No more items come.
    pub(crate) fn finish(self) {
        self.0.lock().finished = true;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.abandoned |= !state.finished;
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Receiver {
    /// Moves up to `most` items that are there into `into`, and waits while there is none; false behind the last one.
    pub(crate) fn receive(&self, into: &mut VecDeque<Item>, most: usize) -> Result<bool, Stopped> {
        let mut state = self.0.lock();
        loop {
            if self.0.cancel.is_cancelled() {
                return Err(Stopped);
            }
            if !state.items.is_empty() {
                let count = state.items.len().min(most);
                let weight: usize = state.items.iter().take(count).map(|(_, weight)| weight).sum();
                state.bytes = state.bytes.saturating_sub(weight);
                into.extend(state.items.drain(..count).map(|(item, _)| item));
                // A writer that waits is woken when there is room for some items, not for each.
                let roomy = state.bytes <= self.0.capacity / 2 && state.items.len() <= ITEMS / 2;
                drop(state);
                if roomy {
                    self.0.changed.notify_all();
                }
                return Ok(true);
            }
            if state.finished {
                return Ok(false);
            }
            if state.abandoned {
                return Err(Stopped);
            }
            state = self.0.wait(state);
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.abandoned = true;
        state.items.clear();
        drop(state);
        self.0.changed.notify_all();
    }
}

/// What an item costs while it waits.
pub(crate) fn weight(item: &Item) -> usize {
    const SMALL: usize = 256;
    let payload = match item {
        Item::Packet(packet) => packet.data.len(),
        Item::Frame(_, Frame::Video(frame)) => {
            let samples = usize::try_from(u64::from(frame.width) * u64::from(frame.height) * 3 / 2);
            let bytes = if frame.picture.format() == PixelFormat::Yuv420p10 { 2 } else { 1 };
            samples.unwrap_or(usize::MAX).saturating_mul(bytes)
        }
        Item::Frame(_, Frame::Audio(frame)) => frame.samples.len() * 4,
        Item::Segment(segment) => usize::try_from(segment.len()).unwrap_or(usize::MAX),
        Item::Part(part) => usize::try_from(part.len()).unwrap_or(usize::MAX),
        _ => 0,
    };
    payload.saturating_add(SMALL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sv_core::TrackId;

    fn end(track: u32) -> Vec<Item> {
        vec![Item::End(TrackId(track))]
    }

    fn next(rx: &Receiver) -> Result<Option<Item>, Stopped> {
        let mut one = VecDeque::new();
        rx.receive(&mut one, 1).map(|_| one.pop_front())
    }

    #[test]
    fn what_is_sent_arrives_in_order_and_then_the_end() {
        let (tx, rx) = channel(1000, &Cancel::default());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for i in 0..1000 {
                    tx.send(&mut end(i)).unwrap();
                }
                tx.finish();
            });
            for i in 0..1000 {
                assert_eq!(next(&rx).unwrap().unwrap().track(), Some(TrackId(i)));
            }
            assert!(next(&rx).unwrap().is_none());
        });
    }

    #[test]
    fn handfuls_larger_than_the_queue_arrive_in_order() {
        let (tx, rx) = channel(1000, &Cancel::default());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for from in (0..1000).step_by(100) {
                    let mut items: Vec<_> = (from..from + 100).map(|i| Item::End(TrackId(i))).collect();
                    tx.send(&mut items).unwrap();
                    assert!(items.is_empty());
                }
                tx.finish();
            });
            let (mut seen, mut some) = (0, VecDeque::new());
            while rx.receive(&mut some, 32).unwrap() {
                assert!((1..=32).contains(&some.len()));
                for item in some.drain(..) {
                    assert_eq!(item.track(), Some(TrackId(seen)));
                    seen += 1;
                }
            }
            assert_eq!(seen, 1000);
        });
    }

    #[test]
    fn small_items_are_counted_too() {
        let (tx, rx) = channel(1 << 30, &Cancel::default());
        let sent = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let (sent, tx) = (&sent, tx);
            scope.spawn(move || {
                for i in 0..1000 {
                    tx.send(&mut end(i)).unwrap();
                    sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                tx.finish();
            });
            for got in 1..=1000 {
                next(&rx).unwrap().unwrap();
                assert!(sent.load(std::sync::atomic::Ordering::SeqCst) <= got + ITEMS);
            }
        });
    }

    #[test]
    fn cancelling_wakes_both_ends() {
        let cancel = Cancel::default();
        let (tx, _rx) = channel(1, &cancel);
        let (_tx, rx) = channel(1, &cancel);
        tx.send(&mut end(0)).unwrap();
        std::thread::scope(|scope| {
            let full = scope.spawn(|| tx.send(&mut end(1)));
            let empty = scope.spawn(|| next(&rx).map(|_| ()));
            cancel.cancel();
            assert_eq!(full.join().unwrap(), Err(Stopped));
            assert_eq!(empty.join().unwrap(), Err(Stopped));
        });
    }

    #[test]
    fn a_writer_that_dies_is_not_mistaken_for_the_end() {
        let (tx, rx) = channel(1, &Cancel::default());
        drop(tx);
        assert_eq!(next(&rx).map(|_| ()), Err(Stopped));
        let (tx, rx) = channel(1, &Cancel::default());
        drop(rx);
        assert_eq!(tx.send(&mut end(0)), Err(Stopped));
    }
}
