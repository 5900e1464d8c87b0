//! The one safe layer over FFmpeg's libraries, 5.1 to 9.
//!
//! Everything here owns what it holds and speaks the vocabulary of `sv-core`: a [`Demuxer`] is a
//! [`sv_core::Source`] over any [`sv_core::ReadAt`] and never opens anything else by itself, a
//! [`Decoder`] gives frames whose pictures are FFmpeg's own buffers behind [`sv_core::Picture`],
//! a [`Filter`] changes them, and an [`Encoder`] gives packets and configurations in the form that
//! MP4 stores. What the linked FFmpeg can do is asked at run time ([`probe`]), never by features.
//!
//! All `unsafe` about FFmpeg is in this crate; nothing else in the workspace declares its functions.

pub mod decode;
pub mod demux;
pub mod device;
pub mod encode;
mod error;
mod ffi;
pub mod filter;
mod form;
mod frame;
mod io;
mod language;
mod log;
mod memory;
pub mod probe;
mod scale;
mod spherical;
mod track;
mod turn;

pub use decode::Decoder;
pub use demux::Demuxer;
pub use device::Device;
pub use encode::Encoder;
pub use error::Error;
pub use filter::Filter;
pub use frame::Frame;
pub use log::quiet;
pub use memory::lean;
pub use scale::Scaler;
