//! What can be done with videos, whoever asks: the API, an upload that is complete, a restart.

use std::path::Path;

use streamverse::core::KeyId;
use streamverse::drm::ContentKey;
use streamverse::pipeline::queue::{Cancelled, NewJob};

use crate::api::model::{Options, Protect, Video};
use crate::app::App;
use crate::events::What;
use crate::id;
use crate::problem::{Problem, Result};
use crate::store::{Key, State, Upload, VideoRow};
use crate::time::now_ms;

/// What somebody who uploads may say about a video.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) title: Option<String>,
    pub(crate) filename: Option<String>,
    pub(crate) protect: Protect,
    /// Leave it at the original for now.
    pub(crate) hold: bool,
}

impl Wishes {
    /// Reads one wish by its name, from tus metadata or a form field; unknown names are no error.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "title" => self.title = clean(value),
            "filename" | "name" => self.filename = clean(value),
            "transcode" => self.hold = value == "false",
            "protect" => {
                self.protect = match value {
                    "none" | "" => Protect::None,
                    "cenc" => Protect::Cenc,
                    "cbcs" => Protect::Cbcs,
                    _ => return Err(Problem::bad_request("\"protect\" must be none, cenc or cbcs")),
                };
            }
            _ => {}
        }
        Ok(())
    }
}

/// A name for people: one line of at most 200 characters.
fn clean(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl App {
    /// Makes a video of a finished upload and, unless told otherwise, has it transcoded.
    pub(crate) fn publish(&self, upload: &str, size: u64, wishes: Wishes) -> Result<Video> {
        let filename = wishes.filename.unwrap_or_else(|| "video".into());
        let stem = Path::new(&filename).file_stem().map(|s| s.to_string_lossy().into_owned());
        let row = VideoRow {
            id: id::new("vid"),
            upload: upload.to_owned(),
            title: wishes.title.or(stem).unwrap_or_else(|| filename.clone()),
            filename,
            size,
            state: State::Uploaded,
            options: Options { protect: wishes.protect, ..Options::default() },
            run: 0,
            ready: 0,
            report: None,
            problem: None,
            scheme: None,
            created: now_ms(),
        };
        self.store.add_video(&row)?;
        tracing::info!(video = row.id, size, "uploaded");
        self.metrics.uploads.add(1);
        if !wishes.hold {
            self.transcode(&row.id, &row.options)?;
        }
        let video = self.video(&row.id)?;
        self.bus.tell(What::Uploaded(Box::new(video.clone())));
        Ok(video)
    }

    /// Makes the video of an upload that got its last byte; at a second call, tells the one made before.
    pub(crate) fn publish_upload(&self, upload: &Upload) -> Result<String> {
        if let Some(video) = self.store.upload(&upload.id)?.and_then(|u| u.video) {
            return Ok(video);
        }
        let mut wishes = Wishes::default();
        for (name, value) in &upload.metadata {
            wishes.set(name, value)?;
        }
        Ok(self.publish(&upload.id, upload.length, wishes)?.id)
    }

    /// A video as clients see it.
    pub(crate) fn video(&self, id: &str) -> Result<Video> {
        let row = self.store.video(id)?.ok_or_else(|| Problem::not_found("such video"))?;
        Video::of(self, row)
    }

    /// Begins a new transcode. What can be watched now stays until the new one is complete.
    pub(crate) fn transcode(&self, id: &str, options: &Options) -> Result<()> {
        if !(1000..=30_000).contains(&options.segment_ms) || options.codecs.is_empty() {
            let detail = "a transcode needs a codec and segments of 1000 to 30000 milliseconds";
            return Err(Problem::bad_request(detail));
        }
        if options.loudness.is_some_and(|lufs| !(-40..=-5).contains(&lufs)) || options.core_seconds == Some(0)
        {
            let detail = "loudness is -40 to -5 LUFS, and a budget at least one core-second";
            return Err(Problem::bad_request(detail));
        }
        let row = self.store.video(id)?.ok_or_else(|| Problem::not_found("such video"))?;
        if matches!(row.state, State::Queued | State::Processing) {
            let detail = "a transcode of this video waits or runs already";
            return Err(Problem::new(axum::http::StatusCode::CONFLICT, "already_exists", detail));
        }
        let key = options.protect.scheme().map(|scheme| {
            let (mut kid, mut key) = ([0; 16], [0; 16]);
            id::random(&mut kid);
            id::random(&mut key);
            Key { video: id.to_owned(), kid: KeyId(kid), key: ContentKey::new(key), scheme }
        });
        self.store.begin_run(id, options, key.as_ref())?;
        self.enqueue(id)
    }

    fn enqueue(&self, id: &str) -> Result<()> {
        let job = NewJob::new(id, serde_json::json!({ "transcode": id }));
        self.queue.enqueue(&job, std::time::SystemTime::now())?;
        self.workers.wake();
        Ok(())
    }

    /// Deletes a video: at once for everybody who looks, and its files as soon as no worker uses them.
    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        let row = self.store.video(id)?.ok_or_else(|| Problem::not_found("such video"))?;
        self.store.set_state(id, State::Deleting)?;
        self.bus.tell(What::Deleted { video_id: id.to_owned() });
        tracing::info!(video = id, "deleted");
        if let Some(job) = self.queue.latest(id)?
            && self.queue.cancel(job.id, std::time::SystemTime::now())? == Cancelled::Asked
        {
            return Ok(());
        }
        self.remove(&row)
    }

    /// Removes what is left of a deleted video. The row goes last: until then a restart tries again.
    pub(crate) fn remove(&self, row: &VideoRow) -> Result<()> {
        self.files.remove_video(&row.id, &row.upload)?;
        Ok(self.store.remove_video(&row.id)?)
    }

    /// Puts right what a crash left between two steps, and throws away what nobody needs. Called at
    /// the start, before anything else can happen.
    pub(crate) fn recover(&self) -> Result<()> {
        for row in self.store.videos_in(&[State::Deleting])? {
            self.remove(&row)?;
        }
        for row in self.store.videos_in(&[State::Queued, State::Processing])? {
            self.store.set_state(&row.id, State::Queued)?;
            self.enqueue(&row.id)?;
        }
        for name in self.files.list("uploads")? {
            if !self.store.knows_file(&name)? {
                self.files.remove_upload(&name)?;
            }
        }
        let month_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(30 * 24 * 3600);
        self.queue.forget(month_ago)?;
        self.expire_uploads()
    }

    /// Throws away uploads that nobody went on with.
    pub(crate) fn expire_uploads(&self) -> Result<()> {
        for upload in self.store.expired_uploads(now_ms())? {
            // A video keeps its original; only the memory of how it arrived goes.
            if upload.video.is_none() {
                let Some(_gate) = self.gates.try_enter(&upload.id) else { continue };
                self.files.remove_upload(&upload.id)?;
                tracing::info!(upload = upload.id, "an unfinished upload expired");
            }
            self.store.remove_upload(&upload.id)?;
        }
        Ok(())
    }

    /// Publishes the sample, if the library is empty and has never had a video.
    pub(crate) fn publish_sample(&self) -> Result<()> {
        if !self.store.videos(None, 1)?.is_empty() {
            return Ok(());
        }
        let Some(sample) = &self.config.sample else {
            tracing::info!("the library is empty, and SAMPLE names no file to publish");
            return Ok(());
        };
        let upload = id::new("upl");
        let copied = std::fs::copy(sample, self.files.upload(&upload));
        let size = match copied
            .and_then(|n| std::fs::File::open(self.files.upload(&upload))?.sync_all().map(|()| n))
        {
            Ok(size) => size,
            Err(error) => {
                self.files.remove_upload(&upload)?;
                tracing::warn!(sample = %sample.display(), %error, "the sample can't be read and is left out");
                return Ok(());
            }
        };
        let filename = sample.file_name().map(|n| n.to_string_lossy().into_owned());
        self.publish(&upload, size, Wishes { filename, ..Wishes::default() })?;
        Ok(())
    }
}
