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
mod store;
mod unit;

pub(crate) use crew::Crew;
pub use store::Store;
pub use unit::Unit;
