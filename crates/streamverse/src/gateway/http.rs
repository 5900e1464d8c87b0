//! What is presented, over HTTP: each stream below its name.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::Gateway;
use super::room::Rooms;

impl Gateway {
    /// Answers `/NAME/master.m3u8`, `/NAME/manifest.mpd` and what they name, as
    /// [`Origin::router`](crate::live::Origin::router) does, and `/streams`: a list of names in JSON, each with whether it
    /// goes on.
    pub fn router(&self) -> Router {
        Router::new().route("/streams", get(streams)).fallback(serve).with_state(Arc::clone(&self.rooms))
    }
}

async fn streams(State(rooms): State<Arc<Rooms>>) -> Response {
    let all = rooms.names().into_iter().map(|(name, live)| json!({ "name": name, "live": live }));
    Json(all.collect::<Vec<_>>()).into_response()
}

async fn serve(State(rooms): State<Arc<Rooms>>, mut request: Request) -> Response {
    let nothing = || (StatusCode::NOT_FOUND, "there is no such stream at the moment\n").into_response();
    let path = request.uri().path().trim_start_matches('/');
    let Some((name, rest)) = path.split_once('/') else { return nothing() };
    let Some(router) = rooms.router(name) else { return nothing() };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let Ok(uri) = format!("/{rest}{query}").parse::<Uri>() else { return nothing() };
    *request.uri_mut() = uri;
    let mut router = router.into_service::<Body>();
    match tower_service::Service::call(&mut router, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
