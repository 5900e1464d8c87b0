//! FFmpeg's codecs and filters.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_core::{Codec, Frame, Packet, PixelFormat, Track, TrackId, VideoFrame};
use sv_ffmpeg::{decode as ffdecode, encode as ffencode, probe};

use super::{Backend, Decode, EncodeAudio, EncodeVideo, FilterVideo, Picture};
use crate::encode::{self, Cap, Effort, Rate};
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

/// Encoders of a codec, best first.
fn candidates(codec: Codec, backend: &Backend) -> Vec<&str> {
    let software: &[&str] = match codec {
        Codec::H264 => &["libx264", "libopenh264"],
        Codec::Hevc => &["libx265", "libkvazaar"],
        Codec::Av1 => &["libsvtav1", "libaom-av1", "librav1e"],
        Codec::Vp9 => &["libvpx-vp9"],
        Codec::Aac => &["aac"],
        Codec::Opus => &["libopus"],
        Codec::Flac => &["flac"],
        Codec::Ac3 => &["ac3"],
        Codec::Eac3 => &["eac3"],
        _ => &[],
    };
    let hardware: &[&str] = match codec {
        Codec::H264 => &["h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox"],
        Codec::Hevc => &["hevc_nvenc", "hevc_qsv", "hevc_amf", "hevc_videotoolbox"],
        Codec::Av1 => &["av1_nvenc", "av1_qsv", "av1_amf"],
        _ => &[],
    };
    match backend {
        Backend::Named(name) => vec![name.as_str()],
        Backend::Hardware => hardware.to_vec(),
        Backend::Auto | Backend::Software => software.to_vec(),
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

/// A setting that no film reaches: key frames are where we ask for them.
const NEVER: &str = "1000000";

fn video_options(name: &str, config: &encode::Video, picture: &Picture) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> = Vec::new();
    let mut set = |key: &str, value: String| options.push((key.into(), value));
    set("threads", config.threads.max(1).to_string());
    set("g", NEVER.into());
    let (crf, average, cap) = match config.rate {
        Rate::Quality { crf, cap } => (Some(crf), None, cap),
        Rate::Average { bitrate, cap } => (None, Some(bitrate), cap),
    };
    if let Some(bitrate) = average {
        set("b", bitrate.to_string());
    }
    if let (Some(Cap { bitrate, buffer }), true) = (cap, name != "libvpx-vp9" || crf.is_none()) {
        set("maxrate", bitrate.to_string());
        set("bufsize", buffer.to_string());
    }
    let preset = |names: [&'static str; 5]| match config.effort {
        Effort::Fastest => names[0],
        Effort::Faster => names[1],
        Effort::Fast => names[2],
        Effort::Balanced => names[3],
        Effort::Best => names[4],
    };
    match name {
        "libx264" => {
            set("preset", preset(["ultrafast", "superfast", "veryfast", "medium", "slow"]).into());
            if let Some(crf) = crf {
                set("crf", crf.to_string());
            }
            set("sc_threshold", "0".into());
            set("forced-idr", "1".into());
            set("profile", "high".into());
            if config.effort <= Effort::Fast {
                // With the one reference that these presets keep, a pyramid of B-frames saves
                // nothing (measured: the same SSIM at the same size), but two pictures of memory.
                set("b-pyramid", "none".into());
            }
            if reads_beyond_a_row(picture.frame.width) {
                set("x264-params", "asm=AVX2".into());
            }
        }
        "libx265" => {
            set("preset", preset(["ultrafast", "superfast", "veryfast", "medium", "slow"]).into());
            if let Some(crf) = crf {
                set("crf", crf.to_string());
            }
            set("forced-idr", "1".into());
            set("x265-params", x265_parameters(config, picture));
        }
        "libsvtav1" => {
            set("preset", preset(["12", "11", "10", "8", "6"]).into());
            if let Some(crf) = crf {
                set("crf", format!("{crf:.0}"));
            }
            set("svtav1-params", svt_parameters(config, picture));
        }
        "libaom-av1" => {
            set("cpu-used", preset(["8", "7", "6", "5", "3"]).into());
            set("usage", preset(["realtime", "realtime", "good", "good", "good"]).into());
            // No key frame of its own between those that are asked for.
            set("keyint_min", NEVER.into());
            if let Some(strength) = config.film_grain {
                set("denoise-noise-level", strength.to_string());
            }
            if let Some(crf) = crf {
                set("crf", format!("{crf:.0}"));
                set("b", cap.map_or(0, |c| c.bitrate).to_string());
            }
        }
        "libvpx-vp9" => {
            set("deadline", "good".into());
            set("cpu-used", preset(["8", "7", "5", "3", "1"]).into());
            if let Some(crf) = crf {
                set("crf", format!("{crf:.0}"));
                // With a factor, the bit rate is the cap, and 0 is none.
                set("b", cap.map_or(0, |c| c.bitrate).to_string());
            }
            set("row-mt", "0".into());
        }
        _ => {
            if let Some(crf) = crf {
                // Devices have no common factor; an average that fits the cap is the nearest.
                let fallback = cap.map_or(4_000_000, |c| c.bitrate * 3 / 4);
                if !name.starts_with("lib") {
                    set("b", fallback.to_string());
                } else {
                    set("crf", format!("{crf:.0}"));
                }
            }
            if name.ends_with("_nvenc") {
                set("forced-idr", "1".into());
                set("no-scenecut", "1".into());
            }
        }
    }
    for (key, value) in &config.options {
        options.retain(|(k, _)| k != key);
        options.push((key.clone(), value.clone()));
    }
    options
}

/// Whether x264 would use memory that it never wrote to. Its AVX-512 code for macroblock trees takes
/// eight blocks at a time, and where a row isn't a multiple of that, what happens to lie behind it
/// finds its way into the result: two runs differ (seen with x264 164 and `MALLOC_PERTURB_`; none
/// of the other instruction sets does it, and they all give one result).
fn reads_beyond_a_row(width: u32) -> bool {
    #[cfg(target_arch = "x86_64")]
    return !width.div_ceil(16).is_multiple_of(8) && std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Whether the encoder can't be told in this mode where to make key frames. SVT-AV1 takes requests
/// only with a constant rate factor.
fn starts_over(name: &str, config: &encode::Video) -> bool {
    name == "libsvtav1" && matches!(config.rate, Rate::Average { .. })
}

fn x265_parameters(config: &encode::Video, picture: &Picture) -> String {
    let mut p =
        String::from("log-level=none:info=0:scenecut=0:open-gop=0:keyint=-1:min-keyint=1:repeat-headers=0");
    if config.threads <= 1 {
        p.push_str(":pools=none:frame-threads=1:wpp=0");
    } else {
        p.push_str(&format!(":pools={}:frame-threads=1", config.threads));
    }
    if let Some(m) = picture.frame.hdr.mastering {
        let [[rx, ry], [gx, gy], [bx, by]] = m.primaries;
        let [wx, wy] = m.white;
        p.push_str(&format!(
            ":hdr10=1:master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({},{})",
            m.max_luminance, m.min_luminance
        ));
    }
    if let Some(light) = picture.frame.hdr.light {
        p.push_str(&format!(":max-cll={},{}", light.max_content, light.max_average));
    }
    p
}

fn svt_parameters(config: &encode::Video, picture: &Picture) -> String {
    let mut p = format!("lp={}:scd=0", config.threads.max(1));
    if let Some(strength) = config.film_grain {
        p.push_str(&format!(":film-grain={strength}"));
    }
    if !starts_over("libsvtav1", config) {
        p.push_str(":enable-force-key-frames=1");
    }
    if let Some(m) = picture.frame.hdr.mastering {
        let xy =
            |[x, y]: [u16; 2]| format!("({:.5},{:.5})", f64::from(x) / 50_000.0, f64::from(y) / 50_000.0);
        let [r, g, b] = m.primaries;
        let nits = |l: u32| format!("{:.4}", f64::from(l) / 10_000.0);
        p.push_str(&format!(
            ":mastering-display=G{}B{}R{}WP{}L({},{})",
            xy(g),
            xy(b),
            xy(r),
            xy(m.white),
            nits(m.max_luminance),
            nits(m.min_luminance)
        ));
    }
    if let Some(light) = picture.frame.hdr.light {
        p.push_str(&format!(":content-light={},{}", light.max_content, light.max_average));
    }
    p
}

struct Encoder {
    encoder: sv_ffmpeg::Encoder,
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
fn chain(plan: &filter::Plan) -> String {
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

struct Filter {
    filter: sv_ffmpeg::Filter,
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
