//! `sv gateway --rtsp`: what FFmpeg records is watched and kept.

use std::process::Command;

use crate::gateway::{Gateway, only};
use crate::kit;

#[test]
fn what_is_recorded_by_rtsp_is_watched_and_kept_to_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=30:duration=6",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=6",
    ];
    let coding =
        ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-c:a", "aac", "-ac", "2"];
    let Some(film) = kit::make(dir.path(), "film.mp4", &[&inputs[..], &coding].concat()) else { return };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "2s", "--rtsp", "127.0.0.1:0"]);
    let url = format!("rtsp://{}/live/studio", gateway.rtsp);
    let sent = Command::new("ffmpeg")
        .args(["-v", "error", "-re", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "rtsp"])
        .args(["-rtsp_transport", "tcp", &url])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let started = gateway.until("live.stream.started");
    assert_eq!(started["protocol"], "rtsp");
    assert!(started["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{started}");
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    kit::same(
        &kit::picture_hashes(&kit::joined(&kept, "360p-h264"), None),
        &kit::picture_hashes(&film, None),
        "the pictures that were sent",
    );
}
