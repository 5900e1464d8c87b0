//! The origin over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    IF_NONE_MATCH, IF_RANGE, RANGE, RETRY_AFTER,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sv_core::{Bytes, ErrorKind};
use sv_package::origin::{Refusal, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Answer, Inner, Origin};
use crate::Error;

/// What requests share.
#[derive(Clone)]
struct Counter {
    inner: Arc<Inner>,
    /// Requests whose answers are not sent yet.
    requests: Arc<Semaphore>,
    /// What is being made.
    at_once: Arc<Semaphore>,
}

impl Origin {
    /// Answers `NAME/hls.m3u8`, `NAME/ts.m3u8` and `NAME/dash.mpd`, and all that they name.
    pub fn router(&self) -> Router {
        let settings = &self.inner.settings;
        let most = |n: usize| Arc::new(Semaphore::new(n.clamp(1, Semaphore::MAX_PERMITS)));
        let counter = Counter {
            inner: Arc::clone(&self.inner),
            requests: most(settings.requests),
            at_once: most(settings.at_once),
        };
        Router::new().fallback(serve).with_state(counter)
    }
}

async fn serve(State(counter): State<Counter>, request: HttpRequest) -> Response {
    // A body can't be waited with, and nobody reads it.
    let (asked, _) = request.into_parts();
    let mut response = match asked.method {
        Method::GET | Method::HEAD => match answer(&counter, &asked).await {
            Ok(response) => response,
            Err(status) => status,
        },
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD, OPTIONS")]).into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "range, if-none-match, if-range"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "content-length, content-range, etag"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refused(status: StatusCode, message: impl std::fmt::Display) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], format!("{message}\n")).into_response()
}

async fn answer(counter: &Counter, asked: &Parts) -> Result<Response, Response> {
    let busy = |_| {
        let mut response =
            refused(StatusCode::SERVICE_UNAVAILABLE, "too much is asked for at the moment; come again");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    };
    let permit = Arc::clone(&counter.requests).try_acquire_owned().map_err(busy)?;
    let path = asked.uri.path().strip_prefix('/').unwrap_or_default();
    let (name, below) = path.split_once('/').unwrap_or((path, ""));
    let wanted = Request::parse(below, asked.uri.query().unwrap_or_default()).map_err(|refusal| {
        let status = match refusal {
            Refusal::Path => StatusCode::NOT_FOUND,
            Refusal::Long => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        };
        refused(status, refusal)
    })?;
    let known =
        header(&asked.headers, &IF_NONE_MATCH).map(|text| text.trim_start_matches("W/").trim_matches('"'));
    let (inner, name, known) = (Arc::clone(&counter.inner), name.to_owned(), known.map(str::to_owned));
    let work = Arc::clone(&counter.at_once).acquire_owned().await;
    let given = known.clone();
    let made = tokio::task::spawn_blocking(move || {
        let _work = work;
        inner.answer(&name, &wanted, given.as_deref())
    });
    let answer = match made.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(failed(&error)),
        Err(_) => {
            return Err(refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the origin broke; this is a bug of ours",
            ));
        }
    };
    Ok(respond(&asked.headers, answer, known.as_deref(), permit))
}

fn failed(error: &Error) -> Response {
    let status = match error.kind() {
        // What a folder or a disk says may name places that are nobody's business.
        ErrorKind::Io | ErrorKind::PermissionDenied | ErrorKind::Internal => {
            tracing::error!("{error}");
            let message = "what is stored of this title can't be read at the moment";
            return refused(StatusCode::INTERNAL_SERVER_ERROR, message);
        }
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::Malformed | ErrorKind::Unsupported | ErrorKind::LimitExceeded => StatusCode::BAD_GATEWAY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    if status.is_server_error() {
        tracing::warn!("{error}");
    }
    refused(status, error)
}

fn header<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Bytes that count as a request until they are sent.
struct Held {
    data: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

fn respond(asked: &HeaderMap, answer: Answer, known: Option<&str>, permit: OwnedSemaphorePermit) -> Response {
    let tag = format!("\"{}\"", answer.tag);
    let cache = if answer.lasting { "public, max-age=86400" } else { "no-cache" };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, value);
    }
    if known == Some(answer.tag.as_str()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    let size = answer.data.len();
    let fits = header(asked, &IF_RANGE).is_none_or(|wanted| wanted == tag);
    let mut data = answer.data;
    match header(asked, &RANGE).filter(|_| fits).map_or(Ok(None), |text| range(text, size)) {
        Ok(Some((first, last))) => {
            data = data.slice(first..=last);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{size}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
        }
        Err(()) => {
            let mut response = refused(StatusCode::RANGE_NOT_SATISFIABLE, "there are no such bytes");
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            return response;
        }
        Ok(None) => {}
    }
    *response.body_mut() = Body::from(Bytes::from_owner(Held { data, _permit: permit }));
    response
}

/// The first and last byte of a range ([RFC 9110, 14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2)), or nothing
/// where all is sent: for more than one, and for what is no range at all. An error where there are no such bytes.
fn range(text: &str, size: usize) -> Result<Option<(usize, usize)>, ()> {
    let Ok(parsed) = http_range_header::parse_range_header(text) else { return Ok(None) };
    let ranges = parsed.validate(u64::try_from(size).unwrap_or(u64::MAX)).map_err(|_| ())?;
    let [one] = ranges.as_slice() else { return Ok(None) };
    let place = |byte: u64| usize::try_from(byte).map_err(|_| ());
    Ok(Some((place(*one.start())?, place(*one.end())?)))
}
