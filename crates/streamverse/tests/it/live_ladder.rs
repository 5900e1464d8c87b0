//! `sv gateway --ladder`: rungs that are made below what FFmpeg sends, judged by FFmpeg.

use std::path::{Path, PathBuf};

use sv_testkit::tool;

use crate::gateway::{Gateway, only};
use crate::kit;

/// A film with a key frame every 45 pictures, whose pictures are each of another brightness than the next ones: at
/// another moment than its own, none could be taken for it.
fn film(dir: &Path, name: &str, (size, seconds): (&str, u32), more: &[&str]) -> Option<PathBuf> {
    let pictures = format!(
        "testsrc2=size={size}:rate=30:duration={seconds},eq=brightness='0.08*(mod(n,7)-3)':eval=frame,format=yuv420p"
    );
    let sound = format!("sine=duration={seconds}");
    let inputs = ["-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound];
    let coding = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-sc_threshold",
        "0",
        "-g",
        "45",
        "-b:v",
        "4M",
        "-c:a",
        "aac",
        "-ac",
        "2",
    ];
    kit::make(dir, name, &[&inputs[..], &coding, more].concat())
}

/// The worst of a rung's pictures beside the same ones of the source, scaled: PSNR in dB, and how many were compared.
fn worst(source: &Path, rung: &Path, (w, h): (u32, u32)) -> (f64, usize) {
    // One beside the other by their numbers: two files need not begin at the same fraction of a picture.
    let compare = format!(
        "[0:v]settb=1/30,setpts=N,scale={w}:{h}:flags=bicubic[a];[1:v]settb=1/30,setpts=N[b];[a][b]psnr=stats_file=-:shortest=1"
    );
    let inputs = ["-v", "error", "-i", source.to_str().unwrap(), "-i", rung.to_str().unwrap()];
    let said =
        kit::run(&tool("ffmpeg").unwrap(), &[&inputs[..], &["-lavfi", &compare, "-f", "null", "-"]].concat());
    let all: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split_once("psnr_y:")?.1.split(' ').next()?.parse().ok())
        .collect();
    (all.iter().copied().fold(f64::INFINITY, f64::min), all.len())
}

/// How long each segment of a playlist is.
fn segments(playlist: &str) -> Vec<f64> {
    let lengths =
        playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse().ok());
    lengths.collect()
}

/// Names of the pictures that a playlist of playlists names.
fn variants(master: &str) -> Vec<String> {
    let names =
        master.lines().filter_map(|line| line.strip_suffix(".m3u8").filter(|name| !name.starts_with('#')));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Asserts that pictures follow each other as those of the source do, to the milliseconds of files.
fn same_times(rung: &Path, source: &Path) {
    let relative = |path: &Path| {
        let times: Vec<f64> = kit::picture_times(path).iter().map(|at| at.parse().unwrap()).collect();
        times.iter().map(|at| at - times[0]).collect::<Vec<f64>>()
    };
    let keys = |path: &Path| {
        let keys = kit::key_times(path);
        keys.iter().map(|at| (at - keys[0]) as f64 / 1000.0).collect::<Vec<f64>>()
    };
    for (own, wanted) in [(relative(rung), relative(source)), (keys(rung), keys(source))] {
        let apart = own.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(own.len() == wanted.len() && apart < 0.0025, "{}: {own:?} {wanted:?}", rung.display());
    }
}

/// The runs of a rendition between its discontinuities, each as a file.
fn runs(kept: &Path, name: &str) -> Vec<PathBuf> {
    let playlist = std::fs::read_to_string(kept.join(format!("{name}.m3u8"))).unwrap();
    let bytes = |path: &str| std::fs::read(kept.join(path)).unwrap();
    let runs = playlist.split("#EXT-X-DISCONTINUITY\n").enumerate();
    runs.map(|(n, run)| {
        let init = run.split("#EXT-X-MAP:URI=\"").nth(1).unwrap().split('"').next().unwrap();
        let segments = run.lines().filter(|line| !line.starts_with('#') && line.ends_with(".m4s"));
        let path = kept.parent().unwrap().parent().unwrap().join(format!("{name}-{n}.mp4"));
        std::fs::write(&path, std::iter::once(init).chain(segments).flat_map(bytes).collect::<Vec<u8>>())
            .unwrap();
        path
    })
    .collect()
}

fn rungs(event: &serde_json::Value) -> Vec<&str> {
    event["rungs"].as_array().unwrap().iter().map(|rung| rung.as_str().unwrap()).collect()
}

#[test]
fn rungs_have_the_sources_pictures_keys_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), "film.mp4", ("1280x720", 9), &["-bf", "2"]) else { return };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "2s", "--ladder"]);
    let mut sender = gateway.send(&film, "studio", &["-re"]);
    let event = gateway.until("live.ladder.started");
    let below = [("480p-h264", (854, 480)), ("360p-h264", (640, 360)), ("240p-h264", (426, 240))];
    assert_eq!(rungs(&event), below.map(|(name, _)| name), "{event}");
    gateway.until("live.presentation.started");
    let master = gateway.text("studio/master.m3u8");
    let mut names: Vec<&str> = below.iter().map(|(name, _)| *name).chain(["720p-h264"]).collect();
    names.sort_unstable();
    assert_eq!(variants(&master), names, "{master}");
    let streams: serde_json::Value = serde_json::from_str(&gateway.text("streams")).unwrap();
    let told = &streams[0]["ladder"];
    assert_eq!((&told["rungs"][0]["name"], &told["rungs"][0]["given_up"]), (&"480p-h264".into(), &().into()));
    assert_eq!(told["lost"], 0, "{streams}");
    assert!(gateway.text("metrics").contains("sv_ladder_rungs{stream=\"studio\"} 3\n"));
    assert!(sender.wait().unwrap().success());
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    let source = kit::joined(&kept, "720p-h264");
    kit::same(
        &kit::picture_hashes(&source, None),
        &kit::picture_hashes(&film, None),
        "what is passed through",
    );
    let playlist = |name: &str| std::fs::read_to_string(kept.join(format!("{name}.m3u8"))).unwrap();
    let lengths = segments(&playlist("720p-h264"));
    assert!(lengths.len() >= 3, "{lengths:?}");
    let (times, keys) = (kit::picture_times(&source), kit::key_times(&source));
    assert_eq!(keys.len(), 6, "{keys:?}");
    for (name, size) in below {
        let rung = kit::joined(&kept, name);
        same_times(&rung, &source);
        let own = segments(&playlist(name));
        let apart = own.iter().zip(&lengths).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(own.len() == lengths.len() && apart < 0.002, "{name}: {own:?} {lengths:?}");
        let (psnr, pictures) = worst(&film, &rung, size);
        assert!(psnr > 26.0 && pictures == times.len(), "{name}: {psnr} dB in the worst of {pictures}");
    }
    // All of it is a presentation that others read.
    kit::valid_dash(&kept.join("manifest.mpd"));
}

#[test]
fn a_small_source_has_no_rungs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), "film.mp4", ("320x240", 4), &[]) else { return };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "2s", "--ladder", "auto"]);
    assert!(gateway.send(&film, "studio", &["-re"]).wait().unwrap().success());
    let event = gateway.until("live.ladder.started");
    assert_eq!(rungs(&event), [""; 0], "{event}");
    gateway.until("live.presentation.ended");
    let master = std::fs::read_to_string(only(&out.join("studio")).join("master.m3u8")).unwrap();
    assert_eq!(variants(&master), ["240p-h264"]);
}

#[test]
fn rungs_go_on_when_somebody_smaller_sends() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(large), Some(small)) = (
        film(dir.path(), "large.mp4", ("1280x720", 5), &["-bf", "0"]),
        film(dir.path(), "small.mp4", ("640x360", 5), &["-bf", "2"]),
    ) else {
        return;
    };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "4s", "--ladder"]);
    for film in [&large, &small] {
        assert!(gateway.send(film, "studio", &["-re"]).wait().unwrap().success());
        gateway.until("live.stream.ended");
    }
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    let sizes = |name: &str| {
        let asked = [
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-count_frames",
            "-show_entries",
            "stream=width,height,nb_read_frames",
            "-of",
            "csv=p=0",
        ];
        let ask = |path: PathBuf| {
            let said = kit::run(&tool("ffprobe").unwrap(), &[&asked[..], &[path.to_str().unwrap()]].concat());
            said.trim().trim_end_matches(',').to_owned()
        };
        runs(&kept, name).into_iter().map(ask).collect::<Vec<String>>()
    };
    let expect = |first: &str, second: &str| [format!("{first},150"), format!("{second},150")];
    assert_eq!(sizes("720p-h264"), expect("1280,720", "640,360"));
    assert_eq!(sizes("480p-h264"), expect("854,480", "640,360"));
    assert_eq!(sizes("240p-h264"), expect("426,240", "426,240"));
    let playlists = ["720p-h264", "480p-h264", "360p-h264", "240p-h264"]
        .map(|name| std::fs::read_to_string(kept.join(format!("{name}.m3u8"))).unwrap());
    for playlist in &playlists {
        assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
        assert_eq!(segments(playlist).len(), segments(&playlists[0]).len(), "{playlist}");
    }
    kit::valid_dash(&kept.join("manifest.mpd"));
}

/// A rung that no machine of today makes in time on one thread.
const TOO_MUCH: &str = r#"
[[rungs]]
name = "much"
width = 1200
height = 676
codec = "hevc"
bitrate = 2000000
max_bitrate = 3000000
crf = 20.0
effort = "best"

[[rungs]]
name = "little"
width = 426
height = 240
codec = "h264"
bitrate = 1000000
max_bitrate = 1500000
crf = 18.0
effort = "fastest"
"#;

#[test]
fn a_rung_that_cant_keep_up_is_given_up_and_nobody_else_notices() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), "film.mp4", ("1280x720", 24), &["-bf", "0"]) else { return };
    let (out, ladder) = (dir.path().join("out"), dir.path().join("ladder.toml"));
    std::fs::write(&ladder, TOO_MUCH).unwrap();
    let more = ["--linger", "2s", "--ladder", ladder.to_str().unwrap()];
    let mut gateway = Gateway::start(&out, &more);
    let mut sender = gateway.send(&film, "studio", &["-re"]);
    assert_eq!(rungs(&gateway.until("live.ladder.started")), ["676p-hevc", "240p-h264"]);
    let event = gateway.until("live.ladder.dropped");
    assert_eq!(event["rung"], "676p-hevc", "{event}");
    // The other one waits for nobody any more: both have what comes next.
    let master = gateway.text("studio/master.m3u8");
    assert_eq!(variants(&master), ["240p-h264", "720p-h264"], "{master}");
    let gone = ureq::get(gateway.web("studio/676p-hevc.m3u8")).call();
    assert!(matches!(gone, Err(ureq::Error::StatusCode(404))), "{gone:?}");
    let streams: serde_json::Value = serde_json::from_str(&gateway.text("streams")).unwrap();
    let reason = streams[0]["ladder"]["rungs"][0]["given_up"].as_str().unwrap();
    assert!(reason.starts_with("the machine can't keep up"), "{streams}");
    assert!(sender.wait().unwrap().success());
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    kit::same(
        &kit::picture_hashes(&kit::joined(&kept, "720p-h264"), None),
        &kit::picture_hashes(&film, None),
        "what is passed through",
    );
    let rung = kit::joined(&kept, "240p-h264");
    let (psnr, pictures) = worst(&film, &rung, (426, 240));
    assert!(psnr > 26.0 && pictures == 24 * 30, "{psnr} dB in the worst of {pictures}");
    // What has ended is no rung that is given up.
    let master = std::fs::read_to_string(kept.join("master.m3u8")).unwrap();
    assert_eq!(variants(&master), ["240p-h264", "720p-h264"], "{master}");
    assert!(!kept.join("676p-hevc.m3u8").exists());
    kit::valid_dash(&kept.join("manifest.mpd"));
}

#[test]
fn a_gateway_that_goes_on_has_the_same_rungs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), "film.mp4", ("640x360", 6), &["-bf", "0"]) else { return };
    let keys = dir.path().join("keys.toml");
    let text = |ladder: &str| {
        format!("[[stream]]\nname = \"studio\"\nkey = \"a-key-of-many-letters\"\nladder = \"{ladder}\"\n")
    };
    let out = dir.path().join("out");
    std::fs::write(&keys, text("auto")).unwrap();
    let more = ["--linger", "60s", "--stream-keys", keys.to_str().unwrap()];
    let mut gateway = Gateway::start(&out, &more);
    let key = "a-key-of-many-letters";
    let mut sender = gateway.send(&film, key, &["-re"]);
    gateway.until("live.presentation.started");
    let _ = gateway.text("studio/240p-h264.m3u8?_HLS_msn=1");
    drop(gateway);
    let _ = sender.wait();
    let mut gateway = Gateway::start(&out, &[&more[2..], &["--linger", "6s"]].concat());
    assert!(gateway.send(&film, key, &["-re"]).wait().unwrap().success());
    assert_eq!(rungs(&gateway.until("live.ladder.started")), ["240p-h264"]);
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    for name in ["360p-h264", "240p-h264"] {
        let playlist = std::fs::read_to_string(kept.join(format!("{name}.m3u8"))).unwrap();
        assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
        assert!(kit::times(&kept.join(format!("{name}.m3u8")), "v:0").len() >= 180 + 60);
    }
    kit::valid_dash(&kept.join("manifest.mpd"));
    // A file that is none is told of before anybody can send.
    std::fs::write(&keys, text("no such file")).unwrap();
    let wrong =
        kit::sv().args(["gateway", "--stream-keys"]).arg(&keys).arg("--out").arg(&out).output().unwrap();
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("no such file"));
}

#[test]
fn hevc_has_rungs_of_h264() {
    let dir = tempfile::tempdir().unwrap();
    let Some(ffmpeg) = sv_testkit::ffmpeg9().map(PathBuf::from) else { return };
    let film = dir.path().join("film.mp4");
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=25:duration=6",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=6",
    ];
    let coding =
        ["-c:v", "libx265", "-preset", "ultrafast", "-g", "40", "-tag:v", "hvc1", "-pix_fmt", "yuv420p"];
    let more = ["-x265-params", "log-level=error:scenecut=0", "-b:v", "2M", "-c:a", "libopus", "-ac", "2"];
    kit::run(&ffmpeg, &[&["-v", "error"][..], &inputs, &coding, &more, &[film.to_str().unwrap()]].concat());
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "2s", "--ladder"]);
    let url = gateway.url("studio");
    kit::run(
        &ffmpeg,
        &[
            "-v",
            "error",
            "-re",
            "-i",
            film.to_str().unwrap(),
            "-c",
            "copy",
            "-flush_packets",
            "1",
            "-f",
            "flv",
            &url,
        ],
    );
    assert_eq!(rungs(&gateway.until("live.ladder.started")), ["240p-h264"]);
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    let (source, rung) = (kit::joined(&kept, "360p-hevc"), kit::joined(&kept, "240p-h264"));
    same_times(&rung, &source);
    let (psnr, pictures) = worst(&film, &rung, (426, 240));
    assert!(psnr > 26.0 && pictures == 150, "{psnr} dB in the worst of {pictures}");
    let master = std::fs::read_to_string(kept.join("master.m3u8")).unwrap();
    assert!(master.contains("CODECS=\"hvc1.") && master.contains("CODECS=\"avc1."), "{master}");
    kit::valid_dash(&kept.join("manifest.mpd"));
}
