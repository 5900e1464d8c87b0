//! Where sources are: files, and with the feature `s3` objects (`s3://bucket/key`).

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sv_core::{FileAt, ReadAt};

use crate::Result;

/// What is known of a source without reading it.
pub(crate) struct Stat {
    /// Its size.
    pub(crate) bytes: u64,
    /// Changes with it.
    pub(crate) version: Option<String>,
    /// The one name that it has.
    pub(crate) name: String,
}

/// Whether it is an object and no file.
pub(crate) fn is_remote(path: &Path) -> bool {
    cfg!(feature = "s3") && path.to_str().is_some_and(|text| text.starts_with("s3://"))
}

/// Opens a source to be read anywhere.
pub(crate) fn reader(path: &Path) -> Result<Arc<dyn ReadAt>> {
    #[cfg(feature = "s3")]
    if is_remote(path) {
        return Ok(Arc::new(crate::bucket::Bucket::object(path)?));
    }
    Ok(Arc::new(FileAt::open(path)?))
}

pub(crate) fn stat(path: &Path) -> Result<Stat> {
    #[cfg(feature = "s3")]
    if is_remote(path) {
        return crate::bucket::Bucket::stat(path);
    }
    let meta = std::fs::metadata(path)?;
    let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    Ok(Stat {
        bytes: meta.len(),
        version: modified.map(|m| m.as_nanos().to_string()),
        name: path.canonicalize()?.to_string_lossy().into_owned(),
    })
}
