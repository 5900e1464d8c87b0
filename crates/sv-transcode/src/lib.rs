//! Decode once, scale, encode every rung.
//!
//! Three kinds of [`Stage`](sv_core::Stage), each of one thread and without I/O: [`decode::open`]
//! turns packets into frames, [`filter::video`] and [`filter::audio`] change frames, and
//! [`encode::video`] and [`encode::audio`] turn frames into packets. A runner connects them; a
//! frame goes from the decoder to every rung as a reference count, and a smaller rung may be fed
//! by the next larger one's filter.
//!
//! What to make of a source is decided apart from doing it: [`ladder`] picks the rungs and says
//! why, [`audio`] picks the sound tracks.
//!
//! # Times
//! Video times never change: every stage keeps the source's time base and each frame's time to the
//! tick. Sound leaves [`filter::audio`] in a time base of one sample. What lies before the origin
//! of the timeline is not presented (that is how MP4 edit lists and encoder delay reach us):
//! decoders drop such pictures and samples, and audio encoders give packets that begin
//! [`AudioInfo::delay`](sv_core::AudioInfo::delay) samples before the first sample that counts.
//!
//! # Backends
//! Who does the work is chosen at run time by [`Backend`]; no public type names a library.
//! [`capabilities`] says what works here and what would switch on the rest.
// The driver of a device is called by pointers, in `backend::nvcodec` alone; nothing else may.
#![cfg_attr(not(feature = "nvcodec"), forbid(unsafe_code))]
#![deny(unsafe_code)]

pub mod audio;
mod backend;
pub mod bars;
mod capability;
pub mod chunk;
pub mod cpu;
pub mod decode;
mod device;
mod dolby;
mod dynamic;
pub mod encode;
mod error;
pub mod filter;
pub mod ladder;
pub mod loudness;
pub mod metric;
pub mod poster;
mod rgb;
pub mod title;

pub use backend::Backend;
pub use capability::{Capability, capabilities, program_version};
pub use device::Device;
pub use error::Error;
pub use ladder::{Ladder, Rung};

/// A stage of this crate.
pub type Stage = Box<dyn sv_core::Stage<Error = Error>>;
