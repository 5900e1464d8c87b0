//! Dolby Vision: the RPU of each picture through decoder, filter and encoder, on real films of the
//! corpus, and read by ffprobe.

use std::path::Path;
use std::process::Command;

use dolby_vision::rpu::ConversionMode;
use dolby_vision::rpu::dovi_rpu::DoviRpu;
use dolby_vision::rpu::extension_metadata::blocks::ExtMetadataBlock;
use dolby_vision::rpu::generate::GenerateConfig;
use sv_codec::{av1, hevc, nal};
use sv_core::color::DolbyVision;
use sv_core::{Bytes, Codec, Frame, Item, Packet, Track, TrackId};
use sv_testkit::{Rng, corpus};
use sv_transcode::{Error, decode, encode, filter};

use crate::corpus::items;
use crate::dynamic;
use crate::kit::{self, Encoded};

/// The RPUs in packets, in order of presentation, each in the form of its codec.
fn rpus<'a>(track: &Track, packets: impl IntoIterator<Item = &'a Packet>) -> Vec<Bytes> {
    let mut packets: Vec<&Packet> = packets.into_iter().collect();
    packets.sort_by_key(|packet| packet.pts);
    let of = |packet: &&Packet| -> Vec<Bytes> {
        if track.codec == Codec::Hevc {
            let size = hevc::Config::parse(&track.config).unwrap().length_size;
            let units: Vec<_> = nal::units(&packet.data, size).map(|unit| unit.unwrap().data).collect();
            assert!(units[..units.len() - 1].iter().all(|unit| hevc::unit_type(unit) != hevc::RPU));
            let last = units.last().filter(|unit| hevc::unit_type(unit) == hevc::RPU);
            return last.map(|unit| Bytes::copy_from_slice(unit)).into_iter().collect();
        }
        let obus = av1::obus(&packet.data).map(Result::unwrap);
        let messages = obus.filter(|obu| obu.kind == av1::Obu::METADATA);
        messages.filter_map(|obu| av1::metadata::t35(obu.payload)).map(Bytes::copy_from_slice).collect()
    };
    packets.iter().flat_map(of).collect()
}

/// The first pictures of a file, to a rung of this codec.
fn transcoded(file: &Path, target: &filter::Video, codec: Codec, most: usize) -> (Vec<Bytes>, Encoded) {
    let (track, mut items) = items(file, true);
    let packets = items.iter().filter_map(|item| match item {
        Item::Packet(packet) => Some(packet),
        _ => None,
    });
    // Whole groups would be needed to cut elsewhere; what was cut off is only in later packets.
    let packets: Vec<Packet> = packets.take(most).cloned().collect();
    let source = rpus(&track, &packets);
    items = packets.into_iter().map(Item::Packet).chain([Item::End(track.id)]).collect();
    let mut config = encode::Video::new(codec);
    config.effort = encode::Effort::Fastest;
    let stages = vec![
        decode::open(&track, &decode::Options::default()).unwrap(),
        filter::video(&track, target).unwrap(),
        encode::video(&config, TrackId(1)).unwrap(),
    ];
    (source, Encoded::of(kit::run(stages, items).unwrap()))
}

/// What ffprobe reads: the record of the track, and pictures that have an RPU.
fn probed(file: &Path) -> (serde_json::Value, usize) {
    let output = Command::new(kit::ffprobe().unwrap())
        .args(["-v", "error", "-of", "json", "-select_streams", "v:0", "-show_streams", "-show_frames"])
        .arg(file)
        .output()
        .unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let data = |of: &serde_json::Value| of["side_data_list"].as_array().cloned().unwrap_or_default();
    let record = data(&found["streams"][0]).into_iter().find(|d| d["dv_profile"].is_number());
    let frames = found["frames"].as_array().unwrap();
    let has = |frame: &&serde_json::Value| {
        data(frame).iter().any(|d| d["side_data_type"] == "Dolby Vision RPU Data")
    };
    (record.unwrap_or_default(), frames.iter().filter(has).count())
}

fn sized(width: u32, height: u32) -> filter::Video {
    let mut target = filter::Video::default();
    target.size = Some((width, height));
    target
}

#[test]
fn rpus_of_real_films_are_kept() {
    if kit::ffprobe().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (clip, compatibility, level) in [
        ("shaka/inputs/sparks_dovi_8.mp4", 1, 1),
        // A telephone's, lying on its side, HLG.
        ("exoplayer/mp4/sample_with_color_info.mp4", 4, 1),
    ] {
        let Some(file) = corpus(clip) else { return };
        for codec in [Codec::Hevc, Codec::Av1] {
            if !encode::is_supported(codec) {
                continue;
            }
            let upright = clip.starts_with("exoplayer");
            let target = if upright { sized(180, 320) } else { sized(320, 180) };
            let (source, encoded) = transcoded(&file, &target, codec, 60);
            let out = rpus(&encoded.track, &encoded.packets);
            assert_eq!(out.len(), encoded.packets.len(), "{clip}, {codec}");
            let same = out.iter().zip(&source).all(|(out, source)| without_bars(out) == without_bars(source));
            assert!(same, "{clip}, {codec}: what does not depend on the size is not what it was");
            for (out, source) in out.iter().zip(&source) {
                // The telephone's have none.
                assert_eq!(bars(out), bars(source).map(|bar| bar.div_ceil(2)), "{clip}, {codec}");
            }
            let profile = if codec == Codec::Hevc { 8 } else { 10 };
            let record = DolbyVision { profile, level, enhancement: false, compatibility };
            assert_eq!(encoded.track.video().unwrap().dolby_vision, Some(record), "{clip}, {codec}");
            let made = kit::write(&dir, "out.mp4", &encoded.mp4());
            let (record, pictures) = probed(&made);
            assert_eq!(record["dv_profile"], profile, "{clip}, {codec}: {record}");
            assert_eq!(record["dv_bl_signal_compatibility_id"], compatibility);
            assert_eq!(record["el_present_flag"], 0);
            if codec == Codec::Hevc {
                // FFmpeg 5.1 reads RPUs of HEVC alone.
                assert_eq!(pictures, encoded.packets.len(), "{clip}");
            }
        }
    }
}

#[test]
fn an_av1_film_whose_rpus_borrow_stays_hdr10() {
    let Some(file) = corpus("shaka/inputs/sparks_dovi_10.mp4") else { return };
    let (_, encoded) = transcoded(&file, &sized(320, 180), Codec::Hevc, 30);
    let info = encoded.track.video().unwrap();
    assert!(info.dolby_vision.is_none() && info.color.is_pq() && info.hdr.mastering.is_some());
    assert_eq!(rpus(&encoded.track, &encoded.packets), Vec::<Bytes>::new());
}

#[test]
fn profile_5_is_refused_with_its_reason() {
    let Some(file) = corpus("shaka/inputs/sparks_dovi_5.mp4") else { return };
    let (mut track, items) = items(&file, true);
    let refused = |error: Error| {
        assert!(matches!(error, Error::Incapable { .. }), "{error}");
        assert!(error.to_string().contains("profile 5"), "{error}");
    };
    // By what its packets say, and by what its track says.
    let stage = decode::open(&track, &decode::Options::default()).unwrap();
    refused(kit::run(vec![stage], items).unwrap_err());
    if let sv_core::Media::Video(info) = &mut track.media {
        info.dolby_vision = Some(DolbyVision { profile: 5, level: 1, enhancement: false, compatibility: 0 });
    }
    refused(decode::open(&track, &decode::Options::default()).err().unwrap());
}

/// Of either form.
fn parsed(rpu: &[u8]) -> DoviRpu {
    let found = match rpu[0] {
        0xB5 => DoviRpu::parse_itu_t35_dovi_metadata_obu(rpu),
        _ => DoviRpu::parse_unspec62_nalu(rpu),
    };
    found.unwrap()
}

/// The black bars that an RPU tells of: left, right, above, below.
fn bars(unit: &[u8]) -> [u16; 4] {
    let data = parsed(unit).vdr_dm_data.unwrap();
    match data.get_block(5) {
        Some(ExtMetadataBlock::Level5(area)) => <[u16; 4]>::from(area.get_offsets()),
        _ => [0; 4],
    }
}

/// All else.
fn without_bars(unit: &[u8]) -> Vec<u8> {
    let mut rpu = parsed(unit);
    rpu.set_active_area_offsets(0, 0, 0, 0).unwrap();
    rpu.write_rpu().unwrap()
}

/// An RPU with black bars.
fn barred() -> DoviRpu {
    let mut rpu = DoviRpu::profile81_config(&GenerateConfig::default()).unwrap();
    rpu.set_active_area_offsets(32, 16, 40, 20).unwrap();
    rpu
}

/// Pictures of 320x180 with this RPU, encoded; then as a film to a rung of half the size.
fn through_a_rung(rpu: &DoviRpu) -> Vec<Bytes> {
    let unit: Bytes = rpu.write_hevc_unspec62_nalu().unwrap().into();
    let source = dynamic::source((320, 180)).into_iter().map(|item| match item {
        Item::Frame(id, Frame::Video(mut frame)) => {
            frame.dynamic.dolby_vision = Some(unit.clone());
            Item::Frame(id, Frame::Video(frame))
        }
        item => item,
    });
    let first = dynamic::encoded(Codec::Hevc, source.collect());
    assert!(rpus(&first.track, &first.packets).iter().all(|found| *found == unit));
    let dir = tempfile::tempdir().unwrap();
    let file = kit::write(&dir, "first.mp4", &first.mp4());
    let (_, second) = transcoded(&file, &sized(160, 90), Codec::Hevc, usize::MAX);
    rpus(&second.track, &second.packets)
}

#[test]
fn black_bars_are_scaled_with_the_picture() {
    if kit::ffprobe().is_none() || !encode::is_supported(Codec::Hevc) {
        return;
    }
    let found = through_a_rung(&barred());
    assert_eq!(found.len(), 40);
    let before = barred().write_hevc_unspec62_nalu().unwrap();
    for unit in found {
        assert_eq!(bars(&unit), [16, 8, 20, 10]);
        assert!(without_bars(&unit) == without_bars(&before), "nothing else changes");
    }
}

#[test]
fn profile_7_becomes_profile_8() {
    if kit::ffprobe().is_none() || !encode::is_supported(Codec::Hevc) {
        return;
    }
    let mut rpu = DoviRpu::profile81_config(&GenerateConfig::default()).unwrap();
    rpu.convert_with_mode(ConversionMode::ToMel).unwrap();
    let unit = rpu.write_hevc_unspec62_nalu().unwrap();
    assert_eq!(DoviRpu::parse_unspec62_nalu(&unit).unwrap().dovi_profile, 7);
    let found = through_a_rung(&rpu);
    assert_eq!(found.len(), 40);
    for unit in found {
        let rpu = DoviRpu::parse_unspec62_nalu(&unit).unwrap();
        assert_eq!((rpu.dovi_profile, rpu.el_type), (8, None));
    }
}

#[test]
fn standard_range_has_no_rpu() {
    let Some(file) = corpus("shaka/inputs/sparks_dovi_8.mp4") else { return };
    for codec in [Codec::H264, Codec::Hevc] {
        if !encode::is_supported(codec) {
            continue;
        }
        let mut target = sized(320, 180);
        target.dynamic_range = filter::DynamicRange::Standard;
        target.bit_depth = Some(8);
        let (_, encoded) = transcoded(&file, &target, codec, 20);
        let info = encoded.track.video().unwrap();
        assert_eq!((info.dolby_vision, info.color), (None, sv_core::ColorInfo::BT709));
        if codec == Codec::Hevc {
            assert_eq!(rpus(&encoded.track, &encoded.packets), Vec::<Bytes>::new());
        }
    }
}

/// CRC-32/MPEG-2, which ends an RPU.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| (crc << 1) ^ ((crc >> 31) * 0x04C1_1DB7))
    })
}

#[test]
fn hostile_rpus_do_no_harm() {
    let Some(file) = corpus("shaka/inputs/sparks_dovi_8.mp4") else { return };
    let (track, items) = items(&file, true);
    let packet = items.iter().find_map(|item| match item {
        Item::Packet(packet) => Some(packet),
        _ => None,
    });
    let packet = packet.unwrap();
    let mut units: Vec<&[u8]> = nal::units(&packet.data, 4).map(|unit| unit.unwrap().data).collect();
    let good = nal::rbsp(&units.pop().unwrap()[2..], 4096);
    let body = good.len() - 5;
    assert_eq!(checksum(&good[1..body]).to_be_bytes(), good[body..body + 4]);
    let mut random = Rng::new(5);
    let mut stage = decode::open(&track, &decode::Options::default()).unwrap();
    for _ in 0..1000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(4) {
            let at = 1 + random.below(body as u64 - 1) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        let checksum = checksum(&bytes[1..body]);
        bytes[body..body + 4].copy_from_slice(&checksum.to_be_bytes());
        let rpu = [&[0x7C, 1][..], &nal::escape(&bytes)].concat();
        let all: Vec<&[u8]> = units.iter().copied().chain([&rpu[..]]).collect();
        let packet = Packet { data: nal::length_prefixed(all.iter().copied()), ..packet.clone() };
        // Some turn into profile 5, which is an error; none may be a panic.
        let _ = stage.push(Item::Packet(packet));
        while let Ok(Some(_)) = stage.pull() {}
    }
}
