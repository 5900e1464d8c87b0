//! Metadata of single pictures: HDR10+ through decoder, filter and encoder, bit for bit, in order, and
//! read by ffprobe.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sv_codec::{av1, hevc, nal};
use sv_core::color::DynamicMetadata;
use sv_core::{Bytes, Codec, ColorInfo, Frame, Item, Media, PixelFormat, Planes, TrackId, VideoFrame};
use sv_testkit::video::Pattern;
use sv_transcode::{decode, encode, filter};

use crate::corpus::items;
use crate::kit::{self, Encoded};

const PICTURES: u32 = 40;

/// A message as SMPTE ST 2094-40 lays it out: one window, whose mean brightness tells the pictures
/// apart.
fn message(picture: u32) -> Bytes {
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |value: u32, count: u32| bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    for (value, count) in [(0xB5, 8), (0x003C, 16), (1, 16), (4, 8), (1, 8)] {
        put(value, count);
    }
    // One window, for a display of 400 cd/m² of which no more is said.
    for (value, count) in [(1, 2), (400, 27), (0, 1)] {
        put(value, count);
    }
    for (value, count) in [(50_000, 17), (40_000, 17), (30_000, 17), (1000 + picture, 17), (9, 4)] {
        put(value, count);
    }
    for (percentage, light) in [1, 5, 10, 25, 50, 75, 90, 95, 99].into_iter().zip(1..) {
        put(percentage, 7);
        put(light * 1000, 17);
    }
    // No bright part, no peak of the mastering display, a tone curve of nine anchors, no saturation.
    for (value, count) in [(0, 10), (0, 1), (1, 1), (100, 12), (200, 12), (9, 4)] {
        put(value, count);
    }
    (1..10).for_each(|anchor| put(anchor * 100, 10));
    put(0, 1);
    let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |n, (i, bit)| n | u8::from(*bit) << (7 - i));
    bits.chunks(8).map(byte).collect()
}

/// A pattern of PQ, ten bits a sample, with a message for each picture.
pub(crate) fn source(size: (u32, u32)) -> Vec<Item> {
    let pattern = Pattern::new(size.0, size.1, kit::ratio(25, 1));
    let deep = |frame: VideoFrame, number: u32| {
        let plane = |index: usize| {
            let plane = frame.picture.plane(index).unwrap();
            let bytes = plane.data.iter().flat_map(|s| (u16::from(*s) << 2).to_le_bytes()).collect();
            (bytes, plane.stride * 2)
        };
        let planes = Planes { format: PixelFormat::Yuv420p10, planes: (0..3).map(plane).collect() };
        let mut dynamic = DynamicMetadata::default();
        dynamic.hdr10_plus = Some(message(number));
        let color = ColorInfo { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        VideoFrame { color, dynamic, picture: Arc::new(planes), ..frame.clone() }
    };
    let mut number = 0;
    let item = |item| match item {
        Item::Frame(id, Frame::Video(frame)) => {
            number += 1;
            Item::Frame(id, Frame::Video(deep(frame, number - 1)))
        }
        Item::Track(track) => {
            let mut track = sv_core::Track::clone(&track);
            if let Media::Video(info) = &mut track.media {
                info.bit_depth = 10;
            }
            Item::Track(Arc::new(track))
        }
        item => item,
    };
    kit::frames(&pattern, 0, PICTURES).map(item).collect()
}

pub(crate) fn encoded(codec: Codec, items: Vec<Item>) -> Encoded {
    let mut config = encode::Video::new(codec);
    config.effort = encode::Effort::Fast;
    config.grid = encode::Grid::every(std::time::Duration::from_millis(500));
    Encoded::of(kit::run(vec![encode::video(&config, TrackId(1)).unwrap()], items).unwrap())
}

/// The messages in the packets, in order of presentation; two in one packet would be two of them.
fn messages(encoded: &Encoded) -> Vec<Bytes> {
    let mut packets: Vec<_> = encoded.packets.iter().collect();
    packets.sort_by_key(|packet| packet.pts);
    let of = |packet: &&sv_core::Packet| -> Vec<Bytes> {
        match encoded.track.codec {
            Codec::Hevc => {
                let units: Vec<_> = nal::units(&packet.data, 4).map(|unit| unit.unwrap().data).collect();
                units.iter().filter_map(|unit| hevc::sei::hdr10_plus([*unit])).collect()
            }
            _ => av1::obus(&packet.data)
                .map(Result::unwrap)
                .filter(|obu| obu.kind == av1::Obu::METADATA)
                .filter_map(|obu| av1::metadata::t35(obu.payload).map(Bytes::copy_from_slice))
                .collect(),
        }
    };
    packets.iter().flat_map(of).collect()
}

fn all() -> Vec<Bytes> {
    (0..PICTURES).map(message).collect()
}

/// The mean brightness that ffprobe reads from each picture's message.
fn read_by_ffprobe(file: &Path) -> Vec<u32> {
    let output = Command::new(kit::ffprobe().unwrap())
        .args(["-v", "error", "-of", "json", "-select_streams", "v:0", "-show_frames"])
        .arg(file)
        .output()
        .unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |frame: &serde_json::Value| {
        let data = frame["side_data_list"].as_array().cloned().unwrap_or_default();
        let found = data.iter().find(|d| d["side_data_type"].as_str().unwrap().contains("HDR10+"))?.clone();
        let mean = found["average_maxrgb"].as_str()?.split('/').next()?.parse().ok();
        assert_eq!(found["targeted_system_display_maximum_luminance"], "400/1", "{found}");
        mean
    };
    found["frames"].as_array().unwrap().iter().filter_map(of).collect()
}

/// How many messages of the United States FFmpeg's reader of AV1's syntax finds.
fn found_by_ffmpeg(file: &Path) -> usize {
    let mut command = Command::new(kit::ffmpeg().unwrap());
    command.args(["-hide_banner", "-nostats", "-i"]).arg(file);
    let output = command.args(["-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said.lines().filter(|l| l.contains("itu_t_t35_country_code") && l.ends_with("= 181")).count()
}

#[test]
fn hdr10_plus_is_kept_bit_for_bit_and_in_order() {
    if kit::ffprobe().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for from in [Codec::Hevc, Codec::Av1] {
        if !encode::is_supported(from) {
            println!("skipped: nothing encodes {from} here");
            continue;
        }
        let first = encoded(from, source((320, 180)));
        assert_eq!(messages(&first), all(), "{from}");
        let file = kit::write(&dir, &format!("{from}.mp4"), &first.mp4());
        match from {
            Codec::Hevc => assert_eq!(read_by_ffprobe(&file), (1000..1000 + PICTURES).collect::<Vec<_>>()),
            // Of AV1, old versions of it read the frame of the messages alone.
            _ => assert_eq!(found_by_ffmpeg(&file), PICTURES as usize),
        }
        // And from there to a smaller rung of either codec.
        for to in [Codec::Hevc, Codec::Av1] {
            if !encode::is_supported(to) {
                continue;
            }
            let (track, items) = items(&file, true);
            let mut target = filter::Video::default();
            target.size = Some((160, 90));
            let stages = vec![
                decode::open(&track, &decode::Options::default()).unwrap(),
                filter::video(&track, &target).unwrap(),
            ];
            let second = encoded(to, kit::run(stages, items).unwrap());
            assert_eq!(messages(&second), all(), "{from} to {to}");
        }
    }
}

#[test]
fn standard_range_has_none_of_it() {
    let mut target = filter::Video::default();
    target.dynamic_range = filter::DynamicRange::Standard;
    let items = source((320, 180));
    let Item::Track(track) = &items[0] else { panic!("no track") };
    let stages = vec![filter::video(track, &target).unwrap()];
    let mapped = kit::run(stages, items).unwrap();
    for item in &mapped {
        if let Item::Frame(_, Frame::Video(frame)) = item {
            assert!(frame.dynamic.is_empty());
        }
    }
    for codec in [Codec::Hevc, Codec::Av1] {
        if encode::is_supported(codec) {
            assert_eq!(messages(&encoded(codec, mapped.clone())), Vec::<Bytes>::new(), "{codec}");
        }
    }
}
