//! Where chunks are put: a folder that coordinator and workers share, or a place in a bucket.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sv_container::mp4;
use sv_core::{ErrorKind, FileAt, Limits, ReadAt};

#[cfg(feature = "s3")]
use crate::bucket::Bucket;
use crate::{Damage, Error, Result};

/// Finished chunks. A name is there only if all of its bytes are.
#[derive(Clone, Debug)]
pub struct Store(Place);

#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

/// Lies in a bucket as long as somebody wants the chunks.
#[cfg(feature = "s3")]
const WANTED: &str = "wanted";

impl Store {
    /// The store in a folder, which need not exist.
    #[must_use]
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        Self(Place::Folder(root.into()))
    }

    /// The store at a place: a folder, or `s3://BUCKET/PREFIX` (feature `s3`).
    ///
    /// # Errors
    /// When the place is none in a bucket.
    pub fn at(place: impl AsRef<Path>) -> Result<Self> {
        let place = place.as_ref();
        #[cfg(feature = "s3")]
        if let Some(url) = place.to_str().filter(|url| url.starts_with("s3://")) {
            return Ok(Self(Place::Bucket(Bucket::open(url)?)));
        }
        Ok(Self::folder(place))
    }

    /// Where it is, as for [`at`](Self::at).
    #[must_use]
    pub fn place(&self) -> PathBuf {
        match &self.0 {
            Place::Folder(root) => root.clone(),
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.url().into(),
        }
    }

    /// Makes it. Only a coordinator does: a worker that finds none has come too late.
    pub(super) fn make(&self) -> Result<()> {
        match &self.0 {
            Place::Folder(root) => fs::create_dir_all(root).map_err(|e| named(root, e)),
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.put(WANTED, Bytes::new()),
        }
    }

    /// Whether somebody still wants what is put into it. A place that can't be asked may come back.
    #[cfg(feature = "nats")]
    pub(super) fn is_wanted(&self) -> bool {
        match &self.0 {
            Place::Folder(root) => root.is_dir(),
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => !matches!(bucket.size(WANTED), Ok(None)),
        }
    }

    /// Removes it with everything in it.
    pub(crate) fn clear(&self) -> Result<()> {
        match &self.0 {
            Place::Folder(root) => match fs::remove_dir_all(root) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(Error::from(e).context(format!("{} can't be removed", root.display())))
                }
                _ => Ok(()),
            },
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.clear(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match &self.0 {
            Place::Folder(root) => root.join(name).is_file(),
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => matches!(bucket.size(name), Ok(Some(_))),
        }
    }

    /// Begins a chunk. Two may be written under one name at a time: the last to finish stays, and
    /// they are the same anyway.
    pub(super) fn create(&self, name: &str) -> Result<Chunk> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| Error::from(io::Error::other(e.to_string())))?;
        let own = u64::from_ne_bytes(random) ^ COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = match &self.0 {
            Place::Folder(root) => root.clone(),
            #[cfg(feature = "s3")]
            Place::Bucket(_) => std::env::temp_dir(),
        };
        let aside = folder.join(format!(".{name}.{own:016x}.part"));
        let file = File::options().create_new(true).read(true).write(true).open(&aside);
        let file = file.map_err(|e| named(&aside, e))?;
        Ok(Chunk { file: Some(file), aside, store: self.clone(), name: name.to_owned() })
    }

    /// Opens what lies under a name.
    fn reader(&self, name: &str) -> Result<Arc<dyn ReadAt>> {
        match &self.0 {
            Place::Folder(root) => {
                let path = root.join(name);
                Ok(Arc::new(FileAt::open(&path).map_err(|e| named(&path, e))?))
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => Ok(Arc::new(bucket.get(name)?)),
        }
    }

    /// Opens a chunk to be read; `None` for one in which nothing is.
    pub(crate) fn open(&self, name: &str) -> Result<Option<mp4::Demuxer>> {
        let chunk = self.reader(name)?;
        if chunk.size() == 0 {
            return Ok(None);
        }
        Ok(Some(mp4::Demuxer::open(chunk, Limits::default())?))
    }

    /// Keeps an account of damage, if there is any.
    pub(super) fn tell_damage(&self, name: &str, damage: &[Damage]) -> Result<()> {
        if damage.is_empty() {
            return Ok(());
        }
        let json = serde_json::to_vec(damage)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("damage can't be written down: {e}")))?;
        let mut file = self.create(name)?;
        file.write(&[json.into()])?;
        file.finish()
    }

    /// The account of damage under a name; nothing if there is none.
    pub(crate) fn damage(&self, name: &str) -> Result<Vec<Damage>> {
        /// An account holds a few hundred lines at most.
        const LARGEST: u64 = 1 << 20;
        let reader = match self.reader(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            reader => reader?,
        };
        let mut text = vec![0; reader.size().min(LARGEST) as usize];
        reader.read_exact_at(0, &mut text)?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::new(ErrorKind::Malformed, format!("{name} can't be read: {e}")))
    }

    /// Removes a chunk, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match &self.0 {
            Place::Folder(root) => {
                let path = root.join(name);
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => Err(named(&path, e)),
                    _ => Ok(()),
                }
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.remove(name),
        }
    }
}

/// A chunk that grows beside its place.
pub(super) struct Chunk {
    file: Option<File>,
    aside: PathBuf,
    store: Store,
    name: String,
}

impl Chunk {
    pub(super) fn write(&mut self, data: &[Bytes]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        data.iter().try_for_each(|bytes| file.write_all(bytes)).map_err(|e| named(&self.aside, e))
    }

    /// Puts it in its place, for good.
    pub(super) fn finish(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        match &self.store.0 {
            Place::Folder(root) => {
                let path = root.join(&self.name);
                let placed = file.sync_all().and_then(|()| fs::rename(&self.aside, &path));
                placed.map_err(|e| {
                    let _ = fs::remove_file(&self.aside);
                    named(&path, e)
                })
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => {
                let mut file = file;
                let put = io::Seek::rewind(&mut file)
                    .map_err(|e| named(&self.aside, e))
                    .and_then(|()| bucket.put_file(&self.name, &mut file));
                let _ = fs::remove_file(&self.aside);
                put
            }
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.aside);
        }
    }
}

fn named(path: &Path, error: io::Error) -> Error {
    Error::from(error).context(format!("the chunk {} can't be kept", path.display()))
}
