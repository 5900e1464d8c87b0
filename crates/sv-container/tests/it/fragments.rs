//! What we write as fragments, read by others and by ourselves.

use std::path::Path;
use std::sync::Arc;

use sv_container::mp4;
use sv_core::{Codec, FileAt, Limits, Packet, Timestamp, Track, TrackKind};

use crate::{corpus, probe};

/// A fragmented file of one track, four packets a fragment (so that none is like the other).
pub(crate) fn fragmented(track: &Track, packets: &[Packet]) -> Vec<u8> {
    let mut out = mp4::init_segment(&[track]).unwrap().to_vec();
    let mut sequence = 0;
    let mut rest = packets;
    while !rest.is_empty() {
        sequence += 1;
        let (chunk, tail) = rest.split_at(rest.len().min(4 + sequence as usize % 7));
        rest = tail;
        let base = chunk[0].dts;
        for part in mp4::fragment(track, sequence, base, chunk, &mp4::Options::default()).unwrap() {
            out.extend_from_slice(&part);
        }
    }
    out
}

/// As a packager would: decoding times from zero on; sound moves with its priming.
pub(crate) fn shifted(track: &Track, packets: &[Packet]) -> Vec<Packet> {
    let first = packets.first().map_or(0, |p| p.dts.ticks());
    let lead = (-first).max(0);
    packets
        .iter()
        .cloned()
        .map(|mut packet| {
            packet.dts = packet.dts.offset(lead);
            if track.kind() == TrackKind::Audio {
                packet.pts = packet.pts.offset(lead);
            }
            packet
        })
        .collect()
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
        for track in tracks.iter().filter(|t| t.codec != Codec::WebVtt && t.protection.is_none()) {
            let name = format!("{} track {}", path.file_name().unwrap().to_string_lossy(), track.id.0);
            let ours: Vec<_> = packets.iter().filter(|p| p.track == track.id).cloned().collect();
            let ours = shifted(track, &ours);
            let file = folder.path().join("out.mp4");
            std::fs::write(&file, fragmented(track, &ours)).unwrap();
            problems.extend(compare(&name, track, &ours, &file));
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} tracks");
    assert!(problems.is_empty(), "{} of {compared} differ:\n{}", problems.len(), problems.join("\n"));
}

fn compare(name: &str, track: &Track, ours: &[Packet], file: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let theirs = probe::packets(file, &[]).unwrap();
    if theirs.len() != ours.len() {
        problems.push(format!("{name}: {} packets, ffprobe reads {}", ours.len(), theirs.len()));
    }
    let delay = track.audio().map_or(0, |a| {
        let rate = sv_core::TimeBase::new(1, a.sample_rate).unwrap();
        Timestamp::new(i64::from(a.delay)).rescale(rate, track.time_base).ticks()
    });
    // FFmpeg (up to 9.0 at least, and for its own files too) delays all pictures of a fragmented
    // track by its largest negative composition offset.
    let lead = ours.iter().map(|p| p.dts.ticks() - p.pts.ticks()).max().unwrap_or(0).max(0);
    for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        let (pts, dts) = (a.pts.ticks() - delay + lead, a.dts.ticks() - delay);
        if (Some(pts), Some(dts), a.data.len(), a.key) != (b.pts, b.dts, b.size, b.key) {
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
        a.pts = a.pts.offset(-delay);
        a.dts = a.dts.offset(-delay);
        // Durations become the distances of decoding times.
        if let Some(next) = ours.get(at + 1) {
            a.duration = next.dts.since(ours[at].dts).unwrap();
        }
        if a != *b {
            problems.push(format!("{name}, packet {at}: {a:?}, we read {b:?}"));
            break;
        }
    }
    problems
}
