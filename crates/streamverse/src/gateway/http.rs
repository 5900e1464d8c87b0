//! What is presented, over HTTP: each stream below its name.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
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
    /// [`Origin::router`](crate::live::Origin::router) does; `/NAME/now.jpg`, what the stream shows at the moment; `/streams`, a
    /// list in JSON of what there is, whether somebody sends it, and how well it comes; and `/metrics`, the same numbers for Prometheus.
    /// With the feature `whip`, `/whip/NAME` takes offers of [WHIP](Self::whip); addresses of who makes them are known where the
    /// server tells them (`into_make_service_with_connect_info`).
    pub fn router(&self) -> Router {
        let router = Router::new()
            .route("/streams", get(streams))
            .route("/metrics", get(metrics))
            .fallback(serve)
            .with_state(Arc::clone(&self.rooms));
        #[cfg(feature = "whip")]
        let router = router.merge(self.whip_router());
        router
    }

    /// Answers [WHIP](Self::whip) alone, at `/whip`: for who has the rest of the [`router`](Self::router) below another path, since
    /// sessions are named from the root on.
    #[cfg(feature = "whip")]
    pub fn whip_router(&self) -> Router {
        super::whip::router(&self.whip)
    }
}

async fn streams(State(rooms): State<Arc<Rooms>>) -> Response {
    let all = rooms.streams().into_iter().map(|(name, watched, health)| {
        let health = health.as_ref().map(health_of);
        let senders: Vec<_> = rooms.senders(&name).iter().map(sender_of).collect();
        let ladder = rooms.standing(&name).map(|standing| standing.told());
        json!({
            "name": name,
            "live": health.is_some(),
            "watchable": watched,
            "health": health,
            "senders": senders,
            "ladder": ladder,
        })
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

fn sender_of(report: &Report) -> serde_json::Value {
    let seconds = |length: Option<Duration>| length.map(|d| d.as_secs_f64());
    let link = report.link.map(
        |link| json!({ "rtt_s": seconds(link.rtt), "loss": link.loss, "jitter_s": seconds(link.jitter) }),
    );
    json!({
        "from": report.from,
        "rank": report.rank,
        "on_air": report.on_air,
        "wrong": report.wrong,
        "black_s": seconds(report.black),
        "frozen_s": seconds(report.frozen),
        "silent_s": seconds(report.silent),
        "jitter_s": report.jitter.as_secs_f64(),
        "link": link,
    })
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
    let long = |length: Option<Duration>| vec![(String::new(), length.map_or(0.0, |d| d.as_secs_f64()))];
    family("sv_stream_rank", "Which sender is on air: 0 for the primary", &|report| {
        vec![(String::new(), f64::from(report.rank))]
    });
    family("sv_stream_black_seconds", "For how long the pictures have been black", &|report| {
        long(report.black)
    });
    family("sv_stream_frozen_seconds", "For how long the picture has stood still", &|report| {
        long(report.frozen)
    });
    family("sv_stream_silent_seconds", "For how long nothing has been heard", &|report| long(report.silent));
    family("sv_stream_jitter_seconds", "How unevenly packets arrive", &|report| long(Some(report.jitter)));
    family("sv_stream_loss_ratio", "Which share of packets the line loses", &|report| {
        report.link.and_then(|link| link.loss).map(|loss| (String::new(), loss)).into_iter().collect()
    });
    family("sv_stream_rtt_seconds", "How long the line takes there and back", &|report| {
        let rtt = report.link.and_then(|link| link.rtt);
        rtt.map(|rtt| (String::new(), rtt.as_secs_f64())).into_iter().collect()
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
    let ladders: Vec<_> =
        all.iter().filter_map(|(name, ..)| Some((name, rooms.standing(name)?.numbers()))).collect();
    let mut family = |name: &str, help: &str, of: &dyn Fn((usize, Duration, u64)) -> f64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (stream, numbers) in &ladders {
            let _ = writeln!(text, "{name}{{stream=\"{stream}\"}} {}", of(*numbers));
        }
    };
    family("sv_ladder_rungs", "Rungs that are made live", &|(rungs, ..)| rungs as f64);
    family("sv_ladder_behind_seconds", "How long pictures wait to be encoded", &|(_, behind, _)| {
        behind.as_secs_f64()
    });
    family("sv_ladder_lost", "Packets that rungs were not made of", &|(.., lost)| lost as f64);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn serve(State(rooms): State<Arc<Rooms>>, mut request: Request) -> Response {
    let nothing = || (StatusCode::NOT_FOUND, "there is no such stream at the moment\n").into_response();
    let path = request.uri().path().trim_start_matches('/');
    let Some((name, rest)) = path.split_once('/') else { return nothing() };
    if rest == "now.jpg" {
        return match rooms.picture(name).await {
            Ok(picture) => {
                ([(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "max-age=1")], picture).into_response()
            }
            Err(error) => (StatusCode::NOT_FOUND, format!("there is no picture: {error}\n")).into_response(),
        };
    }
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
