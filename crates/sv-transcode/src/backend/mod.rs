//! Who does the work. The traits are private: adding a backend changes nothing for callers.
#![cfg_attr(
    not(any(feature = "pure", feature = "ffmpeg")),
    allow(dead_code, unused_mut, reason = "a build without backends can plan, but not work")
)]

#[cfg(feature = "ffmpeg")]
pub(crate) mod device;
mod fallback;
#[cfg(feature = "ffmpeg")]
pub(crate) mod ffmpeg;
#[cfg(any(feature = "ffmpeg", feature = "nvcodec"))]
mod hardware;
#[cfg(feature = "nvcodec")]
#[allow(unsafe_code, reason = "a C interface, loaded at run time")]
pub(crate) mod nvcodec;
#[cfg(any(feature = "ffmpeg", feature = "ffmpeg-cli"))]
mod options;
#[cfg(feature = "ffmpeg-cli")]
pub(crate) mod program;
#[cfg(feature = "pure")]
pub(crate) mod pure;
#[cfg(feature = "ffmpeg")]
mod renumber;
#[cfg(feature = "ffmpeg")]
mod standby;

use bytes::Bytes;
use sv_core::{Codec, Frame, Packet, Track, TrackId, VideoFrame};

use crate::{Error, decode, encode, filter};

/// Who shall do the work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The best that gives the same bytes for the same input everywhere: software.
    #[default]
    Auto,
    /// A device of its own (GPU), or an error that says why none works.
    Hardware,
    /// The CPU.
    Software,
    /// An implementation by its own name, such as `libx264`, `h264_nvenc` or `openh264`; see
    /// [`capabilities`](crate::capabilities). `nvenc` is NVIDIA's encoder without FFmpeg. `ffmpeg-cli` is
    /// the FFmpeg program, `ffmpeg-cli:libx265` one
    /// of its encoders (feature `ffmpeg-cli`); the program is the one that `STREAMVERSE_FFMPEG` names, or
    /// `ffmpeg`, or that of an encoder's option `program`.
    Named(String),
}

/// Packets to frames. After each push, and after the end, frames are pulled until there are none.
pub(crate) trait Decode: Send {
    fn push(&mut self, packet: &Packet) -> Result<(), Error>;
    fn finish(&mut self) -> Result<(), Error>;
    fn pull(&mut self) -> Result<Option<Frame>, Error>;

    /// Whether the last frame that was pulled had places that the decoder made up.
    fn is_patched(&self) -> bool {
        false
    }
}

/// Pictures to pictures.
pub(crate) trait FilterVideo: Send {
    fn push(&mut self, frame: &VideoFrame) -> Result<(), Error>;
    fn finish(&mut self) -> Result<(), Error>;
    fn pull(&mut self) -> Result<Option<VideoFrame>, Error>;
    /// Whether it was built for pictures like this one.
    fn accepts(&self, frame: &VideoFrame) -> bool;
}

/// What an encoder needs to know beside its configuration: found out from the first picture.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) frame: VideoFrame,
    pub(crate) frame_rate: sv_core::Ratio,
    pub(crate) bit_depth: u8,
}

/// Pictures to packets.
pub(crate) trait EncodeVideo: Send {
    fn config(&self) -> Bytes;
    /// `tick` is the picture's place in nominal frames; `key` asks for a key frame.
    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error>;
    fn finish(&mut self) -> Result<(), Error>;
    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error>;
}

/// Sound to packets, whose times are in samples since the first pushed one, less the delay.
pub(crate) trait EncodeAudio: Send {
    fn config(&self) -> Bytes;
    fn delay(&self) -> u32;
    fn push(&mut self, samples: &[f32]) -> Result<(), Error>;
    fn finish(&mut self) -> Result<(), Error>;
    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error>;
}

/// What to switch on for a codec that nothing here can handle.
fn hint(codec: Codec) -> String {
    if cfg!(feature = "ffmpeg") {
        return format!("the linked FFmpeg has nothing for {codec}: install a build of FFmpeg that has it");
    }
    "build with the feature `ffmpeg`".into()
}

pub(crate) fn no_encoder(codec: Codec) -> Error {
    Error::Unsupported { task: "encode", codec, hint: hint(codec) }
}

pub(crate) fn decoder(track: &Track, options: &decode::Options) -> Result<Box<dyn Decode>, Error> {
    #[cfg(feature = "ffmpeg")]
    if let Some(device) = options.device.as_ref().filter(|_| track.video().is_some()) {
        return device::decoder(track, options, device);
    }
    let device = match &options.backend {
        // Sound has no devices.
        Backend::Hardware => track.video().is_some(),
        Backend::Named(name) => name == "nvcodec",
        Backend::Auto | Backend::Software => false,
    };
    if device {
        let decoder = device_decoder(track, options);
        if !options.fallback {
            return decoder;
        }
        let software = decode::Options { backend: Backend::Software, ..options.clone() };
        return match decoder {
            Ok(decoder) => {
                let track = track.clone();
                let open = Box::new(move || self::decoder(&track, &software));
                Ok(Box::new(fallback::Fallback::new(decoder, open)))
            }
            Err(error) => {
                tracing::info!("software decodes, because no device does: {error}");
                self::decoder(track, &software)
            }
        };
    }
    #[cfg(feature = "ffmpeg")]
    match ffmpeg::decoder(track, options) {
        Ok(decoder) => return Ok(decoder),
        Err(error) if error.kind() != sv_core::ErrorKind::Unsupported => return Err(error),
        Err(_) => {}
    }
    #[cfg(feature = "pure")]
    if let Some(decoder) = pure::decoder(track, options)? {
        return Ok(decoder);
    }
    let _ = options;
    Err(Error::Unsupported { task: "decode", codec: track.codec, hint: hint(track.codec) })
}

#[cfg(feature = "nvcodec")]
use nvcodec::decoder as device_decoder;

#[cfg(not(feature = "nvcodec"))]
fn device_decoder(track: &Track, _: &decode::Options) -> Result<Box<dyn Decode>, Error> {
    Err(Error::Incapable {
        what: format!("no device can decode {} in this build", track.codec),
        hint: "build with the feature `nvcodec`, or choose the software backend".into(),
    })
}

pub(crate) fn video_encoder(
    config: &encode::Video,
    picture: &Picture,
) -> Result<Box<dyn EncodeVideo>, Error> {
    #[cfg(feature = "ffmpeg")]
    if let Some(device) = &config.device {
        return device::video_encoder(config, picture, device);
    }
    #[cfg(feature = "ffmpeg-cli")]
    if program::asked(&config.backend).is_some() {
        return program::video_encoder(config, picture);
    }
    #[cfg(any(feature = "ffmpeg", feature = "nvcodec"))]
    if hardware::asked(&config.backend) {
        return hardware::video_encoder(config, picture);
    }
    #[cfg(feature = "ffmpeg")]
    match ffmpeg::video_encoder(config, picture) {
        Ok(encoder) => return Ok(encoder),
        Err(error) if error.kind() != sv_core::ErrorKind::Unsupported => return Err(error),
        Err(_) => {}
    }
    #[cfg(feature = "pure")]
    if let Some(encoder) = pure::video_encoder(config, picture)? {
        return Ok(encoder);
    }
    #[cfg(feature = "ffmpeg-cli")]
    if matches!(config.backend, Backend::Auto | Backend::Software) {
        return program::video_encoder(config, picture);
    }
    let _ = picture;
    Err(no_encoder(config.codec))
}

pub(crate) fn audio_encoder(
    config: &encode::Audio,
    sample_rate: u32,
    channels: u16,
) -> Result<Box<dyn EncodeAudio>, Error> {
    #[cfg(feature = "ffmpeg-cli")]
    if program::asked(&config.backend).is_some() {
        return program::audio_encoder(config, sample_rate, channels);
    }
    #[cfg(feature = "ffmpeg")]
    match ffmpeg::audio_encoder(config, sample_rate, channels) {
        Ok(encoder) => return Ok(encoder),
        Err(error) if error.kind() != sv_core::ErrorKind::Unsupported => return Err(error),
        Err(_) => {}
    }
    #[cfg(feature = "pure")]
    if let Some(encoder) = pure::audio_encoder(config, sample_rate, channels)? {
        return Ok(encoder);
    }
    #[cfg(feature = "ffmpeg-cli")]
    if matches!(config.backend, Backend::Auto | Backend::Software) {
        return program::audio_encoder(config, sample_rate, channels);
    }
    let _ = (sample_rate, channels);
    Err(no_encoder(config.codec))
}

/// A filter that makes `plan` of pictures like `first`.
pub(crate) fn video_filter(
    plan: &filter::Plan,
    first: &VideoFrame,
    track: &Track,
) -> Result<Box<dyn FilterVideo>, Error> {
    #[cfg(feature = "ffmpeg")]
    if sv_ffmpeg::device::is_on_device(first) {
        return device::video_filter(plan, first);
    }
    #[cfg(feature = "ffmpeg")]
    match ffmpeg::video_filter(plan, first, track) {
        // An FFmpeg without the filters that it takes: ours may do.
        Err(error) if cfg!(feature = "pure") && error.kind() == sv_core::ErrorKind::Unsupported => {
            tracing::debug!("filters: {error}");
        }
        result => return result,
    }
    let _ = track;
    #[cfg(feature = "pure")]
    return pure::video_filter(plan, first);
    #[cfg(not(feature = "pure"))]
    {
        let _ = (plan, first);
        Err(Error::Incapable {
            what: "pictures can't be changed without a backend".into(),
            hint: "build with the feature `pure` or `ffmpeg`".into(),
        })
    }
}

/// Whether this codec can be encoded here.
pub(crate) fn can_encode(codec: Codec) -> bool {
    let mut can = false;
    #[cfg(feature = "ffmpeg")]
    {
        can |= ffmpeg::can_encode(codec);
    }
    #[cfg(feature = "pure")]
    {
        can |= pure::can_encode(codec);
    }
    #[cfg(feature = "ffmpeg-cli")]
    {
        can = can || program::can_encode(codec);
    }
    let _ = codec;
    can
}

/// Bits of a sample, wherever the picture is.
pub(crate) fn bit_depth(frame: &VideoFrame) -> u8 {
    #[cfg(feature = "ffmpeg")]
    return sv_ffmpeg::filter::bit_depth(frame);
    #[cfg(not(feature = "ffmpeg"))]
    return if frame.picture.format() == sv_core::PixelFormat::Yuv420p10 { 10 } else { 8 };
}
