//! Streams that are fetched from other servers by RTSP, again and again.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Entrance, Gateway, Grant, Publication};
use crate::hub::is_name;
use crate::push::Progress;
use crate::rtsp::{Address, Client, Heard};
use crate::{Error, Result};

/// How long to wait behind a failure: doubled each time up to the longest.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(30);
/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// How often whatever else happens is looked at.
const ROUND: Duration = Duration::from_millis(200);

/// A stream that is fetched until this is dropped.
pub struct Pull {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pull")
    }
}

impl Gateway {
    /// Fetches a stream from another server by RTSP, on one connection, and begins again when that breaks: after a second, then
    /// later and later. While somebody else sends a stream of that name it waits. `told` hears how it goes.
    ///
    /// # Errors
    /// When no stream can have that name, or the system gives no thread.
    pub fn pull(
        &self,
        stream: &str,
        from: Address,
        told: impl Fn(Progress) + Send + 'static,
    ) -> Result<Pull> {
        if !is_name(stream) {
            let problem = "no stream can have that name";
            return Err(Error::InvalidInput { what: stream.to_owned(), problem });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (entrance, name, end) = (self.entrance.clone(), stream.to_owned(), Arc::clone(&stop));
        let work = move || {
            let mut wait = SOON;
            let rest = |wait: Duration| {
                let until = Instant::now();
                while until.elapsed() < wait && !end.load(Ordering::Acquire) {
                    std::thread::park_timeout(ROUND.min(wait));
                }
            };
            while !end.load(Ordering::Acquire) {
                if entrance.hub().is_live(&name) {
                    rest(SOON);
                    continue;
                }
                let mut played = false;
                let result = once(&entrance, &name, &from, &end, &mut || {
                    played = true;
                    told(Progress::Sending);
                });
                if end.load(Ordering::Acquire) {
                    return;
                }
                wait = if played { SOON } else { wait };
                let reason =
                    result.err().map_or_else(|| "the server has ended it".to_owned(), |e| e.to_string());
                told(Progress::Waiting { reason, next: wait });
                rest(wait);
                wait = wait.saturating_mul(2).min(LATE);
            }
        };
        let thread = std::thread::Builder::new().name("ingest pull".into()).spawn(work);
        Ok(Pull { stop, thread: Some(thread.map_err(Error::io("starting a thread"))?) })
    }
}

fn connect(from: &Address) -> Result<TcpStream> {
    let what = || format!("connecting to {from}");
    let all = (from.host.as_str(), from.port).to_socket_addrs().map_err(Error::io(what()))?;
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in all {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::io(what())(last))
}

fn nonce() -> String {
    let mut bytes = [0; 8];
    // It keeps servers from choosing what is hashed: without randomness the password is still not told.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Fetches until something ends it.
fn once(
    entrance: &Entrance,
    name: &str,
    from: &Address,
    stop: &AtomicBool,
    playing: &mut dyn FnMut(),
) -> Result<()> {
    let mut stream = connect(from)?;
    let failed = |what: &'static str| move |e| Error::io(what)(e);
    stream.set_read_timeout(Some(ROUND)).map_err(failed("setting a socket up"))?;
    stream.set_write_timeout(Some(CONNECT)).map_err(failed("setting a socket up"))?;
    let settings = entrance.settings();
    let mut client = Client::new(from.clone(), settings.limits, nonce());
    let (begun, mut heard) = (Instant::now(), Instant::now());
    let replaced = Arc::new(AtomicBool::new(false));
    let mut publication: Option<Publication> = None;
    let mut buffer = vec![0; 64 << 10];
    loop {
        for piece in client.outgoing() {
            stream.write_all(&piece).map_err(failed("writing to the server"))?;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                heard = Instant::now();
                client.receive(buffer.get(..count).unwrap_or_default(), begun.elapsed())?;
            }
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                client.tick(begun.elapsed());
            }
            Err(error) => return Err(failed("reading from the server")(error)),
        }
        while let Some(event) = client.event() {
            match event {
                Heard::Playing => {
                    let (grant, flag) = (Grant::new(name), Arc::clone(&replaced));
                    let replaced = move || flag.store(true, Ordering::Release);
                    publication = Some(entrance.publish(&grant, "rtsp", from, replaced));
                    playing();
                }
                Heard::Item(item) => {
                    if let Some(publication) = &mut publication {
                        publication.give(&item)?;
                    }
                }
            }
        }
        if replaced.load(Ordering::Acquire) {
            return Err(Error::Denied { reason: "another publisher has taken its place".into() });
        }
        if heard.elapsed() > settings.silence {
            return Err(Error::Denied { reason: "nothing has come for too long".into() });
        }
        if stop.load(Ordering::Acquire) {
            client.close();
            for piece in client.outgoing() {
                // Who can't be told hears it from the connection.
                let _ = stream.write_all(&piece);
            }
            return Ok(());
        }
    }
}
