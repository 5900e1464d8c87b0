//! Passing a stream on to another server, by RTMP or SRT.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sv_container::flv::Muxer;
use sv_core::{Item, Limits, Track, TrackId, TrackKind};

use crate::feed::{Feed, Next};
use crate::hub::Hub;
use crate::line::Line as Srt;
use crate::rtmp::{Client, Name, Purpose, Seen};
use crate::srt;
use crate::transport::Outgoing;
use crate::{Error, Result};

/// What waits for a server that is slow, in bytes.
const FEED: usize = 8 << 20;
/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before the first attempt after one that failed; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a thread looks whether it is still wanted.
const NAP: Duration = Duration::from_millis(50);

/// Where a stream is passed on to: `rtmp://HOST[:PORT]/APP/NAME`, of which the name may be a secret, or `srt://HOST:PORT?…` as
/// [`srt::Target`] has it.
#[derive(Clone)]
pub struct Target(Place);

#[derive(Clone)]
enum Place {
    Rtmp(Server),
    Srt(Box<srt::Target>),
}

/// A server of RTMP.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    app: String,
    name: Name,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is no such URL. The error doesn't repeat it.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |problem| Error::InvalidInput { what: "where to push to".into(), problem };
        if url.starts_with("srt://") {
            return Ok(Self(Place::Srt(Box::new(srt::Target::parse(url)?))));
        }
        let rest = url.strip_prefix("rtmp://").ok_or(wrong("it must begin with rtmp:// or srt://"))?;
        let (place, path) = rest.split_once('/').ok_or(wrong("it must name an application"))?;
        let (app, name) = path.split_once('/').ok_or(wrong("it must name an application and a stream"))?;
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong("its port is no number"))?)
            }
            _ => (place, 1935),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || app.is_empty() || name.is_empty() {
            return Err(wrong("it must name a host, an application and a stream"));
        }
        let (host, app) = (host.to_owned(), app.to_owned());
        Ok(Self(Place::Rtmp(Server { host, port, app, name: Name::new(name) })))
    }
}

impl fmt::Display for Server {
    /// Without the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rtmp://{}:{}/{}", self.host, self.port, self.app)
    }
}

impl fmt::Display for Target {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Rtmp(server) => server.fmt(f),
            Place::Srt(target) => target.fmt(f),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How it goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// The other server takes the stream, or gives it.
    Sending,
    /// It doesn't, or not any more; the next attempt is that far away.
    Waiting {
        /// Why.
        reason: String,
        /// How long.
        next: Duration,
    },
}

/// A stream that is passed on whenever somebody sends it, until this is dropped.
pub struct Push {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Push {
    /// Begins. `told` hears how it goes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        hub: &Hub,
        stream: &str,
        target: Target,
        told: impl Fn(Progress) + Send + 'static,
    ) -> Result<Self> {
        let feed = hub.subscribe(stream, FEED);
        let stop = Arc::new(AtomicBool::new(false));
        let mut work = Work { feed, target, stop: Arc::clone(&stop), tracks: Vec::new(), waiting: None };
        let work = move || work.run(&told);
        let thread = std::thread::Builder::new().name("push".into()).spawn(work);
        Ok(Self { stop, thread: Some(thread.map_err(Error::io("starting a thread"))?) })
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Push")
    }
}

struct Work {
    feed: Feed,
    target: Target,
    stop: Arc<AtomicBool>,
    /// What the stream is made of at the moment.
    tracks: Vec<Arc<Track>>,
    /// An item that has come while there was no connection.
    waiting: Option<Item>,
}

/// A connection that two threads use: one reads, both write.
struct Line {
    client: Mutex<Client>,
    socket: TcpStream,
    /// Why it is over.
    over: Mutex<Option<String>>,
}

impl Line {
    fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, reason: String) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    fn reason(&self) -> Option<String> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends what the client wants to. It is locked as long, so that pieces keep their order.
    fn flush(&self, client: &mut Client) -> Result<()> {
        let mut socket = &self.socket;
        for piece in client.outgoing() {
            socket.write_all(&piece).map_err(Error::io("writing to the other server"))?;
        }
        Ok(())
    }

    /// Reads until it is over. `ready` hears that the stream may be sent.
    fn read(&self, ready: &AtomicBool) -> Result<()> {
        let (mut socket, mut buffer) = (&self.socket, vec![0; 16 << 10]);
        loop {
            let count = socket.read(&mut buffer).map_err(Error::io("reading from the other server"))?;
            if count == 0 {
                return Err(Error::Refused {
                    what: "the stream",
                    reason: "the connection was closed".into(),
                });
            }
            let mut client = self.client();
            client.receive(buffer.get(..count).unwrap_or_default())?;
            while let Some(seen) = client.event() {
                match seen {
                    Seen::Ready => ready.store(true, Ordering::Release),
                    Seen::Reconnect { .. } => {
                        return Err(Error::Refused {
                            what: "the stream",
                            reason: "it asks to come again".into(),
                        });
                    }
                    _ => {}
                }
            }
            self.flush(&mut client)?;
        }
    }
}

/// Packets have waited: decoding begins where it can.
struct Start {
    video: Option<TrackId>,
    begun: bool,
}

impl Start {
    fn new(tracks: &[Arc<Track>]) -> Self {
        let video = tracks.iter().find(|t| t.kind() == TrackKind::Video).map(|t| t.id);
        Self { video, begun: video.is_none() }
    }

    fn passes(&mut self, item: &Item) -> bool {
        if let Item::Packet(packet) = item {
            self.begun |= packet.key && Some(packet.track) == self.video;
            return self.begun;
        }
        true
    }
}

impl Work {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Remembers what the stream is made of.
    fn note(&mut self, item: &Item) {
        match item {
            Item::Track(track) => match self.tracks.iter_mut().find(|t| t.id == track.id) {
                Some(old) => *old = Arc::clone(track),
                None => self.tracks.push(Arc::clone(track)),
            },
            Item::End(id) => self.tracks.retain(|t| t.id != *id),
            _ => {}
        }
    }

    fn run(&mut self, told: &impl Fn(Progress)) {
        let mut wait = FIRST_WAIT;
        while !self.stopped() {
            // Nobody is called before there is something to send.
            match self.feed.next(NAP) {
                Next::Item(item) => {
                    self.note(&item);
                    if matches!(item, Item::Packet(_)) {
                        self.waiting = Some(item);
                        let begun = Instant::now();
                        if let Err(error) = self.send(told) {
                            if begun.elapsed() > LONGEST_WAIT {
                                wait = FIRST_WAIT;
                            }
                            told(Progress::Waiting { reason: error.to_string(), next: wait });
                            self.pause(wait);
                            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
                        } else {
                            wait = FIRST_WAIT;
                        }
                    }
                }
                Next::Nothing => {}
                Next::Over => return,
            }
        }
    }

    /// Waits, and lets go of what comes meanwhile.
    fn pause(&mut self, wait: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < wait && !self.stopped() {
            if let Next::Item(item) = self.feed.next(NAP) {
                self.note(&item);
            }
        }
    }

    fn connect(server: &Server) -> Result<TcpStream> {
        let what = || format!("connecting to {server}");
        let places = (&*server.host, server.port).to_socket_addrs().map_err(Error::io(what()))?;
        let mut last = std::io::ErrorKind::NotFound.into();
        for place in places {
            match TcpStream::connect_timeout(&place, PATIENCE) {
                Ok(socket) => {
                    socket.set_nodelay(true).map_err(Error::io(what()))?;
                    socket.set_write_timeout(Some(PATIENCE)).map_err(Error::io(what()))?;
                    return Ok(socket);
                }
                Err(error) => last = error,
            }
        }
        Err(Error::io(what())(last))
    }

    /// Sends the stream until whoever sends it to us goes.
    fn send(&mut self, told: &impl Fn(Progress)) -> Result<()> {
        match self.target.0.clone() {
            Place::Rtmp(server) => self.send_rtmp(&server, told),
            Place::Srt(target) => self.send_srt(&target, told),
        }
    }

    /// By SRT, as a transport stream.
    fn send_srt(&mut self, target: &srt::Target, told: &impl Fn(Progress)) -> Result<()> {
        let stop = Arc::clone(&self.stop);
        let mut line = Srt::open(target, &|| stop.load(Ordering::Acquire))?;
        told(Progress::Sending);
        let mut outgoing = Outgoing::default();
        for track in &self.tracks {
            outgoing.push(&Item::Track(Arc::clone(track)), |_| {});
        }
        let mut start = Start::new(&self.tracks);
        while !self.stopped() {
            while let Some(item) = self.waiting.take().or_else(|| match self.feed.poll() {
                Next::Item(item) => Some(item),
                _ => None,
            }) {
                self.note(&item);
                if matches!(item, Item::End(_)) {
                    outgoing.finish(|datagram| line.send(datagram));
                    line.close(PATIENCE);
                    return Ok(());
                }
                if start.passes(&item) {
                    outgoing.push(&item, |datagram| line.send(datagram));
                }
            }
            line.step(Duration::from_millis(5))?;
            while line.delivered().is_some() {}
            if let Some(over) = line.over() {
                return Err(over);
            }
        }
        line.close(Duration::ZERO);
        Ok(())
    }

    fn send_rtmp(&mut self, server: &Server, told: &impl Fn(Progress)) -> Result<()> {
        let socket = Self::connect(server)?;
        let Server { app, name, .. } = server;
        let seed = u64::from(std::process::id());
        let url = server.to_string();
        let client = Client::new(Purpose::Publish, &url, app, name.clone(), Limits::default(), seed);
        let line = Line { client: Mutex::new(client), socket, over: Mutex::default() };
        let ready = AtomicBool::new(false);
        line.flush(&mut line.client())?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Err(error) = line.read(&ready) {
                    line.end(error.to_string());
                }
            });
            let result = self.stream(&line, &ready, told);
            // The thread that reads ends with the socket, which may be closed already.
            let _ = line.socket.shutdown(std::net::Shutdown::Both);
            result
        })
    }

    fn stream(&mut self, line: &Line, ready: &AtomicBool, told: &impl Fn(Progress)) -> Result<()> {
        let over = || match line.reason() {
            Some(reason) => Err(Error::Refused { what: "the stream", reason }),
            None => Ok(()),
        };
        let begun = Instant::now();
        while !ready.load(Ordering::Acquire) {
            over()?;
            if begun.elapsed() > PATIENCE {
                let reason = "it has not said whether it takes it".into();
                return Err(Error::Refused { what: "the stream", reason });
            }
            if self.stopped() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        told(Progress::Sending);
        let mut muxer = Muxer::new();
        let mut client = line.client();
        client.describe(self.tracks.iter().map(|t| &**t));
        for track in &self.tracks {
            // What FLV can't carry is left out.
            if let Ok(Some(body)) = muxer.track(track, 0) {
                client.send(&body);
            }
        }
        line.flush(&mut client)?;
        drop(client);
        let mut start = Start::new(&self.tracks);
        while !self.stopped() {
            over()?;
            let item = match self.waiting.take() {
                Some(item) => item,
                None => match self.feed.next(NAP) {
                    Next::Item(item) => item,
                    Next::Nothing => continue,
                    Next::Over => break,
                },
            };
            self.note(&item);
            let body = match &item {
                Item::Track(track) => muxer.track(track, 0).ok().flatten(),
                Item::Packet(packet) if start.passes(&item) => muxer.packet(packet),
                Item::End(_) => break,
                _ => None,
            };
            if let Some(body) = body {
                let mut client = line.client();
                client.send(&body);
                line.flush(&mut client)?;
            }
        }
        let mut client = line.client();
        client.end();
        line.flush(&mut client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_names_not_printed() {
        let target = Target::parse("rtmp://example.com/live/secret?x=1").unwrap();
        assert_eq!(format!("{target:?}"), "rtmp://example.com:1935/live");
        let target = Target::parse("rtmp://[::1]:1936/a/b/c").unwrap();
        let Place::Rtmp(server) = target.0 else { panic!("it is RTMP") };
        assert_eq!(
            (&*server.host, server.port, &*server.app, server.name.expose()),
            ("::1", 1936, "a", "b/c")
        );
        let target = Target::parse("srt://example.com:9000?streamid=secret&passphrase=secret1234").unwrap();
        assert_eq!(format!("{target:?}"), "srt://example.com:9000");
        for wrong in
            ["http://secret/a/b", "rtmp://secret", "rtmp://secret/a", "rtmp://secret:x/a/b", "rtmp:///a/b"]
        {
            assert!(!Target::parse(wrong).unwrap_err().to_string().contains("secret"), "{wrong}");
        }
    }
}
