//! Keeps other web pages out: a page that somebody visits must not drive the service on their machine.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::Shared;
use crate::problem::Problem;

/// Refuses requests that come from elsewhere than they say.
pub(super) async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let host = text(request.headers(), header::HOST).or(request.uri().authority().map(|a| a.as_str()));
    // A foreign name that was made to point to this machine (DNS rebinding) keeps its name.
    if app.config.listen.ip().is_loopback() && !host.is_none_or(is_loopback) {
        let detail = "this service answers to localhost only; start it with --listen for more";
        return Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", detail).into_response();
    }
    // A browser says which page a request comes from; reading is harmless, as no page may see the
    // answer. Licences, playback and sending by WHIP are open to other pages by their tokens and keys.
    let reads = request.method().is_safe() && !request.headers().contains_key(header::UPGRADE);
    let path = request.uri().path();
    let by_token = path.starts_with("/v1/license/") || path == "/whip" || path.starts_with("/whip/");
    if let Some(origin) = text(request.headers(), header::ORIGIN)
        && !reads
        && !by_token
        && origin.split_once("://").map(|(_, rest)| rest) != host
    {
        let detail = "a page of another origin may not do this";
        return Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail).into_response();
    }
    next.run(request).await
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn is_loopback(host: &str) -> bool {
    let Ok(uri) = host.parse::<Uri>() else { return false };
    let name = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}
