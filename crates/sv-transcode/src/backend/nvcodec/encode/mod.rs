//! Encoding by NVENC.

mod encoder;
mod engine;
mod layout;
mod library;
mod settings;
mod stream;
mod structs;
mod sys;
mod upload;

use sv_core::Codec;

use self::library::Session;
use super::cant;
use crate::backend::{EncodeVideo, Picture};
use crate::{Error, encode as options};

/// Its name, for [`Backend::Named`](crate::Backend::Named).
pub(crate) const NAME: &str = "nvenc";

/// Every codec that it knows.
const CODECS: [(Codec, sys::Guid); 3] =
    [(Codec::H264, sys::H264), (Codec::Hevc, sys::HEVC), (Codec::Av1, sys::AV1)];

fn failed(reason: impl Into<String>) -> Error {
    Error::Library { library: NAME, reason: reason.into() }
}

/// An encoder on the first device, or why there is none.
pub(crate) fn video_encoder(
    config: &options::Video,
    picture: &Picture,
) -> Result<Box<dyn EncodeVideo>, Error> {
    let (codec, depth) = (config.codec, picture.bit_depth);
    let (width, height) = (picture.frame.width, picture.frame.height);
    let preset = settings::preset(config)?;
    let Some((_, guid)) = CODECS.into_iter().find(|(known, _)| *known == codec) else {
        return Err(cant(format!("NVIDIA devices are not asked to encode {codec}")));
    };
    if depth > 8 && codec == Codec::H264 {
        return Err(cant("NVENC encodes H.264 of 8 bits only".into()));
    }
    if width % 2 != 0 || height % 2 != 0 {
        return Err(cant(format!("NVENC is asked for even sides only, not for {width}x{height}")));
    }
    if config.film_grain.is_some() {
        return Err(cant("NVENC can't take film grain out".into()));
    }
    let session = Session::open().map_err(cant)?;
    check(&session, guid, config, picture).map_err(cant)?;
    // Whatever it refuses before the first picture, software can do.
    let (engine, ahead) = engine::Engine::start(session, guid, preset, config, picture).map_err(cant)?;
    Ok(Box::new(encoder::Encoder::new(engine, ahead, codec).map_err(cant)?))
}

/// Whether the device can do what is asked, as it says itself.
fn check(
    session: &Session,
    guid: sys::Guid,
    config: &options::Video,
    picture: &Picture,
) -> Result<(), String> {
    let (codec, depth, name) = (config.codec, picture.bit_depth, session.context.name());
    if !session.codecs()?.contains(&guid) {
        return Err(format!("{name} does not encode {codec}"));
    }
    let profile = session.profiles(guid)?.contains(&settings::profile(codec, depth));
    if !profile || depth > 8 && session.cap(guid, sys::CAP_TEN_BITS)? == 0 {
        return Err(format!("{name} does not encode {codec} of {depth} bits"));
    }
    let range = |least, most| -> Result<_, String> {
        let number = |cap| session.cap(guid, cap).map(|n| u32::try_from(n).unwrap_or(0));
        Ok(number(least)?..=number(most)?)
    };
    let (width, height) = (picture.frame.width, picture.frame.height);
    let fits = range(sys::CAP_WIDTH_MIN, sys::CAP_WIDTH_MAX)?.contains(&width)
        && range(sys::CAP_HEIGHT_MIN, sys::CAP_HEIGHT_MAX)?.contains(&height);
    if !fits {
        return Err(format!("{name} does not encode {codec} of {width}x{height}"));
    }
    Ok(())
}

/// What the first device encodes, or why it does not.
pub(crate) fn probe() -> Result<Vec<Codec>, String> {
    let there = Session::open()?.codecs()?;
    Ok(CODECS.iter().filter(|(_, guid)| there.contains(guid)).map(|(codec, _)| *codec).collect())
}
