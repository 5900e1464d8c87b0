//! Difficult sources, made with the ffmpeg program: HDR, phones, television, webcams.

use std::path::{Path, PathBuf};
use std::process::Command;

use sv_core::{Codec, TrackId};
use sv_testkit::video::{Pattern, read_code};
use sv_transcode::{decode, encode, filter};

use crate::corpus::{items, transcode};
use crate::kit::{
    Encoded, codes, decoded, ffmpeg, ffprobe, frame_times, frames, probe, ratio, run, value, write,
};

/// Makes a file with the ffmpeg program, from a pattern in MP4 where `-i PATTERN` is asked for.
fn make(dir: &tempfile::TempDir, name: &str, arguments: &str) -> Option<PathBuf> {
    let program = ffmpeg()?;
    ffprobe()?;
    let pattern = dir.path().join("pattern.mp4");
    if !pattern.exists() {
        let mut config = encode::Video::new(Codec::H264);
        config.rate = encode::Rate::Quality { crf: 12.0, cap: None };
        let stages = vec![encode::video(&config, TrackId(1)).unwrap()];
        let encoded = Encoded::of(run(stages, frames(&Pattern::new(640, 360, ratio(25, 1)), 0, 60)).unwrap());
        write(dir, "pattern.mp4", &encoded.mp4());
    }
    let file = dir.path().join(name);
    let arguments = arguments.replace("PATTERN", pattern.to_str().unwrap());
    let out = Command::new(program)
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(&file)
        .output()
        .unwrap();
    assert!(out.status.success(), "making {name}: {}", String::from_utf8_lossy(&out.stderr));
    Some(file)
}

fn sized(width: u32, height: u32) -> filter::Video {
    let mut target = filter::Video::default();
    target.size = Some((width, height));
    target
}

const HDR: &str = "-i PATTERN -vf format=yuv420p10le -c:v libx265 -preset ultrafast -color_primaries bt2020 -color_trc \
    smpte2084 -colorspace bt2020nc -tag:v hvc1 -x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:\
    colormatrix=bt2020nc:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)\
    L(10000000,50):max-cll=1000,400";

fn hdr(dir: &tempfile::TempDir) -> Option<PathBuf> {
    make(dir, "hdr.mp4", &HDR.replace("smpte2084:    colormatrix", "smpte2084:colormatrix"))
}

#[test]
fn hdr_stays_hdr_with_all_its_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = hdr(&dir) else { return };
    for codec in [Codec::Hevc, Codec::Av1] {
        if !encode::is_supported(codec) {
            continue;
        }
        let (track, encoded) = transcode(&source, sized(320, 180), codec);
        let (from, to) = (track.video().unwrap(), encoded.track.video().unwrap());
        assert_eq!((to.bit_depth, to.color), (10, from.color), "{codec}");
        let mastering = to.hdr.mastering.unwrap();
        assert_eq!(mastering.primaries, [[34_000, 16_000], [13_250, 34_500], [7500, 3000]], "{codec}");
        assert_eq!((mastering.white, mastering.max_luminance), ([15_635, 16_450], 10_000_000), "{codec}");
        let light = to.hdr.light.unwrap();
        assert_eq!((light.max_content, light.max_average), (1000, 400), "{codec}");
        let file = write(&dir, &format!("{codec}.mp4"), &encoded.mp4());
        let found = probe(&file, "stream=pix_fmt,color_space,color_transfer,color_primaries");
        let expected = [
            ("pix_fmt", "yuv420p10le"),
            ("color_space", "bt2020nc"),
            ("color_transfer", "smpte2084"),
            ("color_primaries", "bt2020"),
        ];
        for (key, expected) in expected {
            assert_eq!(value(&found, key), expected, "{codec}");
        }
        // What the bitstream itself says, container aside.
        let side = probe(&file, "frame:frame_side_data_list").join("\n");
        for line in ["red_x=34000/50000", "green_y=34500/50000", "max_content=1000", "max_average=400"] {
            // AV1 stores chromaticities in other steps, so these come out as other fractions.
            if codec == Codec::Hevc || line.starts_with("max") {
                assert!(side.contains(line), "{codec} lacks {line}: {side}");
            }
        }
        assert_eq!(frame_times(&file, "v:0").len(), 60);
    }
}

#[test]
fn hdr_becomes_standard_for_h264_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = hdr(&dir) else { return };
    let mut target = sized(320, 180);
    target.dynamic_range = filter::DynamicRange::Standard;
    let (_, encoded) = transcode(&source, target, Codec::H264);
    let info = encoded.track.video().unwrap();
    assert_eq!((info.bit_depth, info.color), (8, sv_core::ColorInfo::BT709));
    assert_eq!(info.hdr, sv_core::HdrMetadata::default());
    let file = write(&dir, "sdr.mp4", &encoded.mp4());
    let found = probe(&file, "stream=pix_fmt,color_space,color_transfer,color_primaries");
    assert_eq!(value(&found, "pix_fmt"), "yuv420p");
    for key in ["color_space", "color_transfer", "color_primaries"] {
        assert_eq!(value(&found, key), "bt709");
    }
    let pictures = decoded(&file, 320, 180);
    assert_eq!(pictures.len(), 60);
    // Grey stays grey: the code along the bottom has no colour.
    let chroma = pictures[10].picture.plane(1).unwrap();
    let rows = &chroma.data[82 * chroma.stride..][..8 * chroma.stride];
    let mean = rows.iter().map(|c| f64::from(*c)).sum::<f64>() / rows.len() as f64;
    assert!((mean - 128.0).abs() < 1.5, "{mean}");
}

#[test]
fn a_phones_clip_is_turned_upright() {
    let dir = tempfile::tempdir().unwrap();
    // Turning the pattern first makes a file that shows it upright once it is turned back.
    for (filter, degrees, turns) in
        [("transpose=cclock", 270, 1u8), ("hflip,vflip", 180, 2), ("transpose=clock", 90, 3)]
    {
        let flat = make(&dir, &format!("flat{turns}.mp4"), &format!("-i PATTERN -vf {filter} -crf 12"));
        let Some(flat) = flat else { return };
        let turned = make(
            &dir,
            &format!("turned{turns}.mp4"),
            &format!("-i {} -c copy -metadata:s:v:0 rotate={degrees}", flat.display()),
        );
        // FFmpeg 5 takes the tag clockwise for `rotate`: 90 means "turn by 90 to show".
        let Some(turned) = turned else { return };
        let (track, encoded) = transcode(&turned, filter::Video::default(), Codec::H264);
        let quarter = track.video().unwrap().quarter_turns;
        assert_ne!(quarter, 0, "the file says nothing about rotation");
        let info = encoded.track.video().unwrap();
        assert_eq!(info.quarter_turns, 0);
        let file = write(&dir, "upright.mp4", &encoded.mp4());
        let pictures = decoded(&file, info.width, info.height);
        if quarter == turns {
            assert_eq!((info.width, info.height), (640, 360));
            assert_eq!(codes(&pictures), (0..60).map(Some).collect::<Vec<_>>(), "{degrees}");
        } else {
            panic!("rotate={degrees} was read as {quarter} quarter turns, not {turns}");
        }
    }
}

#[test]
fn television_becomes_whole_pictures() {
    let dir = tempfile::tempdir().unwrap();
    // Fields of a moving pattern at twice the rate, as a camera makes them.
    let arguments = "-i PATTERN -vf scale=720:576,tinterlace=interleave_top,setsar=64/45 -r 25 -c:v mpeg2video -q:v 2 \
        -flags +ilme+ildct -top 1";
    let Some(source) = make(&dir, "tv.mpg", arguments) else { return };
    let expected = frame_times(&source, "v:0");
    let (track, encoded) = transcode(&source, filter::Video::default(), Codec::H264);
    assert!(track.video().unwrap().interlaced);
    assert_eq!(encoded.times(), expected);
    let info = encoded.track.video().unwrap();
    assert!(!info.interlaced);
    assert_eq!((info.width, info.height), (1024, 576), "samples are square");
    let file = write(&dir, "whole.mp4", &encoded.mp4());
    assert_eq!(value(&probe(&file, "stream=sample_aspect_ratio,field_order"), "sample_aspect_ratio"), "1:1");
    // The comb is gone: neighbouring rows differ no more than rows two apart do.
    let pictures = decoded(&file, 1024, 576);
    let (near, far) = comb(&pictures[pictures.len() / 2]);
    assert!(near < far * 0.9, "rows differ by {near:.2} from the next and {far:.2} from the one after");
}

/// Mean difference of rows one and two apart, where the pattern moves.
fn comb(frame: &sv_core::VideoFrame) -> (f64, f64) {
    let luma = frame.picture.plane(0).unwrap();
    let (w, h) = (frame.width as usize, frame.height as usize);
    let at = |x: usize, y: usize| f64::from(luma.data[y * luma.stride + x]);
    let (mut near, mut far) = (0.0, 0.0);
    for y in h * 4 / 10..h * 8 / 10 {
        for x in 0..w {
            near += (at(x, y) - at(x, y + 1)).abs();
            far += (at(x, y) - at(x, y + 2)).abs();
        }
    }
    let n = (w * (h * 8 / 10 - h * 4 / 10)) as f64;
    (near / n, far / n)
}

#[test]
fn a_webcams_uneven_times_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = "-i PATTERN -vf select=not(eq(mod(n\\,7)\\,3))*not(between(n\\,20\\,40)) -fps_mode passthrough -c:v \
        libx264 -preset ultrafast -crf 15 -bf 2 -video_track_timescale 90000";
    let Some(source) = make(&dir, "vfr.mp4", arguments) else { return };
    let expected = frame_times(&source, "v:0");
    assert!(expected.len() > 20 && expected.len() < 40);
    let (_, encoded) = transcode(&source, sized(320, 180), Codec::H264);
    assert_eq!(encoded.times(), expected);
    let file = write(&dir, "out.mp4", &encoded.mp4());
    let there = frame_times(&file, "v:0");
    let steps = |times: &[i64]| times.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>();
    assert_eq!(steps(&there), steps(&expected));
    let numbers: Vec<u32> = decoded(&file, 320, 180).iter().map(|f| read_code(f).unwrap()).collect();
    let kept: Vec<u32> = (0..60).filter(|n| n % 7 != 3 && !(20..=40).contains(n)).collect();
    assert_eq!(numbers, kept);
}

#[test]
fn sound_of_a_file_is_as_long_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    // 2.5 s are 120,000 samples, no multiple of a frame of AAC.
    let arguments = "-f lavfi -i sine=frequency=1000:sample_rate=48000:duration=2.5 -c:a aac";
    for name in ["a.mp4", "a.mkv", "a.ts", "a.flac"] {
        let codec = if name.ends_with("flac") { "flac" } else { "aac" };
        let Some(source) = make(&dir, name, &arguments.replace("-c:a aac", &format!("-c:a {codec}"))) else {
            return;
        };
        let (track, items) = items(&source, false);
        let stages = vec![
            decode::open(&track, &decode::Options::default()).unwrap(),
            filter::audio(&track, &filter::Audio::default()).unwrap(),
        ];
        let out = run(stages, items).unwrap();
        let count: usize = out.iter().map(count_of).sum();
        match name {
            // These two know the exact length.
            "a.mp4" | "a.flac" => assert_eq!(count, 120_000, "{name}"),
            _ => assert!(count.abs_diff(120_000) <= 2048, "{name}: {count}"),
        }
    }
}

fn count_of(item: &sv_core::Item) -> usize {
    match item {
        sv_core::Item::Frame(_, sv_core::Frame::Audio(frame)) => {
            frame.samples.len() / usize::from(frame.channels)
        }
        _ => 0,
    }
}

#[test]
fn a_damaged_file_gives_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = make(&dir, "whole.ts", "-i PATTERN -c copy") else { return };
    let mut bytes = std::fs::read(&source).unwrap();
    let mut random = sv_testkit::Rng::new(7);
    for _ in 0..40 {
        let at = 20_000 + random.below(bytes.len() as u64 - 20_000) as usize;
        bytes[at] ^= 0x55;
    }
    let broken = write(&dir, "broken.ts", &bytes);
    let (_, encoded) = transcode(Path::new(&broken), sized(320, 180), Codec::H264);
    assert!((30..=60).contains(&encoded.packets.len()), "{}", encoded.packets.len());
}
