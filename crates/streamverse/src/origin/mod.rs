//! An origin that packages when somebody asks: HLS and DASH of CMAF, HLS of transport streams, clear or encrypted, out
//! of the same stored files.
//!
//! What is stored is a film in one MP4, or a folder of CMAF as this crate or another packager wrote it, or the folder in
//! which [`live`](crate::live) goes on. An [`Origin`]
//! reads its tables once, and of the payloads what a request needs. What comes out is what
//! [`package_files`](crate::package_files) would have written, and it is the same each time.
//!
//! ```no_run
//! use streamverse::origin::{Origin, Settings};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let mut origin = Origin::new(Settings::default());
//! origin.add("talk", "talk.mp4")?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
//! axum::serve(listener, origin.router()).await?; // talk/hls.m3u8, talk/ts.m3u8, talk/dash.mpd
//! # Ok(())
//! # }
//! ```

mod http;
mod joined;
mod shelf;
mod shift;
mod stock;
mod title;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sv_core::{Bytes, ErrorKind, Scheme};
use sv_package::origin::{Request, Wanted};

use crate::live::JOURNAL;
use crate::vod::Encryption;
use crate::{Error, Result};
use shelf::Shelf;
use shift::Live;
use title::Stored;

/// How often it is looked whether the files of a title are still the same, and of one that is live.
const FRESH: Duration = Duration::from_secs(1);
const LIVE_FRESH: Duration = Duration::from_millis(200);

/// How an origin works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Segments end at the first key frame at or behind each multiple of this.
    pub segment: Duration,
    /// Whether and how to encrypt.
    pub protect: Option<Protect>,
    /// Where a ClearKey licence is to be had; written into DASH manifests.
    pub license_url: Option<String>,
    /// Most bytes of tables of titles that stay in memory.
    pub table_bytes: usize,
    /// Most bytes of segments that stay in memory.
    pub segment_bytes: usize,
    /// Most segments and manifests that are made at a time.
    pub at_once: usize,
    /// Most requests at a time, those included whose answers are still being sent; others are told to come again.
    pub requests: usize,
}

impl Default for Settings {
    /// Segments of 4 s, clear; 256 MiB of tables, 256 MiB of segments, twice as many at a time as there are cores, and 1024
    /// requests.
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(4),
            protect: None,
            license_url: None,
            table_bytes: 256 << 20,
            segment_bytes: 256 << 20,
            at_once: std::thread::available_parallelism().map_or(2, |n| n.get().saturating_mul(2)),
            requests: 1024,
        }
    }
}

/// Encryption on the way out. A form of segments that no scheme is named for is not served at all: what shall be encrypted
/// never leaves in clear.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Protect {
    /// At most one scheme for CMAF and one for transport streams.
    pub schemes: Vec<Scheme>,
    /// The keys.
    pub keys: KeyPlace,
    /// Segments that begin before this on their grid stay clear, so that playing starts without a key.
    pub clear_lead: Duration,
    /// Take the next key after each such time; the keys say which.
    pub crypto_period: Option<Duration>,
    /// Where players get a key's 16 bytes (HLS, `KEYFORMAT="identity"`). Transport streams need it.
    pub key_url: Option<String>,
    /// Whole `pssh` boxes to announce the keys with, instead of the W3C common header of each key.
    pub pssh: Option<Vec<Bytes>>,
    /// Whether `pssh` boxes stand in the stream too.
    pub pssh_in_stream: bool,
}

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeyPlace {
    /// The same for every title.
    One(sv_drm::Keys),
    /// A folder with a key file for each title: `NAME.keys`.
    Folder(PathBuf),
}

impl Protect {
    /// Everything, with the common header as `pssh`.
    #[must_use]
    pub fn new(schemes: Vec<Scheme>, keys: KeyPlace) -> Self {
        Self {
            schemes,
            keys,
            clear_lead: Duration::ZERO,
            crypto_period: None,
            key_url: None,
            pssh: None,
            pssh_in_stream: true,
        }
    }

    fn check(&self) -> Result<()> {
        let ts = self.schemes.iter().filter(|s| s.fourcc().is_none()).count();
        if ts > 1 || self.schemes.len().saturating_sub(ts) > 1 || self.schemes.is_empty() {
            let message = "one scheme for CMAF (cenc, cens, cbc1, cbcs) and one for transport streams (sample-aes, aes-128) \
                           can be used at a time";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if ts > 0 && self.key_url.is_none() {
            let message = "players of encrypted transport streams need to know where the key is to be had: say it by --key-url";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(())
    }

    /// What is done with one title.
    fn of(&self, name: &str) -> Result<Vec<Encryption>> {
        let keys = match &self.keys {
            KeyPlace::One(keys) => keys.clone(),
            KeyPlace::Folder(folder) => {
                let path = folder.join(format!("{name}.keys"));
                let text = std::fs::read_to_string(&path)
                    .map_err(|e| Error::from(e).context(format!("the key file of {name} can't be read")));
                sv_drm::Keys::parse(&text?)?
            }
        };
        let encryption = |scheme| {
            let mut encryption = Encryption::new(scheme, keys.clone());
            encryption.clear_lead = self.clear_lead;
            encryption.crypto_period = self.crypto_period;
            encryption.key_url.clone_from(&self.key_url);
            encryption.pssh.clone_from(&self.pssh);
            encryption.pssh_in_stream = self.pssh_in_stream;
            encryption
        };
        Ok(self.schemes.iter().copied().map(encryption).collect())
    }
}

/// Titles by their names, and what was made of them last. Clones answer for the same.
#[derive(Clone)]
pub struct Origin {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    named: BTreeMap<String, PathBuf>,
    library: Option<PathBuf>,
    titles: Mutex<Shelf<String, Known>>,
    segments: Mutex<Shelf<(String, Wanted), Answer>>,
    /// Whoever opens a title or makes a segment holds its lock, so that nothing is made twice at a time.
    making: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

#[derive(Clone)]
struct Known {
    title: Arc<Title>,
    /// Of the files when the title was opened.
    stamp: Arc<str>,
    looked: Instant,
}

/// A title that is open.
enum Title {
    /// All of it is there.
    Stored(Stored),
    /// `sv live` writes it, or has written it.
    Live(Live),
}

impl Title {
    /// How long it is good without another look at its files.
    fn fresh(&self) -> Duration {
        match self {
            Self::Stored(_) => FRESH,
            Self::Live(_) => LIVE_FRESH,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Stored(title) => title.weight(),
            Self::Live(title) => title.weight(),
        }
    }

    /// The tag of a segment, before it is made; nothing for what is written anew for each request.
    fn tag(&self, wanted: &Wanted) -> Option<String> {
        let print = match (self, wanted) {
            (Self::Stored(title), Wanted::Init { .. } | Wanted::Segment { .. }) => &title.print,
            (Self::Live(title), Wanted::Init { .. } | Wanted::Segment { .. }) => &title.print,
            _ => return None,
        };
        let mut hash = Sha256::new();
        hash.update(print);
        hash.update(format!("{wanted:?}"));
        Some(stock::digits(hash))
    }

    fn written(&self, request: &Request) -> Result<Answer> {
        match self {
            Self::Stored(title) => title.written(request),
            Self::Live(title) => title.written(request),
        }
    }

    fn segment(&self, wanted: &Wanted) -> Result<(Bytes, &'static str)> {
        match self {
            Self::Stored(title) => title.segment(wanted),
            Self::Live(title) => title.segment(wanted),
        }
    }
}

/// What is sent.
#[derive(Clone, Debug)]
struct Answer {
    data: Bytes,
    content_type: &'static str,
    tag: String,
    /// Whether it is a segment, which stays what it is.
    lasting: bool,
}

impl Origin {
    /// An origin without titles.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let titles = Mutex::new(Shelf::new(settings.table_bytes));
        let segments = Mutex::new(Shelf::new(settings.segment_bytes));
        let (named, library) = (BTreeMap::new(), None);
        Self {
            inner: Arc::new(Inner { settings, named, library, titles, segments, making: Mutex::default() }),
        }
    }

    /// Adds a title: an MP4 file, or a folder of the renditions of one title. It is opened, to say at once what is wrong
    /// with it.
    ///
    /// # Errors
    /// When it can't be used, its name can't stand in an address or is taken, or this origin is at work already.
    pub fn add(&mut self, name: &str, path: impl Into<PathBuf>) -> Result<()> {
        let inner = self.own()?;
        let path = path.into();
        if !is_name(name) {
            let message =
                format!("{name:?} can't stand in an address: use letters, digits, '-', '_' and '.'");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if inner.named.insert(name.to_owned(), path).is_some() {
            let message = format!("two titles are called {name}: give each a name of its own");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        self.inner.title(name).map(|_| ())
    }

    /// Serves every MP4 file and every folder of `folder` as a title of that name, also those that come later.
    ///
    /// # Errors
    /// When it is no folder, or this origin is at work already.
    pub fn library(&mut self, folder: impl Into<PathBuf>) -> Result<()> {
        let folder = folder.into();
        if !folder.is_dir() {
            let message = format!("{} is not a folder", folder.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        self.own()?.library = Some(folder);
        Ok(())
    }

    fn own(&mut self) -> Result<&mut Inner> {
        let inner = Arc::get_mut(&mut self.inner).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "titles are added before the origin begins to serve")
        })?;
        inner.settings.protect.as_ref().map(Protect::check).transpose()?;
        Ok(inner)
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

/// What may be the name of a title: nothing that an address has to escape, and nothing hidden.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=255).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('.')
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn place(&self, name: &str) -> Result<PathBuf> {
        let nothing = || Error::new(ErrorKind::NotFound, "there is no title of that name");
        if !is_name(name) {
            return Err(nothing());
        }
        if let Some(path) = self.named.get(name) {
            return Ok(path.clone());
        }
        let path = self.library.as_deref().map(|folder: &Path| folder.join(name)).ok_or_else(nothing)?;
        // What a link leads to may lie anywhere.
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() || meta.is_dir() => Ok(path),
            _ => Err(nothing()),
        }
    }

    /// The title of that name, as its files are now. Reads files.
    fn title(&self, name: &str) -> Result<Arc<Title>> {
        let known = || lock(&self.titles).get(name).filter(|k: &Known| k.looked.elapsed() < k.title.fresh());
        if let Some(known) = known() {
            return Ok(known.title);
        }
        let path = self.place(name)?;
        self.alone(name, || {
            if let Some(known) = known() {
                return Ok(known.title);
            }
            let looked = Instant::now();
            let stamp = stock::stamp(&path).map_err(|e| e.context(format!("{name} can't be read")))?;
            let old = lock(&self.titles).get(name).filter(|old| *old.stamp == *stamp);
            let title = match old {
                Some(same) => same.title,
                None => Arc::new(
                    self.open(name, &path, &stamp)
                        .map_err(|e| e.context(format!("{name} can't be served")))?,
                ),
            };
            let known = Known { title: Arc::clone(&title), stamp: stamp.into(), looked };
            lock(&self.titles).put(name.to_owned(), known, title.weight());
            Ok(title)
        })
    }

    fn open(&self, name: &str, path: &Path, stamp: &str) -> Result<Title> {
        let encryption = self.settings.protect.as_ref().map(|p| p.of(name)).transpose()?;
        if path.join(JOURNAL).is_file() {
            return Live::open(name, path, &self.settings, encryption).map(Title::Live);
        }
        Stored::open(name, path, stamp, &self.settings, encryption).map(Title::Stored)
    }

    /// Runs something that nobody else runs at the same time.
    fn alone<T>(&self, what: &str, run: impl FnOnce() -> T) -> T {
        let own = Arc::clone(lock(&self.making).entry(what.to_owned()).or_default());
        let out = {
            let _held = lock(&own);
            run()
        };
        let mut making = lock(&self.making);
        // The map's and ours: nobody waits.
        if Arc::strong_count(&own) <= 2 {
            making.remove(what);
        }
        out
    }

    /// Answers a request below a title. Reads files; `known` is a tag that the client has.
    fn answer(&self, name: &str, request: &Request, known: Option<&str>) -> Result<Answer> {
        let title = self.title(name)?;
        let Some(tag) = title.tag(&request.wanted) else { return title.written(request) };
        if known == Some(tag.as_str()) {
            let (data, content_type) = (Bytes::new(), "");
            return Ok(Answer { data, content_type, tag, lasting: true });
        }
        let key = (tag, request.wanted.clone());
        let found = || lock(&self.segments).get(&key);
        if let Some(answer) = found() {
            return Ok(answer);
        }
        self.alone(&format!("{} {name} {:?}", key.0, key.1), || {
            if let Some(answer) = found() {
                return Ok(answer);
            }
            let (data, content_type) = title.segment(&request.wanted)?;
            let answer = Answer { data, content_type, tag: key.0.clone(), lasting: true };
            lock(&self.segments).put(key.clone(), answer.clone(), answer.data.len().saturating_add(512));
            Ok(answer)
        })
    }
}
