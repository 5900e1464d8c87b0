//! A rendition of key pictures only, for fast forward and scrubbing.

use std::collections::VecDeque;

use sv_core::{Duration, Item, Packet, Stage, TimeBase, Timestamp};

use crate::Error;

/// Keeps a video track's key packets and stretches each to the next one's beginning.
///
/// DASH wants such a track of its own (DASH-IF IOP part 5, section 9); HLS names byte ranges of the
/// ordinary segments and needs none.
#[derive(Debug, Default)]
pub struct TrickPlay {
    /// Key packets that are left out behind each that is kept.
    skip: u32,
    left: u32,
    /// Packets before this are somebody else's; in nanoseconds.
    from: Option<Timestamp>,
    base: Option<TimeBase>,
    held: Option<Packet>,
    end: Option<Timestamp>,
    ready: VecDeque<Item>,
}

impl TrickPlay {
    /// Keeps every `nth` key packet alone; 0 and 1 keep all.
    #[must_use]
    pub fn every(nth: u32) -> Self {
        Self { skip: nth.saturating_sub(1), ..Self::default() }
    }

    /// Goes on where an earlier run ended, in nanoseconds: the first key packet from there on is kept.
    #[must_use]
    pub fn from(mut self, from: Option<Timestamp>) -> Self {
        self.from = from;
        self
    }

    /// Whether a packet was an earlier run's.
    fn is_old(&self, packet: &Packet) -> bool {
        let base = self.base.unwrap_or(TimeBase::NANOS);
        self.from.is_some_and(|from| packet.pts.rescale(base, TimeBase::NANOS) < from)
    }

    /// Whether this key packet is kept.
    fn takes(&mut self) -> bool {
        let takes = self.left == 0;
        self.left = if takes { self.skip } else { self.left.saturating_sub(1) };
        takes
    }

    fn release(&mut self, until: Option<Timestamp>) {
        if let Some(mut packet) = self.held.take() {
            if let Some(length) = until.and_then(|u| u.since(packet.pts)).filter(|l| *l > Duration::ZERO) {
                packet.duration = length;
            }
            packet.dts = packet.pts;
            self.ready.push_back(Item::Packet(packet));
        }
    }
}

impl Stage for TrickPlay {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Packet(packet) if self.is_old(&packet) => {}
            Item::Packet(packet) => {
                let end = packet.pts.saturating_add(packet.duration);
                if packet.key && self.takes() {
                    self.release(Some(packet.pts));
                    self.held = Some(packet);
                }
                self.end = self.end.max(Some(end));
            }
            other => {
                if let Item::Track(track) = &other {
                    self.base = Some(track.time_base);
                }
                self.release(self.end);
                self.ready.push_back(other);
            }
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.release(self.end);
        Ok(())
    }
}
