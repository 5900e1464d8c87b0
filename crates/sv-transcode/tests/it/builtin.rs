//! Real files through the backend that needs no system library.

use std::sync::Arc;

use sv_container::mp4::Demuxer;
use sv_core::{Codec, FileAt, Frame, Item, Limits, Source as _, Track, TrackId};
use sv_testkit::corpus;
use sv_transcode::{Backend, decode, encode, filter};

use crate::kit::{Encoded, decoded_sound, ffmpeg, ffprobe, frame_times, run, write};

fn items(file: &std::path::Path, video: bool) -> (Track, Vec<Item>) {
    let mut demuxer = Demuxer::open(Arc::new(FileAt::open(file).unwrap()), Limits::default()).unwrap();
    let track = demuxer.tracks().iter().find(|t| t.video().is_some() == video).unwrap().clone();
    let mut items = Vec::new();
    while let Some(item) = demuxer.next_item().unwrap() {
        if item.track() == Some(track.id) {
            items.push(item);
        }
    }
    (Track::clone(&track), items)
}

fn named(name: &str) -> decode::Options {
    let mut options = decode::Options::default();
    options.backend = Backend::Named(name.into());
    options
}

#[test]
fn every_frame_of_an_h264_file_keeps_its_time() {
    if cfg!(feature = "ffmpeg") || ffprobe().is_none() {
        println!("skipped: this is about the build without FFmpeg, with ffprobe as its judge");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for clip in ["clips/big_buck_bunny_720p25_5s.mp4", "clips/screen_1080p30_silent_audio.mp4"] {
        let Some(file) = corpus(clip) else { return };
        let (track, items) = items(&file, true);
        let mut target = filter::Video::default();
        target.size = Some((426, 240));
        let stages = vec![
            decode::open(&track, &named("openh264")).unwrap(),
            filter::video(&track, &target).unwrap(),
            encode::video(&encode::Video::new(Codec::H264), TrackId(1)).unwrap(),
        ];
        let encoded = Encoded::of(run(stages, items).unwrap());
        let source = frame_times(&file, "v:0");
        assert_eq!(encoded.times(), source, "{clip}");
        let out = write(&dir, "out.mp4", &encoded.mp4());
        assert_eq!(frame_times(&out, "v:0").len(), source.len(), "{clip}");
    }
}

#[test]
fn aac_sounds_as_it_does_elsewhere() {
    if cfg!(feature = "ffmpeg") || ffmpeg().is_none() {
        println!("skipped: this is about the build without FFmpeg, with the ffmpeg program as its judge");
        return;
    }
    let Some(file) = corpus("clips/big_buck_bunny_trailer_720p24.mp4") else { return };
    let (track, items) = items(&file, false);
    let out = run(vec![decode::open(&track, &named("symphonia")).unwrap()], items).unwrap();
    let ours: Vec<f32> = out
        .iter()
        .flat_map(|item| match item {
            Item::Frame(_, Frame::Audio(frame)) => frame.samples.to_vec(),
            _ => Vec::new(),
        })
        .collect();
    let theirs = decoded_sound(&file);
    assert_eq!(ours.len(), theirs.len());
    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "samples differ by up to {worst}");
}

#[test]
fn what_is_beyond_it_names_the_feature() {
    if cfg!(feature = "ffmpeg") {
        return;
    }
    let mut track = sv_testkit::video::Pattern::new(64, 64, sv_core::Ratio::ONE).track(1);
    for codec in [Codec::Hevc, Codec::Vp9, Codec::Other("mpeg2video")] {
        track.codec = codec;
        let Err(error) = decode::open(&track, &decode::Options::default()) else {
            panic!("{codec} decodes?")
        };
        assert_eq!(error.kind(), sv_core::ErrorKind::Unsupported);
        assert!(error.to_string().contains("feature `ffmpeg`"), "{error}");
    }
    let Err(error) = encode::video(&encode::Video::new(Codec::Hevc), TrackId(1)) else {
        panic!("HEVC encodes?")
    };
    assert!(error.to_string().contains("feature `ffmpeg`"), "{error}");
}
