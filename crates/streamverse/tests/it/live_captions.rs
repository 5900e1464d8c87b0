//! Text of `sv live`: captions of its pictures and tracks of its sources, judged by FFmpeg.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use streamverse::container::{mp4, webvtt};
use streamverse::core::{Bytes, Item, Limits, Source as _, TimeBase};
use sv_testkit::tool;

use crate::captions::{bare, captioned, line_21, script};
use crate::kit;
use crate::live::{Live, pipe, stream};

/// Ten seconds of pictures with captions of line 21.
fn film(dir: &Path) -> Option<PathBuf> {
    captioned(dir, &line_21(&script()))
}

/// The words and times of a rendition of `.vtt` segments: pieces of a cue that was cut where a segment ends are one.
fn said(out: &Path, name: &str) -> Vec<(i64, i64, String)> {
    let text = |n: usize| fs::read(out.join(name).join(format!("{n}.vtt"))).ok();
    let files = (0..).map_while(text).map(|raw| webvtt::parse(&raw, &Limits::default()).unwrap());
    let cues = files.flat_map(|file| file.cues().cloned().collect::<Vec<_>>());
    joined(cues.map(|cue| (cue.start.ticks(), cue.end.ticks(), bare(&cue.text))))
}

/// The same of segments of MP4.
fn said_in_mp4(out: &Path, name: &str) -> Vec<(i64, i64, String)> {
    let file: Arc<Bytes> = Arc::new(fs::read(kit::joined(out, name)).unwrap().into());
    let mut demuxer = mp4::Demuxer::open(file, Limits::default()).unwrap();
    let mut cues = Vec::new();
    while let Some(item) = demuxer.next_item().unwrap() {
        let Item::Packet(packet) = item else { continue };
        let (start, end) = (packet.pts.ticks(), packet.pts.saturating_add(packet.duration).ticks());
        cues.push((start, end, bare(&webvtt::sample::cue(&packet.data).text)));
    }
    assert_eq!(demuxer.tracks()[0].time_base, TimeBase::MILLIS);
    joined(cues)
}

fn joined(cues: impl IntoIterator<Item = (i64, i64, String)>) -> Vec<(i64, i64, String)> {
    let mut out: Vec<(i64, i64, String)> = Vec::new();
    for (start, end, text) in cues {
        match out.iter_mut().find(|(_, to, before)| *before == text && *to >= start) {
            Some((_, to, _)) => *to = end.max(*to),
            None => out.push((start, end, text)),
        }
    }
    out
}

/// How long each segment of a playlist is, in milliseconds.
fn lengths(playlist: &str) -> Vec<i64> {
    let lengths = playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next());
    lengths.map(|text| (text.parse::<f64>().unwrap() * 1000.0).round() as i64).collect()
}

fn ffmpeg_says(ffmpeg: &Path, source: &Path) -> Vec<(i64, i64, String)> {
    let graph = format!("movie={}[out+subcc]", source.display());
    let args = ["-v", "error", "-f", "lavfi", "-i", &graph, "-map", "0:s", "-f", "srt", "-"];
    let theirs = webvtt::parse_srt(kit::run(ffmpeg, &args).as_bytes(), &Limits::default()).unwrap();
    theirs.cues().map(|cue| (cue.start.ticks(), cue.end.ticks(), bare(&cue.text))).collect()
}

fn valid(dir: &Path, manifest: &str) {
    let aside = dir.join("aside");
    fs::create_dir_all(&aside).unwrap();
    fs::write(aside.join("manifest.mpd"), manifest).unwrap();
    kit::valid_dash(&aside.join("manifest.mpd"));
}

/// Text is there with each segment of pictures, also where nothing is said, and behind a kill: with words that were sent
/// before it and are shown after it.
#[test]
fn live_captions_are_text_beside_the_pictures() {
    let Some(ffmpeg) = tool("ffmpeg") else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = film(dir.path()) else { return };
    let out = dir.path().join("out");
    let more = ["--event", "--segment", "3s", "--captions", "extract"];
    let live = Live::start(&source, &out, Stdio::null(), &more);
    let early = live.text("text-cc1.m3u8?_HLS_msn=0");
    assert_eq!(lengths(&early), [3000], "{early}");
    assert!(early.contains("CAN-BLOCK-RELOAD=YES") && !early.contains("EXT-X-PART"), "{early}");
    assert!(!early.contains("PART-HOLD-BACK"), "{early}");
    assert!(early.contains("RENDITION-REPORT:URI=\"180p-h264.m3u8\",LAST-MSN="), "{early}");
    let pictures = live.text("180p-h264.m3u8");
    assert!(pictures.contains("RENDITION-REPORT:URI=\"text-cc1.m3u8\",LAST-MSN="), "{pictures}");
    assert!(!pictures.contains("text-cc1-mp4"), "{pictures}");
    let master = live.text("master.m3u8");
    for said in [
        "TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=\"CC1\"",
        "URI=\"text-cc1.m3u8\"",
        "INSTREAM-ID=\"CC1\"",
        ",CLOSED-CAPTIONS=\"cc\"",
    ] {
        assert_eq!(master.matches(said).count(), 1, "{said} in {master}");
    }
    let manifest = live.text("manifest.mpd");
    assert!(manifest.contains("codecs=\"wvtt\"") && manifest.contains("value=\"CC1=und\""), "{manifest}");
    valid(dir.path(), &manifest);
    drop(live);

    Live::start(&source, &out, Stdio::null(), &more).wait();
    let whole = |name: &str| fs::read_to_string(out.join(format!("{name}.m3u8"))).unwrap();
    assert_eq!(lengths(&whole("text-cc1")), lengths(&whole("180p-h264")));
    assert!(whole("text-cc1").ends_with("#EXT-X-ENDLIST\n") && !out.join("text-cc1-mp4.m3u8").exists());
    let manifest = fs::read_to_string(out.join("manifest.mpd")).unwrap();
    valid(dir.path(), &manifest);
    let (ours, theirs) = (said(&out, "text-cc1"), ffmpeg_says(&ffmpeg, &source));
    let words = |cues: &[(i64, i64, String)]| cues.iter().map(|cue| cue.2.clone()).collect::<Vec<_>>();
    assert_eq!(words(&ours), words(&theirs));
    for (ours, theirs) in ours.iter().zip(&theirs).take(3) {
        assert!(
            (ours.0 - theirs.0).abs() <= 70 && (ours.1 - theirs.1).abs() <= 70,
            "{ours:?} and {theirs:?}"
        );
    }
    assert_eq!(said_in_mp4(&out, "text-cc1-mp4"), ours);

    // A stretch of it has its words too.
    let best = dir.path().join("best");
    let args = ["--from", "2s", "--to", "6s", "--out", best.to_str().unwrap()];
    assert!(kit::sv().arg("harvest").arg(&out).args(args).status().unwrap().success());
    assert_eq!(lengths(&fs::read_to_string(best.join("text-cc1.m3u8")).unwrap()), [3000, 3000]);
    assert!(best.join("text-cc1/1.vtt").exists() && best.join("text-cc1-mp4/init.mp4").exists());
}

/// Captions of a pipe are told with its first segment, and text breaks where pictures do.
#[test]
fn captions_of_a_pipe_that_breaks() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = film(dir.path()) else { return };
    let one = stream(dir.path(), "one.ts", &source, &[]);
    let two = stream(dir.path(), "two.ts", &source, &["-output_ts_offset", "5000"]);
    let out = dir.path().join("out");
    let (stdin, mut cat) = pipe(&[&one, &two]);
    Live::start(Path::new("-"), &out, stdin, &["--event"]).wait();
    cat.wait().unwrap();
    let master = fs::read_to_string(out.join("master.m3u8")).unwrap();
    assert!(master.contains("INSTREAM-ID=\"CC1\"") && !master.contains("SUBTITLES"), "{master}");

    let out = dir.path().join("text");
    let (stdin, mut cat) = pipe(&[&one, &two]);
    let more = ["--event", "--captions", "extract", "--channels", "CC1=en", "--text", "mp4"];
    Live::start(Path::new("-"), &out, stdin, &more).wait();
    cat.wait().unwrap();
    let playlist = |name: &str| fs::read_to_string(out.join(format!("{name}.m3u8"))).unwrap();
    let (text, pictures) = (playlist("text-cc1"), playlist("180p-h264"));
    assert_eq!(lengths(&text), lengths(&pictures));
    let before = |text: &str| text.split("#EXT-X-DISCONTINUITY\n").next().unwrap().matches("#EXTINF").count();
    assert_eq!(before(&text), before(&pictures));
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    let master = playlist("master");
    assert!(master.contains("NAME=\"CC1\"") && master.contains("LANGUAGE=\"en\""), "{master}");
    assert!(master.contains("wvtt\"") && master.contains("INSTREAM-ID=\"CC1\""), "{master}");
    valid(dir.path(), &fs::read_to_string(out.join("manifest.mpd")).unwrap());
    let first = said_in_mp4(&out, "text-cc1");
    let words: Vec<&str> = first.iter().map(|cue| cue.2.as_str()).collect();
    assert_eq!(words[..2], ["Hello, you\ncaÉ", "♪ la la"], "{words:?}");
}

/// Subtitles of a file are shown as they happen, and words that are shown for long are in each segment of their time.
#[test]
fn a_text_track_of_a_file_is_shown_live() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let srt = dir.path().join("words.srt");
    let words = [(500, 1500, "early"), (1800, 5200, "long"), (6100, 6400, "late")];
    let clock = |ms: i64| format!("00:00:{:02},{:03}", ms / 1000, ms % 1000);
    let line =
        |(from, to, text): &(i64, i64, &str)| format!("1\n{} --> {}\n{text}\n", clock(*from), clock(*to));
    fs::write(&srt, words.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let film: PathBuf = dir.path().join("film.mkv");
    let args = [
        "-v",
        "error",
        "-i",
        source.to_str().unwrap(),
        "-i",
        srt.to_str().unwrap(),
        "-map",
        "0",
        "-map",
        "1",
    ];
    let more = ["-c", "copy", "-c:s", "srt", "-metadata:s:s:0", "language=eng", film.to_str().unwrap()];
    kit::run(&tool("ffmpeg").unwrap(), &[&args[..], &more[..]].concat());
    let out = dir.path().join("out");
    let live = Live::start(&film, &out, Stdio::null(), &["--event"]);
    live.text("text-en.m3u8?_HLS_msn=1");
    drop(live);
    Live::start(&film, &out, Stdio::null(), &["--event"]).wait();
    // Matroska's timeline begins with the sound, and pictures and words a little later.
    let first = kit::picture_times(&film)[0].parse::<f64>().unwrap();
    let late = (first * 1000.0).round() as i64;
    let wanted: Vec<_> = words.map(|(from, to, text)| (from + late, to + late, text.to_owned())).into();
    assert_eq!(said(&out, "text-en"), wanted);
    assert_eq!(said_in_mp4(&out, "text-en-mp4"), wanted);
    let middle = fs::read_to_string(out.join("text-en/1.vtt")).unwrap();
    assert!(middle.contains("long") && !middle.contains("early"), "{middle}");
    let master = fs::read_to_string(out.join("master.m3u8")).unwrap();
    assert!(master.contains("TYPE=SUBTITLES") && master.contains("LANGUAGE=\"en\""), "{master}");
    valid(dir.path(), &fs::read_to_string(out.join("manifest.mpd")).unwrap());
}
