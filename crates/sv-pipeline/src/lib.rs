//! Runs a [`graph`] of stages on threads with bounded queues, stores what comes out in a
//! [`folder`], keeps a [`queue`] of jobs in a journal, lets live work go first ([`share`]), and (feature `nats`) gives work to other machines.
//!
//! Nothing is spawned behind the caller's back: [`graph::Graph::run`] works until the end on
//! threads that end with it.

mod cancel;
mod channel;
pub mod folder;
pub mod graph;
#[cfg(feature = "nats")]
pub mod nats;
pub mod queue;
pub mod share;

pub use cancel::Cancel;
