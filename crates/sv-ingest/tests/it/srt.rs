//! FFmpeg and libsrt's own program send to the gateway, play from it and are sent to, encrypted and not.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sv_core::Codec;
use sv_ingest::gateway::{Grant, Keys, Notice, Open, Passphrases, SrtSettings};
use sv_ingest::push::{Push, Target};
use sv_ingest::srt::{Caller, Mode, Passphrase, Settings, StreamId, reject};

use crate::kit::{Listening, Received, Told, make, probe};

/// How many pictures FFmpeg 9.0.2 may not send at its end, when the machine has much to do.
const TAIL: usize = 20;
const SECRET: &str = "a passphrase of ours";

fn ffmpeg() -> Option<String> {
    sv_testkit::ffmpeg9()
}

/// A film of some seconds as a transport stream, and its packets as we hold them.
fn film(ffmpeg: &str, folder: &Path, name: &str, coding: &[&str]) -> PathBuf {
    let pictures = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=4"];
    let sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"];
    make(ffmpeg, folder, name, &[&pictures[..], &sound, coding].concat())
}

const H264: &[&str] =
    &["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "2", "-c:a", "aac", "-ac", "2"];

fn settings(passphrase: Option<&str>) -> SrtSettings {
    let mut settings = SrtSettings::default();
    settings.connection.passphrase = passphrase.map(|p| Passphrase::new(p).unwrap());
    settings
}

/// A gateway that listens for SRT too, and where.
fn listening(settings: SrtSettings) -> (Listening, u16) {
    let listening = Listening::new(Open);
    let port = listening.gateway.srt("127.0.0.1:0".parse().unwrap(), settings).unwrap().port();
    (listening, port)
}

fn start(program: impl AsRef<Path>, arguments: &[&str]) -> Child {
    Command::new(program.as_ref())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A file as a pipe.
fn start_piped(path: &Path) -> Child {
    Command::new("cat").arg(path).stdout(Stdio::piped()).spawn().unwrap()
}

/// FFmpeg sends a film at its own pace. (libsrt drops what it has not sent when it closes, unless it lingers.)
fn send(ffmpeg: &str, film: &Path, url: &str) -> Child {
    let film = film.to_str().unwrap();
    let url = format!("{url}&linger=3");
    start(ffmpeg, &["-v", "error", "-re", "-i", film, "-c", "copy", "-f", "mpegts", &url])
}

fn words(child: Child) -> (bool, String) {
    let out = child.wait_with_output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn hashes(told: Vec<Told>) -> Vec<String> {
    told.into_iter().map(|t| t.hash).collect()
}

#[test]
fn who_sends_by_srt_is_held_to_its_rules_and_its_line_is_told_of() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.ts", H264);
    let mut narrow = Grant::new("narrow");
    narrow.rules.codecs = vec![Codec::Av1];
    let keys = Keys::new().grant(Keys::hash("narrow"), narrow).key("wide", "wide");
    let listening = Listening::new(keys);
    let at = "127.0.0.1:0".parse().unwrap();
    let port = listening.gateway.srt(at, settings(None)).unwrap().port();
    let url = |key: &str| format!("srt://127.0.0.1:{port}?streamid=#!::r={key},m=publish");
    let ended = || {
        let reason = |notice| match notice {
            Notice::Ended { reason, .. } => Some(reason),
            _ => None,
        };
        listening.notices.iter().find_map(reason).unwrap()
    };
    let mut sender = send(&ffmpeg, &film, &url("narrow"));
    let reason = ended();
    assert!(reason.ends_with("may not be sent with this key: send av1"), "{reason}");
    sender.wait().unwrap();

    let mut sender = send(&ffmpeg, &film, &url("wide"));
    let begun = Instant::now();
    let link = loop {
        let link = listening.gateway.hub().health("wide").and_then(|report| report.link);
        if let Some(link) = link.filter(|link| link.rtt.is_some() && link.loss.is_some()) {
            break link;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is told of the line");
        std::thread::yield_now();
    };
    assert!(
        link.rtt.unwrap() < Duration::from_secs(1) && (0.0..=1.0).contains(&link.loss.unwrap()),
        "{link:?}"
    );
    sender.kill().unwrap();
    sender.wait().unwrap();
}

/// A port that nobody has at the moment.
fn free() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether all of a film has come, as RTMP would have brought it: NAL units behind their lengths, but for delimiters that transport
/// streams add, and AAC without headers. Sound before the first key picture is left out.
fn same(received: &Received, film: &Path, pictures: Codec) {
    let id = |codec| received.tracks.iter().find(|t| t.codec == codec).unwrap().id.0;
    let (video, audio) = (id(pictures), id(Codec::Aac));
    assert_eq!(received.track(video).video().unwrap().width, 320);
    assert!(!received.track(video).config.is_empty());
    assert_eq!(received.track(audio).audio().unwrap().channels, 2);
    let (ours, theirs) = (received.of(video), probe(film.to_str().unwrap(), "v:0"));
    assert!(ours.len() + TAIL >= theirs.len(), "{} {}", ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(&theirs) {
        let of = |t: &Told, first: &Told| (t.pts - first.pts, t.dts - first.dts);
        let ((p, d), (q, e)) = (of(a, &ours[0]), of(b, &theirs[0]));
        assert!((p - q).abs() <= 1 && (d - e).abs() <= 1 && a.key == b.key, "{a:?} {b:?}");
    }
    let (ours, theirs) = (hashes(received.of(audio)), hashes(probe(film.to_str().unwrap(), "a:0")));
    within(&ours, &theirs, 2 * TAIL);
}

/// Whether one is a stretch of the other, of which so many at most are missing before and behind it: FFmpeg 9.0.2 doesn't send the last bytes
/// of a stream, to libsrt's programs neither.
fn within(ours: &[String], theirs: &[String], most: usize) {
    let at = theirs.windows(ours.len().max(1)).position(|w| w == ours);
    let at = at.unwrap_or_else(|| panic!("{} of {} aren't a stretch of them", ours.len(), theirs.len()));
    let behind = theirs.len() - at - ours.len();
    assert!(at <= most && behind <= most, "{at} are missing before and {behind} behind");
}

#[test]
fn what_ffmpeg_sends_arrives_whichever_way_it_is_encrypted() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.mp4", H264);
    for length in ["", "&pbkeylen=16", "&pbkeylen=24", "&pbkeylen=32"] {
        let (listening, port) = listening(settings((!length.is_empty()).then_some(SECRET)));
        let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
        let secret = if length.is_empty() { String::new() } else { format!("&passphrase={SECRET}{length}") };
        let url = format!("srt://127.0.0.1:{port}?streamid=#!::r=one,m=publish&pkt_size=1316{secret}");
        let sender = send(&ffmpeg, &film, &url);
        let received = listening.collect(&mut feed);
        let (fine, words) = words(sender);
        assert!(fine, "{words}");
        same(&received, &film, Codec::H264);
    }
}

#[test]
fn hevc_arrives_with_its_configuration() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let hevc: &[&str] = &[
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-tag:v",
        "hvc1",
        "-x265-params",
        "log-level=error:keyint=30",
        "-c:a",
        "aac",
        "-ac",
        "2",
    ];
    let film = film(&ffmpeg, folder.path(), "film.mp4", hevc);
    let (listening, port) = listening(settings(None));
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let sender = send(&ffmpeg, &film, &format!("srt://127.0.0.1:{port}?streamid=publish:one&pkt_size=1316"));
    let received = listening.collect(&mut feed);
    assert!(words(sender).0);
    same(&received, &film, Codec::Hevc);
    assert_eq!(received.tracks.iter().find(|t| t.codec == Codec::Hevc).unwrap().config[0], 1);
}

/// What a caller of ours is told.
fn called(port: u16, id: &str, secret: Option<&str>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut settings = Settings::default();
    settings.passphrase = secret.map(|s| Passphrase::new(s).unwrap());
    let (born, mut buffer) = (Instant::now(), [0; 2048]);
    let to = socket.peer_addr().unwrap().ip();
    let mut caller = Caller::new(settings, Mode::Caller, StreamId::new(id), to, [9; 32], Duration::ZERO);
    loop {
        if let Err(error) = caller.tick(born.elapsed()) {
            return error.to_string();
        }
        while let Some(datagram) = caller.outgoing() {
            socket.send(&datagram).unwrap();
        }
        if let Ok(count) = socket.recv(&mut buffer) {
            match caller.receive(&buffer[..count], born.elapsed()) {
                Ok(None) => {}
                Ok(Some(_)) => return "it was let in".into(),
                Err(error) => return error.to_string(),
            }
        }
    }
}

/// Who is refused hears why, and nobody else waits for that.
#[test]
fn who_may_not_is_told_so() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let Some(libsrt) = sv_testkit::tool("srt-live-transmit") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.ts", H264);
    let listening = Listening::new(Keys::new().key("the right key", "studio"));
    let mut settings = SrtSettings::default();
    // A passphrase that takes its time is waited for by whom it is for alone.
    settings.passphrases = Some(Passphrases::new(|stream, unlock| {
        let slow = stream != "studio";
        std::thread::spawn(move || {
            if slow {
                std::thread::sleep(Duration::from_secs(2));
            }
            unlock.say(Some(Passphrase::new(SECRET).unwrap()));
        });
    }));
    let port = listening.gateway.srt("127.0.0.1:0".parse().unwrap(), settings).unwrap().port();
    let call = |id: &str, more: &str| {
        let url = format!("srt://127.0.0.1:{port}?streamid={id}{more}");
        let mut cat = start_piped(&film);
        let child = Command::new(&libsrt)
            .args(["-loglevel:note", "-a:no", "-to:5", "file://con", &url])
            .stdin(cat.stdout.take().unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.wait_with_output().unwrap();
        let _ = (cat.kill(), cat.wait());
        [out.stdout, out.stderr].map(|o| String::from_utf8_lossy(&o).into_owned()).concat()
    };
    // What another program says of it, and the code that it was told.
    for (id, secret, said, reason) in [
        ("#!::r=a wrong key,m=publish", SECRET, "Application-defined rejection", reject::UNAUTHORIZED),
        ("#!::r=studio,m=request", SECRET, "Application-defined rejection", reject::NOT_FOUND),
        ("#!::r=studio,m=bidirectional", SECRET, "Application-defined rejection", reject::BAD_REQUEST),
        ("the right key", "another one of us", "Incorrect passphrase", reject::BAD_SECRET),
    ] {
        let begun = Instant::now();
        let heard = call(id, &format!("&passphrase={secret}"));
        assert!(heard.contains(said), "{id}: {heard}");
        let heard = called(port, id, Some(secret));
        assert!(heard.ends_with(reject::reason(reason)), "{id}: {heard}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{id} has waited");
    }
    let heard = called(port, "the right key", None);
    assert!(heard.ends_with(reject::reason(reject::UNSECURE)), "{heard}");
    assert!(!format!("{:?}", listening.gateway).contains("right"));
}

#[test]
fn who_plays_gets_what_is_sent_and_so_does_who_is_pushed_to() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.mp4", H264);
    let (listening, port) = listening(settings(Some(SECRET)));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let listen = |name: &str, url: &str| {
        start(&ffmpeg, &["-v", "error", "-y", "-f", "mpegts", "-i", url, "-c", "copy", &path(name)])
    };
    // Two that are pushed to: a listener, and one with a passphrase.
    let (plain, locked) = (free(), free());
    let pushed = [
        listen("plain.ts", &format!("srt://127.0.0.1:{plain}?mode=listener")),
        listen(
            "locked.ts",
            &format!("srt://127.0.0.1:{locked}?mode=listener&passphrase={SECRET}&pbkeylen=24"),
        ),
    ];
    let urls = [
        format!("srt://127.0.0.1:{plain}?latency=150"),
        format!("srt://127.0.0.1:{locked}?passphrase={}&pbkeylen=32", SECRET.replace(' ', "%20")),
    ];
    let pushes = urls.map(|url| {
        Push::start(listening.gateway.hub(), "one", Target::parse(&url).unwrap(), |_| {}).unwrap()
    });
    let secret = format!("&passphrase={SECRET}");
    let sender = send(
        &ffmpeg,
        &film,
        &format!("srt://127.0.0.1:{port}?streamid=one&pkt_size=1316&pbkeylen=32{secret}"),
    );
    let started = |n: &Notice| matches!(n, Notice::Track { track, .. } if track.codec == Codec::H264);
    listening.notices.iter().find(started).unwrap();
    let player = listen("played.ts", &format!("srt://127.0.0.1:{port}?streamid=#!::r=one,m=request{secret}"));
    let (fine, said) = words(sender);
    assert!(fine, "{said}");
    let (_, said) = words(player);
    for child in pushed {
        words(child);
    }
    drop(pushes);
    for (name, most) in [("played.ts", 80), ("plain.ts", 80), ("locked.ts", 80)] {
        // The same pictures as bytes, but for what transport streams put before them: what FFmpeg makes of them tells.
        let frames = |input: &str| {
            let out = Command::new(&ffmpeg)
                .args(["-v", "error", "-i", input, "-map", "0:v", "-map", "0:a", "-f", "framemd5", "-"])
                .output()
                .unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            let of = |stream: &str| -> Vec<String> {
                let lines = text.lines().filter(|l| l.starts_with(stream));
                lines.map(|l| l.rsplit(',').next().unwrap().trim().to_owned()).collect()
            };
            (of("0,"), of("1,"))
        };
        let (ours, theirs) = (frames(&path(name)), frames(film.to_str().unwrap()));
        // The last picture may be cut off where FFmpeg was.
        let (_, whole) = ours.0.split_last().unwrap();
        let at = theirs.0.windows(whole.len()).position(|w| w == whole);
        let behind = at.map(|at| theirs.0.len() - at - whole.len());
        assert!(
            whole.len() + most >= theirs.0.len() && behind.is_some_and(|n| n <= TAIL) && ours.1.len() > 60,
            "{name}: {} of {}, {} of {}: {said}",
            ours.0.len(),
            theirs.0.len(),
            ours.1.len(),
            theirs.1.len()
        );
    }
}

/// What is fetched from somebody at `url` who sends a film.
fn fetched(url: &str) -> Received {
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let target = sv_ingest::srt::Target::parse(&url.replace(' ', "%20")).unwrap();
    listening.gateway.srt_pull("one", target).unwrap();
    let first = listening.notices.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(first, Notice::Started { .. }), "{first:?}");
    listening.collect(&mut feed)
}

#[test]
fn what_others_offer_is_fetched_by_a_call() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.mp4", H264);
    let port = free();
    let secret = format!("passphrase={SECRET}");
    let url = format!("srt://127.0.0.1:{port}?mode=listener&{secret}&pbkeylen=16&pkt_size=1316");
    let sender = send(&ffmpeg, &film, &url);
    same(&fetched(&format!("srt://127.0.0.1:{port}?{secret}")), &film, Codec::H264);
    let (fine, said) = words(sender);
    assert!(fine, "{said}");
}

/// libsrt's program meets us, as both call each other from the same port: at addresses of their own. (FFmpeg binds to the address that
/// it calls.)
#[test]
fn what_others_offer_is_fetched_where_both_meet() {
    let (Some(ffmpeg), Some(libsrt)) = (ffmpeg(), sv_testkit::tool("srt-live-transmit")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.mp4", H264);
    for secret in [String::new(), format!("&passphrase={SECRET}")] {
        let port = free();
        let film_path = film.to_str().unwrap();
        // They wait for us before they read what they send.
        let mut source = Command::new(&ffmpeg)
            .args(["-v", "error", "-re", "-i", film_path, "-c", "copy", "-f", "mpegts", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let theirs = format!("srt://127.0.0.1:{port}?mode=rendezvous&adapter=127.0.0.2&linger=3{secret}");
        let mut sender = Command::new(&libsrt)
            .args(["-q", "-a:no", "file://con", &theirs])
            .stdin(source.stdout.take().unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It doesn't end by itself when there is no more to read.
        let end = std::thread::spawn(move || {
            let _ = (source.wait(), sender.kill(), sender.wait());
        });
        let url = format!("srt://127.0.0.2:{port}?mode=rendezvous&adapter=127.0.0.1{secret}");
        let received = fetched(&url);
        end.join().unwrap();
        let video = received.tracks.iter().find(|t| t.codec == Codec::H264).unwrap().id.0;
        // What went before both had met is lost.
        assert!(received.of(video).len() > 60, "{}", received.of(video).len());
    }
}

#[test]
fn datagrams_of_a_transport_stream_arrive() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.mp4", H264);
    for (at, format) in [("127.0.0.1", "mpegts"), ("127.0.0.1", "rtp_mpegts"), ("239.255.77.7", "mpegts")] {
        let listening = Listening::new(Open);
        let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
        let address = format!("{at}:{}", if at == "127.0.0.1" { 0 } else { free() });
        let address = listening.gateway.udp_ts("one", address.parse().unwrap()).unwrap();
        let url = if format == "mpegts" {
            format!("udp://{address}?pkt_size=1316&ttl=1")
        } else {
            format!("rtp://{address}?pkt_size=1328")
        };
        let film_path = film.to_str().unwrap();
        let sender =
            start(&ffmpeg, &["-v", "error", "-re", "-i", film_path, "-c", "copy", "-f", format, &url]);
        let (fine, said) = words(sender);
        assert!(fine, "{said}");
        if !listening.gateway.hub().is_live("one") && at != "127.0.0.1" {
            println!("skipped: this machine has no multicast");
            continue;
        }
        drop(listening.gateway);
        let mut received = Received::default();
        while let sv_ingest::Next::Item(item) = feed.poll() {
            match item {
                sv_core::Item::Track(track) => received.tracks.push(track),
                sv_core::Item::Packet(packet) => received.packets.push(packet),
                _ => {}
            }
        }
        same(&received, &film, Codec::H264);
    }
}

/// A relay that gives those behind it another port in the middle, as a router does that has forgotten them.
#[test]
fn a_router_that_forgets_does_no_harm() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.mp4", H264);
    let mut settings = settings(None);
    settings.connection.latency = Duration::from_millis(1500);
    let (listening, port) = listening(settings);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
    let door = inside.local_addr().unwrap().port();
    let stop = Arc::new(AtomicBool::new(false));
    let relay = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let outside = || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(("127.0.0.1", port)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            };
            inside.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            let (mut out, mut client, mut moved) = (outside(), None, false);
            let (begun, mut buffer) = (Instant::now(), [0; 2048]);
            while !stop.load(Ordering::Acquire) {
                let quiet = (1500..2200).contains(&begun.elapsed().as_millis());
                if begun.elapsed() > Duration::from_millis(2200) && !moved {
                    (out, moved) = (outside(), true);
                }
                if let Ok((count, from)) = inside.recv_from(&mut buffer) {
                    client = Some(from);
                    if !quiet {
                        let _ = out.send(&buffer[..count]);
                    }
                }
                while let Ok(count) = out.recv(&mut buffer) {
                    if !quiet {
                        inside.send_to(&buffer[..count], client.unwrap()).unwrap();
                    }
                }
            }
            moved
        })
    };
    let sender = send(&ffmpeg, &film, &format!("srt://127.0.0.1:{door}?streamid=one&pkt_size=1316"));
    let received = listening.collect(&mut feed);
    assert!(words(sender).0);
    stop.store(true, Ordering::Release);
    assert!(relay.join().unwrap());
    same(&received, &film, Codec::H264);
}

/// GStreamer's own transport stream, encrypted, and its way to say the stream id.
#[test]
fn what_gstreamer_sends_arrives_encrypted() {
    let (Some(ffmpeg), Some(gst)) = (sv_testkit::tool("ffmpeg"), sv_testkit::tool("gst-launch-1.0")) else {
        return;
    };
    let has = |element| Command::new("gst-inspect-1.0").arg(element).stdout(Stdio::null()).status();
    let wanted = ["srtsink", "mpegtsmux", "qtdemux", "h264parse", "aacparse"];
    if !wanted.iter().all(|e| has(e).is_ok_and(|s| s.success())) {
        println!("skipped: GStreamer lacks one of {wanted:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let film = film(ffmpeg.to_str().unwrap(), folder.path(), "film.mp4", H264);
    for length in [16, 24, 32] {
        let (listening, port) = listening(settings(Some(SECRET)));
        let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
        let mut sender = Command::new(&gst)
            .args(["-q", "filesrc", &format!("location={}", film.display()), "!", "qtdemux", "name=d"])
            .args(["mpegtsmux", "name=m", "alignment=7", "!", "srtsink"])
            .arg(format!("uri=srt://127.0.0.1:{port}?mode=caller"))
            .args([
                "streamid=#!::r=one,m=publish",
                &format!("passphrase={SECRET}"),
                &format!("pbkeylen={length}"),
            ])
            .args(["latency=500", "wait-for-connection=true"])
            .args(
                "d.video_0 ! queue ! h264parse config-interval=-1 ! m. d.audio_0 ! queue ! aacparse ! m."
                    .split(' '),
            )
            .spawn()
            .unwrap();
        let received = listening.collect(&mut feed);
        assert!(sender.wait().unwrap().success());
        same(&received, &film, Codec::H264);
    }
}
