//! All of the work on one device, through FFmpeg: see [`Device`]. What it can't do, software does, with
//! one copy of each picture where the two meet.

use bytes::Bytes;
use sv_core::{Codec, Frame, Packet, PixelFormat, TimeBase, Track, TrackId, VideoFrame};
use sv_ffmpeg::device::download;
use sv_ffmpeg::{Filter, encode as ffencode};

use super::renumber::Renumbered;
use super::standby::Standby;
use super::{Backend, Decode, EncodeVideo, FilterVideo, Picture, fallback, ffmpeg, options};
use crate::cpu::Held;
use crate::{Device, Error, decode, encode, filter};

/// Frames go through the filters in here one by one, so their clock does not matter.
const BASE: TimeBase = TimeBase::NANOS;

fn cant(what: String) -> Error {
    Error::Incapable { what, hint: "let software do it".into() }
}

/// Decodes on the device where it can, and in software otherwise; pictures end up on the device either
/// way, unless only software can do what they need next.
pub(super) fn decoder(
    track: &Track,
    options: &decode::Options,
    device: &Device,
) -> Result<Box<dyn Decode>, Error> {
    let software = decode::Options { backend: Backend::Software, device: None, ..options.clone() };
    let on_device = ffmpeg::decoder(track, options);
    let held = on_device.is_ok().then(Held::now);
    let decoder = match on_device {
        Ok(decoder) if options.fallback => {
            let (track, software) = (track.clone(), software.clone());
            Box::new(fallback::Fallback::new(decoder, Box::new(move || super::decoder(&track, &software))))
        }
        Ok(decoder) => decoder,
        Err(error) if options.fallback => {
            tracing::info!("software decodes, because the device does not: {error}");
            super::decoder(track, &software)?
        }
        Err(error) => return Err(error),
    };
    let turned = track.video().is_some_and(|v| v.quarter_turns % 4 != 0 || v.interlaced);
    Ok(Box::new(Decoder { decoder, upload: (!turned).then(|| Upload::new(device)), _held: held }))
}

struct Decoder {
    decoder: Box<dyn Decode>,
    upload: Option<Upload>,
    /// While the device decodes.
    _held: Option<Held>,
}

impl Decode for Decoder {
    fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        self.decoder.push(packet)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.decoder.finish()
    }

    fn pull(&mut self) -> Result<Option<Frame>, Error> {
        let frame = self.decoder.pull()?;
        let (Some(Frame::Video(picture)), Some(upload)) = (&frame, &mut self.upload) else {
            return Ok(frame);
        };
        match upload.put(picture) {
            Ok(on_device) => Ok(Some(Frame::Video(on_device))),
            Err(error) => {
                tracing::warn!("pictures stay in memory, because the device takes none: {error}");
                self.upload = None;
                Ok(frame)
            }
        }
    }

    fn is_patched(&self) -> bool {
        self.decoder.is_patched()
    }
}

/// Filters that give a picture for each that they are given.
struct OneByOne {
    filter: Filter,
    /// Layouts differ from one device's pictures to the next one's.
    layout: Option<String>,
}

impl OneByOne {
    fn new(filters: &str, first: &VideoFrame, device: Option<&sv_ffmpeg::Device>) -> Result<Self, Error> {
        let filter = match device {
            Some(device) => Filter::on(device, filters, first, BASE)?,
            None => Filter::video(filters, first, BASE)?,
        };
        Ok(Self { filter, layout: download(first) })
    }

    fn accepts(&self, frame: &VideoFrame) -> bool {
        self.filter.accepts(frame) && self.layout == download(frame)
    }

    fn apply(&mut self, frame: &VideoFrame) -> Result<VideoFrame, Error> {
        self.filter.push(frame)?;
        let missing = || cant("the device gave no picture for one that it took".into());
        let made = self.filter.pull()?.ok_or_else(missing)?;
        // What the picture shows is not the device's to say, and no step in here changes it.
        Ok(VideoFrame {
            pts: frame.pts,
            duration: frame.duration,
            color: frame.color,
            hdr: frame.hdr,
            dynamic: frame.dynamic.clone(),
            ..made
        })
    }
}

/// Puts pictures on a device.
struct Upload {
    device: sv_ffmpeg::Device,
    work: Option<OneByOne>,
}

impl Upload {
    fn new(device: &Device) -> Self {
        Self { device: device.inner.clone(), work: None }
    }

    fn put(&mut self, frame: &VideoFrame) -> Result<VideoFrame, Error> {
        if self.device.holds(frame) {
            return Ok(frame.clone());
        }
        let work = match self.work.take().filter(|work| work.accepts(frame)) {
            Some(work) => work,
            None => {
                let mut filters = download(frame).map_or_else(String::new, |down| down + ",");
                let deep = sv_ffmpeg::filter::bit_depth(frame) > 8;
                filters.push_str(&self.device.upload(if deep { 10 } else { 8 }));
                OneByOne::new(&filters, frame, Some(&self.device))?
            }
        };
        self.work.insert(work).apply(frame)
    }
}

/// Brings pictures into memory, planar.
#[derive(Default)]
struct Download {
    work: Option<OneByOne>,
}

impl Download {
    fn get(&mut self, frame: &VideoFrame) -> Result<VideoFrame, Error> {
        let Some(down) = download(frame) else { return Ok(frame.clone()) };
        let work = match self.work.take().filter(|work| work.accepts(frame)) {
            Some(work) => work,
            None => {
                let deep = sv_ffmpeg::filter::bit_depth(frame) > 8;
                OneByOne::new(&format!("{down},format={}", planar(deep)), frame, None)?
            }
        };
        self.work.insert(work).apply(frame)
    }
}

fn planar(deep: bool) -> &'static str {
    if deep { "yuv420p10le" } else { "yuv420p" }
}

/// What is done to pictures on a device: there, where it is only about size and depth, and else in
/// memory. They stay on the device if the plan says so.
pub(super) fn video_filter(plan: &filter::Plan, first: &VideoFrame) -> Result<Box<dyn FilterVideo>, Error> {
    let whole = !plan.deinterlace && plan.crop.is_none() && plan.quarter_turns == 0;
    let (width, height) = plan.scale.unwrap_or((first.width, first.height));
    let device = plan.device.as_ref().map(|device| &device.inner);
    let same = plan.scale.is_none() && sv_ffmpeg::filter::bit_depth(first) == plan.bit_depth;
    let scaler = device.filter(|device| whole && device.holds(first)).and_then(|device| match same {
        true => Some(String::new()),
        false => device.scaler(first, width, height, plan.bit_depth),
    });
    let down = download(first).unwrap_or_default();
    // Work that was cut short can go on with any picture, in memory, from the one before.
    let memory = format!("{down},{}", ffmpeg::chain(plan));
    let work = match (scaler, device) {
        (Some(scaler), Some(device)) => {
            let back = format!("{down},format={}", planar(plan.bit_depth == 10));
            let parts = [scaler, if plan.stays { String::new() } else { back }];
            let filters: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let filters = if filters.is_empty() { "null".into() } else { filters.join(",") };
            match OneByOne::new(&filters, first, Some(device)) {
                Ok(work) => work,
                Err(error) => {
                    tracing::info!("software scales, because the device does not: {error}");
                    OneByOne::new(&memory, first, None)?
                }
            }
        }
        _ if plan.deinterlace => {
            // Not one by one: a picture comes out when the next one is there.
            return Ok(Box::new(ffmpeg::Filter { filter: Filter::video(&memory, first, BASE)? }));
        }
        _ => OneByOne::new(&memory, first, None)?,
    };
    Ok(Box::new(Scaler { work, memory, ready: None }))
}

struct Scaler {
    work: OneByOne,
    /// The same in memory.
    memory: String,
    ready: Option<VideoFrame>,
}

impl FilterVideo for Scaler {
    fn push(&mut self, frame: &VideoFrame) -> Result<(), Error> {
        let made = match self.work.apply(frame) {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!("software scales from here on, because the device failed: {error}");
                self.work = OneByOne::new(&self.memory, frame, None)?;
                self.work.apply(frame)?
            }
        };
        self.ready = Some(made);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<VideoFrame>, Error> {
        Ok(self.ready.take())
    }

    fn accepts(&self, frame: &VideoFrame) -> bool {
        self.work.accepts(frame)
    }
}

/// Encodes on the device where it can, with software ready to go on, and otherwise in software.
pub(super) fn video_encoder(
    config: &encode::Video,
    picture: &Picture,
    device: &Device,
) -> Result<Box<dyn EncodeVideo>, Error> {
    let memory = {
        let (config, picture) = (software(config), picture.clone());
        move || -> Result<Box<dyn EncodeVideo>, Error> {
            let mut download = Download::default();
            let picture = Picture { frame: download.get(&picture.frame)?, ..picture.clone() };
            let encoder = super::video_encoder(&config, &picture)?;
            let encoder: Box<dyn EncodeVideo> = match config.codec {
                Codec::Hevc => Box::new(Renumbered::new(encoder)?),
                _ => encoder,
            };
            Ok(Box::new(InMemory { download, encoder }))
        }
    };
    match on_device(config, picture, device) {
        Ok(encoder) if config.fallback => Ok(Standby::over(config.codec, encoder, Box::new(memory))),
        Ok(encoder) => Ok(encoder),
        // Devices refuse when all their sessions are taken, too.
        Err(error) if config.fallback => {
            tracing::info!("software encodes, because the device does not: {error}");
            let config = encode::Video { device: None, ..config.clone() };
            let mut download = Download::default();
            let picture = Picture { frame: download.get(&picture.frame)?, ..picture.clone() };
            let encoder = super::video_encoder(&config, &picture)?;
            Ok(Box::new(InMemory { download, encoder }))
        }
        Err(error) => Err(error),
    }
}

/// The settings of the encoder that takes over: without pictures that are decoded before they are shown,
/// whose times would reach back behind what is out already, and with parameter sets that no device uses.
pub(super) fn software(config: &encode::Video) -> encode::Video {
    let mut config = encode::Video { device: None, ..config.clone() };
    if matches!(config.codec, Codec::H264 | Codec::Hevc) {
        config.options.push(("bf".into(), "0".into()));
    }
    if config.codec == Codec::H264 {
        config.options.push(("x264-params".into(), "sps-id=1".into()));
    }
    config
}

fn on_device(
    config: &encode::Video,
    picture: &Picture,
    device: &Device,
) -> Result<Box<dyn EncodeVideo>, Error> {
    let Some(name) = device.inner.encoder(config.codec) else {
        return Err(cant(format!("FFmpeg has no encoder for {} on {} devices", config.codec, device.kind())));
    };
    let mut upload = Upload::new(device);
    let like = upload.put(&picture.frame)?;
    let (options, wishes) = options::device_options(&name, config);
    let settings = ffencode::Video {
        encoder: name,
        width: like.width,
        height: like.height,
        bit_depth: picture.bit_depth,
        frame_rate: picture.frame_rate,
        color: like.color,
        options,
        wishes,
        like: Some(like),
    };
    let encoder = sv_ffmpeg::Encoder::video(&settings)?;
    Ok(Box::new(OnDevice { upload, encoder: ffmpeg::Encoder { encoder }, _held: Held::now() }))
}

/// An encoder whose pictures are on the device.
struct OnDevice {
    upload: Upload,
    encoder: ffmpeg::Encoder,
    _held: Held,
}

impl EncodeVideo for OnDevice {
    fn config(&self) -> Bytes {
        EncodeVideo::config(&self.encoder)
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        EncodeVideo::push(&mut self.encoder, &self.upload.put(frame)?, tick, key)
    }

    fn finish(&mut self) -> Result<(), Error> {
        EncodeVideo::finish(&mut self.encoder)
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        EncodeVideo::pull(&mut self.encoder, id)
    }
}

/// An encoder whose pictures are in memory.
struct InMemory {
    download: Download,
    encoder: Box<dyn EncodeVideo>,
}

impl EncodeVideo for InMemory {
    fn config(&self) -> Bytes {
        self.encoder.config()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        self.encoder.push(&self.download.get(frame)?, tick, key)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.encoder.finish()
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        self.encoder.pull(id)
    }
}

/// Whether it opens an encoder for small pictures of this codec.
pub(crate) fn encodes(device: &Device, codec: Codec) -> bool {
    let (width, height) = (320, 192);
    let planes = [(width, height), (width / 2, height / 2), (width / 2, height / 2)];
    let picture = sv_core::Planes {
        format: PixelFormat::Yuv420p8,
        planes: planes.map(|(w, h)| (vec![128; w * h], w)).into(),
    };
    let frame = VideoFrame {
        pts: sv_core::Timestamp::ZERO,
        duration: sv_core::Duration::ZERO,
        width: width as u32,
        height: height as u32,
        color: sv_core::ColorInfo::default(),
        hdr: sv_core::HdrMetadata::default(),
        dynamic: sv_core::color::DynamicMetadata::default(),
        picture: std::sync::Arc::new(picture),
    };
    let picture = Picture { frame, frame_rate: encode::DEFAULT_RATE, bit_depth: 8 };
    match on_device(&encode::Video::new(codec), &picture, device) {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!("{codec} on {}: {error}", device.kind());
            false
        }
    }
}
