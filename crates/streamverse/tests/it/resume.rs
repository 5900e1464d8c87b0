//! `kill -9` and Ctrl-C in the middle of a run.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::SystemTime;

use crate::kit;

/// Starts `sv vod` and waits until it has stored `segments` segments.
pub(crate) fn interrupted(source: &Path, output: &Path, segments: usize, more: &[&str]) -> Child {
    let mut child = kit::sv()
        .args(["vod", "--json", "--segment", "1s", "--preset", "balanced", "--out"])
        .arg(output)
        .arg(source)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let stored = lines.map_while(Result::ok).filter(|l| l.contains("\"segment\"")).take(segments).count();
    assert_eq!(stored, segments, "the run ended before it could be stopped");
    child
}

/// Every media segment below a folder, with the moment it was written.
fn segments(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            out.extend(segments(&entry.path()));
        } else if entry.path().extension().is_some_and(|e| e == "m4s") {
            out.push((entry.path(), entry.metadata().unwrap().modified().unwrap()));
        }
    }
    out.sort();
    out
}

#[test]
fn a_killed_run_goes_on_without_redoing_segments() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 20) else { return };
    let output = dir.path().join("out");
    let partial = dir.path().join("out.partial");
    let mut child = interrupted(&source, &output, 12, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!output.exists());
    let journal = std::fs::read_to_string(partial.join(".journal")).unwrap();
    let noted = journal.lines().filter(|l| l.contains("\"line\":\"segment\"")).count();
    assert!(noted >= 12);
    let before = segments(&partial);

    let run = kit::sv()
        .args(["vod", "--segment", "1s", "--preset", "balanced", "--out"])
        .arg(&output)
        .arg(&source)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("segments are kept"), "{said}");
    let after = segments(&output);
    // A segment whose line in the journal was not written yet is made again; all others stand.
    let same = before
        .iter()
        .filter(|(path, at)| {
            let moved = output.join(path.strip_prefix(&partial).unwrap());
            after.iter().any(|(p, t)| *p == moved && t == at)
        })
        .count();
    assert!(same >= noted, "{same} of {noted} segments were left alone");

    let wanted = kit::picture_times(&source);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap();
    for rendition in report["renditions"].as_array().unwrap().iter().filter(|r| r["kind"] == "video") {
        let name = rendition["name"].as_str().unwrap();
        kit::same(&kit::picture_times(&kit::joined(&output, name)), &wanted, name);
    }
    assert!(!partial.exists());
}

#[test]
fn a_killed_run_goes_on_in_encrypted_single_files_too() {
    const KEY: &str = "32333435363738393021323334353637";
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 20) else { return };
    let output = dir.path().join("out");
    let keys = dir.path().join("keys");
    std::fs::write(&keys, format!("31323334353637383930313233343536:{KEY}")).unwrap();
    let more = ["--single-file", "--encrypt", "cenc", "--keys", keys.to_str().unwrap()];
    let mut child = interrupted(&source, &output, 12, &more);
    child.kill().unwrap();
    child.wait().unwrap();
    let run = kit::sv()
        .args(["vod", "--segment", "1s", "--preset", "balanced", "--out"])
        .arg(&output)
        .arg(&source)
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("segments are kept"), "{said}");
    // A vector used twice or counted wrongly would break the pictures behind the seam.
    let clear = dir.path().join("clear.mp4");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap();
    let wanted = kit::picture_times(&source);
    for rendition in report["renditions"].as_array().unwrap().iter().filter(|r| r["kind"] == "video") {
        let name = rendition["name"].as_str().unwrap();
        let file = output.join(format!("{name}.mp4"));
        let args = [
            "-v",
            "error",
            "-y",
            "-decryption_key",
            KEY,
            "-i",
            file.to_str().unwrap(),
            "-c",
            "copy",
            clear.to_str().unwrap(),
        ];
        kit::run(&sv_testkit::tool("ffmpeg").unwrap(), &args);
        kit::same(&kit::picture_times(&clear), &wanted, name);
    }
}

#[test]
fn a_killed_run_goes_on_with_the_ladder_that_it_found() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 20) else { return };
    let output = dir.path().join("out");
    let more = ["--ladder", "title", "--max-rungs", "2", "--core-seconds", "1000"];
    let mut child = interrupted(&source, &output, 3, &more);
    child.kill().unwrap();
    child.wait().unwrap();
    // Another ladder for the same request shows that it isn't looked for again.
    let ladder = dir.path().join("out.partial/.ladder.json");
    let mut found: serde_json::Value = serde_json::from_slice(&std::fs::read(&ladder).unwrap()).unwrap();
    let rungs = found["decisions"][0]["ladder"]["rungs"].as_array().unwrap().clone();
    found["decisions"][0]["ladder"]["reasons"] = serde_json::json!(["it was found before"]);
    std::fs::write(&ladder, found.to_string()).unwrap();
    let run = kit::sv()
        .args(["vod", "--segment", "1s", "--preset", "balanced", "--out"])
        .arg(&output)
        .arg(&source)
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("segments are kept"), "{said}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["decisions"][0]["ladder"]["rungs"].as_array().unwrap(), &rungs);
    assert!(report["reasons"].as_array().unwrap().contains(&"it was found before".into()), "{report}");
    assert!(!output.join(".ladder.json").exists());
}

#[test]
fn ctrl_c_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 20) else { return };
    let output = dir.path().join("out");
    let child = interrupted(&source, &output, 2, &[]);
    let kill = sv_testkit::tool("kill").unwrap();
    kit::run(&kill, &["-INT", &child.id().to_string()]);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["source.mp4"]);
}

#[test]
fn two_runs_for_one_output_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 20) else { return };
    let output = dir.path().join("out");
    let mut first = interrupted(&source, &output, 1, &[]);
    let second = kit::sv()
        .args(["vod", "--segment", "1s", "--preset", "balanced", "--out"])
        .arg(&output)
        .arg(&source)
        .output()
        .unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(4), "{said}");
    assert!(said.contains("another run is working on"), "{said}");
    assert!(dir.path().join("out.partial").exists(), "the second run must not remove the first one's work");
}
