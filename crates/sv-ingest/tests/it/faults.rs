//! What goes wrong with those who send by RTMP: each is heard of in the right words, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sv_container::flv::{Body, Kind};
use sv_core::{Bytes, Codec, Limits};
use sv_ingest::Next;
use sv_ingest::gateway::{Gateway, Notice, Open, Settings};
use sv_ingest::rtmp::{Client, Name, Purpose, Seen};

use crate::kit::Listening;

/// H.264 of 320x180: a sequence header as `ffmpeg -c:v libx264 -profile:v baseline` writes it, and the same of 640x360.
const SMALL: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0, 0x18, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41,
    0x9f, 0x9e, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0xa4, 0x80,
    0x01, 0, 0x04, 0x68, 0xcb, 0x83, 0xcb,
];

/// Somebody who sends as it likes.
struct Sender {
    socket: TcpStream,
    client: Client,
}

impl Sender {
    /// Connects, and gets leave to send.
    fn new(listening: &Listening, name: &str) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", listening.port)).unwrap();
        // As encoders do: small pieces don't wait for each other.
        socket.set_nodelay(true).unwrap();
        let url = format!("rtmp://127.0.0.1:{}/live", listening.port);
        let client = Client::new(Purpose::Publish, &url, "live", Name::new(name), Limits::default(), 5);
        let mut sender = Self { socket, client };
        let mut buffer = [0; 4096];
        loop {
            sender.flush();
            let count = sender.socket.read(&mut buffer).unwrap();
            sender.client.receive(&buffer[..count]).unwrap();
            while let Some(seen) = sender.client.event() {
                if matches!(seen, Seen::Ready) {
                    return sender;
                }
            }
        }
    }

    fn flush(&mut self) {
        for piece in self.client.outgoing() {
            // Who is sent away finds that out by the socket.
            let _ = self.socket.write_all(&piece);
        }
    }

    fn send(&mut self, kind: Kind, millis: i64, body: &[u8]) {
        self.client.send(&Body::new(kind, millis, Bytes::copy_from_slice(body)));
        self.flush();
    }

    /// A picture that nobody will decode.
    fn picture(&mut self, millis: i64, key: bool) {
        let head = if key { 0x17 } else { 0x27 };
        let unit = if key { 0x65 } else { 0x41 };
        self.send(Kind::Video, millis, &[head, 1, 0, 0, 0, 0, 0, 0, 4, unit, 0x88, 0x84, 0x21]);
    }
}

/// With other patience than is usual.
fn listening(change: impl FnOnce(&mut Settings)) -> Listening {
    let (say, notices) = std::sync::mpsc::channel();
    let mut settings = Settings::new(Open);
    settings.shards = 1;
    change(&mut settings);
    let say = std::sync::Mutex::new(say);
    settings.notice = std::sync::Arc::new(move |notice| {
        let _ = say.lock().unwrap().send(notice);
    });
    let gateway = Gateway::start(settings).unwrap();
    let port = gateway.rtmp("127.0.0.1:0".parse().unwrap()).unwrap().port();
    Listening { gateway, port, notices }
}

fn ended(listening: &Listening) -> String {
    let reason = |notice| match notice {
        Notice::Ended { reason, .. } => Some(reason),
        _ => None,
    };
    listening.notices.iter().find_map(reason).unwrap()
}

#[test]
fn who_falls_silent_is_given_up() {
    let listening = listening(|settings| settings.silence = Duration::from_secs(1));
    let mut sender = Sender::new(&listening, "one");
    sender.send(Kind::Video, 0, SMALL);
    sender.picture(0, true);
    // The connection is there and says nothing, as one whose other end lost its power.
    assert_eq!(ended(&listening), "nothing has come for too long");
    drop(sender);
}

#[test]
fn who_takes_its_time_is_let_in_and_who_says_nothing_is_not() {
    let listening = listening(|settings| settings.patience = Duration::from_secs(1));
    // Nothing is ever said: the connection is closed, and the place is free.
    let mut mute = TcpStream::connect(("127.0.0.1", listening.port)).unwrap();
    assert_eq!(mute.read(&mut [0; 8]).unwrap(), 0);
    // A hello of one byte at a time.
    let url = format!("rtmp://127.0.0.1:{}/live", listening.port);
    let mut client = Client::new(Purpose::Publish, &url, "live", Name::new("one"), Limits::default(), 5);
    let mut socket = TcpStream::connect(("127.0.0.1", listening.port)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    'talk: loop {
        for piece in client.outgoing() {
            for byte in piece.chunks(1) {
                socket.write_all(byte).unwrap();
            }
        }
        let count = socket.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "it was closed");
        for byte in buffer[..count].chunks(1) {
            client.receive(byte).unwrap();
            while let Some(seen) = client.event() {
                if matches!(seen, Seen::Ready) {
                    break 'talk;
                }
            }
        }
    }
    assert!(listening.gateway.hub().is_live("one"));
}

#[test]
fn a_clock_that_wraps_goes_on() {
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 20);
    let mut sender = Sender::new(&listening, "one");
    // 32 bits of milliseconds, half a second before they are used up.
    let start = (1i64 << 32) - 500;
    sender.send(Kind::Video, start, SMALL);
    for n in 0..50 {
        sender.picture(start + n * 40, n % 25 == 0);
    }
    drop(sender);
    let received = listening.collect(&mut feed);
    let times: Vec<i64> = received.packets.iter().map(|p| p.dts.ticks()).collect();
    assert_eq!(times.len(), 50);
    assert!(times.windows(2).all(|w| w[1] - w[0] == 40 * 90), "{times:?}");
}

#[test]
fn a_codec_that_changes_is_told_anew() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 20);
    let mut sender = Sender::new(&listening, "one");
    let folder = tempfile::tempdir().unwrap();
    for (lap, size) in [(0, "320x180"), (1, "640x360")] {
        let input = format!("testsrc2=s={size}:r=25:d=1");
        let arguments = ["-f", "lavfi", "-i", &input, "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p"];
        let film = crate::kit::make(&ffmpeg, folder.path(), &format!("{lap}.flv"), &arguments);
        for tag in tags(&std::fs::read(film).unwrap()) {
            sender.send(Kind::Video, lap * 1000 + tag.0, &tag.1);
        }
    }
    drop(sender);
    let received = listening.collect(&mut feed);
    let sizes: Vec<(u32, u32)> =
        received.tracks.iter().map(|t| t.video().map(|v| (v.width, v.height)).unwrap()).collect();
    assert_eq!(sizes, [(320, 180), (640, 360)]);
    assert_eq!(received.packets.len(), 50);
}

/// Tags of pictures: time and body.
fn tags(file: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let (mut tags, mut at) = (Vec::new(), 13);
    while let Some(head) = file.get(at..at + 11) {
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let millis = i64::from(u32::from_be_bytes([head[7], head[4], head[5], head[6]]));
        if head[0] == 9 {
            tags.push((millis, file[at + 11..at + 11 + length].to_vec()));
        }
        at += 11 + length + 4;
    }
    tags
}

#[test]
fn sound_alone_is_a_stream() {
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 20);
    let mut sender = Sender::new(&listening, "one");
    sender.send(Kind::Audio, 0, &[0xaf, 0, 0x11, 0x90]);
    for n in 0..50 {
        sender.send(Kind::Audio, n * 1024 * 1000 / 48_000, &[0xaf, 1, 0x21, 0x10, 0x04]);
    }
    drop(sender);
    let received = listening.collect(&mut feed);
    assert_eq!(received.tracks[0].codec, Codec::Aac);
    assert_eq!(received.packets.len(), 50);
}

#[test]
fn many_come_and_go_and_nothing_is_left() {
    // SV_CHURN: for how many seconds they come and go; otherwise so many do.
    let soak = std::env::var("SV_CHURN").ok().and_then(|n| n.parse().ok()).map(Duration::from_secs);
    let (begun, few) = (Instant::now(), 600);
    let listening = listening(|settings| settings.strangers = usize::MAX);
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, |all| all.count());
    let memory = || -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0)
    };
    let (mut seed, mut warm, mut last, mut count) = (7u64, None, Instant::now(), 0u64);
    while soak.map_or(count < few, |soak| begun.elapsed() < soak) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chance = seed >> 33;
        let mut socket = TcpStream::connect(("127.0.0.1", listening.port)).unwrap();
        match chance % 4 {
            // Gone at once, or in the middle of a hello, or with nonsense.
            0 => {}
            1 => drop(socket.write_all(&[3; 700])),
            2 => drop(socket.write_all(&seed.to_be_bytes().repeat(400))),
            _ => {
                drop(socket);
                let mut sender = Sender::new(&listening, &format!("s{}", chance % 7));
                sender.send(Kind::Video, 0, SMALL);
                for k in 0..chance % 20 {
                    sender.picture(i64::try_from(k).unwrap() * 40, k % 10 == 0);
                }
            }
        }
        while listening.notices.try_recv().is_ok() {}
        count += 1;
        if warm.is_none() && soak.map_or(count >= few / 3, |soak| begun.elapsed() >= soak / 3) {
            warm = Some((descriptors(), memory()));
        }
        if last.elapsed() > Duration::from_secs(60) {
            println!("{count} came: {} descriptors, {} pages", descriptors(), memory());
            last = Instant::now();
        }
    }
    // Whoever is left hears that it is over before this ends.
    let end = Instant::now() + Duration::from_secs(30);
    while !listening.gateway.hub().live().is_empty() && Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(listening.gateway.hub().live(), Vec::<String>::new());
    let mut feed = listening.gateway.hub().subscribe("s1", 1 << 20);
    assert!(matches!(feed.poll(), Next::Nothing));
    let (descriptors_then, pages) = warm.unwrap();
    assert!(
        descriptors() <= descriptors_then + 8,
        "{} descriptors, {descriptors_then} before",
        descriptors()
    );
    assert!(memory() <= pages + 2048, "{} pages, {pages} before", memory());
}
