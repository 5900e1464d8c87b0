//! What goes over the wire: every request and answer body, in one place.

use serde::{Deserialize, Serialize};
use streamverse::core::{Codec, Event, Scheme};
use streamverse::vod;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::Result;
use crate::store::{State, VideoRow};
use crate::time::{now_seconds, rfc3339};

/// Which renditions to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ladder {
    /// Chosen for the source.
    #[default]
    Auto,
    /// The fixed ladder of Apple's HLS authoring specification.
    Fixed,
    /// Found by encoding samples of the source: costs a little more, and makes what viewers can
    /// tell apart.
    Title,
}

/// Whether and how to encrypt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protect {
    /// Anybody with the link can copy it.
    #[default]
    None,
    /// Common Encryption, AES-CTR.
    Cenc,
    /// Common Encryption, AES-CBC with a pattern: what Apple's players want.
    Cbcs,
}

impl Protect {
    pub(crate) fn scheme(self) -> Option<Scheme> {
        match self {
            Self::None => None,
            Self::Cenc => Some(Scheme::Cenc),
            Self::Cbcs => Some(Scheme::Cbcs),
        }
    }
}

/// A video codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VideoCodec {
    /// Plays everywhere.
    H264,
    /// Half the bits; plays on Apple's devices and televisions.
    Hevc,
    /// Fewest bits; plays in new browsers.
    Av1,
    /// Plays in most browsers.
    Vp9,
}

impl From<VideoCodec> for Codec {
    fn from(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::H264 => Self::H264,
            VideoCodec::Hevc => Self::Hevc,
            VideoCodec::Av1 => Self::Av1,
            VideoCodec::Vp9 => Self::Vp9,
        }
    }
}

/// How hard encoders work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Preset {
    /// Real time on little.
    Fastest,
    /// Between that and the next.
    Faster,
    /// The usual choice where computing costs more than storing.
    #[default]
    Fast,
    /// The codec's own middle.
    Balanced,
    /// The usual choice for what many people watch.
    Best,
}

impl From<Preset> for vod::Preset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Fastest => Self::Fastest,
            Preset::Faster => Self::Faster,
            Preset::Fast => Self::Fast,
            Preset::Balanced => Self::Balanced,
            Preset::Best => Self::Best,
        }
    }
}

/// Sound that is kept as it is, beside what is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeptSound {
    /// Dolby Digital.
    Ac3,
    /// Dolby Digital Plus.
    Eac3,
}

impl From<KeptSound> for Codec {
    fn from(codec: KeptSound) -> Self {
        match codec {
            KeptSound::Ac3 => Self::Ac3,
            KeptSound::Eac3 => Self::Eac3,
        }
    }
}

/// How to transcode. What is left out has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = TranscodeOptions)]
pub(crate) struct Options {
    /// Which renditions.
    pub(crate) ladder: Ladder,
    /// Video codecs; each gets the whole ladder.
    pub(crate) codecs: Vec<VideoCodec>,
    /// Milliseconds of a segment, 1,000 to 30,000.
    #[schema(minimum = 1000, maximum = 30000)]
    pub(crate) segment_ms: u32,
    /// Whether and how to encrypt.
    pub(crate) protect: Protect,
    /// How hard encoders work.
    pub(crate) preset: Preset,
    /// Cut off black bars, if there are any.
    pub(crate) crop: bool,
    /// Loudness in LUFS (EBU R 128), -40 to -5; the source's own if it is left out.
    #[schema(minimum = -40, maximum = -5)]
    pub(crate) loudness: Option<i8>,
    /// Sound that is kept as it is, if the source has it.
    pub(crate) keep_audio: Vec<KeptSound>,
    /// Describe film grain in AV1 instead of encoding it, as strong as it is found to be.
    pub(crate) film_grain: bool,
    /// For the ladder by trial: core-seconds of encoding for a minute of the video at most.
    #[schema(minimum = 1)]
    pub(crate) core_seconds: Option<u32>,
    /// Fail at the first damage in the source, instead of keeping what is good.
    pub(crate) strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        let codecs = vec![VideoCodec::H264];
        Self {
            ladder: Ladder::Auto,
            codecs,
            segment_ms: 4000,
            protect: Protect::None,
            preset: Preset::default(),
            crop: false,
            loudness: None,
            keep_audio: Vec::new(),
            film_grain: false,
            core_seconds: None,
            strict: false,
        }
    }
}

/// Why a transcode failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct VideoProblem {
    /// The kind of problem; it does not change from version to version.
    pub(crate) code: String,
    /// One sentence.
    pub(crate) detail: String,
}

/// How far a transcode is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Progress {
    /// Percentage of all rungs together, 0 to 100.
    pub(crate) percent: f64,
    /// Wall-clock milliseconds left, if they can be estimated.
    pub(crate) left_ms: Option<u64>,
    /// One entry for each rendition, best first.
    pub(crate) rungs: Vec<Rung>,
    /// Why these renditions were chosen, one sentence for each choice.
    pub(crate) reasons: Vec<String>,
    /// Finished segments that were kept from a run that was interrupted.
    pub(crate) resumed_segments: u64,
}

/// How far one rendition is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Rung {
    /// Its name, such as `720p-h264`.
    pub(crate) name: String,
    /// 0 to 100.
    pub(crate) percent: f64,
    /// Speed as a multiple of real time.
    pub(crate) speed: f64,
    /// Wall-clock milliseconds left, if they can be estimated.
    pub(crate) left_ms: Option<u64>,
}

impl Progress {
    /// Takes in what a run tells.
    pub(crate) fn update(&mut self, event: Event) {
        match event {
            Event::Planned { renditions, reasons, .. } => {
                let rung = |name| Rung { name, percent: 0.0, speed: 0.0, left_ms: None };
                self.rungs = renditions.into_iter().map(rung).collect();
                self.reasons = reasons;
            }
            Event::Progress { rendition, fraction, speed, left_ms, .. } => {
                let new = Rung { name: rendition, percent: fraction * 100.0, speed, left_ms };
                match self.rungs.iter_mut().find(|r| r.name == new.name) {
                    Some(rung) => *rung = new,
                    None => self.rungs.push(new),
                }
                let sum: f64 = self.rungs.iter().map(|r| r.percent).sum();
                self.percent = sum / self.rungs.len() as f64;
                self.left_ms = self.rungs.iter().filter_map(|r| r.left_ms).max();
            }
            Event::Resumed { segments } => self.resumed_segments = segments,
            _ => {}
        }
    }
}

/// Links to watch a video; they expire.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Playback {
    /// HLS multivariant playlist.
    pub(crate) hls: Option<String>,
    /// DASH manifest.
    pub(crate) dash: Option<String>,
    /// A picture of the beginning.
    pub(crate) poster: Option<String>,
    /// Drawings of what the ladder was chosen by, if it was chosen by trial: one for each codec.
    pub(crate) plots: Vec<String>,
    /// Where a player gets the key of a protected video (ClearKey).
    pub(crate) license: Option<String>,
    /// Until when the links are good, RFC 3339.
    pub(crate) expires_at: String,
}

/// One stream of a presentation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Rendition {
    /// Such as `720p-h264`.
    pub(crate) name: String,
    /// `video`, `audio` or `text`.
    pub(crate) kind: String,
    /// RFC 6381.
    pub(crate) codec: String,
    /// In samples, of video.
    pub(crate) width: Option<u32>,
    /// In samples, of video.
    pub(crate) height: Option<u32>,
    /// Frames per second, of video.
    pub(crate) frame_rate: Option<f64>,
    /// Bits per second of the largest segment.
    pub(crate) bandwidth: u64,
    /// Bits per second over all.
    pub(crate) average_bandwidth: u64,
    /// BCP 47.
    pub(crate) language: Option<String>,
    /// Stored bytes.
    pub(crate) bytes: u64,
}

/// A video.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Video {
    /// Its name, `vid_…`.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) title: String,
    /// What the uploaded file was called.
    pub(crate) filename: String,
    /// Bytes of the original.
    pub(crate) size: u64,
    /// Where it stands.
    pub(crate) state: State,
    /// When it was uploaded, RFC 3339.
    pub(crate) created_at: String,
    /// Options of the newest transcode.
    pub(crate) options: Options,
    /// How far the transcode is, while one waits or runs.
    pub(crate) progress: Option<Progress>,
    /// Why the newest transcode failed.
    pub(crate) error: Option<VideoProblem>,
    /// Length in milliseconds.
    pub(crate) duration_ms: Option<u64>,
    /// What can be watched, best first.
    pub(crate) renditions: Vec<Rendition>,
    /// Why these renditions were chosen.
    pub(crate) reasons: Vec<String>,
    /// What was not as it should be in the source.
    pub(crate) warnings: Vec<String>,
    /// How what can be watched is encrypted.
    pub(crate) protection: Option<String>,
    /// How to watch it, once there is something.
    pub(crate) playback: Option<Playback>,
}

impl Video {
    /// As clients see it now.
    pub(crate) fn of(app: &App, row: VideoRow) -> Result<Self> {
        let working = matches!(row.state, State::Queued | State::Processing);
        let job = if working { app.queue.latest(&row.id)? } else { None };
        let progress = job.and_then(|j| j.progress).and_then(|p| serde_json::from_value(p).ok());
        let playback = playback(app, &row)?;
        let (mut duration_ms, mut renditions, mut reasons, mut warnings) = (None, vec![], vec![], vec![]);
        if let Some(report) = row.report {
            duration_ms = Some(report.duration_ms);
            renditions = report.renditions.into_iter().map(Rendition::from).collect();
            (reasons, warnings) = (report.reasons, report.warnings);
        }
        Ok(Self {
            id: row.id,
            title: row.title,
            filename: row.filename,
            size: row.size,
            state: row.state,
            created_at: rfc3339(row.created),
            options: row.options,
            progress: working.then(|| progress.unwrap_or_default()),
            error: row.problem,
            duration_ms,
            renditions,
            reasons,
            warnings,
            protection: row.scheme.map(|s| s.as_str().to_owned()),
            playback,
        })
    }
}

fn playback(app: &App, row: &VideoRow) -> Result<Option<Playback>> {
    let Some(report) = &row.report else { return Ok(None) };
    let expires = now_seconds() + u64::from(app.config.token_ttl);
    let token = app.signer.sign(&row.id, expires).map_err(crate::problem::Problem::internal)?;
    let link = |file: &str| format!("/v1/videos/{}/play/{token}/{}/{file}", row.id, row.ready);
    let manifest = |ending| report.manifests.iter().find(|m| m.ends_with(ending)).map(|m| link(m));
    Ok(Some(Playback {
        hls: manifest(".m3u8"),
        dash: manifest(".mpd"),
        poster: report.poster.as_deref().map(link),
        plots: report.decisions.iter().map(|d| link(&format!("ladder-{}.svg", d.codec))).collect(),
        license: row.scheme.map(|_| format!("/v1/license/clearkey?token={token}")),
        expires_at: rfc3339(i64::try_from(expires).unwrap_or(i64::MAX).saturating_mul(1000)),
    }))
}

impl From<vod::Rendition> for Rendition {
    fn from(r: vod::Rendition) -> Self {
        Self {
            name: r.name,
            kind: r.kind,
            codec: r.codec,
            width: r.width,
            height: r.height,
            frame_rate: r.frame_rate,
            bandwidth: r.bandwidth,
            average_bandwidth: r.average_bandwidth,
            language: r.language,
            bytes: r.bytes,
        }
    }
}

/// A page of the library.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VideoList {
    /// Newest first.
    pub(crate) videos: Vec<Video>,
    /// Give this as `before` to get the next page; absent on the last.
    pub(crate) next: Option<String>,
}
