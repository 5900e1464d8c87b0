//! Where chunks are put: a folder that coordinator and workers share.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sv_container::mp4;
use sv_core::{ErrorKind, FileAt, Limits};

use crate::{Damage, Error, Result};

/// A folder of finished chunks. A name is there only if all of its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in a folder, which need not exist.
    #[must_use]
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Makes the folder. Only a coordinator does: a worker that finds none has come too late.
    pub(super) fn make(&self) -> Result<()> {
        fs::create_dir_all(&self.root).map_err(|e| named(&self.root, e))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.root.join(name).is_file()
    }

    /// Begins a chunk. Two may be written under one name at a time: the last to finish stays, and
    /// they are the same anyway.
    pub(super) fn create(&self, name: &str) -> Result<Chunk> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = self.root.join(name);
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| Error::from(io::Error::other(e.to_string())))?;
        let own = u64::from_ne_bytes(random) ^ COUNT.fetch_add(1, Ordering::Relaxed);
        let aside = self.root.join(format!(".{name}.{own:016x}.part"));
        let file = File::create(&aside).map_err(|e| named(&aside, e))?;
        Ok(Chunk { file: Some(file), aside, path })
    }

    /// Opens a chunk to be read; `None` for one in which nothing is.
    pub(crate) fn open(&self, name: &str) -> Result<Option<mp4::Demuxer>> {
        let path = self.root.join(name);
        let file = FileAt::open(&path).map_err(|e| named(&path, e))?;
        if sv_core::ReadAt::size(&file) == 0 {
            return Ok(None);
        }
        Ok(Some(mp4::Demuxer::open(Arc::new(file), Limits::default())?))
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
        let path = self.root.join(name);
        let text = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => {
                let mut text = Vec::new();
                let read = file.and_then(|file| file.take(LARGEST).read_to_end(&mut text));
                read.map_err(|e| named(&path, e))?;
                text
            }
        };
        serde_json::from_slice(&text)
            .map_err(|e| Error::new(ErrorKind::Malformed, format!("{} can't be read: {e}", path.display())))
    }

    /// Removes a chunk, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(named(&path, e)),
            _ => Ok(()),
        }
    }
}

/// A chunk that grows beside its place.
pub(super) struct Chunk {
    file: Option<File>,
    aside: PathBuf,
    path: PathBuf,
}

impl Chunk {
    pub(super) fn write(&mut self, data: &[Bytes]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        data.iter().try_for_each(|bytes| file.write_all(bytes)).map_err(|e| named(&self.aside, e))
    }

    /// Puts it in its place, on the disk.
    pub(super) fn finish(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let placed = file.sync_all().and_then(|()| fs::rename(&self.aside, &self.path));
        placed.map_err(|e| {
            let _ = fs::remove_file(&self.aside);
            named(&self.path, e)
        })
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
