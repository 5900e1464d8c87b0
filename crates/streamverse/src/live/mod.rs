//! Live: a source goes in as it happens, HLS and DASH come out while it does, with low latency if wanted.
//!
//! [`start`] checks the request and gives three parts: a [`Handle`] to watch and to cancel, an [`Origin`] that
//! answers requests (with the feature `live` a router for HTTP), and a [`Driver`] that does the work on the
//! thread that calls [`Driver::run`].
//!
//! Whole segments lie in the output folder, with a journal beside them, so a run that was killed goes on in
//! the same presentation: numbers go on, and what clients have stays true. A source that can be read again
//! (a file) goes on where its segments end, with the same bytes; one that can't (a pipe) goes on behind a
//! discontinuity.

mod channel;
mod desk;
mod harvest;
mod http;
mod lane;
mod run;
mod setup;
mod source;
mod store;
mod words;

pub use channel::Channel;
pub use desk::Origin;
pub use harvest::harvest;
#[cfg(feature = "gateway")]
pub(crate) use http::stored;
pub use run::Driver;
#[cfg(feature = "gateway")]
pub(crate) use setup::begin;
pub use setup::start;
#[cfg(feature = "gateway")]
pub(crate) use source::{Clock, Paced};
#[cfg(feature = "gateway")]
pub(crate) use source::{Coming, NAP, cancelled};
pub(crate) use store::{Earlier, JOURNAL, Told};

use std::path::PathBuf;
use std::time::Duration;

use sv_package::live::Window;

use crate::Pick;
use crate::package_files::TextAs;
pub use crate::vod::{Encryption, Handle};

/// What to stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Files, which are shown at the speed of their clocks; or `-`, an MPEG transport stream on standard input.
    pub inputs: Vec<Pick>,
    /// The folder in which the presentation lies, or lay when an earlier run of the same request ended.
    pub output: PathBuf,
    /// Segments end at the first key frame at or behind each multiple of this.
    pub segment: Duration,
    /// Longest part of a segment, for low latency; none without.
    pub part: Option<Duration>,
    /// What stays to be had.
    pub window: Window,
    /// Keep files that the window has left.
    pub keep: bool,
    /// Begin files anew when they end.
    pub looping: bool,
    /// Whether and how to encrypt.
    pub encryption: Option<Encryption>,
    /// Heed the cues that the source tells itself: SCTE-35 in transport streams.
    pub cues: bool,
    /// What players of HLS show instead of the programme while it is left: the URI of a playlist. `{event}` in it stands for
    /// the identifier of the break and `{seconds}` for its length.
    pub interstitial: Option<String>,
    /// Tell of splices in segments too (`emsg`): in those of pictures, or of sound where there are none.
    pub emsg: bool,
    /// Make text of the CEA-608 captions that pictures carry, besides saying that they carry them.
    pub extract_captions: bool,
    /// Which of them. None: those that are heard in the first half minute of a file, and CC1 of a pipe.
    pub channels: Vec<Channel>,
    /// How text is stored, in [`TextAs::Segments`] or [`TextAs::Mp4`]. `None`: in both, the first for HLS and the second for
    /// DASH, because few players of HLS read text in MP4 and few of DASH read other segments of text.
    pub text: Option<TextAs>,
    /// Fast motion for DASH, of the smallest picture: one of every so many key frames for each number.
    pub trick_play: Vec<u32>,
    /// Where else the presentation will be had, and who says from where to take it. With the server `steering.json` that
    /// file is served too.
    pub steering: Option<sv_package::Steering>,
    /// Where a ClearKey licence is to be had; written into the DASH manifest.
    pub license_url: Option<String>,
}

impl Request {
    /// Segments of 2 s in parts of half a second, and a window of a minute.
    #[must_use]
    pub fn new(inputs: Vec<impl Into<Pick>>, output: impl Into<PathBuf>) -> Self {
        Self {
            inputs: inputs.into_iter().map(Into::into).collect(),
            output: output.into(),
            segment: Duration::from_secs(2),
            part: Some(Duration::from_millis(500)),
            window: Window::Sliding(Duration::from_secs(60)),
            keep: false,
            looping: false,
            encryption: None,
            cues: true,
            interstitial: None,
            emsg: false,
            extract_captions: false,
            channels: Vec::new(),
            text: None,
            trick_play: Vec::new(),
            steering: None,
            license_url: None,
        }
    }
}
