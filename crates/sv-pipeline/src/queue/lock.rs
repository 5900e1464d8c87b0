//! One folder, one owner.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::{Error, Result};

/// The operating system's lock on a file: it goes away with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let refused = |source| Error::Folder { folder: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(refused)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("queue.lock"))
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(refused(source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file alone would leave the lock to a child that is being started at this moment and has the file
        // open until it becomes another program.
        let _ = self.0.unlock();
    }
}
