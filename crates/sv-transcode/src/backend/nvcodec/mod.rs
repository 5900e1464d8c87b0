//! Decoding and encoding by the video engines of an NVIDIA device, straight through the driver.

mod bitstream;
mod decode;
pub(crate) mod encode;
mod engine;
mod library;
mod surface;
mod sys;

use sv_core::{Codec, Track};

use self::library::Context;
use super::Decode;
use crate::{Error, decode as options};

/// Its name, for [`Backend::Named`](super::Backend::Named).
pub(crate) const NAME: &str = "nvcodec";

/// Every codec that it knows.
const CODECS: [(Codec, i32); 4] =
    [(Codec::H264, sys::H264), (Codec::Hevc, sys::HEVC), (Codec::Av1, sys::AV1), (Codec::Vp9, sys::VP9)];

fn failed(reason: String) -> Error {
    Error::Library { library: NAME, reason }
}

fn cant(what: String) -> Error {
    Error::Incapable { what, hint: "choose the software backend".into() }
}

/// A decoder on the first device, or why there is none.
pub(crate) fn decoder(track: &Track, options: &options::Options) -> Result<Box<dyn Decode>, Error> {
    let kind = CODECS.iter().find(|(codec, _)| *codec == track.codec).map(|(_, kind)| *kind);
    let (Some(kind), Some(video)) = (kind, track.video()) else {
        return Err(cant(format!("NVIDIA devices are not asked to decode {}", track.codec)));
    };
    if options.scale.is_some_and(|(w, h)| w == 0 || h == 0 || w % 2 != 0 || h % 2 != 0) {
        return Err(Error::Invalid("a device scales to even sides above zero".into()));
    }
    let context = Context::open().map_err(cant)?;
    library::video().map_err(cant)?;
    // What the container says, so that a caller hears of it before the first packet; what the stream
    // says is checked again.
    let depth = video.bit_depth;
    if context.caps(kind, depth).map_err(failed)?.supported == 0 {
        return Err(cant(format!("{} does not decode {} 4:2:0 {depth} bit", context.name(), track.codec)));
    }
    Ok(Box::new(decode::Decoder::open(track, kind, video, context, options)?))
}

/// What the first device is and which codecs it decodes, or why it can't be used.
pub(crate) fn probe() -> Result<(String, Vec<String>), String> {
    let context = Context::open()?;
    library::video()?;
    let decodes = |kind| context.caps(kind, 8).is_ok_and(|caps| caps.supported != 0 && caps.engines > 0);
    let codecs = CODECS.iter().filter(|(_, kind)| decodes(*kind));
    Ok((context.name(), codecs.map(|(codec, _)| codec.name().to_owned()).collect()))
}
