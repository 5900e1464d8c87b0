//! `sv serve`: a packaged folder with the right headers, byte ranges and a test player.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE,
};
use axum::http::{HeaderValue, header::HeaderName};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use streamverse::Error;
use streamverse::core::ErrorKind;
use tower_http::services::ServeDir;

use crate::args::Serve;
use crate::{At, Failure};

const PLAYER: &str = include_str!("player.html");

pub(crate) fn run(args: &Serve) -> Result<(), Failure> {
    if !args.dir.is_dir() {
        let message = format!("{} is not a folder; make one with sv vod or sv package", args.dir.display());
        return Err(Failure::at(At::Input)(Error::new(ErrorKind::NotFound, message)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::from)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(|e| {
            let message = format!("{} can't be listened on: {e}; choose another by --listen", args.listen);
            Failure::at(At::Output)(Error::new(ErrorKind::of_io(&e), message))
        })?;
        let at = listener.local_addr().map_err(Error::from)?;
        println!("serving {} on http://{at}/", args.dir.display());
        axum::serve(listener, router(&args.dir))
            .with_graceful_shutdown(async {
                let _ = tokio::signal::ctrl_c().await;
            })
            .await
            .map_err(Error::from)?;
        Ok(())
    })
}

fn router(dir: &Path) -> Router {
    Router::new()
        .route("/", get(|| async { Html(PLAYER) }))
        .fallback_service(ServeDir::new(dir).append_index_html_on_directories(false))
        .layer(middleware::from_fn(headers))
}

/// What players need and a general file server does not know.
async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    // The file server undoes escapes: `%2ejournal` is hidden too.
    if path.to_ascii_lowercase().replace("%2e", ".").split('/').any(|part| part.starts_with('.')) {
        return axum::http::StatusCode::NOT_FOUND.into_response();
    }
    let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
    let mut response = next.run(request).await;
    let kind = match extension {
        "m3u8" => Some("application/vnd.apple.mpegurl"),
        "mpd" => Some("application/dash+xml"),
        "m4s" | "mp4" => Some("video/mp4"),
        "webm" => Some("video/webm"),
        "ts" => Some("video/mp2t"),
        "aac" => Some("audio/aac"),
        "ac3" => Some("audio/ac3"),
        "ec3" => Some("audio/eac3"),
        "vtt" => Some("text/vtt; charset=utf-8"),
        _ => None,
    };
    let cache = if matches!(extension, "m4s" | "mp4" | "webm" | "ts" | "aac" | "ac3" | "ec3" | "mp3") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let success = response.status().is_success();
    let headers = response.headers_mut();
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(ACCESS_CONTROL_EXPOSE_HEADERS, "content-length, content-range");
    if let Some(kind) = kind.filter(|_| success) {
        set(CONTENT_TYPE, kind);
        set(CACHE_CONTROL, cache);
    }
    response
}
