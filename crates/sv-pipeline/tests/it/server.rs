//! Queues on a PostgreSQL server.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sv_pipeline::queue::Database;
pub(crate) use sv_testkit::postgres::{PASSWORD, Server};

use crate::place::Place;

/// A server that tests share while they run at the same time. `None`, with a line that says so, where
/// Debian's package `postgresql` is not installed.
pub(crate) fn shared() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let server = match shared.upgrade() {
        Some(server) => server,
        None => Arc::new(Server::start()?),
    };
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A queue of its own on that server.
pub(crate) fn place() -> Option<Place> {
    let server = shared()?;
    let database = fresh(&server);
    Some(Place::Server { _runs: server, database })
}

/// A queue that nobody has been in.
pub(crate) fn fresh(server: &Server) -> Database {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut database = Database::new(server.url(PASSWORD));
    database.name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    database
}
