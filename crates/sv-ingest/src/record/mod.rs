//! Recordings: what a stream has, in files as it came.
//!
//! A [`Recorder`] writes a stream to fragmented MP4: each fragment of about a second whole or not at all, so that behind a crash
//! the last second may be missing and nothing else. Parts begin with a key picture, and are called by when that was; together
//! they have every packet once. [`takes`] says which there are, [`cut`] makes one file of a stretch of them.

mod cut;
mod disk;
mod parts;
mod writer;

pub use cut::{Cut, cut};
pub use parts::{Part, Take, sweep, takes};

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::hub::Hub;
use crate::{Error, Feed, Next, Result};
use disk::Disk;
use writer::Writer;

/// Bytes that wait for a disk.
const FEED: usize = 64 << 20;
/// What is written at most of what waits when a recorder is dropped.
const MOST_WAITING: usize = 1 << 18;
/// How often it is looked whether there is something to do.
const NAP: Duration = Duration::from_millis(100);
/// How long a disk that failed is left alone.
const REST: Duration = Duration::from_secs(1);
/// How long a stream that has ended is waited for.
const WAIT: Duration = Duration::from_secs(30);
/// How often parts that are too old are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// What is recorded, and how much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The folder; below it is one for each stream.
    pub folder: PathBuf,
    /// How long a part is, to the next key picture.
    pub part: Duration,
    /// How many bytes it has, to the next key picture.
    pub bytes: u64,
    /// Parts that ended longer ago are removed.
    pub keep: Option<Duration>,
    /// The oldest parts of a stream are removed where all of its have more bytes.
    pub keep_bytes: Option<u64>,
    /// Whether each fragment is on the disk before the next is written: it survives the machine's end then, not only the
    /// program's.
    pub sync: bool,
}

impl Settings {
    /// Into that folder, parts of an hour, all of them kept.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let hour = Duration::from_secs(3600);
        Self { folder: folder.into(), part: hour, bytes: u64::MAX, keep: None, keep_bytes: None, sync: false }
    }
}

/// What happens to a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A part begins.
    Begun(PathBuf),
    /// A part is whole. Beside it lies a file with its SHA-256, as `sha256sum -c` reads it.
    Ended(PathBuf),
    /// Something can't be written: what comes until that is possible again is not recorded, and then a new part begins.
    Failed {
        /// What, and why, as a sentence.
        reason: String,
    },
    /// A part was removed, since it was too old or there were too many.
    Removed(PathBuf),
}

/// Records a stream until it is dropped, or until nobody has sent the stream for half a minute.
pub struct Recorder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins to record the stream of that name, whoever sends it. `told` hears how that goes, from a thread of the recorder's.
    ///
    /// # Errors
    /// When the stream can't have that name, the folder can't be made, or the system gives no thread.
    pub fn start(
        hub: &Hub,
        stream: &str,
        settings: &Settings,
        told: impl Fn(Progress) + Send + 'static,
    ) -> Result<Self> {
        if !crate::is_name(stream) {
            return Err(Error::InvalidInput {
                what: "the stream's name".into(),
                problem: "it can't be a folder's",
            });
        }
        let folder = settings.folder.join(stream);
        std::fs::create_dir_all(&folder).map_err(Error::io(format!("making {}", folder.display())))?;
        let feed = hub.subscribe(stream, FEED);
        let stop = Arc::new(AtomicBool::new(false));
        let (over, hub, name) = (Arc::clone(&stop), hub.clone(), stream.to_owned());
        let mut work = Work {
            writer: Writer::new(settings.part, settings.bytes),
            disk: Disk::new(folder, settings.clone()),
            told: Box::new(told),
            rest: None,
        };
        let run = move || {
            work.run(feed, &over, || hub.is_live(&name));
            over.store(true, Ordering::Relaxed);
        };
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(run);
        Ok(Self { stop, thread: Some(thread.map_err(Error::io("starting a thread"))?) })
    }

    /// Whether it has ended, since nobody sends the stream.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("over", &self.is_over()).finish_non_exhaustive()
    }
}

/// What a recorder's thread has.
struct Work {
    writer: Writer,
    disk: Disk,
    told: Box<dyn Fn(Progress) + Send>,
    /// Since when a disk that failed is left alone.
    rest: Option<Instant>,
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Work {
    fn run(&mut self, mut feed: Feed, stop: &AtomicBool, is_live: impl Fn() -> bool) {
        let (mut heard, mut swept) = (Instant::now(), None);
        while !stop.load(Ordering::Relaxed) {
            match feed.next(NAP) {
                Next::Item(item) => {
                    heard = Instant::now();
                    let result = self.writer.push(now(), item);
                    self.write(result);
                }
                Next::Nothing if heard.elapsed() >= WAIT && !is_live() => break,
                Next::Nothing => {}
                Next::Over => break,
            }
            if swept.is_none_or(|at: Instant| at.elapsed() >= SWEEP) {
                swept = Some(Instant::now());
                self.disk.sweep().into_iter().for_each(|path| (self.told)(Progress::Removed(path)));
            }
        }
        // Who ends it wants what has come until then.
        for _ in 0..MOST_WAITING {
            let Next::Item(item) = feed.poll() else { break };
            let result = self.writer.push(now(), item);
            self.write(result);
        }
        let result = self.writer.finish(now());
        self.write(result);
    }

    /// Writes what is ready. Where that fails nothing is written for a while, and then a new part.
    fn write(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.fail(&error);
        }
        while let Some(piece) = self.writer.pull() {
            if self.rest.is_some_and(|since| since.elapsed() < REST) {
                return self.writer.restart();
            }
            match self.disk.write(piece) {
                Ok(progress) => {
                    self.rest = None;
                    progress.into_iter().for_each(&self.told);
                }
                Err(error) => return self.fail(&error),
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        self.writer.restart();
        self.disk.abandon().into_iter().for_each(&self.told);
        // Who fails again and again says so once.
        if self.rest.replace(Instant::now()).is_none() {
            (self.told)(Progress::Failed { reason: error.to_string() });
        }
    }
}
