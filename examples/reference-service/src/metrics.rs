//! Numbers for those who watch the service, in [Prometheus' text format](https://prometheus.io/docs/instrumenting/exposition_formats/).

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;

use crate::app::App;
use crate::problem::Result;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted as it happens; the rest is looked up when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answers by the first digit of their status, from 1.
    answers: [Counter; 5],
    pub(crate) uploads: Counter,
    pub(crate) upload_bytes: Counter,
    pub(crate) jobs_done: Counter,
    pub(crate) jobs_failed: Counter,
    pub(crate) licenses: Counter,
}

impl Metrics {
    pub(crate) fn count_answer(&self, status: StatusCode) {
        if let Some(counter) = self.answers.get(usize::from(status.as_u16() / 100) - 1) {
            counter.add(1);
        }
    }

    /// All numbers, as text.
    pub(crate) fn render(&self, app: &App) -> Result<String> {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            // Writing to a string can't fail.
            let _ = writeln!(out, "# HELP streamverse_{name} {help}\n# TYPE streamverse_{name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(out, "streamverse_{name}{labels} {value}");
            }
        };
        let one = |n| [(String::new(), n)];
        let answers = self.answers.iter().zip(1..).map(|(c, n)| (format!("{{status=\"{n}xx\"}}"), c.get()));
        family("http_responses_total", "counter", "Answers by status.", &answers.collect::<Vec<_>>());
        family("uploads_total", "counter", "Uploads that became videos.", &one(self.uploads.get()));
        family("upload_bytes_total", "counter", "Bytes of uploads stored.", &one(self.upload_bytes.get()));
        family("transcodes_done_total", "counter", "Transcodes that succeeded.", &one(self.jobs_done.get()));
        family("transcodes_failed_total", "counter", "Transcodes that failed.", &one(self.jobs_failed.get()));
        family("licenses_total", "counter", "Licences given out.", &one(self.licenses.get()));
        let listeners = u64::try_from(app.bus.listeners()).unwrap_or(u64::MAX);
        family("event_listeners", "gauge", "Connections to the event socket.", &one(listeners));
        let live = u64::try_from(app.studio.count()).unwrap_or(u64::MAX);
        family("live_streams", "gauge", "Live streams that somebody sends.", &one(live));
        let jobs = app.queue.counts()?;
        let jobs = [("queued", jobs.queued), ("running", jobs.running)];
        let jobs = jobs.map(|(state, n)| (format!("{{state=\"{state}\"}}"), n));
        family("jobs", "gauge", "Jobs that wait or run.", &jobs);
        let videos = app.store.count_videos()?;
        let videos = videos.iter().map(|(s, n)| (format!("{{state=\"{s}\"}}"), u64::from(*n)));
        family("videos", "gauge", "Videos by state.", &videos.collect::<Vec<_>>());
        Ok(out)
    }
}
