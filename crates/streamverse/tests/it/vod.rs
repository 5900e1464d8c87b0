//! `vod`: what comes out shows what went in.

use std::time::Duration;

use streamverse::core::{Codec, Event};
use streamverse::vod::{self, LadderChoice, Preset, Request};
use sv_testkit::{corpus, tool};

use crate::kit;

fn quick(input: impl Into<std::path::PathBuf>, output: impl Into<std::path::PathBuf>) -> Request {
    let mut request = Request::new(input, output);
    request.preset = Preset::Fastest;
    request.segment = Duration::from_secs(2);
    request
}

/// Files named by when they start, and fast motion of every second key frame.
#[test]
fn names_and_fast_motion_are_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let output = dir.path().join("out");
    let mut request = quick(&source, &output);
    (request.names_by_time, request.trick_play) = (true, vec![2, 3]);
    let (_handle, driver) = vod::start(request).unwrap();
    let report = driver.run().unwrap();
    let tricks: Vec<_> = report.renditions.iter().filter(|r| r.kind == "trick").collect();
    assert_eq!(tricks.len(), 2, "{report:?}");
    let manifest = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
    assert_eq!(manifest.matches("/$Time$.m4s").count(), report.renditions.len(), "{manifest}");
    for (trick, lengths) in tricks.iter().zip([[4, 3], [6, 1]]) {
        let set = manifest.split("<Representation ").find(|r| r.contains(&format!("id=\"{}\"", trick.name)));
        let value = |text: &str, name: &str| -> Option<u64> {
            text.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.parse().ok()
        };
        let scale = value(set.unwrap(), "timescale").unwrap();
        let seconds: Vec<u64> =
            set.unwrap().split("<S ").skip(1).map(|s| value(s, "d").unwrap() / scale).collect();
        assert_eq!(seconds, lengths, "{}", trick.name);
        assert!(output.join(&trick.name).join(format!("{}.m4s", lengths[0] * scale)).exists());
    }
    let played = kit::picture_hashes(&output.join("manifest.mpd"), None);
    assert_eq!(played.len(), 175);
}

#[test]
fn every_rung_has_every_picture_at_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let output = dir.path().join("out");
    let (mut handle, driver) = vod::start(quick(&source, &output)).unwrap();
    let events = handle.events();
    let report = driver.run().unwrap();
    drop(handle);

    let wanted = kit::picture_times(&source);
    assert_eq!(wanted.len(), 175);
    let videos: Vec<_> = report.renditions.iter().filter(|r| r.kind == "video").collect();
    assert!(videos.len() >= 2, "{report:?}");
    for video in &videos {
        let file = kit::joined(&output, &video.name);
        kit::same(&kit::picture_times(&file), &wanted, &video.name);
        assert_eq!(kit::key_times(&file), [0, 2000, 4000, 6000], "{}", video.name);
    }
    // 5.1 in, stereo and 5.1 out, each as long as the source to the sample.
    let sounds: Vec<_> = report.renditions.iter().filter(|r| r.kind == "audio").collect();
    assert_eq!(sounds.len(), 2);
    for sound in sounds {
        let file = kit::joined(&output, &sound.name);
        let args = ["-v", "error", "-i", file.to_str().unwrap(), "-f", "f32le", "-ac", "1", "-"];
        let pcm = std::process::Command::new(tool("ffmpeg").unwrap()).args(args).output().unwrap();
        assert!(pcm.status.success());
        let samples = pcm.stdout.len() / 4;
        // FFmpeg's AAC encoder pads to whole blocks of 1024, and some decoders keep the padding.
        assert!((7 * 48_000..=7 * 48_000 + 2048).contains(&samples), "{}: {samples}", sound.name);
    }
    let poster = std::fs::read(output.join(report.poster.unwrap())).unwrap();
    assert_eq!(poster[..3], [0xff, 0xd8, 0xff]);

    let events: Vec<_> = events.try_iter().collect();
    assert!(matches!(events.first(), Some(Event::Planned { .. })));
    assert!(matches!(events.last(), Some(Event::Finished { .. })));
    for video in videos {
        let whole = |e: &Event| matches!(e, Event::Progress { rendition, fraction, .. } if *rendition == video.name && *fraction == 1.0);
        assert!(events.iter().any(whole), "{}", video.name);
    }
    assert!(!output.with_file_name("out.partial").exists());
}

#[test]
fn nothing_is_enlarged_and_odd_sizes_are_fine() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-f", "lavfi", "-i", "testsrc2=s=321x181:r=30:d=2", "-c:v", "ffv1", "-pix_fmt", "yuv444p"];
    let Some(source) = kit::make(dir.path(), "odd.mkv", &args) else { return };
    let output = dir.path().join("out");
    let mut request = quick(&source, &output);
    request.ladder = LadderChoice::Fixed;
    let report = vod::start(request).unwrap().1.run().unwrap();
    for video in report.renditions.iter().filter(|r| r.kind == "video") {
        let (width, height) = (video.width.unwrap(), video.height.unwrap());
        assert!(width <= 322 && height <= 182 && width % 2 == 0 && height % 2 == 0, "{video:?}");
    }
}

#[test]
fn a_variable_rate_stays_variable() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=30:d=4",
        "-vf",
        "select='not(mod(n\\,3))+gt(n\\,60)'",
        "-vsync",
        "vfr",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ];
    let Some(source) = kit::make(dir.path(), "vfr.mp4", &args) else { return };
    let output = dir.path().join("out");
    let report = vod::start(quick(&source, &output)).unwrap().1.run().unwrap();
    let wanted = kit::picture_times(&source);
    let name = &report.renditions[0].name;
    kit::same(&kit::picture_times(&kit::joined(&output, name)), &wanted, name);
}

#[test]
fn a_turned_clip_is_shown_upright() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1", "-c:v", "libx264"];
    let Some(plain) = kit::make(dir.path(), "plain.mp4", &args) else { return };
    let args = ["-i", plain.to_str().unwrap(), "-c", "copy", "-metadata:s:v:0", "rotate=90"];
    let source = kit::make(dir.path(), "turned.mp4", &args).unwrap();
    let output = dir.path().join("out");
    let report = vod::start(quick(&source, &output)).unwrap().1.run().unwrap();
    let top = &report.renditions[0];
    assert_eq!((top.width, top.height), (Some(180), Some(320)));
}

#[test]
fn subtitles_inside_the_file_come_along() {
    let dir = tempfile::tempdir().unwrap();
    let words = dir.path().join("words.srt");
    std::fs::write(&words, "1\n00:00:00,500 --> 00:00:01,500\nGood <i>morning</i>\n\n2\n00:00:02,000 --> 00:00:03,000\nTwo\nlines\n").unwrap();
    let args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25:d=4",
        "-i",
        words.to_str().unwrap(),
        "-map",
        "0:v",
        "-map",
        "1:s",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-metadata:s:s:0",
        "language=eng",
    ];
    for (name, codec) in [("film.mkv", "srt"), ("film.mp4", "mov_text")] {
        let Some(source) = kit::make(dir.path(), name, &[&args[..], &["-c:s", codec]].concat()) else {
            return;
        };
        let output = dir.path().join(codec);
        let report = vod::start(quick(&source, &output)).unwrap().1.run().unwrap();
        let text = report.renditions.iter().find(|r| r.kind == "text").unwrap();
        assert_eq!(text.language.as_deref(), Some("en"), "{name}");
        // A reader that is not ours gives the words back.
        let vtt = output.join(format!("{}.vtt", text.name));
        let said = kit::run(
            &tool("ffmpeg").unwrap(),
            &["-v", "error", "-i", vtt.to_str().unwrap(), "-f", "srt", "-"],
        );
        // FFmpeg ends lines of its SubRip as Windows does.
        let said = said.replace('\r', "");
        assert!(said.contains("00:00:00,500 --> 00:00:01,500\nGood"), "{name}: {said}");
        assert!(said.contains("00:00:02,000 --> 00:00:03,000\nTwo\nlines"), "{name}: {said}");
        let master = std::fs::read_to_string(output.join("master.m3u8")).unwrap();
        assert!(master.contains("TYPE=SUBTITLES") && master.contains("LANGUAGE=\"en\""), "{master}");
    }
}

#[test]
fn hdr_is_kept_where_the_codec_can_and_never_mislabelled() {
    let Some(source) = corpus("shaka/inputs/bear-640x360-hevc-hdr10.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let mut request = quick(source, &output);
    request.codecs = vec![Codec::H264, Codec::Hevc];
    let report = vod::start(request).unwrap().1.run().unwrap();
    let master = std::fs::read_to_string(output.join("master.m3u8")).unwrap();
    for video in report.renditions.iter().filter(|r| r.kind == "video") {
        let file = kit::joined(&output, &video.name);
        let args = [
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=color_transfer,pix_fmt",
            "-of",
            "csv=p=0",
            file.to_str().unwrap(),
        ];
        let said = kit::run(&tool("ffprobe").unwrap(), &args);
        let (wanted, range) = if video.codec.starts_with("avc1") {
            ("yuv420p,bt709", "VIDEO-RANGE=SDR")
        } else {
            ("yuv420p10le,smpte2084", "VIDEO-RANGE=PQ")
        };
        assert_eq!(said.trim(), wanted, "{}", video.name);
        let line = master.lines().find(|l| l.starts_with("#EXT-X-STREAM-INF") && l.contains(&video.codec));
        assert!(line.unwrap().contains(range), "{line:?}");
    }
}

#[test]
fn dolby_vision_is_kept_or_refused() {
    let Some(source) = corpus("shaka/inputs/sparks_dovi_8.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let mut request = quick(source, &output);
    request.codecs = vec![Codec::Hevc];
    let report = vod::start(request).unwrap().1.run().unwrap();
    let master = std::fs::read_to_string(output.join("master.m3u8")).unwrap();
    // The codec as shaka-packager names it, and the brand of HDR10.
    assert!(master.contains("SUPPLEMENTAL-CODECS=\"dvh1.08.01/db1p\""), "{master}");
    let manifest = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
    let said = "scte214:supplementalCodecs=\"dvh1.08.01\" scte214:supplementalProfiles=\"db1p\"";
    assert!(manifest.contains(said), "{manifest}");
    for video in report.renditions.iter().filter(|r| r.kind == "video") {
        let file = kit::joined(&output, &video.name);
        let args = ["-v", "error", "-select_streams", "v:0", "-show_streams", file.to_str().unwrap()];
        let said = kit::run(&tool("ffprobe").unwrap(), &args);
        assert!(
            said.contains("dv_profile=8") && said.contains("compatibility_id=1"),
            "{}: {said}",
            video.name
        );
    }

    let Some(source) = corpus("shaka/inputs/sparks_dovi_5.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let refused = vod::start(quick(source, dir.path().join("out"))).and_then(|started| started.1.run());
    let reason = refused.err().unwrap().to_string();
    assert!(reason.contains("profile 5"), "{reason}");
}

#[test]
fn real_files_keep_all_their_pictures() {
    for (name, pictures) in [
        ("clips/big_buck_bunny_720p25_5s.mp4", 132),
        ("clips/city_405p25.mpg", 190),
        ("clips/screen_1080p30_silent_audio.mp4", 209),
    ] {
        let Some(source) = corpus(name) else { return };
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        let report = vod::start(quick(source, &output)).unwrap().1.run().unwrap();
        let bottom = report.renditions.iter().rfind(|r| r.kind == "video").unwrap();
        assert_eq!(kit::picture_times(&kit::joined(&output, &bottom.name)).len(), pictures, "{name}");
    }
}
