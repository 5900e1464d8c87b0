//! What all handlers and workers share.

use std::sync::Arc;

use streamverse::chunks::Roster;
use streamverse::drm::token::Signer;
use streamverse::pipeline::queue::{Options as QueueOptions, Queue};
use tokio::sync::Semaphore;

use crate::api::uploads::Gates;
use crate::config::Config;
use crate::events::Bus;
use crate::files::Files;
use crate::jobs::Workers;
use crate::live::Studio;
use crate::metrics::Metrics;
use crate::problem::{Problem, Result};
use crate::store::Store;

/// The service, without the network.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) files: Files,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) bus: Bus,
    pub(crate) signer: Signer,
    pub(crate) gates: Gates,
    pub(crate) studio: Studio,
    cuts: Arc<Semaphore>,
    pub(crate) workers: Workers,
    pub(crate) roster: Roster,
    pub(crate) metrics: Metrics,
}

/// Files that are made of recordings at a time.
const CUTS: usize = 2;

pub(crate) type Shared = Arc<App>;

/// Why the data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0}")]
    Queue(#[from] streamverse::pipeline::queue::Error),
    #[error("the data folder can't be used: {0}")]
    Store(#[from] crate::store::OpenError),
    #[error("the data folder can't be used: {0}")]
    Io(#[from] std::io::Error),
    #[error("the secret in the data folder can't be used: {0}")]
    Secret(#[from] streamverse::drm::Error),
}

impl App {
    /// Opens the data folder. The queue comes first: its lock keeps a second service out.
    pub(crate) fn open(config: Config) -> Result<Shared, OpenError> {
        let queue = Queue::open(&config.data, QueueOptions::default(), std::time::SystemTime::now())?;
        let files = Files::open(&config.data)?;
        let store = Store::open(files.root())?;
        let signer = Signer::new(files.secret()?)?;
        Ok(Arc::new(Self {
            files,
            store,
            queue,
            signer,
            bus: Bus::new(),
            gates: Gates::default(),
            studio: Studio::default(),
            cuts: Arc::new(Semaphore::new(CUTS)),
            workers: Workers::default(),
            roster: Roster::default(),
            metrics: Metrics::default(),
            config,
        }))
    }

    /// Does what may wait for a disk, away from the threads that serve connections.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Shared,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&app)).await.map_err(Problem::internal)?
    }

    /// The same for what keeps the disk busy: a few at a time, whether or not those who wait for it are still there.
    pub(crate) async fn cutting<T: Send + 'static>(
        self: &Shared,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.cuts).acquire_owned().await.map_err(Problem::internal)?;
        self.blocking(move |app| {
            let _turn = turn;
            work(app)
        })
        .await
    }
}
