//! What comes through the gateway, as a source of a live presentation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sv_core::{ErrorKind, Item, Source, Stage as _, Track, TrackKind};
use sv_ingest::{Feed, Next, Steady};
use sv_package::live::Continuity;
use sv_pipeline::Cancel;

use super::filler::Filler;
use crate::live::{Coming, NAP, cancelled};
use crate::{Error, Result};

/// How long a stream's other tracks are waited for when the first is there.
const OTHERS: Duration = Duration::from_secs(2);
/// How long its first one is waited for.
const FIRST: Duration = Duration::from_secs(15);

/// For how long something is shown while nobody sends.
#[derive(Clone)]
pub(super) struct Fill {
    length: Duration,
    /// Only while this says that the sender was lost.
    lost: Option<Arc<AtomicBool>>,
}

impl Fill {
    /// Whenever nobody sends.
    pub(super) const fn always(length: Duration) -> Self {
        Self { length, lost: None }
    }

    /// Where `lost` says that who sent is gone without a word.
    pub(super) fn lost(length: Duration, lost: &Arc<AtomicBool>) -> Self {
        Self { length, lost: Some(Arc::clone(lost)) }
    }

    fn length(&self) -> Duration {
        let holds = self.lost.as_ref().is_none_or(|lost| lost.load(Ordering::Acquire));
        if holds { self.length } else { Duration::ZERO }
    }
}

/// A feed on one timeline that never goes back, whoever sends it.
pub(super) struct Fed {
    feed: Feed,
    steady: Steady,
    continuity: Continuity,
    tracks: Vec<Arc<Track>>,
    /// What came before all tracks were known: the earliest of it is the beginning, whichever track it is of.
    early: Option<Vec<Item>>,
    /// Where the presentation was when this began.
    start: Duration,
    begun: Instant,
    /// Since when nobody sends it.
    alone: Option<Instant>,
    /// How long that may be.
    linger: Duration,
    /// What is shown meanwhile, and for how long at most.
    filler: Filler,
    fill: Fill,
    finished: bool,
    cancel: Cancel,
}

impl Fed {
    /// The first packets come at `start` of the presentation.
    pub(super) fn new(
        feed: Feed,
        start: Duration,
        linger: Duration,
        (filler, fill): (Filler, Fill),
        cancel: &Cancel,
    ) -> Self {
        Self {
            feed,
            steady: Steady::new(),
            continuity: Continuity::new(start),
            tracks: Vec::new(),
            early: Some(Vec::new()),
            start,
            begun: Instant::now(),
            alone: None,
            linger,
            filler,
            fill,
            finished: false,
            cancel: cancel.clone(),
        }
    }

    /// Waits a little for an item. False where none came.
    fn step(&mut self) -> Result<bool> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        let came = match self.feed.next(NAP) {
            Next::Item(item) => {
                match &item {
                    Item::Track(track) => {
                        if let Some(since) = self.alone.take() {
                            self.come_again(since)?;
                        }
                        match self.tracks.iter_mut().find(|t| t.id == track.id) {
                            Some(old) => *old = Arc::clone(track),
                            None => self.tracks.push(Arc::clone(track)),
                        }
                    }
                    Item::End(_) => self.alone = Some(Instant::now()),
                    _ => {}
                }
                self.steady.push(item)?;
                true
            }
            Next::Nothing => {
                self.fill_in()?;
                self.finished = self.alone.is_some_and(|since| since.elapsed() >= self.linger);
                false
            }
            Next::Over => {
                self.finished = true;
                false
            }
        };
        if self.finished {
            self.steady.finish()?;
        }
        while let Some(item) = self.steady.pull()? {
            // Whoever comes next goes on with the same tracks.
            if matches!(item, Item::End(_)) || self.filler.is_old(&item) {
                continue;
            }
            self.filler.see(&item);
            self.put(item)?;
        }
        if self.finished {
            self.open()?;
            self.continuity.finish()?;
        }
        Ok(came)
    }

    fn put(&mut self, item: Item) -> Result<()> {
        match &mut self.early {
            Some(early) => early.push(item),
            None => self.continuity.push(item)?,
        }
        Ok(())
    }

    /// All tracks are known: they come before their packets.
    fn open(&mut self) -> Result<()> {
        let Some(early) = self.early.take() else { return Ok(()) };
        let mut known = Vec::new();
        let (tracks, rest): (Vec<_>, Vec<_>) = early.into_iter().partition(|item| {
            let Item::Track(track) = item else { return false };
            let new = !known.contains(&track.id);
            known.push(track.id);
            new
        });
        tracks.into_iter().chain(rest).try_for_each(|item| Ok(self.continuity.push(item)?))
    }
}

impl Fed {
    /// Shows something while nobody sends, as long as it may.
    fn fill_in(&mut self) -> Result<()> {
        let fill = self.fill.length();
        let Some(since) = self.alone.filter(|_| !fill.is_zero()) else { return Ok(()) };
        if !self.filler.works() {
            match self.filler.begin() {
                Ok(told) => self.show(told)?,
                Err(reason) => {
                    tracing::warn!(reason, "nothing is shown while nobody sends this stream");
                    self.fill = Fill::always(Duration::ZERO);
                    return Ok(());
                }
            }
        }
        let missing = self.filler.fill(since.elapsed().min(fill));
        self.show(missing)
    }

    /// Somebody sends again: what was shown meanwhile ends now, and what comes goes on from there.
    fn come_again(&mut self, since: Instant) -> Result<()> {
        let fill = self.fill.length();
        if !self.filler.works() || since.elapsed() > fill {
            self.continuity.returns(self.start + self.begun.elapsed());
        }
        if self.filler.works() {
            let missing = self.filler.fill(since.elapsed().min(fill));
            self.show(missing)?;
            let missing = self.filler.level();
            self.show(missing)?;
            self.filler.end();
        }
        Ok(())
    }

    fn show(&mut self, items: Vec<Item>) -> Result<()> {
        items.into_iter().try_for_each(|item| self.put(item))
    }
}

impl Coming for Fed {
    fn tracks(&mut self) -> Result<Vec<Arc<Track>>> {
        let begun = Instant::now();
        let mut first = None;
        loop {
            let has = |kind| self.tracks.iter().any(|track| track.kind() == kind);
            let both = has(TrackKind::Video) && has(TrackKind::Audio);
            let waited = first.is_some_and(|first: Instant| first.elapsed() >= OTHERS);
            // Tracks are told before packets: when these come, all that will be are there.
            let came = self.step()?;
            if !self.tracks.is_empty() {
                first.get_or_insert_with(Instant::now);
            }
            if (both && !came) || waited || self.finished {
                break;
            }
            if first.is_none() && begun.elapsed() >= FIRST {
                let message = "whoever sends it has told of no pictures or sound that are known here";
                return Err(Error::new(ErrorKind::Timeout, message));
            }
        }
        self.open()?;
        if self.tracks.is_empty() {
            return Err(Error::new(ErrorKind::Closed, "it ended before it had told of pictures or sound"));
        }
        Ok(self.tracks.clone())
    }
}

impl Fed {
    /// The next item, if it comes soon.
    pub(super) fn soon(&mut self) -> Result<Option<Item>> {
        if let Some(item) = self.continuity.pull()? {
            return Ok(Some(item));
        }
        if !self.finished {
            self.step()?;
        }
        Ok(self.continuity.pull()?)
    }

    /// Whether nothing more comes. Something may still be there.
    pub(super) const fn is_over(&self) -> bool {
        self.finished
    }
}

impl Source for Fed {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.soon()? {
                return Ok(Some(item));
            }
            if self.finished {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sv_core::{AudioInfo, Bytes, Codec, Media, Packet, TimeBase, Timestamp, TrackId, VideoInfo};
    use sv_ingest::gateway::{Gateway, Grant, Open, Settings};

    use super::*;

    fn track(id: u32, codec: Codec, media: Media) -> Item {
        Item::Track(Arc::new(Track {
            id: TrackId(id),
            codec,
            time_base: TimeBase::MILLIS,
            config: Bytes::new(),
            media,
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        }))
    }

    fn packet(id: u32, ms: i64, key: bool) -> Item {
        let (at, data) = (Timestamp::new(ms), Bytes::from_static(b"data"));
        let (track, duration) = (TrackId(id), sv_core::Duration::ZERO);
        Item::Packet(Packet { track, pts: at, dts: at, duration, key, data, protection: None })
    }

    /// Chromium's sound came first, and its first picture was of a moment earlier: it was left out with all that needed it.
    #[test]
    fn the_earliest_packet_is_the_beginning_though_it_comes_late() {
        let gateway = Gateway::start(Settings::new(Open)).unwrap();
        let feed = gateway.hub().subscribe("one", 1 << 20);
        let mut sender = gateway.entrance().publish(&Grant::new("one"), "test", "here", || ());
        let sound = AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 };
        let items = [
            track(2, Codec::Opus, Media::Audio(sound)),
            packet(2, 100, true),
            track(1, Codec::Vp8, Media::Video(VideoInfo::new(64, 64))),
            packet(1, 60, true),
            packet(1, 100, false),
            packet(2, 110, true),
        ];
        items.iter().for_each(|item| sender.give(item).unwrap());
        let cancel = Cancel::default();
        let mut fed = Fed::new(
            feed,
            Duration::ZERO,
            Duration::ZERO,
            (Filler::new(None), Fill::always(Duration::ZERO)),
            &cancel,
        );
        assert_eq!(fed.tracks().unwrap().len(), 2);
        drop(sender);
        let mut shown = Vec::new();
        while let Some(item) = fed.next_item().unwrap() {
            if let Item::Packet(packet) = item {
                let base = if packet.track == TrackId(1) {
                    TimeBase::MILLIS
                } else {
                    TimeBase::new(1, 48_000).unwrap()
                };
                shown.push((packet.track.0, packet.pts.rescale(base, TimeBase::MILLIS).ticks()));
            }
        }
        shown.sort_unstable();
        assert_eq!(shown, [(1, 0), (1, 40), (2, 40), (2, 50)]);
    }
}
