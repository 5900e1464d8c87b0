//! A rendition of key pictures only, for fast forward and scrubbing.

use std::collections::VecDeque;

use sv_core::{Duration, Item, Packet, Stage};

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
    held: Option<Packet>,
    end: Option<sv_core::Timestamp>,
    ready: VecDeque<Item>,
}

impl TrickPlay {
    /// Keeps every `nth` key packet alone; 0 and 1 keep all.
    #[must_use]
    pub fn every(nth: u32) -> Self {
        Self { skip: nth.saturating_sub(1), ..Self::default() }
    }

    /// Whether this key packet is kept.
    fn takes(&mut self) -> bool {
        let takes = self.left == 0;
        self.left = if takes { self.skip } else { self.left.saturating_sub(1) };
        takes
    }

    fn release(&mut self, until: Option<sv_core::Timestamp>) {
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
            Item::Packet(packet) => {
                let end = packet.pts.saturating_add(packet.duration);
                if packet.key && self.takes() {
                    self.release(Some(packet.pts));
                    self.held = Some(packet);
                }
                self.end = self.end.max(Some(end));
            }
            other => {
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
