//! Every file of the corpus: what we claim to read gives the packets that ffprobe gives, and
//! nothing panics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sv_container::{mp4, ts};
use sv_core::{Codec, FileAt, Item, Limits, Packet, Source, Track, TrackKind};

use crate::probe::{self, ProbePacket};

/// All that a source gives, and how it ended.
pub(crate) fn drain<S: Source>(mut source: S) -> (Vec<Arc<Track>>, Vec<Packet>, Option<S::Error>) {
    let (mut tracks, mut packets) = (Vec::new(), Vec::new());
    loop {
        match source.next_item() {
            Ok(Some(Item::Track(track))) => tracks.push(track),
            Ok(Some(Item::Packet(packet))) => packets.push(packet),
            Ok(Some(_)) => {}
            Ok(None) => return (tracks, packets, None),
            Err(error) => return (tracks, packets, Some(error)),
        }
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { out.push(path) }
        }
    }
    out.sort();
    out
}

pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// What may differ between two readers of the same stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing: the file stores packets.
    Stored,
    /// FFmpeg leaves start codes, parameter sets and ADTS headers where they are, cuts times of
    /// sound off where we round, and lets clocks wrap.
    Stream,
}

impl Form {
    fn differs(self, codec: Codec, a: &Packet, b: &ProbePacket) -> bool {
        if self == Self::Stored {
            return (Some(a.pts.ticks()), Some(a.dts.ticks()), a.data.len(), a.key)
                != (b.pts, b.dts, b.size, b.key);
        }
        let size = match codec {
            Codec::Aac => b.size == a.data.len() + 7 || b.size == a.data.len() + 9,
            Codec::H264 | Codec::Hevc => b.size + 8 >= a.data.len() && b.size < a.data.len() + 200,
            _ => b.size == a.data.len(),
        };
        let near = |a: i64, b: Option<i64>| {
            b.is_some_and(|b| (b - a + 1).rem_euclid(1 << 33) <= if codec == Codec::H264 { 1 } else { 2 })
        };
        !size || !near(a.pts.ticks(), b.pts) || !near(a.dts.ticks(), b.dts) || a.key != b.key
    }
}

/// Packets of every track beside those of ffprobe. `known` are files and tracks (0 for all) about
/// which ffprobe is not believed, and why.
pub(crate) fn compare(
    path: &Path,
    tracks: &[Arc<Track>],
    packets: &[Packet],
    form: Form,
    known: &[(&str, u32, &str)],
) -> Vec<String> {
    let name = name_of(path);
    let mut problems = Vec::new();
    let theirs = probe::packets(path, &[]).unwrap();
    let streams = probe::streams(path);
    for track in tracks {
        if known.iter().any(|(file, id, _)| *file == name && (*id == 0 || *id == track.id.0)) {
            continue;
        }
        let number = |id: &String| u32::from_str_radix(id.trim_start_matches("0x"), 16).ok();
        let stream = streams.iter().position(|s| s.get("id").and_then(number) == Some(track.id.0));
        let Some(stream) = stream else {
            problems.push(format!("{name}: ffprobe has no track {}", track.id.0));
            continue;
        };
        let ours: Vec<_> = packets.iter().filter(|p| p.track == track.id).collect();
        let theirs: Vec<&ProbePacket> = theirs.iter().filter(|p| p.stream == stream).collect();
        let title = format!("{name} track {} ({})", track.id.0, track.codec);
        if ours.len() != theirs.len() {
            problems.push(format!("{title}: {} packets, ffprobe has {}", ours.len(), theirs.len()));
        }
        // ffprobe replaces the durations of last packets, and of some first ones, by guesses:
        // where the next packet's decoding time says the same as we, we are right.
        let ends = |at: usize| ours[at].dts.saturating_add(ours[at].duration);
        let differs = ours.iter().zip(&theirs).enumerate().position(|(at, (a, b))| {
            let length = b
                .duration
                .is_some_and(|d| d.abs_diff(a.duration.ticks() as i64) > u64::from(form == Form::Stream));
            form.differs(track.codec, a, b)
                || length && ours.get(at + 1).is_some_and(|next| next.dts != ends(at))
        });
        if let Some(at) = differs {
            problems.push(format!("{title}, packet {at}: {:?}, ffprobe has {:?}", ours[at], theirs[at]));
        }
    }
    problems
}

#[test]
fn mp4_packets_are_those_of_ffprobe() {
    let Some(corpus) = probe::corpus() else { return };
    if !probe::have("ffprobe") {
        return;
    }
    let known = [
        (
            "BigBuckBunny_10s.ismv",
            1,
            "FFmpeg delays pictures by their largest negative offset; we keep the file's times",
        ),
        (
            "bear-640x360-av_frag.mp4",
            2,
            "FFmpeg loses 31 of its 119 packets: offsets count from the moof without saying so",
        ),
        (
            "bear-640x360-no_edit_list.mp4",
            0,
            "its chunk offsets are wrong by the size of the box that was cut out",
        ),
        ("water-mv-hevc.mp4", 1, "FFmpeg ignores the last two composition offsets, which are negative"),
    ];
    let (mut problems, mut compared) = (Vec::new(), 0);
    for folder in ["shaka/inputs", "exoplayer/mp4", "clips"] {
        for path in files(&corpus.join(folder)) {
            let Ok(demuxer) = mp4::Demuxer::open(Arc::new(FileAt::open(&path).unwrap()), Limits::default())
            else {
                continue;
            };
            let (tracks, packets, error) = drain(demuxer);
            let name = name_of(&path);
            if let Some(error) = error.filter(|_| !known.iter().any(|k| k.0 == name)) {
                problems.push(format!("{name}: {error}"));
            }
            compared += tracks.len();
            problems.extend(compare(&path, &tracks, &packets, Form::Stored, &known));
        }
    }
    assert!(compared > 70, "only {compared} tracks");
    assert!(problems.is_empty(), "{} of {compared} differ:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn payloads_lie_where_the_tables_say() {
    let Some(corpus) = probe::corpus() else { return };
    let mut compared = 0;
    for folder in ["shaka/inputs", "exoplayer/mp4", "clips"] {
        for path in files(&corpus.join(folder)) {
            let open = || mp4::Demuxer::open(Arc::new(FileAt::open(&path).unwrap()), Limits::default());
            let (Ok(mut demuxer), Ok(mut places)) = (open(), open()) else { continue };
            let clear = |t: &&Arc<Track>| t.kind() != TrackKind::Text && t.protection.is_none();
            let ids: Vec<_> = demuxer.tracks().iter().filter(clear).map(|t| t.id).collect();
            demuxer.select(&ids);
            let (tracks, packets, error) = drain(demuxer);
            if ids.is_empty() || error.is_some() || tracks.len() > ids.len() {
                continue;
            }
            let file = std::fs::read(&path).unwrap();
            for wanted in &packets {
                let found = places.next_place().unwrap().expect("as many as there are packets");
                let from = found.offset as usize;
                let data = file[from..from + found.size as usize].to_vec().into();
                assert!(Packet { data, ..found.packet } == *wanted, "{}: {wanted:?}", name_of(&path));
            }
            assert_eq!(places.next_place().unwrap(), None, "{}", name_of(&path));
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} files");
}

#[test]
fn ts_packets_are_those_of_ffprobe() {
    let Some(corpus) = probe::corpus() else { return };
    if !probe::have("ffprobe") {
        return;
    }
    let known = [
        ("sample_ac3.ts", 0, "FFmpeg counts the ID3 tag in front and the broken frame at the end as packets"),
        ("sample_ait.ts", 0, "FFmpeg counts the broken frame at the end as a packet"),
        ("sample_with_junk", 0, "FFmpeg takes the junk in front for a program stream"),
    ];
    let (mut problems, mut compared) = (Vec::new(), 0);
    for folder in ["shaka/inputs", "exoplayer/ts"] {
        for path in files(&corpus.join(folder)) {
            let Ok(demuxer) = ts::Demuxer::open(Arc::new(FileAt::open(&path).unwrap()), Limits::default())
            else {
                continue;
            };
            let (tracks, packets, error) = drain(demuxer);
            if let Some(error) = error {
                problems.push(format!("{}: {error}", name_of(&path)));
            }
            compared += tracks.len();
            problems.extend(compare(&path, &tracks, &packets, Form::Stream, &known));
        }
    }
    assert!(compared > 10, "only {compared} tracks");
    assert!(problems.is_empty(), "{} of {compared} differ:\n{}", problems.len(), problems.join("\n"));
}
