//! HLS of transport streams and packed audio, played by FFmpeg.

use std::collections::HashMap;
use std::path::Path;

use crate::{kit, resume};

/// Segments of a rendition, one after the other.
fn joined(output: &Path, name: &str) -> Vec<u8> {
    let list = std::fs::read_to_string(output.join(format!("{name}.m3u8"))).unwrap();
    let files = list.lines().filter(|line| !line.starts_with('#'));
    files.flat_map(|file| std::fs::read(output.join(file)).unwrap()).collect()
}

/// Asserts that the counters of all packet identifiers go on without a gap.
pub(crate) fn whole(stream: &[u8]) {
    let mut counters = HashMap::new();
    assert!(stream.len().is_multiple_of(188) && !stream.is_empty());
    for packet in stream.chunks(188) {
        assert_eq!(packet[0], 0x47);
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let counter = packet[3] & 15;
        if let Some(last) = counters.insert(pid, counter) {
            assert_eq!(counter, (last + 1) & 15, "packet identifier {pid:#x}");
        }
    }
}

fn times(path: &Path, stream: &str) -> Vec<f64> {
    let ffprobe = sv_testkit::tool("ffprobe").unwrap();
    let arguments =
        ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-of", "csv=p=0"];
    let out = kit::run(&ffprobe, &[&arguments[..], &[path.to_str().unwrap()]].concat());
    let mut all: Vec<f64> = out.lines().filter_map(|l| l.trim_matches(',').parse().ok()).collect();
    all.sort_by(f64::total_cmp);
    all
}

#[test]
fn ffmpeg_plays_transport_streams() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let wanted = kit::picture_hashes(&source, None);
    for single in [false, true] {
        let output = dir.path().join(format!("out-{single}"));
        let mut command = kit::sv();
        command.args(["package", "--format", "ts", "--segment", "2s", "--out"]).arg(&output).arg(&source);
        if single {
            command.arg("--single-file");
        }
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        assert!(!output.join("manifest.mpd").exists());
        let playlist = output.join("360p-h264.m3u8");
        kit::same(&kit::picture_hashes(&playlist, None), &wanted, "pictures");
        if single {
            whole(&std::fs::read(output.join("360p-h264.ts")).unwrap());
        } else {
            whole(&joined(&output, "360p-h264"));
        }

        // Both begin at the same moment as in the source, and nothing of the sound is missing.
        let (pictures, sound) = (times(&playlist, "v"), times(&output.join("audio-aac-6ch.m3u8"), "a"));
        let source_sound = times(&source, "a");
        assert_eq!(sound.len(), source_sound.len());
        for (ours, theirs) in sound.iter().zip(&source_sound) {
            assert!((ours - pictures[0] - theirs).abs() < 0.002, "{ours} and {theirs}");
        }

        // A picture out of the playlist of key frames is one of the source's.
        let keys = kit::picture_hashes(&output.join("360p-h264-iframes.m3u8"), None);
        assert!(keys.len() >= 3 && keys.iter().all(|key| wanted.contains(key)), "{keys:?}");
    }
}

#[test]
fn a_killed_run_goes_on_with_the_counters() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 20) else { return };
    let output = dir.path().join("out");
    let mut child = resume::interrupted(&source, &output, 12, &["--format", "ts"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let run = kit::sv()
        .args(["vod", "--segment", "1s", "--preset", "balanced", "--format", "ts", "--out"])
        .arg(&output)
        .arg(&source)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("segments are kept"), "{said}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap();
    for rendition in report["renditions"].as_array().unwrap().iter().filter(|r| r["kind"] == "video") {
        let name = rendition["name"].as_str().unwrap();
        whole(&joined(&output, name));
        assert_eq!(kit::picture_times(&output.join(format!("{name}.m3u8"))).len(), 500);
    }
}

#[test]
fn what_has_no_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 1) else { return };
    for (more, says) in [
        (&["package", "--dash"][..], "leave --dash or --format ts out"),
        (&["vod", "--codec", "av1"], "has no place in transport streams"),
        (&["vod", "--audio-codec", "opus"], "has no place in transport streams"),
    ] {
        let output = dir.path().join("out");
        let mut command = kit::sv();
        let made =
            command.args(more).args(["--format", "ts", "--out"]).arg(&output).arg(&source).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(!made.status.success() && said.contains(says), "{said}");
        assert!(!output.exists());
    }
}
