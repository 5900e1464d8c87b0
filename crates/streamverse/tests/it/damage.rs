//! Sources that are broken in the middle: what is good is kept, and what is not is told with times.

use std::path::{Path, PathBuf};

use crate::kit;

/// Twenty seconds, with the header in front, and how large it is.
fn source(dir: &Path) -> Option<PathBuf> {
    let whole = kit::source(dir, 20)?;
    let args = ["-i", whole.to_str().unwrap(), "-c", "copy", "-movflags", "+faststart"];
    kit::make(dir, "front.mp4", &args)
}

/// Where in the file the packets of a track lie that are shown from `from` to `until`.
fn bytes_of(file: &Path, track: &str, from: f64, until: f64) -> Vec<(usize, usize)> {
    let entries = ["-select_streams", track, "-show_entries", "packet=pts_time,size,pos", "-of", "csv=p=0"];
    let args = [&["-v", "error"], &entries[..], &[file.to_str().unwrap()]].concat();
    let text = kit::run(&sv_testkit::tool("ffprobe").unwrap(), &args);
    // Side data of a packet is printed as a row of its own.
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<f64> = line.split(',').map_while(|cell| cell.parse().ok()).collect();
        let [at, size, place] = cells[..] else { return None };
        Some((at, size as usize, place as usize))
    });
    rows.filter(|(at, ..)| (from..until).contains(at)).map(|(_, size, at)| (at, size)).collect()
}

fn run(source: &Path, output: &Path, more: &[&str]) -> std::process::Output {
    let args = ["vod", "--segment", "2s", "--preset", "fastest", "--out"];
    kit::sv().args(args).arg(output).arg(source).args(more).output().unwrap()
}

/// Kind, beginning and end in seconds of all damage in a report.
fn damage(output: &Path) -> Vec<(String, f64, f64)> {
    let text = std::fs::read(output.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let empty = Vec::new();
    let list = report["damage"].as_array().unwrap_or(&empty);
    let seconds = |value: &serde_json::Value| value.as_f64().unwrap() / 1000.0;
    list.iter()
        .map(|d| (d["kind"].as_str().unwrap().to_owned(), seconds(&d["from_ms"]), seconds(&d["until_ms"])))
        .collect()
}

#[test]
fn what_is_good_is_kept_and_what_is_broken_is_told_with_times() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let mut bytes = std::fs::read(&source).unwrap();
    // Some pictures of the group that begins at 8 s, and a little sound.
    for (at, size) in bytes_of(&source, "v:0", 8.4, 8.9) {
        bytes[at + size / 4..at + size].iter_mut().for_each(|b| *b ^= 0x5a);
    }
    for (at, size) in bytes_of(&source, "a:0", 12.0, 12.3) {
        bytes[at..at + size].iter_mut().for_each(|b| *b ^= 0xff);
    }
    let broken = dir.path().join("broken.mp4");
    std::fs::write(&broken, bytes).unwrap();

    for (name, more) in [("one", &[][..]), ("chunks", &["--workers", "2", "--chunk", "6s"])] {
        let output = dir.path().join(name);
        let made = run(&broken, &output, more);
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let found = damage(&output);
        // Where pictures begin to be wrong is known exactly; they are until the next key frame.
        let pictures: Vec<_> = found.iter().filter(|d| d.0 == "video").collect();
        let first = pictures.iter().map(|d| d.1).fold(f64::MAX, f64::min);
        let last = pictures.iter().map(|d| d.2).fold(0.0, f64::max);
        assert!((8.2..=8.5).contains(&first) && (8.6..=10.1).contains(&last), "{name}: {found:?}");
        assert!(found.iter().any(|d| d.0 == "audio" && d.1 > 11.8 && d.2 < 12.6), "{name}: {found:?}");
        assert!(found.iter().all(|d| d.1 >= 8.2 && d.2 <= 12.6), "{name}: {found:?}");
        assert!(
            said.contains("pictures are damaged from 8.") && said.contains("sound is damaged from "),
            "{said}"
        );

        // Good pictures are all there, at their times.
        let video =
            std::fs::read_dir(&output).unwrap().flatten().find(|e| e.file_name() == "360p-h264").unwrap();
        let times = kit::picture_times(&kit::joined(&output, video.file_name().to_str().unwrap()));
        let at = |t: &str| t.parse::<f64>().unwrap();
        let good = |t: &&String| !(8.2..10.1).contains(&at(t));
        let wanted = kit::picture_times(&source);
        let wanted: Vec<String> = wanted.iter().filter(good).cloned().collect();
        let got: Vec<String> = times.iter().filter(good).cloned().collect();
        kit::same(&got, &wanted, name);
    }

    let output = dir.path().join("strict");
    for more in [&["--strict"][..], &["--strict", "--workers", "2", "--chunk", "6s"]] {
        let refused = run(&broken, &output, more);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{said}");
        // Pictures and sound are read side by side: whichever is found first refuses.
        let told =
            ["pictures are damaged from 8.", "sound is damaged from 1"].map(|what| said.contains(what));
        assert!(told[0] || told[1], "{said}");
        assert!(!output.exists() && !dir.path().join("strict.partial").exists());
    }
}

#[test]
fn a_source_that_breaks_off_ends_there() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mp4) = source(dir.path()) else { return };
    let args = ["-i", mp4.to_str().unwrap(), "-c", "copy"];
    let mkv = kit::make(dir.path(), "whole.mkv", &args).unwrap();
    for source in [mp4, mkv] {
        let bytes = std::fs::read(&source).unwrap();
        let short = dir.path().join(format!("short-{}", source.file_name().unwrap().to_str().unwrap()));
        std::fs::write(&short, &bytes[..bytes.len() * 6 / 10]).unwrap();
        let output = short.with_extension("out");
        let made = run(&short, &output, &[]);
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let found = damage(&output);
        for kind in ["video", "audio"] {
            let (_, from, until) = found.iter().find(|d| d.0 == kind && d.2 > 19.0).unwrap();
            assert!((10.0..14.0).contains(from) && *until <= 21.0, "{found:?}");
        }
        let times = kit::picture_times(&kit::joined(&output, "360p-h264"));
        assert!((250..350).contains(&times.len()), "{} pictures", times.len());
        let refused = run(&short, &dir.path().join("strict"), &["--strict"]);
        assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    }
}

#[test]
fn whole_sources_are_not_called_damaged() {
    let Some(corpus) = std::env::var_os("STREAMVERSE_CORPUS") else {
        println!("skipped: STREAMVERSE_CORPUS is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for name in ["city_405p25.mpg", "pedestrians_576p10.avi", "big_buck_bunny_720p25_5s.mp4"] {
        let output = dir.path().join(name);
        let source = Path::new(&corpus).join("clips").join(name);
        let made = run(&source, &output, &["--strict"]);
        assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
    }
}
