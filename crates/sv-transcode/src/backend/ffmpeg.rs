//! FFmpeg's codecs and filters.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_core::{Codec, Frame, Packet, PixelFormat, Track, TrackId, VideoFrame};
use sv_ffmpeg::{decode as ffdecode, encode as ffencode, probe};

use super::options::{candidates, starts_over, video_options};
use super::{Backend, Decode, EncodeAudio, EncodeVideo, FilterVideo, Picture};
use crate::encode;
use crate::{Error, decode, filter};

pub(crate) fn decoder(track: &Track, options: &decode::Options) -> Result<Box<dyn Decode>, Error> {
    let name = match &options.backend {
        Backend::Named(name) => Some(name.as_str()),
        _ => None,
    };
    let mut settings = ffdecode::Settings::default();
    settings.threads = match (options.threads, track.video()) {
        // One keeps up with several encoders of smaller pictures on one core each.
        (0, Some(video)) => {
            let pixels = u64::from(video.width) * u64::from(video.height);
            1 + u32::from(pixels > 1_000_000) + 2 * u32::from(pixels > 2_500_000)
        }
        (threads, _) => threads.max(1),
    };
    settings.pixels = options.limits.pixels;
    settings.device = options.device.as_ref().map(|device| device.inner.clone());
    if settings.device.is_some() {
        settings.threads = 1;
    }
    let decoder = sv_ffmpeg::Decoder::open(track, name, settings)?;
    Ok(Box::new(Decoder { decoder, video: track.video().is_some() }))
}

struct Decoder {
    decoder: sv_ffmpeg::Decoder,
    video: bool,
}

impl Decode for Decoder {
    fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        Ok(self.decoder.push(packet)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(self.decoder.finish()?)
    }

    fn pull(&mut self) -> Result<Option<Frame>, Error> {
        Ok(match self.video {
            true => self.decoder.video()?.map(Frame::Video),
            false => self.decoder.audio()?.map(Frame::Audio),
        })
    }

    fn is_patched(&self) -> bool {
        self.decoder.is_patched()
    }
}

pub(crate) fn can_encode(codec: Codec) -> bool {
    candidates(codec, &Backend::Auto).iter().any(|name| probe::has_encoder(name))
}

pub(crate) fn video_encoder(
    config: &encode::Video,
    picture: &Picture,
) -> Result<Box<dyn EncodeVideo>, Error> {
    let mut problem = None;
    for name in candidates(config.codec, &config.backend) {
        let frame = &picture.frame;
        let settings = ffencode::Video {
            encoder: name.to_owned(),
            width: frame.width,
            height: frame.height,
            bit_depth: picture.bit_depth,
            frame_rate: picture.frame_rate,
            color: frame.color,
            options: video_options(name, config, picture),
            wishes: Vec::new(),
            like: None,
        };
        match sv_ffmpeg::Encoder::video(&settings) {
            Ok(encoder) if starts_over(name, config) => {
                return Ok(Box::new(Restarting { settings, encoder, pushed: false, done: VecDeque::new() }));
            }
            Ok(encoder) => return Ok(Box::new(Encoder { encoder })),
            Err(error) => {
                tracing::debug!("{name}: {error}");
                problem = Some(error);
            }
        }
    }
    Err(match (problem, &config.backend) {
        (Some(error), Backend::Hardware) => Error::Incapable {
            what: format!("no device here encodes {} ({error})", config.codec),
            hint: "choose the software backend".into(),
        },
        (Some(error), _) => error.into(),
        (None, _) => super::no_encoder(config.codec),
    })
}

pub(super) struct Encoder {
    pub(super) encoder: sv_ffmpeg::Encoder,
}

impl EncodeVideo for Encoder {
    fn config(&self) -> Bytes {
        self.encoder.config().clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        Ok(self.encoder.push(frame, tick, key)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(self.encoder.finish()?)
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        Ok(self.encoder.packet(id)?)
    }
}

/// Begins anew at each key frame. It costs what the encoder would have learnt from the frames
/// before.
struct Restarting {
    settings: ffencode::Video,
    encoder: sv_ffmpeg::Encoder,
    pushed: bool,
    done: VecDeque<sv_ffmpeg::Encoder>,
}

impl EncodeVideo for Restarting {
    fn config(&self) -> Bytes {
        self.encoder.config().clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        if key && self.pushed {
            self.encoder.finish()?;
            let fresh = sv_ffmpeg::Encoder::video(&self.settings)?;
            self.done.push_back(std::mem::replace(&mut self.encoder, fresh));
        }
        self.pushed = true;
        Ok(self.encoder.push(frame, tick, key)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(self.encoder.finish()?)
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        while let Some(old) = self.done.front_mut() {
            if let Some(packet) = old.packet(id)? {
                return Ok(Some(packet));
            }
            self.done.pop_front();
        }
        Ok(self.encoder.packet(id)?)
    }
}

pub(crate) fn audio_encoder(
    config: &encode::Audio,
    sample_rate: u32,
    channels: u16,
) -> Result<Box<dyn EncodeAudio>, Error> {
    let mut problem = None;
    for name in candidates(config.codec, &config.backend) {
        let mut options = config.options.clone();
        if config.codec != Codec::Flac {
            options.push(("b".into(), config.bitrate.to_string()));
        }
        let settings = ffencode::Audio { encoder: name.to_owned(), sample_rate, channels, options };
        match sv_ffmpeg::Encoder::audio(&settings) {
            Ok(encoder) => return Ok(Box::new(Encoder { encoder })),
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.map_or_else(|| super::no_encoder(config.codec), Error::from))
}

impl EncodeAudio for Encoder {
    fn config(&self) -> Bytes {
        self.encoder.config().clone()
    }

    fn delay(&self) -> u32 {
        self.encoder.delay()
    }

    fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        Ok(self.encoder.push_samples(samples)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(self.encoder.finish()?)
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        Ok(self.encoder.packet(id)?)
    }
}

pub(crate) fn video_filter(
    plan: &filter::Plan,
    first: &VideoFrame,
    track: &Track,
) -> Result<Box<dyn FilterVideo>, Error> {
    let pixels = first.picture.format();
    let depth = match pixels {
        PixelFormat::Yuv420p8 => Some(8),
        PixelFormat::Yuv420p10 => Some(10),
        _ => None,
    };
    let only_scales =
        !plan.deinterlace && plan.crop.is_none() && plan.quarter_turns == 0 && depth == Some(plan.bit_depth);
    if let (Some((width, height)), true) = (plan.scale, only_scales) {
        let scaler = sv_ffmpeg::Scaler::new(first, width, height)?;
        return Ok(Box::new(Scaler { scaler, ready: None }));
    }
    let filter = sv_ffmpeg::Filter::video(&chain(plan), first, track.time_base)?;
    Ok(Box::new(Filter { filter }))
}

/// The plan in FFmpeg's notation.
pub(super) fn chain(plan: &filter::Plan) -> String {
    let mut parts: Vec<String> = Vec::new();
    if plan.deinterlace {
        parts.push("bwdif=mode=send_frame:parity=auto:deint=interlaced".into());
    }
    if let Some(crop) = plan.crop {
        parts.push(format!("crop={}:{}:{}:{}", crop.width, crop.height, crop.left, crop.top));
    }
    if let Some((w, h)) = plan.scale {
        parts.push(format!("scale={w}:{h}:flags=bicubic"));
    }
    let format = if plan.bit_depth == 10 { "yuv420p10le" } else { "yuv420p" };
    match plan.quarter_turns {
        1 => parts.push("transpose=clock".into()),
        // Twice a quarter, because a flip would leave rows bottom-up, which few can read.
        2 => parts.push("transpose=clock,transpose=clock".into()),
        3 => parts.push("transpose=cclock".into()),
        _ => {}
    }
    parts.push(format!("format={format}"));
    parts.join(",")
}

struct Scaler {
    scaler: sv_ffmpeg::Scaler,
    ready: Option<VideoFrame>,
}

impl FilterVideo for Scaler {
    fn push(&mut self, frame: &VideoFrame) -> Result<(), Error> {
        self.ready = Some(self.scaler.scale(frame)?);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<VideoFrame>, Error> {
        Ok(self.ready.take())
    }

    fn accepts(&self, frame: &VideoFrame) -> bool {
        self.scaler.accepts(frame)
    }
}

pub(super) struct Filter {
    pub(super) filter: sv_ffmpeg::Filter,
}

impl FilterVideo for Filter {
    fn push(&mut self, frame: &VideoFrame) -> Result<(), Error> {
        Ok(self.filter.push(frame)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(self.filter.finish()?)
    }

    fn pull(&mut self) -> Result<Option<VideoFrame>, Error> {
        let frame = self.filter.pull()?;
        debug_assert!(frame.as_ref().is_none_or(|f| f.picture.format() != PixelFormat::Opaque));
        Ok(frame)
    }

    fn accepts(&self, frame: &VideoFrame) -> bool {
        self.filter.accepts(frame)
    }
}
