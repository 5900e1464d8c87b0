//! The service over HTTP: each file here is one group of routes.
//!
//! Handlers parse, call [`App`](crate::app::App) and serialise; nothing else. A second surface
//! (GraphQL, gRPC) would be a folder beside this one and call the same methods.

#![allow(unused_qualifications, reason = "utoipa's macros write paths in full")]

mod assets;
mod events_ws;
mod guard;
mod health;
mod license;
pub(crate) mod live;
pub(crate) mod model;
pub(crate) mod openapi;
mod playback;
pub(crate) mod recordings;
pub(crate) mod uploads;
mod videos;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use tower_http::cors::CorsLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;

/// All documented routes, without what surrounds them.
fn documented() -> OpenApiRouter<Shared> {
    let playback = OpenApiRouter::new()
        .routes(routes!(playback::play))
        .routes(routes!(license::clearkey))
        // Players on other pages may play: the token in the link is what lets them.
        .layer(
            CorsLayer::new()
                .allow_origin(tower_http::cors::Any)
                .allow_methods([Method::GET, Method::HEAD, Method::POST])
                .allow_headers([header::RANGE, header::CONTENT_TYPE])
                .expose_headers([header::CONTENT_LENGTH, header::CONTENT_RANGE]),
        );
    OpenApiRouter::new()
        .routes(routes!(videos::list))
        .routes(routes!(videos::get, videos::delete))
        .routes(routes!(videos::upload))
        .routes(routes!(videos::transcode))
        .routes(routes!(uploads::create, uploads::options))
        .routes(routes!(uploads::append, uploads::offset, uploads::terminate))
        .routes(routes!(live::start))
        .routes(routes!(live::list))
        .routes(routes!(live::get, live::delete))
        .routes(routes!(live::stop))
        .routes(routes!(live::renew))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::download))
        .routes(routes!(recordings::part))
        .routes(routes!(recordings::publish))
        .routes(routes!(events_ws::events))
        .routes(routes!(health::health))
        .routes(routes!(health::metrics))
        .routes(routes!(workers::workers))
        .merge(playback)
}

/// The whole service as a router.
pub(crate) fn router(app: Shared) -> Router {
    let (router, document) = documented().split_for_parts();
    let document = openapi::finish(document);
    // Whoever knows a live stream's name may watch it, from any page.
    let live = app.studio.router().layer(CorsLayer::new().allow_origin(tower_http::cors::Any));
    router
        .nest_service("/live", live)
        .route("/v1/openapi.json", axum::routing::get(async move || axum::Json(document)))
        .fallback(assets::serve)
        .with_state(Arc::clone(&app))
        .merge(app.studio.whip_router())
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .layer(middleware::from_fn_with_state(app, surround))
}

/// What every answer gets.
async fn surround(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    app.metrics.count_answer(response.status());
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
