//! NVENC without FFmpeg: how the driver is called, judged by one that stands in for it and watches
//! (`tests/standin/nvenc.c`), in a process of its own for each cell; and a real one where there is one.
//!
//! What the stand-in gives out was made by x264, x265 and SVT-AV1 of the same pictures, so that FFmpeg can
//! read the numbers back from what comes out in the end.

use std::path::Path;
use std::time::Duration;

use sv_core::color::{ContentLight, HdrMetadata};
use sv_core::{Codec, Frame, Item, TrackId, VideoFrame};
use sv_transcode::encode::{self, Cap, Effort, Rate};
use sv_transcode::{Backend, Capability, capabilities};

use crate::kit::{self, Encoded};
use crate::standin::{COUNT, SIZE, cell, pattern, said, semi_planar, stream};

const HDR: HdrMetadata =
    HdrMetadata { mastering: None, light: Some(ContentLight { max_content: 1111, max_average: 397 }) };
const CELLS: [(Codec, u8); 5] =
    [(Codec::H264, 8), (Codec::Hevc, 8), (Codec::Hevc, 10), (Codec::Av1, 8), (Codec::Av1, 10)];

fn config(codec: Codec, backend: Backend) -> encode::Video {
    let mut config = encode::Video::new(codec);
    config.backend = backend;
    config.effort = Effort::Balanced;
    config.rate = Rate::Quality { crf: 21.5, cap: Some(Cap { bitrate: 3_000_000, buffer: 4_000_000 }) };
    config.grid = encode::Grid::every(Duration::from_millis(400));
    config
}

fn nvenc() -> Backend {
    Backend::Named("nvenc".into())
}

/// Pictures of 10 bits are HDR10.
fn encoded(config: &encode::Video, depth: u8) -> Result<Encoded, sv_transcode::Error> {
    let stage = encode::video(config, TrackId(9))?;
    let items = kit::frames(&pattern(depth), 0, COUNT).map(|item| match item {
        Item::Frame(id, Frame::Video(frame)) if depth > 8 => {
            Item::Frame(id, Frame::Video(VideoFrame { hdr: HDR, ..frame }))
        }
        item => item,
    });
    kit::run(vec![stage], items).map(Encoded::of)
}

/// Whether FFmpeg finds every picture once, in order, and the metadata of HDR10 at key frames.
fn judge(file: &Path, depth: u8) {
    let numbers: Vec<_> = (0..COUNT).map(Some).collect();
    assert_eq!(kit::codes(&kit::decoded(file, SIZE.0, SIZE.1)), numbers, "{file:?}");
    let keys = kit::probe(file, "frame=key_frame:frame_side_data=side_data_type,max_content");
    let light = keys.iter().filter(|line| *line == "max_content=1111").count();
    assert!(if depth > 8 { light >= 4 } else { light == 0 }, "{file:?}: {keys:?}");
}

fn capability() -> Capability {
    capabilities().into_iter().find(|c| c.backend == "nvcodec").expect("an entry for every backend")
}

/// Why there is no encoder, if there is none.
fn problem() -> Option<String> {
    let all = capability().devices;
    all.into_iter().find(|device| device.name == "nvenc").expect("a line for the encoder").problem
}

#[test]
fn without_an_encoder_one_sentence_says_why() {
    let Some(problem) = problem() else {
        println!("skipped: there is an encoder");
        return;
    };
    assert!(!problem.contains('\n') && problem.contains("NVIDIA"), "{problem}");
    for backend in [nvenc(), Backend::Hardware] {
        let Err(error) = encoded(&config(Codec::H264, backend), 8) else { panic!("it encodes") };
        assert_eq!(error.kind(), sv_core::ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(&problem), "{error}");
    }
    let mut config = config(Codec::H264, Backend::Hardware);
    config.fallback = true;
    assert_eq!(encoded(&config, 8).unwrap().packets.len() as u32, COUNT);
}

#[test]
fn what_a_real_encoder_makes_is_decoded() {
    if let Some(problem) = problem() {
        println!("skipped: {problem}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (codec, depth) in CELLS {
        if !capability().encoders.iter().any(|coder| coder.codec == codec.name()) {
            println!("skipped: the device does not encode {codec}");
            continue;
        }
        for effort in Effort::ALL {
            let mut config = config(codec, nvenc());
            config.effort = effort;
            let encoded = encoded(&config, depth).unwrap();
            assert_eq!(encoded.key_times(), [0, 10, 20, 30], "{codec} of {depth} bits");
            judge(&kit::write(&dir, "out.mp4", &encoded.mp4()), depth);
        }
    }
}

/// Not a test by itself: `NVENC_TASK` says what to do, `CODEC DEPTH BACKEND FALLBACK`.
#[test]
fn in_the_process_of_a_cell() {
    let Ok(task) = std::env::var("NVENC_TASK") else { return };
    if task == "capabilities" {
        println!("\ncapability: {}", serde_json::to_string(&capability()).unwrap());
        return;
    }
    let words: Vec<&str> = task.split(' ').collect();
    let codec = CELLS.iter().find(|(codec, _)| codec.name() == words[0]).unwrap().0;
    let depth = words[1].parse().unwrap();
    let backend = if words[2] == "hardware" { Backend::Hardware } else { nvenc() };
    let mut config = config(codec, backend);
    config.fallback = words[3] == "fallback";
    match encoded(&config, depth) {
        Ok(encoded) => {
            std::fs::write(std::env::var("NVENC_OUT").unwrap(), encoded.mp4()).unwrap();
            println!("\nkeys: {:?}", encoded.key_times());
            println!("times: {:?}", encoded.times());
        }
        Err(error) => println!("\nkind: {:?}\nerror: {error}", error.kind()),
    }
}

#[test]
fn pictures_go_in_and_packets_come_out_as_the_driver_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    for (codec, depth) in CELLS {
        if stream(codec, depth, dir.path()).is_none() {
            continue;
        }
        for ahead in ["0", "7", "16"] {
            let task = format!("{} {depth} nvenc alone", codec.name());
            let Some(output) = cell(dir.path(), &task, &[("STANDIN_AHEAD", ahead)]) else { return };
            let said = said(&output);
            assert_eq!(said["keys"], "[0, 10, 20, 30]", "{said:?}");
            assert_eq!(said["times"], format!("{:?}", (0..COUNT).collect::<Vec<_>>()));
            judge(&dir.path().join("out.mp4"), depth);
            let given = std::fs::read(dir.path().join("raw.in")).unwrap();
            assert!(given == semi_planar(depth), "{task}: other samples arrived");
            let factor = if codec == Codec::Av1 { "17+104" } else { "21+128" };
            let colour = if depth > 8 { "9,16,9" } else { "1,1,1" };
            let wanted = format!(
                "preset=5 size=192x128 rate=25/1 depth={depth} mode=1 average=0 most=3000000 buffer=0 \
                 quality={factor} colour={colour} range=0"
            );
            assert_eq!(std::fs::read_to_string(dir.path().join("init")).unwrap().trim(), wanted);
        }
    }
}

/// Every function of the driver, and whether it is called before the first picture.
const FUNCTIONS: [(&str, bool); 20] = [
    ("cuInit", true),
    ("cuDeviceGetCount", true),
    ("cuDevicePrimaryCtxRetain", true),
    ("NvEncodeAPIGetMaxSupportedVersion", true),
    ("NvEncodeAPICreateInstance", true),
    ("open", true),
    ("guid_count", true),
    ("guids", true),
    ("profile_count", true),
    ("profiles", true),
    ("caps", true),
    ("preset", true),
    ("init", true),
    ("headers", true),
    ("create_input", true),
    ("create_output", true),
    ("lock_input", false),
    ("unlock_input", false),
    ("encode", false),
    ("lock_output", false),
];

#[test]
fn whatever_call_fails_gives_a_sentence_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    if stream(Codec::H264, 8, dir.path()).is_none() {
        return;
    }
    for (function, opening) in FUNCTIONS {
        let numbers: &[u32] = match opening {
            true if function.starts_with("create_") => &[1, 3],
            true => &[1],
            false => &[1, 17, 40],
        };
        for number in numbers {
            let fail = format!("{function}:{number}:20");
            let Some(output) = cell(dir.path(), "h264 8 nvenc alone", &[("STANDIN_FAIL", &fail)]) else {
                return;
            };
            let said = said(&output);
            let kind = if opening { "Unsupported" } else { "Internal" };
            assert_eq!(said.get("kind").map(String::as_str), Some(kind), "{fail}: {said:?}");
        }
    }
}

#[test]
fn a_device_that_refuses_says_why() {
    let dir = tempfile::tempdir().unwrap();
    if stream(Codec::H264, 8, dir.path()).is_none() {
        return;
    }
    let cells = [
        ("STANDIN_FAIL", "open:0:2", "Stand-in has no encoder (NV_ENC_ERR_UNSUPPORTED_DEVICE)"),
        ("STANDIN_FAIL", "open:0:10", "Stand-in has no encoder session left (NV_ENC_ERR_OUT_OF_MEMORY)"),
        ("STANDIN_FAIL", "open:0:21", "Stand-in has no encoder session left"),
        ("STANDIN_FAIL", "open:0:15", "the NVIDIA driver is too old to encode on Stand-in"),
        ("STANDIN_FAIL", "cuInit:0:100", "there is no NVIDIA device"),
        (
            "STANDIN_FAIL",
            "init:0:8",
            "can't start the encoder (NV_ENC_ERR_INVALID_PARAM: words of the stand-in)",
        ),
        (
            "STANDIN_VERSION",
            "0xb1",
            "the NVIDIA driver is too old to encode (its interface has version 11.1)",
        ),
    ];
    for (setting, value, sentence) in cells {
        for backend in ["nvenc", "hardware"] {
            let task = format!("h264 8 {backend} alone");
            let Some(output) = cell(dir.path(), &task, &[(setting, value)]) else { return };
            let said = said(&output);
            assert_eq!(said["kind"], "Unsupported");
            assert!(said["error"].contains(sentence), "{value}: {said:?}");
            // Who may go on without gets software.
            let task = format!("h264 8 {backend} fallback");
            cell(dir.path(), &task, &[(setting, value)]);
            judge(&dir.path().join("out.mp4"), 8);
        }
    }
}

#[cfg(feature = "ffmpeg")]
#[test]
fn software_goes_on_where_the_device_fails() {
    let dir = tempfile::tempdir().unwrap();
    for (codec, depth) in CELLS {
        if stream(codec, depth, dir.path()).is_none() {
            continue;
        }
        for fail in [
            "encode:1:20",
            "encode:17:20",
            "lock_output:1:16",
            "lock_output:23:20",
            "encode:41:20",
            "lock_input:30:10",
        ] {
            let task = format!("{} {depth} nvenc fallback", codec.name());
            let Some(output) = cell(dir.path(), &task, &[("STANDIN_FAIL", fail)]) else { return };
            let said = said(&output);
            assert_eq!(said.get("error"), None, "{task}, {fail}");
            assert_eq!(said["times"], format!("{:?}", (0..COUNT).collect::<Vec<_>>()), "{task}, {fail}");
            for key in ["0,", "10,", "20,", "30"] {
                assert!(said["keys"].contains(key), "{task}, {fail}: {}", said["keys"]);
            }
            judge(&dir.path().join("out.mp4"), depth);
            if !fail.starts_with("encode:41") && !fail.starts_with("lock_output") {
                let given = std::fs::read(dir.path().join("raw.in")).unwrap_or_default().len();
                assert!(given < semi_planar(depth).len(), "{task}, {fail}: the device had every picture");
            }
        }
    }
}

#[test]
fn the_doctor_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(output) = cell(dir.path(), "capabilities", &[]) else { return };
    let found: serde_json::Value = serde_json::from_str(&said(&output)["capability"]).unwrap();
    let device = found["devices"].as_array().unwrap().iter().find(|d| d["name"] == "nvenc").unwrap();
    assert_eq!(device["problem"], serde_json::Value::Null);
    assert_eq!(device["encoders"], serde_json::json!(["h264", "hevc", "av1"]));
    assert_eq!(found["encoders"][0], serde_json::json!({"name": "nvenc", "codec": "h264", "hardware": true}));
    // The stand-in decodes nothing, which is another line.
    assert!(found["devices"][0]["problem"].as_str().unwrap().contains("without its decoder"));
}
