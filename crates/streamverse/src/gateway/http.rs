//! What is presented, over HTTP: each stream below its name.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use sv_ingest::health::{Report, TrackReport};

use super::Gateway;
use super::room::Rooms;

impl Gateway {
    /// Answers `/NAME/master.m3u8`, `/NAME/manifest.mpd` and what they name, as
    /// [`Origin::router`](crate::live::Origin::router) does; `/streams`, a list in JSON of what there is, whether somebody
    /// sends it, and how well it comes; and `/metrics`, the same numbers for Prometheus. With the feature `whip`, `/whip/NAME` takes
    /// offers of [WHIP](Self::whip); addresses of who makes them are known where the server tells them
    /// (`into_make_service_with_connect_info`).
    pub fn router(&self) -> Router {
        let router = Router::new()
            .route("/streams", get(streams))
            .route("/metrics", get(metrics))
            .fallback(serve)
            .with_state(Arc::clone(&self.rooms));
        #[cfg(feature = "whip")]
        let router = router.merge(super::whip::router(&self.whip));
        router
    }
}

async fn streams(State(rooms): State<Arc<Rooms>>) -> Response {
    let all = rooms.streams().into_iter().map(|(name, watched, health)| {
        let health = health.as_ref().map(health_of);
        json!({ "name": name, "live": health.is_some(), "watchable": watched, "health": health })
    });
    Json(all.collect::<Vec<_>>()).into_response()
}

fn health_of(report: &Report) -> serde_json::Value {
    let tracks = report.tracks.iter().map(|track| {
        json!({
            "codec": track.codec.name(),
            "bitrate": track.bitrate,
            "rate": track.rate,
            "key_interval_s": track.key_interval.map(|d| d.as_secs_f64()),
            "jumps": track.jumps,
        })
    });
    let tracks: Vec<_> = tracks.collect();
    json!({ "good": report.is_good(), "wrong": report.wrong, "drift_ms": report.drift_ms, "tracks": tracks })
}

/// Names of streams hold nothing that would have to be escaped.
async fn metrics(State(rooms): State<Arc<Rooms>>) -> Response {
    let mut text = String::new();
    let all = rooms.streams();
    let mut family = |name: &str, help: &str, of: &dyn Fn(&Report) -> Vec<(String, f64)>| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (stream, _, health) in &all {
            for (labels, value) in health.as_ref().map(of).unwrap_or_default() {
                let _ = writeln!(text, "{name}{{stream=\"{stream}\"{labels}}} {value}");
            }
        }
    };
    let each = |report: &Report, value: &dyn Fn(&TrackReport) -> Option<f64>| {
        let label = |track: &TrackReport| format!(",track=\"{}\",codec=\"{}\"", track.id.0, track.codec);
        report.tracks.iter().filter_map(|track| Some((label(track), value(track)?))).collect()
    };
    family("sv_stream_good", "Whether nothing is wrong with a stream", &|report| {
        vec![(String::new(), f64::from(u8::from(report.is_good())))]
    });
    family("sv_stream_drift_seconds", "How far sound is ahead of the pictures", &|report| {
        report.drift_ms.map(|ms| (String::new(), ms as f64 / 1000.0)).into_iter().collect()
    });
    family("sv_track_bits_per_second", "What comes of a track", &|report| {
        each(report, &|track| Some(track.bitrate as f64))
    });
    family("sv_track_packets_per_second", "Pictures or packets of sound that come", &|report| {
        each(report, &|track| Some(track.rate))
    });
    family("sv_track_key_interval_seconds", "How far the last two key pictures are apart", &|report| {
        each(report, &|track| track.key_interval.map(|d| d.as_secs_f64()))
    });
    family("sv_track_clock_jumps", "How often a track's clock has jumped", &|report| {
        each(report, &|track| Some(track.jumps as f64))
    });
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
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
