//! The crate from outside.

mod queue;
