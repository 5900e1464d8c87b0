//! What waits to be decoded: bounded, and never in the way of who puts it in.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sv_core::{Item, Packet, Track};

/// Bytes that wait at most.
const MOST: usize = 32 << 20;
/// How long anything waits at most, while more comes.
const LONGEST: Duration = Duration::from_secs(30);

/// One who puts in, one who takes.
#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<(Instant, Item)>,
    bytes: usize,
    lost: u64,
    /// Packets are left out until decoding can start.
    skips: bool,
    closed: bool,
}

/// What was taken.
pub(super) enum Next {
    Packet(Packet),
    Track(std::sync::Arc<Track>),
    /// Nothing is there yet.
    Nothing,
    /// A track comes next, which stays there.
    Another,
    /// Nothing more comes.
    Over,
}

fn weight(item: &Item) -> usize {
    match item {
        Item::Packet(packet) => packet.data.len().saturating_add(128),
        _ => 512,
    }
}

impl State {
    /// Leaves out all packets before the newest at which decoding can start, or all where there is none.
    fn jump(&mut self) {
        let key = self.items.iter().rposition(|(_, item)| matches!(item, Item::Packet(p) if p.key));
        let items = std::mem::take(&mut self.items);
        for (place, entry) in items.into_iter().enumerate() {
            if matches!(entry.1, Item::Packet(_)) && key.is_none_or(|key| place < key) {
                self.lost = self.lost.saturating_add(1);
            } else {
                self.items.push_back(entry);
            }
        }
        self.bytes = self.items.iter().map(|(_, item)| weight(item)).sum();
    }
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, item: Item) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        let old = state.items.front().is_some_and(|(at, _)| at.elapsed() > LONGEST);
        if old || state.bytes.saturating_add(weight(&item)) > MOST {
            state.jump();
            // One group of pictures may be more than there is room for.
            if state.bytes > MOST / 2 {
                state.lost = state.lost.saturating_add(state.items.len() as u64);
                state.items.retain(|(_, item)| matches!(item, Item::Track(_)));
                (state.bytes, state.skips) = (0, true);
            }
        }
        if let (true, Item::Packet(packet)) = (state.skips, &item) {
            if !packet.key {
                state.lost = state.lost.saturating_add(1);
                return;
            }
            state.skips = false;
        }
        state.bytes = state.bytes.saturating_add(weight(&item));
        state.items.push_back((Instant::now(), item));
        self.bell.notify_one();
    }

    /// Waits a little. With `stay`, a track is left there.
    pub(super) fn take(&self, patience: Duration, stay: bool) -> Next {
        let mut state = self.state();
        if state.items.is_empty() && !state.closed {
            state = self.bell.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        if stay && matches!(state.items.front(), Some((_, Item::Track(_)))) {
            return Next::Another;
        }
        match state.items.pop_front() {
            Some((_, item)) => {
                state.bytes = state.bytes.saturating_sub(weight(&item));
                match item {
                    Item::Packet(packet) => Next::Packet(packet),
                    Item::Track(track) => Next::Track(track),
                    _ => Next::Nothing,
                }
            }
            None if state.closed => Next::Over,
            None => Next::Nothing,
        }
    }

    /// Nothing more is put in.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.bell.notify_one();
    }

    /// How long the oldest packet has waited, and how many were left out.
    pub(super) fn behind(&self) -> (Duration, u64) {
        let state = self.state();
        (state.items.front().map_or(Duration::ZERO, |(at, _)| at.elapsed()), state.lost)
    }

    /// The first packet that waits.
    pub(super) fn front(&self) -> Option<Packet> {
        let packet = |(_, item): &(Instant, Item)| match item {
            Item::Packet(packet) => Some(packet.clone()),
            _ => None,
        };
        self.state().items.iter().find_map(packet)
    }
}
