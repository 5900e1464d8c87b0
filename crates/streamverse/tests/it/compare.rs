//! `sv compare`: judged by what was done to the copies.

use std::path::Path;

use serde_json::Value;

use crate::kit;

fn compare(original: &Path, copy: &Path) -> Value {
    let output = kit::sv().arg("compare").args([original, copy]).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn mean(found: &Value, measure: &str) -> f64 {
    found[measure]["mean"].as_f64().unwrap()
}

/// A copy of the source, made by FFmpeg with these arguments.
fn copy(dir: &Path, source: &Path, name: &str, args: &[&str]) -> std::path::PathBuf {
    let mut all = vec!["-i", source.to_str().unwrap(), "-an", "-c:v", "libx264", "-preset", "veryfast"];
    all.extend(args);
    kit::make(dir, name, &all).unwrap()
}

#[test]
fn the_worse_copy_gets_the_worse_score_at_any_size_and_place_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 2) else { return };
    let same = compare(&source, &source);
    assert!(mean(&same, "vmaf") > 97.0, "{same}");
    assert!((mean(&same, "ssimulacra2") - 100.0).abs() < 1e-6, "{same}");
    assert_eq!(same["pictures"], 50, "{same}");

    let good = copy(dir.path(), &source, "good.mp4", &["-crf", "20"]);
    // Half the size, and its clock begins somewhere else.
    let small = copy(
        dir.path(),
        &source,
        // Only FFmpeg reads Matroska.
        if cfg!(feature = "ffmpeg") { "small.mkv" } else { "small.mp4" },
        &["-crf", "20", "-vf", "scale=320:180", "-output_ts_offset", "7"],
    );
    let poor = copy(dir.path(), &source, "poor.mp4", &["-crf", "45"]);
    let [good, small, poor] = [&good, &small, &poor].map(|copy| compare(&source, copy));
    for measure in ["vmaf", "ssimulacra2"] {
        let of = [&same, &good, &small].map(|found| mean(found, measure));
        assert!(of[0] > of[1] && of[1] > of[2] + 1.0, "{measure}: {of:?}");
        assert!(mean(&good, measure) > mean(&poor, measure) + 5.0, "{measure}: {good} {poor}");
    }
    assert!(good["xpsnr"].as_f64() > poor["xpsnr"].as_f64(), "{good} {poor}");
    for found in [&good, &small, &poor] {
        assert_eq!(
            (&found["width"], &found["height"], &found["pictures"]),
            (&640.into(), &360.into(), &50.into())
        );
        let vmaf = |what: &str| found["vmaf"][what].as_f64().unwrap();
        assert!(vmaf("least") <= vmaf("low") && vmaf("low") <= vmaf("mean"), "{found}");
    }
}

#[test]
fn the_worst_moment_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 2) else { return };
    let blurred = "gblur=sigma=6:enable='between(t,1.18,1.22)'";
    let copy = copy(dir.path(), &source, "blurred.mp4", &["-crf", "18", "-vf", blurred]);
    let found = compare(&source, &copy);
    for measure in ["vmaf", "ssimulacra2"] {
        let at = found[measure]["least_at"].as_f64().unwrap();
        assert!((at - 1.2).abs() < 0.001, "{measure}: {found}");
    }
}

#[test]
fn what_has_no_pictures_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 1) else { return };
    let sound = kit::make(dir.path(), "sound.m4a", &["-i", source.to_str().unwrap(), "-vn"]).unwrap();
    let output = kit::sv().arg("compare").args([&source, &sound]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no pictures in") && text.contains("sound.m4a"), "{text}");
}
