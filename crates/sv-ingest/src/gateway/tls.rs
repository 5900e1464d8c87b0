//! Certificates for RTMPS, which are read anew when they are renewed.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Error, Result};

/// How often files are looked at.
const OFTEN: Duration = Duration::from_secs(5);

/// A certificate with its key, in two files of PEM.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    of: Option<SystemTime>,
    looked: Instant,
}

impl Certificate {
    /// Reads the files: the certificate with those that vouch for it, and the key.
    ///
    /// # Errors
    /// When they can't be read or don't belong together.
    pub fn open(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self> {
        let (chain, key) = (chain.into(), key.into());
        let of = modified(&chain);
        let config = read(&chain, &key)?;
        let state = Mutex::new(State { config, of, looked: Instant::now() });
        Ok(Self { chain, key, state })
    }

    /// What new connections are told. Files that can't be read leave it as it was.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= OFTEN {
            state.looked = Instant::now();
            let of = modified(&self.chain);
            if of != state.of {
                match read(&self.chain, &self.key) {
                    Ok(config) => (state.config, state.of) = (config, of),
                    Err(error) => tracing::warn!(%error, "the renewed certificate is left aside"),
                }
            }
        }
        Arc::clone(&state.config)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn read(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let wrong = |path: &Path, problem| Error::InvalidInput { what: path.display().to_string(), problem };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|_| wrong(chain, "it is no file of certificates in PEM"))?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|_| wrong(key, "it is no file with a key in PEM"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, secret))
        .map_err(|_| {
            wrong(chain, "its certificate and key don't belong together, or aren't of a kind that is known")
        })?;
    Ok(Arc::new(config))
}

/// A connection's socket.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Socket {
    pub(super) fn new(socket: TcpStream, certificate: Option<&Certificate>) -> Option<Self> {
        let Some(certificate) = certificate else { return Some(Self::Plain(socket)) };
        let connection = ServerConnection::new(certificate.current()).ok()?;
        Some(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    pub(super) fn inner(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }

    /// Whether a read that didn't fill its buffer has taken everything.
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Sends what was encrypted and has not left.
    pub(super) fn push(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write_vectored(slices),
            Self::Tls(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn make(folder: &Path, name: &str) {
        let path = |end: &str| folder.join(format!("{name}.{end}")).to_str().unwrap().to_owned();
        let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let out = ["-subj", "/CN=localhost", "-keyout", &path("key"), "-out", &path("pem")];
        assert!(Command::new("openssl").args(kind).args(out).output().unwrap().status.success());
    }

    #[test]
    fn what_is_renewed_is_taken_and_what_is_broken_is_not() {
        if sv_testkit::tool("openssl").is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        make(folder.path(), "old");
        make(folder.path(), "new");
        let certificate = Certificate::open(path("old.pem"), path("old.key")).unwrap();
        // A time that no file has had, and the next look is due.
        let change = |seconds: u64| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            std::fs::File::options().append(true).open(path("old.pem")).unwrap().set_modified(at).unwrap();
            certificate.state.lock().unwrap().looked = Instant::now().checked_sub(OFTEN).unwrap();
        };
        let first = certificate.current();
        std::fs::copy(path("new.pem"), path("old.pem")).unwrap();
        change(1_700_000_000);
        assert!(Arc::ptr_eq(&first, &certificate.current()), "the key is still that of the old one");
        std::fs::copy(path("new.key"), path("old.key")).unwrap();
        change(1_700_000_001);
        let second = certificate.current();
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(path("old.pem"), "nothing").unwrap();
        change(1_700_000_002);
        assert!(Arc::ptr_eq(&second, &certificate.current()));
        assert!(Certificate::open(path("old.pem"), path("old.key")).is_err());
    }
}
