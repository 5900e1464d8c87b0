//! FFmpeg records to the gateway by RTSP, interleaved and by UDP.

use sv_core::Codec;
use sv_ingest::gateway::{Keys, Notice, Open};

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
    let (Some(film), Some(ffmpeg)) = (film(folder.path(), "film.mp4", coding), sv_testkit::tool("ffmpeg")) else {
        return;
    };
    let listening = Listening::new(Open);
    let port = listening.gateway.rtsp("127.0.0.1:0".parse().unwrap()).unwrap().port();
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let url = format!("rtsp://127.0.0.1:{port}/live/one");
    let arguments = ["-re", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "rtsp", "-rtsp_transport", transport, &url];
    let out = run(&ffmpeg, &arguments);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
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

const H264: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac"];

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
    let hevc = ["-c:v", "libx265", "-preset", "ultrafast", "-g", "30", "-x265-params", "log-level=error:bframes=0"];
    arrives(&[&hevc[..], &["-c:a", "libopus"]].concat(), (Codec::Hevc, Codec::Opus), "tcp");
}

#[test]
fn only_who_knows_a_key_records() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(film), Some(ffmpeg)) = (film(folder.path(), "film.mp4", H264), sv_testkit::tool("ffmpeg")) else {
        return;
    };
    let key = "a-secret-of-20-letters";
    let listening = Listening::new(Keys::new().key(key, "studio"));
    let port = listening.gateway.rtsp("127.0.0.1:0".parse().unwrap()).unwrap().port();
    let send = |url: &str| {
        let arguments = ["-t", "1", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp", url];
        run(&ffmpeg, &arguments)
    };
    let wrong = send(&format!("rtsp://127.0.0.1:{port}/live/studio"));
    assert!(!wrong.status.success());
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("401"), "{said}");
    // As the address has it, or as a password.
    for url in [format!("rtsp://127.0.0.1:{port}/live/{key}"), format!("rtsp://x:{key}@127.0.0.1:{port}/live/studio")] {
        assert!(send(&url).status.success(), "{url}");
    }
    drop(listening.gateway);
    let started = listening.notices.iter().filter(|n| matches!(n, Notice::Started { stream, protocol: "rtsp", .. } if stream == "studio"));
    assert_eq!(started.count(), 2);
}
