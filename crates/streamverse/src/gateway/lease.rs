//! Which of several gateways has a folder: one at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use sv_core::ErrorKind;

use crate::{Error, Result};

/// A file by this name is locked by who has the folder. No stream is called so.
const NAME: &str = ".gateway";
/// How often who waits looks.
const NAP: Duration = Duration::from_millis(50);

/// The folder is ours, until this is dropped or the process has ended, however that happens.
#[derive(Debug)]
pub(super) struct Lease {
    /// Its lock goes with it.
    _file: File,
}

impl Lease {
    /// Takes the folder, or waits until nobody has it.
    pub(super) fn take(folder: &Path, waits: bool) -> Result<Self> {
        let path = folder.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if waits => std::thread::sleep(NAP),
                Err(TryLockError::WouldBlock) => {
                    let message = format!(
                        "another gateway has {}: choose another folder by --out, or wait for that one's end by --standby",
                        folder.display()
                    );
                    return Err(Error::new(ErrorKind::AlreadyExists, message));
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}
