//! Resumable uploads: [tus 1.0](https://tus.io/protocols/resumable-upload) with the extensions
//! creation, creation-with-upload, termination, checksum and expiration.
//!
//! An offset that a client hears is on the disk: it outlives a closed tab, a broken connection, a
//! killed process and a power failure.

mod gate;
pub(crate) mod landing;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use tokio::sync::watch;

pub(crate) use gate::Gates;

use self::landing::Landing;
use crate::app::{App, Shared};
use crate::files;
use crate::id;
use crate::library::Wishes;
use crate::problem::{Problem, Result};
use crate::store::Upload;
use crate::time::{http_date, now_ms};

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// Ours: which video a finished upload became.
const VIDEO: HeaderName = HeaderName::from_static("streamverse-video");
/// A client that is silent for longer has gone without saying so.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// tus: the bytes are not those that the checksum was made of.
const CHECKSUM_MISMATCH: u16 = 460;

/// Tells what this tus server can do.
#[utoipa::path(options, path = "/v1/uploads", tag = "uploads", operation_id = "describeUploads",
    responses((status = 204, description = "Versions and extensions are in the `Tus-…` headers")))]
pub(super) async fn options(State(app): State<Shared>) -> Response {
    let headers = [
        ("tus-resumable", "1.0.0".to_owned()),
        ("tus-version", "1.0.0".to_owned()),
        ("tus-max-size", app.config.max_upload.to_string()),
        ("tus-extension", "creation,creation-with-upload,termination,checksum,expiration".to_owned()),
        ("tus-checksum-algorithm", "sha1".to_owned()),
    ];
    (StatusCode::NO_CONTENT, headers.map(|(name, value)| (HeaderName::from_static(name), value)))
        .into_response()
}

/// Begins an upload, with its first bytes if there is a body.
#[utoipa::path(post, path = "/v1/uploads", tag = "uploads", operation_id = "createUpload",
    params(("Tus-Resumable" = String, Header, description = "`1.0.0`"),
           ("Upload-Length" = u64, Header, description = "Bytes in all"),
           ("Upload-Metadata" = Option<String>, Header,
            description = "Of `filename`, `title`, `protect` (none, cenc, cbcs), `transcode` (false to wait)")),
    responses((status = 201, description = "`Location` names the upload"),
              (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn create(State(app): State<Shared>, headers: HeaderMap, body: Body) -> Result<Response> {
    speaks_tus(&headers)?;
    let length: u64 = number(&headers, &UPLOAD_LENGTH)?;
    if length > app.config.max_upload {
        let detail = format!("an upload may have at most {} bytes", app.config.max_upload);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", detail));
    }
    let metadata = metadata(&headers)?;
    let mut wishes = Wishes::default();
    metadata.iter().try_for_each(|(name, value)| wishes.set(name, value))?;
    let checksum = checksum(&headers)?;

    let upload =
        Upload { id: id::new("upl"), length, stored: 0, metadata, expires: expiry(&app), video: None };
    let upload = app
        .blocking(move |app| {
            std::fs::File::create(app.files.upload(&upload.id))?.sync_all()?;
            files::sync_folder(&app.files.root().join("uploads"))?;
            app.store.add_upload(&upload)?;
            Ok(upload)
        })
        .await?;
    let location = format!("/v1/uploads/{}", upload.id);
    let (gate, leave) = app.gates.enter(&upload.id).await;
    let landing = Landing::resumed(&app, upload, checksum, gate);
    let has_body = headers.contains_key(header::CONTENT_TYPE);
    let upload = receive(if has_body { body } else { Body::empty() }, landing, leave).await?;
    Ok((StatusCode::CREATED, state(&upload), [(header::LOCATION, location)]).into_response())
}

/// Tells how many bytes of an upload are safe.
#[utoipa::path(head, path = "/v1/uploads/{id}", tag = "uploads", operation_id = "getUploadOffset",
    params(("id" = String, Path, description = "The upload"),
           ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses((status = 200, description = "`Upload-Offset` and `Upload-Length` tell"),
              (status = 404, description = "It is not here, or no longer")))]
pub(super) async fn offset(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    speaks_tus(&headers)?;
    // Whoever asks will go on from here: a connection that is still open is a dead one.
    let (_gate, _) = app.gates.enter(&id).await;
    let upload = find(&app, id).await?;
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((state(&upload), [(UPLOAD_LENGTH, upload.length)], no_store).into_response())
}

/// Appends bytes to an upload. The one who gets the last byte in makes it a video.
#[utoipa::path(patch, path = "/v1/uploads/{id}", tag = "uploads", operation_id = "appendToUpload",
    params(("id" = String, Path, description = "The upload"),
           ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
           ("Upload-Offset" = u64, Header, description = "Where the bytes begin: the offset that the service told"),
           ("Upload-Checksum" = Option<String>, Header, description = "`sha1` and the digest in base64")),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "`Upload-Offset` tells how many bytes are safe; `StreamVerse-Video` names the video of a finished upload"),
              (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn append(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    speaks_tus(&headers)?;
    if headers.get(header::CONTENT_TYPE).is_none_or(|t| t != "application/offset+octet-stream") {
        let detail = "the content type must be application/offset+octet-stream";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_input", detail));
    }
    let (offset, checksum) = (number(&headers, &UPLOAD_OFFSET)?, checksum(&headers)?);
    let (gate, leave) = app.gates.enter(&id).await;
    let upload = find(&app, id).await?;
    if offset != upload.stored {
        let detail = format!("the upload goes on at byte {}, not {offset}", upload.stored);
        return Err(Problem::new(StatusCode::CONFLICT, "wrong_offset", detail));
    }
    let upload = receive(body, Landing::resumed(&app, upload, checksum, gate), leave).await?;
    Ok((StatusCode::NO_CONTENT, state(&upload)).into_response())
}

/// Gives an unfinished upload up.
#[utoipa::path(delete, path = "/v1/uploads/{id}", tag = "uploads", operation_id = "terminateUpload",
    params(("id" = String, Path, description = "The upload"),
           ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn terminate(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    speaks_tus(&headers)?;
    let (_gate, _) = app.gates.enter(&id).await;
    let upload = find(&app, id).await?;
    app.blocking(move |app| {
        if upload.video.is_none() {
            app.files.remove_upload(&upload.id)?;
        }
        Ok(app.store.remove_upload(&upload.id)?)
    })
    .await?;
    Ok((StatusCode::NO_CONTENT, [(TUS_RESUMABLE, VERSION)]).into_response())
}

/// Moves a body to the disk until it ends, breaks off, falls silent or is no longer wanted.
async fn receive(
    mut body: Body,
    mut landing: Landing<Upload>,
    mut leave: watch::Receiver<()>,
) -> Result<Upload> {
    let whole = loop {
        let frame = tokio::select! {
            biased;
            _ = leave.changed() => break false,
            frame = tokio::time::timeout(SILENCE, body.frame()) => frame,
        };
        match frame {
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data()
                    && !landing.push(bytes).await
                {
                    break true; // The landing knows why.
                }
            }
            Ok(None) => break true,
            Ok(Some(Err(_))) | Err(_) => break false,
        }
    };
    if whole { landing.finish().await } else { landing.interrupt().await }
}

async fn find(app: &Shared, id: String) -> Result<Upload> {
    let upload = app.blocking(move |app| Ok(app.store.upload(&id)?)).await?;
    upload.filter(|u| u.expires > now_ms()).ok_or_else(|| Problem::not_found("such upload, or no longer"))
}

/// What every answer about an upload says.
fn state(upload: &Upload) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TUS_RESUMABLE, VERSION);
    headers.insert(UPLOAD_OFFSET, upload.stored.into());
    if let Ok(date) = http_date(upload.expires).parse() {
        headers.insert(UPLOAD_EXPIRES, date);
    }
    if let Some(video) = upload.video.as_ref().and_then(|v| v.parse().ok()) {
        headers.insert(VIDEO, video);
    }
    headers
}

fn speaks_tus(headers: &HeaderMap) -> Result<()> {
    if headers.get(TUS_RESUMABLE).is_some_and(|v| v == VERSION) {
        return Ok(());
    }
    let detail = "this speaks tus 1.0.0: the header Tus-Resumable must say so";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "invalid_input", detail))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64> {
    let value = headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    value.ok_or_else(|| Problem::bad_request(format!("the header {name} must be a number of bytes")))
}

/// `filename d29ybGQ=,private`: names with values in base64.
fn metadata(headers: &HeaderMap) -> Result<BTreeMap<String, String>> {
    let Some(text) = headers.get("upload-metadata") else { return Ok(BTreeMap::new()) };
    let broken = || Problem::bad_request("the header upload-metadata must be names with values in base64");
    let text = text.to_str().map_err(|_| broken())?;
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .take(32)
        .map(|pair| {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = STANDARD.decode(value.trim()).map_err(|_| broken())?;
            Ok((name.to_owned(), String::from_utf8_lossy(&value).into_owned()))
        })
        .collect()
}

/// The SHA-1 that the bytes of this request must have, if the client says.
fn checksum(headers: &HeaderMap) -> Result<Option<[u8; 20]>> {
    let Some(value) = headers.get("upload-checksum") else { return Ok(None) };
    let digest =
        value.to_str().ok().and_then(|v| v.strip_prefix("sha1 ")).and_then(|v| STANDARD.decode(v).ok());
    let digest = digest.and_then(|d| d.try_into().ok());
    digest
        .map(Some)
        .ok_or_else(|| Problem::bad_request("the header upload-checksum must be sha1 and a digest in base64"))
}

fn expiry(app: &App) -> i64 {
    now_ms() + i64::from(app.config.upload_ttl) * 1000
}

fn checksum_mismatch() -> Problem {
    let status = StatusCode::from_u16(CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(
        status,
        "checksum_mismatch",
        "the bytes do not have the checksum that was promised; none is kept",
    )
}
