//! The device against software, picture by picture; without a device, what a caller is told.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sv_container::mp4::Demuxer;
use sv_core::{Codec, ErrorKind, FileAt, Frame, Item, Limits, Source as _, Track, VideoFrame};
use sv_testkit::corpus;
use sv_testkit::video::Pattern;
use sv_transcode::{Backend, capabilities, decode};

use crate::kit::{ffmpeg, ratio, run};

fn options(backend: Backend) -> decode::Options {
    let mut options = decode::Options::default();
    options.backend = backend;
    options
}

/// Why there is no device, if there is none.
fn problem() -> Option<String> {
    let all = capabilities();
    let capability = all.iter().find(|c| c.backend == "nvcodec").expect("an entry for every backend");
    capability.devices.first().expect("one line for the device").problem.clone()
}

fn refusal(track: &Track, backend: Backend) -> sv_transcode::Error {
    match decode::open(track, &options(backend)) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

fn h264() -> Option<(Track, Vec<Item>)> {
    corpus("clips/big_buck_bunny_720p25_5s.mp4").map(|file| items(&file))
}

fn items(file: &Path) -> (Track, Vec<Item>) {
    let mut demuxer = Demuxer::open(Arc::new(FileAt::open(file).unwrap()), Limits::default()).unwrap();
    let track = demuxer.tracks().iter().find(|t| t.video().is_some()).unwrap().clone();
    let mut items = Vec::new();
    while let Some(item) = demuxer.next_item().unwrap() {
        if item.track() == Some(track.id) {
            items.push(item);
        }
    }
    (Track::clone(&track), items)
}

fn frames(track: &Track, items: &[Item], options: &decode::Options) -> Vec<VideoFrame> {
    let out = run(vec![decode::open(track, options).unwrap()], items.to_vec()).unwrap();
    let frame = |item| match item {
        Item::Frame(_, Frame::Video(frame)) => Some(frame),
        _ => None,
    };
    out.into_iter().filter_map(frame).collect()
}

#[test]
fn without_a_device_one_sentence_says_why() {
    let Some(problem) = problem() else {
        println!("skipped: there is an NVIDIA device");
        return;
    };
    println!("skipped: no NVIDIA device");
    assert!(problem.contains("NVIDIA") && !problem.contains('\n'), "{problem}");
    let Some((track, _)) = h264() else { return };
    for backend in [Backend::Hardware, Backend::Named("nvcodec".into())] {
        let error = refusal(&track, backend);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(&problem), "{error}");
    }
}

#[test]
fn what_no_device_is_asked_for_is_refused_before_it_is_touched() {
    let mut track = Pattern::new(64, 64, ratio(25, 1)).track(1);
    track.codec = Codec::Other("mpeg2video");
    let error = refusal(&track, Backend::Hardware);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    track.codec = Codec::Vp9;
    for scale in [(0, 90), (161, 90)] {
        let mut options = options(Backend::Hardware);
        options.scale = Some(scale);
        let Err(error) = decode::open(&track, &options) else { panic!("{scale:?} is taken") };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn auto_asks_no_device() {
    let Some((track, items)) = h264() else { return };
    if cfg!(any(feature = "pure", feature = "ffmpeg")) {
        let auto = frames(&track, &items, &options(Backend::Auto));
        assert_eq!(auto.len(), 132);
    }
}

/// A clip in another form, by the ffmpeg program.
fn made(source: &Path, out: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-t", "2", "-i"]).arg(source).arg("-an").args(arguments).arg(out);
    command.status().is_ok_and(|status| status.success())
}

fn same(a: &VideoFrame, b: &VideoFrame) -> bool {
    let rows = |frame: &VideoFrame, index: usize| -> Vec<Vec<u8>> {
        let sample = if frame.picture.format() == sv_core::PixelFormat::Yuv420p10 { 2 } else { 1 };
        let half = |side: u32| if index > 0 { side.div_ceil(2) } else { side } as usize;
        let plane = frame.picture.plane(index).unwrap();
        let rows = plane.data.chunks(plane.stride).take(half(frame.height));
        rows.map(|row| row[..half(frame.width) * sample].to_vec()).collect()
    };
    (a.pts, a.duration, a.width, a.height) == (b.pts, b.duration, b.width, b.height)
        && a.picture.format() == b.picture.format()
        && (0..3).all(|index| rows(a, index) == rows(b, index))
}

#[test]
fn every_picture_is_that_of_software() {
    if problem().is_some() {
        println!("skipped: no NVIDIA device");
        return;
    }
    let Some(source) = corpus("clips/big_buck_bunny_720p25_5s.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut files = vec![source.clone()];
    // What the build without FFmpeg decodes by software is H.264 alone.
    let others: &[(&str, &[&str])] = &[
        ("hevc.mp4", &["-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=error"]),
        ("hevc10.mp4", &["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error"]),
        ("av1.mp4", &["-c:v", "libsvtav1", "-preset", "10", "-vf", "scale=322:182"]),
        ("vp9.mp4", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-vf", "scale=321:181"]),
    ];
    if cfg!(feature = "ffmpeg") && ffmpeg().is_some() {
        for (name, arguments) in others {
            let out = dir.path().join(name);
            if made(&source, &out, arguments) {
                files.push(out);
            }
        }
    }
    for file in files {
        let (track, items) = items(&file);
        let device = frames(&track, &items, &options(Backend::Hardware));
        let software = frames(&track, &items, &options(Backend::Software));
        assert_eq!(device.len(), software.len(), "{file:?}");
        for (n, (a, b)) in device.iter().zip(&software).enumerate() {
            assert!(same(a, b), "{file:?}: picture {n}: {a:?} and {b:?}");
        }
    }
}
