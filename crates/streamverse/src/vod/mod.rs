//! Video on demand: a file goes in, an adaptive stream comes out.
//!
//! [`start`] checks the request and gives two halves: a [`Handle`] to watch and to cancel, and a
//! [`Driver`] that does the work on the thread that calls [`Driver::run`]. Nothing runs behind the
//! caller's back.
//!
//! Work happens in `<output>.partial`, with a journal of every finished segment. When all is
//! there, the folder is renamed to `<output>`, so nobody ever sees half a presentation. A run that
//! was killed goes on where its journal ends when the same request is started again.

mod bars;
mod chunks;
mod decided;
mod encryption;
mod kept;
mod level;
mod plan;
mod publish;
mod run;

use std::path::PathBuf;
use std::time::Duration;

pub use encryption::Encryption;
pub use run::{Driver, discard, start};
pub use sv_transcode::encode::Effort as Preset;

use serde::{Deserialize, Serialize};
use sv_core::Codec;
use sv_pipeline::share::Share;
use sv_transcode::filter::Crop;
use sv_transcode::{decode, loudness};

use crate::chunks::{Journal, Roster, Workers};
use crate::cost::{Prices, Receipt, Window};
use crate::damage::Ledger;
use crate::{AdCue, Between, Damage, Thumbnails};

/// What to make of which file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The source: any container and codec that the enabled backends read.
    pub input: PathBuf,
    /// The folder to make. It must not exist yet, or be the result of the same request.
    pub output: PathBuf,
    /// Which renditions.
    pub ladder: LadderChoice,
    /// Which video codecs; each gets the whole ladder.
    pub codecs: Vec<Codec>,
    /// Length of a segment: every rendition has a key frame at each multiple.
    pub segment: Duration,
    /// Whether and how to encrypt.
    pub encryption: Option<Encryption>,
    /// Write HLS playlists.
    pub hls: bool,
    /// Write a DASH manifest.
    pub dash: bool,
    /// One file per rendition and byte ranges, instead of one file per segment.
    pub single_file: bool,
    /// Name files of segments by when they start, in ticks, instead of by their numbers.
    pub names_by_time: bool,
    /// Fast motion for DASH, of the smallest picture of each codec: one of every so many key frames for each number.
    pub trick_play: Vec<u32>,
    /// What segments are written as. Transport streams are for HLS alone, and hold H.264 or HEVC.
    pub form: sv_package::Form,
    /// Encoder effort.
    pub preset: Preset,
    /// Where a ClearKey licence is to be had; written into manifests of encrypted presentations.
    pub license_url: Option<String>,
    /// Small pictures of the whole film, for players to show where a seek would go.
    pub thumbnails: Option<Thumbnails>,
    /// Where else the presentation will be had, and who says from where to take it. With the server `steering.json`
    /// that file is written too.
    pub steering: Option<sv_package::Steering>,
    /// What things cost, for the receipt.
    pub prices: Option<Prices>,
    /// Who encodes pictures in chunks: the result is the same, byte for byte, whoever does. `None`
    /// encodes them in one go, which takes a little less work in all.
    pub workers: Option<Workers>,
    /// Where it is written down which chunks are to be made.
    pub journal: Journal,
    /// A place in a bucket, `s3://BUCKET/PREFIX`, through which workers elsewhere get the source and give
    /// their chunks; without one, they share this process's folders. The source is put there once and
    /// stays: remove it when no run needs it any more.
    pub store: Option<String>,
    /// How long a chunk is, about.
    pub chunk: Duration,
    /// What sound is encoded with: AAC, Opus or FLAC. `None` is AAC where something here encodes it.
    pub audio_codec: Option<Codec>,
    /// Sound of these codecs is kept as it is, beside what is made of it: AC-3 and E-AC-3 for devices
    /// that decode them, or the source's own AAC.
    pub keep_audio: Vec<Codec>,
    /// How loud sound shall be (EBU R 128); `None` leaves it as it is. The source's sound is read once
    /// more, before anything else, to measure it.
    pub loudness: Option<loudness::Target>,
    /// What becomes of film grain in AV1 rungs; a ladder from a file says it for each rung.
    pub film_grain: FilmGrain,
    /// What of the source's pictures is shown.
    pub crop: CropChoice,
    /// Take pictures with an alpha channel without it, instead of refusing them.
    pub drop_alpha: bool,
    /// What decodes pictures.
    pub decoder: Decoder,
    /// What encodes pictures, by its own name, such as `libx264`, `nvenc` or `ffmpeg-cli` (see
    /// [`transcode::Backend::Named`](sv_transcode::Backend)); the best in software if nothing is said.
    pub encoder: Option<String>,
    /// A device that decodes, scales and encodes, by a name for
    /// [`transcode::Device::open`](sv_transcode::Device::open): `auto`, `vaapi`, `cuda:1`. Pictures stay on it
    /// as far as it goes; what it can't do, and whatever comes after it has failed, software does.
    pub device: Option<String>,
    /// Fail at the first damage in the source, instead of keeping what is good and telling what isn't.
    pub strict: bool,
    /// Places for advertisements: every rendition has a key frame at each, segments end there, and multiples of their
    /// length are counted from there.
    pub ad_cues: Vec<AdCue>,
    /// What is to be shown between, by players that know HLS interstitials; segments end there too.
    pub interstitials: Vec<Between>,
    /// Heed the cues that the source tells itself: SCTE-35 in transport streams and in `emsg` boxes.
    pub cues: bool,
    /// What becomes of captions (CEA-608 and CEA-708) that the source's pictures carry.
    pub captions: CaptionChoice,
    /// What it may take of the machine: work that isn't live yields to what is.
    pub share: Share,
    /// Where the workers are shown.
    pub roster: Roster,
    /// Only a part of the source, for estimates.
    pub(crate) window: Option<Window>,
}

impl Request {
    /// The defaults that suit most: automatic ladder, H.264, 4-second segments, HLS and DASH, clear.
    #[must_use]
    pub fn new(input: impl Into<PathBuf>, output: impl Into<PathBuf>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            ladder: LadderChoice::Auto,
            codecs: vec![Codec::H264],
            segment: Duration::from_secs(4),
            encryption: None,
            hls: true,
            dash: true,
            single_file: false,
            names_by_time: false,
            trick_play: vec![1],
            form: sv_package::Form::Cmaf,
            preset: Preset::default(),
            license_url: None,
            thumbnails: None,
            steering: None,
            prices: None,
            workers: None,
            journal: Journal::default(),
            store: None,
            chunk: Duration::from_secs(30),
            audio_codec: None,
            keep_audio: Vec::new(),
            loudness: None,
            film_grain: FilmGrain::default(),
            crop: CropChoice::default(),
            drop_alpha: false,
            decoder: Decoder::default(),
            encoder: None,
            device: None,
            strict: false,
            ad_cues: Vec::new(),
            interstitials: Vec::new(),
            cues: true,
            captions: CaptionChoice::default(),
            share: Share::default(),
            roster: Roster::default(),
            window: None,
        }
    }
}

/// What becomes of film grain and noise in AV1 rungs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilmGrain {
    /// It is encoded like everything else.
    #[default]
    Encode,
    /// It is described, as strong as it is found to be in the source; encoded, where there is hardly any.
    Measure,
    /// It is described at this strength, 1 to 50.
    Describe(u8),
}

/// What becomes of captions that pictures carry. Kept ones are put into pictures of H.264, HEVC and AV1, as the source has
/// them, and manifests name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptionChoice {
    /// They are kept, if one of the first 900 pictures has some: no more is read of a source without.
    #[default]
    Auto,
    /// They are kept, wherever they begin: all of the source is read for them first.
    Keep,
    /// They are kept, and a WebVTT rendition is made of what each channel and service says.
    Extract,
    /// They are left out.
    Drop,
}

/// What of the source's pictures is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropChoice {
    /// All of it.
    #[default]
    Whole,
    /// What is left without black bars, if there are any: pictures all over the film are looked at.
    Bars,
    /// This part.
    To(Crop),
}

/// What decodes pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// The CPU.
    #[default]
    Software,
    /// A device where there is one that can, and the CPU from the picture on at which it fails.
    Auto,
    /// A device, or an error that says why not.
    Device,
}

impl Decoder {
    pub(crate) fn options(self, damage: &Ledger, track: &sv_core::Track) -> decode::Options {
        let mut options = decode::Options::default();
        options.on_damage = Some(damage.listener(track));
        if self != Self::Software {
            options.backend = sv_transcode::Backend::Hardware;
            options.fallback = self == Self::Auto;
        }
        options
    }
}

/// Where the renditions come from.
#[derive(Clone, Debug, PartialEq)]
pub enum LadderChoice {
    /// Chosen for the source: never upscales, drops what the source can't fill.
    Auto,
    /// The fixed ladder of Apple's HLS authoring specification, without upscaling.
    Fixed,
    /// Read from a TOML file.
    File(PathBuf),
    /// These rungs.
    Rungs(sv_transcode::Ladder),
    /// Found by encoding samples of the source: the rungs that its viewers can tell apart.
    Title(crate::title::Budget),
}

/// What was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The renditions, in order of falling quality.
    pub renditions: Vec<Rendition>,
    /// One sentence for each choice of the ladder.
    pub reasons: Vec<String>,
    /// What the ladder was chosen by, where it was chosen by trial: one for each codec. Each is also
    /// drawn, as `ladder-CODEC.svg`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<crate::title::Decision>,
    /// Files to open, relative to the output: `master.m3u8`, `manifest.mpd`.
    pub manifests: Vec<String>,
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// A picture of the beginning, relative to the output.
    pub poster: Option<String>,
    /// What was not as it should be in the source, one sentence each.
    pub warnings: Vec<String>,
    /// How loud the sound was, and what was done about it, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loudness: Vec<Levelled>,
    /// What of the source is damaged; each is told in `warnings` too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damage>,
    /// Segments that an earlier run had finished.
    pub resumed_segments: u64,
    /// Wall-clock milliseconds of this run.
    pub elapsed_ms: u64,
    /// What the run took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// What was done about a rendition's loudness.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Levelled {
    /// The rendition.
    pub rendition: String,
    /// As the source has it, mixed to the rendition's channels.
    pub measured: loudness::Loudness,
    /// By how many dB it was raised, before the limiter.
    pub gain: f64,
}

/// One stream of the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rendition {
    /// Such as `720p-h264` or `audio-aac-2ch`.
    pub name: String,
    /// `video`, `audio` or `text`.
    pub kind: String,
    /// RFC 6381.
    pub codec: String,
    /// Width in samples, of video.
    pub width: Option<u32>,
    /// Height in samples, of video.
    pub height: Option<u32>,
    /// Frames per second, of video.
    pub frame_rate: Option<f64>,
    /// Bits per second over all, as measured.
    pub average_bandwidth: u64,
    /// Bits per second of the largest segment, as measured.
    pub bandwidth: u64,
    /// BCP 47 language, if the source says.
    pub language: Option<String>,
    /// Bytes stored.
    pub bytes: u64,
}

/// Watches and cancels a run. Dropping it cancels.
#[derive(Debug)]
pub struct Handle {
    events: Option<std::sync::mpsc::Receiver<sv_core::Event>>,
    cancel: sv_pipeline::Cancel,
}

impl Handle {
    pub(crate) fn new(
        events: std::sync::mpsc::Receiver<sv_core::Event>,
        cancel: sv_pipeline::Cancel,
    ) -> Self {
        Self { events: Some(events), cancel }
    }

    /// Cancels from another place, such as a signal handler.
    #[must_use]
    pub fn canceller(&self) -> sv_pipeline::Cancel {
        self.cancel.clone()
    }

    /// The stream of events; the first call takes it, later ones get an empty stream.
    ///
    /// The queue is bounded: a receiver that falls behind misses progress, never the end.
    pub fn events(&mut self) -> std::sync::mpsc::Receiver<sv_core::Event> {
        self.events.take().unwrap_or_else(|| std::sync::mpsc::channel().1)
    }

    /// Asks the run to stop soon; what is finished stays in `<output>.partial`.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Lets the run go on without the handle.
    pub fn detach(mut self) {
        self.cancel = sv_pipeline::Cancel::default();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
