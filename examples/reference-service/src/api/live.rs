//! Live streams: start, list, show, stop, delete.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use streamverse::ingest::health;
use utoipa::ToSchema;

use crate::app::{App, Shared};
use crate::problem::{Problem, Result};
use crate::store::LiveRow;
use crate::time::rfc3339;

/// Where a live stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LiveState {
    /// Nobody sends it yet, or at the moment.
    Waiting,
    /// Somebody sends it.
    Live,
    /// It was stopped for good.
    Ended,
}

/// A live stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    /// Its name, `liv_…`.
    pub(crate) id: String,
    /// What people call it.
    title: String,
    /// Where it stands.
    state: LiveState,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When somebody last began to send it.
    started_at: Option<String>,
    /// When it was stopped for good.
    stopped_at: Option<String>,
    /// Where an encoder sends it.
    ingest: Ingest,
    /// How it is recorded, if it is.
    recording: Option<Recorded>,
    /// How to watch it, once there is something.
    playback: Option<LivePlayback>,
    /// How well it comes, while it does.
    health: Option<LiveHealth>,
}

/// Where a live stream is sent to, by each protocol.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Ingest {
    /// RTMP, with Enhanced RTMP: the server; the key is the stream's name there.
    rtmp: Option<String>,
    /// SRT; the key is the stream id.
    srt: Option<String>,
    /// WHIP (WebRTC), as a link of this server; the key is the bearer token.
    whip: String,
    /// RTSP, for those who record; the key is the path.
    rtsp: Option<String>,
    /// What who sends must know. It is told once: when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The same addresses with the key in them, for who wants one line. They are told with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    with_key: Option<WithKey>,
}

/// Where a live stream is sent to, with its key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WithKey {
    /// RTMP.
    rtmp: Option<String>,
    /// SRT.
    srt: Option<String>,
    /// WHIP, as a link of this server.
    whip: String,
    /// RTSP.
    rtsp: Option<String>,
}

/// How a live stream is recorded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Recorded {
    /// How long what is recorded is kept, in hours.
    keep_hours: u32,
    /// How long each part of it is, in minutes.
    part_minutes: u32,
}

/// Links to watch a live stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LivePlayback {
    /// HLS multivariant playlist, with low latency.
    hls: String,
    /// DASH manifest, with low latency.
    dash: String,
    /// What it shows at the moment, as a JPEG.
    picture: String,
}

/// How well a live stream comes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LiveHealth {
    /// Whether nothing is wrong.
    good: bool,
    /// What is wrong and what to do, a sentence each, the worst first.
    wrong: Vec<String>,
    /// How far sound is ahead of the pictures, in milliseconds; behind, if negative.
    drift_ms: Option<i64>,
    /// Each track.
    tracks: Vec<LiveTrack>,
}

/// A track of a live stream, over the last ten seconds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LiveTrack {
    /// Such as `h264`.
    codec: &'static str,
    /// Bits a second.
    bitrate: u64,
    /// Pictures, or packets of sound, a second.
    rate: f64,
    /// How far the last two key pictures are apart, in seconds.
    key_interval_s: Option<f64>,
    /// How often its clock has jumped.
    jumps: u64,
}

/// All live streams.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LiveList {
    /// The newest first, a hundred at most.
    lives: Vec<Live>,
}

/// What a new live stream is to be.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NewLive {
    /// What people call it.
    pub(crate) title: String,
    /// Whether it is recorded.
    pub(crate) record: bool,
    /// How long recordings are kept, in hours; as the service has it, if left out.
    #[schema(minimum = 1, maximum = 87_600)]
    pub(crate) keep_hours: Option<u32>,
    /// How long each part of a recording is, in minutes; an hour, if left out.
    #[schema(minimum = 1, maximum = 1440)]
    pub(crate) part_minutes: Option<u32>,
}

impl Live {
    /// As clients see it now.
    pub(crate) fn of(app: &App, row: LiveRow) -> Self {
        let studio = &app.studio;
        let state = match (row.stopped, studio.is_live(&row.id)) {
            (_, true) => LiveState::Live,
            (Some(_), false) => LiveState::Ended,
            (None, false) => LiveState::Waiting,
        };
        let link = |file: &str| format!("/live/{}/{file}", row.id);
        let playback = studio.is_watchable(&row.id).then(|| LivePlayback {
            hls: link("master.m3u8"),
            dash: link("manifest.mpd"),
            picture: link("now.jpg"),
        });
        let doors = studio.doors();
        let ingest = Ingest {
            rtmp: doors.map(|doors| format!("rtmp://{}/live", doors.rtmp)),
            srt: doors.map(|doors| format!("srt://{}", doors.srt)),
            whip: "/whip".into(),
            rtsp: doors.and_then(|doors| doors.rtsp).map(|address| format!("rtsp://{address}")),
            key: None,
            with_key: None,
        };
        Self {
            health: studio.health(&row.id).map(LiveHealth::from),
            id: row.id,
            title: row.title,
            state,
            created_at: rfc3339(row.created),
            started_at: row.started.map(rfc3339),
            stopped_at: row.stopped.map(rfc3339),
            ingest,
            recording: row
                .recorded
                .map(|r| Recorded { keep_hours: r.keep_hours, part_minutes: r.part_minutes }),
            playback,
        }
    }

    /// The same, with its key.
    pub(crate) fn with_key(mut self, key: String) -> Self {
        let after = |server: &Option<String>, between: &str| {
            server.as_ref().map(|server| format!("{server}{between}{key}"))
        };
        let ingest = &mut self.ingest;
        ingest.with_key = Some(WithKey {
            rtmp: after(&ingest.rtmp, "/"),
            srt: after(&ingest.srt, "?streamid="),
            whip: format!("{}/{key}", ingest.whip),
            rtsp: after(&ingest.rtsp, "/"),
        });
        ingest.key = Some(key);
        self
    }
}

impl From<health::Report> for LiveHealth {
    fn from(report: health::Report) -> Self {
        let track = |track: &health::TrackReport| LiveTrack {
            codec: track.codec.name(),
            bitrate: track.bitrate,
            rate: track.rate,
            key_interval_s: track.key_interval.map(|d| d.as_secs_f64()),
            jumps: track.jumps,
        };
        Self {
            good: report.is_good(),
            tracks: report.tracks.iter().map(track).collect(),
            drift_ms: report.drift_ms,
            wrong: report.wrong,
        }
    }
}

/// Makes a live stream: whoever has its key sends it, to the addresses in `ingest`.
///
/// The key is in this answer and nowhere else: the service keeps its hash.
#[utoipa::path(post, path = "/v1/live/start", tag = "live", operation_id = "startLive", request_body = NewLive,
    responses((status = 201, body = Live), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn start(
    State(app): State<Shared>,
    wanted: Result<Json<NewLive>, axum::extract::rejection::JsonRejection>,
) -> Result<(StatusCode, Json<Live>)> {
    let Json(wanted) = wanted.map_err(|e| Problem::new(e.status(), "invalid_input", e.body_text()))?;
    let live = app.blocking(move |app| app.start_live(&wanted)).await?;
    Ok((StatusCode::CREATED, Json(live)))
}

/// Lists live streams, newest first.
#[utoipa::path(get, path = "/v1/live", tag = "live", operation_id = "listLive",
    responses((status = 200, body = LiveList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(State(app): State<Shared>) -> Result<Json<LiveList>> {
    Ok(Json(LiveList { lives: app.blocking(|app| app.lives()).await? }))
}

/// Shows a live stream, with how well it comes.
#[utoipa::path(get, path = "/v1/live/{id}", tag = "live", operation_id = "getLive",
    params(("id" = String, Path, description = "The live stream")),
    responses((status = 200, body = Live), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Live>> {
    app.blocking(move |app| app.live(&id).map(Json)).await
}

/// Ends a live stream for good: its key lets nobody in any more. What was shown stays to be watched.
#[utoipa::path(post, path = "/v1/live/{id}/stop", tag = "live", operation_id = "stopLive",
    params(("id" = String, Path, description = "The live stream")),
    responses((status = 200, body = Live), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn stop(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Live>> {
    app.blocking(move |app| app.stop_live(&id).map(Json)).await
}

/// Gives a live stream another key, and sends away whoever sends with the old one.
#[utoipa::path(post, path = "/v1/live/{id}/key", tag = "live", operation_id = "renewLiveKey",
    params(("id" = String, Path, description = "The live stream")),
    responses((status = 200, body = Live), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn renew(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Live>> {
    app.blocking(move |app| app.renew_live_key(&id).map(Json)).await
}

/// Deletes a live stream that was stopped, with all that it has shown.
#[utoipa::path(delete, path = "/v1/live/{id}", tag = "live", operation_id = "deleteLive",
    params(("id" = String, Path, description = "The live stream")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>) -> Result<StatusCode> {
    app.blocking(move |app| app.delete_live(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
