//! Ladders, sound plans, posters: decisions without codecs.

use std::process::Command;

use sv_core::{AudioInfo, Codec, ColorInfo, VideoInfo};
use sv_testkit::video::Pattern;
use sv_transcode::{Ladder, audio, capabilities, poster};

use crate::kit::{ffmpeg, ratio, write};

fn source(width: u32, height: u32) -> VideoInfo {
    let mut info = VideoInfo::new(width, height);
    info.frame_rate = Some(ratio(25, 1));
    info
}

fn sizes(ladder: &Ladder) -> Vec<(u32, u32)> {
    ladder.rungs.iter().map(|r| (r.width, r.height)).collect()
}

#[test]
fn nothing_is_ever_enlarged_and_shapes_are_kept() {
    for (w, h) in
        [(3840, 2160), (1920, 800), (1280, 720), (720, 576), (640, 1136), (405, 720), (321, 181), (100, 64)]
    {
        let info = source(w, h);
        let ladder = Ladder::auto(&info, None, &[Codec::H264, Codec::Av1]);
        assert!(!ladder.rungs.is_empty());
        assert!(!ladder.reasons.is_empty());
        ladder.check(&info).unwrap();
        for rung in &ladder.rungs {
            assert!(rung.width.min(rung.height) <= w.min(h).next_multiple_of(2), "{w}x{h}: {rung:?}");
            let (shape, own) = (f64::from(w) / f64::from(h), f64::from(rung.width) / f64::from(rung.height));
            assert!((shape / own - 1.0).abs() < 0.03, "{w}x{h}: {rung:?}");
        }
        for codec in ["h264", "av1"] {
            let rates: Vec<u64> =
                ladder.rungs.iter().filter(|r| r.codec == codec).map(|r| r.bitrate).collect();
            assert!(rates.is_sorted_by(|a, b| a > b), "{w}x{h} {codec}: {rates:?}");
        }
    }
}

#[test]
fn rungs_that_the_source_cannot_fill_are_left_out() {
    let rich = Ladder::auto(&source(1920, 1080), None, &[Codec::H264]);
    assert_eq!(sizes(&rich), [(1920, 1080), (1280, 720), (854, 480), (640, 360), (426, 240)]);
    let poor = Ladder::auto(&source(1920, 1080), Some(200_000), &[Codec::H264]);
    assert!(poor.rungs.len() < rich.rungs.len());
    assert!(poor.rungs.iter().all(|r| r.bitrate <= 230_000), "{:?}", poor.rungs);
    assert!(poor.reasons.iter().any(|r| r.contains("left out")), "{:?}", poor.reasons);
}

#[test]
fn what_goes_below_a_source_is_smaller_and_cheaper() {
    let hd = source(1280, 720);
    let ladder = Ladder::auto(&hd, Some(3_000_000), &[Codec::H264]).below(&hd, Some(3_000_000));
    assert_eq!(sizes(&ladder), [(854, 480), (640, 360), (426, 240)]);
    // A ladder by hand, for a source that has few bits.
    let all = Ladder::fixed(&source(1920, 1080), &[Codec::H264]).below(&hd, Some(1_000_000));
    assert_eq!(sizes(&all), [(768, 432), (640, 360), (426, 240)]);
    assert!(all.rungs.iter().all(|r| r.max_bitrate <= 1_000_000), "{all:?}");
    assert!(all.reasons.iter().any(|r| r.contains("the source itself has 1000")), "{all:?}");
    assert!(
        Ladder::auto(&source(320, 240), None, &[Codec::H264]).below(&source(320, 240), None).rungs.is_empty()
    );
    // Another sender, smaller and of another shape.
    let fitted: Vec<_> = ladder.rungs.iter().map(|r| r.fitted(&source(480, 360))).collect();
    let sizes: Vec<_> = fitted.iter().map(|r| (r.width, r.height)).collect();
    assert_eq!(sizes, [(480, 360), (480, 360), (320, 240)]);
    assert_eq!(fitted[0].bitrate, ladder.rungs[0].bitrate);
}

#[test]
fn a_modest_source_still_gives_players_a_choice() {
    let ladder = Ladder::auto(&source(1280, 720), Some(1_000_000), &[Codec::H264]);
    assert_eq!(sizes(&ladder), [(1280, 720), (854, 480), (640, 360), (426, 240)]);
    let rates: Vec<u64> = ladder.rungs.iter().map(|r| r.bitrate).collect();
    assert!(rates.windows(2).all(|w| w[1] * 4 <= w[0] * 3), "{rates:?}");
}

#[test]
fn a_phones_clip_stands_upright_and_television_is_widened() {
    let mut phone = source(1920, 1080);
    phone.quarter_turns = 1;
    assert_eq!(sizes(&Ladder::auto(&phone, None, &[Codec::H264]))[0], (1080, 1920));
    let mut tv = source(720, 576);
    tv.sample_aspect = ratio(64, 45);
    assert_eq!(sizes(&Ladder::fixed(&tv, &[Codec::H264]))[0], (960, 540));
}

#[test]
fn newer_codecs_get_fewer_bits() {
    let ladder = Ladder::auto(&source(1280, 720), None, &[Codec::H264, Codec::Hevc, Codec::Av1, Codec::Vp9]);
    let top = |codec: &str| ladder.rungs.iter().find(|r| r.codec == codec).unwrap().bitrate as f64;
    for (codec, share) in [("hevc", 0.6), ("av1", 0.5), ("vp9", 0.65)] {
        assert!((top(codec) / top("h264") - share).abs() < 0.01, "{codec}");
    }
}

#[test]
fn a_ladder_written_by_hand_is_checked() {
    let info = source(1280, 720);
    let good = Ladder::auto(&info, None, &[Codec::H264]);
    for fault in 0..5 {
        let mut bad = good.clone();
        match fault {
            0 => bad.rungs.clear(),
            1 => bad.rungs[0].width = 1281,
            2 => bad.rungs[0].codec = "mpeg2".into(),
            3 => bad.rungs[0].name = "../720p".into(),
            _ => bad.rungs[0].height = 2160,
        }
        if fault == 4 {
            bad.rungs[0].width = 3840;
        }
        let error = bad.check(&info).unwrap_err();
        assert_eq!(error.kind(), sv_core::ErrorKind::InvalidInput, "{fault}");
    }
}

#[test]
fn surround_gives_stereo_too() {
    let info = |channels| AudioInfo { sample_rate: 44_100, channels, delay: 0, bit_depth: 16 };
    let names =
        |channels, codec| audio::plan(&info(channels), codec).into_iter().map(|r| r.name).collect::<Vec<_>>();
    assert_eq!(names(6, Codec::Aac), ["stereo", "5.1"]);
    assert_eq!(names(2, Codec::Aac), ["stereo"]);
    assert_eq!(names(1, Codec::Aac), ["mono"]);
    assert_eq!(audio::plan(&info(2), Codec::Aac)[0].sample_rate, 44_100);
    assert_eq!(audio::plan(&info(2), Codec::Opus)[0].sample_rate, 48_000);
}

#[test]
fn a_poster_has_the_colours_of_its_frame() {
    let Some(program) = ffmpeg() else { return };
    let mut pattern = Pattern::new(640, 361, ratio(25, 1));
    for color in [ColorInfo::BT709, ColorInfo { primaries: 6, transfer: 6, matrix: 6, full_range: false }] {
        pattern.color = color;
        // By then the square has left the bars.
        let jpeg = poster::jpeg(&pattern.frame(40), 320).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = write(&dir, "poster.jpg", &jpeg);
        let out = Command::new(&program)
            .args(["-v", "error", "-i"])
            .arg(file)
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
            .output()
            .unwrap();
        assert_eq!(out.stdout.len(), 320 * 180 * 3);
        let pixel = |x: usize| &out.stdout[(10 * 320 + x) * 3..][..3];
        // The bars of BT.709 are white, yellow, cyan, green, magenta, red, blue at 75 %.
        let bars = [
            [191, 191, 191],
            [191, 191, 0],
            [0, 191, 191],
            [0, 191, 0],
            [191, 0, 191],
            [191, 0, 0],
            [0, 0, 191],
        ];
        let worst = bars.iter().enumerate().flat_map(|(i, bar)| {
            let seen = pixel(i * 40 + 20).to_vec();
            bar.iter().zip(seen).map(|(a, b)| u8::abs_diff(*a, b)).collect::<Vec<_>>()
        });
        let worst = worst.max().unwrap();
        // Read with another matrix the same samples are other colours.
        assert_eq!(worst < 8, color == ColorInfo::BT709, "{color:?}: {worst}");
    }
    assert!(poster::jpeg(&pattern.frame(0), 10_000).unwrap().len() > 1000, "never enlarged");
}

#[test]
fn capabilities_say_what_would_help() {
    for capability in capabilities() {
        assert_ne!(capability.enabled, capability.hint.is_some(), "{capability:?}");
        let able = !capability.encoders.is_empty() || !capability.decoders.is_empty();
        assert!(!capability.enabled || able, "{capability:?}");
    }
}

#[test]
fn a_device_works_or_says_why_not() {
    use sv_core::TrackId;
    use sv_transcode::{Backend, encode};
    let mut config = encode::Video::new(Codec::H264);
    config.backend = Backend::Hardware;
    let stages = vec![encode::video(&config, TrackId(1)).unwrap()];
    let pattern = Pattern::new(640, 360, ratio(25, 1));
    match crate::kit::run(stages, crate::kit::frames(&pattern, 0, 10)) {
        Ok(items) => assert_eq!(crate::kit::Encoded::of(items).packets.len(), 10),
        Err(error) => {
            assert_eq!(error.kind(), sv_core::ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("h264"), "{error}");
        }
    }
}
