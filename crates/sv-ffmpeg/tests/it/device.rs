//! Pictures on a device. The only one that is found on every machine is Vulkan's, by the CPU (Mesa's
//! lavapipe); where there is none, these tests say so.

use std::process::Command;

use sv_core::{PixelFormat, Ratio, TimeBase, VideoFrame};
use sv_ffmpeg::{Device, Encoder, Filter, decode, device, encode};
use sv_testkit::video::Pattern;

fn vulkan() -> Option<Device> {
    match Device::open("vulkan", None) {
        Ok(device) => Some(device),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

const BASE: TimeBase = match TimeBase::new(1, 25) {
    Some(base) => base,
    None => panic!(),
};

fn one(filter: &mut Filter, frame: &VideoFrame) -> VideoFrame {
    filter.push(frame).unwrap();
    filter.pull().unwrap().unwrap()
}

fn samples(frame: &VideoFrame) -> Vec<u8> {
    let mut out = Vec::new();
    for index in 0..3 {
        let plane = frame.picture.plane(index).unwrap();
        let half = |n: u32| if index == 0 { n as usize } else { n.div_ceil(2) as usize };
        for y in 0..half(frame.height) {
            out.extend(&plane.data[y * plane.stride..][..half(frame.width)]);
        }
    }
    out
}

#[test]
fn pictures_stay_on_the_device_from_one_filter_to_the_next() {
    let Some(vulkan) = vulkan() else { return };
    let pattern = Pattern::new(320, 180, Ratio::new(25, 1).unwrap());
    let first = pattern.frame(0);
    let mut up = Filter::on(&vulkan, &vulkan.upload(8), &first, BASE).unwrap();
    let on = one(&mut up, &first);
    assert!(vulkan.holds(&on) && device::is_on_device(&on) && !device::is_on_device(&first));
    assert_eq!((on.picture.format(), on.width, on.height), (PixelFormat::Opaque, 320, 180));
    assert!(on.picture.plane(0).is_none());
    assert_eq!(sv_ffmpeg::filter::bit_depth(&on), 8);

    // There and back, nothing has changed.
    let mut down = Filter::on(&vulkan, &device::download(&on).unwrap(), &on, BASE).unwrap();
    let back = one(&mut down, &on);
    assert!(samples(&back) == samples(&first));
    assert!(samples(&device::fetch(&on).unwrap()) == samples(&first));

    let Some(scaler) = vulkan.scaler(&on, 160, 90, 8) else { panic!("Vulkan scales") };
    let mut half = Filter::on(&vulkan, &scaler, &on, BASE).unwrap();
    let mut quarter: Option<Filter> = None;
    // The judge is the same filter in FFmpeg's own program.
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (raw, scaled) = (dir.path().join("in.yuv"), dir.path().join("out.yuv"));
    let (mut all, mut ours) = (Vec::new(), Vec::new());
    for n in 0..25 {
        let frame = pattern.frame(n);
        all.extend(samples(&frame));
        let on = one(&mut up, &frame);
        let half = one(&mut half, &on);
        assert!(vulkan.holds(&half));
        assert_eq!((half.pts, half.width, half.height), (frame.pts, 160, 90));
        let quarter = quarter.get_or_insert_with(|| {
            Filter::on(&vulkan, &vulkan.scaler(&half, 80, 44, 8).unwrap(), &half, BASE).unwrap()
        });
        ours.extend(samples(&device::fetch(&one(quarter, &half)).unwrap()));
    }
    std::fs::write(&raw, all).unwrap();
    let done = Command::new(ffmpeg)
        .args(["-v", "error", "-init_hw_device", "vulkan=v", "-filter_hw_device", "v"])
        .args(["-f", "rawvideo", "-s", "320x180", "-pix_fmt", "yuv420p", "-i"])
        .arg(&raw)
        .args(["-vf", "hwupload,scale_vulkan=w=160:h=90,scale_vulkan=w=80:h=44,hwdownload,format=yuv420p"])
        .args(["-f", "rawvideo"])
        .arg(&scaled)
        .status()
        .unwrap();
    assert!(done.success());
    assert!(std::fs::read(&scaled).unwrap() == ours, "other samples than FFmpeg's own program makes");
}

#[test]
fn what_a_device_cant_do_is_said_and_harms_nothing() {
    let kinds: Vec<_> = device::kinds().collect();
    for kind in &kinds {
        // On a machine without it, a reason; on one with it, none.
        if let Err(error) = Device::open(kind, Some("no such device here")) {
            assert!(error.to_string().contains(kind), "{error}");
        }
    }
    let error = Device::open("abacus", None).unwrap_err().to_string();
    assert!(kinds.iter().all(|kind| error.contains(kind)), "{error}");
    assert!(Device::open("vaapi", Some("a\0b")).is_err());

    let Some(vulkan) = vulkan() else { return };
    let track = sv_core::Track {
        id: sv_core::TrackId(1),
        codec: sv_core::Codec::H264,
        time_base: BASE,
        config: Default::default(),
        media: sv_core::Media::Video(sv_core::VideoInfo::new(320, 180)),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    };
    let mut settings = decode::Settings::default();
    settings.device = Some(vulkan.clone());
    // FFmpeg decodes through Vulkan since 6.1; before, the reason is told at once.
    if let Err(error) = sv_ffmpeg::Decoder::open(&track, None, settings) {
        assert!(error.to_string().contains("vulkan"), "{error}");
    }
    let pattern = Pattern::new(320, 180, Ratio::new(25, 1).unwrap());
    let mut up = Filter::on(&vulkan, &vulkan.upload(8), &pattern.frame(0), BASE).unwrap();
    let on = one(&mut up, &pattern.frame(0));
    let settings = |encoder: &str, like| encode::Video {
        encoder: encoder.into(),
        width: 320,
        height: 180,
        bit_depth: 8,
        frame_rate: Ratio::new(25, 1).unwrap(),
        color: sv_core::ColorInfo::default(),
        options: Vec::new(),
        wishes: vec![("no-such-option".into(), "1".into())],
        like,
    };
    assert!(Encoder::video(&settings("libx264", Some(on.clone()))).is_err(), "x264 has no device");
    assert!(Encoder::video(&settings("libx264", Some(pattern.frame(0)))).is_err(), "not on a device");
    let mut encoder = Encoder::video(&settings("libx264", None)).unwrap();
    assert!(encoder.push(&on, 0, true).is_err(), "a picture on a device went to an encoder in memory");
    encoder.push(&pattern.frame(0), 0, true).unwrap();
}
