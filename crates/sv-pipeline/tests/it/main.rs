//! The crate from outside.

mod place;
mod queue;
#[cfg(all(unix, feature = "postgres"))]
mod refused;
#[cfg(all(unix, feature = "postgres"))]
mod server;
#[cfg(all(unix, feature = "postgres"))]
mod shared;
