//! Serves what was packaged, to those who hold a token.

use std::io::ErrorKind as Io;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

use crate::app::{App, Shared};
use crate::id;
use crate::problem::{Problem, Result};
use crate::time::now_seconds;

/// Serves a manifest, a segment or a picture of a video.
///
/// The token stands in the path, so that relative links in manifests carry it along.
#[utoipa::path(get, path = "/v1/videos/{id}/play/{token}/{*path}", tag = "playback", operation_id = "play",
    params(("id" = String, Path, description = "The video"),
           ("token" = String, Path, description = "From a link of the video's `playback`"),
           ("path" = String, Path, description = "The file, with slashes")),
    responses((status = 200, description = "The file"), (status = 206, description = "A range of it"),
              (status = 403, body = Problem, content_type = "application/problem+json", description = "The token is wrong or expired"),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn play(
    State(app): State<Shared>,
    Path((id, token, path)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response> {
    authorise(&app, &id, &token)?;
    let plain =
        path.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(".partial"));
    if !id::is("vid", &id) || !plain || path.contains(['\\', '\0']) {
        return Err(Problem::not_found("such file"));
    }
    let (kind, cache) = describe(&path);
    let place = app.files.video(&id).join(&path);
    if !tokio::fs::metadata(&place).await.is_ok_and(|m| m.is_file()) {
        return Err(Problem::not_found("such file"));
    }
    let mut file = ServeFile::new(place);
    let mut answer = match file.try_call(request).await {
        Ok(answer) if answer.status() != StatusCode::NOT_FOUND => answer.into_response(),
        Err(error) if !matches!(error.kind(), Io::NotFound | Io::NotADirectory | Io::IsADirectory) => {
            return Err(Problem::internal(error));
        }
        _ => return Err(Problem::not_found("such file")),
    };
    let headers: &mut HeaderMap = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    Ok(answer)
}

/// Whether a token lets its holder watch a video.
pub(super) fn authorise(app: &App, video: &str, token: &str) -> Result<()> {
    app.signer.verify(token, video, now_seconds()).map_err(|error| {
        let code = if matches!(error, streamverse::drm::Error::Expired) { "expired" } else { "bad_token" };
        let detail = match code {
            "expired" => "the link has expired; ask for the video again to get a new one",
            _ => "the link is not good for this video",
        };
        Problem::new(StatusCode::FORBIDDEN, code, detail)
    })
}

/// Content type and caching by the end of a name. Every transcode has a folder of its own, so no
/// file ever changes; but only the viewer's own cache may keep it, for others would serve it to
/// those whose token has expired.
fn describe(path: &str) -> (&'static str, &'static str) {
    let kind = match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "mp4" | "m4s" | "m4v" | "cmfv" => "video/mp4",
        "webm" => "video/webm",
        "m4a" | "cmfa" => "audio/mp4",
        "vtt" => "text/vtt; charset=utf-8",
        "jpg" | "jpeg" => "image/jpeg",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "json" => "application/json",
        _ => "application/octet-stream",
    };
    (kind, "private, max-age=3600, immutable")
}
