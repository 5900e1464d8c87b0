//! Reading: boxes, tables, fragments, and the demuxer over them.

mod atom;
mod crypt;
mod demux;
mod entry;
mod event;
mod layout;
mod moof;
mod spherical;
mod tables;
mod trak;
mod window;

pub use demux::{Demuxer, Located};
