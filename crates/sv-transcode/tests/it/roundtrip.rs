//! Every codec at every depth it has, at even and odd sizes, at a constant and a variable rate, by the library
//! and by programs: all pictures are there, whole, at their times. ffprobe and FFmpeg judge.

use std::sync::Arc;
use std::time::Duration as Length;

use sv_core::{Codec, Duration, Frame, Item, PixelFormat, TimeBase, Timestamp, Track, TrackId};
use sv_testkit::video::Pattern;
use sv_transcode::encode::{self, Effort, Grid};
use sv_transcode::{Backend, Error, filter};

use crate::kit::{self, Encoded};

const COUNT: u32 = 40;

/// Codec, encoder, depth.
const CODERS: [(Codec, &str, u8); 8] = [
    (Codec::H264, "libx264", 8),
    (Codec::Hevc, "libx265", 8),
    (Codec::Hevc, "libx265", 10),
    (Codec::Av1, "libsvtav1", 8),
    (Codec::Av1, "libsvtav1", 10),
    (Codec::Av1, "libaom-av1", 8),
    (Codec::Vp9, "libvpx-vp9", 8),
    (Codec::Vp9, "libvpx-vp9", 10),
];

/// Width, height, and whether the rate varies.
const SHAPES: [(u32, u32, bool); 5] =
    [(194, 130, false), (193, 130, false), (194, 129, false), (193, 129, false), (193, 129, true)];

/// When each picture is shown, in milliseconds: 25 a second, or with holes and doubled rates.
fn times(varies: bool) -> Vec<i64> {
    let mut at = 0;
    let mut times = Vec::new();
    for n in 0..i64::from(COUNT) {
        times.push(at);
        at += match (varies, n % 7) {
            (false, _) => 40,
            (true, 0) => 120,
            (true, 1 | 4) => 20,
            (true, 5) => 67,
            (true, _) => 33,
        };
    }
    times
}

fn source(width: u32, height: u32, depth: u8, times: &[i64]) -> Vec<Item> {
    let mut pattern = Pattern::new(width, height, kit::ratio(25, 1));
    pattern.format = if depth == 10 { PixelFormat::Yuv420p10 } else { PixelFormat::Yuv420p8 };
    let track = Track { time_base: TimeBase::MILLIS, ..pattern.track(3) };
    let id = track.id;
    let frame = |(n, at): (usize, &i64)| {
        let next = times.get(n + 1).map_or(at + 40, |next| *next);
        let length = Duration::new((next - at).unsigned_abs());
        Item::Frame(id, Frame::Video(pattern.frame_at(n as u32, Timestamp::new(*at), length)))
    };
    let frames = times.iter().enumerate().map(frame);
    std::iter::once(Item::Track(Arc::new(track))).chain(frames).chain([Item::End(id)]).collect()
}

/// Encodes and judges one cell of the table; tells whether the encoder was there.
fn cell(config: &encode::Video, depth: u8, (width, height, varies): (u32, u32, bool), what: &str) -> bool {
    let times = times(varies);
    let items = source(width, height, depth, &times);
    let Some(Item::Track(track)) = items.first().cloned() else { panic!("no track") };
    let mut shape = filter::Video::default();
    shape.bit_depth = Some(depth);
    let stages = vec![filter::video(&track, &shape).unwrap(), encode::video(config, TrackId(9)).unwrap()];
    let encoded = match kit::run(stages, items) {
        Ok(items) => Encoded::of(items),
        Err(error @ Error::Unsupported { .. }) => {
            eprintln!("skipped: {what}: {error}");
            return false;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    // By what we say: every picture, and a key frame at each line of the grid.
    assert_eq!(encoded.times(), times, "{what}");
    let lines: Vec<i64> = (0..=times[times.len() - 1] / 500)
        .filter_map(|line| times.iter().copied().find(|at| *at >= line * 500))
        .collect();
    let mut wanted = lines.clone();
    wanted.dedup();
    assert_eq!(encoded.key_times(), wanted, "{what}");

    // By what others read.
    let info = encoded.track.video().unwrap();
    let (w, h) = (info.width, info.height);
    assert!(w % 2 == 0 && h % 2 == 0 && w.abs_diff(width) < 2 && h.abs_diff(height) < 2, "{what}: {w}x{h}");
    let dir = tempfile::tempdir().unwrap();
    let file = kit::write(&dir, "cell.mp4", &encoded.mp4());
    let lines = kit::probe(&file, "stream=width,height,pix_fmt,codec_name");
    assert_eq!(kit::value(&lines, "width"), w.to_string(), "{what}");
    assert_eq!(kit::value(&lines, "height"), h.to_string(), "{what}");
    let format = if depth == 10 { "yuv420p10le" } else { "yuv420p" };
    assert_eq!(kit::value(&lines, "pix_fmt"), format, "{what}");
    assert_eq!(kit::value(&lines, "codec_name"), config.codec.name(), "{what}");
    let found = kit::frame_times(&file, "v:0");
    let base = encoded.track.time_base;
    let seconds = |ticks: &[i64], base: TimeBase| -> Vec<i64> {
        ticks.iter().map(|t| Timestamp::new(t - ticks[0]).rescale(base, TimeBase::MILLIS).ticks()).collect()
    };
    assert_eq!(seconds(&found, base), times, "{what}: ffprobe's times");
    // Each picture's own number is still to be read in it.
    let codes = kit::codes(&kit::decoded(&file, w, h));
    let numbers: Vec<_> = (0..COUNT).map(Some).collect();
    assert_eq!(codes, numbers, "{what}");
    true
}

fn config(codec: Codec, backend: Backend) -> encode::Video {
    let mut config = encode::Video::new(codec);
    config.backend = backend;
    // The fastest preset of newer versions of SVT-AV1 blurs a picture now and then until nothing can be read.
    let newer = matches!(&config.backend, Backend::Named(name) if name.ends_with("libsvtav1"));
    config.effort = if newer { Effort::Balanced } else { Effort::Fastest };
    // Good enough for the numbers in the pictures to be read.
    config.rate = encode::Rate::Quality { crf: 20.0, cap: None };
    config.grid = Grid::every(Length::from_millis(500));
    config
}

#[test]
#[cfg(feature = "ffmpeg")]
fn every_codec_depth_and_size_by_the_library() {
    if kit::ffprobe().is_none() {
        return;
    }
    let mut there = 0;
    for (codec, name, depth) in CODERS {
        for shape in SHAPES {
            let what = format!("{name}, {depth} bits, {shape:?}");
            there += usize::from(cell(&config(codec, Backend::Named(name.into())), depth, shape, &what));
        }
    }
    assert!(there > 0, "no encoder was there to try");
}

#[test]
#[cfg(feature = "pure")]
fn every_size_without_ffmpeg() {
    if kit::ffprobe().is_none() {
        return;
    }
    for shape in SHAPES {
        let config = config(Codec::H264, Backend::Named("openh264".into()));
        assert!(cell(&config, 8, shape, &format!("openh264, {shape:?}")));
    }
}

#[test]
#[cfg(feature = "ffmpeg-cli")]
fn every_codec_depth_and_size_by_programs() {
    let Some(own) = kit::ffmpeg() else { return };
    let mut programs = vec![own.to_str().unwrap().to_owned()];
    match kit::ffmpeg9() {
        Some(path) => programs.push(path),
        None => eprintln!("skipped: FFmpeg 9.0.2; STREAMVERSE_FFMPEG9 names it"),
    }
    for (number, program) in programs.iter().enumerate() {
        for (codec, name, depth) in CODERS {
            // All shapes by one program; the others show that they understand the same words.
            for shape in SHAPES.into_iter().skip(if number == 0 { 0 } else { 3 }) {
                let mut config = config(codec, Backend::Named(format!("ffmpeg-cli:{name}")));
                config.options.push(("program".into(), program.clone()));
                cell(&config, depth, shape, &format!("{name} of {program}, {depth} bits, {shape:?}"));
            }
        }
    }
}
