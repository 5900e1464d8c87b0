//! Manifests, read by parsers that are not ours and compared with the files that they name.

use std::path::Path;

use m3u8_rs::Playlist;
use streamverse::package_files::{self, Request};
use sv_testkit::tool;

use crate::kit;

fn packaged(dir: &Path, single_file: bool) -> Option<std::path::PathBuf> {
    let source = kit::source(dir, 9)?;
    let subtitles = dir.join("words.en.vtt");
    std::fs::write(&subtitles, "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n").unwrap();
    let output = dir.join("out");
    let mut request = Request::new(vec![source, subtitles], &output);
    request.single_file = single_file;
    package_files::start(request).unwrap().1.run().unwrap();
    Some(output)
}

/// Every byte that a media playlist names, run by run, with its length in seconds.
fn runs(output: &Path, playlist: &str) -> Vec<(Vec<u8>, f64)> {
    let bytes = std::fs::read(output.join(playlist)).unwrap();
    let Playlist::MediaPlaylist(playlist) = m3u8_rs::parse_playlist_res(&bytes).unwrap() else {
        panic!("{playlist} is no media playlist")
    };
    assert!(playlist.end_list);
    let longest = playlist.segments.iter().map(|s| s.duration).fold(0.0, f32::max);
    assert!(longest.round() as u64 <= playlist.target_duration, "{longest} > {}", playlist.target_duration);
    let read = |s: &m3u8_rs::MediaSegment| {
        let file = std::fs::read(output.join(&s.uri)).unwrap();
        let data = match &s.byte_range {
            Some(range) => {
                let start = range.offset.unwrap() as usize;
                file[start..start + range.length as usize].to_vec()
            }
            None => file,
        };
        (data, f64::from(s.duration))
    };
    playlist.segments.iter().map(read).collect()
}

#[test]
fn hls_says_what_the_files_are() {
    for single_file in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let Some(output) = packaged(dir.path(), single_file) else { return };
        let bytes = std::fs::read(output.join("master.m3u8")).unwrap();
        let Playlist::MasterPlaylist(master) = m3u8_rs::parse_playlist_res(&bytes).unwrap() else {
            panic!("no multivariant playlist")
        };
        let variants: Vec<_> = master.variants.iter().filter(|v| !v.is_i_frame).collect();
        assert_eq!(variants.len(), 1);
        let variant = variants[0];
        assert_eq!(variant.codecs.as_deref(), Some("avc1.64001e,mp4a.40.2"));
        assert_eq!(variant.frame_rate, Some(25.0));
        let size = variant.resolution.unwrap();
        assert_eq!((size.width, size.height), (640, 360));
        let sound = master
            .alternatives
            .iter()
            .find(|a| a.media_type == m3u8_rs::AlternativeMediaType::Audio)
            .unwrap();
        let words =
            master.alternatives.iter().find(|a| a.media_type == m3u8_rs::AlternativeMediaType::Subtitles);
        assert_eq!(words.unwrap().language.as_deref(), Some("en"));

        // Rates as RFC 8216 defines them, counted from the files.
        let (mut average, mut peak) = (0.0, 0.0);
        for playlist in [&variant.uri, sound.uri.as_ref().unwrap()] {
            let runs = runs(&output, playlist);
            let seconds: f64 = runs.iter().map(|r| r.1).sum();
            assert!((seconds - 9.0).abs() < 0.05, "{playlist}: {seconds}");
            average += runs.iter().map(|r| r.0.len() as f64 * 8.0).sum::<f64>() / seconds;
            // Any run of segments between half and one and a half target durations (of 4 s) counts.
            let mut largest = 0.0f64;
            for first in 0..runs.len() {
                for last in first..runs.len() {
                    let run = &runs[first..=last];
                    let length: f64 = run.iter().map(|r| r.1).sum();
                    if (2.0..=6.0).contains(&length) {
                        let bits: f64 = run.iter().map(|r| r.0.len() as f64 * 8.0).sum();
                        largest = largest.max(bits / length);
                    }
                }
            }
            peak += largest;
            for (data, _) in &runs {
                assert_eq!(&data[4..8], b"styp", "{playlist}: a segment begins with styp");
            }
        }
        assert!((variant.average_bandwidth.unwrap() as f64 / average - 1.0).abs() < 0.001);
        assert!((variant.bandwidth as f64 / peak - 1.0).abs() < 0.001, "{} {peak}", variant.bandwidth);

        // What an I-frame playlist names is one picture that decodes alone.
        let fast = master.variants.iter().find(|v| v.is_i_frame).unwrap();
        let init = if single_file {
            let file = std::fs::read(output.join("360p-h264.mp4")).unwrap();
            let moof = file.windows(4).position(|w| w == b"styp").unwrap() - 4;
            file[..moof].to_vec()
        } else {
            std::fs::read(output.join("360p-h264/init.mp4")).unwrap()
        };
        let pictures = runs(&output, &fast.uri);
        assert_eq!(pictures.len(), 3);
        for (n, (data, _)) in pictures.iter().enumerate() {
            let alone = dir.path().join(format!("alone-{n}.mp4"));
            std::fs::write(&alone, [&init[..], data].concat()).unwrap();
            let args = ["-v", "quiet", "-i", alone.to_str().unwrap(), "-map", "0:v", "-f", "framemd5", "-"];
            let said = kit::run(&tool("ffmpeg").unwrap(), &args);
            assert_eq!(said.lines().filter(|l| !l.starts_with('#')).count(), 1);
        }
    }
}

/// What the film, a small film, words and the folder for it all are made into; and rules of DASH-IF's that this is
/// no subject of.
const KINDS: [(&[&str], &[&str], &[&str]); 13] = [
    (&["film", "small", "words"], &[], &[]),
    (&["film", "small", "words"], &["--single-file"], &[ONE_FILE]),
    (&["film", "small"], &["--encrypt", "cbcs", "--license-url", "https://drm.example/key"], &[]),
    (&["film"], &["--encrypt", "cenc", "--single-file", "--clear-lead", "4s"], &[]),
    (&["film", "words"], &["--ad-cues", "3+2,6", "--emsg", "--encrypt", "cenc"], &[]),
    (&["film"], &["--ad-cues", "3+2,6", "--single-file"], &[]),
    (&["film", "words"], &["--text", "segments"], &[]),
    (&["film", "words"], &["--text", "mp4"], &[]),
    (&["film"], &["--thumbnails", "2,160,3x2", "--trick-play", "1,2"], &[]),
    (&["film"], &["--thumbnails", "2,160,3x2", "--single-file"], &[ONE_FILE]),
    (&["film"], &["--names", "time"], &[]),
    (&["film"], &["--pathway", "a=https://a.example/", "--pathway", "b=https://b.example/"], &[]),
    (&["webm"], &["--format", "webm"], &["the mimeType shall be one of"]),
];

/// Text and thumbnails beside files with an index have none: DASH-IF IOP 4.3 has text in one file (6.4.4) and sheets of
/// pictures with a template (6.2.6) for every profile, and the rule asks all representations for the index.
const ONE_FILE: &str = "@indexRange attribute shall be present";

/// Each kind of manifest by ISO's schema and DASH-IF's schematron, as it is and as if it claimed DASH-IF's profile, which
/// has more rules.
#[test]
fn dash_manifests_are_valid() {
    if tool("xmllint").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    if kit::source(dir.path(), 9).is_none() {
        return;
    }
    std::fs::rename(at("source.mp4"), at("film")).unwrap();
    let film = at("film");
    let from = ["-i", film.to_str().unwrap(), "-pix_fmt", "yuv420p"];
    let small =
        [&from[..], &["-vf", "scale=320:180", "-c:v", "libx264", "-g", "50", "-an", "-f", "mp4"]].concat();
    let webm =
        ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50", "-c:a", "libopus"];
    let webm = [&from[..], &webm[..], &["-ac", "2", "-f", "webm"]].concat();
    let (Some(_), Some(_)) = (kit::make(dir.path(), "small", &small), kit::make(dir.path(), "webm", &webm))
    else {
        return;
    };
    std::fs::write(at("words.vtt"), "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n").unwrap();
    for (number, (inputs, options, beside)) in KINDS.iter().enumerate() {
        let output = at(&format!("out{number}"));
        let inputs = inputs.iter().map(|name| at(if *name == "words" { "words.vtt" } else { name }));
        let done = kit::sv()
            .arg("package")
            .args(inputs)
            .args(*options)
            .arg("--out")
            .arg(&output)
            .env("SV_KEYS", "31323334353637383930313233343536:32333435363738393021323334353637")
            .output()
            .unwrap();
        assert!(done.status.success(), "{options:?}: {}", String::from_utf8_lossy(&done.stderr));
        let manifest = output.join("manifest.mpd");
        // ETSI TS 103 998 has it, and no edition of the schema.
        let text = std::fs::read_to_string(&manifest).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains("<ContentSteering")).collect();
        std::fs::write(&manifest, kept.join("\n")).unwrap();
        kit::run(&tool("xmllint").unwrap(), &["--noout", "--nonet", manifest.to_str().unwrap()]);
        kit::valid_dash(&manifest);
        let strict = kit::schematron(&manifest, Some("http://dashif.org/guidelines/dash264"));
        let broken = strict.unwrap_or_default();
        let broken: Vec<&str> =
            broken.lines().filter(|line| !beside.iter().any(|words| line.contains(words))).collect();
        assert!(broken.is_empty(), "{options:?}: {broken:#?}");
    }
}

#[test]
fn ffmpeg_plays_both_manifests() {
    for single_file in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let Some(output) = packaged(dir.path(), single_file) else { return };
        let wanted = kit::picture_hashes(&dir.path().join("source.mp4"), None);
        for manifest in ["master.m3u8", "manifest.mpd"] {
            // The fast motion stands last, so the first picture stream is the film.
            let path = output.join(manifest);
            let path = path.to_str().unwrap();
            // FFmpeg's DASH reader does not know subtitles beside it, and takes no other file either.
            let allow: &[&str] =
                if manifest.ends_with("mpd") { &["-allowed_extensions", "ALL"] } else { &[] };
            let args =
                [&["-v", "error"], allow, &["-i", path, "-map", "0:v:0", "-f", "framemd5", "-"]].concat();
            let said = kit::run(&tool("ffmpeg").unwrap(), &args);
            kit::same(&kit::hashes(&said), &wanted, manifest);
        }
    }
}
