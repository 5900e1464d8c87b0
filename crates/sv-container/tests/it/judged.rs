//! Boxes that mp4-atom decodes, transport streams that FFmpeg decodes to the same pictures, and
//! cues that shaka-packager put into MP4.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use mp4_atom::{Any, Decode};
use sv_codec::nal;
use sv_container::{mp4, ts, webvtt};
use sv_core::{Codec, Duration, FileAt, Limits, Packet, Timestamp, Track, TrackId, TrackKind};

use crate::{corpus, fragments, probe};

/// All boxes of a file, none of them unknown.
fn decode(mut data: &[u8]) -> Vec<Any> {
    let mut out = Vec::new();
    while !data.is_empty() {
        let atom = Any::decode(&mut data).unwrap();
        assert!(!matches!(atom, Any::Unknown(..)), "{atom:?}");
        out.push(atom);
    }
    out
}

#[test]
fn mp4_atom_reads_what_we_meant() {
    let Some(corpus) = probe::corpus() else { return };
    let file = Arc::new(FileAt::open(corpus.join("shaka/inputs/bear-640x360.mp4")).unwrap());
    let (tracks, packets, _) = corpus::drain(mp4::Demuxer::open(file, Limits::default()).unwrap());
    for track in &tracks {
        let packets: Vec<_> = packets.iter().filter(|p| p.track == track.id).cloned().collect();
        let (track, packets) = fragments::shifted(track, &packets);
        let emsg = mp4::Emsg {
            scheme: "urn:scte:scte35:2013:bin".into(),
            value: "1".into(),
            timescale: 90_000,
            presentation_time: 1 << 40,
            duration: 5,
            id: 7,
            data: Bytes::from_static(b"event"),
        };
        let prft = mp4::Prft { track: track.id.0, ntp: 0x0123_4567_89AB_CDEF, media_time: 12 };
        let options = mp4::Options { prft: Some(prft), emsg: vec![emsg], ..mp4::Options::default() };
        let init = mp4::init_segment(&[&track]).unwrap();
        let parts = mp4::fragment(&track, 9, packets[0].dts, &packets, &options).unwrap();
        assert!(
            parts[1..].iter().zip(&packets).all(|(a, b)| a.as_ptr() == b.data.as_ptr()),
            "payloads are not copied"
        );

        let Any::Moov(moov) = &decode(&init)[1] else { panic!("no moov") };
        assert_eq!(moov.trak[0].tkhd.track_id, track.id.0);
        assert_eq!(moov.trak[0].mdia.mdhd.timescale, track.time_base.den());

        let boxes = decode(&parts.concat());
        let [Any::Styp(styp), Any::Prft(prft), Any::Emsg(emsg), Any::Moof(moof), Any::Mdat(mdat)] =
            &boxes[..]
        else {
            panic!("{boxes:?}");
        };
        assert_eq!(styp.major_brand, mp4_atom::FourCC::new(b"msdh"));
        assert_eq!((prft.ntp_timestamp, prft.media_time), (0x0123_4567_89AB_CDEF, 12));
        assert_eq!((emsg.id, emsg.event_duration, &emsg.message_data[..]), (7, 5, &b"event"[..]));
        assert_eq!(emsg.presentation_time, mp4_atom::EmsgTimestamp::Absolute(1 << 40));
        assert_eq!(moof.mfhd.sequence_number, 9);
        let traf = &moof.traf[0];
        assert!(traf.tfhd.default_base_is_moof);
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time as i64, packets[0].dts.ticks());
        assert_eq!(mdat.data, packets.iter().flat_map(|p| p.data.to_vec()).collect::<Vec<_>>());
        let samples: Vec<_> = traf.trun[0].samples.iter().collect();
        assert_eq!(samples.len(), packets.len());
        for (index, (sample, packet)) in samples.iter().zip(&packets).enumerate() {
            let length =
                packets.get(index + 1).map_or(packet.duration, |next| next.dts.since(packet.dts).unwrap());
            let duration = sample.duration.or(traf.tfhd.default_sample_duration).unwrap();
            let size = sample.size.or(traf.tfhd.default_sample_size).unwrap();
            let flags = sample.flags.or(traf.tfhd.default_sample_flags).unwrap();
            assert_eq!(u64::from(duration), length.ticks());
            assert_eq!(size as usize, packet.data.len());
            assert_eq!(flags & 0x1_0000 == 0, packet.key);
            assert_eq!(sample.cts.unwrap_or(0), packet.pts.ticks() - packet.dts.ticks());
        }
    }
}

fn pictures(path: &std::path::Path) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v:0", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.rsplit(',').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn streams_keep_their_pictures_in_mp4() {
    let Some(corpus) = probe::corpus() else { return };
    if !probe::have("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["bear-640x360.ts", "bear-640x360-hevc.ts", "bear-640x360_ptszero_dtswraparound.ts"] {
        let path = corpus.join("shaka/inputs").join(name);
        let (tracks, packets, _) = corpus::drain(
            ts::Demuxer::open(Arc::new(FileAt::open(&path).unwrap()), Limits::default()).unwrap(),
        );
        let video = tracks.iter().find(|t| t.kind() == TrackKind::Video).unwrap();
        let packets: Vec<_> = packets.into_iter().filter(|p| p.track == video.id).collect();
        assert!(packets.iter().all(|p| nal::units(&p.data, 4).all(|unit| unit.is_ok())));
        let copy = folder.path().join("copy.mp4");
        std::fs::write(&copy, fragments::fragmented(video, &packets)).unwrap();
        let expected = pictures(&path);
        assert!(expected.len() > 50, "{name}");
        assert_eq!(pictures(&copy), expected, "{name}");
    }
}

#[test]
fn cues_in_mp4_are_those_of_the_text() {
    let Some(corpus) = probe::corpus() else { return };
    let folder = corpus.join("shaka/golden/vtt-text-to-mp4-with-ad-cues");
    let mut file = std::fs::read(folder.join("bear-english-text-init.mp4")).unwrap();
    for number in 1..=6 {
        file.extend(std::fs::read(folder.join(format!("bear-english-text-{number}.m4s"))).unwrap());
    }
    let (tracks, packets, error) =
        corpus::drain(mp4::Demuxer::open(Arc::new(Bytes::from(file)), Limits::default()).unwrap());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(tracks[0].codec, Codec::WebVtt);
    // A cue that spans segments comes in pieces.
    let mut cues: Vec<(i64, i64, String)> = Vec::new();
    for packet in &packets {
        let end = packet.pts.saturating_add(packet.duration).ticks();
        let text = webvtt::sample::cue(&packet.data).text;
        match cues.last_mut() {
            Some(last) if last.1 == packet.pts.ticks() && last.2 == text => last.1 = end,
            _ => cues.push((packet.pts.ticks(), end, text)),
        }
    }
    let text = std::fs::read(corpus.join("shaka/inputs/bear-english.vtt")).unwrap();
    let document = webvtt::parse(&text, &Limits::default()).unwrap();
    let expected: Vec<_> =
        document.cues().map(|c| (c.start.ticks(), c.end.ticks(), c.text.clone())).collect();
    assert_eq!(cues, expected);
}

#[test]
fn cues_that_overlap_share_samples() {
    let document = webvtt::parse(
        b"WEBVTT\n\n00:01.000 --> 00:04.000\na\n\n00:02.000 --> 00:03.000\nb\n\n00:06.000 --> 00:07.000\nc\n",
        &Limits::default(),
    )
    .unwrap();
    let track: Track = document.track(TrackId(1), Some("en".into()));
    let mut packets: Vec<Packet> = document.packets(track.id);
    // Time goes on to the end of the segment.
    let gap = Packet {
        pts: Timestamp::new(7000),
        dts: Timestamp::new(7000),
        duration: Duration::new(3000),
        data: Bytes::new(),
        ..packets[0].clone()
    };
    packets.push(gap);
    let parts = mp4::fragment(&track, 1, Timestamp::ZERO, &packets, &mp4::Options::default()).unwrap();
    let shown: Vec<Vec<String>> =
        parts[1..].iter().map(|s| webvtt::sample::parse(s).into_iter().map(|c| c.text).collect()).collect();
    let expected: [&[&str]; 8] = [&[], &["a"], &["a", "b"], &["a"], &[], &["c"], &[], &[]];
    assert_eq!(
        shown,
        expected[..7]
            .iter()
            .map(|t| t.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    );
    let file = [&mp4::init_segment(&[&track]).unwrap()[..], &parts.concat()].concat();
    let (tracks, back, error) =
        corpus::drain(mp4::Demuxer::open(Arc::new(Bytes::from(file)), Limits::default()).unwrap());
    assert!(error.is_none());
    assert_eq!(tracks[0].language.as_deref(), Some("en"));
    let times: Vec<_> = back.iter().map(|p| (p.pts.ticks(), p.duration.ticks())).collect();
    assert_eq!(times, [(1000, 1000), (2000, 1000), (2000, 1000), (3000, 1000), (6000, 1000)]);
}

/// Events of both versions, written by mp4-atom in front of two fragments; one counts from its fragment.
#[test]
fn events_that_mp4_atom_wrote_are_read() {
    use mp4_atom::{EmsgTimestamp, Encode as _};
    let track = crate::oracle::track(1000);
    let mut file = mp4::init_segment(&[&track]).unwrap().to_vec();
    let event = |presentation_time, id| mp4_atom::Emsg {
        timescale: 100,
        presentation_time,
        event_duration: 5,
        id,
        scheme_id_uri: "urn:example".into(),
        value: "a value".into(),
        message_data: vec![id as u8; 3],
    };
    for (sequence, at) in [(1u32, 0i64), (2, 8000)] {
        for event in [event(EmsgTimestamp::Relative(50), sequence), event(EmsgTimestamp::Absolute(900), 7)] {
            event.encode(&mut file).unwrap();
        }
        let at = Timestamp::new(at);
        let packet = Packet {
            track: track.id,
            pts: at,
            dts: at,
            duration: Duration::new(8000),
            key: true,
            data: Bytes::from_static(b"picture"),
            protection: None,
        };
        let parts = mp4::fragment(&track, sequence, at, &[packet], &mp4::Options::default()).unwrap();
        file.extend(parts.concat());
    }
    let demuxer = mp4::Demuxer::open(Arc::new(Bytes::from(file)), Limits::default()).unwrap();
    let events: Vec<_> = demuxer
        .events("urn:example")
        .into_iter()
        .map(|cue| {
            assert_eq!(cue.scheme, "urn:example");
            (cue.at.as_millis(), cue.payload.to_vec())
        })
        .collect();
    assert_eq!(events, [(500, vec![1; 3]), (9000, vec![7; 3]), (8500, vec![2; 3]), (9000, vec![7; 3])]);
    assert_eq!(demuxer.events("urn:other"), []);
    // Packets come as if there were none.
    assert_eq!(corpus::drain(demuxer).1.len(), 2);
}
