//! Checks the backend `nvcodec` against software, on machines that need not have the same programs:
//!
//! - `nvcheck --software OUT.txt IN.mp4` writes a line for each picture that software decodes;
//! - `nvcheck IN.mp4 OUT.txt` decodes on the device, compares every picture, and measures speed.
//!
//! It exits with 1 when a picture differs, and with 2 when it could not decode.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use sv_container::mp4;
use sv_core::{FileAt, Frame, Item, Limits, PixelFormat, Source as _, Track, VideoFrame};
use sv_transcode::{Backend, decode};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["--software", out, input] => write(out, input).map(|()| true),
        [input, expected] => check(input, expected),
        _ => Err("usage: nvcheck [--software OUT.txt] IN.mp4 [OUT.txt]".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("nvcheck: {error}");
            ExitCode::from(2)
        }
    }
}

/// All of the first picture track, in memory, so that reading is not measured.
fn read(input: &str) -> Result<(Track, Vec<Item>), Failure> {
    let mut demuxer = mp4::Demuxer::open(Arc::new(FileAt::open(input)?), Limits::default())?;
    let track = demuxer.tracks().iter().find(|t| t.video().is_some()).ok_or("no video in there")?.clone();
    let mut items = Vec::new();
    while let Some(item) = demuxer.next_item()? {
        if item.track() == Some(track.id) {
            items.push(item);
        }
    }
    Ok((Track::clone(&track), items))
}

fn options(backend: Backend, scale: Option<(u32, u32)>) -> decode::Options {
    let mut options = decode::Options::default();
    options.backend = backend;
    options.scale = scale;
    options
}

/// Decodes everything, and gives how many pictures came.
fn run(
    track: &Track,
    items: &[Item],
    options: &decode::Options,
    mut each: impl FnMut(&VideoFrame),
) -> Result<u32, Failure> {
    let mut stage = decode::open(track, options)?;
    let mut count = 0;
    let mut drain = |stage: &mut sv_transcode::Stage| -> Result<(), Failure> {
        while let Some(item) = stage.pull()? {
            if let Item::Frame(_, Frame::Video(frame)) = item {
                each(&frame);
                count += 1;
            }
        }
        Ok(())
    };
    for item in items {
        stage.push(item.clone())?;
        drain(&mut stage)?;
    }
    stage.finish()?;
    drain(&mut stage)?;
    Ok(count)
}

/// FNV-1a of 64 bits over the rows of all planes, without what lies beyond their width.
fn fingerprint(frame: &VideoFrame) -> u64 {
    let sample = if frame.picture.format() == PixelFormat::Yuv420p10 { 2 } else { 1 };
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for index in 0..3 {
        let Some(plane) = frame.picture.plane(index) else { continue };
        let half = u32::from(index > 0);
        let (width, height) = ((frame.width + half) >> half, (frame.height + half) >> half);
        for row in plane.data.chunks(plane.stride.max(1)).take(height as usize) {
            for byte in row.iter().take(width as usize * sample) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    hash
}

fn line(frame: &VideoFrame) -> String {
    let format = frame.picture.format();
    format!("{} {}x{} {format:?} {:016x}", frame.pts.ticks(), frame.width, frame.height, fingerprint(frame))
}

fn write(out: &str, input: &str) -> Result<(), Failure> {
    let (track, items) = read(input)?;
    let mut text = String::new();
    let mut written = Ok(());
    let count = run(&track, &items, &options(Backend::Software, None), |frame| {
        written = written.and(writeln!(text, "{}", line(frame)));
    })?;
    written?;
    fs::write(out, text)?;
    println!("{input}: {count} pictures of {} by software", track.codec);
    Ok(())
}

fn check(input: &str, expected: &str) -> Result<bool, Failure> {
    let expected = fs::read_to_string(expected)?;
    let (track, items) = read(input)?;
    let device = || Backend::Named("nvcodec".into());
    let mut lines = Vec::new();
    run(&track, &items, &options(device(), None), |frame| lines.push(line(frame)))?;
    let expected: Vec<&str> = expected.lines().collect();
    let differing: Vec<_> = expected.iter().zip(&lines).enumerate().filter(|(_, (a, b))| a != b).collect();
    for (n, (software, ours)) in differing.iter().take(3) {
        println!("  picture {n}: software {software}, device {ours}");
    }
    let bad = differing.len() + expected.len().abs_diff(lines.len());
    let depth = track.video().map_or(0, |v| v.bit_depth);
    println!(
        "{input}: {} {depth} bit: {} compared, {} expected, {bad} differ",
        track.codec,
        lines.len(),
        expected.len()
    );
    speed("device", &track, &items, &options(device(), None))?;
    if let Some(video) = track.video() {
        let half = |side: u32| (side / 4 * 2).max(2);
        let half = (half(video.width), half(video.height));
        speed("device, scaled to a half", &track, &items, &options(device(), Some(half)))?;
    }
    // For comparison, where this build has a software decoder for it.
    if let Err(error) = speed("software, one thread", &track, &items, &options(Backend::Software, None)) {
        println!("  software: {error}");
    }
    Ok(bad == 0)
}

/// Prints pictures a second, with and without the time to the first picture.
fn speed(name: &str, track: &Track, items: &[Item], options: &decode::Options) -> Result<(), Failure> {
    let start = Instant::now();
    let (mut first, mut size) = (None, (0, 0));
    let count = run(track, items, options, |frame| {
        first.get_or_insert_with(Instant::now);
        size = (frame.width, frame.height);
    })?;
    let (all, after) = (start.elapsed(), first.map_or_else(|| start.elapsed(), |first| first.elapsed()));
    let rate = |seconds: f64, count: u32| f64::from(count) / seconds.max(1e-9);
    println!(
        "  {name}: {count} pictures of {}x{}, {:.0} a second, {:.0} after the first",
        size.0,
        size.1,
        rate(all.as_secs_f64(), count),
        rate(after.as_secs_f64(), count.saturating_sub(1))
    );
    Ok(())
}
