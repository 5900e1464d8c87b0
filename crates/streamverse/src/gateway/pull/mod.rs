//! Streams that nobody sends and that are fetched instead: HLS that others serve, and files again and again.

mod file;
mod hls;
mod pace;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sv_core::{ErrorKind, Item};
use sv_ingest::gateway::{Entrance, Grant, Publication};
use sv_ingest::push::Progress;
use sv_ingest::srt;
use sv_pipeline::Cancel;
use url::Url;

use super::Happening;
use crate::live::NAP;
use crate::{Error, Result};

/// How long to wait before the first attempt after one that failed; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where a stream is fetched from.
#[derive(Clone)]
pub struct Upstream(Kind);

#[derive(Clone)]
enum Kind {
    Hls(Url),
    Srt(srt::Target),
    #[cfg(feature = "rtsp")]
    Rtsp(sv_ingest::rtsp::Address),
    File(PathBuf),
}

impl Upstream {
    /// A URL of a playlist of HLS (`https://` or `http://`) of SRT
    /// (`srt://HOST:PORT?streamid=…`) or, with the feature `rtsp`, of a camera (`rtsp://USER:PASSWORD@HOST/PATH`), or else the path of a file, which begins anew whenever it
    /// ends.
    ///
    /// # Errors
    /// When it is a URL of another kind. The error doesn't repeat it.
    pub fn parse(text: &str) -> Result<Self> {
        if text.starts_with("https://") || text.starts_with("http://") {
            let wrong = |_| Error::new(ErrorKind::InvalidInput, "this is no URL that could be fetched");
            return Ok(Self(Kind::Hls(Url::parse(text).map_err(wrong)?)));
        }
        if text.starts_with("srt://") {
            return Ok(Self(Kind::Srt(srt::Target::parse(text)?)));
        }
        #[cfg(feature = "rtsp")]
        if text.starts_with("rtsp://") {
            return Ok(Self(Kind::Rtsp(sv_ingest::rtsp::Address::parse(text)?)));
        }
        if text.contains("://") {
            let message = "only https://, http://, srt://, rtsp:// and files can be fetched";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self(Kind::File(text.into())))
    }

    /// Where it is called for by SRT, if it is.
    pub(super) fn srt(&self) -> Option<srt::Target> {
        match &self.0 {
            Kind::Srt(target) => Some(target.clone()),
            _ => None,
        }
    }

    /// The camera, if it is one.
    #[cfg(feature = "rtsp")]
    pub(super) fn rtsp(&self) -> Option<sv_ingest::rtsp::Address> {
        match &self.0 {
            Kind::Rtsp(address) => Some(address.clone()),
            _ => None,
        }
    }

    const fn protocol(&self) -> &'static str {
        match self.0 {
            Kind::Hls(_) => "hls",
            Kind::Srt(_) => "srt",
            #[cfg(feature = "rtsp")]
            Kind::Rtsp(_) => "rtsp",
            Kind::File(_) => "file",
        }
    }
}

impl fmt::Display for Upstream {
    /// What tells a person, without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Hls(url) => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
                f.write_str(url.path())
            }
            Kind::Srt(target) => write!(f, "{target}"),
            #[cfg(feature = "rtsp")]
            Kind::Rtsp(address) => write!(f, "{address}"),
            Kind::File(path) => write!(f, "{}", path.file_name().unwrap_or_default().display()),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({self})")
    }
}

/// A stream that is being fetched, until this is dropped.
pub(super) struct Pull(Cancel);

impl Pull {
    pub(super) fn start(
        entrance: Entrance,
        grant: Grant,
        upstream: Upstream,
        told: Arc<dyn Fn(&Happening) + Send + Sync>,
    ) -> Result<Self> {
        let cancel = Cancel::default();
        let stop = cancel.clone();
        let work = move || {
            let mut wait = FIRST_WAIT;
            while !stop.is_cancelled() {
                // Who sends it by itself has its way, and this waits until it goes.
                if grant.rank == 0 && entrance.hub().is_live(&grant.stream) {
                    std::thread::sleep(NAP);
                    continue;
                }
                let outlet = Arc::new(Outlet::new(&entrance, &grant, &upstream, &stop));
                let result = match &upstream.0 {
                    Kind::Hls(url) => hls::run(url, &outlet),
                    Kind::File(path) => file::run(path, &outlet),
                    // The gateway's own threads for sockets call for these.
                    Kind::Srt(_) => return,
                    #[cfg(feature = "rtsp")]
                    Kind::Rtsp(_) => return,
                };
                if stop.is_cancelled() {
                    return;
                }
                let reason = result.err().map_or_else(|| "it has ended".to_owned(), |e| e.to_string());
                if outlet.close(&reason) {
                    wait = FIRST_WAIT;
                }
                let (stream, from) = (grant.stream.clone(), upstream.to_string());
                told(&Happening::Pulled { stream, from, progress: Progress::Waiting { reason, next: wait } });
                let mut left = wait;
                while !left.is_zero() && !stop.is_cancelled() {
                    std::thread::sleep(left.min(NAP));
                    left = left.saturating_sub(NAP);
                }
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
        };
        // It may be in the middle of a request when it is called off, so nobody waits for it.
        std::thread::Builder::new().name("pull".into()).spawn(work)?;
        Ok(Self(cancel))
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Where what is fetched goes: a publication that begins with its first item.
struct Outlet {
    entrance: Entrance,
    grant: Grant,
    protocol: &'static str,
    from: String,
    publication: Mutex<Option<Publication>>,
    /// Called off by somebody, or because a part of it has failed.
    cancel: Cancel,
    whole: Cancel,
}

impl Outlet {
    fn new(entrance: &Entrance, grant: &Grant, upstream: &Upstream, whole: &Cancel) -> Self {
        Self {
            entrance: entrance.clone(),
            grant: grant.clone(),
            protocol: upstream.protocol(),
            from: upstream.to_string(),
            publication: Mutex::default(),
            cancel: Cancel::default(),
            whole: whole.clone(),
        }
    }

    fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.whole.is_cancelled()
    }

    fn give(&self, item: &Item) -> Result<()> {
        let mut publication = self.publication.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over() {
            return Err(crate::live::cancelled());
        }
        if publication.is_none() {
            let away = self.cancel.clone();
            let replaced = move || away.cancel();
            *publication = Some(self.entrance.publish(&self.grant, self.protocol, &self.from, replaced));
        }
        match &mut *publication {
            Some(publication) => Ok(publication.give(item)?),
            None => Ok(()),
        }
    }

    /// Ends it. False if it had not begun.
    fn close(&self, reason: &str) -> bool {
        self.cancel.cancel();
        let publication = self.publication.lock().unwrap_or_else(PoisonError::into_inner).take();
        publication.map(|publication| publication.end(reason)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_of_a_url_is_printed() {
        let upstream = Upstream::parse("https://user:word@example.org:8443/a/b.m3u8?token=abc").unwrap();
        assert_eq!(upstream.to_string(), "https://example.org:8443/a/b.m3u8");
        assert_eq!(Upstream::parse("films/one.mp4").unwrap().to_string(), "one.mp4");
        for text in ["ftp://a/b", "https://", "http://[::1"] {
            assert!(Upstream::parse(text).is_err(), "{text}");
        }
    }
}
