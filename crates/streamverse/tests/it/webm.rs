//! WebM that we write, judged by FFmpeg and mkvtoolnix.

use std::path::{Path, PathBuf};

use sv_testkit::{corpus, tool};

use crate::{kit, resume};

const KID: &str = "31323334353637383930313233343536";
const KEY: &str = "32333435363738393021323334353637";

fn package(dir: &Path, name: &str, input: &str, more: &[&str]) -> PathBuf {
    let output = dir.join(name);
    let mut command = kit::sv();
    command.args(["package", "--format", "webm", "--segment", "1s", input, "--out"]).arg(&output).args(more);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
    output
}

/// Every packet of a stream as ffprobe reads it: when and how long it is shown, in milliseconds, whether it is a key,
/// and its MD5.
fn packets(file: &Path, stream: &str) -> Vec<(f64, f64, bool, String)> {
    let entries = "packet=pts_time,duration_time,flags,data_hash";
    let args = ["-v", "error", "-show_data_hash", "md5", "-show_entries", entries, "-select_streams", stream];
    let text =
        kit::run(&tool("ffprobe").unwrap(), &[&args[..], &["-of", "json", file.to_str().unwrap()]].concat());
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let packet = |p: &serde_json::Value| {
        let text = |name: &str| p[name].as_str().unwrap_or_default().to_owned();
        let ms = |name: &str| text(name).parse::<f64>().unwrap_or(0.0) * 1000.0;
        (ms("pts_time"), ms("duration_time"), text("flags").contains('K'), text("data_hash"))
    };
    all["packets"].as_array().unwrap().iter().map(packet).collect()
}

/// The same packets at the same times, as near as milliseconds are.
fn same_packets(made: &Path, source: &Path, stream: &str) {
    let (made, source) = (packets(made, stream), packets(source, stream));
    assert_eq!(made.len(), source.len(), "packets of {stream}");
    let begin = |all: &[(f64, f64, bool, String)]| all.first().unwrap().0;
    let (first, other) = (begin(&made), begin(&source));
    for (n, (a, b)) in made.iter().zip(&source).enumerate() {
        assert!(
            ((a.0 - first) - (b.0 - other)).abs() <= 1.0,
            "{stream}: packet {n} is at {} and not {}",
            a.0,
            b.0
        );
        // Where a source says how long pictures are it may say it wrongly, and FFmpeg guesses the rest.
        assert_eq!((a.2, &a.3), (b.2, &b.3), "{stream}: packet {n}");
    }
}

/// What mkvtoolnix says of a file, if it is there: its elements, and no complaint.
fn elements(file: &Path) -> Option<String> {
    let text = kit::run(&tool("mkvinfo")?, &["--ui-language", "en_US", "--all", file.to_str().unwrap()]);
    for complaint in ["invalid", "Unknown element", "unknown element", "does not exist", "rror"] {
        // Its printer lacks words for elements that it knows.
        let mut lines = text.lines().filter(|line| !line.contains("AESSettings"));
        assert!(!lines.any(|line| line.contains(complaint)), "{}: {text}", file.display());
    }
    Some(text)
}

/// Two ranges of bytes that a manifest names.
fn range(mpd: &str, attribute: &str) -> (usize, usize) {
    let value = mpd.split(&format!("{attribute}=\"")).nth(1).unwrap().split('"').next().unwrap();
    let (from, to) = value.split_once('-').unwrap();
    (from.parse().unwrap(), to.parse::<usize>().unwrap() + 1)
}

/// Source, stream as ffprobe selects it, stream as we do, what the manifest calls it, and how many segments of a second
/// its key frames make.
const SOURCES: &[(&str, &str, &str, &str, usize)] = &[
    ("shaka/inputs/bear-320x240-vp9-opus.webm", "v:0", "video", "vp09.00.20.08", 3),
    ("shaka/inputs/bear-320x240-vp9-opus.webm", "a:0", "audio", "opus", 3),
    ("shaka/inputs/bear-640x360.webm", "v:0", "video", "vp8", 3),
    ("shaka/inputs/bear-640x360.webm", "a:0", "audio", "vorbis", 3),
    ("shaka/inputs/bear-av1.mp4", "v:0", "video", "av01.0.00M.08", 1),
];

#[test]
fn whole_files_hold_the_same_packets_and_an_index() {
    let Some(root) = corpus("") else { return };
    if tool("ffprobe").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (source, select, stream, codec, count) in SOURCES {
        let source = root.join(source);
        let input = format!("in={},stream={stream}", source.display());
        let name = format!("{codec}-whole");
        let output = package(dir.path(), &name, &input, &["--single-file"]);
        let file = whole_file(&output);
        same_packets(&file, &source, select);

        let mpd = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
        assert!(mpd.contains(&format!("codecs=\"{codec}")), "{mpd}");
        assert!(mpd.contains(&format!("mimeType=\"{stream}/webm\"")), "{mpd}");
        assert!(!output.join("master.m3u8").exists());
        // The head, then the index, whose places are where clusters begin.
        let bytes = std::fs::read(&file).unwrap();
        let (head, index) = (range(&mpd, "Initialization range"), range(&mpd, "indexRange"));
        assert_eq!((head.0, head.1), (0, index.0));
        assert_eq!(bytes[..4], [0x1A, 0x45, 0xDF, 0xA3]);
        assert_eq!(bytes[index.0..index.0 + 4], [0x1C, 0x53, 0xBB, 0x6B]);
        let Some(told) = elements(&file) else { continue };
        let places = |words: &str| {
            let values = told.lines().filter_map(|line| line.split_once(words)).map(|(_, rest)| rest.trim());
            values.map(|v| v.trim_end_matches(')').parse::<u64>().unwrap()).collect::<Vec<_>>()
        };
        let cues = places("Cue cluster position: ");
        // Ours is the only element of this name, and positions count behind its head.
        let segment = bytes.windows(4).position(|four| four == [0x18, 0x53, 0x80, 0x67]).unwrap() + 12;
        assert_eq!(cues.len(), *count, "{told}");
        for cue in cues {
            let at = segment + usize::try_from(cue).unwrap();
            assert_eq!(bytes[at..at + 4], [0x1F, 0x43, 0xB6, 0x75], "{name}: the cue at {cue}");
        }
        // Its size is known, and so is its length.
        assert!(told.contains("Duration: 00:00:02.7"), "{told}");
    }
}

#[test]
fn segments_hold_the_same_packets() {
    let Some(root) = corpus("") else { return };
    if tool("ffprobe").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (source, select, stream, codec, count) in SOURCES {
        let source = root.join(source);
        let input = format!("in={},stream={stream}", source.display());
        let output = package(dir.path(), codec, &input, &[]);
        let folders = std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path());
        let whole = |path: &PathBuf| path.is_dir() && !path.to_str().unwrap().contains("-trick");
        let folder = folders.filter(whole).last().unwrap();
        let init = std::fs::read(folder.join("init.webm")).unwrap();
        let segments: Vec<_> =
            (0..).map_while(|n| std::fs::read(folder.join(format!("{n}.webm"))).ok()).collect();
        assert_eq!(segments.len(), *count, "{codec}");
        let joined = dir.path().join(format!("{codec}.webm"));
        std::fs::write(&joined, [init, segments.concat()].concat()).unwrap();
        same_packets(&joined, &source, select);
        elements(&joined);
        let mpd = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
        assert!(mpd.contains("<SegmentTimeline>") && mpd.contains("/$Number$.webm"), "{mpd}");
    }
}

/// The one file of pictures or sound in a folder.
fn whole_file(output: &Path) -> PathBuf {
    let files = std::fs::read_dir(output).unwrap().map(|entry| entry.unwrap().path());
    let whole = |path: &PathBuf| {
        let ends = path.extension().is_some_and(|e| e == "webm" || e == "mp4");
        ends && !path.to_str().unwrap().contains("-trick")
    };
    files.filter(whole).last().unwrap()
}

#[test]
fn shaka_packager_decrypts_what_is_encrypted() {
    let (Some(root), Some(packager)) = (corpus(""), tool("packager-linux-x64")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, format!("{KID}:{KEY}")).unwrap();
    for (source, select, stream, codec, _) in SOURCES {
        let source = root.join(source);
        let input = format!("in={},stream={stream}", source.display());
        let protect =
            ["--single-file", "--encrypt", "cenc", "--clear-lead", "1s", "--keys", keys.to_str().unwrap()];
        let output = package(dir.path(), codec, &input, &protect);
        let file = whole_file(&output);
        elements(&file);
        let mpd = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
        assert!(mpd.contains("cenc:default_KID"), "{mpd}");
        // The first second is clear but for what stands in front of it.
        let (made, wanted) = (packets(&file, select_ours(stream)), packets(&source, select));
        assert!(made.iter().zip(&wanted).all(|(a, b)| a.3 != b.3), "{codec}");
        let clear = dir.path().join(format!("{codec}.clear.webm"));
        let descriptor = format!("in={},stream={stream},out={}", file.display(), clear.display());
        let key = format!("label=:key_id={KID}:key={KEY}");
        kit::run(&packager, &[&descriptor, "--enable_raw_key_decryption", "--keys", &key]);
        same_packets(&clear, &source, select);
    }
}

fn select_ours(stream: &str) -> &'static str {
    if stream == "video" { "v:0" } else { "a:0" }
}

#[test]
fn what_comes_encrypted_is_passed_on() {
    let Some(source) = corpus("shaka/inputs/bear-320x240-av_enc-av.webm") else { return };
    if tool("ffmpeg").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (select, stream) in [("v:0", "video"), ("a:0", "audio")] {
        let input = format!("in={},stream={stream}", source.display());
        let output = package(dir.path(), stream, &input, &["--single-file"]);
        // FFmpeg leaves in packets what stands in front of them.
        same_packets(&whole_file(&output), &source, select);
        let mpd = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
        assert!(mpd.contains("cenc:default_KID=\"30313233-3435-3637-3839-303132333435\""), "{mpd}");
    }
    // In MP4, FFmpeg decrypts it with Chromium's key of this file.
    let output = dir.path().join("mp4");
    let mut command = kit::sv();
    command.args(["package", "--single-file", "--out"]).arg(&output);
    let made = command.arg(format!("in={},stream=video", source.display())).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pictures = kit::picture_hashes(&whole_file(&output), Some("ebdd62f16814d27b68ef122afce4ae3c"));
    assert_eq!(pictures.len(), packets(&source, "v:0").len());
}

#[test]
fn pictures_are_those_of_the_source() {
    let dir = tempfile::tempdir().unwrap();
    // A ladder of our own making: VP9 pictures and Opus sound, with an alignment of 40 ms.
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let output = dir.path().join("out");
    let mut command = kit::sv();
    command.args([
        "vod",
        "--format",
        "webm",
        "--codec",
        "vp9",
        "--preset",
        "fastest",
        "--single-file",
        "--out",
    ]);
    let made = command.arg(&output).arg(&source).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let names: Vec<_> =
        std::fs::read_dir(&output).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let picture = names.iter().find(|n| n.ends_with("p-vp9.webm")).unwrap_or_else(|| panic!("{names:?}"));
    let times = kit::picture_times(&output.join(picture));
    let wanted: Vec<_> = (0..75).map(|n| format!("{:.6}", f64::from(n) * 0.04)).collect();
    kit::same(&times, &wanted, "times of pictures");
    assert!(names.iter().any(|n| n.starts_with("audio-opus")), "{names:?}");
}

#[test]
fn a_killed_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 6) else { return };
    let output = dir.path().join("out");
    let more = ["--format", "webm", "--codec", "vp9", "--single-file"];
    let mut child = resume::interrupted(&source, &output, 4, &more);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut command = kit::sv();
    command.args(["vod", "--segment", "1s", "--preset", "balanced", "--out"]).arg(&output).arg(&source);
    let run = command.args(more).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("segments are kept"), "{said}");
    let wanted: Vec<_> = (0..150).map(|n| format!("{:.6}", f64::from(n) * 0.04)).collect();
    let mut compared = 0;
    for file in std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".webm") {
            elements(&file);
        }
        if name.ends_with("p-vp9.webm") {
            kit::same(&kit::picture_times(&file), &wanted, &name);
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn what_has_no_place_in_webm_is_refused_at_once() {
    let Some(source) = corpus("shaka/inputs/bear-640x360.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    for (more, said) in [
        (&[][..], "h264 has no place in WebM"),
        (&["--hls"], "HLS names no WebM"),
        (&["--encrypt", "cbcs"], "WebM is encrypted by cenc alone"),
        (&["--encrypt", "cenc", "--crypto-period", "1s"], "one key for a whole track"),
    ] {
        let mut command = kit::sv();
        command.env("SV_KEYS", format!("{0}:{0}", "1".repeat(32)));
        command.args(["package", "--format", "webm", "--out"]).arg(&output).arg(&source).args(more);
        let refused = command.output().unwrap();
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && text.contains(said), "{text}");
        assert!(!output.exists());
    }
}
