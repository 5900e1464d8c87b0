//! The shapes of a pipeline: sources pull in, stages change, sinks store.

use crate::{Item, Object};

/// Where items come from. Calls may block (on a file, a decoder): a runner gives each source a
/// thread of its own.
pub trait Source: Send {
    /// What goes wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The next item, or `None` after the last one.
    ///
    /// # Errors
    /// As the source says; after one, nothing more is to be had.
    fn next_item(&mut self) -> Result<Option<Item>, Self::Error>;
}

/// Turns items into items: synchronous, deterministic, without I/O.
///
/// The caller drains [`pull`](Self::pull) to `None` after each [`push`](Self::push), and after
/// [`finish`](Self::finish); a stage may hold back as much as its algorithm needs and no more.
pub trait Stage: Send {
    /// What goes wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes one item in.
    ///
    /// # Errors
    /// As the stage says; after one, the stage is of no further use.
    fn push(&mut self, item: Item) -> Result<(), Self::Error>;

    /// The next item that is ready.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    fn pull(&mut self) -> Result<Option<Item>, Self::Error>;

    /// No more items come: what was held back becomes ready.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    fn finish(&mut self) -> Result<(), Self::Error>;
}

impl<S: Stage + ?Sized> Stage for Box<S> {
    type Error = S::Error;

    fn push(&mut self, item: Item) -> Result<(), Self::Error> {
        (**self).push(item)
    }

    fn pull(&mut self) -> Result<Option<Item>, Self::Error> {
        (**self).pull()
    }

    fn finish(&mut self) -> Result<(), Self::Error> {
        (**self).finish()
    }
}

/// Where objects go.
pub trait Sink: Send {
    /// Stores one object; when it returns, a [`Write::Whole`](crate::Write::Whole) object survives a crash.
    ///
    /// # Errors
    /// What the operating system or the store says; nothing half-written is visible then.
    fn put(&mut self, object: Object) -> std::io::Result<()>;
}
