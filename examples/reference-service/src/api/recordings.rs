//! Recordings of live streams: list, download, cut, publish.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use streamverse::ingest::record::{self, Take};
use tower_http::services::ServeFile;
use utoipa::{IntoParams, ToSchema};

use super::model::{Protect, Video};
use crate::app::Shared;
use crate::live::{Passing, Stretch, Wanted, name};
use crate::problem::{Problem, Result};
use crate::time::rfc3339;

/// What was recorded of a live stream without a pause of more than a minute.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Recording {
    /// Its name: when it began, such as `20261129T161500.250Z`.
    name: String,
    /// When it began, RFC 3339.
    started_at: String,
    /// About how long it is so far, in milliseconds.
    duration_ms: u64,
    /// How long its files are.
    bytes: u64,
    /// Whether it goes on at the moment.
    on_air: bool,
    /// All of it as one MP4. With `?from=` and `?to=`, in seconds, it is a stretch, exact to the picture.
    link: String,
    /// The files that it consists of, the oldest first.
    parts: Vec<Part>,
}

/// A file of a recording.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Part {
    /// Its name: when it began.
    name: String,
    /// How long it is.
    bytes: u64,
    /// The file, a fragmented MP4.
    link: String,
}

/// All recordings of a live stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RecordingList {
    /// The newest first.
    recordings: Vec<Recording>,
}

/// From where to where.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Between {
    /// From the first picture at or behind this, in seconds from the recording's beginning.
    #[param(minimum = 0)]
    from: Option<f64>,
    /// To before this, in seconds from the recording's beginning.
    #[param(minimum = 0)]
    to: Option<f64>,
}

/// What a video of a live stream is to be.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub(crate) struct Publication {
    /// What people call it; as the live stream, if left out.
    title: Option<String>,
    /// The name of the recording; the newest one, if left out.
    recording: Option<String>,
    /// From where on, in seconds from the recording's beginning.
    from: Option<f64>,
    /// Until where, in seconds from the recording's beginning.
    to: Option<f64>,
    /// How the video is protected.
    protect: Protect,
}

impl Recording {
    /// As clients see it.
    pub(crate) fn of(live: &str, take: &Take, on_air: bool) -> Self {
        let part = |part: &record::Part| {
            let name = name(&part.path);
            Part { bytes: part.bytes, link: format!("/v1/live/{live}/parts/{name}"), name }
        };
        let parts: Vec<Part> = take.parts.iter().map(part).collect();
        let name = parts.first().map(|part| part.name.clone()).unwrap_or_default();
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            started_at: rfc3339(ms(take.began()).cast_signed()),
            duration_ms: ms(take.length()),
            bytes: take.bytes(),
            on_air,
            link: format!("/v1/live/{live}/recordings/{name}"),
            name,
            parts,
        }
    }
}

/// Lists what is recorded of a live stream, the newest first.
#[utoipa::path(get, path = "/v1/live/{id}/recordings", tag = "live", operation_id = "listRecordings",
    params(("id" = String, Path, description = "The live stream")),
    responses((status = 200, body = RecordingList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<RecordingList>> {
    app.blocking(move |app| Ok(Json(RecordingList { recordings: app.recordings(&id)? }))).await
}

/// Gives a recording, or a stretch of it, as one MP4 file; what is on air, up to now.
#[utoipa::path(get, path = "/v1/live/{id}/recordings/{recording}", tag = "live", operation_id = "downloadRecording",
    params(("id" = String, Path, description = "The live stream"),
           ("recording" = String, Path, description = "The recording's name"), Between),
    responses((status = 200, description = "The file", content_type = "video/mp4"),
              (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn download(
    State(app): State<Shared>,
    Path((id, recording)): Path<(String, String)>,
    Query(Between { from, to }): Query<Between>,
    request: Request,
) -> Result<Response> {
    let stretch = Stretch::new(from, to)?;
    let called = recording.clone();
    let Passing(path) = &app.cutting(move |app| app.cut(&id, &recording, stretch)).await?;
    // Once the file is open its name is not needed any more.
    serve(path, &called, request).await
}

/// Gives a file of a recording as it lies on the disk.
#[utoipa::path(get, path = "/v1/live/{id}/parts/{part}", tag = "live", operation_id = "downloadPart",
    params(("id" = String, Path, description = "The live stream"), ("part" = String, Path, description = "The part's name")),
    responses((status = 200, description = "The file", content_type = "video/mp4"), (status = 206, description = "A range of it"),
              (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn part(
    State(app): State<Shared>,
    Path((id, part)): Path<(String, String)>,
    request: Request,
) -> Result<Response> {
    let called = part.clone();
    let path = app.blocking(move |app| app.part(&id, &part)).await?;
    serve(&path, &called, request).await
}

async fn serve(path: &std::path::Path, called: &str, request: Request) -> Result<Response> {
    let mut answer = ServeFile::new(path).try_call(request).await?.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // Names of recordings are times, and nothing else comes this far.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{called}.mp4\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}

/// Makes an ordinary video of a recording, or of a stretch of it, and has it transcoded. A stream that is on air goes on.
#[utoipa::path(post, path = "/v1/live/{id}/publish", tag = "live", operation_id = "publishLive", request_body = Publication,
    params(("id" = String, Path, description = "The live stream")),
    responses((status = 201, body = Video), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn publish(
    State(app): State<Shared>,
    Path(id): Path<String>,
    wanted: Result<Json<Publication>, JsonRejection>,
) -> Result<Response> {
    let Publication { title, recording, from, to, protect } = match wanted {
        Ok(Json(wanted)) => wanted,
        // Nothing is all of it.
        Err(JsonRejection::MissingJsonContentType(_)) => Publication::default(),
        Err(e) => return Err(Problem::new(e.status(), "invalid_input", e.body_text())),
    };
    let wanted = Wanted { title, recording, stretch: Stretch::new(from, to)?, protect };
    let video = app.cutting(move |app| app.publish_live(&id, wanted)).await?;
    let location = [(header::LOCATION, format!("/v1/videos/{}", video.id))];
    Ok((StatusCode::CREATED, location, Json(video)).into_response())
}
