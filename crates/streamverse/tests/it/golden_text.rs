//! shaka-packager's text: the same words at the same times, in the same segments, of the same files.

use std::path::{Path, PathBuf};

use streamverse::container::{mp4, ttml, webvtt};
use streamverse::core::{Bytes, Codec, Item, Limits, Source as _, TimeBase};
use sv_testkit::corpus;

use crate::kit;

/// Of each segment, what is said in it and when, in milliseconds.
type Said = Vec<Vec<(i64, i64, String)>>;

fn numbered(folder: &Path, name: impl Fn(usize) -> String, first: usize) -> Vec<Vec<u8>> {
    (first..).map_while(|n| std::fs::read(folder.join(name(n))).ok()).collect()
}

fn cues(document: &webvtt::Document) -> Vec<(i64, i64, String)> {
    document.cues().map(|cue| (cue.start.ticks(), cue.end.ticks(), cue.text.clone())).collect()
}

fn plain(text: &[u8]) -> Vec<(i64, i64, String)> {
    match webvtt::parse(text, &Limits::default()) {
        Ok(document) => cues(&document),
        Err(_) => cues(&ttml::Document::parse(text, &Limits::default()).unwrap().to_webvtt()),
    }
}

/// What is said in a segment of MP4 behind its initialisation. Documents say when themselves.
fn in_mp4(init: &[u8], segment: &[u8]) -> Vec<(i64, i64, String)> {
    let source = std::sync::Arc::new(Bytes::from([init, segment].concat()));
    let mut demuxer = mp4::Demuxer::open(source, Limits::default()).unwrap();
    let track = demuxer.tracks()[0].clone();
    let mut out = Vec::new();
    while let Some(item) = demuxer.next_item().unwrap() {
        let Item::Packet(packet) = item else { continue };
        if track.codec == Codec::Ttml {
            out.extend(plain(&packet.data));
            continue;
        }
        let ms = |at: streamverse::core::Timestamp| at.rescale(track.time_base, TimeBase::MILLIS).ticks();
        let end = packet.pts.saturating_add(packet.duration);
        out.push((ms(packet.pts), ms(end), webvtt::sample::cue(&packet.data).text));
    }
    out
}

fn package(inputs: &[String], options: &[&str], output: &Path) {
    let mut command = kit::sv();
    command
        .args(["package", "--segment", "1s", "--dash"])
        .args(options)
        .arg("--out")
        .arg(output)
        .args(inputs);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{inputs:?}: {}", String::from_utf8_lossy(&made.stderr));
}

fn case(name: &str) -> Option<(PathBuf, PathBuf)> {
    Some((corpus(&format!("shaka/golden/{name}"))?, corpus("shaka/inputs")?))
}

fn compare(ours: Said, theirs: Said) {
    assert!(!theirs.is_empty());
    assert_eq!(ours, theirs);
}

#[test]
fn segmented_webvtt_text() {
    let Some((golden, inputs)) = case("segmented-webvtt-text") else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    package(&[inputs.join("bear-english.vtt").display().to_string()], &["--text", "segments"], &out);
    let read = |folder: &Path, name: fn(usize) -> String, first| {
        numbered(folder, name, first).iter().map(|text| plain(text)).collect::<Said>()
    };
    compare(
        read(&out, |n| format!("text/{n}.vtt"), 0),
        read(&golden, |n| format!("bear-english-text-{n}.vtt"), 1),
    );
}

#[test]
fn segmented_ttml_text() {
    let Some((golden, inputs)) = case("segmented-ttml-text") else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let input = format!("in={},format=ttml", inputs.join("bear-english.vtt").display());
    package(&[input], &["--text", "segments"], &out);
    let read = |folder: &Path, name: fn(usize) -> String, first| {
        numbered(folder, name, first).iter().map(|text| plain(text)).collect::<Said>()
    };
    compare(
        read(&out, |n| format!("text/{n}.ttml"), 0),
        read(&golden, |n| format!("bear-english-text-{n}.ttml"), 1),
    );
    let manifest = std::fs::read_to_string(out.join("manifest.mpd")).unwrap();
    assert!(manifest.contains("mimeType=\"application/ttml+xml\""), "{manifest}");
}

#[test]
fn segmented_ttml_mp4() {
    let Some((golden, inputs)) = case("segmented-ttml-mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let input = format!("in={},format=ttml", inputs.join("bear-english.vtt").display());
    package(&[input], &["--text", "mp4"], &out);
    let init = std::fs::read(golden.join("bear-english-text-init.mp4")).unwrap();
    let theirs = numbered(&golden, |n| format!("bear-english-text-{n}.m4s"), 1);
    let ours_init = std::fs::read(out.join("text/init.mp4")).unwrap();
    let ours = numbered(&out, |n| format!("text/{n}.m4s"), 0);
    compare(
        ours.iter().map(|segment| in_mp4(&ours_init, segment)).collect(),
        theirs.iter().map(|segment| in_mp4(&init, segment)).collect(),
    );
}

/// It goes on to the end of the last word, where we stop with the pictures; and it rounds the cue, which stands at
/// 2.002 s, down to a millisecond less. What both have in common must be the same, sample by sample.
#[test]
fn vtt_text_to_mp4() {
    let Some((golden, inputs)) = case("vtt-text-to-mp4-with-ad-cues") else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let file = |name: &str| inputs.join(name).display().to_string();
    let options = ["--hls", "--text", "mp4", "--ad-cues", "1.5"];
    package(&[file("bear-640x360.mp4"), file("bear-english.vtt")], &options, &out);
    let init = std::fs::read(golden.join("bear-english-text-init.mp4")).unwrap();
    let theirs = numbered(&golden, |n| format!("bear-english-text-{n}.m4s"), 1);
    let ours_init = std::fs::read(out.join("text/init.mp4")).unwrap();
    let ours = numbered(&out, |n| format!("text/{n}.m4s"), 0);
    assert_eq!(
        ours.len(),
        4,
        "three segments before the end of the pictures, and a short one before the cue"
    );
    // All times in seconds: the cue is off by a millisecond.
    let end = 2739;
    let common = |segments: &[Vec<u8>], init: &[u8]| -> Said {
        let all = segments.iter().take(4).map(|segment| in_mp4(init, segment));
        let near = |at: i64| if at == 2001 { 2002 } else { at.min(end) };
        all.map(|cues| cues.into_iter().map(|(from, to, text)| (near(from), near(to), text)).collect())
            .collect()
    };
    compare(common(&ours, &ours_init), common(&theirs, &init));
    let playlist = std::fs::read_to_string(out.join("text.m3u8")).unwrap();
    let (before, behind) = playlist.split_once("#EXT-X-PLACEMENT-OPPORTUNITY\n").unwrap();
    assert_eq!((before.matches("#EXTINF").count(), behind.matches("#EXTINF").count()), (3, 1));
}

#[test]
fn ttml_beside_pictures_and_sound() {
    for name in ["video-audio-ttml", "forced-commandline-ordering-ttml"] {
        let Some((golden, inputs)) = case(name) else { return };
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let file = |name: &str| inputs.join(name).display().to_string();
        package(&[file("bear-640x360.mp4"), file("bear-english.ttml")], &["--text", "file"], &out);
        let theirs = std::fs::read_to_string(golden.join("bear-english-text.ttml")).unwrap();
        let manifest = std::fs::read_to_string(out.join("manifest.mpd")).unwrap();
        let set = manifest.split("<AdaptationSet").find(|set| set.contains("contentType=\"text\"")).unwrap();
        assert!(set.contains("mimeType=\"application/ttml+xml\"") && !set.contains("codecs="), "{set}");
        let path = set.split("<BaseURL>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
        assert_eq!(std::fs::read_to_string(out.join(path)).unwrap(), theirs);
    }
}
