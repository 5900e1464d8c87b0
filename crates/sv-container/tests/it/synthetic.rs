//! Files that FFmpeg makes on the spot: everything that needs no corpus is tried on a fresh clone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sv_container::{mp4, ts};
use sv_core::{FileAt, Limits, Media, Packet, Ratio, Track};

use crate::corpus::{Form, compare};
use crate::{corpus, fragments, oracle, probe};

/// Name and how FFmpeg makes it, from two seconds of test picture and a tone.
const FILES: [(&str, &str); 16] = [
    ("plain.mp4", "-c:v libx264 -g 24 -bf 2 -c:a aac -movflags +faststart"),
    ("open_gop.mp4", "-c:v libx264 -g 10 -bf 3 -x264-params open-gop=1:bframes=3 -an"),
    ("moov_last.mov", "-c:v libx264 -bf 2 -c:a aac -aspect 16:9"),
    (
        "fragmented.mp4",
        "-c:v libx264 -g 12 -bf 2 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof",
    ),
    (
        "chunks.mp4",
        "-c:v libx264 -g 12 -bf 0 -c:a aac -frag_duration 200000 -movflags empty_moov+default_base_moof",
    ),
    ("separate.mp4", "-c:v libx264 -g 12 -bf 0 -c:a aac -movflags frag_keyframe+empty_moov+separate_moof"),
    ("old_fragments.mp4", "-c:v libx264 -g 12 -bf 0 -c:a aac -movflags frag_keyframe+omit_tfhd_offset"),
    ("interlaced.mp4", "-c:v libx264 -flags +ildct+ilme -x264-params tff=1 -c:a ac3"),
    ("ten_bit.mp4", "-c:v libx264 -pix_fmt yuv420p10le -c:a libmp3lame"),
    ("hevc.mp4", "-c:v libx265 -tag:v hvc1 -x265-params log-level=none -c:a eac3 -ac 6"),
    ("vp9.mp4", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"),
    ("flac.mp4", "-c:v libx264 -c:a flac -strict -2"),
    ("plain.ts", "-c:v libx264 -g 12 -bf 2 -c:a aac"),
    ("hevc.ts", "-c:v libx265 -x265-params log-level=none -c:a eac3"),
    ("old.ts", "-c:v libx264 -bf 0 -c:a mp2 -f mpegts"),
    ("disc.m2ts", "-c:v libx264 -bf 2 -c:a ac3 -mpegts_m2ts_mode 1"),
];

/// Makes the files that this FFmpeg can make.
fn make(folder: &Path) -> Vec<PathBuf> {
    let mut made = Vec::new();
    for (name, how) in FILES {
        let path = folder.join(name);
        let status = Command::new("ffmpeg")
            .args("-v error -y -f lavfi -i testsrc2=size=162x120:rate=24:duration=2".split(' '))
            .args("-f lavfi -i sine=frequency=440:sample_rate=48000:duration=2 -pix_fmt yuv420p".split(' '))
            .args(how.split(' '))
            .arg(&path)
            .stdin(std::process::Stdio::null())
            .status()
            .unwrap();
        match status.success() {
            true => made.push(path),
            false => eprintln!("skipped: this FFmpeg can't make {name}"),
        }
    }
    made
}

fn read(path: &Path) -> (Vec<Arc<Track>>, Vec<Packet>) {
    let file = Arc::new(FileAt::open(path).unwrap());
    let (tracks, packets, error) = match path.extension().unwrap().to_str().unwrap() {
        "ts" | "m2ts" => corpus::drain(ts::Demuxer::open(file, Limits::default()).unwrap()),
        _ => corpus::drain(mp4::Demuxer::open(file, Limits::default()).unwrap()),
    };
    assert!(error.is_none(), "{}: {error:?}", path.display());
    (tracks, packets)
}

#[test]
fn packets_are_those_of_ffprobe_and_survive_being_written() {
    if !probe::have("ffmpeg") || !probe::have("ffprobe") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = make(folder.path());
    assert!(files.len() > 8, "only {files:?}");
    let mut problems = Vec::new();
    for path in &files {
        let (tracks, packets) = read(path);
        assert!(tracks.len() == 2 || path.ends_with("open_gop.mp4"), "{}: {tracks:?}", path.display());
        let stream = matches!(path.extension().unwrap().to_str(), Some("ts" | "m2ts"));
        let form = if stream { Form::Stream } else { Form::Stored };
        problems.extend(compare(path, &tracks, &packets, form, &[]));
        for track in &tracks {
            let own: Vec<_> = packets.iter().filter(|p| p.track == track.id).cloned().collect();
            let (outgoing, moved) = fragments::shifted(track, &own);
            let copy = folder.path().join("copy.mp4");
            std::fs::write(&copy, fragments::fragmented(&outgoing, &moved)).unwrap();
            let name = format!("{} track {}", corpus::name_of(path), track.id.0);
            problems.extend(fragments::compare(&name, &own, &copy));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn pictures_say_what_they_are() {
    if !probe::have("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for path in make(folder.path()) {
        let (tracks, _) = read(&path);
        let Some(video) = tracks.iter().find_map(|t| t.video()) else { panic!("{}", path.display()) };
        let name = corpus::name_of(&path);
        assert_eq!((video.width, video.height), (162, 120), "{name}");
        assert_eq!(video.bit_depth, if name == "ten_bit.mp4" { 10 } else { 8 }, "{name}");
        assert_eq!(video.interlaced, name == "interlaced.mp4", "{name}");
        if name != "vp9.mp4" && !name.contains("frag") && name != "chunks.mp4" && name != "separate.mp4" {
            assert_eq!(video.frame_rate, Ratio::new(24, 1), "{name}");
        }
        // 160:120 of square samples would be 4:3; 162 samples stretched to 16:9 are 320:243 wide.
        let aspect = if name == "moov_last.mov" { Ratio::new(320, 243) } else { Ratio::new(1, 1) };
        assert_eq!(Some(video.sample_aspect), aspect, "{name}");
        for track in &tracks {
            assert!(sv_codec::rfc6381::string(track).is_some(), "{name}");
            if let Media::Audio(audio) = &track.media {
                assert_eq!(audio.sample_rate, 48000, "{name}");
                assert_eq!(audio.channels, if name == "hevc.mp4" { 6 } else { 1 }, "{name}");
            }
        }
    }
}

#[test]
fn cut_and_flipped_they_break_nothing() {
    if !probe::have("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for path in make(folder.path()) {
        let data = std::fs::read(&path).unwrap();
        for step in 1..12 {
            let cut = &data[..data.len() * step / 12];
            oracle::mp4(cut);
            oracle::ts(cut);
            let mut broken = data.clone();
            for flip in 0..step * 4 {
                let at = (flip * 7919 + step * 104_729) % broken.len().min(1 << (8 + step));
                broken[at] ^= 1 << (flip % 8);
            }
            oracle::mp4(&broken);
            oracle::ts(&broken);
        }
    }
}
