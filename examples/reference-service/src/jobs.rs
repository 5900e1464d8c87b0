//! The workers: each takes a job from the queue, has the facade do it and tells how it goes.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use streamverse::core::ErrorKind;
use streamverse::pipeline::queue::{Claim, Error as QueueError, Failed, Lease, Standing};
use streamverse::transcode::loudness;
use streamverse::{Error, vod};

use crate::api::model::{Progress, Video, VideoProblem};
use crate::app::{App, Shared};
use crate::events::What;
use crate::problem::Result;
use crate::store::{State, VideoRow};

/// How often a worker tells how far it is, which is its heartbeat too.
const BEAT: Duration = Duration::from_millis(500);

/// The bell that calls workers, and sends them home.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    bell: Mutex<Bell>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct Bell {
    calls: u64,
    closing: bool,
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn start(app: &Shared) -> std::io::Result<Vec<JoinHandle<()>>> {
        let worker = |n| {
            let (app, name) = (Arc::clone(app), format!("worker-{n}"));
            std::thread::Builder::new().name(name.clone()).spawn(move || app.serve_queue(&name))
        };
        (1..=app.config.jobs).map(worker).collect()
    }

    /// There is something to do.
    pub(crate) fn wake(&self) {
        self.lock().calls += 1;
        self.rung.notify_all();
    }

    /// Lets workers stop: they give their jobs back, with all that is finished kept.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.rung.notify_all();
    }

    fn closing(&self) -> bool {
        self.lock().closing
    }

    fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Waits for a call after the `heard`-th, but not longer than `limit`.
    fn wait(&self, heard: u64, limit: Duration) {
        let idle = |bell: &mut Bell| bell.calls == heard && !bell.closing;
        let waited = self.rung.wait_timeout_while(self.lock(), limit, idle);
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, Bell> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a run of the facade ended.
enum Outcome {
    Done(Box<vod::Report>),
    /// The video was deleted meanwhile, or another worker has the job.
    CalledOff,
    /// The service stops.
    Leaving,
}

impl App {
    fn serve_queue(&self, name: &str) {
        while !self.workers.closing() {
            let heard = self.workers.calls();
            match self.queue.claim(name, SystemTime::now()) {
                Ok(Some(claim)) => {
                    if let Err(problem) = self.work(&claim) {
                        tracing::error!(job = %claim.job.id, ?problem, "a job could not be ended properly");
                    }
                }
                Ok(None) => {
                    let due = self.queue.next_due().ok().flatten();
                    let pause = due.map(|d| d.duration_since(SystemTime::now()).unwrap_or_default());
                    let longest = Duration::from_secs(60);
                    self.workers.wait(heard, pause.unwrap_or(longest).clamp(BEAT, longest));
                }
                Err(error) => {
                    tracing::error!(%error, "no job can be taken from the queue");
                    self.workers.wait(heard, Duration::from_secs(5));
                }
            }
        }
    }

    /// Does one job and writes down what came of it: the library first, the queue last, so that a
    /// crash between the two repeats the job instead of losing its result.
    fn work(&self, claim: &Claim) -> Result<()> {
        let (id, lease, now) = (claim.job.key.as_str(), &claim.lease, SystemTime::now);
        let Some(row) = self.store.video(id)? else { return self.clear_away(id, lease) };
        self.store.set_state(id, State::Processing)?;
        tracing::info!(video = id, attempt = claim.job.attempts, "transcoding");
        match self.transcode_now(&row, lease) {
            Ok(Outcome::Done(report)) => {
                self.store.finish_run(id, row.run, &report)?;
                self.files.keep_only(id, row.run)?;
                self.queue.complete(lease, &serde_json::Value::Null, now())?;
                tracing::info!(video = id, elapsed_ms = report.elapsed_ms, "ready");
                self.metrics.jobs_done.add(1);
                match self.store.video(id)? {
                    Some(row) => self.bus.tell(What::Complete(Box::new(Video::of(self, row)?))),
                    None => self.clear_away(id, lease)?,
                }
            }
            Ok(Outcome::CalledOff) => self.clear_away(id, lease)?,
            Ok(Outcome::Leaving) => {
                self.store.set_state(id, State::Queued)?;
                self.queue.give_back(lease, now())?;
            }
            Err(error) => {
                // A full disk or a broken one may be better in a while; a broken file stays broken.
                let detail = self.discreet(&row, &error);
                let again = error.kind().is_retryable() || error.kind() == ErrorKind::Io;
                if let Failed::AgainAt(_) = self.queue.fail(lease, &detail, again, now())? {
                    tracing::warn!(video = id, %error, "a transcode is tried again later");
                    self.store.set_state(id, State::Queued)?;
                    return Ok(());
                }
                tracing::warn!(video = id, %error, "a transcode failed");
                self.metrics.jobs_failed.add(1);
                let problem = VideoProblem { code: error.kind().as_str().into(), detail };
                self.store.fail_run(id, &problem)?;
                self.files.keep_only(id, row.ready)?;
                self.bus.tell(What::Failed { video_id: id.to_owned(), error: problem });
            }
        }
        Ok(())
    }

    /// What an error says, with the names that its reader knows: clients need not learn where files lie.
    fn discreet(&self, row: &VideoRow, error: &Error) -> String {
        let path = self.files.upload(&row.upload).display().to_string();
        let text = error.to_string().replace(&path, &row.filename).replace(&row.upload, &row.filename);
        self.files.discreet(&text)
    }

    /// Ends the job of a video that was deleted, and removes what is left of it.
    fn clear_away(&self, id: &str, lease: &Lease) -> Result<()> {
        match self.queue.fail(lease, "the video was deleted", false, SystemTime::now()) {
            Ok(_) | Err(QueueError::LeaseLost(_)) => {}
            Err(error) => return Err(error.into()),
        }
        for row in self.store.videos_in(&[State::Deleting])? {
            if row.id == id {
                self.remove(&row)?;
            }
        }
        Ok(())
    }

    fn transcode_now(&self, row: &VideoRow, lease: &Lease) -> Result<Outcome, Error> {
        let (mut handle, driver) = vod::start(self.request(row)?)?;
        let events = handle.events();
        let (mut progress, mut told, mut changed) = (Progress::default(), Instant::now(), false);
        let (mut called_off, mut leaving) = (false, false);
        let result = std::thread::scope(|scope| {
            let run = scope.spawn(|| driver.run());
            loop {
                match events.recv_timeout(BEAT) {
                    Ok(event) => {
                        progress.update(event);
                        changed = true;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if told.elapsed() < BEAT {
                    continue;
                }
                told = Instant::now();
                if std::mem::take(&mut changed) {
                    let video_id = row.id.clone();
                    self.bus.tell(What::Progress { video_id, progress: progress.clone() });
                }
                let standing = serde_json::to_value(&progress)
                    .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
                    .map(|p| self.queue.progress(lease, &p, SystemTime::now()));
                called_off |= matches!(standing, Ok(Ok(Standing::Cancelled) | Err(QueueError::LeaseLost(_))));
                leaving |= self.workers.closing();
                if called_off || leaving {
                    handle.cancel();
                }
            }
            run.join()
        });
        match result {
            Ok(Ok(report)) if !called_off => Ok(Outcome::Done(Box::new(report))),
            _ if called_off => Ok(Outcome::CalledOff),
            Ok(Err(_)) if leaving => Ok(Outcome::Leaving),
            Ok(result) => result.map(|report| Outcome::Done(Box::new(report))),
            Err(_) => {
                Err(Error::new(ErrorKind::Internal, "the transcode stopped by a bug; the log says where"))
            }
        }
    }

    /// What the facade is asked for. It must be the same after a restart: then it resumes.
    fn request(&self, row: &VideoRow) -> Result<vod::Request, Error> {
        let internal = |e: rusqlite::Error| Error::new(ErrorKind::Io, e.to_string());
        let key = self.store.key_of(&row.id, row.run).map_err(internal)?;
        std::fs::create_dir_all(self.files.video(&row.id))?;
        let output = self.files.presentation(&row.id, row.run);
        let mut request = vod::Request::new(self.files.upload(&row.upload), output);
        request.ladder = match row.options.ladder {
            crate::api::model::Ladder::Auto => vod::LadderChoice::Auto,
            crate::api::model::Ladder::Fixed => vod::LadderChoice::Fixed,
            crate::api::model::Ladder::Title => {
                let mut budget = streamverse::title::Budget::default();
                budget.core_seconds_per_minute = row.options.core_seconds.map(f64::from);
                vod::LadderChoice::Title(budget)
            }
        };
        request.preset = row.options.preset.into();
        if row.options.crop {
            request.crop = vod::CropChoice::Bars;
        }
        request.loudness = row.options.loudness.map(|lufs| loudness::Target::new(lufs.into()));
        request.keep_audio = row.options.keep_audio.iter().map(|c| (*c).into()).collect();
        if row.options.film_grain {
            request.film_grain = vod::FilmGrain::Measure;
        }
        request.strict = row.options.strict;
        request.roster = self.roster.clone();
        request.workers = self.config.chunk_workers();
        request.codecs = row.options.codecs.iter().map(|c| (*c).into()).collect();
        request.segment = Duration::from_millis(row.options.segment_ms.into());
        request.encryption =
            key.map(|k| vod::Encryption::new(k.scheme, streamverse::drm::Keys::one(k.kid, k.key)));
        Ok(request)
    }
}
