//! The streaming platform as a library.
//!
//! This crate re-exports the family behind features and holds the recipes that wire its members
//! together, because the members never call each other: [`vod`] turns a file into an adaptive
//! stream, [`title`] finds the ladder that it needs, [`package_files`] packages what is encoded already, [`probe`] looks inside, [`doctor`]
//! says what works on this machine, and [`cost`] what work takes.
//!
//! ```no_run
//! use streamverse::vod::{self, Request};
//!
//! let (mut handle, driver) = vod::start(Request::new("talk.mp4", "talk"))?;
//! let events = handle.events();
//! std::thread::spawn(move || events.into_iter().for_each(|event| println!("{event:?}")));
//! let report = driver.run()?;
//! println!("open talk/{}", report.manifests[0]);
//! # Ok::<(), streamverse::Error>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "s3")]
mod bucket;
mod captions;
pub mod chunks;
pub mod compare;
pub mod cost;
mod cues;
mod damage;
mod doctor;
mod error;
mod finish;
#[cfg(feature = "gateway")]
pub mod gateway;
mod input;
#[cfg(feature = "live")]
pub mod live;
mod manifests;
mod meter;
mod names;
#[cfg(feature = "live")]
pub mod origin;
pub mod package_files;
mod pick;
mod place;
mod probe;
mod rungs;
mod text;
mod thumbnails;
pub mod title;
pub mod vod;
mod work;

/// The README's quick start is compiled, so that it tells the truth.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

pub use cues::{AdCue, Between};
pub use damage::Damage;
pub use doctor::{Doctor, doctor};
pub use error::{Error, Result};
pub use pick::Pick;
pub use probe::{Picture, Probe, Sound, Stream, probe};
pub use sv_codec as codec;
pub use sv_container as container;
pub use sv_core as core;
pub use sv_drm as drm;
#[cfg(feature = "ffmpeg")]
pub use sv_ffmpeg as ffmpeg;
#[cfg(feature = "gateway")]
pub use sv_ingest as ingest;
pub use sv_package as package;
pub use sv_pipeline as pipeline;
pub use sv_transcode as transcode;
pub use thumbnails::Thumbnails;
