//! Synthetic pictures and sound through filters and encoders.

use std::time::Duration;

use sv_core::{Codec, Item, TrackId};
use sv_testkit::video::Pattern;
use sv_transcode::encode::{self, Grid};
use sv_transcode::filter;

use crate::kit::{
    Encoded, codes, decoded, ffmpeg, ffprobe, frame_times, frames, probe, ratio, run, value, write,
};

/// Video codecs that this build can encode.
fn codecs() -> Vec<Codec> {
    let all = [Codec::H264, Codec::Hevc, Codec::Av1, Codec::Vp9];
    all.into_iter().filter(|c| encode::is_supported(*c)).collect()
}

fn config(codec: Codec) -> encode::Video {
    let mut config = encode::Video::new(codec);
    config.effort = encode::Effort::Fastest;
    config.grid = Grid::every(Duration::from_secs(1));
    config
}

fn encode(pattern: &Pattern, config: &encode::Video, from: u32, count: u32) -> Encoded {
    let stages = vec![encode::video(config, TrackId(1)).unwrap()];
    Encoded::of(run(stages, frames(pattern, from, count)).unwrap())
}

#[test]
fn no_frame_is_lost_or_repeated_and_key_frames_are_on_the_grid() {
    if ffprobe().is_none() || ffmpeg().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for codec in codecs() {
        let pattern = Pattern::new(320, 180, ratio(25, 1));
        let encoded = encode(&pattern, &config(codec), 0, 90);
        assert_eq!(encoded.times(), (0..90).collect::<Vec<_>>(), "{codec}");
        assert_eq!(encoded.key_times(), [0, 25, 50, 75], "{codec}");
        let total: u64 = encoded.packets.iter().map(|p| p.duration.ticks()).sum();
        assert_eq!(total, 90, "{codec}");
        let file = write(&dir, &format!("{codec}.mp4"), &encoded.mp4());
        let seen = codes(&decoded(&file, 320, 180));
        assert_eq!(seen, (0..90).map(Some).collect::<Vec<_>>(), "{codec}");
        let times = frame_times(&file, "v:0");
        let steps: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(steps, vec![1; 89], "{codec}");
        let found = probe(&file, "stream=codec_name,width,height,color_space,color_primaries,color_transfer");
        assert_eq!(value(&found, "codec_name"), codec.name());
        assert_eq!((value(&found, "width"), value(&found, "height")), ("320".into(), "180".into()));
        for key in ["color_space", "color_primaries", "color_transfer"] {
            assert_eq!(value(&found, key), "bt709", "{codec} {key}");
        }
    }
}

#[test]
fn work_that_was_cut_short_goes_on_with_the_same_configuration() {
    for codec in codecs() {
        let pattern = Pattern::new(320, 180, ratio(30000, 1001));
        let whole = encode(&pattern, &config(codec), 0, 90);
        let rest = encode(&pattern, &config(codec), 60, 30);
        assert_eq!(whole.track.config, rest.track.config, "{codec}");
        assert_eq!(whole.key_times(), [0, 30, 60], "{codec}");
        assert_eq!(rest.key_times(), [60], "{codec}");
        assert_eq!(rest.times(), (60..90).collect::<Vec<_>>(), "{codec}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let pattern = Pattern::new(160, 90, ratio(25, 1));
    for codec in codecs() {
        let first = encode(&pattern, &config(codec), 0, 30);
        let second = encode(&pattern, &config(codec), 0, 30);
        assert_eq!(first.packets, second.packets, "{codec}");
    }
}

#[test]
fn smaller_rungs_are_fed_by_larger_ones() {
    if ffmpeg().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let pattern = Pattern::new(641, 359, ratio(25, 1));
    let mut items: Vec<Item> = frames(&pattern, 0, 30).collect();
    let mut track = pattern.track(7);
    for (w, h) in [(640, 360), (426, 240), (256, 144)] {
        let mut target = filter::Video::default();
        target.size = Some((w, h));
        items = run(vec![filter::video(&track, &target).unwrap()], items).unwrap();
        let Some(Item::Track(described)) = items.first() else { panic!("no track first") };
        track = sv_core::Track::clone(described);
        let info = track.video().unwrap();
        assert_eq!((info.width, info.height), (w, h));
        let stages = vec![encode::video(&config(Codec::H264), TrackId(1)).unwrap()];
        let encoded = Encoded::of(run(stages, items.clone()).unwrap());
        let file = write(&dir, &format!("{h}.mp4"), &encoded.mp4());
        assert_eq!(codes(&decoded(&file, w, h)), (0..30).map(Some).collect::<Vec<_>>(), "{w}x{h}");
    }
}
