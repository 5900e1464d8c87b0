//! Runs a live presentation that is set up.

use std::sync::{Arc, Mutex, PoisonError};

use sv_core::{ErrorKind, Event, Item, Source};
use sv_pipeline::Cancel;
use sv_pipeline::graph::{Failure, Graph};
use sv_pipeline::share::{Class, Share, Shares};

use super::desk::Origin;
use super::lane::Lane;
use super::source::{Coming, Paced};
use super::store::Store;
use crate::meter::Meter;
use crate::package_files::failure;
use crate::{Error, Result};

/// Packets that wait between reader and writer, in bytes, for each track.
const QUEUE: usize = 2 << 20;

/// What an input gives, and the renditions that are made of it.
pub(crate) struct Feed {
    pub(crate) source: Either,
    pub(crate) lanes: Vec<Lane>,
}

pub(crate) enum Either {
    Paced(Box<Paced>),
    Coming(Box<dyn Coming>),
}

impl Source for Either {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        match self {
            Self::Paced(paced) => paced.next_item(),
            Self::Coming(coming) => coming.next_item(),
        }
    }
}

/// Does the work of one request.
pub struct Driver {
    pub(super) feeds: Vec<Feed>,
    pub(super) origin: Origin,
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) meter: Meter,
    pub(super) cancel: Cancel,
    /// An earlier run saw the source end.
    pub(super) ended: bool,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Driver {
    /// Streams until the sources end or the run is cancelled; then the presentation is a recording of what
    /// its window holds.
    ///
    /// # Errors
    /// When a source breaks off or the folder can't be written: everything that was told stays, and the same
    /// request goes on with it.
    pub fn run(self) -> Result<()> {
        let Self { feeds, origin, store, meter, cancel, ended } = self;
        if ended {
            // Nothing is left to come.
            return origin.desk.end_all();
        }
        let order = origin.desk.names();
        meter.begin(None);
        meter.tell(Event::Planned { renditions: order, duration_ms: None, reasons: Vec::new() });

        let lanes: Vec<Vec<Mutex<Lane>>>;
        let sources: Vec<Either>;
        (sources, lanes) = feeds
            .into_iter()
            .map(|feed| (feed.source, feed.lanes.into_iter().map(Mutex::new).collect()))
            .unzip();
        let locked = |lane: &Mutex<Lane>, work: &dyn Fn(&mut Lane) -> Result<()>| {
            work(&mut lane.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let share = Share::new(&Shares::default(), Class::Live);
        let mut graph = Graph::<Error>::new(QUEUE, &cancel).share(&share);
        for (source, lanes) in sources.into_iter().zip(&lanes) {
            let source = Noting { source, store: &store };
            let node = graph.source("reader", source);
            for lane in lanes {
                let only = lane.lock().unwrap_or_else(PoisonError::into_inner).only();
                graph.sink("writer", node, only, move |item: Item| {
                    lane.lock().unwrap_or_else(PoisonError::into_inner).item(item)
                });
            }
        }
        let result = graph.run();
        // Whoever stops a stream wants what there is of it.
        let stopped = match result {
            Ok(()) | Err(Failure::Cancelled) => Ok(()),
            Err(Failure::Node { error, .. }) if error.kind() == ErrorKind::Cancelled => Ok(()),
            Err(other) => Err(failure(other)),
        };
        stopped?;
        for lane in lanes.iter().flatten() {
            locked(lane, &Lane::end)?;
        }
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut manifests = Vec::new();
        for object in origin.desk.objects()? {
            if matches!(object.path.as_str(), "master.m3u8" | "manifest.mpd") {
                manifests.push(object.path.clone());
            }
            store.put(object)?;
        }
        store.end()?;
        meter.tell(Event::Finished { manifests, elapsed_ms: meter.elapsed().as_millis() as u64 });
        Ok(())
    }
}

/// Notes in the journal how long a file is that is shown again and again.
struct Noting<'a> {
    source: Either,
    store: &'a Mutex<Store>,
}

impl Source for Noting<'_> {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        let length = |source: &Either| match source {
            Either::Paced(paced) => paced.length(),
            Either::Coming(_) => None,
        };
        let before = length(&self.source);
        let item = self.source.next_item()?;
        if let (None, Some(length)) = (before, length(&self.source)) {
            self.store.lock().unwrap_or_else(PoisonError::into_inner).note_length(length)?;
        }
        Ok(item)
    }
}
