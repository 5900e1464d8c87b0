//! FFmpeg's programs as judges.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The corpus of real media, or a line that says why a test does nothing.
pub(crate) fn corpus() -> Option<PathBuf> {
    let found = std::env::var_os("STREAMVERSE_CORPUS").map(PathBuf::from).filter(|path| path.is_dir());
    if found.is_none() {
        eprintln!("skipped: STREAMVERSE_CORPUS does not name a folder of media");
    }
    found
}

/// Whether a program can be run, or a line that says that it can't.
pub(crate) fn have(program: &str) -> bool {
    let found = Command::new(program).arg("-version").output().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// One line of `ffprobe -show_packets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbePacket {
    pub(crate) stream: usize,
    pub(crate) pts: Option<i64>,
    pub(crate) dts: Option<i64>,
    pub(crate) duration: Option<i64>,
    pub(crate) size: usize,
    pub(crate) key: bool,
    pub(crate) discard: bool,
}

/// What ffprobe says about a stream: its own names for its own values.
pub(crate) type ProbeStream = BTreeMap<String, String>;

/// All packets as ffprobe sees them; `None` when it can't read the file at all.
pub(crate) fn packets(path: &Path, extra: &[&str]) -> Option<Vec<ProbePacket>> {
    let output = Command::new("ffprobe")
        .args(["-v", "error"])
        .args(extra)
        .args(["-show_entries", "packet=stream_index,pts,dts,duration,size,flags", "-of", "compact=p=0"])
        .arg(path)
        .output()
        .unwrap();
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(
        text.lines()
            .filter(|line| line.contains("stream_index="))
            .map(|line| {
                let field = |name: &str| {
                    line.split('|').find_map(|f| f.strip_prefix(name)?.strip_prefix('=')).unwrap_or("N/A")
                };
                ProbePacket {
                    stream: field("stream_index").parse().unwrap(),
                    pts: field("pts").parse().ok(),
                    dts: field("dts").parse().ok(),
                    duration: field("duration").parse().ok(),
                    size: field("size").parse().unwrap(),
                    key: field("flags").contains('K'),
                    discard: field("flags").contains('D'),
                }
            })
            .collect(),
    )
}

/// All streams as ffprobe sees them.
pub(crate) fn streams(path: &Path) -> Vec<ProbeStream> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-of", "compact=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let mut out: Vec<ProbeStream> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields =
            line.split('|').filter_map(|f| f.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
        // Side data stands on lines of its own behind its stream.
        if line.contains("codec_type=") {
            out.push(fields.collect());
        } else if let Some(stream) = out.last_mut() {
            stream.extend(fields);
        }
    }
    out
}
