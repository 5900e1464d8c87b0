//! Sound that is kept as it is.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_codec::ac3;
use sv_core::{Codec, Duration, Item, Media, Packet, Stage, TimeBase, Timestamp, Track};

use crate::{Error, Result};

/// Containers count in milliseconds, or in ticks of 90 kHz: what is nearer than this, in milliseconds,
/// follows without a hole.
const JITTER_MS: i64 = 20;

/// A stage that leaves packets as they are. What is over before the presentation begins is left out,
/// because no part of it can be cut off. Packets of AC-3 and E-AC-3 tell how long they are: their time
/// is counted in samples, so that they follow each other exactly whatever the container's clock is.
pub(super) struct Kept {
    track: Arc<Track>,
    /// The outgoing time base, and when the next packet is due in it, once there was one.
    counted: Option<(TimeBase, Timestamp)>,
    ready: VecDeque<Item>,
}

impl Kept {
    pub(super) fn new(track: &Arc<Track>) -> Self {
        Self { track: Arc::clone(track), counted: None, ready: VecDeque::new() }
    }

    fn counts(&self) -> bool {
        matches!(self.track.codec, Codec::Ac3 | Codec::Eac3)
    }

    fn count(&mut self, mut packet: Packet) {
        let Some((rate, samples)) = length(&packet.data) else {
            tracing::warn!(track = self.track.id.0, "a damaged packet is left out");
            return;
        };
        let (base, due) = match self.counted {
            Some(counted) => counted,
            None => {
                let Some(base) = TimeBase::new(1, rate) else { return };
                (base, self.begin(&packet, base))
            }
        };
        let at = packet.pts.rescale(self.track.time_base, base);
        let late = at.ticks().saturating_sub(due.ticks());
        let jitter = i64::from(base.den()) * JITTER_MS / 1000;
        if late < -jitter {
            // What was heard already is not heard again.
            return;
        }
        packet.pts = if late > jitter { at } else { due };
        packet.dts = packet.pts;
        packet.duration = Duration::new(samples);
        self.counted = Some((base, packet.pts.saturating_add(packet.duration)));
        self.ready.push_back(Item::Packet(packet));
    }

    fn begin(&mut self, first: &Packet, base: TimeBase) -> Timestamp {
        let at = first.pts.rescale(self.track.time_base, base);
        let mut track = Track::clone(&self.track);
        track.duration = track.duration.map(|d| d.rescale(track.time_base, base));
        track.time_base = base;
        if let Media::Audio(audio) = &mut track.media {
            audio.sample_rate = base.den();
            // What lies before the origin is decoded and not heard.
            audio.delay = u32::try_from(at.ticks().min(0).unsigned_abs()).unwrap_or(0);
        }
        self.ready.push_back(Item::Track(Arc::new(track)));
        at
    }
}

/// Whether none of it is heard. A packet at the origin that does not say how long it is, is.
fn is_over(packet: &Packet) -> bool {
    packet.pts < Timestamp::ZERO && packet.pts.saturating_add(packet.duration) <= Timestamp::ZERO
}

/// Samples per second, and samples in a packet: its frames, less those that add to another.
fn length(packet: &[u8]) -> Option<(u32, u64)> {
    let first = ac3::Header::parse(packet).ok()?;
    let (mut samples, mut at) = (u64::from(first.samples), first.frame_len.max(1));
    while let Some(Ok(next)) = packet.get(at..).map(ac3::Header::parse) {
        samples += if next.begins_unit() { u64::from(next.samples) } else { 0 };
        at = at.saturating_add(next.frame_len.max(1));
    }
    Some((first.sample_rate, samples))
}

impl Stage for Kept {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Packet(packet) if is_over(&packet) => {}
            Item::Packet(packet) if self.counts() => self.count(packet),
            // The first packet tells the rate, and our own description of the track follows from it.
            Item::Track(_) if self.counts() => {}
            item => self.ready.push_back(item),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
