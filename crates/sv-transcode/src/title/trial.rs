//! Encodes samples of a source at some sizes and factors, and measures what comes of it.

use std::sync::Arc;
use std::time::Duration;

use sv_core::{Codec, Frame, Item, Media, Ratio, Timestamp, Track, TrackId, VideoFrame, VideoInfo};

use super::{LEAST, Point};
use crate::encode::{self, Effort, Grid, Rate};
use crate::filter::{self, display_size, even};
use crate::metric::{Judge, Luma, Shown, Verdict};
use crate::{Error, cpu, decode};

/// Some pictures of a source that follow each other, upright and whole, planar, of one size.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The track as it is at these pictures.
    pub track: Arc<Track>,
    /// The pictures.
    pub frames: Vec<VideoFrame>,
}

/// Of so many pictures, one is compared: quality changes little from one to the next.
const EVERY: usize = 8;
/// Short sides of the sizes that are tried, in relation to the source's: each has about half the
/// samples of the one before.
const STEPS: [f64; 4] = [1.0, 2.0 / 3.0, 0.5, 1.0 / 3.0];
/// No size has a shorter side than this.
const SMALLEST: f64 = 180.0;

/// The sizes to try for a source, falling, the first its own display size.
#[must_use]
pub fn sizes(source: &VideoInfo) -> Vec<(u32, u32)> {
    let (w, h) = display_size(source);
    let short = f64::from(w.min(h));
    let scaled = |s: &f64| (even(f64::from(w) * s), even(f64::from(h) * s));
    STEPS.iter().filter(|s| **s >= 1.0 || short * **s >= SMALLEST).map(scaled).collect()
}

/// The factors to try: from what nobody can tell from the source to what nobody likes.
fn factors(codec: Codec) -> [f32; 3] {
    match codec {
        Codec::Hevc => [20.0, 28.0, 38.0],
        Codec::Av1 | Codec::Vp9 => [24.0, 38.0, 54.0],
        _ => [19.0, 27.0, 37.0],
    }
}

/// Measures `samples` at each of `sizes`. `segment` is how far key frames will be apart: samples
/// are shorter, so that their key frames count for less.
///
/// # Errors
/// [`Error::Invalid`] without pictures, and what encoding, decoding and scaling may bring.
pub fn trial(
    samples: &[Sample],
    sizes: &[(u32, u32)],
    codec: Codec,
    effort: Effort,
    segment: Duration,
) -> Result<Vec<Point>, Error> {
    let mut points = Vec::new();
    if samples.iter().all(|s| s.frames.len() < 2) {
        return Err(Error::Invalid("there are no pictures to try".into()));
    }
    for &(width, height) in sizes {
        let small: Vec<Sample> =
            samples.iter().map(|s| scaled(s, (width, height))).collect::<Result<_, _>>()?;
        for crf in factors(codec) {
            let mut sum = Sum::default();
            for (sample, small) in samples.iter().zip(&small) {
                if sample.frames.len() >= 2 {
                    sum.add(sample, small, codec, crf, effort, segment)?;
                }
            }
            points.extend(sum.point((width, height), crf));
        }
        // Where this size already needs fewer bits than anybody lacks, a smaller one helps nobody.
        let least = points.iter().map(|p: &Point| p.bitrate).fold(f64::INFINITY, f64::min);
        if least < LEAST {
            break;
        }
    }
    Ok(points)
}

/// What the samples of one measurement come to.
#[derive(Default)]
struct Sum {
    bitrate: f64,
    verdicts: Vec<Verdict>,
    cost: f64,
}

impl Sum {
    fn add(
        &mut self,
        sample: &Sample,
        small: &Sample,
        codec: Codec,
        crf: f32,
        effort: Effort,
        segment: Duration,
    ) -> Result<(), Error> {
        let rate = rate_of(sample);
        let mut config = encode::Video::new(codec);
        config.rate = Rate::Quality { crf, cap: None };
        config.effort = effort;
        // One key frame, at the first picture.
        let origin = sample.frames.first().map_or(Timestamp::ZERO, |f| f.pts);
        config.grid = Grid { origin, interval: Duration::from_secs(3600) };
        let begun = cpu::spent();
        let coded = run(&mut *encode::video(&config, TrackId(1))?, items(small))?;
        let seconds = (cpu::spent() - begun).as_secs_f64();

        let sizes: Vec<(bool, usize)> = coded
            .iter()
            .filter_map(|item| match item {
                Item::Packet(packet) => Some((packet.key, packet.data.len())),
                _ => None,
            })
            .collect();
        let key: usize = sizes.iter().filter(|s| s.0).map(|s| s.1).sum();
        // Encoders spend less on pictures that nothing behind them will refer to: the last ones of a
        // sample are cheaper than they would be in the film, so the first half speaks for the rest.
        let others: Vec<usize> = sizes.iter().filter(|s| !s.0).map(|s| s.1).collect();
        let early = &others[..others.len().div_ceil(2)];
        let rest = early.iter().sum::<usize>() as f64 / early.len().max(1) as f64;
        let group = (segment.as_secs_f64() * rate).max(1.0);
        let per_picture = (key as f64 + (group - 1.0) * rest) / group;
        self.bitrate += per_picture * 8.0 * rate;
        self.cost += seconds / small.frames.len() as f64 * rate;

        let Some(Item::Track(track)) = coded.iter().find(|i| matches!(i, Item::Track(_))).cloned() else {
            return Err(Error::Invalid("the encoder has not said what it makes".into()));
        };
        let decoded = run(&mut *decode::open(&track, &decode::Options::default())?, coded)?;
        let decoded = Sample { track, frames: frames(decoded) };
        let size = sample.frames.first().map_or((0, 0), |f| (f.width, f.height));
        self.verdicts.extend(judged(sample, &decoded, size, rate)?);
        Ok(())
    }

    fn point(&self, (width, height): (u32, u32), crf: f32) -> Option<Point> {
        let n = self.verdicts.len() as f64;
        let mean = |f: fn(&Verdict) -> f64| self.verdicts.iter().map(f).sum::<f64>() / n;
        let quality = Verdict {
            vmaf: mean(|v| v.vmaf),
            xpsnr: mean(|v| v.xpsnr),
            adm: mean(|v| v.adm),
            vif: [mean(|v| v.vif[0]), mean(|v| v.vif[1]), mean(|v| v.vif[2]), mean(|v| v.vif[3])],
            motion: mean(|v| v.motion),
        };
        let point = Point { width, height, crf, bitrate: self.bitrate / n, quality, cost: self.cost / n };
        (n > 0.0).then_some(point)
    }
}

/// Compares some of the decoded pictures, enlarged, with their originals.
fn judged(sample: &Sample, decoded: &Sample, size: (u32, u32), rate: f64) -> Result<Option<Verdict>, Error> {
    let mut judge = Judge::new(rate);
    let chosen: Vec<usize> = (EVERY / 2..sample.frames.len()).step_by(EVERY).collect();
    let chosen = if chosen.is_empty() { vec![sample.frames.len() - 1] } else { chosen };
    let mut copies = Sample { track: Arc::clone(&decoded.track), frames: Vec::new() };
    let mut originals = Vec::new();
    for index in chosen {
        let Some(original) = sample.frames.get(index) else { continue };
        let Some(copy) = decoded.frames.iter().find(|f| f.pts == original.pts) else { continue };
        let before = index.checked_sub(1).and_then(|i| sample.frames.get(i));
        originals.push((before, original, sample.frames.get(index + 1)));
        copies.frames.push(copy.clone());
    }
    let copies = scaled(&copies, size)?;
    for ((before, original, after), copy) in originals.into_iter().zip(&copies.frames) {
        let before = before.map(Luma::of).transpose()?;
        let after = after.map(Luma::of).transpose()?;
        let (original, copy) = (Luma::of(original)?, Luma::of(copy)?);
        judge.add(Shown {
            before: before.as_ref(),
            original: &original,
            after: after.as_ref(),
            copy: &copy,
        })?;
    }
    Ok(judge.verdict())
}

fn rate_of(sample: &Sample) -> f64 {
    let told = sample.track.video().and_then(|v| v.frame_rate).map(Ratio::to_f64).filter(|r| *r > 0.0);
    told.unwrap_or_else(|| {
        let base = sample.track.time_base;
        let ends = sample.frames.first().zip(sample.frames.last());
        let span = ends.map_or(0.0, |(a, b)| b.pts.to_seconds(base) - a.pts.to_seconds(base));
        if span > 0.0 { (sample.frames.len() - 1) as f64 / span } else { 25.0 }
    })
}

/// The sample at another size; as it is where it has that already.
fn scaled(sample: &Sample, (width, height): (u32, u32)) -> Result<Sample, Error> {
    let mut track = Track::clone(&sample.track);
    if let (Media::Video(info), Some(first)) = (&mut track.media, sample.frames.first()) {
        // Pictures are upright and whole by now, whatever the track began as.
        *info = VideoInfo {
            sample_aspect: Ratio::ONE,
            quarter_turns: 0,
            interlaced: false,
            ..VideoInfo { width: first.width, height: first.height, ..info.clone() }
        };
    }
    let config = filter::Video { size: Some((width, height)), ..filter::Video::default() };
    let sample = Sample { track: Arc::new(track), frames: sample.frames.clone() };
    let out = run(&mut *filter::video(&sample.track, &config)?, items(&sample))?;
    Ok(Sample { track: sample.track, frames: frames(out) })
}

fn items(sample: &Sample) -> Vec<Item> {
    let id = sample.track.id;
    let frames = sample.frames.iter().map(|f| Item::Frame(id, Frame::Video(f.clone())));
    std::iter::once(Item::Track(Arc::clone(&sample.track))).chain(frames).chain([Item::End(id)]).collect()
}

fn frames(items: Vec<Item>) -> Vec<VideoFrame> {
    items
        .into_iter()
        .filter_map(|item| match item {
            Item::Frame(_, Frame::Video(frame)) => Some(frame),
            _ => None,
        })
        .collect()
}

fn run(stage: &mut dyn sv_core::Stage<Error = Error>, items: Vec<Item>) -> Result<Vec<Item>, Error> {
    let mut out = Vec::new();
    for item in items {
        stage.push(item)?;
        while let Some(item) = stage.pull()? {
            out.push(item);
        }
    }
    stage.finish()?;
    while let Some(item) = stage.pull()? {
        out.push(item);
    }
    Ok(out)
}
