//! The page, carried inside the program.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Page;

/// Nothing from elsewhere runs, loads or is sent to. Players decode in workers made of blobs, and
/// show what they assemble as blobs.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
    worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; connect-src 'self' blob: data:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves a file of the page; what is not there is a problem, as everywhere.
pub(super) async fn serve(request: Request<Body>) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let detail = "there is nothing here that takes this method";
        return Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into_response();
    }
    let path = if path.is_empty() { "index.html" } else { path };
    let Some(file) = Page::get(path) else { return Problem::not_found("such page").into_response() };
    let tag = format!(
        "\"{}\"",
        file.metadata.sha256_hash()[..8].iter().map(|b| format!("{b:02x}")).collect::<String>()
    );
    // Vite puts a hash of the content into the names under assets/.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    if request.headers().get(header::IF_NONE_MATCH).is_some_and(|t| t == tag.as_str()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let kind = match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        _ => "application/octet-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::ETAG, tag.as_str()),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, file.data).into_response()
}
