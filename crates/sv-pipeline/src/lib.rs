//! Runs a [`graph`] of stages on threads with bounded queues, stores what comes out in a
//! [`folder`], and keeps a [`queue`] of jobs in a journal.
//!
//! Nothing is spawned behind the caller's back: [`graph::Graph::run`] works until the end on
//! threads that end with it.

mod cancel;
mod channel;
pub mod folder;
pub mod graph;
pub mod queue;

pub use cancel::Cancel;
