//! The origin over HTTP: requests for what is not there yet wait for it.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sv_core::{Bytes, ErrorKind};
use sv_package::live::{Answer, Wanted};
use sv_package::{dash, hls};
use tokio::time::{Instant, timeout_at};
use tower_http::services::ServeDir;

use super::desk::{Desk, Origin, Progress, Told};
use crate::Error;

impl Origin {
    /// Answers everything below the presentation's folder: `master.m3u8`, `manifest.mpd`, and what they name.
    ///
    /// Playlists are asked for as
    /// [rfc8216bis, 6.2.5](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis#section-6.2.5) says
    /// (`_HLS_msn`, `_HLS_part`, `_HLS_skip`), parts by the names in playlists and hints. A segment that is being
    /// made is sent as it grows, `manifest.mpp?publishTime=…` is what has changed since that manifest, and `time`
    /// is the clock that all of it goes by.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }
}

/// Answers everything below a folder in which a presentation has ended.
#[cfg(feature = "gateway")]
pub(crate) fn stored(folder: std::path::PathBuf) -> Router {
    let serve = async |State(folder): State<Arc<std::path::PathBuf>>, request: Request| {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        open(file(&folder, request, &path).await)
    };
    Router::new().fallback(serve).with_state(Arc::new(folder))
}

async fn serve(State(origin): State<Origin>, request: Request) -> Response {
    open(answer(&origin.desk, request).await)
}

/// The response, or what is wrong, for pages of all origins.
fn open(result: Result<Response, Error>) -> Response {
    let mut response = match result {
        Ok(response) => response,
        Err(error) => {
            let status = match error.kind() {
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, format!("{error}\n")).into_response()
        }
    };
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

async fn answer(desk: &Arc<Desk>, request: Request) -> Result<Response, Error> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    match path.as_str() {
        "time" => {
            let now = sv_package::live::date_time(desk.clock.now());
            return Ok(text(Bytes::from(now), "text/plain"));
        }
        "master.m3u8" => {
            ready(desk).await?;
            return found(desk, Wanted::Multivariant, hls::CONTENT_TYPE);
        }
        "manifest.mpd" => {
            ready(desk).await?;
            return found(desk, Wanted::Manifest, dash::CONTENT_TYPE);
        }
        "manifest.mpp" => {
            let since = asked("publishTime").map(|t| t.replace("%3A", ":").replace("%3a", ":"));
            let since = since.unwrap_or_default();
            // An answer that nothing has changed is one that players take in different ways: it waits instead.
            let deadline = Instant::now() + desk.patience();
            let mut bell = desk.manifest_bell();
            while desk.is_newest(&since) && matches!(timeout_at(deadline, bell.changed()).await, Ok(Ok(()))) {
            }
            let patch = desk.patch(&since)?;
            let patch = patch.ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "that manifest is too old to be patched; ask for manifest.mpd",
                )
            })?;
            return Ok(text(Bytes::from(patch), "application/dash-patch+xml"));
        }
        _ => {}
    }
    if let Some(name) = path.strip_suffix(".m3u8") {
        let number = |name: &str| {
            let wrong = || Error::new(ErrorKind::InvalidInput, format!("{name} is no number"));
            asked(name).map(|n| n.parse::<u64>().map_err(|_| wrong())).transpose()
        };
        let (segment, part) = (number("_HLS_msn")?, number("_HLS_part")?);
        let skip = asked("_HLS_skip").is_some_and(|s| matches!(s, "YES" | "v2"));
        if let Some(stream) = desk.find(name) {
            ready(desk).await?;
            if part.is_some() && segment.is_none() {
                return Err(Error::new(ErrorKind::InvalidInput, "_HLS_part needs _HLS_msn"));
            }
            if let Some(segment) = segment {
                let part = part.map(|p| u32::try_from(p).unwrap_or(u32::MAX));
                let told = until(desk, stream, segment, part).await?;
                if let (true, Some(told)) = (skip, told) {
                    let body = desk.delta(stream, &told)?.ok_or_else(|| nothing("this playlist"))?;
                    return Ok(text(body, hls::CONTENT_TYPE));
                }
            }
            return found(desk, Wanted::Media { stream, skip }, hls::CONTENT_TYPE);
        }
        if let Some(stream) = name.strip_suffix("-iframes").and_then(|name| desk.find(name)) {
            return found(desk, Wanted::Iframes { stream }, hls::CONTENT_TYPE);
        }
    }
    if let Some((name, file)) = path.split_once('/')
        && let Some(stem) = file.strip_suffix(".m4s")
        && let Some(stream) = desk.find(name)
    {
        if let Some((segment, part)) = stem.split_once('.') {
            let (Ok(segment), Ok(part)) = (segment.parse(), part.parse()) else { return Err(nothing(&path)) };
            return one_part(desk, stream, segment, part).await.ok_or_else(|| nothing(&path));
        }
        // A segment that is whole lies in the folder.
        if let Ok(segment) = stem.parse()
            && let Progress::Part(_) | Progress::Later = desk.progress(stream, segment, 0)
            && !desk.root.join(&path).exists()
        {
            return Ok(growing(desk, stream, segment));
        }
    }
    file(&desk.root, request, &path).await
}

fn nothing(path: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{path} is not there"))
}

fn found(desk: &Desk, wanted: Wanted, kind: &'static str) -> Result<Response, Error> {
    let body = desk.text(wanted)?.ok_or_else(|| nothing("this playlist"))?;
    Ok(text(body, kind))
}

fn text(body: Bytes, kind: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], body).into_response()
}

fn media(body: Body) -> Response {
    ([(CONTENT_TYPE, "video/mp4"), (CACHE_CONTROL, "public, max-age=31536000, immutable")], body)
        .into_response()
}

/// Waits until every stream has something to show.
async fn ready(desk: &Desk) -> Result<(), Error> {
    let deadline = Instant::now() + desk.patience();
    let mut place = 0;
    while let Some(mut bell) = desk.bell(place) {
        while !desk.is_ready() {
            let late =
                || Error::new(ErrorKind::Unavailable, "nothing has come from the source yet; ask again");
            timeout_at(deadline, bell.changed()).await.map_err(|_| late())?.map_err(|_| late())?;
        }
        place += 1;
    }
    Ok(())
}

/// Waits until the playlist of a stream tells of that segment or part, and says how far it is then.
async fn until(
    desk: &Desk,
    stream: usize,
    segment: u64,
    part: Option<u32>,
) -> Result<Option<Arc<Told>>, Error> {
    let Some(mut bell) = desk.bell(stream) else { return Ok(None) };
    match desk.answer(stream, segment, part) {
        Answer::Now => return Ok(None),
        Answer::Refused => {
            let message = format!("segment {segment} is too far ahead to be waited for");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Answer::Later => {}
    }
    let deadline = Instant::now() + desk.patience();
    let late = || Error::new(ErrorKind::Unavailable, "it did not come in time; ask again");
    let there = timeout_at(deadline, bell.wait_for(|told| told.has(segment, part))).await;
    let told = there.map_err(|_| late())?.map_err(|_| late())?;
    Ok(Some(Arc::clone(&told)))
}

/// A part, when it is there.
async fn one_part(desk: &Desk, stream: usize, segment: u64, part: usize) -> Option<Response> {
    let deadline = Instant::now() + desk.patience();
    let mut bell = desk.bell(stream)?;
    loop {
        match desk.progress(stream, segment, part) {
            Progress::Part(data) => return Some(media(Body::from(joined(&data)))),
            Progress::Later => timeout_at(deadline, bell.changed()).await.ok()?.ok()?,
            Progress::Whole | Progress::Unknown => return None,
        }
    }
}

/// A segment that is being made: what there is of it, and the rest when it comes.
fn growing(desk: &Arc<Desk>, stream: usize, segment: u64) -> Response {
    let bell = desk.bell(stream);
    let next = (Arc::clone(desk), bell, 0);
    let parts = futures_util::stream::unfold(next, move |(desk, mut bell, part)| async move {
        let deadline = Instant::now() + desk.patience();
        loop {
            let broken = || std::io::Error::other("the source has stopped");
            match desk.progress(stream, segment, part) {
                Progress::Part(data) => return Some((Ok(joined(&data)), (desk, bell, part + 1))),
                Progress::Whole => return None,
                Progress::Unknown => return Some((Err(broken()), (desk, None, part))),
                Progress::Later => {
                    let rang = timeout_at(deadline, bell.as_mut()?.changed()).await;
                    if !matches!(rang, Ok(Ok(()))) {
                        return Some((Err(broken()), (desk, None, part)));
                    }
                }
            }
        }
    });
    media(Body::from_stream(parts))
}

/// One run of bytes: a part is small, and one write is cheaper than many.
fn joined(data: &[Bytes]) -> Bytes {
    match data {
        [one] => one.clone(),
        _ => data.concat().into(),
    }
}

async fn file(root: &Path, request: Request, path: &str) -> Result<Response, Error> {
    // No name of ours has to be escaped, and what is escaped could be a hidden file's.
    if path.contains('%') || path.split('/').any(|part| part.starts_with('.')) {
        return Err(nothing(path));
    }
    const LASTING: &str = "public, max-age=31536000, immutable";
    let (kind, cache) = match path.rsplit_once('.').map_or("", |(_, e)| e) {
        "m3u8" => (hls::CONTENT_TYPE, "no-cache"),
        "mpd" => (dash::CONTENT_TYPE, "no-cache"),
        "m4s" | "mp4" => ("video/mp4", LASTING),
        "vtt" => ("text/vtt", LASTING),
        "ts" => ("video/mp2t", LASTING),
        "aac" => ("audio/aac", LASTING),
        "ac3" => ("audio/ac3", LASTING),
        "ec3" => ("audio/eac3", LASTING),
        _ => ("", ""),
    };
    let mut files = ServeDir::new(root).append_index_html_on_directories(false);
    let response = files.try_call(request).await.map_err(Error::from)?;
    let mut response = response.map(Body::new);
    if !kind.is_empty() && response.status().is_success() {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    }
    Ok(response)
}
