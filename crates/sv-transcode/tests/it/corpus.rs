//! Real files: every frame of the source, at its time.

use std::path::Path;
use std::sync::Arc;

use sv_core::{Codec, FileAt, Item, Limits, Source as _, Track, TrackId};
use sv_ffmpeg::Demuxer;
use sv_testkit::corpus;
use sv_transcode::{decode, encode, filter};

use crate::kit::{Encoded, ffprobe, frame_times, run, write};

/// The first track of a kind, and its items.
pub(crate) fn items(file: &Path, video: bool) -> (Track, Vec<Item>) {
    let reader = Arc::new(FileAt::open(file).unwrap());
    let mut demuxer = Demuxer::open(reader, "input", Limits::default()).unwrap();
    let track = demuxer.tracks().iter().find(|t| t.video().is_some() == video).unwrap().clone();
    demuxer.select(&[track.id]);
    let mut items = Vec::new();
    while let Some(item) = demuxer.next_item().unwrap() {
        items.push(item);
    }
    (track, items)
}

pub(crate) fn transcode(file: &Path, target: filter::Video, codec: Codec) -> (Track, Encoded) {
    let (track, items) = items(file, true);
    let mut config = encode::Video::new(codec);
    config.effort = encode::Effort::Fastest;
    let stages = vec![
        decode::open(&track, &decode::Options::default()).unwrap(),
        filter::video(&track, &target).unwrap(),
        encode::video(&config, TrackId(1)).unwrap(),
    ];
    let encoded = Encoded::of(run(stages, items).unwrap());
    (track, encoded)
}

#[test]
fn every_frame_of_a_file_keeps_its_time() {
    if ffprobe().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for clip in [
        "clips/big_buck_bunny_trailer_720p24.mp4",
        "clips/city_405p25.mpg",
        "clips/pedestrians_576p10.avi",
        "clips/screen_1080p30_silent_audio.mp4",
    ] {
        let Some(file) = corpus(clip) else { return };
        let mut target = filter::Video::default();
        target.size = Some((256, 144));
        let (_, encoded) = transcode(&file, target, Codec::H264);
        let source = frame_times(&file, "v:0");
        assert_eq!(encoded.times(), source, "{clip}");
        let out = write(&dir, "out.mp4", &encoded.mp4());
        let there = frame_times(&out, "v:0");
        assert_eq!(there.len(), source.len(), "{clip}");
    }
}
