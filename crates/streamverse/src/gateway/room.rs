//! Where a stream is presented: one room for each name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use sv_core::ErrorKind;
use sv_ingest::gateway::Notice;
use sv_ingest::health::Report;
use sv_ingest::record::{Progress, Recorder};
use sv_ingest::{Feed, Hub};
use sv_pipeline::Cancel;

use super::filler::{Filler, Slate};
use super::ladder::{Laddered, Standing};
use super::picture::Pictures;
use super::source::{Fed, Fill};
use super::{Happening, Settings};
use crate::live::{self, JOURNAL, Told};
use crate::{Error, Result};

/// What waits for a presentation's packager, in bytes.
const FEED: usize = 32 << 20;
/// For how long something is shown where a sender is gone without a word: most are there again by then. (OBS waits two seconds
/// before it tries again.)
const LOST: Duration = Duration::from_secs(5);
/// Presentations that are over and can still be asked for.
const MOST_OVER: usize = 64;

pub(super) struct Rooms {
    settings: Settings,
    hub: Hub,
    rooms: Mutex<BTreeMap<String, Room>>,
    pictures: Pictures,
    slate: Option<Arc<Slate>>,
    recorders: Mutex<BTreeMap<String, Recorder>>,
    /// Held by who ends a stream and waits for it.
    finishing: Mutex<()>,
}

struct Room {
    /// What answers requests, once there is something to see.
    router: Option<Router>,
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
    over: bool,
    /// Whether who sent it was gone without a word.
    lost: Arc<AtomicBool>,
    /// How its rungs stand, if it may have some.
    standing: Option<Arc<Standing>>,
    /// Counts presentations, so that who ends knows whether it is still the newest.
    number: u64,
}

impl Room {
    /// Ends it, and gives what to wait for.
    fn end(&mut self) -> Option<JoinHandle<()>> {
        self.cancel.cancel();
        self.thread.take()
    }
}

impl Rooms {
    pub(super) fn new(settings: Settings, hub: Hub) -> Result<Self> {
        let slate = settings.slate.as_deref().map(Slate::open).transpose()?.map(Arc::new);
        Ok(Self {
            settings,
            hub,
            rooms: Mutex::default(),
            slate,
            recorders: Mutex::default(),
            finishing: Mutex::default(),
            pictures: Pictures::default(),
        })
    }

    /// Records the stream, if that is wanted and nobody does it yet.
    fn record(&self, stream: &str) {
        let Some(settings) = (self.settings.record)(stream) else { return };
        let mut recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        recorders.retain(|_, recorder| !recorder.is_over());
        if recorders.contains_key(stream) {
            return;
        }
        let (told, name) = (Arc::clone(&self.settings.told), stream.to_owned());
        let tell = move |progress| told(&Happening::Recorded { stream: name.clone(), progress });
        match Recorder::start(&self.hub, stream, &settings, tell) {
            Ok(recorder) => drop(recorders.insert(stream.to_owned(), recorder)),
            Err(error) => {
                let progress = Progress::Failed { reason: error.to_string() };
                (self.settings.told)(&Happening::Recorded { stream: stream.to_owned(), progress });
            }
        }
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What answers requests for a stream: for what is presented, or else for what its newest presentation has left.
    pub(super) fn router(&self, name: &str) -> Option<Router> {
        let presented = self.rooms().get(name).and_then(|room| room.router.clone());
        presented.or_else(|| {
            let folder = self.newest(name)?;
            // Playlists are written when a presentation has ended.
            folder.join("master.m3u8").is_file().then(|| live::stored(folder))
        })
    }

    /// The folder of a stream's newest presentation.
    fn newest(&self, name: &str) -> Option<PathBuf> {
        if !sv_ingest::is_name(name) {
            return None;
        }
        // Names are times.
        std::fs::read_dir(self.settings.output.join(name)).ok()?.flatten().map(|entry| entry.path()).max()
    }

    /// What a stream shows at the moment, as a JPEG.
    pub(super) async fn picture(&self, name: &str) -> Result<bytes::Bytes> {
        self.pictures.of(&self.hub, name).await
    }

    /// All streams by name: whether each can be watched, and how well it comes, if it does.
    pub(super) fn streams(&self) -> Vec<(String, bool, Option<Report>)> {
        let mut names: BTreeMap<String, bool> =
            self.rooms().iter().map(|(name, room)| (name.clone(), room.router.is_some())).collect();
        for name in self.hub.live() {
            names.entry(name).or_default();
        }
        let health = |name: &str| self.hub.health(name);
        names.into_iter().map(|(name, watched)| (name.clone(), watched, health(&name))).collect()
    }

    /// How the rungs of a stream stand, if it may have some.
    pub(super) fn standing(&self, name: &str) -> Option<Arc<Standing>> {
        self.rooms().get(name).filter(|room| !room.over)?.standing.clone()
    }

    /// How well a stream comes from each who sends it.
    pub(super) fn senders(&self, name: &str) -> Vec<Report> {
        self.hub.senders(name)
    }

    /// Something happens to a stream. Packets of one that begins come after this.
    pub(super) fn hear(self: &Arc<Self>, notice: &Notice) {
        (self.settings.told)(&Happening::Ingest(notice.clone()));
        if let Notice::Ended { stream, lost, .. } = notice
            && let Some(room) = self.rooms().get(stream)
        {
            room.lost.store(*lost, Ordering::Release);
        }
        let Notice::Started { stream, .. } = notice else { return };
        self.record(stream);
        let mut rooms = self.rooms();
        if rooms.get(stream).is_some_and(|room| !room.over) {
            return;
        }
        if rooms.values().filter(|room| !room.over).count() >= self.settings.presentations {
            tracing::warn!(stream, "there are too many presentations: this stream is only passed on");
            return;
        }
        let number = rooms.get(stream).map_or(0, |room| room.number + 1);
        let feed = self.hub.subscribe(stream, FEED);
        let cancel = Cancel::default();
        let (all, name, stop) = (Arc::clone(self), stream.clone(), cancel.clone());
        let standing = Arc::new(Standing::default());
        let ladder = Arc::clone(&standing);
        let lost = Arc::<AtomicBool>::default();
        let was_lost = Arc::clone(&lost);
        let thread = std::thread::Builder::new().name("presentation".into()).spawn(move || {
            let error = all.present(&name, number, feed, (&ladder, &was_lost), &stop).err();
            if let Some(error) = &error {
                tracing::warn!(stream = name, %error, "the presentation has ended");
            }
            if let Some(room) = all.rooms().get_mut(&name).filter(|room| room.number == number) {
                room.over = true;
            }
            let error = error.map(|e| e.to_string());
            (all.settings.told)(&Happening::Closed { stream: name, error });
        });
        match thread {
            Ok(thread) => {
                // Who watches sees what was, until there is something new.
                let router = rooms.get(stream).and_then(|room| room.router.clone());
                let standing = self.settings.below(stream).map(|_| standing);
                let room = Room { router, cancel, thread: Some(thread), over: false, lost, standing, number };
                rooms.insert(stream.clone(), room);
                let over: Vec<String> =
                    rooms.iter().filter(|(_, room)| room.over).map(|(name, _)| name.clone()).collect();
                for name in over.into_iter().skip(MOST_OVER) {
                    rooms.remove(&name);
                }
            }
            Err(error) => tracing::error!(%error, "no thread is to be had"),
        }
    }

    fn present(
        self: &Arc<Self>,
        name: &str,
        number: u64,
        feed: Feed,
        (standing, lost): (&Arc<Standing>, &Arc<AtomicBool>),
        cancel: &Cancel,
    ) -> Result<()> {
        let folder = self.folder(name)?;
        let mut feed = Some(feed);
        let linger = self.settings.linger;
        // A slate is shown as long as somebody is waited for.
        let fill = match (&self.slate, self.settings.fill) {
            (Some(_), _) => Fill::always(linger),
            (None, Some(fill)) => Fill::always(fill.min(linger)),
            (None, None) => Fill::lost(LOST.min(linger), lost),
        };
        let request = self.settings.request(folder.clone());
        let (mut handle, origin, driver) = live::begin(request, cancel, |from, _, cancel| {
            let feed = feed.take().unwrap_or_else(|| self.hub.subscribe(name, FEED));
            let fed = Fed::new(feed, from, linger, (Filler::new(self.slate.clone()), fill.clone()), cancel);
            let Some(below) = self.settings.below(name) else { return Box::new(fed) };
            let (told, resumed) = (Arc::clone(&self.settings.told), !from.is_zero());
            let tell = move |happening| told(&happening);
            let what = (name, below.clone(), folder.as_path());
            Box::new(Laddered::new(fed, what, resumed, Arc::clone(standing), tell, cancel))
        })?;
        // Nobody listens, and a stream may go on for months.
        drop(handle.events());
        let router = origin.router();
        if let Some(room) = self.rooms().get_mut(name).filter(|room| room.number == number) {
            room.router = Some(router);
        }
        (self.settings.told)(&Happening::Presented { stream: name.to_owned(), folder });
        driver.run()
    }

    /// The folder of a stream's presentation: that of one which broke off not long ago, or a new one.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let all = self.settings.output.join(name);
        std::fs::create_dir_all(&all)?;
        if let Some(newest) = self.newest(name)
            && self.goes_on(&newest)
        {
            return Ok(newest);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let date = sv_package::live::date_time(now).replace(':', "");
        let folder = all.join(date);
        if folder.exists() {
            let message = format!("{} is there already", folder.display());
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        Ok(folder)
    }

    fn goes_on(&self, folder: &Path) -> bool {
        let written = std::fs::metadata(folder.join(JOURNAL)).and_then(|m| m.modified());
        let recent = written.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago <= self.settings.linger));
        recent && Told::of(folder).is_ok_and(|told| !told.ended)
    }

    /// Ends one, and waits for that, also where somebody else does it.
    pub(super) fn finish(&self, name: &str) {
        let _turn = self.finishing.lock().unwrap_or_else(PoisonError::into_inner);
        let recorder = self.recorders.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        drop(recorder);
        let thread = self.rooms().get_mut(name).and_then(Room::end);
        // A thread that panicked has nothing left to end.
        let _ = thread.map(JoinHandle::join);
    }

    /// Lets go of one that is over.
    pub(super) fn forget(&self, name: &str) -> bool {
        let mut rooms = self.rooms();
        rooms.get(name).is_some_and(|room| room.over) && rooms.remove(name).is_some()
    }

    /// Ends all of them, and waits for that.
    pub(super) fn close(&self) {
        self.recorders.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let threads: Vec<_> = self.rooms().values_mut().filter_map(Room::end).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}
