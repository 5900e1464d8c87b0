//! What ladder a file needs, found out by encoding a little of it.
//!
//! ```no_run
//! use streamverse::title::{Request, analyze};
//!
//! for decision in analyze(&Request::new("talk.mp4"))? {
//!     for reason in &decision.ladder.reasons {
//!         println!("{reason}");
//!     }
//!     std::fs::write(format!("{}.svg", decision.codec), decision.svg())?;
//! }
//! # Ok::<(), streamverse::Error>(())
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sv_core::{Codec, ErrorKind, Frame, Item, Source as _, Timestamp, Track, TrackKind};
use sv_transcode::filter::Crop;
pub use sv_transcode::title::{Budget, Decision, Noise, Place, Point, Pruned, Trade};
use sv_transcode::title::{Sample, choose, sizes, trial};
use sv_transcode::{Stage, cpu, decode, filter};

use crate::input::{Input, Prefer};
use crate::vod::Preset;
use crate::{Error, Result};

/// The share of a film's pictures that is tried. With all sizes and factors that is about a tenth
/// of what encoding the ladder takes.
const SHARE: f64 = 0.03;
/// Pictures that are tried at least and at most: what is less tells nothing, and of a long film twenty places
/// tell enough.
const PICTURES: (f64, f64) = (24.0, 480.0);
/// Pictures of one sample at most: about a second. There are two samples at least.
const SAMPLE: f64 = 24.0;
/// Larger pictures are judged at this short side, which is what VMAF's model is for.
pub(crate) const JUDGED: u32 = 1080;

/// What to find a ladder for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The source: any container and codec that the enabled backends read.
    pub input: PathBuf,
    /// Which video codecs; each gets a ladder of its own.
    pub codecs: Vec<Codec>,
    /// What the ladder may cost.
    pub budget: Budget,
    /// Encoder effort of the ladder, and of trying.
    pub preset: Preset,
    /// Length of a segment: every rendition will have a key frame at each multiple.
    pub segment: Duration,
}

impl Request {
    /// H.264, the default budget and effort, 4-second segments.
    #[must_use]
    pub fn new(input: impl Into<PathBuf>) -> Self {
        Self {
            input: input.into(),
            codecs: vec![Codec::H264],
            budget: Budget::default(),
            preset: Preset::default(),
            segment: Duration::from_secs(4),
        }
    }
}

/// Tries the source on this thread, and decides: one decision for each codec.
///
/// # Errors
/// When the source can't be read, has no pictures, nothing here encodes a codec, or nothing fits
/// the budget.
pub fn analyze(request: &Request) -> Result<Vec<Decision>> {
    let input = Input::open(&request.input, Prefer::Backend)?;
    let track = input.tracks.iter().find(|t| t.kind() == TrackKind::Video).cloned();
    let track = track
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "there are no pictures to make a ladder for"))?;
    request
        .codecs
        .iter()
        .map(|codec| decide(&input, &track, None, *codec, &request.budget, request.preset, request.segment))
        .collect()
}

pub(crate) fn decide(
    input: &Input,
    track: &Arc<Track>,
    crop: Option<Crop>,
    codec: Codec,
    budget: &Budget,
    preset: Preset,
    segment: Duration,
) -> Result<Decision> {
    let begun = cpu::spent();
    let info =
        track.video().ok_or_else(|| Error::new(ErrorKind::Internal, "a video track without pictures"))?;
    let mut info = info.clone();
    if let Some(crop) = crop {
        (info.width, info.height) = (crop.width, crop.height);
    }
    let info = &info;
    let mut sizes = sizes(info);
    let own = sizes.first().copied().unwrap_or((info.width, info.height));
    let judged = fit(own, JUDGED);
    sizes.retain(|s| s.0 < judged.0);
    sizes.insert(0, judged);

    let fps = info.frame_rate.map_or(25.0, |r| r.to_f64()).clamp(1.0, 240.0);
    let length = input.duration.map_or(0.0, |d| d.as_secs_f64());
    let pictures = (length * fps * SHARE).clamp(PICTURES.0, PICTURES.1);
    let count = (pictures / SAMPLE).ceil().max(2.0);
    let each = (pictures / count).round() as usize;
    let mut samples = Vec::new();
    for index in 0..count as u32 {
        let at = length * (f64::from(index) + 0.5) / count;
        let behind = samples.last().and_then(|s: &Sample| s.frames.last()).map(|f| f.pts);
        let sample = sample(input, (track, crop), codec, judged, Duration::from_secs_f64(at), behind, each)?;
        if sample.frames.len() >= 2 {
            samples.push(sample);
        }
    }
    let points = trial(&samples, &sizes, codec, preset, segment)?;
    let mut trades = Vec::new();
    if budget.core_seconds_per_minute.is_some() {
        // At one size, and not the largest: what effort is worth differs little between sizes.
        let tried = |size: &&(u32, u32)| points.iter().any(|p| (p.width, p.height) == **size);
        let size = sizes.iter().filter(tried).nth(1).or(sizes.first()).copied().unwrap_or(judged);
        let usual: Vec<Point> = points.iter().filter(|p| (p.width, p.height) == size).copied().collect();
        for effort in Preset::ALL.into_iter().filter(|effort| *effort < preset) {
            let other = trial(&samples, &[size], codec, effort, segment)?;
            trades.extend(Trade::between(&usual, effort, &other));
        }
    }
    let noise = Noise::of(&samples)?;
    let mut aim = *budget;
    if budget.ignore_noise && noise.is_seen() {
        aim.target = aim.target.min(noise.vmaf);
    }
    let mut decision = choose(codec, &points, &trades, &aim, preset)?;
    if noise.is_seen() {
        let what = format!("the pictures have noise (a deviation of {:.1})", noise.sigma);
        decision.ladder.reasons.insert(
            0,
            match budget.ignore_noise {
                true => {
                    format!("{what}: without it they have VMAF {:.1}, and no more is aimed at", noise.vmaf)
                }
                false => format!("{what}, which costs bits like everything else"),
            },
        );
    }
    decision.noise = Some(noise);
    if own != judged {
        decision.enlarge(own, judged);
    }
    let tried = samples.iter().map(|s| s.frames.len() as u64).sum();
    decision.tried = (tried, (cpu::spent() - begun).as_secs_f64());
    decision.ladder.reasons.insert(
        0,
        format!(
            "{tried} pictures at {} places were encoded at {} sizes and measured, in {:.1} core-seconds",
            samples.len(),
            sizes.len(),
            decision.tried.1
        ),
    );
    Ok(decision)
}

/// What of a source is noise, looked at in a few places.
pub(crate) fn noise(input: &Input, track: &Arc<Track>, crop: Option<Crop>) -> Result<Noise> {
    const PLACES: u32 = 5;
    let info =
        track.video().ok_or_else(|| Error::new(ErrorKind::Internal, "a video track without pictures"))?;
    let shape = crop.map_or((info.width, info.height), |c| (c.width, c.height));
    let own = sizes(info).first().copied().filter(|_| crop.is_none()).unwrap_or(shape);
    let length = input.duration.unwrap_or_default();
    let mut samples = Vec::new();
    for place in 0..PLACES {
        let at = length.mul_f64((f64::from(place) + 0.5) / f64::from(PLACES));
        let behind = samples.last().and_then(|s: &Sample| s.frames.last()).map(|f| f.pts);
        samples.push(sample(input, (track, crop), Codec::H264, own, at, behind, 1)?);
    }
    Ok(Noise::of(&samples)?)
}

/// A size with a short side of `short` at most.
pub(crate) fn fit((w, h): (u32, u32), short: u32) -> (u32, u32) {
    if w.min(h) <= short {
        return (w, h);
    }
    let scale = f64::from(short) / f64::from(w.min(h));
    let even = |v: u32| ((f64::from(v) * scale / 2.0).round() as u32).max(1) * 2;
    (even(w), even(h))
}

/// Some pictures from the key frame before a moment on: encoders put those where scenes begin. Where
/// that is not behind the last sample (key frames are rare in some files), from the moment itself on.
fn sample(
    input: &Input,
    (track, crop): (&Arc<Track>, Option<Crop>),
    codec: Codec,
    size: (u32, u32),
    at: Duration,
    behind: Option<Timestamp>,
    count: usize,
) -> Result<Sample> {
    let mut input = input.again()?;
    input.select(&[track.id]);
    if !at.is_zero() {
        input.seek(at)?;
    }
    let mut config = filter::Video::default();
    config.size = Some(size);
    config.crop = crop;
    if codec == Codec::H264 {
        config.bit_depth = Some(8);
        config.dynamic_range = filter::DynamicRange::Standard;
    }
    let mut stages: [Stage; 2] =
        [decode::open(track, &decode::Options::default())?, filter::video(track, &config)?];
    let mut sample = Sample { track: Arc::clone(track), frames: Vec::new() };
    let mut from: Option<f64> = None;
    loop {
        let item = input.next_item()?;
        let ended = item.is_none();
        let mut items: Vec<Item> = item.into_iter().collect();
        for stage in &mut stages {
            items = through(stage, items, ended)?;
        }
        for item in items {
            match item {
                Item::Track(track) => sample.track = track,
                Item::Frame(_, Frame::Video(frame)) if sample.frames.len() < count => {
                    let overlaps = behind.is_some_and(|last| frame.pts <= last);
                    let from = *from.get_or_insert(if overlaps { at.as_secs_f64() } else { f64::MIN });
                    if frame.pts.to_seconds(track.time_base) >= from {
                        sample.frames.push(frame);
                    }
                }
                _ => {}
            }
        }
        if ended || sample.frames.len() >= count {
            return Ok(sample);
        }
    }
}

/// What a stage makes of some items, and of the end.
pub(crate) fn through(stage: &mut Stage, items: Vec<Item>, ended: bool) -> Result<Vec<Item>> {
    let mut out = Vec::new();
    for item in items {
        stage.push(item)?;
        while let Some(item) = stage.pull()? {
            out.push(item);
        }
    }
    if ended {
        stage.finish()?;
        while let Some(item) = stage.pull()? {
            out.push(item);
        }
    }
    Ok(out)
}
