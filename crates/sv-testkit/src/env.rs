//! What a test may find outside: programs and the corpus.

use std::path::PathBuf;

/// The path of an external program, from `PATH`. Without it, says on the standard output that the
/// test is skipped.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: the program {name} is not installed");
    }
    found
}

/// A file of the corpus that `STREAMVERSE_CORPUS` names. Without it, says on the standard output
/// that the test is skipped.
#[must_use]
pub fn corpus(file: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("STREAMVERSE_CORPUS") else {
        println!("skipped: STREAMVERSE_CORPUS is not set, so there is no {file}");
        return None;
    };
    let path = PathBuf::from(root).join(file);
    if !path.exists() {
        println!("skipped: the corpus has no {file}");
        return None;
    }
    Some(path)
}

/// FFmpeg 9.0.2, where `make test` has brought it with a Python package, or whatever `STREAMVERSE_FFMPEG9` names.
/// Without it, says on the standard output what is skipped.
#[must_use]
pub fn ffmpeg9() -> Option<String> {
    if let Ok(path) = std::env::var("STREAMVERSE_FFMPEG9") {
        return Some(path);
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    let python = PathBuf::from(home).join(".cache/streamverse/peers/bin/python");
    let asked = std::process::Command::new(python)
        .args(["-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"])
        .output();
    let path =
        asked.ok().filter(|out| out.status.success()).and_then(|out| String::from_utf8(out.stdout).ok());
    let path = path.map(|path| path.trim().to_owned()).filter(|path| !path.is_empty());
    if path.is_none() {
        println!("skipped: FFmpeg 9.0.2 is not here; STREAMVERSE_FFMPEG9 names it");
    }
    path
}
