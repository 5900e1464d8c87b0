//! Pictures to pictures.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_core::{
    ColorInfo, Frame, HdrMetadata, Item, Media, PixelFormat, Ratio, Track, TrackId, VideoFrame, VideoInfo,
};

use super::tone::{Mapper, ToneCurve};
use crate::backend::{self, FilterVideo};
use crate::dynamic::Waiting;
use crate::{Device, Error, Stage, dolby};

/// What to do about pictures that are two fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deinterlace {
    /// Make whole pictures of those that say they are two fields.
    #[default]
    Auto,
    /// Leave them.
    Never,
}

/// What to do about high dynamic range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DynamicRange {
    /// Keep it, with its colours and metadata.
    #[default]
    Keep,
    /// Map it to standard dynamic range, BT.709; pictures that are no HDR stay as they are.
    Standard,
}

/// A part of a picture, in its samples as they are coded, all numbers even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Crop {
    /// Columns that are left out on the left.
    pub left: u32,
    /// Rows that are left out at the top.
    pub top: u32,
    /// Columns that are kept.
    pub width: u32,
    /// Rows that are kept.
    pub height: u32,
}

impl Crop {
    /// Whether it is a part of pictures of this size, with even numbers.
    #[must_use]
    pub fn fits(&self, width: u32, height: u32) -> bool {
        let inside = |from: u32, length: u32, whole: u32| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= whole)
        };
        [self.left, self.top, self.width, self.height].iter().all(|n| n % 2 == 0)
            && inside(self.left, self.width, width)
            && inside(self.top, self.height, height)
    }
}

/// What pictures to make. The default only makes them upright, whole, square-sampled and 4:2:0.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Video {
    /// The part of the coded picture to take; the rest is thrown away before anything but
    /// deinterlacing.
    pub crop: Option<Crop>,
    /// Width and height to make, upright; both even. `None` keeps the display size, evened.
    pub size: Option<(u32, u32)>,
    /// 8 or 10 bits a sample; `None` keeps 8, and makes 10 of anything deeper.
    pub bit_depth: Option<u8>,
    /// What to do about high dynamic range.
    pub dynamic_range: DynamicRange,
    /// How to map it where it is not kept.
    pub tone_curve: ToneCurve,
    /// What to do about fields.
    pub deinterlace: Deinterlace,
    /// A device that scales pictures that are on it.
    pub device: Option<Device>,
    /// Leave pictures on the device, for an encoder on it. Those that only software can make are in
    /// memory all the same.
    pub stays: bool,
}

/// Everything that a backend has to do to pictures of one kind, found out from the first of them.
/// What is `None` or false need not be done.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "ffmpeg"), allow(dead_code, reason = "only FFmpeg has devices"))]
pub(crate) struct Plan {
    pub(crate) deinterlace: bool,
    pub(crate) crop: Option<Crop>,
    /// Before turning.
    pub(crate) scale: Option<(u32, u32)>,
    pub(crate) quarter_turns: u8,
    /// The format to make, always one of the two planar ones.
    pub(crate) bit_depth: u8,
    /// Where pictures are that come from one.
    pub(crate) device: Option<Device>,
    /// Whether they are left there.
    pub(crate) stays: bool,
}

/// A stage that makes pictures of `track` as `config` says: the track (as it is then), frames and
/// its end. Times do not change. Where there is nothing to do, frames pass untouched.
///
/// Items of other tracks pass through.
///
/// # Errors
/// [`Error::Invalid`] when `track` is no video or the size is odd or zero.
pub fn video(track: &Track, config: &Video) -> Result<Stage, Error> {
    let Some(info) = track.video() else {
        return Err(Error::Invalid(format!("track {} is not video", track.id.0)));
    };
    if let Some(crop) = config.crop.filter(|crop| !crop.fits(info.width, info.height)) {
        let (w, h) = (info.width, info.height);
        return Err(Error::Invalid(format!("{crop:?} is no part of pictures of {w}x{h} with even numbers")));
    }
    if let Some((w, h)) = config.size
        && (w == 0 || h == 0 || w % 2 != 0 || h % 2 != 0)
    {
        return Err(Error::Invalid(format!("a picture of {w}x{h} can't be made: both sides must be even")));
    }
    if !matches!(config.bit_depth, None | Some(8 | 10)) {
        return Err(Error::Invalid("pictures have 8 or 10 bits a sample".into()));
    }
    Ok(Box::new(Filter {
        info: info.clone(),
        track: track.clone(),
        config: config.clone(),
        work: Work::Nothing,
        color: ColorInfo::default(),
        size: (0, 0),
        tone: None,
        waiting: Waiting::default(),
        announced: false,
        ready: VecDeque::new(),
        ended: false,
    }))
}

enum Work {
    /// No picture has come yet.
    Nothing,
    /// Pictures like this one need no work.
    Pass(PixelFormat, u32, u32),
    /// They do.
    Filter(Box<dyn FilterVideo>),
}

struct Filter {
    track: Track,
    info: VideoInfo,
    config: Video,
    work: Work,
    /// Of the pictures that `work` and `tone` were made for.
    color: ColorInfo,
    /// Before turning and scaling, of the same.
    size: (u32, u32),
    /// What maps the pictures that come out of `work`, at their final size.
    tone: Option<Mapper>,
    /// What belongs to pictures inside of `work`.
    waiting: Waiting,
    announced: bool,
    ready: VecDeque<Item>,
    ended: bool,
}

/// The display size of pictures, upright and with square samples, both sides even.
#[must_use]
pub fn display_size(info: &VideoInfo) -> (u32, u32) {
    let (mut w, mut h) = (f64::from(info.width), f64::from(info.height));
    // Enlarging the side that falls short keeps every sample.
    match info.sample_aspect.to_f64() {
        aspect if aspect > 1.0 => w *= aspect,
        aspect => h /= aspect,
    }
    if info.quarter_turns % 2 == 1 {
        (w, h) = (h, w);
    }
    (even(w), even(h))
}

/// The nearest even number that is at least 2. Sizes are far below 2^32, so the cast is exact.
pub(crate) fn even(length: f64) -> u32 {
    ((length / 2.0).round() as u32).max(1) * 2
}

impl Filter {
    fn plan(&self, first: &VideoFrame) -> Plan {
        // A picture of another size than the one that was measured has its own bars, if any.
        let crop = self.config.crop.filter(|c| {
            (self.info.width, self.info.height) == (first.width, first.height)
                && (c.width, c.height) != (first.width, first.height)
        });
        let (width, height) = crop.map_or((first.width, first.height), |c| (c.width, c.height));
        let info = VideoInfo { width, height, ..self.info.clone() };
        let (w, h) = self.config.size.unwrap_or_else(|| display_size(&info));
        // Turning comes last, on fewer samples, so the scaler's sides are the other way round.
        let target = if info.quarter_turns % 2 == 1 { (h, w) } else { (w, h) };
        let depth = if is_hdr(first) { 10 } else { backend::bit_depth(first) };
        let kept = if depth > 8 { 10 } else { 8 };
        Plan {
            deinterlace: self.config.deinterlace == Deinterlace::Auto
                && (info.interlaced || is_interlaced(first)),
            crop,
            scale: (target != (width, height)).then_some(target),
            quarter_turns: info.quarter_turns,
            bit_depth: match self.config.bit_depth {
                Some(depth) if !self.maps(first) => depth,
                _ => kept,
            },
            device: self.config.device.clone(),
            stays: self.config.stays && !self.maps(first),
        }
    }

    /// Whether pictures like this one are mapped to standard range.
    fn maps(&self, frame: &VideoFrame) -> bool {
        is_hdr(frame) && self.config.dynamic_range == DynamicRange::Standard
    }

    fn mapper(&self, first: &VideoFrame) -> Result<Option<Mapper>, Error> {
        if !self.maps(first) {
            return Ok(None);
        }
        // What the track says goes first: it is the same wherever in a film the work begins.
        let hdr = HdrMetadata {
            mastering: self.info.hdr.mastering.or(first.hdr.mastering),
            light: self.info.hdr.light.or(first.hdr.light),
        };
        let bits = self.config.bit_depth.unwrap_or(8);
        Mapper::new(self.config.tone_curve, first.color, hdr, bits).map(Some)
    }

    fn frame(&mut self, mut frame: VideoFrame) -> Result<(), Error> {
        let fits = match &self.work {
            Work::Nothing => false,
            Work::Pass(format, w, h) => {
                (*format, *w, *h) == (frame.picture.format(), frame.width, frame.height)
            }
            Work::Filter(filter) => filter.accepts(&frame),
        };
        if !fits || (self.tone.is_some() || self.maps(&frame)) && self.color != frame.color {
            self.drain()?;
            self.work = self.prepare(&frame)?;
            self.tone = self.mapper(&frame)?;
            self.color = frame.color;
            self.size = (frame.width, frame.height);
        }
        self.waiting.put(frame.pts, std::mem::take(&mut frame.dynamic));
        match &mut self.work {
            Work::Filter(filter) => filter.push(&frame)?,
            _ => self.emit(frame)?,
        }
        self.collect()
    }

    fn prepare(&self, first: &VideoFrame) -> Result<Work, Error> {
        let plan = self.plan(first);
        let wanted = if plan.bit_depth == 8 { PixelFormat::Yuv420p8 } else { PixelFormat::Yuv420p10 };
        let idle =
            !plan.deinterlace && plan.crop.is_none() && plan.scale.is_none() && plan.quarter_turns == 0;
        if idle && first.picture.format() == wanted {
            return Ok(Work::Pass(wanted, first.width, first.height));
        }
        tracing::debug!(track = self.track.id.0, ?plan, "filters");
        backend::video_filter(&plan, first, &self.track).map(Work::Filter)
    }

    /// Takes what the old filter still holds, before another replaces it.
    fn drain(&mut self) -> Result<(), Error> {
        if let Work::Filter(filter) = &mut self.work {
            filter.finish()?;
        }
        self.collect()
    }

    fn collect(&mut self) -> Result<(), Error> {
        while let Work::Filter(filter) = &mut self.work {
            let Some(frame) = filter.pull()? else { break };
            self.emit(frame)?;
        }
        Ok(())
    }

    fn emit(&mut self, frame: VideoFrame) -> Result<(), Error> {
        let mut dynamic = self.waiting.take(frame.pts);
        let (size, turns) = ((frame.width, frame.height), self.info.quarter_turns);
        if self.config.crop.is_some() {
            // They count from the edges of the whole picture.
            dynamic.dolby_vision = None;
        } else if size != self.size || turns % 4 != 0 {
            dynamic.dolby_vision =
                dynamic.dolby_vision.and_then(|rpu| dolby::fitted(&rpu, self.size, size, turns));
        }
        let frame = match &self.tone {
            Some(mapper) => mapper.map(&frame)?,
            None => VideoFrame { dynamic, ..frame },
        };
        if !self.announced {
            self.announce(&frame);
        }
        self.ready.push_back(Item::Frame(self.track.id, Frame::Video(frame)));
        Ok(())
    }

    fn announce(&mut self, frame: &VideoFrame) {
        self.announced = true;
        let info = VideoInfo {
            width: frame.width,
            height: frame.height,
            sample_aspect: Ratio::ONE,
            frame_rate: self.info.frame_rate,
            color: frame.color,
            hdr: if is_hdr(frame) { frame.hdr } else { HdrMetadata::default() },
            quarter_turns: 0,
            interlaced: false,
            // A part of the picture, or one on its side, covers other directions.
            spherical: self
                .info
                .spherical
                .clone()
                .filter(|_| self.config.crop.is_none() && self.info.quarter_turns == 0),
            bit_depth: backend::bit_depth(frame),
            ..VideoInfo::new(frame.width, frame.height)
        };
        let track = Track { media: Media::Video(info), ..self.track.clone() };
        self.ready.push_back(Item::Track(Arc::new(track)));
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        self.drain()?;
        self.ready.push_back(Item::End(self.track.id));
        Ok(())
    }

    fn id(&self) -> TrackId {
        self.track.id
    }
}

impl sv_core::Stage for Filter {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            item if item.track() != Some(self.id()) => self.ready.push_back(item),
            Item::Frame(_, Frame::Video(frame)) => self.frame(frame)?,
            Item::End(_) => self.end()?,
            // Our own description of the track follows from the first picture.
            _ => {}
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.end()
    }
}

fn is_hdr(frame: &VideoFrame) -> bool {
    frame.color.is_pq() || frame.color.is_hlg()
}

fn is_interlaced(_frame: &VideoFrame) -> bool {
    #[cfg(feature = "ffmpeg")]
    return sv_ffmpeg::filter::is_interlaced(_frame);
    #[cfg(not(feature = "ffmpeg"))]
    return false;
}
