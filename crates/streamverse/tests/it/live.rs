//! `sv live`: what leaves in parts, what a killed run goes on with, and what a broken source becomes, judged by
//! FFmpeg.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sv_testkit::tool;

use crate::kit;

pub(crate) struct Live {
    child: Child,
    url: String,
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Live {
    pub(crate) fn start(input: &Path, out: &Path, stdin: Stdio, more: &[&str]) -> Self {
        let mut child = kit::sv()
            .arg("live")
            .arg(input)
            .arg("--out")
            .arg(out)
            .args(["--listen", "127.0.0.1:0"])
            .args(more)
            .env("SV_KEYS", format!("{KID}:{KEY}"))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|w| w.starts_with("http")).unwrap().to_owned();
        // Somebody has to read what it says.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, url }
    }

    /// What is answered to a request, in bytes.
    pub(crate) fn bytes(&self, path: &str) -> Result<Vec<u8>, ureq::Error> {
        ureq::get(format!("{}{path}", self.url)).call()?.body_mut().with_config().limit(1 << 30).read_to_vec()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path).unwrap()).unwrap()
    }

    pub(crate) fn wait(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

const KID: &str = "31323334353637383930313233343536";
const KEY: &str = "32333435363738393021323334353637";
const PICTURES: &str = "360p-h264";
const SOUND: &str = "audio-aac-6ch";

fn status(result: Result<Vec<u8>, ureq::Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(ureq::Error::StatusCode(code)) => code,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn parts_come_as_they_are_made_and_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 9) else { return };
    let out = dir.path().join("out");
    let live = Live::start(&source, &out, Stdio::null(), &["--event"]);

    // A request for a part that is not there yet is answered with the playlist that has it.
    let playlist = live.text(&format!("{PICTURES}.m3u8?_HLS_msn=1&_HLS_part=1"));
    assert!(playlist.contains(&format!("URI=\"{PICTURES}/1.1.m4s\"")), "{playlist}");
    assert!(!playlist.contains("1.m4s\n#EXTINF"), "{playlist}");
    let hint = playlist.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!live.bytes(hint).unwrap().is_empty());
    assert!(playlist.contains(&format!("RENDITION-REPORT:URI=\"{SOUND}.m3u8\"")), "{playlist}");
    assert!(
        playlist.contains("CAN-BLOCK-RELOAD=YES") && playlist.contains("PART-HOLD-BACK=1.5"),
        "{playlist}"
    );
    assert_eq!(status(live.bytes(&format!("{PICTURES}.m3u8?_HLS_msn=99"))), 400);
    assert_eq!(status(live.bytes(&format!("{PICTURES}/99.m4s"))), 404);
    assert_eq!(status(live.bytes(&format!("{PICTURES}.m3u8?_HLS_part=1"))), 400);
    for hidden in [".journal", "%2ejournal", "%2Emanifests"] {
        assert_eq!(status(live.bytes(hidden)), 404, "{hidden} is given away");
    }

    // A segment that is being made comes as it grows.
    let playlist = live.text(&format!("{PICTURES}.m3u8?_HLS_msn=2&_HLS_part=0"));
    assert!(playlist.contains("2.0.m4s"));
    let grown = live.bytes(&format!("{PICTURES}/2.m4s")).unwrap();
    live.text(&format!("{PICTURES}.m3u8?_HLS_msn=2"));
    assert_eq!(grown, fs::read(out.join(PICTURES).join("2.m4s")).unwrap());
    let parts = (0..5).map_while(|n| live.bytes(&format!("{PICTURES}/2.{n}.m4s")).ok());
    assert_eq!(parts.flatten().collect::<Vec<u8>>(), grown);

    // A manifest's patch is what the manifest became.
    let manifest = live.text("manifest.mpd");
    let published =
        |text: &str| text.split("publishTime=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    live.text(&format!("{PICTURES}.m3u8?_HLS_msn=3&_HLS_part=0"));
    let patch = live.text(&format!("manifest.mpp?publishTime={}", published(&manifest)));
    assert!(patch.contains(&format!("originalPublishTime=\"{}\"", published(&manifest))), "{patch}");
    assert!(patch.contains("SegmentTimeline/S[1]") && patch.len() < manifest.len(), "{patch}");
    assert_eq!(status(live.bytes("manifest.mpp?publishTime=2000-01-01T00:00:00.000Z")), 404);
    live.wait();

    // What is left is a recording of every picture, on the source's own clock.
    let joined = kit::joined(&out, PICTURES);
    kit::same(&kit::picture_hashes(&joined, None), &kit::picture_hashes(&source, None), "pictures");
    kit::same(&kit::picture_times(&joined), &kit::picture_times(&source), "times");
    let through = kit::picture_hashes(&out.join("master.m3u8"), None);
    kit::same(&through, &kit::picture_hashes(&source, None), "pictures through the playlist");
    let through = kit::picture_hashes(&out.join("manifest.mpd"), None);
    kit::same(&through, &kit::picture_hashes(&source, None), "pictures through the manifest");
}

/// `SV_KILLS` is how often; the moments are those at which a part has just come.
#[test]
fn a_killed_run_goes_on_in_the_same_presentation() {
    let kills: u64 = std::env::var("SV_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let dir = tempfile::tempdir().unwrap();
    let seconds = u32::try_from(kills).unwrap() * 2 + 4;
    let Some(source) = kit::source(dir.path(), seconds) else { return };
    let out = dir.path().join("out");
    let more = ["--event"];
    let (mut seen, mut parts) = (Vec::<String>::new(), Vec::new());
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..kills {
        let live = Live::start(&source, &out, Stdio::null(), &more);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = (seed >> 33) % 4;
        let segment = kill + 1;
        let playlist = live.text(&format!("{PICTURES}.m3u8?_HLS_msn={segment}&_HLS_part={part}"));
        let listed: Vec<String> = whole(&playlist);
        assert!(playlist.contains("#EXT-X-MEDIA-SEQUENCE:0\n"), "{playlist}");
        assert!(listed.starts_with(&seen), "what was listed is not: {seen:?} became {listed:?}");
        seen = listed;
        let name = format!("{PICTURES}/{segment}.{part}.m4s");
        parts.push((segment, live.bytes(&name).unwrap()));
    }
    Live::start(&source, &out, Stdio::null(), &more).wait();
    let playlist = fs::read_to_string(out.join(format!("{PICTURES}.m3u8"))).unwrap();
    assert!(whole(&playlist).starts_with(&seen) && playlist.ends_with("#EXT-X-ENDLIST\n"), "{playlist}");
    assert!(!playlist.contains("DISCONTINUITY"), "{playlist}");
    // Parts that clients had when it was killed are parts of what it became.
    for (segment, part) in parts {
        let file = fs::read(out.join(PICTURES).join(format!("{segment}.m4s"))).unwrap();
        assert!(file.windows(part.len()).any(|w| w == part), "a part of segment {segment} is not in it");
    }
    kit::same(
        &kit::picture_hashes(&kit::joined(&out, PICTURES), None),
        &kit::picture_hashes(&source, None),
        "pictures",
    );
}

/// (Without parts: FFmpeg 5.1 loses count of encrypted fragments that follow each other.)
#[test]
fn what_is_encrypted_decrypts_behind_a_kill_too() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 6) else { return };
    let out = dir.path().join("out");
    let more = ["--event", "--encrypt", "cenc", "--part", "0"];
    let live = Live::start(&source, &out, Stdio::null(), &more);
    let playlist = live.text(&format!("{PICTURES}.m3u8?_HLS_msn=1"));
    assert!(playlist.contains(&format!("KEYID=0x{KID}")) && !playlist.contains(KEY), "{playlist}");
    drop(live);
    Live::start(&source, &out, Stdio::null(), &more).wait();
    kit::same(&kit::segment_hashes(&out, PICTURES, KEY), &kit::picture_hashes(&source, None), "pictures");
}

/// The segments of a playlist with their lengths.
fn whole(playlist: &str) -> Vec<String> {
    let lines: Vec<&str> = playlist.lines().collect();
    lines.windows(2).filter(|w| w[0].starts_with("#EXTINF")).map(|w| w.join(" ")).collect()
}

pub(crate) fn stream(dir: &Path, name: &str, source: &Path, more: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let mut args = vec!["-v", "error", "-y", "-i", source.to_str().unwrap(), "-c", "copy"];
    args.extend(more);
    args.extend(["-f", "mpegts", path.to_str().unwrap()]);
    kit::run(&tool("ffmpeg").unwrap(), &args);
    path
}

/// Files one behind the other, as somebody writes them into a pipe.
pub(crate) fn pipe(files: &[&Path]) -> (Stdio, Child) {
    let mut cat = Command::new("cat").args(files).stdout(Stdio::piped()).spawn().unwrap();
    (cat.stdout.take().unwrap().into(), cat)
}

#[test]
fn a_pipe_whose_clock_jumps_becomes_three_stretches() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 6) else { return };
    let one = stream(dir.path(), "one.ts", &source, &[]);
    // The sender starts anew twice: once its clock is ahead by then, and once it is back.
    let two = stream(dir.path(), "two.ts", &source, &["-output_ts_offset", "5000"]);
    let out = dir.path().join("out");
    let (stdin, mut cat) = pipe(&[&one, &two, &one]);
    Live::start(Path::new("-"), &out, stdin, &["--event"]).wait();
    cat.wait().unwrap();
    let playlist = fs::read_to_string(out.join(format!("{PICTURES}.m3u8"))).unwrap();
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{playlist}");
    let sound = fs::read_dir(&out).unwrap().map(|e| e.unwrap().path());
    let sound = sound.filter(|p| p.to_string_lossy().ends_with("ch.m3u8")).collect::<Vec<_>>();
    let text = fs::read_to_string(&sound[0]).unwrap();
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{text}");
    // The second goes on where the first ends.
    let manifest = fs::read_to_string(out.join("manifest.mpd")).unwrap();
    let start = manifest.split("<Period id=\"1\" start=\"PT").nth(1).unwrap().split('S').next().unwrap();
    let start: f64 = start.parse().unwrap();
    assert!((5.9..6.2).contains(&start), "the second period starts at {start}");
    let wanted = [pictures(&one), pictures(&two), pictures(&one)].concat();
    kit::same(&pictures(&out.join("master.m3u8")), &wanted, "pictures through the playlist");
}

/// Every picture as it is decoded: FFmpeg else makes a second one, or leaves one out, where its clock rounds.
fn pictures(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let args =
        ["-v", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    kit::hashes(&kit::run(&tool("ffmpeg").unwrap(), &args))
}

#[test]
fn a_window_slides() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 30) else { return };
    let one = stream(dir.path(), "one.ts", &source, &[]);
    let out = dir.path().join("out");
    let (stdin, mut cat) = pipe(&[&one]);
    Live::start(Path::new("-"), &out, stdin, &["--window", "10s", "--part", "0"]).wait();
    cat.wait().unwrap();
    let playlist = fs::read_to_string(out.join(format!("{PICTURES}.m3u8"))).unwrap();
    assert!(playlist.contains("#EXT-X-MEDIA-SEQUENCE:10\n"), "{playlist}");
    assert_eq!(whole(&playlist).len(), 5, "{playlist}");
    assert!(!playlist.contains("EXT-X-PART"), "{playlist}");
    kit::same(&pictures(&out.join("master.m3u8")), &pictures(&one)[500..], "the last ten seconds");
}

#[test]
fn another_request_does_not_touch_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let out = dir.path().join("out");
    Live::start(&source, &out, Stdio::null(), &["--event"]).wait();
    let before = fs::read(out.join("master.m3u8")).unwrap();
    let args = ["live", source.to_str().unwrap(), "--out", out.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let output = kit::sv().args(args).args(["--segment", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("other inputs or options"), "{said}");
    assert_eq!(fs::read(out.join("master.m3u8")).unwrap(), before);
    // The same request finds it ended, and leaves it so.
    Live::start(&source, &out, Stdio::null(), &["--event"]).wait();
    assert_eq!(fs::read(out.join("master.m3u8")).unwrap(), before);
}

#[test]
fn a_stretch_is_harvested_while_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 12) else { return };
    let (out, cut) = (dir.path().join("out"), dir.path().join("cut"));
    let live = Live::start(&source, &out, Stdio::null(), &[]);
    for segment in 0..4 {
        live.text(&format!("{PICTURES}.m3u8?_HLS_msn={segment}"));
    }
    let args =
        ["harvest", out.to_str().unwrap(), "--out", cut.to_str().unwrap(), "--from", "3s", "--to", "6s"];
    kit::run(Path::new(env!("CARGO_BIN_EXE_sv")), &args);
    // Whole segments of two seconds: those from 2 s to 6 s.
    let wanted = &kit::picture_hashes(&source, None)[50..150];
    kit::same(&pictures(&cut.join("master.m3u8")), wanted, "pictures through the playlist");
    kit::same(&pictures(&cut.join("manifest.mpd")), wanted, "pictures through the manifest");
    let manifest = fs::read_to_string(cut.join("manifest.mpd")).unwrap();
    assert!(manifest.contains("type=\"static\"") && manifest.contains("start=\"PT0.000S\""), "{manifest}");
    let taken = kit::sv().args(args).output().unwrap();
    assert_eq!(taken.status.code(), Some(4));
    let other = dir.path().join("x");
    let none = ["harvest", out.to_str().unwrap(), "--out", other.to_str().unwrap(), "--from", "1h"];
    assert!(!kit::sv().args(none).output().unwrap().status.success());
    assert!(!other.exists() && !dir.path().join("x.partial").exists());
    drop(live);
}

/// Cues of a pipe: segments end at them, and playlists and manifests tell of them as long as the window holds them, also when
/// the run goes on after it was killed.
#[test]
fn a_live_source_tells_of_a_break() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = crate::cues::source(dir.path()) else { return };
    let out = dir.path().join("out");
    let options = [
        "--segment",
        "3s",
        "--event",
        "--emsg",
        "--interstitial",
        "https://ads.example/{event}-{seconds}.m3u8",
        "--captions",
        "extract",
    ];
    let live = Live::start(&source, &out, Stdio::null(), &options);
    // The departure at 4.2 s is known two seconds before: here, in the middle of the second segment.
    let early = live.text("180p-h264.m3u8?_HLS_msn=1&_HLS_part=0");
    assert!(early.contains("PLANNED-DURATION=3.000,SCTE35-OUT=0xFC30"), "{early}");
    let delta = live.text("180p-h264.m3u8?_HLS_msn=2&_HLS_part=0&_HLS_skip=YES");
    assert!(delta.contains("SCTE35-OUT=0xFC30"), "{delta}");
    let manifest = live.text("manifest.mpd");
    assert!(
        manifest.contains("<Event presentationTime=") && manifest.contains("<InbandEventStream"),
        "{manifest}"
    );
    let aside = dir.path().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("manifest.mpd"), &manifest).unwrap();
    kit::valid_dash(&aside.join("manifest.mpd"));
    let published = manifest.split("publishTime=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    drop(live);

    let live = Live::start(&source, &out, Stdio::null(), &options);
    let late = live.text("180p-h264.m3u8?_HLS_msn=3&_HLS_part=0");
    let ranges = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains(":ID=\"splice-")).map(str::to_owned).collect()
    };
    for text in [&early, &late] {
        let said = ",DURATION=3.000,X-ASSET-URI=\"https://ads.example/77-3.m3u8\",X-PLAYOUT-LIMIT=3.000,X-SNAP=\"OUT,IN\"\n";
        assert_eq!(text.matches(said).count(), 1, "{text}");
    }
    assert_eq!(ranges(&late).len(), 2, "{late}");
    assert_eq!(ranges(&late)[0], ranges(&early)[0], "what was told never changes");
    assert!(ranges(&late)[1].contains(",DURATION=3.000,SCTE35-IN=0xFC30"), "{late}");
    // A client that came with the first run's manifest hears of what is new.
    let patch = live.text(&format!("manifest.mpp?publishTime={published}"));
    assert!(!patch.contains("<Period"), "{patch}");
    live.wait();

    let whole = fs::read_to_string(out.join("180p-h264.m3u8")).unwrap();
    let lengths: Vec<f64> = whole
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse().ok())
        .collect();
    let wanted = [3.0, 1.2, 3.0, 3.0];
    assert!(lengths.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.001), "{whole}");
    // Text ends where pictures do, though nobody says anything.
    let text = fs::read_to_string(out.join("text-cc1.m3u8")).unwrap();
    let extinf = |text: &str| text.lines().filter(|line| line.starts_with("#EXTINF:")).count();
    assert!(text.contains("#EXTINF:1.200000,\n") && extinf(&text) == extinf(&whole), "{text}");
    assert_eq!(ranges(&whole), ranges(&late));
    let manifest = fs::read_to_string(out.join("manifest.mpd")).unwrap();
    assert_eq!(manifest.matches("<Event ").count(), 2, "{manifest}");
    kit::valid_dash(&out.join("manifest.mpd"));

    // Segments tell of each once, whichever run made them.
    let told = |n: u32| crate::cues::boxes(&out.join(format!("180p-h264/{n}.m4s")), b"emsg").len();
    assert_eq!((0..5).map(told).sum::<usize>(), 2);

    let best = dir.path().join("best");
    assert!(
        kit::sv()
            .arg("harvest")
            .arg(&out)
            .args(["--from", "4s", "--to", "7s", "--out"])
            .arg(&best)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(ranges(&fs::read_to_string(best.join("180p-h264.m3u8")).unwrap()).len(), 1);
}

/// Fast motion is a set of its own in DASH, and goes on behind a kill with the next key picture.
#[test]
fn key_pictures_are_fast_motion_in_dash() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 11) else { return };
    let out = dir.path().join("out");
    let more = ["--event", "--segment", "2s", "--trick-play", "1,2"];
    let live = Live::start(&source, &out, Stdio::null(), &more);
    live.text(&format!("{PICTURES}.m3u8?_HLS_msn=3&_HLS_part=0"));
    let manifest = live.text("manifest.mpd");
    let aside = dir.path().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("manifest.mpd"), &manifest).unwrap();
    kit::valid_dash(&aside.join("manifest.mpd"));
    let set = manifest.split("<AdaptationSet").find(|set| set.contains("trickmode")).unwrap();
    assert_eq!(set.matches("<Representation ").count(), 2, "{set}");
    assert!(!set.contains("availabilityTimeOffset") && set.contains("codingDependency=\"false\""), "{set}");
    let master = live.text("master.m3u8");
    assert!(!master.contains("trick") && master.contains("I-FRAME-STREAM-INF"), "{master}");
    assert!(!live.text(&format!("{SOUND}.m3u8")).contains("trick"));
    assert_eq!(status(live.bytes(&format!("{PICTURES}-trick.m3u8"))), 404);
    drop(live);
    Live::start(&source, &out, Stdio::null(), &more).wait();

    let keys = ["-v", "error", "-skip_frame", "nokey", "-i", source.to_str().unwrap(), "-map", "0:v:0"];
    let rest = ["-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let keys = kit::hashes(&kit::run(&tool("ffmpeg").unwrap(), &[&keys[..], &rest[..]].concat()));
    assert_eq!(keys.len(), 6);
    kit::same(&pictures(&kit::joined(&out, &format!("{PICTURES}-trick"))), &keys, "key pictures");
    let second: Vec<String> = keys.iter().step_by(2).cloned().collect();
    kit::same(
        &pictures(&kit::joined(&out, &format!("{PICTURES}-trick2"))),
        &second,
        "every second key picture",
    );
    kit::valid_dash(&out.join("manifest.mpd"));
}
