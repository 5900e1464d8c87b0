//! Sources that FFmpeg makes, and questions to ffprobe.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use sv_testkit::tool;

/// Runs a program and gives what it prints; its complaint on failure.
pub(crate) fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{} {args:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A source of `seconds`: 640x360 pictures at 25 a second with B-frames, and 5.1 sound.
pub(crate) fn source(dir: &Path, seconds: u32) -> Option<PathBuf> {
    make(
        dir,
        "source.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            &format!("testsrc2=s=640x360:r=25:d={seconds}"),
            "-f",
            "lavfi",
            "-i",
            &format!("sine=f=440:r=48000:d={seconds},pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"),
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-g",
            "50",
            "-bf",
            "3",
            "-b:v",
            "3M",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
        ],
    )
}

/// A file that FFmpeg makes with these arguments.
pub(crate) fn make(dir: &Path, name: &str, args: &[&str]) -> Option<PathBuf> {
    let ffmpeg = tool("ffmpeg")?;
    let path = dir.join(name);
    let mut all = vec!["-v", "error", "-y"];
    all.extend(args);
    all.push(path.to_str().unwrap());
    run(&ffmpeg, &all);
    Some(path)
}

/// Presentation times of every decoded picture of a file, in seconds as printed, which fails when
/// the decoder complains about anything.
pub(crate) fn picture_times(path: &Path) -> Vec<String> {
    let ffprobe = tool("ffprobe").unwrap();
    let args = ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0"];
    let output = Command::new(ffprobe).args(args).arg(path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", path.display());
    let text = String::from_utf8(output.stdout).unwrap();
    // Side data of a frame is printed as an empty row of its own.
    text.lines().map(|l| l.trim_end_matches(',').to_owned()).filter(|l| !l.is_empty()).collect()
}

/// When packets of a stream, such as `a:0`, are shown.
pub(crate) fn times(path: &Path, stream: &str) -> Vec<f64> {
    let args =
        ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-of", "csv=p=0"];
    let text = run(&tool("ffprobe").unwrap(), &[&args[..], &[path.to_str().unwrap()]].concat());
    text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

/// Asserts that two lists are equal, and names the first difference only.
pub(crate) fn same(got: &[String], wanted: &[String], what: &str) {
    let differs = got.iter().zip(wanted).position(|(a, b)| a != b);
    if let Some(n) = differs {
        panic!("{what}: entry {n} is {} and not {}", got[n], wanted[n]);
    }
    assert_eq!(got.len(), wanted.len(), "{what}");
}

/// MD5 of every decoded picture with its time; `key` decrypts.
pub(crate) fn picture_hashes(path: &Path, key: Option<&str>) -> Vec<String> {
    let mut args = vec!["-v", "error"];
    if let Some(key) = key {
        args.extend(["-decryption_key", key]);
    }
    args.extend(["-i", path.to_str().unwrap(), "-map", "0:v:0", "-f", "framemd5", "-"]);
    hashes(&run(&tool("ffmpeg").unwrap(), &args))
}

/// The hashes of what FFmpeg's framemd5 prints.
pub(crate) fn hashes(text: &str) -> Vec<String> {
    text.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit(", ").next().unwrap().to_owned()).collect()
}

/// One rendition's initialisation and segments as one file, which any reader of MP4 takes.
pub(crate) fn joined(output: &Path, name: &str) -> PathBuf {
    let folder = output.join(name);
    let mut all = std::fs::read(folder.join("init.mp4")).unwrap();
    for n in 0.. {
        match std::fs::read(folder.join(format!("{n}.m4s"))) {
            Ok(segment) => all.extend(segment),
            Err(_) => break,
        }
    }
    let path = output.join(format!("{name}.joined.mp4"));
    std::fs::write(&path, all).unwrap();
    path
}

/// As [`picture_hashes`] of each segment of a rendition alone, one after the other. (FFmpeg 5.1 loses
/// count of encrypted fragments that follow each other in one file without an index.)
pub(crate) fn segment_hashes(output: &Path, name: &str, key: &str) -> Vec<String> {
    let folder = output.join(name);
    let init = std::fs::read(folder.join("init.mp4")).unwrap();
    let mut hashes = Vec::new();
    for n in 0.. {
        let Ok(segment) = std::fs::read(folder.join(format!("{n}.m4s"))) else { break };
        let path = output.join(format!("{name}.{n}.mp4"));
        std::fs::write(&path, [&init[..], &segment].concat()).unwrap();
        hashes.extend(picture_hashes(&path, Some(key)));
    }
    hashes
}

/// The times of key pictures, in milliseconds.
pub(crate) fn key_times(path: &Path) -> Vec<u64> {
    let args = [
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "packet=pts_time,flags",
        "-of",
        "csv=p=0",
        path.to_str().unwrap(),
    ];
    let text = run(&tool("ffprobe").unwrap(), &args);
    text.lines()
        .filter(|l| l.contains('K'))
        .map(|l| (l.split(',').next().unwrap().parse::<f64>().unwrap() * 1000.0).round() as u64)
        .collect()
}

/// Asserts that a DASH manifest is valid by ISO's schema and DASH-IF's schematron, neither of which is ours to ship:
/// `STREAMVERSE_DASH_XSD` and `STREAMVERSE_DASH_SCHEMATRON` name copies (`scripts/dash-schemas.sh` fetches them).
pub(crate) fn valid_dash(manifest: &Path) {
    match (tool("xmllint"), std::env::var("STREAMVERSE_DASH_XSD")) {
        (Some(xmllint), Ok(schema)) => {
            run(&xmllint, &["--noout", "--nonet", "--schema", &schema, manifest.to_str().unwrap()]);
        }
        _ => println!("skipped: STREAMVERSE_DASH_XSD names no schema to validate against"),
    }
    if let Some(broken) = schematron(manifest, None) {
        assert_eq!(broken, "", "{}", manifest.display());
    }
}

/// The rules of DASH-IF's schematron that a manifest breaks, one a line; as if it claimed `profile` too. Saxon judges.
pub(crate) fn schematron(manifest: &Path, profile: Option<&str>) -> Option<String> {
    let Ok(schema) = std::env::var("STREAMVERSE_DASH_SCHEMATRON") else {
        println!("skipped: STREAMVERSE_DASH_SCHEMATRON names no schematron to judge by");
        return None;
    };
    let peers = Path::new(&std::env::var_os("HOME")?).join(".cache/streamverse/peers/bin/python");
    let python = if peers.exists() { peers } else { tool("python3")? };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/schematron.py");
    let mut command = Command::new(python);
    command.args([script, &schema]);
    command.args(profile.iter().flat_map(|profile| ["--profile", profile]));
    let said = command.arg(manifest).output().unwrap();
    assert!(matches!(said.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&said.stderr));
    Some(String::from_utf8(said.stdout).unwrap())
}

/// `sv`, as it was built for this test.
#[cfg(feature = "cli")]
pub(crate) fn sv() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sv"))
}

/// As [`picture_hashes`] with a key that may be wrong: nothing if the decoder gives up.
pub(crate) fn picture_hashes_or_none(path: &Path, key: &str) -> Vec<String> {
    let args = [
        "-v",
        "quiet",
        "-decryption_key",
        key,
        "-i",
        path.to_str().unwrap(),
        "-map",
        "0:v:0",
        "-f",
        "framemd5",
        "-",
    ];
    let output = Command::new(tool("ffmpeg").unwrap()).args(args).output().unwrap();
    hashes(&String::from_utf8_lossy(&output.stdout))
}
