//! What is recorded of live streams: what there is, stretches of it, videos that are made of it, and how long it is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::StatusCode;
use streamverse::Error;
use streamverse::ingest::record::{self, Take};

use crate::api::model::{Protect, Video};
use crate::api::recordings::Recording;
use crate::app::App;
use crate::files;
use crate::id;
use crate::library::Wishes;
use crate::problem::{Problem, Result};
use crate::store::Recorded;

/// Pauses of up to that are part of a recording: for so long a presentation waits, too.
const PAUSE: Duration = Duration::from_secs(60);

/// From where to where, counted from a recording's beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    from: Duration,
    to: Duration,
}

impl Stretch {
    /// In seconds; left out, it is the beginning and the end.
    pub(crate) fn new(from: Option<f64>, to: Option<f64>) -> Result<Self> {
        let time = |seconds: f64| {
            let wrong = |_| Problem::bad_request("\"from\" and \"to\" are numbers of seconds");
            Duration::try_from_secs_f64(seconds).map_err(wrong)
        };
        let from = from.map(time).transpose()?.unwrap_or_default();
        let to = to.map(time).transpose()?.unwrap_or(Duration::MAX);
        if from >= to {
            return Err(Problem::bad_request("\"from\" has to be before \"to\""));
        }
        Ok(Self { from, to })
    }
}

/// A video that is wanted of a recording.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) title: Option<String>,
    /// Which recording; the newest one, if nothing is said.
    pub(crate) recording: Option<String>,
    pub(crate) stretch: Stretch,
    pub(crate) protect: Protect,
}

/// A file that is gone when this is.
#[derive(Debug)]
pub(crate) struct Passing(pub(crate) PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // What can't be removed now is at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A part's or a recording's name: when it began.
pub(crate) fn name(part: &Path) -> String {
    part.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

impl App {
    /// How a stream is recorded, as the recorder wants it.
    pub(super) fn recorder(&self, recorded: Recorded) -> record::Settings {
        let mut settings = record::Settings::new(self.files.recordings());
        settings.part = Duration::from_secs(60 * u64::from(recorded.part_minutes));
        settings.keep = Some(Duration::from_secs(3600 * u64::from(recorded.keep_hours)));
        settings.keep_bytes = Some(self.config.recording_bytes);
        settings
    }

    fn takes(&self, live: &str) -> Result<Vec<Take>> {
        let row = self.live_row(live)?;
        let takes = record::takes(&self.files.recordings().join(row.id), PAUSE);
        takes.map_err(|error| Error::from(error).into())
    }

    /// What is recorded of a stream, the newest first.
    pub(crate) fn recordings(&self, live: &str) -> Result<Vec<Recording>> {
        let takes = self.takes(live)?;
        let last = takes.len().saturating_sub(1);
        let on_air = self.studio.is_live(live);
        let told = takes.iter().enumerate().map(|(n, take)| Recording::of(live, take, on_air && n == last));
        Ok(told.rev().collect())
    }

    /// The file of a part.
    pub(crate) fn part(&self, live: &str, part: &str) -> Result<PathBuf> {
        let takes = self.takes(live)?;
        let found = takes.into_iter().flat_map(|take| take.parts).find(|p| name(&p.path) == part);
        Ok(found.ok_or_else(|| Problem::not_found("such part"))?.path)
    }

    /// A stretch of a recording as one file, exact to the picture.
    pub(crate) fn cut(&self, live: &str, recording: &str, stretch: Stretch) -> Result<Passing> {
        let out = self.files.cut();
        self.cut_to(live, Some(recording), stretch, &out)?;
        Ok(Passing(out))
    }

    fn cut_to(&self, live: &str, recording: Option<&str>, stretch: Stretch, out: &Path) -> Result<()> {
        let mut takes = self.takes(live)?;
        if takes.is_empty() {
            let detail = "nothing is recorded of this live stream";
            return Err(Problem::new(StatusCode::CONFLICT, "not_recorded", detail));
        }
        let take = match recording {
            Some(wanted) => {
                takes.into_iter().find(|t| t.parts.first().is_some_and(|p| name(&p.path) == wanted))
            }
            None => takes.pop(),
        };
        let take = take.ok_or_else(|| Problem::not_found("such recording"))?;
        let parts: Vec<PathBuf> = take.parts.into_iter().map(|part| part.path).collect();
        let cut = record::cut(&parts, stretch.from, stretch.to, out);
        cut.map_err(|error| {
            let problem = Problem::from(Error::from(error));
            problem.reworded(|text| self.files.discreet(text))
        })?;
        Ok(())
    }

    /// Makes a video of a recording.
    pub(crate) fn publish_live(&self, live: &str, wanted: Wanted) -> Result<Video> {
        let row = self.live_row(live)?;
        let upload = id::new("upl");
        let path = self.files.upload(&upload);
        self.cut_to(live, wanted.recording.as_deref(), wanted.stretch, &path)?;
        let mut wishes = Wishes { protect: wanted.protect, ..Wishes::default() };
        let title = wanted.title.filter(|title| !title.trim().is_empty()).unwrap_or(row.title);
        wishes.set("title", &title)?;
        wishes.set("filename", &format!("{title}.mp4"))?;
        let published = files::sync_folder(&self.files.root().join("uploads"))
            .and_then(|()| std::fs::metadata(&path))
            .map_err(Problem::from)
            .and_then(|about| self.publish(&upload, about.len(), wishes));
        if published.is_err() {
            self.files.remove_upload(&upload)?;
        }
        published
    }

    /// Throws away what live streams have left for long enough. What is on air stays.
    pub(crate) fn expire_lives(&self) -> Result<()> {
        // Folders first: one of a stream that begins meanwhile belongs to one that is known.
        let folders = [self.files.list("live")?, self.files.list("recordings")?].concat();
        let rows = self.store.all_lives()?;
        let kept = Duration::from_secs(self.config.live_ttl.into());
        for row in &rows {
            let on_air = self.studio.is_live(&row.id);
            if self.files.expire_live(&row.id, kept, on_air)? && self.studio.forget(&row.id) {
                self.tell_changed(&row.id)?;
            }
            if let Some(recorded) = row.recorded.filter(|_| !on_air) {
                let settings = self.recorder(recorded);
                let folder = settings.folder.join(&row.id);
                for part in record::sweep(&folder, settings.keep, settings.keep_bytes) {
                    tracing::info!(live = row.id, part = %part.display(), "a recording has expired");
                }
            }
        }
        for name in folders {
            if id::is("liv", &name) && !rows.iter().any(|row| row.id == name) {
                self.files.remove_live(&name)?;
            }
        }
        Ok(())
    }
}
