//! Containers and codecs, compared with ffprobe on the same file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sv_core::{Codec, FileAt, Item, Limits, Media, Packet, Source as _};
use sv_ffmpeg::Demuxer;

fn make(dir: &tempfile::TempDir, name: &str, arguments: &str) -> Option<PathBuf> {
    let file = dir.path().join(name);
    let out = Command::new(sv_testkit::tool("ffmpeg")?)
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(&file)
        .output()
        .unwrap();
    assert!(out.status.success(), "making {name}: {}", String::from_utf8_lossy(&out.stderr));
    Some(file)
}

fn open(file: &Path) -> Demuxer {
    Demuxer::open(Arc::new(FileAt::open(file).unwrap()), "input", Limits::default()).unwrap()
}

fn packets(demuxer: &mut Demuxer) -> Vec<Packet> {
    let mut packets = Vec::new();
    let (mut tracks, mut ends) = (0, 0);
    while let Some(item) = demuxer.next_item().unwrap() {
        match item {
            Item::Track(_) => {
                assert!(packets.is_empty(), "tracks come first");
                tracks += 1;
            }
            Item::Packet(packet) => packets.push(packet),
            Item::End(_) => ends += 1,
            other => panic!("{other:?} from a demuxer"),
        }
    }
    assert_eq!((tracks, ends), (demuxer.tracks().len(), tracks));
    packets
}

/// Times of a stream's packets by ffprobe.
fn probed(file: &Path, stream: &str) -> Vec<i64> {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter_map(|l| l.split(',').next()?.parse().ok()).collect()
}

const BOTH: &str = "-f lavfi -i testsrc=s=320x180:r=25:d=2 -f lavfi -i sine=r=48000:d=2";

#[test]
fn every_container_gives_the_same_form() {
    if sv_testkit::tool("ffprobe").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, codecs) in [
        ("a.mp4", "-c:v libx264 -c:a aac"),
        ("a.ts", "-c:v libx264 -c:a aac"),
        ("a.mkv", "-c:v libx264 -c:a aac"),
        ("a.flv", "-c:v libx264 -c:a aac"),
        ("b.ts", "-c:v libx265 -x265-params log-level=none -c:a aac"),
        ("b.mp4", "-c:v libx265 -x265-params log-level=none -tag:v hvc1 -c:a aac"),
    ] {
        let Some(file) = make(&dir, name, &format!("{BOTH} -pix_fmt yuv420p {codecs}")) else { return };
        let mut demuxer = open(&file);
        let video = demuxer.tracks().iter().find(|t| t.video().is_some()).unwrap().clone();
        let audio = demuxer.tracks().iter().find(|t| t.audio().is_some()).unwrap().clone();
        assert_eq!(video.config.first(), Some(&1), "{name}: avcC and hvcC begin with their version");
        assert_eq!(audio.codec, Codec::Aac);
        assert!(
            (2..=5).contains(&audio.config.len()),
            "{name}: {:?} is no AudioSpecificConfig",
            audio.config
        );
        let all = packets(&mut demuxer);
        for packet in all.iter().filter(|p| p.track == video.id) {
            // Lengths lead exactly to the end of the packet.
            let mut rest = &packet.data[..];
            while let [a, b, c, d, after @ ..] = rest {
                let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                rest = after.get(len..).unwrap_or_else(|| panic!("{name}: a length beyond the packet"));
            }
            assert!(rest.is_empty(), "{name}");
        }
        for packet in all.iter().filter(|p| p.track == audio.id) {
            assert!(
                !matches!(packet.data[..], [0xff, b, ..] if b & 0xf6 == 0xf0),
                "{name}: an ADTS header is left"
            );
        }
        let times: Vec<i64> = all.iter().filter(|p| p.track == video.id).map(|p| p.pts.ticks()).collect();
        assert_eq!(times, probed(&file, "v:0"), "{name}");
        assert_eq!(times.len(), 50, "{name}");
    }
}

#[test]
fn other_codecs_are_read_as_mp4_stores_them() {
    let dir = tempfile::tempdir().unwrap();
    for (name, codecs, video, first) in [
        ("a.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus", Codec::Vp9, 1u8),
        ("b.mkv", "-c:v libsvtav1 -preset 12 -c:a flac", Codec::Av1, 0x81),
        ("b.ivf", "-an -c:v libsvtav1 -preset 12", Codec::Av1, 0x81),
    ] {
        let Some(file) = make(&dir, name, &format!("{BOTH} -pix_fmt yuv420p {codecs}")) else { return };
        let mut demuxer = open(&file);
        let track = demuxer.tracks().iter().find(|t| t.video().is_some()).unwrap().clone();
        assert_eq!((track.codec, track.config.first()), (video, Some(&first)), "{name}");
        match demuxer.tracks().iter().find(|t| t.audio().is_some()).map(|t| (t.codec, t.config.clone())) {
            Some((Codec::Opus, config)) => assert_eq!(config[..2], [0, 1], "version and channels"),
            Some((Codec::Flac, config)) => {
                assert_eq!(config[..4], [0x80, 0, 0, 34], "the header of STREAMINFO")
            }
            other => assert!(other.is_none(), "{name}: {other:?}"),
        }
        for packet in packets(&mut demuxer).iter().filter(|p| p.track == track.id) {
            assert!(
                video != Codec::Av1 || packet.data[0] >> 3 & 15 != 2,
                "{name}: a temporal delimiter is left"
            );
        }
    }
}

#[test]
fn what_a_file_says_about_itself_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let chapters = dir.path().join("chapters.txt");
    std::fs::write(
        &chapters,
        ";FFMETADATA1\ntitle=Film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n[CHAPTER]\n\
         TIMEBASE=1/1000\nSTART=500\nEND=2000\ntitle=Two\n",
    )
    .unwrap();
    let arguments = format!(
        "{BOTH} -i {} -map 0 -map 1 -map_metadata 2 -map_chapters 2 -metadata:s:a:0 language=ger -c:v mpeg4 -c:a aac",
        chapters.display()
    );
    let Some(file) = make(&dir, "a.mkv", &arguments) else { return };
    let demuxer = open(&file);
    let info = demuxer.info();
    assert!(info.container.contains("matroska"), "{}", info.container);
    assert!(info.duration.is_some_and(|d| d.as_millis().abs_diff(2000) < 100), "{:?}", info.duration);
    assert!(
        info.metadata.iter().any(|(k, v)| k.eq_ignore_ascii_case("title") && v == "Film"),
        "{:?}",
        info.metadata
    );
    let names: Vec<_> = info.chapters.iter().map(|c| (c.title.as_deref().unwrap(), c.start)).collect();
    assert_eq!(names, [("One", Duration::ZERO), ("Two", Duration::from_millis(500))]);
    let audio = demuxer.tracks().iter().find(|t| t.audio().is_some()).unwrap();
    assert_eq!(audio.language.as_deref(), Some("de"));
    let video = demuxer.tracks().iter().find(|t| t.video().is_some()).unwrap();
    assert_eq!(video.codec, Codec::Other("mpeg4"));
    assert_eq!(video.video().unwrap().frame_rate, sv_core::Ratio::new(25, 1));
}

#[test]
fn subtitles_become_cues() {
    let dir = tempfile::tempdir().unwrap();
    let srt = dir.path().join("in.srt");
    std::fs::write(&srt, "1\n00:00:00,100 --> 00:00:00,900\n<i>Salt</i> & pepper\n\n2\n00:00:01,000 --> 00:00:01,500\nTwo\nlines\n")
        .unwrap();
    for (name, codec) in [("a.mkv", "subrip"), ("a.mp4", "mov_text"), ("b.mkv", "ass")] {
        let arguments = format!("{BOTH} -i {} -map 0:v -map 2:s -c:v mpeg4 -c:s {codec}", srt.display());
        let Some(file) = make(&dir, name, &arguments) else { return };
        let mut demuxer = open(&file);
        let text = demuxer.tracks().iter().find(|t| matches!(t.media, Media::Text(_))).unwrap().clone();
        assert_eq!(text.codec, Codec::WebVtt);
        demuxer.select(&[text.id]);
        let cues = packets(&mut demuxer);
        let words: Vec<_> = cues.iter().map(|p| String::from_utf8(p.data.to_vec()).unwrap()).collect();
        assert_eq!(words.len(), 2, "{name}: {words:?}");
        assert!(words[0].contains("Salt") && words[0].contains("&amp; pepper"), "{name}: {words:?}");
        assert_eq!(words[1], "Two\nlines", "{name}");
        let start = cues[1].pts.to_seconds(text.time_base);
        assert!((start - 1.0).abs() < 0.01, "{name}: {start}");
    }
}

#[test]
fn a_seek_lands_on_the_key_frame_before() {
    let Some(file) = sv_testkit::corpus("clips/big_buck_bunny_trailer_720p24.mp4") else { return };
    let mut demuxer = open(&file);
    let video = demuxer.tracks().iter().find(|t| t.video().is_some()).unwrap().clone();
    demuxer.select(&[video.id]);
    let all = packets(&mut demuxer);
    let at = Duration::from_secs(12);
    let before = |p: &&Packet| p.key && p.pts.to_seconds(video.time_base) <= at.as_secs_f64();
    let expected = all.iter().rfind(before).unwrap().pts;
    demuxer.seek(at).unwrap();
    let Some(Item::Packet(first)) = demuxer.next_item().unwrap() else { panic!("no packet") };
    assert_eq!((first.pts, first.key), (expected, true));
}
