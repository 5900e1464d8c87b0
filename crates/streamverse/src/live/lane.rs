//! What each rendition of a live presentation goes through: encrypted, cut into parts and segments, stored,
//! told to whoever waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sv_core::{Cue, Item, Object, Stage as _, TimeBase, Timestamp, Track, TrackId, Write};
use sv_drm::cenc;
use sv_package::{Carried, Mark, Segmenter, TrickPlay};

use super::desk::Desk;
use super::store::Store;
use super::words::{Words, millis};
use crate::Result;
use crate::captions::Listener;
use crate::finish::{Begin, resume_point};
use crate::meter::Meter;

/// Where a rendition's tracks and segments go.
pub(crate) struct Outlet {
    pub(crate) name: String,
    /// Its place among the presentation's streams.
    pub(crate) place: usize,
    /// The first track goes on with what an earlier run stored.
    pub(crate) seamless: bool,
    pub(crate) desk: Arc<Desk>,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) meter: Meter,
    pub(crate) keep: bool,
}

impl Outlet {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn track(&mut self, track: Arc<Track>) -> Result<()> {
        let seamless = std::mem::take(&mut self.seamless);
        let Some((init, rendition)) = self.desk.track(self.place, track, seamless)? else { return Ok(()) };
        let mut store = self.store();
        if let Some(init) = init {
            store.put(init)?;
        }
        store.began(&rendition)
    }

    /// Says which captions the pictures carry, before the first segment is told.
    fn carry(&self, names: Vec<Carried>) -> Result<()> {
        match self.desk.carry(self.place, names) {
            Some(rendition) => self.store().began(&rendition),
            None => Ok(()),
        }
    }

    /// On the disk first, then in the journal, then in the playlists: nobody hears of what a crash could undo.
    pub(crate) fn segment(&self, segment: sv_core::Segment) -> Result<()> {
        let (number, bytes) = (segment.number, segment.len());
        let Some((path, content_type, record)) = self.desk.describe(self.place, &segment) else {
            return Ok(());
        };
        let object = Object { path, content_type, data: segment.data.clone(), write: Write::Whole };
        let mut store = self.store();
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

    /// Nothing more comes of it, and what there is is of no use without.
    fn leave(&self) {
        let gone = self.desk.leave(self.place);
        if !self.keep {
            self.store().leave(gone, self.desk.grace());
        }
        self.meter.complete(&self.name);
    }

    pub(crate) fn end(&self) -> Result<()> {
        self.desk.end(self.place)?;
        self.meter.complete(&self.name);
        Ok(())
    }
}

/// One rendition.
pub(crate) struct Lane {
    /// The track of the source that it is made of.
    pub(crate) id: TrackId,
    pub(crate) outlet: Outlet,
    /// The track, as it is told to the world.
    pub(crate) told: Arc<Track>,
    pub(crate) trick: Option<TrickPlay>,
    pub(crate) begin: Option<Begin>,
    pub(crate) encryptor: Option<cenc::Encryptor>,
    pub(crate) segmenter: Segmenter,
    /// Packets before this moment, in nanoseconds, were stored by an earlier run.
    pub(crate) from: Option<Timestamp>,
    /// Of packets that come.
    pub(crate) base: TimeBase,
    /// Of segments.
    pub(crate) out: TimeBase,
    /// Hears captions, for as long as somebody has to know what they are.
    pub(crate) listener: Option<Listener>,
    /// Nobody has been told yet which captions there are.
    pub(crate) tells: bool,
    /// Text that goes with it.
    pub(crate) words: Words,
    /// The end of its track is that of the rendition, whatever the others do.
    pub(crate) leaves: bool,
    /// It has been given up.
    pub(crate) left: bool,
}

impl Lane {
    /// The track whose items it takes, if it takes no others.
    pub(crate) fn only(&self) -> Option<TrackId> {
        (!self.words.has_tracks()).then_some(self.id)
    }

    /// Takes an item of the rendition, or of the text that goes with it.
    pub(crate) fn item(&mut self, mut item: Item) -> Result<()> {
        if self.left {
            return Ok(());
        }
        match &mut item {
            Item::End(id) if *id == self.id && self.leaves => {
                self.left = true;
                self.outlet.leave();
                return Ok(());
            }
            other if other.track().is_some_and(|id| id != self.id) => {
                return match other {
                    Item::Packet(packet) => self.words.packet(packet),
                    _ => Ok(()),
                };
            }
            Item::Track(track) => {
                let said = (self.told.language.clone(), self.told.label.clone(), self.told.default);
                let track = Arc::make_mut(track);
                (track.language, track.label, track.default) = said;
                self.base = track.time_base;
                self.listener.iter_mut().for_each(|listener| listener.track(track));
                if let (Some(begin), None) = (&self.begin, &self.encryptor) {
                    self.encryptor = Some(begin.encryptor(track)?);
                }
            }
            Item::Packet(packet) => {
                self.listener.iter_mut().for_each(|listener| listener.packet(packet));
                if self.from.is_some_and(|from| packet.pts.rescale(self.base, TimeBase::NANOS) < from) {
                    return Ok(());
                }
                self.from = None;
                let end = packet.pts.saturating_add(packet.duration);
                self.outlet.meter.at(&self.outlet.name, end.rescale(self.base, TimeBase::MILLIS));
            }
            _ => {}
        }
        let Some(trick) = &mut self.trick else { return self.encrypt(item) };
        trick.push(item)?;
        self.tricked()
    }

    /// Goes on with the key pictures that there are.
    fn tricked(&mut self) -> Result<()> {
        while let Some(item) = self.trick.as_mut().map(|trick| trick.pull()).transpose()?.flatten() {
            self.encrypt(item)?;
        }
        Ok(())
    }

    fn encrypt(&mut self, item: Item) -> Result<()> {
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
                Item::Track(track) => {
                    self.out = track.time_base;
                    self.outlet.track(track)?;
                    self.words.begin()?;
                }
                Item::Part(part) => self.outlet.desk.part(self.outlet.place, part)?,
                Item::Cue(cue) => self.cue(&cue)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Every rendition hears of a cue; the first one tells it, when it is in the journal.
    fn cue(&self, cue: &Cue) -> Result<()> {
        let Some(mark) = Mark::of(cue) else { return Ok(()) };
        let mut store = self.outlet.store();
        if !self.outlet.desk.knows(&mark) {
            store.cue(cue)?;
            self.outlet.desk.mark(mark);
        }
        Ok(())
    }

    fn segment(&mut self, segment: sv_core::Segment) -> Result<()> {
        let end = segment.start.saturating_add(segment.duration);
        let (from, to) = (millis(segment.start, self.out), millis(end, self.out));
        self.words.segment(self.listener.as_mut(), from, to)?;
        if std::mem::take(&mut self.tells)
            && let Some(listener) = &mut self.listener
        {
            listener.until(to);
            self.outlet.carry(listener.promised())?;
        }
        if !self.words.has_channels() {
            self.listener = None;
        }
        self.outlet.segment(segment)
    }

    /// No more items come.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.left {
            return Ok(());
        }
        if let Some(trick) = &mut self.trick {
            trick.finish()?;
            self.tricked()?;
        }
        self.segmenter.finish()?;
        self.drain()?;
        self.words.end()?;
        self.outlet.end()
    }
}

/// Where the segments of an earlier run end, in nanoseconds.
pub(crate) fn reached(epochs: &[sv_package::Rendition]) -> Option<Timestamp> {
    epochs.iter().rev().find_map(resume_point)
}
