//! What each rendition of a live presentation goes through: encrypted, cut into parts and segments, stored,
//! told to whoever waits.

use std::sync::{Arc, Mutex, PoisonError};

use sv_core::{Cue, Item, Object, Stage as _, TimeBase, Timestamp, Track, Write};
use sv_drm::cenc;
use sv_package::{Mark, Segmenter};

use super::desk::Desk;
use super::store::Store;
use crate::Result;
use crate::finish::{Begin, resume_point};
use crate::meter::Meter;

/// One rendition.
pub(crate) struct Lane {
    pub(crate) name: String,
    /// Its place among the presentation's streams.
    pub(crate) place: usize,
    /// The track, as it is told to the world.
    pub(crate) told: Arc<Track>,
    pub(crate) begin: Option<Begin>,
    pub(crate) encryptor: Option<cenc::Encryptor>,
    pub(crate) segmenter: Segmenter,
    /// Packets before this moment, in nanoseconds, were stored by an earlier run.
    pub(crate) from: Option<Timestamp>,
    /// The first track goes on with what an earlier run stored.
    pub(crate) seamless: bool,
    pub(crate) base: TimeBase,
    pub(crate) desk: Arc<Desk>,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) meter: Meter,
    pub(crate) keep: bool,
}

impl Lane {
    /// Takes an item of the rendition.
    pub(crate) fn item(&mut self, mut item: Item) -> Result<()> {
        match &mut item {
            Item::Track(track) => {
                let said = (self.told.language.clone(), self.told.label.clone(), self.told.default);
                let track = Arc::make_mut(track);
                (track.language, track.label, track.default) = said;
                self.base = track.time_base;
                if let (Some(begin), None) = (&self.begin, &self.encryptor) {
                    self.encryptor = Some(begin.encryptor(track)?);
                }
            }
            Item::Packet(packet) => {
                if self.from.is_some_and(|from| packet.pts.rescale(self.base, TimeBase::NANOS) < from) {
                    return Ok(());
                }
                self.from = None;
                let end = packet.pts.saturating_add(packet.duration);
                self.meter.at(&self.name, end.rescale(self.base, TimeBase::MILLIS));
            }
            _ => {}
        }
        let Some(encryptor) = &mut self.encryptor else { return self.cut(item) };
        encryptor.push(item)?;
        while let Some(item) = self.encryptor.as_mut().map(|e| e.pull()).transpose()?.flatten() {
            self.cut(item)?;
        }
        Ok(())
    }

    fn cut(&mut self, item: Item) -> Result<()> {
        self.segmenter.push(item)?;
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(item) = self.segmenter.pull()? {
            match item {
                Item::Segment(segment) => self.segment(segment)?,
                Item::Track(track) => self.track(track)?,
                Item::Part(part) => self.desk.part(self.place, part)?,
                Item::Cue(cue) => self.cue(&cue)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn track(&mut self, track: Arc<Track>) -> Result<()> {
        let seamless = std::mem::take(&mut self.seamless);
        let Some((init, rendition)) = self.desk.track(self.place, track, seamless)? else { return Ok(()) };
        let mut store = self.store();
        if let Some(init) = init {
            store.put(init)?;
        }
        store.began(&rendition)
    }

    /// Every rendition hears of a cue; the first one tells it, when it is in the journal.
    fn cue(&self, cue: &Cue) -> Result<()> {
        let Some(mark) = Mark::of(cue) else { return Ok(()) };
        let mut store = self.store();
        if !self.desk.knows(&mark) {
            store.cue(cue)?;
            self.desk.mark(mark);
        }
        Ok(())
    }

    /// On the disk first, then in the journal, then in the playlists: nobody hears of what a crash could undo.
    fn segment(&mut self, segment: sv_core::Segment) -> Result<()> {
        let (number, bytes) = (segment.number, segment.len());
        let Some((path, content_type, record)) = self.desk.describe(self.place, &segment) else {
            return Ok(());
        };
        let object = Object { path, content_type, data: segment.data.clone(), write: Write::Whole };
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.put(object)?;
        store.stored(&self.name, record)?;
        let gone = self.desk.segment(self.place, segment)?;
        if !self.keep {
            store.leave(gone, self.desk.grace());
        }
        store.shorten(&self.desk)?;
        drop(store);
        self.meter.stored(&self.name, number, bytes);
        Ok(())
    }

    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more items come.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.segmenter.finish()?;
        self.drain()?;
        self.desk.end(self.place)?;
        self.meter.complete(&self.name);
        Ok(())
    }
}

/// Where the segments of an earlier run end, in nanoseconds.
pub(crate) fn reached(epochs: &[sv_package::Rendition]) -> Option<Timestamp> {
    epochs.iter().rev().find_map(resume_point)
}
