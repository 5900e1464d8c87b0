//! HDR10 and HLG through every encoder: the same numbers in the bitstream and in the container, read
//! by ffprobe. Needs FFmpeg, whichever version is there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sv_core::color::{ContentLight, MasteringDisplay};
use sv_core::{
    Codec, ColorInfo, Frame, HdrMetadata, Item, Media, PixelFormat, Planes, Ratio, Track, VideoFrame,
};
use sv_testkit::{tool, video::Pattern};
use sv_transcode::encode::{self, Rate};
use sv_transcode::{Backend, Error};

use crate::kit::{self, Encoded};

/// Values of no real display, so that nobody's defaults are these.
const HDR: HdrMetadata = HdrMetadata {
    mastering: Some(MasteringDisplay {
        primaries: [[34_001, 16_003], [13_251, 34_507], [7_499, 3_001]],
        white: [15_637, 16_447],
        max_luminance: 11_230_000,
        min_luminance: 47,
    }),
    light: Some(ContentLight { max_content: 1111, max_average: 397 }),
};

/// FFmpeg's librav1e is not among them: it can't be asked for key frames, and is refused for that.
const ENCODERS: [(Codec, &str); 4] = [
    (Codec::Hevc, "libx265"),
    (Codec::Av1, "libsvtav1"),
    (Codec::Av1, "libaom-av1"),
    (Codec::Vp9, "libvpx-vp9"),
];

/// Ten bits, BT.2020, and this transfer function.
fn deep(frame: &VideoFrame, transfer: u8) -> VideoFrame {
    let plane = |index: usize| {
        let plane = frame.picture.plane(index).unwrap();
        let bytes = plane.data.iter().flat_map(|s| (u16::from(*s) << 2).to_le_bytes()).collect();
        (bytes, plane.stride * 2)
    };
    let planes = Planes { format: PixelFormat::Yuv420p10, planes: (0..3).map(plane).collect() };
    VideoFrame {
        color: ColorInfo { primaries: 9, transfer, matrix: 9, full_range: false },
        hdr: if transfer == 16 { HDR } else { HdrMetadata::default() },
        picture: Arc::new(planes),
        ..frame.clone()
    }
}

/// Where an encoder is: in the library, or in a program.
#[derive(Clone, Debug)]
enum Place {
    Library,
    #[cfg(feature = "ffmpeg-cli")]
    Program(String),
}

/// The library; the program of the system; and FFmpeg 9.0.2, where a Python package has brought it.
fn places() -> Vec<Place> {
    #[cfg_attr(not(feature = "ffmpeg-cli"), allow(unused_mut))]
    let mut places = vec![Place::Library];
    #[cfg(feature = "ffmpeg-cli")]
    {
        places.extend(tool("ffmpeg").map(|path| Place::Program(path.to_str().unwrap().into())));
        match kit::ffmpeg9() {
            Some(path) => places.push(Place::Program(path)),
            None => eprintln!("skipped: FFmpeg 9.0.2; STREAMVERSE_FFMPEG9 names it"),
        }
    }
    places
}

/// Two groups of pictures, or nothing where the encoder is not built in.
fn encoded(place: &Place, codec: Codec, name: &str, transfer: u8) -> Option<Encoded> {
    let pattern = Pattern::new(320, 180, Ratio::new(25, 1).unwrap());
    let items = kit::frames(&pattern, 0, 50).map(|item| match item {
        Item::Frame(id, Frame::Video(frame)) => Item::Frame(id, Frame::Video(deep(&frame, transfer))),
        Item::Track(track) => {
            let mut track = Track::clone(&track);
            if let Media::Video(info) = &mut track.media {
                info.bit_depth = 10;
            }
            Item::Track(Arc::new(track))
        }
        item => item,
    });
    let mut config = encode::Video::new(codec);
    config.backend = Backend::Named(name.into());
    match place {
        Place::Library => {}
        #[cfg(feature = "ffmpeg-cli")]
        Place::Program(path) => {
            config.backend = Backend::Named(format!("ffmpeg-cli:{name}"));
            config.options.push(("program".into(), path.clone()));
        }
    }
    config.rate = Rate::Average { bitrate: 300_000, cap: None };
    config.effort = encode::Effort::Fastest;
    config.grid = encode::Grid::every(std::time::Duration::from_secs(1));
    match kit::run(vec![encode::video(&config, sv_core::TrackId(7)).unwrap()], items) {
        Ok(items) => Some(Encoded::of(items)),
        Err(error @ Error::Unsupported { .. }) => {
            eprintln!("skipped: {name}: {error}");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn ffprobe(file: &Path, what: &[&str]) -> serde_json::Value {
    let mut command = Command::new(tool("ffprobe").unwrap());
    command.args(["-v", "error", "-of", "json", "-select_streams", "v:0"]).args(what).arg(file);
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

/// The bitstream alone, without what a container says.
fn bare(file: &Path, codec: Codec) -> PathBuf {
    let format = if codec == Codec::Hevc { "hevc" } else { "obu" };
    let out = file.with_extension(format);
    let args = ["-v", "error", "-y", "-i", file.to_str().unwrap(), "-c", "copy", "-f", format];
    kit_run(&args, &out);
    out
}

fn kit_run(args: &[&str], out: &Path) {
    let output = Command::new(tool("ffmpeg").unwrap()).args(args).arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A fraction of ffprobe's, in steps of `per_unit`.
fn steps(value: &serde_json::Value, per_unit: f64) -> u64 {
    let (num, den) = value.as_str().unwrap().split_once('/').unwrap();
    (num.parse::<f64>().unwrap() / den.parse::<f64>().unwrap() * per_unit).round() as u64
}

/// Asserts that a list of side data says what [`HDR`] says, and says it once.
fn assert_hdr(list: &serde_json::Value, what: &str) {
    let list = list.as_array().unwrap_or_else(|| panic!("{what}: no side data"));
    let of = |kind: &str| {
        let found: Vec<_> = list.iter().filter(|d| d["side_data_type"] == kind).collect();
        assert_eq!(found.len(), 1, "{what}: {kind} in {list:?}");
        found[0]
    };
    let (mastering, light) = (of("Mastering display metadata"), of("Content light level metadata"));
    let wanted = HDR.mastering.unwrap();
    for (colour, [x, y]) in ["red", "green", "blue"].iter().zip(wanted.primaries) {
        assert_eq!(steps(&mastering[format!("{colour}_x")], 50_000.0), u64::from(x), "{what}: {colour}");
        assert_eq!(steps(&mastering[format!("{colour}_y")], 50_000.0), u64::from(y), "{what}: {colour}");
    }
    assert_eq!(steps(&mastering["white_point_x"], 50_000.0), u64::from(wanted.white[0]), "{what}");
    assert_eq!(steps(&mastering["white_point_y"], 50_000.0), u64::from(wanted.white[1]), "{what}");
    assert_eq!(steps(&mastering["max_luminance"], 10_000.0), u64::from(wanted.max_luminance), "{what}");
    assert_eq!(steps(&mastering["min_luminance"], 10_000.0), u64::from(wanted.min_luminance), "{what}");
    assert_eq!(
        (light["max_content"].as_u64(), light["max_average"].as_u64()),
        (Some(1111), Some(397)),
        "{what}"
    );
}

#[test]
fn hdr10_is_the_same_in_bitstream_and_container_of_every_encoder() {
    if tool("ffprobe").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut tried = 0;
    let cells = places().into_iter().flat_map(|place| ENCODERS.map(|cell| (place.clone(), cell)));
    for (place, (codec, name)) in cells {
        let Some(encoded) = encoded(&place, codec, name, 16) else { continue };
        eprintln!("{name} of {place:?}");
        let name = &format!("{name} of {place:?}");
        tried += 1;
        assert_eq!(encoded.track.video().unwrap().hdr, HDR, "{name}");
        let file = dir.path().join(format!("{tried}.mp4"));
        std::fs::write(&file, encoded.mp4()).unwrap();
        let stream = &ffprobe(&file, &["-show_streams"])["streams"][0];
        assert_hdr(&stream["side_data_list"], &format!("{name}, container"));
        assert_eq!(stream["color_transfer"], "smpte2084", "{name}");
        if codec == Codec::Vp9 {
            // VP9's bitstream has no place for it.
            continue;
        }
        let bare = bare(&file, codec);
        let frames = ffprobe(&bare, &["-show_frames"]);
        let frames = frames["frames"].as_array().unwrap();
        assert_eq!(frames.len(), 50, "{name}");
        let keys: Vec<_> = frames.iter().filter(|f| f["key_frame"] == 1).collect();
        assert_eq!(keys.len(), 2, "{name}");
        for key in keys {
            assert_hdr(&key["side_data_list"], &format!("{name}, bitstream"));
            assert_eq!(key["color_transfer"], "smpte2084", "{name}, bitstream");
        }
    }
    assert!(tried > 0, "no encoder was there to try");
}

#[test]
fn hlg_stays_hlg_in_every_encoder() {
    if tool("ffprobe").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cells = places().into_iter().flat_map(|place| ENCODERS.map(|cell| (place.clone(), cell)));
    for (number, (place, (codec, name))) in cells.enumerate() {
        let Some(encoded) = encoded(&place, codec, name, 18) else { continue };
        let file = dir.path().join(format!("{number}.mp4"));
        std::fs::write(&file, encoded.mp4()).unwrap();
        let file = if codec == Codec::Vp9 { file } else { bare(&file, codec) };
        let frames = ffprobe(&file, &["-show_frames"]);
        let frame = &frames["frames"][0];
        assert_eq!(frame["color_transfer"], "arib-std-b67", "{name}: {frame}");
        assert_eq!(frame["color_primaries"], "bt2020", "{name}");
        assert_eq!(frame["pix_fmt"], "yuv420p10le", "{name}");
    }
}
