//! The driver that stands in for NVIDIA's, and what it gives out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};

use sv_codec::nal;
use sv_container::mp4::Demuxer;
use sv_core::{Bytes, Codec, ColorInfo, FileAt, Item, Limits, PixelFormat, Source as _};
use sv_testkit::video::Pattern;

use crate::kit::{self, ratio};

pub(crate) const COUNT: u32 = 40;
pub(crate) const SIZE: (u32, u32) = (192, 128);

pub(crate) fn pattern(depth: u8) -> Pattern {
    let mut pattern = Pattern::new(SIZE.0, SIZE.1, ratio(25, 1));
    if depth > 8 {
        pattern.format = PixelFormat::Yuv420p10;
        pattern.color = ColorInfo { primaries: 9, transfer: 16, matrix: 9, full_range: false };
    }
    pattern
}

/// The folder with the stand-in; `None` where there is no C compiler.
fn driver() -> Option<&'static Path> {
    static DRIVER: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = DRIVER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/standin/nvenc.c");
        let library = dir.path().join("libcuda.so.1");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&library).arg(source);
        if !cfg!(target_os = "linux") || !compiler.status().is_ok_and(|status| status.success()) {
            return None;
        }
        std::fs::hard_link(&library, dir.path().join("libnvidia-encode.so.1")).unwrap();
        Some(dir)
    });
    if made.is_none() {
        println!("skipped: no stand-in without a C compiler on Linux");
    }
    made.as_ref().map(tempfile::TempDir::path)
}

/// The pictures as the device reads them: luma, then U and V by turns, 10 bits on top of 16.
pub(crate) fn semi_planar(depth: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let sample = if depth > 8 { 2 } else { 1 };
    let mut put = |bytes: &[u8]| match bytes {
        [a, b] => out.extend((u16::from_le_bytes([*a, *b]) * 64).to_le_bytes()),
        one => out.extend_from_slice(one),
    };
    for n in 0..COUNT {
        let frame = pattern(depth).frame(n);
        let [y, u, v] = [0, 1, 2].map(|index| frame.picture.plane(index).unwrap());
        y.data.chunks(sample).for_each(&mut put);
        u.data.chunks(sample).zip(v.data.chunks(sample)).for_each(|(u, v)| {
            put(u);
            put(v);
        });
    }
    out
}

/// What the stand-in gives out: the headers and each picture's bytes as NVENC writes them.
pub(crate) fn stream(codec: Codec, depth: u8, dir: &Path) -> Option<PathBuf> {
    let (raw, made, out) = (dir.join("raw"), dir.join("made.mp4"), dir.join("stream"));
    std::fs::write(&raw, semi_planar(depth)).unwrap();
    let encoder: &[&str] = match codec {
        Codec::H264 => &["-c:v", "libx264", "-bf", "0", "-g", "10", "-sc_threshold", "0"],
        Codec::Hevc => &[
            "-c:v",
            "libx265",
            "-x265-params",
            "log-level=0:bframes=0:keyint=10:min-keyint=10:open-gop=0:scenecut=0",
        ],
        _ => &["-c:v", "libsvtav1", "-preset", "11", "-g", "10", "-svtav1-params", "pred-struct=1:scd=0"],
    };
    let run = Command::new(kit::ffmpeg()?)
        .args(["-v", "error", "-y", "-f", "rawvideo", "-s", &format!("{}x{}", SIZE.0, SIZE.1), "-r", "25"])
        .args(["-pix_fmt", if depth > 8 { "p010le" } else { "nv12" }, "-i"])
        .arg(raw)
        .args(["-pix_fmt", if depth > 8 { "yuv420p10le" } else { "yuv420p" }])
        .args(encoder)
        .arg(&made)
        .output()
        .unwrap();
    if !run.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&run.stderr));
        return None;
    }
    let mut demuxer = Demuxer::open(Arc::new(FileAt::open(&made).unwrap()), Limits::default()).unwrap();
    let track = demuxer.tracks()[0].clone();
    let sets: Vec<Bytes> = match codec {
        Codec::H264 => {
            let config = sv_codec::h264::Config::parse(&track.config).unwrap();
            config.sps.into_iter().chain(config.pps).collect()
        }
        Codec::Hevc => {
            let config = sv_codec::hevc::Config::parse(&track.config).unwrap();
            let set = |unit: &&Bytes| (32..35).contains(&sv_codec::hevc::unit_type(unit));
            config.units().filter(set).cloned().collect()
        }
        _ => Vec::new(),
    };
    let headers = match codec {
        Codec::Av1 => sv_codec::av1::Config::parse(&track.config).unwrap().obus,
        _ => nal::to_annex_b(&[], 4, sets.iter().map(|set| &set[..])).unwrap(),
    };
    let mut bytes = Vec::new();
    let mut part = |key: bool, part: &[u8]| {
        bytes.extend((part.len() as u32).to_le_bytes());
        bytes.push(key.into());
        bytes.extend_from_slice(part);
    };
    part(false, &headers);
    while let Some(item) = demuxer.next_item().unwrap() {
        let Item::Packet(packet) = item else { continue };
        let data = match codec {
            Codec::Av1 => [&[0x12, 0], &packet.data[..]].concat().into(),
            _ => nal::to_annex_b(&packet.data, 4, []).unwrap(),
        };
        part(packet.key, &data);
    }
    std::fs::write(&out, bytes).unwrap();
    Some(out)
}

/// Runs [`in_the_process_of_a_cell`] with the stand-in and these settings.
pub(crate) fn cell(dir: &Path, task: &str, settings: &[(&str, &str)]) -> Option<Output> {
    let driver = driver()?;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "nvenc::in_the_process_of_a_cell", "--nocapture"]);
    command.env("NVENC_TASK", task).env("NVENC_OUT", dir.join("out.mp4")).env("LD_LIBRARY_PATH", driver);
    command.env("STANDIN_STREAM", dir.join("stream")).env("STANDIN_RAW", dir.join("raw.in"));
    command.env("STANDIN_INIT", dir.join("init")).envs(settings.iter().copied());
    for old in ["raw.in", "init", "out.mp4"] {
        let _ = std::fs::remove_file(dir.join(old));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{task} with {settings:?}: {}: {said}", output.status);
    Some(output)
}

/// What a cell printed as `key: value`.
pub(crate) fn said(output: &Output) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let pair = |line: &str| line.split_once(": ").map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}
