//! One device for all of the work. The one that is found on every machine is Vulkan's, by the CPU (Mesa's
//! lavapipe), which FFmpeg 5.1 lets scale and nothing else: software does the rest, with pictures that are
//! put on the device and taken back.

use sv_core::{Frame, Item, PixelFormat, TrackId, VideoFrame};
use sv_testkit::video::Pattern;
use sv_transcode::encode::{self, Effort, Rate};
use sv_transcode::{Device, Error, decode, filter};

use crate::kit::{self, Encoded};

const COUNT: u32 = 60;

fn vulkan() -> Option<Device> {
    Device::open("vulkan").map_err(|error| eprintln!("skipped: {error}")).ok()
}

/// A film to decode, as its track and packets.
fn film(depth: u8) -> Vec<Item> {
    let mut pattern = Pattern::new(320, 180, kit::ratio(25, 1));
    pattern.format = if depth == 10 { PixelFormat::Yuv420p10 } else { PixelFormat::Yuv420p8 };
    let codec = if depth == 10 { sv_core::Codec::Hevc } else { sv_core::Codec::H264 };
    let mut config = encode::Video::new(codec);
    config.effort = Effort::Fastest;
    config.rate = Rate::Quality { crf: 12.0, cap: None };
    kit::run(vec![encode::video(&config, TrackId(7)).unwrap()], kit::frames(&pattern, 0, COUNT)).unwrap()
}

/// What a decoder and two filters, one after the other, make of it.
fn scaled(film: &[Item], device: Option<&Device>, stays: bool) -> (Vec<VideoFrame>, Vec<Item>) {
    let Some(Item::Track(track)) = film.first() else { panic!("no track") };
    let mut options = decode::Options::default();
    (options.device, options.fallback) = (device.cloned(), true);
    let mut large = filter::Video::default();
    (large.size, large.device, large.stays) = (Some((256, 144)), device.cloned(), stays);
    let mut small = large.clone();
    small.size = Some((192, 108));
    let stages = vec![
        decode::open(track, &options).unwrap(),
        filter::video(track, &large).unwrap(),
        filter::video(track, &small).unwrap(),
    ];
    let items = kit::run(stages, film.iter().cloned()).unwrap();
    let frame = |item: &Item| match item {
        Item::Frame(_, Frame::Video(frame)) => Some(frame.clone()),
        _ => None,
    };
    (items.iter().filter_map(frame).collect(), items)
}

/// Mean squared error of the brightness, in steps of 8 bits.
fn error(a: &VideoFrame, b: &VideoFrame) -> f64 {
    let luma = |frame: &VideoFrame| -> Vec<f64> {
        let plane = frame.picture.plane(0).unwrap();
        let (w, h) = (frame.width as usize, frame.height as usize);
        let deep = frame.picture.format() == PixelFormat::Yuv420p10;
        let rows = (0..h).flat_map(|y| {
            (0..w).map(move |x| match deep {
                true => {
                    let at = y * plane.stride + 2 * x;
                    f64::from(u16::from_le_bytes([plane.data[at], plane.data[at + 1]])) / 4.0
                }
                false => f64::from(plane.data[y * plane.stride + x]),
            })
        });
        rows.collect()
    };
    let (a, b) = (luma(a), luma(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / a.len() as f64
}

#[test]
fn pictures_scaled_on_the_device_are_those_of_software() {
    let Some(device) = vulkan() else { return };
    for depth in [8, 10] {
        let film = film(depth);
        let (wanted, _) = scaled(&film, None, false);
        for stays in [false, true] {
            let (got, _) = scaled(&film, Some(&device), stays);
            assert_eq!(got.len(), COUNT as usize);
            for (got, wanted) in got.iter().zip(&wanted) {
                assert_eq!((got.pts, got.duration, got.color), (wanted.pts, wanted.duration, wanted.color));
                assert_eq!((got.width, got.height), (192, 108));
                if stays {
                    assert_eq!(got.picture.format(), PixelFormat::Opaque);
                } else {
                    // Bilinear against bicubic; a picture that belongs to another moment differs by hundreds.
                    let error = error(got, wanted);
                    assert!(error < 60.0, "{depth} bits at {:?}: {error}", got.pts);
                }
            }
        }
    }
}

#[test]
fn what_the_device_cant_encode_is_encoded_in_software() {
    let Some(device) = vulkan() else { return };
    let film = film(8);
    for (stays, fallback) in [(true, true), (false, true), (true, false)] {
        let (_, items) = scaled(&film, Some(&device), stays);
        let mut config = encode::Video::new(sv_core::Codec::H264);
        config.rate = Rate::Quality { crf: 20.0, cap: None };
        (config.device, config.fallback) = (Some(device.clone()), fallback);
        let encoded = match kit::run(vec![encode::video(&config, TrackId(9)).unwrap()], items) {
            Ok(items) => Encoded::of(items),
            // Without a fallback, where FFmpeg doesn't encode through Vulkan.
            Err(Error::Incapable { what, .. }) if !fallback => {
                assert!(what.contains("vulkan"), "{what}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let info = encoded.track.video().unwrap();
        assert_eq!((info.width, info.height, info.bit_depth), (192, 108, 8));
        let dir = tempfile::tempdir().unwrap();
        let file = kit::write(&dir, "out.mp4", &encoded.mp4());
        if kit::ffmpeg().is_some() {
            let numbers: Vec<_> = (0..COUNT).map(Some).collect();
            assert_eq!(kit::codes(&kit::decoded(&file, 192, 108)), numbers);
        }
    }
}

#[test]
fn a_device_that_isnt_there_is_refused_with_its_reason() {
    let error = Device::open("abacus").unwrap_err().to_string();
    assert!(error.contains("vaapi") && error.contains("cuda"), "{error}");
    // Where a device encodes, that is fine too.
    if let Err(error) = Device::open("auto") {
        let error = error.to_string();
        assert!(["cuda", "vaapi", "qsv", "vulkan"].iter().all(|kind| error.contains(kind)), "{error}");
    }
}
