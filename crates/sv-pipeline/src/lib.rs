//! Runs a graph of stages on threads with bounded queues, and queues jobs in a journal.

pub mod queue;
