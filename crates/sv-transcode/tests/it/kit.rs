//! Running stages, writing MP4, asking ffprobe.

#![allow(dead_code, reason = "which helpers are used depends on the features")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sv_container::mp4;
use sv_core::{Frame, Item, Packet, PixelFormat, Planes, Ratio, Stage as _, Timestamp, Track, VideoFrame};
use sv_testkit::video::Pattern;
use sv_transcode::{Error, Stage};

/// Pushes items through stages in a row, as a runner would, and gives what comes out.
pub(crate) fn run(mut stages: Vec<Stage>, items: impl IntoIterator<Item = Item>) -> Result<Vec<Item>, Error> {
    let mut out = Vec::new();
    for item in items {
        feed(&mut stages, item, &mut out)?;
    }
    for index in 0..stages.len() {
        stages[index].finish()?;
        while let Some(item) = stages[index].pull()? {
            feed(&mut stages[index + 1..], item, &mut out)?;
        }
    }
    Ok(out)
}

fn feed(stages: &mut [Stage], item: Item, out: &mut Vec<Item>) -> Result<(), Error> {
    let Some((first, rest)) = stages.split_first_mut() else {
        out.push(item);
        return Ok(());
    };
    first.push(item)?;
    while let Some(item) = first.pull()? {
        feed(rest, item, out)?;
    }
    Ok(())
}

/// One encoded track.
pub(crate) struct Encoded {
    pub(crate) track: Track,
    pub(crate) packets: Vec<Packet>,
}

impl Encoded {
    /// Checks the order that every stage owes: track, packets, end.
    pub(crate) fn of(items: Vec<Item>) -> Self {
        let mut items = items.into_iter();
        let Some(Item::Track(track)) = items.next() else { panic!("no track first") };
        let mut packets = Vec::new();
        for item in items.by_ref() {
            match item {
                Item::Packet(packet) => {
                    assert_eq!(packet.track, track.id);
                    packets.push(packet);
                }
                Item::End(id) => {
                    assert_eq!(id, track.id);
                    break;
                }
                other => panic!("{other:?} among packets"),
            }
        }
        assert!(items.next().is_none(), "something follows the end");
        let order: Vec<_> = packets.iter().map(|p| (p.pts.ticks(), p.dts.ticks())).collect();
        assert!(packets.is_sorted_by_key(|p| p.dts), "{} decoding times fall: {order:?}", track.codec);
        assert!(packets.iter().all(|p| p.dts <= p.pts), "shown before it is decoded");
        Self { track: Track::clone(&track), packets }
    }

    /// Presentation times in order of presentation.
    pub(crate) fn times(&self) -> Vec<i64> {
        let mut times: Vec<i64> = self.packets.iter().map(|p| p.pts.ticks()).collect();
        times.sort_unstable();
        times
    }

    pub(crate) fn key_times(&self) -> Vec<i64> {
        self.packets.iter().filter(|p| p.key).map(|p| p.pts.ticks()).collect()
    }

    /// A fragmented MP4 of the track, which begins at zero.
    pub(crate) fn mp4(&self) -> Vec<u8> {
        let mut track = self.track.clone();
        track.id = sv_core::TrackId(1);
        let mut out = mp4::init_segment(&[&track]).unwrap().to_vec();
        let first = self.packets.first().expect("packets").dts;
        let mut starts: Vec<usize> = (0..self.packets.len()).filter(|i| self.packets[*i].key).collect();
        if track.audio().is_some() {
            starts = (0..self.packets.len()).step_by(100).collect();
        }
        starts.push(self.packets.len());
        for (n, pair) in starts.windows(2).enumerate() {
            let packets = &self.packets[pair[0]..pair[1]];
            let base = Timestamp::new(packets[0].dts.ticks() - first.ticks());
            let options = mp4::Options::default();
            for part in mp4::fragment(&track, n as u32 + 1, base, packets, &options).unwrap() {
                out.extend_from_slice(&part);
            }
        }
        out
    }
}

/// A pattern's frames as items: the track, `count` frames from `from` on, the end.
pub(crate) fn frames(pattern: &Pattern, from: u32, count: u32) -> impl Iterator<Item = Item> + use<> {
    let (pattern, track) = (*pattern, Arc::new(pattern.track(7)));
    let id = track.id;
    std::iter::once(Item::Track(track))
        .chain((from..from + count).map(move |n| Item::Frame(id, Frame::Video(pattern.frame(n)))))
        .chain(std::iter::once(Item::End(id)))
}

pub(crate) fn ratio(num: u32, den: u32) -> Ratio {
    Ratio::new(num, den).unwrap()
}

pub(crate) fn ffprobe() -> Option<std::path::PathBuf> {
    sv_testkit::tool("ffprobe")
}

pub(crate) fn ffmpeg() -> Option<std::path::PathBuf> {
    sv_testkit::tool("ffmpeg")
}

/// What ffprobe says of the first stream, as `key=value` lines; it must not complain.
pub(crate) fn probe(file: &Path, entries: &str) -> Vec<String> {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", entries, "-of", "default=nokey=0:noprint_wrappers=1"])
        .arg(file)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && errors.is_empty(), "ffprobe: {errors}");
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

pub(crate) fn value(lines: &[String], key: &str) -> String {
    let found = lines.iter().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {key} in {lines:?}")).to_owned()
}

/// Times of decoded frames by ffprobe, in ticks of the stream.
pub(crate) fn frame_times(file: &Path, stream: &str) -> Vec<i64> {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_entries", "frame=best_effort_timestamp"])
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter_map(|l| l.trim_matches(',').split(',').next()?.parse().ok()).collect()
}

/// The pictures of a file, decoded by the ffmpeg program.
pub(crate) fn decoded(file: &Path, width: u32, height: u32) -> Vec<VideoFrame> {
    let out = Command::new("ffmpeg")
        .args(["-v", "fatal", "-xerror", "-err_detect", "explode", "-i"])
        .arg(file)
        .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .output()
        .unwrap();
    assert!(out.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&out.stderr));
    let (w, h) = (width as usize, height as usize);
    let (luma, chroma) = (w * h, w.div_ceil(2) * h.div_ceil(2));
    assert_eq!(out.stdout.len() % (luma + 2 * chroma), 0, "whole pictures of {width}x{height}");
    let picture = |(n, bytes): (usize, &[u8])| VideoFrame {
        pts: Timestamp::new(n as i64),
        duration: sv_core::Duration::new(1),
        width,
        height,
        color: sv_core::ColorInfo::default(),
        hdr: sv_core::HdrMetadata::default(),
        dynamic: sv_core::color::DynamicMetadata::default(),
        picture: Arc::new(Planes {
            format: PixelFormat::Yuv420p8,
            planes: vec![
                (bytes[..luma].to_vec(), w),
                (bytes[luma..luma + chroma].to_vec(), w.div_ceil(2)),
                (bytes[luma + chroma..].to_vec(), w.div_ceil(2)),
            ],
        }),
    };
    out.stdout.chunks(luma + 2 * chroma).enumerate().map(picture).collect()
}

/// The numbers that the pictures carry.
pub(crate) fn codes(frames: &[VideoFrame]) -> Vec<Option<u32>> {
    frames.iter().map(sv_testkit::video::read_code).collect()
}

/// Interleaved samples of a file, decoded by the ffmpeg program.
pub(crate) fn decoded_sound(file: &Path) -> Vec<f32> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:a:0", "-f", "f32le", "-"])
        .output()
        .unwrap();
    assert!(out.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

pub(crate) fn write(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

#[allow(unused_imports)]
pub(crate) use sv_testkit::ffmpeg9;
