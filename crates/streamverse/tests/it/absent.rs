//! A build with FFmpeg, on a machine where FFmpeg is not installed.

use std::path::Path;
use std::process::Command;

use crate::kit;

/// `sv` where none of FFmpeg's libraries can be loaded: empty files stand before them.
fn sv(hidden: &Path) -> Command {
    std::fs::create_dir_all(hidden).unwrap();
    let maps = Command::new("ldconfig").arg("-p").output().or_else(|_| {
        // Not on the path of everybody.
        Command::new("/sbin/ldconfig").arg("-p").output()
    });
    for line in String::from_utf8_lossy(&maps.unwrap().stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if ["libav", "libsw"].iter().any(|start| name.starts_with(start)) {
            std::fs::write(hidden.join(name), b"").unwrap();
        }
    }
    let mut sv = kit::sv();
    sv.env("LD_LIBRARY_PATH", hidden);
    sv
}

#[test]
fn what_needs_no_codec_works_and_the_rest_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let hidden = dir.path().join("hidden");
    let Some(source) = kit::source(dir.path(), 3) else { return };

    let doctor = sv(&hidden).args(["doctor", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let ffmpeg = &report["backends"][0];
    assert_eq!((ffmpeg["backend"].as_str(), ffmpeg["enabled"].as_bool()), (Some("ffmpeg"), Some(false)));
    assert!(ffmpeg["hint"].as_str().unwrap().contains("apt install ffmpeg"), "{ffmpeg}");

    let out = dir.path().join("packaged");
    let packaged = sv(&hidden).arg("package").arg(&source).arg("--out").arg(&out).output().unwrap();
    assert!(packaged.status.success(), "{}", String::from_utf8_lossy(&packaged.stderr));
    kit::same(
        &kit::picture_times(&kit::joined(&out, "360p-h264")),
        &kit::picture_times(&source),
        "packaged without FFmpeg",
    );

    let Some(other) = kit::make(dir.path(), "film.mkv", &["-i", source.to_str().unwrap(), "-c", "copy"])
    else {
        return;
    };
    let failed = sv(&hidden).arg("probe").arg(&other).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(3), "{said}");
    assert!(said.contains("apt install ffmpeg"), "{said}");
}
