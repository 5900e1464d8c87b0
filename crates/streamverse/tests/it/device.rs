//! A run on a device: here Vulkan by the CPU, where Mesa's driver is installed.

use std::path::Path;

use crate::kit;

fn vod(source: &Path, output: &Path, more: &[&str]) -> std::process::Output {
    let mut command = kit::sv();
    command.args(["vod", "--preset", "fastest", "--segment", "1s", "--out"]);
    command.arg(output).arg(source).args(more).output().unwrap()
}

#[test]
fn a_ladder_made_on_a_device_shows_every_picture() {
    if let Err(error) = streamverse::transcode::Device::open("vulkan") {
        eprintln!("skipped: {error}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let output = dir.path().join("out");
    let made = vod(&source, &output, &["--device", "vulkan"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap();
    let times = kit::picture_times(&source);
    let mut rungs = 0;
    for rendition in report["renditions"].as_array().unwrap().iter().filter(|r| r["kind"] == "video") {
        let name = rendition["name"].as_str().unwrap();
        kit::same(&kit::picture_times(&kit::joined(&output, name)), &times, name);
        rungs += 1;
    }
    assert!(rungs > 1, "{report}");
}

#[test]
fn a_device_that_cant_be_had_is_told_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 1) else { return };
    let output = dir.path().join("out");
    for (more, says) in [
        (&["--device", "abacus"][..], "vaapi"),
        (&["--device", "vaapi:/nowhere"], "/nowhere"),
        (&["--device", "auto", "--workers", "2"], "leave either the device or the workers out"),
        (&["--device", "auto", "--encoder", "libx264"], "cannot be used with"),
    ] {
        let refused = vod(&source, &output, more);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(says), "{more:?}: {said}");
        assert!(!said.contains("panicked") && !output.exists(), "{more:?}: {said}");
    }
}
