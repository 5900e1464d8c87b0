//! Pictures encoded in chunks, by as many workers as there are, with the same bytes however many.
//!
//! A [`Unit`] says everything about one chunk: which part of which source, and the rungs to make of
//! it. Whoever has it can do it, here or on another machine. Its results lie in a [`Store`] and the
//! coordinator puts them together ([`vod`](crate::vod)) as they come.
//!
//! What makes the bytes the same: where chunks begin is decided before the first one is encoded, an
//! encoder runs on one thread, and it sees the same pictures before and behind its chunk whoever
//! runs it. Those pictures are what keeps the seams unseen: an encoder that begins a little before
//! its chunk has its rate control settled when the chunk comes, and one that sees what follows
//! spends its last bits as if it went on.

mod crew;
#[cfg(feature = "nats")]
mod far;
mod roster;
mod store;
mod unit;
#[cfg(feature = "nats")]
mod worker;

#[cfg(feature = "postgres")]
pub(crate) use crew::journal as unwritten;
pub(crate) use crew::{Crew, Plan};
pub use roster::{Hand, Load, Roster};
pub use store::Store;
pub use unit::Unit;
#[cfg(feature = "nats")]
pub use worker::{Worker, group};

/// Who encodes chunks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Workers {
    /// Threads of this process, so many.
    Here(u32),
    /// Whoever has joined through NATS (`sv worker`): processes of this machine and others that
    /// have the source and the output at the same paths.
    #[cfg(feature = "nats")]
    Nats(sv_pipeline::nats::Options),
}

/// Where it is written down which chunks are to be made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Journal {
    /// In SQLite, beside the output.
    #[default]
    Folder,
    /// In a PostgreSQL server, in a schema that the run names and removes at its end: for outputs on a network's
    /// folders, where SQLite's locks are worth nothing.
    #[cfg(feature = "postgres")]
    Database(sv_pipeline::queue::Database),
}
