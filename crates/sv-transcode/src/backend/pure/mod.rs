//! Codecs that need no system library.

use sv_core::{Codec, Track, VideoFrame};

use super::{Decode, EncodeAudio, EncodeVideo, FilterVideo, Picture};
use crate::{Error, decode, encode, filter};

pub(crate) fn decoder(_track: &Track, _options: &decode::Options) -> Result<Option<Box<dyn Decode>>, Error> {
    Ok(None)
}

pub(crate) fn video_encoder(_: &encode::Video, _: &Picture) -> Result<Option<Box<dyn EncodeVideo>>, Error> {
    Ok(None)
}

pub(crate) fn audio_encoder(
    _: &encode::Audio,
    _rate: u32,
    _channels: u16,
) -> Result<Option<Box<dyn EncodeAudio>>, Error> {
    Ok(None)
}

#[cfg_attr(feature = "ffmpeg", allow(dead_code))]
pub(crate) fn video_filter(
    _: &filter::Plan,
    _: &VideoFrame,
    _: &Track,
) -> Result<Box<dyn FilterVideo>, Error> {
    Err(Error::Incapable { what: "not yet".into(), hint: "build with the feature `ffmpeg`".into() })
}

pub(crate) fn can_encode(_codec: Codec) -> bool {
    false
}
