//! Files one behind the other, read as one: an initialisation and its segments.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sv_core::{FileAt, ReadAt};

/// Files that are opened when they are read, because a film has thousands.
pub(super) struct Joined {
    parts: Vec<Part>,
    size: u64,
    /// The one that was read last: the next bytes mostly lie in it too.
    open: Mutex<Option<(usize, std::sync::Arc<FileAt>)>>,
}

struct Part {
    start: u64,
    path: PathBuf,
}

impl Joined {
    pub(super) fn new(paths: Vec<PathBuf>) -> io::Result<Self> {
        let mut parts = Vec::with_capacity(paths.len());
        let mut size = 0u64;
        for path in paths {
            let bytes = regular(&path)?;
            parts.push(Part { start: size, path });
            size = size.saturating_add(bytes);
        }
        Ok(Self { parts, size, open: Mutex::new(None) })
    }

    fn file(&self, index: usize, path: &Path) -> io::Result<std::sync::Arc<FileAt>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.as_ref().filter(|(at, _)| *at == index) {
            return Ok(std::sync::Arc::clone(file));
        }
        let file = std::sync::Arc::new(FileAt::open(path)?);
        *open = Some((index, std::sync::Arc::clone(&file)));
        Ok(file)
    }
}

fn regular(path: &Path) -> io::Result<u64> {
    let meta = std::fs::symlink_metadata(path)?;
    if meta.is_file() {
        return Ok(meta.len());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a regular file", path.display())))
}

impl ReadAt for Joined {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut index = self.parts.partition_point(|p| p.start <= offset).saturating_sub(1);
        // An empty file has nothing to give, but the next may have.
        while let Some(part) = self.parts.get(index) {
            let end = self.parts.get(index + 1).map_or(self.size, |next| next.start);
            if offset < end {
                let room = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buf.len());
                let read = self.file(index, &part.path)?.read_at(offset - part.start, &mut buf[..room])?;
                if read == 0 && room > 0 {
                    let what = format!("{} has become shorter", part.path.display());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
                }
                return Ok(read);
            }
            index += 1;
        }
        Ok(0)
    }

    fn size(&self) -> u64 {
        self.size
    }
}
