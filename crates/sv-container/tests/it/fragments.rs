//! What we write as fragments, read by others and by ourselves.

use std::path::Path;
use std::sync::Arc;

use sv_container::mp4;
use sv_core::{Codec, Duration, FileAt, Limits, Media, Packet, Track};

use crate::{corpus, probe};

/// A fragmented file of one track, a few packets a fragment (so that none is like the other), with
/// the index that FFmpeg 5.1 needs to decrypt more than one fragment of anybody's file.
pub(crate) fn fragmented(track: &Track, packets: &[Packet]) -> Vec<u8> {
    let mut segments = Vec::new();
    let mut index = mp4::Index {
        earliest: packets.iter().map(|p| p.pts.ticks()).min().unwrap_or(0).unsigned_abs(),
        gap: 0,
        segments: Vec::new(),
    };
    let mut rest = packets;
    for sequence in 1.. {
        let (chunk, tail) = rest.split_at(rest.len().min(4 + sequence as usize % 7));
        let Some(first) = chunk.first() else { break };
        rest = tail;
        let segment =
            mp4::fragment(track, sequence, first.dts, chunk, &mp4::Options::default()).unwrap().concat();
        let last = &chunk[chunk.len() - 1];
        let end = rest.first().map_or(last.dts.saturating_add(last.duration), |next| next.dts);
        index.segments.push(mp4::Reference {
            size: segment.len() as u32,
            duration: end.since(first.dts).unwrap().ticks(),
            key: first.key,
        });
        segments.extend(segment);
    }
    let index = index.build(track);
    assert_eq!(index.len(), mp4::Index::size(index.len() / 12 - 3));
    [&mp4::init_segment(&[track]).unwrap()[..], &index, &segments].concat()
}

/// As a packager would: all times move so that decoding begins at zero or later, and the track
/// says by how much.
pub(crate) fn shifted(track: &Track, packets: &[Packet]) -> (Track, Vec<Packet>) {
    let first = packets.iter().find(|p| p.track == track.id).map_or(0, |p| p.dts.ticks());
    let lead = (-first).max(0);
    let mut outgoing = track.clone();
    if let Media::Video(video) = &mut outgoing.media {
        video.reorder = Duration::new(lead.unsigned_abs());
    }
    let moved = packets.iter().cloned().map(|mut packet| {
        packet.dts = packet.dts.offset(lead);
        packet.pts = packet.pts.offset(lead);
        packet
    });
    (outgoing, moved.collect())
}

#[test]
fn our_fragments_are_what_ffprobe_reads() {
    let Some(corpus) = probe::corpus() else { return };
    if !probe::have("ffprobe") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut problems = Vec::new();
    let mut compared = 0;
    for path in corpus::files(&corpus.join("shaka/inputs")) {
        let Ok(demuxer) = mp4::Demuxer::open(Arc::new(FileAt::open(&path).unwrap()), Limits::default())
        else {
            continue;
        };
        let (tracks, packets, _) = corpus::drain(demuxer);
        if path.ends_with("bear-640x360-no_edit_list.mp4") {
            continue; // its samples are not where it says, so they are no pictures at all
        }
        if path.ends_with("BigBuckBunny_10s.ismv") {
            continue; // FFmpeg delays its pictures by their largest negative offset
        }
        for track in tracks.iter().filter(|t| t.codec != Codec::WebVtt && t.protection.is_none()) {
            let name = format!("{} track {}", path.file_name().unwrap().to_string_lossy(), track.id.0);
            let ours: Vec<_> = packets.iter().filter(|p| p.track == track.id).cloned().collect();
            let (outgoing, moved) = shifted(track, &ours);
            let file = folder.path().join("out.mp4");
            std::fs::write(&file, fragmented(&outgoing, &moved)).unwrap();
            problems.extend(compare(&name, &ours, &file));
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} tracks");
    assert!(problems.is_empty(), "{} of {compared} differ:\n{}", problems.len(), problems.join("\n"));
}

pub(crate) fn compare(name: &str, ours: &[Packet], file: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let theirs = probe::packets(file, &[]).unwrap();
    if theirs.len() != ours.len() {
        problems.push(format!("{name}: {} packets, ffprobe reads {}", ours.len(), theirs.len()));
    }
    for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        let (pts, dts) = (a.pts.ticks(), a.dts.ticks());
        // In fragments FFmpeg takes all sound for keys; DTS:X has packets that are none.
        let key = a.key || name.starts_with("bear-dtsx");
        if (Some(pts), Some(dts), a.data.len(), key) != (b.pts, b.dts, b.size, b.key) {
            problems.push(format!("{name}, packet {at}: {a:?}, ffprobe reads {b:?}"));
            break;
        }
    }
    let (_, back, error) =
        corpus::drain(mp4::Demuxer::open(Arc::new(FileAt::open(file).unwrap()), Limits::default()).unwrap());
    if let Some(error) = error {
        problems.push(format!("{name}: {error}"));
    }
    if back.len() != ours.len() {
        problems.push(format!("{name}: {} packets, we read {}", ours.len(), back.len()));
    }
    for (at, (a, b)) in ours.iter().zip(&back).enumerate() {
        let mut a = a.clone();
        // Durations become the distances of decoding times, but for the last of a fragment.
        if let Some(next) = ours.get(at + 1).filter(|_| a.duration != b.duration) {
            a.duration = next.dts.since(ours[at].dts).unwrap();
        }
        if a != *b {
            problems.push(format!("{name}, packet {at}: {a:?}, we read {b:?}"));
            break;
        }
    }
    problems
}
