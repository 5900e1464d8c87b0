//! What tracks say about themselves, beside what ffprobe says, and seeking.

use std::sync::Arc;

use sv_container::mp4;
use sv_core::{Codec, FileAt, Item, Limits, Media, Source, Timestamp, TrackKind};

use crate::{corpus, probe};

#[test]
fn tracks_say_what_ffprobe_says() {
    let Some(corpus) = probe::corpus() else { return };
    if !probe::have("ffprobe") {
        return;
    }
    let known = [
        ("bear-640x360-av_frag.mp4 track 2", "FFmpeg reads wrong bytes, see the packets"),
        (
            "h265_with_metadata_track.mp4 track 3",
            "FFmpeg believes the bitstream; ISO/IEC 14496-12 says that colr overrides it",
        ),
    ];
    let (mut problems, mut compared) = (Vec::new(), 0);
    for folder in ["shaka/inputs", "exoplayer/mp4", "clips"] {
        for path in corpus::files(&corpus.join(folder)) {
            let Ok(demuxer) = mp4::Demuxer::open(Arc::new(FileAt::open(&path).unwrap()), Limits::default())
            else {
                continue;
            };
            let streams = probe::streams(&path);
            for track in demuxer.tracks() {
                let title = format!("{} track {}", corpus::name_of(&path), track.id.0);
                if known.iter().any(|k| k.0 == title) {
                    continue;
                }
                let id = |s: &probe::ProbeStream| {
                    u32::from_str_radix(s.get("id")?.trim_start_matches("0x"), 16).ok()
                };
                let stream = streams.iter().find(|s| id(s) == Some(track.id.0)).unwrap();
                let value = |name: &str| stream.get(name).map_or("", String::as_str);
                let mut same = |what: &str, ours: String, theirs: &str| {
                    if ours != theirs {
                        problems.push(format!("{title}: {what} {ours}, ffprobe says {theirs}"));
                    }
                };
                compared += 1;
                // FFmpeg 5.1 knows none of AC-4, DTS:X and IAMF.
                let name = match track.codec {
                    Codec::Mp3 | Codec::Ac4 | Codec::DtsX | Codec::Iamf => value("codec_name"),
                    codec => codec.name(),
                };
                same("codec", name.into(), value("codec_name"));
                same(
                    "time base",
                    format!("{}/{}", track.time_base.num(), track.time_base.den()),
                    value("time_base"),
                );
                match &track.media {
                    Media::Video(video) => {
                        same("width", video.width.to_string(), value("width"));
                        same("height", video.height.to_string(), value("height"));
                        let aspect = format!("{}:{}", video.sample_aspect.num(), video.sample_aspect.den());
                        let theirs = value("sample_aspect_ratio");
                        same("sample aspect", aspect, if theirs == "N/A" { "1:1" } else { theirs });
                        let depth = if value("pix_fmt").contains("10le") { "10" } else { "8" };
                        same("bit depth", video.bit_depth.to_string(), depth);
                        let transfer = match video.color.transfer {
                            1 => "bt709",
                            6 => "smpte170m",
                            14 => "bt2020-10",
                            15 => "bt2020-12",
                            16 => "smpte2084",
                            18 => "arib-std-b67",
                            _ => "unknown",
                        };
                        same("transfer", transfer.into(), value("color_transfer"));
                        let turned = stream
                            .iter()
                            .find(|(name, _)| name.ends_with("rotation"))
                            .map_or(0, |(_, value)| value.parse::<i32>().unwrap());
                        same(
                            "rotation",
                            video.quarter_turns.to_string(),
                            &((-turned).rem_euclid(360) / 90).to_string(),
                        );
                    }
                    Media::Audio(audio) => {
                        // HE-AAC without explicit signalling is only known once it is decoded.
                        let implicit = value("profile").starts_with("HE-AAC");
                        if !implicit {
                            same("rate", audio.sample_rate.to_string(), value("sample_rate"));
                            same("channels", audio.channels.to_string(), value("channels"));
                        }
                    }
                    Media::Text(_) => {}
                }
            }
        }
    }
    assert!(compared > 70, "only {compared} tracks");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn dolby_visions_record_is_read_and_written() {
    let Some(corpus) = probe::corpus() else { return };
    // As ffprobe says.
    for (name, profile, level, compatibility) in [
        ("shaka/inputs/sparks_dovi_5.mp4", 5, 1, 0),
        ("shaka/inputs/sparks_dovi_8.mp4", 8, 1, 2),
        ("shaka/inputs/sparks_dovi_10.mp4", 10, 1, 1),
        ("exoplayer/mp4/sample_with_color_info.mp4", 8, 4, 4),
    ] {
        let open = |source| mp4::Demuxer::open(source, Limits::default()).unwrap();
        let demuxer = open(Arc::new(FileAt::open(corpus.join(name)).unwrap()));
        let track = demuxer.tracks().iter().find(|t| t.kind() == TrackKind::Video).unwrap();
        let said = track.video().unwrap().dolby_vision.unwrap();
        assert_eq!(
            (said.profile, said.level, said.compatibility, said.enhancement),
            (profile, level, compatibility, false)
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("init.mp4");
        std::fs::write(&path, mp4::init_segment(&[track]).unwrap()).unwrap();
        let again = open(Arc::new(FileAt::open(&path).unwrap()));
        assert_eq!(again.tracks()[0].video().unwrap().dolby_vision, Some(said), "{name}");
    }
}

#[test]
fn seeking_lands_on_the_last_sync_sample_before() {
    let Some(corpus) = probe::corpus() else { return };
    for name in [
        "clips/big_buck_bunny_trailer_720p24.mp4",
        "shaka/inputs/bear-640x360.mp4",
        "exoplayer/mp4/sample_fragmented.mp4",
        "shaka/inputs/bear-640x360-av_frag.mp4",
        "shaka/golden/audio-video/bear-640x360-video.mp4",
    ] {
        let open = || {
            let file = Arc::new(FileAt::open(corpus.join(name)).unwrap());
            mp4::Demuxer::open(file, Limits::default()).unwrap()
        };
        let (tracks, packets, _) = corpus::drain(open());
        let video = tracks.iter().find(|t| t.kind() == TrackKind::Video).unwrap();
        let keys: Vec<Timestamp> =
            packets.iter().filter(|p| p.track == video.id && p.key).map(|p| p.pts).collect();
        let mut demuxer = open();
        for target in keys.iter().flat_map(|key| [key.offset(-1), *key, key.offset(1)]) {
            let expected = keys.iter().copied().filter(|key| *key <= target).max().unwrap_or(keys[0]);
            assert_eq!(demuxer.seek(video.id, target).unwrap(), expected, "{name} at {target:?}");
            let mut firsts = std::collections::BTreeMap::new();
            let mut rest = Vec::new();
            while let Some(item) = demuxer.next_item().unwrap() {
                if let Item::Packet(packet) = item {
                    firsts.entry(packet.track).or_insert_with(|| {
                        packet.pts.to_seconds(tracks.iter().find(|t| t.id == packet.track).unwrap().time_base)
                    });
                    if packet.track == video.id {
                        rest.push(packet);
                    }
                }
            }
            assert!(rest[0].key && rest[0].pts == expected, "{name} at {target:?}: {:?}", rest[0]);
            let all: Vec<_> = packets.iter().filter(|p| p.track == video.id).cloned().collect();
            assert!(all.ends_with(&rest), "{name} at {target:?}");
            let start = expected.to_seconds(video.time_base);
            for (track, first) in firsts {
                assert!(
                    (first - start).abs() < 0.2 || first == 0.0,
                    "{name}: {track:?} begins at {first}, not {start}"
                );
            }
        }
    }
}
