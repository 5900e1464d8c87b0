//! Whole files that we write, read by ffprobe and by ourselves.

use std::sync::Arc;

use sv_container::mp4;
use sv_core::{FileAt, Item, Limits, Object, Source, TrackKind, Write};

use crate::{corpus, probe};

/// What a sink would do with the objects of one path.
fn store(file: &mut Vec<u8>, object: Object) {
    let data = object.data.concat();
    let Write::At(at) = object.write else { panic!("a part of a file is not the whole") };
    let end = at as usize + data.len();
    file.resize(file.len().max(end), 0);
    file[at as usize..end].copy_from_slice(&data);
}

fn rewrite(path: &std::path::Path, reserve: u32) -> Vec<u8> {
    let mut source = mp4::Demuxer::open(Arc::new(FileAt::open(path).unwrap()), Limits::default()).unwrap();
    let mut writer = mp4::progressive::Writer::new("out.mp4", mp4::progressive::Options { reserve });
    let mut file = Vec::new();
    while let Some(item) = source.next_item().unwrap() {
        writer.push(item).unwrap();
        while let Some(object) = writer.pull() {
            store(&mut file, object);
        }
    }
    writer.finish().unwrap();
    while let Some(object) = writer.pull() {
        store(&mut file, object);
    }
    file
}

#[test]
fn files_keep_their_packets_and_times() {
    let Some(corpus) = probe::corpus() else { return };
    if !probe::have("ffprobe") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "shaka/inputs/bear-640x360.mp4",
        "shaka/inputs/bear-640x360-hevc-hdr10.mp4",
        "shaka/inputs/bear-av1.mp4",
        "shaka/inputs/bear-flac.mp4",
        "shaka/inputs/bear-640x360-ec3.mp4",
        "exoplayer/mp4/sample_opus.mp4",
        "exoplayer/mp4/sample_fragmented.mp4",
        "clips/big_buck_bunny_trailer_720p24.mp4",
    ];
    for (name, reserve) in names.iter().zip([0, 1 << 20, 8, 9, 0, 1 << 16, 1 << 20, 4096]) {
        let path = corpus.join(name);
        let copy = folder.path().join("out.mp4");
        let bytes = rewrite(&path, reserve);
        std::fs::write(&copy, &bytes).unwrap();
        let front = bytes.windows(4).position(|w| w == b"moov") < bytes.windows(4).position(|w| w == b"mdat");
        assert_eq!(front, reserve >= 1 << 16, "{name}");
        let open =
            |path| mp4::Demuxer::open(Arc::new(FileAt::open(path).unwrap()), Limits::default()).unwrap();
        let (tracks, mut before, _) = corpus::drain(open(&path));
        let (_, mut after, error) = corpus::drain(open(&copy));
        assert!(error.is_none(), "{name}: {error:?}");
        for packets in [&mut before, &mut after] {
            packets.sort_by_key(|p| (p.track, p.dts));
        }
        assert_eq!(before.len(), after.len(), "{name}");
        assert!(before == after, "{name}");
        for track in &tracks {
            let mut demuxer = open(&path);
            demuxer.select(&[track.id]);
            let (_, alone, error) = corpus::drain(demuxer);
            assert!(error.is_none(), "{name}: {error:?}");
            assert!(alone.iter().eq(before.iter().filter(|p| p.track == track.id)), "{name} alone");
        }
        let theirs = probe::packets(&copy, &[]).unwrap();
        for (stream, track) in tracks.iter().enumerate().filter(|(_, t)| t.kind() != TrackKind::Text) {
            let ours: Vec<_> = after.iter().filter(|p| p.track == track.id).collect();
            let theirs: Vec<_> = theirs.iter().filter(|p| p.stream == stream).collect();
            assert_eq!(ours.len(), theirs.len(), "{name} track {}", track.id.0);
            for (a, b) in ours.iter().zip(theirs) {
                let a = (Some(a.pts.ticks()), Some(a.dts.ticks()), a.data.len(), a.key);
                assert_eq!(a, (b.pts, b.dts, b.size, b.key), "{name} track {}", track.id.0);
            }
        }
    }
}

#[test]
fn a_late_track_is_refused() {
    let Some(corpus) = probe::corpus() else { return };
    let path = corpus.join("shaka/inputs/bear-640x360.mp4");
    let mut source = mp4::Demuxer::open(Arc::new(FileAt::open(path).unwrap()), Limits::default()).unwrap();
    let mut writer = mp4::progressive::Writer::new("out.mp4", mp4::progressive::Options::default());
    let track = Arc::clone(&source.tracks()[0]);
    writer.push(Item::Track(Arc::clone(&track))).unwrap();
    let packet = loop {
        if let Some(Item::Packet(packet)) = source.next_item().unwrap()
            && packet.track == track.id
        {
            break packet;
        }
    };
    writer.push(Item::Packet(packet)).unwrap();
    assert!(writer.push(Item::Track(track)).is_err());
}
