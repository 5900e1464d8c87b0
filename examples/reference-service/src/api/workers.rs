//! Who works on what.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Shared;
use crate::problem::{Problem, Result};

/// The queue and those who work it off.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Workforce {
    /// Videos that wait.
    queued: u64,
    /// Videos that are being transcoded.
    running: u64,
    /// How often videos that wait or run were begun again.
    retries: u64,
    /// Those who encode chunks at the moment, here and elsewhere.
    workers: Vec<Worker>,
    /// Videos that are cut into chunks.
    chunks: Vec<Chunks>,
}

/// Somebody who encodes chunks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Worker {
    /// Its name.
    name: String,
    /// Whether it is another process, most often on another machine.
    remote: bool,
    /// Whether it is at work.
    busy: bool,
    /// Chunks that it has finished.
    finished: u64,
    /// Milliseconds since it was last heard of.
    silent_ms: u64,
}

/// The chunks of one video.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Chunks {
    /// The video.
    video_id: String,
    /// Not begun yet.
    waiting: u32,
    /// With a worker.
    running: u32,
    /// Finished.
    done: u32,
    /// How often one was begun again because its worker failed or fell silent.
    retries: u32,
}

/// Shows the queue, its workers, and the chunks that they work on.
#[utoipa::path(get, path = "/v1/workers", tag = "operations", operation_id = "getWorkers",
    responses((status = 200, body = Workforce), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers(State(app): State<Shared>) -> Result<Json<Workforce>> {
    let counts = app.blocking(|app| Ok(app.queue.counts()?)).await?;
    let worker = |hand: streamverse::chunks::Hand| Worker {
        // What it works on has paths in it, which are the operator's business.
        name: hand.name.split(" of ").next().unwrap_or_default().to_owned(),
        remote: hand.remote,
        busy: hand.task.is_some(),
        finished: hand.finished,
        silent_ms: hand.silent_ms,
    };
    let chunks = |(run, load): (String, streamverse::chunks::Load)| Chunks {
        video_id: app.files.video_of(std::path::Path::new(&run)).unwrap_or_default(),
        waiting: load.waiting,
        running: load.running,
        done: load.done,
        retries: load.retries,
    };
    Ok(Json(Workforce {
        queued: counts.queued,
        running: counts.running,
        retries: counts.retries,
        workers: app.roster.workers().into_iter().map(worker).collect(),
        chunks: app.roster.runs().into_iter().map(chunks).collect(),
    }))
}
