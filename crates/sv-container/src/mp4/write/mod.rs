//! Writing: initialisation segments, fragments, indexes and whole files.

mod boxes;
mod event;
mod fragment;
mod groups;
mod index;
mod init;
pub mod progressive;
mod sample_entry;
pub(crate) mod text;

pub use event::{Emsg, Prft};
pub use fragment::{Options, fragment};
pub use index::{Index, Reference};
pub use init::init_segment;
pub use sample_entry::supports;
