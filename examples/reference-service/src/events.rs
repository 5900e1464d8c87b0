//! What happens, told to everybody who listens.

use serde::Serialize;
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::api::live::Live;
use crate::api::model::{Progress, Video, VideoProblem};
use crate::id;
use crate::time::{now_ms, rfc3339};

/// One thing that happened, in the envelope that every channel shares.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    /// Unique, and growing with time.
    id: String,
    /// When, RFC 3339.
    timestamp: String,
    #[serde(flatten)]
    what: What,
}

/// What can happen.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", content = "data")]
#[schema(as = EventData)]
pub(crate) enum What {
    /// An original has arrived whole.
    #[serde(rename = "video.uploaded")]
    Uploaded(Box<Video>),
    /// A transcode is so far.
    #[serde(rename = "video.transcoding.progress")]
    Progress {
        /// Which video.
        video_id: String,
        /// How far.
        #[serde(flatten)]
        progress: Progress,
    },
    /// A video can be watched.
    #[serde(rename = "video.transcoding.complete")]
    Complete(Box<Video>),
    /// A transcode failed.
    #[serde(rename = "video.failed")]
    Failed {
        /// Which video.
        video_id: String,
        /// Why.
        error: VideoProblem,
    },
    /// Somebody begins to send a live stream.
    #[serde(rename = "live.stream.started")]
    LiveStarted(Box<Live>),
    /// Nobody sends a live stream any more.
    #[serde(rename = "live.stream.ended")]
    LiveEnded {
        /// The stream, as it is now.
        #[serde(flatten)]
        live: Box<Live>,
        /// Why, as a sentence.
        reason: String,
    },
    /// A live stream can be watched, can't be any more, or was changed by somebody.
    #[serde(rename = "live.stream.changed")]
    LiveChanged(Box<Live>),
    /// How well a live stream comes has changed.
    #[serde(rename = "live.health.changed")]
    LiveHealth {
        /// Which stream.
        live_id: String,
        /// Whether nothing is wrong.
        good: bool,
        /// What is wrong, a sentence each.
        wrong: Vec<String>,
    },
    /// A part of a live stream's recording begins.
    #[serde(rename = "live.recording.started")]
    RecordingStarted {
        /// Which stream.
        live_id: String,
    },
    /// A part of a live stream's recording is whole.
    #[serde(rename = "live.recording.ended")]
    RecordingEnded {
        /// Which stream.
        live_id: String,
    },
    /// A live stream can't be recorded at the moment.
    #[serde(rename = "live.recording.failed")]
    RecordingFailed {
        /// Which stream.
        live_id: String,
        /// Why, as a sentence.
        reason: String,
    },
    /// A live stream is gone.
    #[serde(rename = "live.deleted")]
    LiveDeleted {
        /// Which stream.
        live_id: String,
    },
    /// A video is gone.
    #[serde(rename = "video.deleted")]
    Deleted {
        /// Which video.
        video_id: String,
    },
}

/// Where things that happen are told. Listeners that are too slow miss some and are told so.
#[derive(Debug)]
pub(crate) struct Bus(broadcast::Sender<Event>);

impl Bus {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(256).0)
    }

    pub(crate) fn tell(&self, what: What) {
        let event = Event { id: id::new("evt"), timestamp: rfc3339(now_ms()), what };
        // No listener is no error.
        let _ = self.0.send(event);
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    pub(crate) fn listeners(&self) -> usize {
        self.0.receiver_count()
    }
}
