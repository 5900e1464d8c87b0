//! FFmpeg records to the gateway by RTSP, interleaved and by UDP.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use sv_core::{Codec, Item};
use sv_ingest::Next;
use sv_ingest::gateway::{Keys, Notice, Open};
use sv_ingest::push::Progress;
use sv_ingest::rtsp::Address;

use crate::kit::{Listening, Told, make, probe, run};

fn film(folder: &std::path::Path, name: &str, coding: &[&str]) -> Option<std::path::PathBuf> {
    let ffmpeg = sv_testkit::tool("ffmpeg")?;
    let inputs = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=4"];
    let sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"];
    Some(make(ffmpeg, folder, name, &[&inputs[..], &sound, coding, &["-ac", "2"]].concat()))
}

/// Sends a film and says what came of it, which is all of it but for what came before the first key picture.
fn arrives(coding: &[&str], codecs: (Codec, Codec), transport: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (Some(film), Some(ffmpeg)) = (film(folder.path(), "film.mp4", coding), sv_testkit::tool("ffmpeg"))
    else {
        return;
    };
    let listening = Listening::new(Open);
    let port = listening.gateway.rtsp("127.0.0.1:0".parse().unwrap()).unwrap().port();
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let url = format!("rtsp://127.0.0.1:{port}/live/one");
    let arguments =
        ["-re", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "rtsp", "-rtsp_transport", transport, &url];
    let (out, link) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| run(&ffmpeg, &arguments));
        let mut link = None;
        while !sending.is_finished() {
            link = listening.gateway.hub().health("one").and_then(|report| report.link).or(link);
            std::thread::yield_now();
        }
        (sending.join().unwrap(), link.expect("something is known of the line"))
    });
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(link.loss == Some(0.0) && link.jitter.is_some_and(|j| j < Duration::from_secs(1)), "{link:?}");
    let received = listening.collect(&mut feed);
    assert_eq!((received.track(1).codec, received.track(2).codec), codecs);
    assert_eq!(received.track(1).video().unwrap().width, 640);
    let hashes = |told: &[Told]| told.iter().map(|t| t.hash.clone()).collect::<Vec<_>>();
    let (pictures, sound) = (probe(film.to_str().unwrap(), "v:0"), probe(film.to_str().unwrap(), "a:0"));
    let (seen, heard) = (received.of(1), received.of(2));
    assert_eq!(hashes(&seen), hashes(&pictures));
    // FFmpeg puts several units of AAC into a packet, and keeps to itself what is left at the end.
    let (theirs, ours) = (hashes(&sound), hashes(&heard));
    let late = theirs.iter().position(|hash| *hash == ours[0]).unwrap();
    assert!(late <= 3 && theirs[late..].starts_with(&ours), "{} of {}", ours.len(), theirs.len());
    let missing = theirs.len() - late - ours.len();
    assert!(missing <= if codecs.1 == Codec::Aac { 5 } else { 0 }, "{missing} are missing at the end");
    let sound = &sound[..late + ours.len()];
    // Pictures are decoded in time, and shown when they were.
    assert!(seen.windows(2).all(|w| w[0].dts <= w[1].dts) && seen.iter().all(|t| t.dts <= t.pts));
    for (a, b) in seen.iter().zip(&pictures).skip(1) {
        let (near, far) = (a.pts - seen[0].pts, b.pts - pictures[0].pts);
        assert!((near - far).abs() <= 100, "{near} {far}");
    }
    let apart = |v: &[Told], a: &[Told]| a.last().unwrap().pts - v.last().unwrap().pts;
    let late = apart(&seen, &heard) - apart(&pictures, sound);
    assert!(late.abs() <= 60, "sound is off by {late} ms");
}

const H264: &[&str] =
    &["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac"];

#[test]
fn h264_and_aac_arrive_to_the_byte_on_one_connection() {
    arrives(H264, (Codec::H264, Codec::Aac), "tcp");
}

#[test]
fn h264_and_aac_arrive_to_the_byte_by_udp() {
    arrives(H264, (Codec::H264, Codec::Aac), "udp");
}

#[test]
fn hevc_and_opus_arrive_to_the_byte() {
    let hevc =
        ["-c:v", "libx265", "-preset", "ultrafast", "-g", "30", "-x265-params", "log-level=error:bframes=0"];
    arrives(&[&hevc[..], &["-c:a", "libopus"]].concat(), (Codec::Hevc, Codec::Opus), "tcp");
}

#[test]
fn only_who_knows_a_key_records() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(film), Some(ffmpeg)) = (film(folder.path(), "film.mp4", H264), sv_testkit::tool("ffmpeg"))
    else {
        return;
    };
    let key = "a-secret-of-20-letters";
    let listening = Listening::new(Keys::new().key(key, "studio"));
    let port = listening.gateway.rtsp("127.0.0.1:0".parse().unwrap()).unwrap().port();
    let send = |url: &str| {
        let arguments = [
            "-t",
            "1",
            "-i",
            film.to_str().unwrap(),
            "-c",
            "copy",
            "-f",
            "rtsp",
            "-rtsp_transport",
            "tcp",
            url,
        ];
        run(&ffmpeg, &arguments)
    };
    let wrong = send(&format!("rtsp://127.0.0.1:{port}/live/studio"));
    assert!(!wrong.status.success());
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("401"), "{said}");
    // As the address has it, or as a password, of which FFmpeg shows a digest.
    for url in [
        format!("rtsp://127.0.0.1:{port}/live/{key}"),
        format!("rtsp://studio:{key}@127.0.0.1:{port}/live/x"),
    ] {
        let sent = send(&url);
        assert!(sent.status.success(), "{url}: {}", String::from_utf8_lossy(&sent.stderr));
    }
    assert!(!send(&format!("rtsp://studio:another-secret-of-them@127.0.0.1:{port}/live/x")).status.success());
    drop(listening.gateway);
    let started = listening
        .notices
        .iter()
        .filter(|n| matches!(n, Notice::Started { stream, protocol: "rtsp", .. } if stream == "studio"));
    assert_eq!(started.count(), 2);

    // Where only the key's SHA-256 is known it has to be said itself.
    let listening = Listening::new(Keys::new().hashed(Keys::hash(key), "studio"));
    let port = listening.gateway.rtsp("127.0.0.1:0".parse().unwrap()).unwrap().port();
    let url = format!("rtsp://anybody:{key}@127.0.0.1:{port}/live/x");
    let sent = send(&url);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

#[test]
fn gstreamer_records_and_every_picture_arrives() {
    let knows =
        |what: &str| Command::new("gst-inspect-1.0").arg(what).output().is_ok_and(|out| out.status.success());
    if !["rtspclientsink", "x264enc"].into_iter().all(knows) {
        println!("skipped: there is no GStreamer with rtspclientsink and x264enc");
        return;
    }
    let listening = Listening::new(Open);
    let port = listening.gateway.rtsp("127.0.0.1:0".parse().unwrap()).unwrap().port();
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let pictures = "videotestsrc num-buffers=60 is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 ! \
        x264enc key-int-max=30 bframes=0 tune=zerolatency ! h264parse";
    let sink = format!("rtspclientsink location=rtsp://127.0.0.1:{port}/live/one protocols=tcp latency=0");
    let arguments = format!("{pictures} ! {sink}");
    let mut sender = Command::new("gst-launch-1.0")
        .args(arguments.split_whitespace())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Some of its runs never end behind the last picture: what has come by then is what is judged.
    let mut received = crate::kit::Received::default();
    while received.packets.len() < 60 {
        match feed.next(Duration::from_secs(60)) {
            Next::Item(Item::Track(track)) => received.tracks.push(track),
            Next::Item(Item::Packet(packet)) => received.packets.push(packet),
            Next::Item(_) => {}
            _ => panic!("{} pictures have come", received.packets.len()),
        }
    }
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert_eq!((received.track(1).codec, received.track(1).video().unwrap().width), (Codec::H264, 320));
    let seen = received.of(1);
    assert_eq!(seen.len(), 60);
    assert!(seen[0].key && seen.windows(2).all(|w| w[0].pts < w[1].pts));
}

/// A server of GStreamer; it ends with this.
struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server(film: &std::path::Path, method: &str) -> Option<Server> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rtsp_server.py");
    let mut child = Command::new("/usr/bin/python3")
        .args([script, film.to_str().unwrap(), method])
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let server = Server(child, port.trim().to_owned());
    if server.1.is_empty() {
        println!("skipped: there is no GstRtspServer for Python");
        return None;
    }
    Some(server)
}

#[test]
fn what_a_server_of_gstreamer_has_is_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let coding = [
        "-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a",
        "aac",
    ];
    let Some(film) = film(folder.path(), "film.mp4", &coding) else { return };
    for method in ["basic", "digest"] {
        let Some(server) = server(&film, method) else { return };
        let listening = Listening::new(Open);
        let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
        let (say, told) = channel();
        let address =
            |secret: &str| Address::parse(&format!("rtsp://{secret}127.0.0.1:{}/film", server.1)).unwrap();
        let pull = |secret: &str| {
            let say = say.clone();
            let told = move |progress| drop(say.send(progress));
            listening.gateway.pull("one", address(secret), told).unwrap()
        };
        for secret in ["", "me:wrong@"] {
            let wrong = pull(secret);
            let refused = told.recv().unwrap();
            assert!(
                matches!(&refused, Progress::Waiting { reason, .. } if reason.contains("password")),
                "{refused:?}"
            );
            drop(wrong);
        }
        let pulling = pull("me:p%40ss@");
        let first = told.recv().unwrap();
        assert!(matches!(first, Progress::Sending), "{first:?}");
        // The server has no more when the film is over; who is quicker than its good-bye says it.
        let mut seen = Vec::new();
        while seen.len() < 119 {
            if let Next::Item(Item::Packet(packet)) = feed.next(Duration::from_secs(10))
                && packet.track == sv_core::TrackId(1)
            {
                seen.push(crate::kit::told(&packet).hash);
            }
        }
        drop(pulling);
        let theirs: Vec<String> = probe(film.to_str().unwrap(), "v:0").into_iter().map(|t| t.hash).collect();
        assert_eq!(seen, theirs[..119], "{method}");
        let ended = listening.notices.iter().find(|n| matches!(n, Notice::Ended { .. }));
        assert!(ended.is_some());
    }
}
