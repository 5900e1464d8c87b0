//! Presentations that go on: windows, parts, breaks of the source, and who waits for what.
//!
//! Nothing here knows a socket or a clock. A [`Stream`] for each rendition takes what a
//! [`Segmenter`](crate::Segmenter) gives, names it, and remembers as much as its playlist tells. A
//! [`Presentation`] holds all of them and says what a request is answered with, now or later: an origin is
//! a loop around it.

mod continuity;
mod presentation;
mod stream;

pub use crate::clock::date_time;
pub use continuity::Continuity;
pub use presentation::{Answer, Presentation, Wanted};
pub use stream::{PartRecord, Stream};

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much of what was shown stays to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// So much behind the newest segment: the length that viewers can go back.
    Sliding(Duration),
    /// All of it, from the beginning: an event, which is a recording when it ends.
    Event,
}

/// What all renditions of a presentation have in common.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The wall clock at the presentation's beginning, since 1970.
    pub began: Duration,
    /// Segments end at the first key frame at or behind each multiple of this.
    pub segment: Duration,
    /// Longest part of a segment; without one, segments are listed when they are whole.
    pub part: Option<Duration>,
    /// What stays to be had.
    pub window: Window,
    /// Of a recording: the moment at which it begins. Manifests count time from there.
    pub recorded_from: Option<Duration>,
    /// Whether requests for what is not there yet wait for it, and manifests are patched: manifests of who does neither
    /// promise neither.
    pub waits: bool,
    /// Whether the source may tell of splices: DASH manifests that go on have room for them from the beginning, or never.
    pub splices: bool,
    /// What players of HLS show instead of the programme at a departure, for as long as that is said to be: the URI of a
    /// playlist, in which `{event}` stands for the identifier of the event and `{seconds}` for its length in whole seconds.
    pub interstitial: Option<String>,
    /// What playlists say besides; marks come as they happen ([`Presentation::mark`]).
    pub hls: crate::hls::Options,
    /// What the DASH manifest says besides.
    pub dash: crate::dash::Options,
}

impl Settings {
    /// Segments of 2 s without parts, and a window of 30 s.
    #[must_use]
    pub fn new(began: Duration) -> Self {
        Self {
            began,
            segment: Duration::from_secs(2),
            part: None,
            window: Window::Sliding(Duration::from_secs(30)),
            recorded_from: None,
            waits: true,
            splices: false,
            interstitial: None,
            hls: crate::hls::Options::default(),
            dash: crate::dash::Options::default(),
        }
    }
}
