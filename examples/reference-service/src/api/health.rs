//! For those who watch over the service.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Shared;
use crate::problem::Result;

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Whether everything works.
    ok: bool,
    /// Version of the service.
    version: &'static str,
    /// What does not work, one sentence each.
    problems: Vec<String>,
}

/// Whether the service can do its work.
#[utoipa::path(get, path = "/healthz", tag = "operations", operation_id = "getHealth",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(super) async fn health(State(app): State<Shared>) -> Result<Response> {
    let problems = app
        .blocking(|app| {
            let probe = app.files.root().join("uploads").join(".health");
            let writes = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
            let checks = [
                app.store.check().err().map(|e| format!("the database does not answer: {e}")),
                app.queue.counts().err().map(|e| format!("the queue does not answer: {e}")),
                writes.err().map(|e| format!("the data folder can't be written: {e}")),
            ];
            Ok(checks.into_iter().flatten().collect::<Vec<_>>())
        })
        .await?;
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = Health { ok: problems.is_empty(), version: env!("CARGO_PKG_VERSION"), problems };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Json(health)).into_response())
}

/// Numbers in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "getMetrics",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(app): State<Shared>) -> Result<Response> {
    let text = app.blocking(|app| app.metrics.render(app)).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
