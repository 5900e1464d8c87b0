//! Without FFmpeg: what the default features can do, and what they say about the rest.

use std::time::Duration;

use streamverse::core::ErrorKind;
use streamverse::vod::{self, Request};

use crate::kit;

#[test]
fn h264_and_aac_become_h264_and_opus() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25:d=5",
        "-f",
        "lavfi",
        "-i",
        "sine=f=440:r=48000:d=5",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
    ];
    let Some(source) = kit::make(dir.path(), "film.mp4", &args) else { return };
    let output = dir.path().join("out");
    let mut request = Request::new(&source, &output);
    request.segment = Duration::from_secs(2);
    let report = vod::start(request).unwrap().1.run().unwrap();

    let video = report.renditions.iter().find(|r| r.kind == "video").unwrap();
    assert!(video.codec.starts_with("avc1."), "{video:?}");
    let file = kit::joined(&output, &video.name);
    kit::same(&kit::picture_times(&file), &kit::picture_times(&source), &video.name);
    assert_eq!(kit::key_times(&file), [0, 2000, 4000]);
    let sound = report.renditions.iter().find(|r| r.kind == "audio").unwrap();
    assert_eq!(sound.codec, "opus");
    let sound = kit::joined(&output, &sound.name);
    let args = ["-v", "error", "-i", sound.to_str().unwrap(), "-f", "f32le", "-ac", "1", "-"];
    let pcm = std::process::Command::new(sv_testkit::tool("ffmpeg").unwrap()).args(args).output().unwrap();
    assert!(pcm.stdout.len() / 4 >= 5 * 48_000, "{}", pcm.stdout.len() / 4);
}

#[test]
fn what_is_not_supported_names_the_feature_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1"];
    for (name, codec) in [("film.mkv", "libx264"), ("film.avi", "mpeg4"), ("hevc.mp4", "libx265")] {
        let Some(source) = kit::make(dir.path(), name, &[&picture[..], &["-c:v", codec]].concat()) else {
            return;
        };
        let error = vod::start(Request::new(&source, dir.path().join("out"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        assert!(error.to_string().contains("ffmpeg"), "{name}: {error}");
    }
}
