//! Transport streams that we write: FFmpeg reads back what went in, and so do we.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sv_container::{mp4, ts};
use sv_core::{AudioInfo, Codec, FileAt, Limits, Media, Packet, TimeBase, Track, TrackId};

use crate::{corpus, probe};

fn run(program: &Path, arguments: &str, file: &Path) -> (String, String) {
    let mut command = Command::new(program);
    for argument in arguments.split(' ') {
        if argument == "FILE" {
            command.arg(file)
        } else {
            command.arg(argument)
        };
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// One line for each packet of a file's streams: type, time shown and decoded, in ticks of 90 kHz from
/// the first shown.
fn times(packets: &[Packet], tracks: &[Arc<Track>]) -> Vec<(u32, i64, i64)> {
    let base = |p: &Packet| tracks.iter().find(|t| t.id == p.track).unwrap().time_base;
    let ticks = |at: sv_core::Timestamp, p: &Packet| at.rescale(base(p), TimeBase::MPEG).ticks();
    let first = packets.iter().map(|p| ticks(p.pts, p)).min().unwrap();
    let mut all: Vec<_> = packets
        .iter()
        .map(|p| {
            let index = tracks.iter().position(|t| t.id == p.track).unwrap();
            (u32::try_from(index).unwrap(), ticks(p.pts, p) - first, ticks(p.dts, p) - first)
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn what_went_in_comes_out() {
    if !probe::have("ffmpeg") || !probe::have("ffprobe") {
        return;
    }
    let (ffmpeg, ffprobe) = (Path::new("ffmpeg"), Path::new("ffprobe"));
    let dir = tempfile::tempdir().unwrap();
    for (name, video, audio) in [
        ("h264-aac", "-c:v libx264 -preset veryfast -bf 2 -g 25", "-c:a aac"),
        ("hevc-ac3", "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25", "-c:a ac3"),
        ("h264-eac3", "-c:v libx264 -preset ultrafast -x264-params aud=1:keyint=25", "-c:a eac3"),
        ("h264-mp3", "-c:v libx264 -preset ultrafast -g 25", "-c:a libmp3lame"),
    ] {
        let source = dir.path().join(format!("{name}.mp4"));
        let made = format!(
            "-v error -f lavfi -i testsrc2=s=320x180:r=25:d=4 -f lavfi -i sine=r=48000:d=4 \
             -pix_fmt yuv420p {video} {audio} -metadata:s:a:0 language=ger FILE"
        );
        let (_, complaint) = run(ffmpeg, &made, &source);
        assert_eq!(complaint, "", "{name}");
        let file = Arc::new(FileAt::open(&source).unwrap());
        let (tracks, mut packets, _) = corpus::drain(mp4::Demuxer::open(file, Limits::default()).unwrap());
        let base = |p: &Packet| tracks.iter().find(|t| t.id == p.track).unwrap().time_base;
        packets.sort_by_key(|p| p.dts.rescale(base(p), TimeBase::NANOS));

        let mut muxer = ts::Muxer::new(&tracks.iter().map(Arc::as_ref).collect::<Vec<_>>()).unwrap();
        let mut bytes = Vec::new();
        for piece in packets.chunks(60) {
            let (data, first) = muxer.piece(piece).unwrap();
            assert!(data.len() % 188 == 0 && first % 188 == 0 && first <= data.len());
            bytes.extend_from_slice(&data);
        }
        let written = dir.path().join(format!("{name}.ts"));
        std::fs::write(&written, &bytes).unwrap();

        // By ourselves.
        let file = Arc::new(FileAt::open(&written).unwrap());
        let (mut read, back, _) = corpus::drain(ts::Demuxer::open(file, Limits::default()).unwrap());
        // In the order in which they could be described.
        read.sort_by_key(|t| t.video().is_none());
        let kinds = |tracks: &[Arc<Track>]| -> Vec<Codec> { tracks.iter().map(|t| t.codec).collect() };
        assert_eq!(kinds(&read), kinds(&tracks), "{name}");
        assert_eq!(read[1].language.as_deref(), Some("de"));
        let count = |n: usize, all: &[Packet], tracks: &[Arc<Track>]| {
            all.iter().filter(|p| p.track == tracks[n].id).count()
        };
        for n in 0..2 {
            assert_eq!(count(n, &back, &read), count(n, &packets, &tracks), "{name}: track {n}");
        }
        let wanted = times(&packets, &tracks);
        for ((track, pts, dts), (_, wanted_pts, wanted_dts)) in times(&back, &read).into_iter().zip(&wanted) {
            // Frames that share a PES packet follow each other by their own length.
            let off = if track == 0 { 0 } else { 2 };
            assert!(
                (pts - wanted_pts).abs() <= off && (dts - wanted_dts).abs() <= off,
                "{name}: {pts} {wanted_pts}"
            );
        }

        // By FFmpeg: the same pictures and sound at the same distances, and no counter is torn.
        let hashes = |file: &Path| {
            let (out, complaint) =
                run(ffmpeg, "-v error -xerror -i FILE -map 0 -f framehash -hash md5 -", file);
            assert_eq!(complaint, "", "{name}");
            let picture = |line: &&str| line.starts_with("0,");
            out.lines()
                .filter(picture)
                .map(|l| l.rsplit(',').next().unwrap().trim().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(hashes(&written), hashes(&source), "{name}");
        let (_, log) = run(ffmpeg, "-v debug -i FILE -map 0 -c copy -f null -", &written);
        // While it guesses the length, it reads from amid a packet.
        let (_, log) = log.split_once("Output #0").unwrap();
        assert!(!log.contains("ontinuity") && !log.to_lowercase().contains("corrupt"), "{name}: {log}");
        let fields = "-v error -select_streams v -show_entries packet=pts,dts,flags -of csv=p=0 FILE";
        let (ours, theirs) = (run(ffprobe, fields, &written).0, run(ffprobe, fields, &source).0);
        let keys = |text: &str| -> Vec<bool> {
            text.lines().filter(|l| !l.trim_matches(',').is_empty()).map(|l| l.contains('K')).collect()
        };
        assert_eq!(keys(&ours), keys(&theirs), "{name}");
        let first =
            |text: &str| -> i64 { text.lines().next().unwrap().split(',').next().unwrap().parse().unwrap() };
        assert_eq!(first(&ours).unsigned_abs(), ts::ORIGIN, "{name}");
    }
}

#[test]
fn counters_go_on_after_a_break() {
    let track = Track {
        id: TrackId(3),
        codec: Codec::Mp3,
        time_base: TimeBase::new(1, 48_000).unwrap(),
        config: bytes::Bytes::new(),
        media: Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 }),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    };
    let packet = |n: i64| Packet {
        track: track.id,
        pts: sv_core::Timestamp::new(n * 1152),
        dts: sv_core::Timestamp::new(n * 1152),
        duration: sv_core::Duration::new(1152),
        key: true,
        data: vec![7; 700 + n.unsigned_abs() as usize].into(),
        protection: None,
    };
    let pieces: Vec<Vec<_>> = (0..9).map(|n| (n * 5..n * 5 + 5).map(packet).collect()).collect();
    let mut whole = ts::Muxer::new(&[&track]).unwrap();
    let mut bytes = 0;
    for (n, piece) in pieces.iter().enumerate() {
        let mut later = ts::Muxer::new(&[&track]).unwrap().resume(n as u64, bytes);
        let (made, _) = whole.piece(piece).unwrap();
        assert_eq!(later.piece(piece).unwrap().0, made, "after {n} pieces");
        bytes += made.len() as u64;
    }
    // Pieces that stand alone make a stream in which no counter is missing either.
    let mut counters = std::collections::BTreeMap::new();
    for (n, piece) in pieces.iter().enumerate() {
        let (made, _) = ts::Muxer::new(&[&track]).unwrap().alone(n as u64).piece(piece).unwrap();
        assert!(made.len().is_multiple_of(188));
        for packet in made.chunks(188).filter(|p| p[3] & 0x10 != 0) {
            let (pid, counter) = ((packet[1] & 0x1F, packet[2]), packet[3] & 15);
            let last = counters.insert(pid, counter);
            assert!(last.is_none_or(|last| (last + 1) & 15 == counter), "{pid:?} in piece {n}");
        }
    }
    assert_eq!(counters.len(), 3);
    let foreign = Packet { track: TrackId(9), ..packet(0) };
    assert!(whole.piece(&[foreign]).is_err());
    assert!(ts::Muxer::new(&[]).is_err());
    assert!(ts::Muxer::new(&[&Track { codec: Codec::Av1, ..track }]).is_err());
}
