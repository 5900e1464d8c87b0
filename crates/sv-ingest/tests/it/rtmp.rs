//! FFmpeg sends to the gateway and plays from it.

use std::process::{Command, Stdio};

use sv_core::Codec;
use sv_ingest::gateway::{Certificate, Keys, Notice, Open};
use sv_ingest::push::{Progress, Push, Target};

use crate::kit::{Listening, make, probe, run};

const PICTURES: &[&str] = &["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=4"];
const SOUND: &[&str] = &["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"];

fn film(ffmpeg: &str, folder: &std::path::Path, name: &str, coding: &[&str]) -> std::path::PathBuf {
    make(ffmpeg, folder, name, &[PICTURES, SOUND, coding].concat())
}

const CLASSIC: &[&str] =
    &["-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-bf", "2", "-c:a", "aac", "-ac", "2"];

/// Times that differ from one to the next as the others do: RTMP has no times below 0, so FFmpeg moves them.
fn moved(mut told: Vec<crate::kit::Told>) -> Vec<(i64, i64, bool, String)> {
    let first = told.first().map_or(0, |t| t.dts);
    told.drain(..).map(|t| (t.pts - first, t.dts - first, t.key, t.hash)).collect()
}

/// Whether all is the same but for times that are rounded.
fn same(ours: Vec<crate::kit::Told>, theirs: Vec<crate::kit::Told>) {
    let (ours, theirs) = (moved(ours), moved(theirs));
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(&theirs) {
        assert!((a.0 - b.0).abs() <= 1 && (a.1 - b.1).abs() <= 1, "{a:?} {b:?}");
        assert_eq!((a.2, &a.3), (b.2, &b.3));
    }
}

#[test]
fn h264_and_aac_arrive_to_the_byte() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(ffmpeg.to_str().unwrap(), folder.path(), "film.mp4", CLASSIC);
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let out = run(&ffmpeg, &["-i", film.to_str().unwrap(), "-c", "copy", "-f", "flv", &listening.url("one")]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let received = listening.collect(&mut feed);
    assert_eq!(received.track(1).codec, Codec::H264);
    assert_eq!(received.track(2).codec, Codec::Aac);
    assert_eq!(
        (received.track(1).video().unwrap().width, received.track(2).audio().unwrap().channels),
        (320, 2)
    );
    same(received.of(1), probe(film.to_str().unwrap(), "v:0"));
    // What came before the first key picture is left out.
    let sound = probe(film.to_str().unwrap(), "a:0");
    let ours = received.of(2);
    let late = sound.len() - ours.len();
    assert!(late <= 2);
    same(ours, sound[late..].to_vec());
}

#[test]
fn every_codec_of_enhanced_rtmp_arrives_to_the_byte() {
    let Some(ffmpeg) = sv_testkit::ffmpeg9() else { return };
    if sv_testkit::tool("ffprobe").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let hevc =
        &["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=error"];
    type Coded<'a> = (Codec, &'a [&'a str]);
    let cases: &[(&str, Coded<'_>, Coded<'_>)] = &[
        ("hevc.mp4", (Codec::Hevc, hevc), (Codec::Opus, &["-c:a", "libopus", "-ac", "2"])),
        ("av1.mp4", (Codec::Av1, &["-c:v", "libsvtav1", "-preset", "12"]), (Codec::Flac, &["-c:a", "flac"])),
        ("vp9.mp4", (Codec::Vp9, &["-c:v", "libvpx-vp9", "-cpu-used", "8"]), (Codec::Ac3, &["-c:a", "ac3"])),
        ("eac3.mp4", (Codec::H264, &["-c:v", "libx264"]), (Codec::Eac3, &["-c:a", "eac3"])),
    ];
    for (name, (picture, pictures), (sound, sounds)) in cases {
        let film = film(&ffmpeg, folder.path(), name, &[*pictures, *sounds, &["-g", "30"]].concat());
        let listening = Listening::new(Open);
        let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
        let out =
            run(&ffmpeg, &["-i", film.to_str().unwrap(), "-c", "copy", "-f", "flv", &listening.url("one")]);
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        let received = listening.collect(&mut feed);
        assert_eq!((received.track(1).codec, received.track(2).codec), (*picture, *sound), "{name}");
        let hashes = |told: Vec<crate::kit::Told>| told.into_iter().map(|t| t.hash).collect::<Vec<_>>();
        let (theirs, ours) = (hashes(probe(film.to_str().unwrap(), "v:0")), hashes(received.of(1)));
        assert_eq!(ours, theirs, "{name}");
        let (theirs, ours) = (hashes(probe(film.to_str().unwrap(), "a:0")), hashes(received.of(2)));
        assert!(
            ours.len() + 3 >= theirs.len() && theirs.ends_with(&ours),
            "{name}: {} {}",
            ours.len(),
            theirs.len()
        );
    }
}

#[test]
fn several_tracks_of_a_kind_arrive() {
    let Some(ffmpeg) = sv_testkit::ffmpeg9() else { return };
    let folder = tempfile::tempdir().unwrap();
    let first = film(&ffmpeg, folder.path(), "first.mp4", CLASSIC);
    let hevc =
        &["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=error"];
    let second = film(&ffmpeg, folder.path(), "second.mp4", &[&hevc[..], &["-c:a", "libopus"]].concat());
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let maps = ["-map", "0:v", "-map", "1:v", "-map", "0:a", "-map", "1:a", "-c", "copy", "-f", "flv"];
    let inputs = ["-i", first.to_str().unwrap(), "-i", second.to_str().unwrap()];
    let out = run(&ffmpeg, &[&inputs[..], &maps, &[&listening.url("one")]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let received = listening.collect(&mut feed);
    let codecs: Vec<_> = (1..=4).map(|id| received.track(id).codec).collect();
    assert_eq!(codecs, [Codec::H264, Codec::Aac, Codec::Hevc, Codec::Opus]);
    let hashes = |told: Vec<crate::kit::Told>| told.into_iter().map(|t| t.hash).collect::<Vec<_>>();
    assert!(hashes(received.of(1)) == hashes(probe(first.to_str().unwrap(), "v:0")));
    let theirs = hashes(probe(second.to_str().unwrap(), "v:0"));
    assert!(theirs.ends_with(&hashes(received.of(3))) && received.of(3).len() + 2 >= theirs.len());
}

#[test]
fn who_plays_gets_what_is_sent() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(ffmpeg.to_str().unwrap(), folder.path(), "film.mp4", CLASSIC);
    let listening = Listening::new(Open);
    let mut sender = Command::new(&ffmpeg)
        .args([
            "-v",
            "error",
            "-re",
            "-i",
            film.to_str().unwrap(),
            "-c",
            "copy",
            "-f",
            "flv",
            &listening.url("one"),
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let started = |n: &Notice| matches!(n, Notice::Track { track, .. } if track.codec == Codec::H264);
    listening.notices.iter().find(started).unwrap();
    let got = folder.path().join("got.mp4");
    let out = run(&ffmpeg, &["-i", &listening.url("one"), "-c", "copy", got.to_str().unwrap()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(sender.wait().unwrap().success());
    let hashes = |path: &std::path::Path, stream| {
        probe(path.to_str().unwrap(), stream).into_iter().map(|t| t.hash).collect::<Vec<_>>()
    };
    for (stream, most) in [("v:0", 62), ("a:0", 96)] {
        let (ours, theirs) = (hashes(&got, stream), hashes(&film, stream));
        assert!(
            theirs.ends_with(&ours) && ours.len() + most >= theirs.len(),
            "{} {}",
            ours.len(),
            theirs.len()
        );
    }
}

#[test]
fn who_has_no_key_is_told_so() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(ffmpeg.to_str().unwrap(), folder.path(), "film.mp4", CLASSIC);
    let listening = Listening::new(Keys::new().key("right", "studio"));
    let send = |key: &str| {
        run(&ffmpeg, &["-i", film.to_str().unwrap(), "-c", "copy", "-f", "flv", &listening.url(key)])
    };
    let out = send("wrong");
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && words.contains("this stream key is not known"), "{words}");
    let mut feed = listening.gateway.hub().subscribe("studio", 1 << 30);
    assert!(send("right").status.success());
    assert!(!listening.collect(&mut feed).packets.is_empty());
    assert!(!format!("{:?}", listening.gateway).contains("right"));
}

#[test]
fn what_comes_is_passed_on_once_the_other_server_is_there() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(ffmpeg.to_str().unwrap(), folder.path(), "film.mp4", CLASSIC);
    let (near, far) = (Listening::new(Open), Listening::new(Keys::new().key("their key", "there")));
    let mut feed = far.gateway.hub().subscribe("there", 1 << 30);
    let (say, told) = std::sync::mpsc::channel();
    let push = |key: &str| {
        let (say, url) = (say.clone(), far.url(key));
        Push::start(near.gateway.hub(), "one", Target::parse(&url).unwrap(), move |p| say.send(p).unwrap())
            .unwrap()
    };
    let (wrong, right) = (push("another key"), push("their key"));
    let send = || {
        let arguments = ["-re", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "flv", &near.url("one")];
        assert!(run(&ffmpeg, &arguments).status.success());
    };
    send();
    let received = far.collect(&mut feed);
    let hashes = |told: Vec<crate::kit::Told>| told.into_iter().map(|t| t.hash).collect::<Vec<_>>();
    assert_eq!(hashes(received.of(1)), hashes(probe(film.to_str().unwrap(), "v:0")));
    drop((wrong, right));
    let told: Vec<Progress> = told.try_iter().collect();
    assert!(told.iter().any(|p| matches!(p, Progress::Sending)), "{told:?}");
    let refused =
        |p: &Progress| matches!(p, Progress::Waiting { reason, .. } if reason.contains("not known"));
    assert!(told.iter().any(refused), "{told:?}");
}

/// A certificate that only its own key vouches for.
fn certificate(folder: &std::path::Path) -> Option<Certificate> {
    let openssl = sv_testkit::tool("openssl")?;
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    let out = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-keyout", key.to_str().unwrap(), "-out", chain.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(Certificate::open(chain, key).unwrap())
}

#[test]
fn rtmps_brings_the_same() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(certificate) = certificate(folder.path()) else { return };
    let film = film(ffmpeg.to_str().unwrap(), folder.path(), "film.mp4", CLASSIC);
    let listening = Listening::new(Open);
    let port = listening.gateway.rtmps("127.0.0.1:0".parse().unwrap(), certificate).unwrap().port();
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let url = format!("rtmps://127.0.0.1:{port}/live/one");
    let out = run(&ffmpeg, &["-i", film.to_str().unwrap(), "-c", "copy", "-f", "flv", &url]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    same(listening.collect(&mut feed).of(1), probe(film.to_str().unwrap(), "v:0"));
}
