//! Codecs that need no system library.

#[cfg(feature = "rav1e")]
mod av1;
mod h264;
mod opus;
mod scale;
mod sound;

use sv_core::{Codec, PixelFormat, Track, VideoFrame};

use super::{Backend, Decode, EncodeAudio, EncodeVideo, FilterVideo, Picture};
use crate::{Error, decode, encode, filter};

const HINT: &str = "build with the feature `ffmpeg`";

/// Whether the caller's choice of backend allows this implementation.
fn allows(backend: &Backend, name: &str) -> bool {
    match backend {
        Backend::Auto | Backend::Software => true,
        Backend::Hardware => false,
        Backend::Named(asked) => asked == name,
    }
}

/// `None` where nothing here decodes it.
pub(crate) fn decoder(track: &Track, options: &decode::Options) -> Result<Option<Box<dyn Decode>>, Error> {
    Ok(match track.codec {
        Codec::H264 if allows(&options.backend, "openh264") => Some(Box::new(h264::Decoder::open(track)?)),
        Codec::Opus if allows(&options.backend, "opus") => Some(Box::new(opus::Decoder::open(track)?)),
        _ if track.audio().is_some() && allows(&options.backend, "symphonia") => {
            match sound::Decoder::open(track)? {
                Some(decoder) => Some(Box::new(decoder)),
                None => None,
            }
        }
        _ => None,
    })
}

/// `None` where nothing here encodes it.
pub(crate) fn video_encoder(
    config: &encode::Video,
    picture: &Picture,
) -> Result<Option<Box<dyn EncodeVideo>>, Error> {
    #[cfg(feature = "rav1e")]
    if config.codec == Codec::Av1 && allows(&config.backend, "rav1e") {
        return av1::encoder(config, picture).map(Some);
    }
    if config.codec != Codec::H264 || !allows(&config.backend, "openh264") {
        return Ok(None);
    }
    if picture.bit_depth != 8 {
        return Err(Error::Incapable {
            what: "the built-in H.264 encoder takes 8-bit pictures only".into(),
            hint: "filter to 8 bits, or build with the feature `ffmpeg`".into(),
        });
    }
    Ok(Some(Box::new(h264::Encoder::open(config, picture)?)))
}

/// `None` where nothing here encodes it.
pub(crate) fn audio_encoder(
    config: &encode::Audio,
    sample_rate: u32,
    channels: u16,
) -> Result<Option<Box<dyn EncodeAudio>>, Error> {
    if config.codec != Codec::Opus || !allows(&config.backend, "opus") {
        return Ok(None);
    }
    Ok(Some(Box::new(opus::Encoder::open(config.bitrate, sample_rate, channels)?)))
}

/// Scaling and turning; everything else is beyond it.
pub(crate) fn video_filter(plan: &filter::Plan, first: &VideoFrame) -> Result<Box<dyn FilterVideo>, Error> {
    let cant = |what: &str| Err(Error::Incapable { what: what.into(), hint: HINT.into() });
    if plan.deinterlace {
        return cant("interlaced pictures can't be made whole by the built-in filters");
    }
    if plan.bit_depth != 8 || first.picture.format() != PixelFormat::Yuv420p8 {
        return cant("the built-in filters take 8-bit 4:2:0 pictures only");
    }
    Ok(Box::new(scale::Filter::new(plan, first)))
}

pub(crate) fn can_encode(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::Opus) || (cfg!(feature = "rav1e") && codec == Codec::Av1)
}
