//! A process that encodes chunks for others.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sv_core::ErrorKind;
use sv_pipeline::Cancel;
use sv_pipeline::nats::{self, Outcome, Task};
use sv_pipeline::share::Share;
use sv_transcode::cpu;

use super::{Store, Unit};
use crate::{Error, Result};

/// What a task's payload says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) unit: Unit,
    pub(super) store: PathBuf,
}

/// A worker that joins through NATS.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Worker {
    /// Where the server is. The group is set by [`run`](Self::run).
    pub nats: nats::Options,
    /// What it is called.
    pub name: String,
    /// How many chunks it encodes at a time.
    pub slots: usize,
    /// Sources and outputs elsewhere than below this folder are refused: tasks come over a network.
    pub root: PathBuf,
    /// Sources and chunks below this place in a bucket (`s3://BUCKET/PREFIX`) are taken too.
    pub store: Option<String>,
    /// What it may take of its machine.
    pub share: Share,
}

/// Those who make the same bytes: this version of ours, these versions of FFmpeg as a library and as a
/// program, this kind of machine.
#[must_use]
pub fn group() -> String {
    #[cfg(feature = "ffmpeg")]
    let ffmpeg = sv_ffmpeg::probe::version();
    #[cfg(not(feature = "ffmpeg"))]
    let ffmpeg = "none";
    let program = sv_transcode::program_version().map_or_else(String::new, |version| format!("_{version}"));
    let name = format!("{}_{}_{ffmpeg}{program}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

impl Worker {
    /// A worker with one slot, for whatever lies below `root`.
    #[must_use]
    pub fn new(nats: nats::Options, root: impl Into<PathBuf>) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        let name = format!("{}-{}", if host.is_empty() { "worker" } else { host }, std::process::id());
        Self { nats, name, slots: 1, root: root.into(), store: None, share: Share::default() }
    }

    /// Takes chunks and encodes them until cancelled.
    ///
    /// # Errors
    /// When the server can't be reached to begin with, or the root is no folder.
    pub fn run(&self, cancel: &Cancel) -> Result<()> {
        let root = self.root.canonicalize();
        let root = root.map_err(|e| Error::from(e).context(format!("the root {}", self.root.display())))?;
        let mut nats = self.nats.clone();
        nats.group = group();
        // What this process has used since somebody last told; tasks side by side share it.
        let told = Mutex::new(cpu::spent());
        let share = self.share.clone();
        let bucket = self.store.clone();
        let run = move |task: &Task, cancel: &Cancel, progress: &Mutex<Value>| match one(
            (&root, bucket.as_deref()),
            &share,
            task,
            cancel,
            progress,
        ) {
            Ok(()) => {
                let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let now = cpu::spent();
                let spent = now.saturating_sub(std::mem::replace(&mut *told, now));
                Outcome::Done(json!({ "core_seconds": spent.as_secs_f64() }))
            }
            Err(_) if cancel.is_cancelled() => Outcome::Leave,
            Err(error) if error.kind().is_retryable() || error.kind() == ErrorKind::Internal => {
                Outcome::Again(error.to_string())
            }
            Err(error) => Outcome::Failed(error.to_string()),
        };
        nats::work(&nats, &self.name, self.slots, cancel, run).map_err(away)
    }
}

pub(super) fn away(error: nats::Error) -> Error {
    Error::wrap(ErrorKind::Unavailable, error)
}

fn one(
    (root, bucket): (&Path, Option<&str>),
    share: &Share,
    task: &Task,
    cancel: &Cancel,
    progress: &Mutex<Value>,
) -> Result<()> {
    /// A run that was given up has removed its folder: looked at this often.
    const LOOK: Duration = Duration::from_secs(2);
    let order: Order = serde_json::from_value(task.payload.clone())
        .map_err(|e| Error::new(ErrorKind::InvalidInput, format!("this is no chunk to encode: {e}")))?;
    within(root, bucket, &order.unit.source)?;
    within(root, bucket, &order.store)?;
    let store = Store::at(&order.store)?;
    if order.unit.is_done(&store) {
        return Ok(());
    }
    let begun = Instant::now();
    tracing::info!(chunk = order.unit.number, source = %order.unit.source.display(), "begins a chunk");
    let part = cancel.part();
    let state = Mutex::new((Map::new(), Instant::now()));
    let watch = |name: &str, more: Duration| {
        let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let done = state.0.get(name).and_then(Value::as_f64).unwrap_or(0.0) + more.as_secs_f64();
        state.0.insert(name.to_owned(), json!(done));
        if state.1.elapsed() > LOOK {
            state.1 = Instant::now();
            if !store.is_wanted() {
                part.cancel();
            }
        }
        *progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Value::Object(state.0.clone());
    };
    order.unit.run(&store, share, &part, &watch)?;
    tracing::info!(chunk = order.unit.number, seconds = begun.elapsed().as_secs_f64(), "has encoded a chunk");
    Ok(())
}

/// Refuses what lies elsewhere.
fn within(root: &Path, bucket: Option<&str>, path: &Path) -> Result<()> {
    if !crate::place::is_remote(path) {
        return below(root, path);
    }
    let text = path.to_str().unwrap_or_default();
    let rest = bucket.and_then(|place| text.strip_prefix(place.trim_end_matches('/')));
    if rest.is_some_and(|rest| rest.starts_with('/') && !rest.split('/').any(|part| part == "..")) {
        return Ok(());
    }
    let message = format!("{text} is not below this worker's store (--store)");
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Refuses what lies elsewhere, links followed.
fn below(root: &Path, path: &Path) -> Result<()> {
    let real = path.canonicalize().map_err(|e| {
        Error::from(e).context(format!("{} is not here: machines must share it at one path", path.display()))
    })?;
    if real.starts_with(root) {
        return Ok(());
    }
    let message = format!("{} is not below this worker's root", path.display());
    Err(Error::new(ErrorKind::InvalidInput, message))
}
