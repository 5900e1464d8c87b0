//! Many publishers of RTMP on one thread: `rtmp_load ADDRESS PUBLISHERS SECONDS FILM.flv [NAME]`.
//!
//! Each sends the film again and again at the speed of its clock, the first tag of one a little behind that of the one
//! before. It prints, as JSON, how many are alive at the end, how many failed, how much was sent, and by how much the
//! tag that was latest was late: a round in which that is more than two pictures says nothing about the server.

use std::collections::VecDeque;
use std::io::{IoSlice, Read as _, Write as _};
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

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let address = args[1].parse().expect("an address");
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
    loop {
        // A few at a time, so that no queue of the listener overflows.
        for _ in 0..20.min(count - publishers.len()) {
            let n = publishers.len();
            let mut socket = TcpStream::connect(address).expect("a socket");
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
        for publisher in &mut publishers {
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
                moved = true;
                publisher.next += 1;
                if publisher.next == film.len() {
                    (publisher.next, publisher.laps) = (0, publisher.laps + 1);
                }
            }
            if moved {
                publisher.flush();
            }
        }
        if ready.is_none()
            && publishers.len() == count
            && publishers.iter().all(|p| p.since.is_some() || p.failed)
        {
            ready = Some(now);
            eprintln!("ready after {:.1} s", begun.elapsed().as_secs_f64());
        }
        if ready.is_some_and(|ready| ready.elapsed() >= Duration::from_secs(seconds)) {
            break;
        }
    }
    let failed = publishers.iter().filter(|p| p.failed).count();
    println!(
        "{{\"alive\": {}, \"failed\": {failed}, \"sent\": {sent}, \"latest_ms\": {:.1}}}",
        publishers.len() - failed,
        latest.as_secs_f64() * 1000.0
    );
}
