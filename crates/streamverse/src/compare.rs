//! How near a copy is to its original: VMAF, XPSNR and SSIMULACRA2, without another program.
//!
//! ```no_run
//! use streamverse::compare::{Request, compare};
//!
//! let found = compare(&Request::new("film.mov", "out/video-720p.mp4"))?;
//! println!("VMAF {:.1}, at worst {:.1} at {:.1} s", found.vmaf.mean, found.vmaf.least, found.vmaf.least_at);
//! # Ok::<(), streamverse::Error>(())
//! ```

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sv_core::{ErrorKind, Frame, Item, Source as _, TimeBase, Track, TrackKind, VideoFrame};
use sv_transcode::metric::{Judge, Luma, Shown};
use sv_transcode::title::sizes;
use sv_transcode::{Stage, decode, filter};

use crate::input::{Input, Prefer};
use crate::title::{JUDGED, fit, through};
use crate::{Error, Result};

/// What to compare with what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The original.
    pub original: PathBuf,
    /// What was made of it; any size, and any rate of pictures.
    pub copy: PathBuf,
    /// One of so many pictures is compared.
    pub every: usize,
}

impl Request {
    /// Every picture.
    #[must_use]
    pub fn new(original: impl Into<PathBuf>, copy: impl Into<PathBuf>) -> Self {
        Self { original: original.into(), copy: copy.into(), every: 1 }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Width at which pictures were compared: the original's, or less if that is larger than 1080 lines,
    /// for which VMAF was made.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Pictures that were compared.
    pub pictures: u64,
    /// VMAF by the model v0.6.1, 0 to 100.
    pub vmaf: Score,
    /// XPSNR of luma over all pictures, in decibels.
    pub xpsnr: f64,
    /// SSIMULACRA2, where it is built in and the pictures are of standard range: 100 and less.
    pub ssimulacra2: Option<Score>,
}

/// One measure over all pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The mean.
    pub mean: f64,
    /// A twentieth of the pictures are worse than this.
    pub low: f64,
    /// The worst picture.
    pub least: f64,
    /// When it is shown, in seconds.
    pub least_at: f64,
}

impl Score {
    fn of(values: &[(f64, f64)]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (least_at, least) = *sorted.first()?;
        let low = sorted.get(sorted.len() / 20).map_or(least, |v| v.1);
        let mean = values.iter().map(|v| v.1).sum::<f64>() / values.len() as f64;
        Some(Self { mean, low, least, least_at })
    }
}

/// Compares each picture of the original with what the copy shows at that moment.
///
/// # Errors
/// When one of them can't be read or has no pictures.
pub fn compare(request: &Request) -> Result<Comparison> {
    let (original, copy) = (open(&request.original)?, open(&request.copy)?);
    let (width, height) = display(&original.1).map(|own| fit(own, JUDGED))?;
    // A copy in standard range is compared with what the original looks like there.
    let standard = copy.1.video().is_some_and(|v| !v.color.is_pq() && !v.color.is_hlg());
    let mut config = filter::Video::default();
    config.size = Some((width, height));
    if standard {
        config.dynamic_range = filter::DynamicRange::Standard;
    }
    let rate = original.1.video().and_then(|v| v.frame_rate).map_or(25.0, |r| r.to_f64());
    let mut judge = Judge::new(rate);
    let mut originals = Pictures::new(original, &config)?;
    let mut copies = Pictures::new(copy, &config)?;
    let (mut vmaf, mut other) = (Vec::new(), Vec::new());
    let mut before: Option<(f64, VideoFrame)> = None;
    let mut now = originals.next()?;
    let mut shown: Option<VideoFrame> = None;
    let mut coming = copies.next()?;
    let mut index = 0usize;
    while let Some((at, frame)) = now {
        let after = originals.next()?;
        // Half a picture of patience, for times that were rounded on the way.
        while let Some((from, _)) = &coming
            && *from <= at + 0.5 / rate
        {
            shown = coming.take().map(|c| c.1);
            coming = copies.next()?;
        }
        if index.is_multiple_of(request.every.max(1))
            && let Some(copy) = &shown
        {
            let luma = |f: &Option<(f64, VideoFrame)>| f.as_ref().map(|f| Luma::of(&f.1)).transpose();
            let (last, next) = (luma(&before)?, luma(&after)?);
            let pair = (Luma::of(&frame)?, Luma::of(copy)?);
            let (last, next) = (last.as_ref(), next.as_ref());
            let own = judge.add(Shown { before: last, original: &pair.0, after: next, copy: &pair.1 })?;
            vmaf.push((at, own));
            if standard && let Some(score) = ssimulacra2(&frame, copy)? {
                other.push((at, score));
            }
        }
        index += 1;
        before = Some((at, frame));
        now = after;
    }
    let (Some(verdict), Some(vmaf)) = (judge.verdict(), Score::of(&vmaf)) else {
        return Err(Error::new(ErrorKind::InvalidInput, "no picture of the two is shown at the same time"));
    };
    let (pictures, ssimulacra2) = (index.div_ceil(request.every.max(1)) as u64, Score::of(&other));
    Ok(Comparison { width, height, pictures, vmaf, xpsnr: verdict.xpsnr, ssimulacra2 })
}

#[cfg(feature = "ssimulacra2")]
fn ssimulacra2(original: &VideoFrame, copy: &VideoFrame) -> Result<Option<f64>> {
    Ok(Some(sv_transcode::metric::ssimulacra2(original, copy)?))
}

#[cfg(not(feature = "ssimulacra2"))]
fn ssimulacra2(_: &VideoFrame, _: &VideoFrame) -> Result<Option<f64>> {
    Ok(None)
}

fn open(path: &Path) -> Result<(Input, Arc<Track>)> {
    let mut input = Input::open(path, Prefer::Backend)?;
    let track = input.tracks.iter().find(|t| t.kind() == TrackKind::Video).cloned();
    let track = track.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("there are no pictures in {}", path.display()))
    })?;
    input.select(&[track.id]);
    let mut scout = input.again()?;
    scout.select(&[track.id]);
    let start = scout.find_start()?;
    input.rebase(start);
    Ok((input, track))
}

fn display(track: &Track) -> Result<(u32, u32)> {
    let info = track.video().ok_or_else(|| Error::new(ErrorKind::Internal, "pictures without a size"))?;
    // The first of the sizes that a ladder may have is the source's own as it is shown.
    Ok(sizes(info).first().copied().unwrap_or((info.width, info.height)))
}

/// The pictures of a source, upright, whole and of one size, with the seconds at which they are shown.
struct Pictures {
    input: Input,
    stages: [Stage; 2],
    ready: VecDeque<(f64, VideoFrame)>,
    base: TimeBase,
    over: bool,
}

impl Pictures {
    fn new((input, track): (Input, Arc<Track>), config: &filter::Video) -> Result<Self> {
        let stages = [decode::open(&track, &decode::Options::default())?, filter::video(&track, config)?];
        Ok(Self { input, stages, ready: VecDeque::new(), base: track.time_base, over: false })
    }

    fn next(&mut self) -> Result<Option<(f64, VideoFrame)>> {
        while self.ready.is_empty() && !self.over {
            let item = self.input.next_item()?;
            self.over = item.is_none();
            let mut items: Vec<Item> = item.into_iter().collect();
            for stage in &mut self.stages {
                items = through(stage, items, self.over)?;
            }
            for item in items {
                match item {
                    Item::Track(track) => self.base = track.time_base,
                    Item::Frame(_, Frame::Video(frame)) => {
                        self.ready.push_back((frame.pts.to_seconds(self.base), frame));
                    }
                    _ => {}
                }
            }
        }
        Ok(self.ready.pop_front())
    }
}
