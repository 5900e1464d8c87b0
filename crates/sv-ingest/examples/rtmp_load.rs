//! Many publishers of RTMP on one thread: `rtmp_load ADDRESS PUBLISHERS SECONDS FILM.flv [NAME]`.
//!
//! Each sends the film again and again at the speed of its clock, the first tag of one a little behind that of the one
//! before. It prints, as JSON, how many are alive at the end, how many failed, how much was sent, and by how much the
//! tag that was latest was late: a round in which that is more than two pictures says nothing about the server.
//!
//! With WATCH in the environment somebody plays the first stream meanwhile, and it prints how long tags were on their way: from when the
//! last byte of one was given to the system until all of it had come, in milliseconds.

use std::collections::{HashMap, VecDeque};
use std::io::{IoSlice, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use sv_container::flv::{Body, Kind};
use sv_core::{Bytes, Limits};
use sv_ingest::rtmp::{Client, Name, Purpose, Seen};

struct Tag {
    kind: Kind,
    millis: u64,
    body: Bytes,
}

fn film(path: &str) -> Vec<Tag> {
    let file = Bytes::from(std::fs::read(path).expect("the film can be read"));
    let (mut tags, mut at) = (Vec::new(), 13);
    while let Some(head) = file.get(at..at + 11) {
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let millis = u64::from(u32::from_be_bytes([head[7], head[4], head[5], head[6]]));
        if let Some(kind) = Kind::of(head[0]).filter(|kind| *kind != Kind::Script) {
            tags.push(Tag { kind, millis, body: file.slice(at + 11..at + 11 + length) });
        }
        at += 11 + length + 4;
    }
    tags
}

struct Publisher {
    socket: TcpStream,
    client: Client,
    out: VecDeque<Bytes>,
    /// When its clock began, once it may send.
    since: Option<Instant>,
    next: usize,
    laps: u64,
    failed: bool,
}

impl Publisher {
    fn flush(&mut self) {
        self.out.extend(self.client.outgoing());
        while !self.out.is_empty() && !self.failed {
            let mut slices = [IoSlice::new(&[]); 64];
            let count = self.out.iter().zip(&mut slices).map(|(p, s)| *s = IoSlice::new(p)).count();
            match self.socket.write_vectored(&slices[..count]) {
                Ok(mut written) => {
                    while let Some(first) = self.out.front_mut().filter(|_| written > 0) {
                        let part = written.min(first.len());
                        *first = first.slice(part..);
                        written -= part;
                        if first.is_empty() {
                            self.out.pop_front();
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.failed = true,
            }
        }
    }
}

/// When each tag of the first stream was sent, by kind and time.
type Sent = Arc<Mutex<HashMap<(bool, i64), Instant>>>;

/// Plays a stream for so long, and gives how long tags were on their way, in milliseconds, the shortest first.
fn watch(address: SocketAddr, name: &str, length: Duration, sent: &Sent) -> Vec<f64> {
    let mut socket = std::net::TcpStream::connect(address).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    let url = format!("rtmp://{address}/live");
    let mut client = Client::new(Purpose::Play, &url, "live", Name::new(name), Limits::default(), 99);
    let (mut buffer, mut waits, begun) = (vec![0; 64 << 10], Vec::new(), Instant::now());
    while begun.elapsed() < length {
        for piece in client.outgoing() {
            socket.write_all(&piece).expect("the server takes what is said");
        }
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => client.receive(&buffer[..got]).expect("the server says what can be read"),
            Err(_) => continue,
        }
        let now = Instant::now();
        while let Some(seen) = client.event() {
            if let Seen::Media { kind, millis, .. } = seen
                && let Some(at) = sent.lock().expect("a lock").remove(&(kind == Kind::Video, millis))
            {
                waits.push((now - at).as_secs_f64() * 1000.0);
            }
        }
    }
    waits.sort_by(f64::total_cmp);
    waits
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let address: SocketAddr = args[1].parse().expect("an address");
    let count: usize = args[2].parse().expect("a number of publishers");
    let seconds: u64 = args[3].parse().expect("a number of seconds");
    let film = film(&args[4]);
    let prefix = args.get(5).map_or("s", String::as_str);
    let length = film.last().map_or(1, |t| t.millis + 33);
    let mut poll = Poll::new().expect("epoll");
    let mut events = Events::with_capacity(4096);
    let mut publishers: Vec<Publisher> = Vec::new();
    let (mut buffer, mut sent, mut latest) = (vec![0; 16 << 10], 0u64, Duration::ZERO);
    let begun = Instant::now();
    let mut ready: Option<Instant> = None;
    let (when, mut watcher) = (Sent::default(), None);
    loop {
        // A few at a time, so that no queue of the listener overflows.
        for _ in 0..20.min(count - publishers.len()) {
            let n = publishers.len();
            let mut socket = TcpStream::connect(address).expect("a socket");
            // As encoders have it: without, what a server has not acknowledged holds back what comes next.
            socket.set_nodelay(true).expect("a socket");
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut socket, Token(n), both).expect("epoll");
            let name = Name::new(format!("{prefix}{n}"));
            let url = format!("rtmp://{address}/live");
            let client = Client::new(Purpose::Publish, &url, "live", name, Limits::default(), n as u64);
            let out = VecDeque::new();
            publishers.push(Publisher { socket, client, out, since: None, next: 0, laps: 0, failed: false });
        }
        poll.poll(&mut events, Some(Duration::from_millis(2))).expect("epoll");
        for event in &events {
            let publisher = &mut publishers[event.token().0];
            while let Ok(got) = publisher.socket.read(&mut buffer) {
                if got == 0 || publisher.client.receive(&buffer[..got]).is_err() {
                    publisher.failed = true;
                    break;
                }
            }
            while let Some(seen) = publisher.client.event() {
                if matches!(seen, Seen::Ready) {
                    publisher.since = Some(
                        Instant::now()
                            + Duration::from_micros(event.token().0 as u64 * 33_333 / count as u64),
                    );
                }
            }
            publisher.flush();
        }
        let now = Instant::now();
        for (number, publisher) in publishers.iter_mut().enumerate() {
            let mut fresh = Vec::new();
            let Some(since) = publisher.since.filter(|_| !publisher.failed) else { continue };
            let mut moved = false;
            loop {
                let tag = &film[publisher.next];
                let millis = tag.millis + publisher.laps * length;
                let due = since + Duration::from_millis(millis);
                if due > now {
                    break;
                }
                // The first ones all come at once.
                if ready.is_some() {
                    latest = latest.max(now - due);
                }
                publisher.client.send(&Body::new(tag.kind, millis as i64, tag.body.clone()));
                sent += tag.body.len() as u64;
                if watcher.is_some() && number == 0 {
                    fresh.push((tag.kind == Kind::Video, millis as i64));
                }
                moved = true;
                publisher.next += 1;
                if publisher.next == film.len() {
                    (publisher.next, publisher.laps) = (0, publisher.laps + 1);
                }
            }
            if moved {
                publisher.flush();
                let mut when = when.lock().expect("a lock");
                let now = Instant::now();
                when.extend(fresh.drain(..).map(|key| (key, now)));
            }
        }
        if ready.is_none()
            && publishers.len() == count
            && publishers.iter().all(|p| p.since.is_some() || p.failed)
        {
            ready = Some(now);
            if std::env::var_os("WATCH").is_some() {
                let (when, name) = (Arc::clone(&when), format!("{prefix}0"));
                let length = Duration::from_secs(seconds).saturating_sub(Duration::from_millis(500));
                watcher = Some(std::thread::spawn(move || watch(address, &name, length, &when)));
            }
            eprintln!("ready after {:.1} s", begun.elapsed().as_secs_f64());
        }
        if ready.is_some_and(|ready| ready.elapsed() >= Duration::from_secs(seconds)) {
            break;
        }
    }
    let waits = watcher.map_or_else(Vec::new, |w| w.join().expect("a watcher"));
    let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or(-1.0);
    let way = format!(
        "\"way_ms\": {{\"tags\": {}, \"p50\": {:.2}, \"p99\": {:.2}}}",
        waits.len(),
        at(0.5),
        at(0.99)
    );
    let failed = publishers.iter().filter(|p| p.failed).count();
    println!(
        "{{\"alive\": {}, \"failed\": {failed}, \"sent\": {sent}, \"latest_ms\": {:.1}, {way}}}",
        publishers.len() - failed,
        latest.as_secs_f64() * 1000.0
    );
}
