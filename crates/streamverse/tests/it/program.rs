//! Encoding by an FFmpeg program.

use std::path::Path;

use crate::kit;

fn vod(source: &Path, output: &Path, more: &[&str], program: Option<&Path>) -> std::process::Output {
    let mut command = kit::sv();
    command
        .args(["vod", "--preset", "fastest", "--segment", "1s", "--out"])
        .arg(output)
        .arg(source)
        .args(more);
    if let Some(program) = program {
        command.env("STREAMVERSE_FFMPEG", program);
    }
    command.output().unwrap()
}

#[test]
fn a_ladder_by_the_program_is_like_one_by_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let (library, program) = (dir.path().join("library"), dir.path().join("program"));
    for (output, more) in [
        (&library, &["--codec", "h264,hevc"][..]),
        (&program, &["--codec", "h264,hevc", "--encoder", "ffmpeg-cli"]),
    ] {
        let made = vod(&source, output, more, None);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let times = kit::picture_times(&source);
    let report = |output: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap()
    };
    let (ours, theirs) = (report(&library), report(&program));
    let names = |report: &serde_json::Value| -> Vec<String> {
        let all = report["renditions"].as_array().unwrap().iter();
        all.map(|r| format!("{} {}", r["name"], r["codec"])).collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    for rendition in theirs["renditions"].as_array().unwrap().iter().filter(|r| r["kind"] == "video") {
        let name = rendition["name"].as_str().unwrap();
        kit::same(&kit::picture_times(&kit::joined(&program, name)), &times, name);
    }
}

#[test]
fn a_program_that_is_missing_or_dies_is_told_in_one_sentence() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 2) else { return };
    let output = dir.path().join("out");
    let missing = vod(&source, &output, &["--encoder", "ffmpeg-cli"], Some(Path::new("/nowhere/ffmpeg")));
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(!missing.status.success() && said.contains("/nowhere/ffmpeg can't be started"), "{said}");
    assert!(said.contains("STREAMVERSE_FFMPEG"), "{said}");

    // One that answers as FFmpeg does, and breaks off in the middle of its work.
    let real = sv_testkit::tool("ffmpeg").unwrap();
    let broken = dir.path().join("ffmpeg");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*-version*|*-encoders*) exec {0} \"$@\" ;;\nesac\n\
         head -c 3000000 | {0} \"$@\" | head -c 4000\necho 'out of luck' >&2\nexit 9\n",
        real.display()
    );
    std::fs::write(&broken, script).unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let died = vod(&source, &output, &["--encoder", "ffmpeg-cli"], Some(&broken));
    let said = String::from_utf8_lossy(&died.stderr);
    assert!(!died.status.success() && said.contains("ffmpeg program"), "{said}");
    assert!(!output.exists() && !dir.path().join("out.partial").exists(), "{said}");
    let none = vod(&source, &output, &["--encoder", "ffmpeg-cli:nosuch"], None);
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(!none.status.success() && said.contains("has no encoder nosuch"), "{said}");
}
