//! ClearKey licences for those who hold a playback token.

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use streamverse::drm::clearkey;
use utoipa::IntoParams;

use super::playback::authorise;
use crate::app::Shared;
use crate::problem::{Problem, Result};

/// Who asks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asking {
    /// The playback token; or give it as `Authorization: Bearer …`.
    token: Option<String>,
}

/// Gives the keys of a protected video, in the
/// [form that browsers speak](https://www.w3.org/TR/encrypted-media/#clear-key-license-format).
#[utoipa::path(post, path = "/v1/license/clearkey", tag = "playback", operation_id = "getClearKeyLicense", params(Asking),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses((status = 200, body = serde_json::Value),
              (status = 403, body = Problem, content_type = "application/problem+json", description = "The token is not good for these keys"),
              (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn clearkey(
    State(app): State<Shared>,
    Query(asking): Query<Asking>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = bearer.map(str::to_owned).or(asking.token) else {
        let detail = "a licence needs the playback token, as ?token= or as a bearer token";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail));
    };
    let request = clearkey::Request::parse(&body).map_err(|e| Problem::bad_request(e.to_string()))?;
    app.blocking(move |app| {
        let mut keys = Vec::new();
        for kid in &request.kids {
            // An unknown key and one of another video look the same to whoever has no right to it.
            let key = app.store.key(*kid)?;
            let refused =
                || Problem::new(StatusCode::FORBIDDEN, "bad_token", "the token is not good for these keys");
            let key = key.ok_or_else(refused)?;
            authorise(app, &key.video, &token)?;
            keys.push(key);
        }
        let find = |kid| keys.iter().find(|k| k.kid == kid).map(|k| k.key.clone());
        let license = clearkey::license(&request, find).map_err(|e| Problem::bad_request(e.to_string()))?;
        app.metrics.licenses.add(1);
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        Ok((headers, license).into_response())
    })
    .await
}
