//! The library: list, show, upload, transcode, delete.

use axum::Json;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::model::{Options, Video, VideoList};
use super::uploads::landing::Landing;
use crate::app::Shared;
use crate::id;
use crate::library::Wishes;
use crate::problem::{Problem, Result};

/// Which page of the library.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only videos older than this one: `next` of the page before.
    before: Option<String>,
    /// Videos on a page, 1 to 100; 50 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Lists videos, newest first.
#[utoipa::path(get, path = "/v1/videos", tag = "videos", operation_id = "listVideos", params(Page),
    responses((status = 200, body = VideoList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(State(app): State<Shared>, Query(page): Query<Page>) -> Result<Json<VideoList>> {
    let limit = page.limit.unwrap_or(50).clamp(1, 100);
    app.blocking(move |app| {
        let rows = app.store.videos(page.before.as_deref(), limit)?;
        let next =
            (rows.len() as u64 == u64::from(limit)).then(|| rows.last().map(|r| r.id.clone())).flatten();
        let videos = rows.into_iter().map(|row| Video::of(app, row)).collect::<Result<_>>()?;
        Ok(Json(VideoList { videos, next }))
    })
    .await
}

/// Shows a video.
#[utoipa::path(get, path = "/v1/videos/{id}", tag = "videos", operation_id = "getVideo",
    params(("id" = String, Path, description = "The video")),
    responses((status = 200, body = Video), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Video>> {
    app.blocking(move |app| app.video(&id).map(Json)).await
}

/// Deletes a video with its original and its keys. A transcode of it is called off.
#[utoipa::path(delete, path = "/v1/videos/{id}", tag = "videos", operation_id = "deleteVideo",
    params(("id" = String, Path, description = "The video")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>) -> Result<StatusCode> {
    app.blocking(move |app| app.delete(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Transcodes a video anew, with other options. What can be watched stays until the new one is complete.
#[utoipa::path(post, path = "/v1/videos/{id}/transcode", tag = "videos", operation_id = "transcodeVideo",
    params(("id" = String, Path, description = "The video")), request_body = Options,
    responses((status = 202, body = Video), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn transcode(
    State(app): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Video>)> {
    let options = if request.headers().get(header::CONTENT_LENGTH).is_some_and(|l| l == "0") {
        Options::default()
    } else {
        let body = Json::<Options>::from_request(request, &()).await;
        body.map_err(|e| Problem::new(e.status(), "invalid_input", e.body_text()))?.0
    };
    let video = app
        .blocking(move |app| {
            app.transcode(&id, &options)?;
            app.video(&id)
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(video)))
}

/// The form of an upload in one go.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the form in the OpenAPI document")]
struct UploadForm {
    /// The video.
    #[schema(format = Binary)]
    file: String,
    /// What people call it.
    title: Option<String>,
    /// `none`, `cenc` or `cbcs`. Fields other than the file come before it.
    protect: Option<String>,
    /// `false` to leave it at the original for now.
    transcode: Option<String>,
}

/// Uploads a video in one go. Large ones are better off with `/v1/uploads`, which can be resumed.
#[utoipa::path(post, path = "/v1/videos/upload", tag = "videos", operation_id = "uploadVideo",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, body = Video), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn upload(
    State(app): State<Shared>,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Response> {
    let broken = |e: MultipartError| Problem::new(e.status(), "invalid_input", e.body_text());
    let mut form = form.map_err(|e| Problem::new(e.status(), "invalid_input", e.body_text()))?;
    let mut wishes = Wishes::default();
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            // A field of text is short; what is longer is no title.
            let mut value = Vec::new();
            while let Some(chunk) = field.chunk().await.map_err(broken)? {
                if value.len() + chunk.len() > 4096 {
                    return Err(Problem::bad_request(format!("the field {name:?} is too long")));
                }
                value.extend_from_slice(&chunk);
            }
            wishes.set(&name, &String::from_utf8_lossy(&value))?;
            continue;
        }
        if let Some(filename) = field.file_name() {
            wishes.set("filename", filename)?;
        }
        let upload = id::new("upl");
        let mut landing = Landing::whole(&app, &upload, wishes);
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            if !landing.push(chunk).await {
                break;
            }
        }
        let video = landing.finish().await?;
        let location = [(header::LOCATION, format!("/v1/videos/{}", video.id))];
        return Ok((StatusCode::CREATED, location, Json(video)).into_response());
    }
    Err(Problem::bad_request("the form has no field \"file\""))
}
