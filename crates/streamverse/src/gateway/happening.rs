//! What happens in a gateway, for programs and as events for everybody else.

use std::path::PathBuf;

use serde_json::{Value, json};
use sv_core::{Media, Track};
use sv_ingest::gateway::Notice;
use sv_ingest::push::Progress;
use sv_ingest::record;
use sv_transcode::Rung;

/// What happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// With those who send.
    Ingest(Notice),
    /// A presentation can be watched.
    Presented {
        /// The stream's name.
        stream: String,
        /// Its folder.
        folder: PathBuf,
    },
    /// What a stream's ladder is, live: below the stream itself, which is the top rung.
    Laddered {
        /// The stream's name.
        stream: String,
        /// What is made, by the names that manifests have for it.
        rungs: Vec<(String, Rung)>,
        /// Why, a sentence each.
        reasons: Vec<String>,
    },
    /// A rung is made no more, for as long as the presentation goes on.
    RungGivenUp {
        /// The stream's name.
        stream: String,
        /// The rung's.
        rung: String,
        /// Why.
        reason: String,
    },
    /// A stream that is passed on.
    Pushed {
        /// The stream's name.
        stream: String,
        /// Where, without what is secret.
        to: String,
        /// How it goes.
        progress: Progress,
    },
    /// How the recording of a stream goes.
    Recorded {
        /// The stream's name.
        stream: String,
        /// How.
        progress: record::Progress,
    },
    /// A stream that is fetched.
    Pulled {
        /// The stream's name.
        stream: String,
        /// From where, without what is secret.
        from: String,
        /// How it goes.
        progress: Progress,
    },
    /// How well a stream comes has changed.
    Health {
        /// The stream's name.
        stream: String,
        /// What is wrong with it, a sentence each; nothing where all is well.
        wrong: Vec<String>,
    },
    /// A presentation is over: a recording, if there is no error.
    Closed {
        /// The stream's name.
        stream: String,
        /// What went wrong, if something did.
        error: Option<String>,
    },
}

impl Happening {
    /// The event's name, such as `live.stream.started`.
    #[must_use]
    pub const fn event(&self) -> &'static str {
        match self {
            Self::Ingest(Notice::Started { .. }) => "live.stream.started",
            Self::Ingest(Notice::Track { .. }) => "live.stream.track",
            Self::Ingest(Notice::Switched { .. }) => "live.stream.switched",
            Self::Ingest(Notice::Left { .. }) => "live.stream.left",
            Self::Ingest(Notice::Ended { .. }) => "live.stream.ended",
            Self::Ingest(Notice::Refused { .. }) => "live.refused",
            Self::Ingest(_) => "live.other",
            Self::Presented { .. } => "live.presentation.started",
            Self::Laddered { .. } => "live.ladder.started",
            Self::RungGivenUp { .. } => "live.ladder.dropped",
            Self::Pushed { progress: Progress::Waiting { .. }, .. } => "live.push.failed",
            Self::Pushed { .. } => "live.push.started",
            Self::Recorded { progress, .. } => match progress {
                record::Progress::Begun(_) => "live.recording.started",
                record::Progress::Ended(_) => "live.recording.ended",
                record::Progress::Removed(_) => "live.recording.removed",
                record::Progress::Failed { .. } => "live.recording.failed",
                _ => "live.other",
            },
            Self::Pulled { progress: Progress::Waiting { .. }, .. } => "live.pull.failed",
            Self::Pulled { .. } => "live.pull.started",
            Self::Health { .. } => "live.health.changed",
            Self::Closed { .. } => "live.presentation.ended",
        }
    }

    /// What there is to say about it: an object without anything secret.
    #[must_use]
    pub fn data(&self) -> Value {
        match self {
            Self::Ingest(Notice::Started { stream, from, protocol }) => {
                json!({ "stream": stream, "from": from, "protocol": protocol })
            }
            Self::Ingest(Notice::Track { stream, track }) => {
                json!({ "stream": stream, "track": told(track) })
            }
            Self::Ingest(Notice::Switched { stream, from, to, reason }) => {
                json!({ "stream": stream, "from": from, "to": to, "reason": reason.to_string() })
            }
            Self::Ingest(Notice::Left { stream, from, reason }) => {
                json!({ "stream": stream, "from": from, "reason": reason })
            }
            Self::Ingest(Notice::Ended { stream, reason, lost }) => {
                json!({ "stream": stream, "reason": reason, "lost": lost })
            }
            Self::Ingest(Notice::Refused { peer, reason }) => {
                json!({ "peer": peer.to_string(), "reason": reason })
            }
            Self::Ingest(_) => json!({}),
            Self::Presented { stream, folder } => json!({ "stream": stream, "folder": folder }),
            Self::Laddered { stream, rungs, reasons } => {
                let rungs: Vec<&String> = rungs.iter().map(|(name, _)| name).collect();
                json!({ "stream": stream, "rungs": rungs, "reasons": reasons })
            }
            Self::RungGivenUp { stream, rung, reason } => {
                json!({ "stream": stream, "rung": rung, "reason": reason })
            }
            Self::Pushed { stream, to, progress: Progress::Waiting { reason, next } } => {
                json!({ "stream": stream, "to": to, "reason": reason, "next_s": next.as_secs() })
            }
            Self::Pushed { stream, to, .. } => json!({ "stream": stream, "to": to }),
            Self::Recorded { stream, progress } => match progress {
                record::Progress::Begun(file)
                | record::Progress::Ended(file)
                | record::Progress::Removed(file) => json!({ "stream": stream, "file": file }),
                record::Progress::Failed { reason } => json!({ "stream": stream, "reason": reason }),
                _ => json!({ "stream": stream }),
            },
            Self::Pulled { stream, from, progress: Progress::Waiting { reason, next } } => {
                json!({ "stream": stream, "from": from, "reason": reason, "next_s": next.as_secs() })
            }
            Self::Pulled { stream, from, .. } => json!({ "stream": stream, "from": from }),
            Self::Health { stream, wrong } => {
                json!({ "stream": stream, "good": wrong.is_empty(), "wrong": wrong })
            }
            Self::Closed { stream, error } => json!({ "stream": stream, "error": error }),
        }
    }
}

fn told(track: &Track) -> Value {
    let mut told = json!({ "id": track.id.0, "codec": track.codec.name() });
    match &track.media {
        Media::Video(video) => {
            told["width"] = video.width.into();
            told["height"] = video.height.into();
        }
        Media::Audio(audio) => {
            told["sample_rate"] = audio.sample_rate.into();
            told["channels"] = audio.channels.into();
        }
        _ => {}
    }
    told
}
