//! Where a queue of a test is.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use sv_pipeline::queue::{NewJob, Options, Queue};
use tempfile::TempDir;

/// A queue that can be opened again.
pub(crate) enum Place {
    Folder(TempDir),
    #[cfg(all(unix, feature = "postgres"))]
    Server {
        _runs: std::sync::Arc<crate::server::Server>,
        database: sv_pipeline::queue::Database,
    },
}

impl Place {
    pub(crate) fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder.path(),
            #[cfg(all(unix, feature = "postgres"))]
            Self::Server { .. } => unreachable!("a queue on a server has no folder"),
        }
    }

    pub(crate) fn open(&self, now: SystemTime) -> Queue {
        match self {
            Self::Folder(folder) => Queue::open(folder.path(), Options::default(), now).unwrap(),
            #[cfg(all(unix, feature = "postgres"))]
            Self::Server { database, .. } => Queue::connect(database, Options::default()).unwrap(),
        }
    }

    /// Whether the jobs of a dead process are free before their leases end.
    pub(crate) fn shows_who_is_dead(&self) -> bool {
        matches!(self, Self::Folder(_))
    }
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

pub(crate) fn job(key: &str) -> NewJob {
    NewJob::new(key, json!({ "of": key }))
}

/// Runs each of these with a journal in a folder, and with one in a server where there is one.
macro_rules! with_each_journal {
    ($($name:ident),* $(,)?) => {
        mod in_a_folder {
            $(#[test]
            fn $name() {
                super::$name(&crate::place::Place::folder());
            })*
        }

        #[cfg(all(unix, feature = "postgres"))]
        mod in_a_server {
            $(#[test]
            fn $name() {
                let Some(place) = crate::server::place() else { return };
                super::$name(&place);
            })*
        }
    };
}
pub(crate) use with_each_journal;
