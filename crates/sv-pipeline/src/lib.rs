//! Runs a [`graph`] of stages on threads with bounded queues, stores what comes out in a
//! [`folder`], keeps a [`queue`] of jobs in a journal (a folder's, or with the feature `postgres` a
//! server's), lets live work go first ([`share`]), and (feature `nats`) gives work to other machines.
//!
//! Nothing is spawned behind the caller's back: [`graph::Graph::run`] works until the end on
//! threads that end with it, and so does a connection to PostgreSQL.

mod cancel;
mod channel;
pub mod folder;
pub mod graph;
#[cfg(feature = "nats")]
pub mod nats;
pub mod queue;
pub mod share;

pub use cancel::Cancel;
