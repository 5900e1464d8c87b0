//! Senders by WHIP: FFmpeg and aiortc, through the smallest HTTP server that brings their offers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sv_core::Codec;
use sv_ingest::gateway::{Grant, Open, Whip, WhipSettings};

use crate::kit::{Listening, make, probe, run};

/// Answers offers to `/NAME` and ends of sessions; `turned` may change an answer on its way.
fn serve(whip: Whip, turned: impl Fn(String) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let turned = Arc::new(turned);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (whip, turned) = (whip.clone(), Arc::clone(&turned));
            std::thread::spawn(move || answer(&stream, &whip, &*turned));
        }
    });
    address
}

fn answer(stream: &TcpStream, whip: &Whip, turned: &dyn Fn(String) -> String) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = first.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    let response = if first.starts_with("POST") {
        let (say, hear) = channel();
        let offer = String::from_utf8(body).unwrap();
        whip.open(offer, Grant::new(path), stream.peer_addr().unwrap(), move |o| say.send(o).unwrap());
        let opened = hear.recv().unwrap().unwrap();
        let answer = turned(opened.answer);
        let head = format!(
            "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nLocation: /{}\r\nETag: \"{}\"",
            opened.session, opened.tag
        );
        format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len())
    } else {
        let (say, hear) = channel();
        whip.close(&path, move |was| say.send(was).unwrap());
        assert!(hear.recv().unwrap());
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
    };
    (&mut &*stream).write_all(response.as_bytes()).unwrap();
}

fn whip(listening: &Listening) -> Whip {
    let mut settings = WhipSettings::new("127.0.0.1:0".parse().unwrap());
    settings.tcp = Some("127.0.0.1:0".parse().unwrap());
    listening.gateway.whip(settings).unwrap()
}

fn film(ffmpeg: &str, folder: &Path) -> std::path::PathBuf {
    let inputs = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=4"];
    let sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"];
    let coding = ["-c:v", "libx264", "-profile:v", "baseline", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p"];
    let opus = ["-c:a", "libopus", "-ac", "2"];
    make(ffmpeg, folder, "film.mp4", &[&inputs[..], &sound, &coding, &opus].concat())
}

/// Whether all of the film has come, to the byte, with sound and pictures where they belong.
fn is_whole(listening: &Listening, feed: &mut sv_ingest::Feed, film: &Path) {
    let received = listening.collect(feed);
    assert_eq!((received.track(1).codec, received.track(2).codec), (Codec::H264, Codec::Opus));
    assert_eq!(received.track(1).video().unwrap().width, 640);
    let (pictures, sound) = (probe(film.to_str().unwrap(), "v:0"), probe(film.to_str().unwrap(), "a:0"));
    let hashes = |told: &[crate::kit::Told]| told.iter().map(|t| t.hash.clone()).collect::<Vec<_>>();
    let ours = received.of(1);
    assert_eq!(hashes(&ours), hashes(&pictures));
    let heard = received.of(2);
    let theirs = hashes(&sound);
    assert!(
        theirs.ends_with(&hashes(&heard)) && heard.len() + 3 >= theirs.len(),
        "{} of {}",
        heard.len(),
        theirs.len()
    );
    // Every picture is as far from the first as it was: RTP's clock is exact.
    for (a, b) in ours.iter().zip(&pictures).skip(1) {
        let (near, far) = (a.pts - ours[0].pts, b.pts - pictures[0].pts);
        assert!((near - far).abs() <= 100, "{near} {far}");
    }
    let late = (heard.last().unwrap().pts - ours.last().unwrap().pts)
        - (sound.last().unwrap().pts - pictures.last().unwrap().pts);
    assert!(late.abs() <= 60, "sound is off by {late} ms");
}

fn send(ffmpeg: &str, film: &Path, address: SocketAddr) {
    let url = format!("http://{address}/one");
    let out = run(ffmpeg, &["-re", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "whip", &url]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn what_ffmpeg_sends_arrives_to_the_byte() {
    let Some(ffmpeg) = sv_testkit::ffmpeg9() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path());
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let address = serve(whip(&listening), |answer| answer);
    send(&ffmpeg, &film, address);
    is_whole(&listening, &mut feed, &film);
}

/// Passes datagrams on in both directions, but for every `n`th of those that carry media.
fn lossy(to: SocketAddr, n: usize) -> SocketAddr {
    let (outside, inside) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let address = outside.local_addr().unwrap();
    inside.connect(to).unwrap();
    let sender: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let (back_in, back_out, known) =
        (inside.try_clone().unwrap(), outside.try_clone().unwrap(), Arc::clone(&sender));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 2048];
        while let Ok(count) = back_in.recv(&mut buffer) {
            if let Some(to) = *known.lock().unwrap() {
                let _ = back_out.send_to(&buffer[..count], to);
            }
        }
    });
    std::thread::spawn(move || {
        let (mut buffer, mut media) = (vec![0; 2048], 0);
        while let Ok((count, from)) = outside.recv_from(&mut buffer) {
            *sender.lock().unwrap() = Some(from);
            // Media are of the payload types that FFmpeg has for pictures and what is sent again.
            let kind = buffer[1] & 0x7F;
            let is_media = buffer[0] >= 128 && (kind == 105 || kind == 106);
            media += usize::from(is_media);
            if !(is_media && media % n == n / 2) {
                let _ = inside.send(&buffer[..count]);
            }
        }
    });
    address
}

#[test]
fn what_is_lost_on_the_way_is_sent_again() {
    let Some(ffmpeg) = sv_testkit::ffmpeg9() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path());
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let whip = whip(&listening);
    let near = whip.addresses()[0].at;
    let far = lossy(near, 20);
    let (near, far) =
        (format!("{} {} typ", near.ip(), near.port()), format!("{} {} typ", far.ip(), far.port()));
    let address = serve(whip, move |answer| answer.replacen(&near, &far, 1));
    let link = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&ffmpeg, &film, address));
        let mut link = None;
        while !sending.is_finished() {
            link = listening.gateway.hub().health("one").and_then(|report| report.link).or(link);
            std::thread::yield_now();
        }
        link.expect("something is known of the line")
    });
    assert!(link.jitter.is_some_and(|jitter| jitter < Duration::from_secs(1)), "{link:?}");
    let received = listening.collect(&mut feed);
    let hashes = |told: Vec<crate::kit::Told>| told.into_iter().map(|t| t.hash).collect::<Vec<_>>();
    let (ours, theirs) = (hashes(received.of(1)), hashes(probe(film.to_str().unwrap(), "v:0")));
    // The last packet may be lost, and nobody knows of it.
    assert!(
        ours.len() + 1 >= theirs.len() && theirs.starts_with(&ours),
        "{} of {}",
        ours.len(),
        theirs.len()
    );
}

#[test]
fn aiortc_sends_vp8_and_every_picture_arrives() {
    let python =
        std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/streamverse/peers/bin/python"));
    let knows = |python: &Path| Command::new(python).args(["-c", "import aiortc, aiohttp"]).output();
    let Some(python) = python.filter(|p| knows(p).is_ok_and(|out| out.status.success())) else {
        println!("skipped: there is no Python with aiortc and aiohttp among the peers");
        return;
    };
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let address = serve(whip(&listening), |answer| answer);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/whip_aiortc.py");
    let child = Command::new(python)
        .args([script, &format!("http://{address}/one"), "60"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let sent: usize = String::from_utf8(out.stdout).unwrap().trim().parse().unwrap();
    let received = listening.collect(&mut feed);
    assert_eq!((received.track(1).codec, received.track(2).codec), (Codec::Vp8, Codec::Opus));
    assert_eq!(received.track(1).video().unwrap().height, 240);
    let pictures = received.of(1);
    assert_eq!(pictures.len(), sent);
    assert!(pictures[0].key && pictures.windows(2).all(|w| w[0].pts < w[1].pts));
    assert!(received.of(2).len() > 20);
}

#[test]
fn who_never_comes_is_forgotten_and_strangers_are_counted() {
    let (say, notices) = channel();
    let mut settings = sv_ingest::gateway::Settings::new(Open);
    let say = Mutex::new(say);
    settings.notice = Arc::new(move |notice| say.lock().unwrap().send(notice).unwrap());
    (settings.strangers, settings.patience) = (3, Duration::from_millis(200));
    let gateway = sv_ingest::gateway::Gateway::start(settings).unwrap();
    let whip = gateway.whip(WhipSettings::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let offer = include_str!("whip_offer.sdp").replace('\n', "\r\n");
    let open = |from: &str| {
        let (say, hear) = channel();
        whip.open(offer.clone(), Grant::new("one"), from.parse().unwrap(), move |o| say.send(o).unwrap());
        hear.recv().unwrap()
    };
    let first = open("192.0.2.1:1").unwrap();
    let second = open("192.0.2.1:1").unwrap();
    assert!(first.session.len() == 32 && first.session != second.session);
    open("192.0.2.1:2").unwrap();
    let full = open("192.0.2.1:3").unwrap_err();
    assert!(matches!(full, sv_ingest::gateway::Trouble::Full), "{full:?}");
    open("192.0.2.2:1").unwrap();
    // None of them begins a stream, and none is there for ever.
    while open("192.0.2.1:4").is_err() {
        std::thread::yield_now();
    }
    let (say, hear) = channel();
    whip.close(&first.session, move |was| say.send(was).unwrap());
    assert!(!hear.recv().unwrap());
    drop(gateway);
    assert!(notices.try_recv().is_err());
}
