//! Objects in S3, or in a store like it, by the crate `object_store`.
//!
//! Who may do what is known from the environment, as for every program that speaks to S3:
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, and `AWS_ENDPOINT_URL` for stores elsewhere.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, RetryConfig};
use sv_core::{ErrorKind, ReadAt};

use crate::place::Stat;
use crate::{Error, Result};

/// Bytes of one request, for reading and for writing in parts.
const BLOCK: u64 = 4 << 20;
/// Blocks of an object that are kept while it is read.
const KEPT: usize = 4;
/// For so long a store may fail before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place in a bucket: objects under a prefix.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    url: String,
    prefix: Key,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.url)
    }
}

/// The threads on which requests are made; whoever asks waits on a thread of its own.
fn wait<T>(work: impl Future<Output = T>) -> Result<T> {
    static RUNTIME: OnceLock<Option<tokio::runtime::Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("s3")
            .build()
            .ok()
    });
    let runtime = runtime.as_ref().ok_or_else(|| io::Error::other("no thread can be had for requests"))?;
    Ok(runtime.block_on(work))
}

impl Bucket {
    /// The place that a URL names: `s3://bucket/prefix`.
    pub(crate) fn open(url: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::InvalidInput, format!("{url} is no place in a bucket: s3://BUCKET/PREFIX"))
        };
        let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong());
        }
        let http = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"]
            .iter()
            .any(|name| std::env::var(name).is_ok_and(|url| url.starts_with("http://")));
        let retry = RetryConfig { retry_timeout: PATIENCE, max_retries: 20, ..RetryConfig::default() };
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_allow_http(http)
            .with_retry(retry)
            .build()
            .map_err(|e| failed(url, &e))?;
        let prefix = Key::parse(prefix.trim_end_matches('/')).map_err(|_| wrong())?;
        Ok(Self { store: Arc::new(store), url: url.trim_end_matches('/').to_owned(), prefix })
    }

    /// One object, to be read.
    pub(crate) fn object(path: &Path) -> Result<Object> {
        let (place, name) = split(path)?;
        place.get(name)
    }

    pub(crate) fn stat(path: &Path) -> Result<Stat> {
        let (place, name) = split(path)?;
        let key = place.key(name);
        let meta = wait(place.store.head(&key))?.map_err(|e| failed(&place.name(name), &e))?;
        let version = meta.e_tag.or_else(|| Some(meta.last_modified.timestamp_millis().to_string()));
        Ok(Stat { bytes: meta.size, version, name: place.name(name) })
    }

    /// What names it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn key(&self, name: &str) -> Key {
        self.prefix.clone().join(name)
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// How large an object is, if it is there.
    pub(crate) fn size(&self, name: &str) -> Result<Option<u64>> {
        match wait(self.store.head(&self.key(name)))? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&self.name(name), &error)),
        }
    }

    /// Opens an object.
    pub(crate) fn get(&self, name: &str) -> Result<Object> {
        let size = self.size(name)?;
        let size =
            size.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{} is not there", self.name(name))))?;
        Ok(Object { place: self.clone(), key: self.key(name), size, kept: Mutex::default() })
    }

    /// Stores a few bytes.
    pub(crate) fn put(&self, name: &str, data: Bytes) -> Result<()> {
        let done = wait(self.store.put(&self.key(name), data.into()))?;
        done.map(drop).map_err(|e| failed(&self.name(name), &e))
    }

    /// Stores a file. It is there when all of it is.
    pub(crate) fn put_file(&self, name: &str, file: &mut File) -> Result<()> {
        let mut next = || -> io::Result<Bytes> {
            let mut part = Vec::new();
            file.by_ref().take(BLOCK * 2).read_to_end(&mut part)?;
            Ok(part.into())
        };
        let first = next()?;
        if (first.len() as u64) < BLOCK * 2 {
            return self.put(name, first);
        }
        let told = |error: object_store::Error| failed(&self.name(name), &error);
        let mut upload = wait(self.store.put_multipart(&self.key(name)))?.map_err(told)?;
        let mut part = first;
        let done = (|| {
            while !part.is_empty() {
                wait(upload.put_part(std::mem::take(&mut part).into()))?.map_err(told)?;
                part = next()?;
            }
            wait(upload.complete())?.map(drop).map_err(told)
        })();
        if done.is_err() {
            // Parts without a whole cost money. If this fails too, the bucket's own rules clear them.
            let _ = wait(upload.abort());
        }
        done
    }

    /// Removes an object, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match wait(self.store.delete(&self.key(name)))? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&self.name(name), &error)),
        }
    }

    /// Removes everything below it.
    pub(crate) fn clear(&self) -> Result<()> {
        let all = wait(async {
            let mut list = self.store.list(Some(&self.prefix));
            let mut keys = Vec::new();
            while let Some(meta) = list.next().await {
                keys.push(meta?.location);
            }
            Ok::<_, object_store::Error>(keys)
        })?;
        for key in all.map_err(|e| failed(&self.url, &e))? {
            match wait(self.store.delete(&key))? {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(&self.url, &error)),
            }
        }
        Ok(())
    }
}

/// The place of an object, and its name there.
fn split(path: &Path) -> Result<(Bucket, &str)> {
    let wrong = || {
        Error::new(ErrorKind::InvalidInput, format!("{} names no object: s3://BUCKET/KEY", path.display()))
    };
    let text = path.to_str().ok_or_else(wrong)?;
    let (place, name) = text.rsplit_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(wrong)?;
    Ok((Bucket::open(place)?, name))
}

/// What the store says, in one sentence. Secrets are in none of its errors.
fn failed(what: &str, error: &object_store::Error) -> Error {
    use object_store::Error as E;
    let kind = match error {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Unavailable,
    };
    let hint = match kind {
        ErrorKind::NotFound => "it, or its bucket, is not there",
        ErrorKind::PermissionDenied => {
            "the store refuses: look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do"
        }
        _ => return Error::new(kind, format!("{what} can't be reached: {error}")),
    };
    Error::new(kind, format!("{what}: {hint}"))
}

/// An object that is read a few blocks at a time.
pub(crate) struct Object {
    place: Bucket,
    key: Key,
    size: u64,
    kept: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Object {
    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(n, _)| *n == number) {
            let found = kept.remove(at).map(|(_, data)| data).unwrap_or_default();
            kept.push_front((number, found.clone()));
            return Ok(found);
        }
        let from = number * BLOCK;
        let range = from..(from + BLOCK).min(self.size);
        let data = wait(self.place.store.get_range(&self.key, range)).map_err(io::Error::other)?;
        let data = data.map_err(|e| io::Error::other(failed(&self.place.url, &e).to_string()))?;
        kept.push_front((number, data.clone()));
        kept.truncate(KEPT);
        Ok(data)
    }
}

impl ReadAt for Object {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if offset >= self.size || buf.is_empty() {
            return Ok(0);
        }
        let block = self.block(offset / BLOCK)?;
        let rest = block.get((offset % BLOCK) as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the object has become shorter"));
        }
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> u64 {
        self.size
    }
}
