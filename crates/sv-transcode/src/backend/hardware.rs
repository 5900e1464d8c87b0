//! An encoder on a device that is asked for by its [`Backend`]: FFmpeg's, which many devices were tried
//! with, then NVENC without FFmpeg. Software follows where the caller lets it.

use sv_core::ErrorKind;

use super::{Backend, EncodeVideo, Picture};
use crate::{Error, encode};

/// The name of NVENC without FFmpeg.
const NVENC: &str = "nvenc";

/// Whether it is about a device at all.
pub(super) fn asked(backend: &Backend) -> bool {
    matches!(backend, Backend::Hardware) || is_nvenc(backend)
}

fn is_nvenc(backend: &Backend) -> bool {
    matches!(backend, Backend::Named(name) if name == NVENC)
}

pub(super) fn video_encoder(
    config: &encode::Video,
    picture: &Picture,
) -> Result<Box<dyn EncodeVideo>, Error> {
    match on_device(config, picture) {
        Ok(encoder) if config.fallback => Ok(with_software(encoder, config, picture)),
        Err(error) if config.fallback && error.kind() != ErrorKind::InvalidInput => {
            tracing::info!("software encodes, because no device does: {error}");
            super::video_encoder(&software(config), picture)
        }
        result => result,
    }
}

/// The same without a device, and without what only its encoder understands.
fn software(config: &encode::Video) -> encode::Video {
    encode::Video { backend: Backend::Software, fallback: false, options: Vec::new(), ..config.clone() }
}

fn on_device(config: &encode::Video, picture: &Picture) -> Result<Box<dyn EncodeVideo>, Error> {
    if is_nvenc(&config.backend) {
        return nvenc(config, picture);
    }
    #[cfg(feature = "ffmpeg")]
    let others = match super::ffmpeg::video_encoder(config, picture) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            format!("{}; without FFmpeg: ", reason(error))
        }
        result => return result,
    };
    #[cfg(not(feature = "ffmpeg"))]
    let others = format!("no device here encodes {}: ", config.codec);
    nvenc(config, picture).map_err(|error| match error {
        // FFmpeg had its own reason before.
        Error::Invalid(_) if cfg!(not(feature = "ffmpeg")) => error,
        error => {
            Error::Incapable { what: others + &reason(error), hint: "choose the software backend".into() }
        }
    })
}

/// An error without the advice that another one will give.
fn reason(error: Error) -> String {
    match error {
        Error::Incapable { what, .. } => what,
        error => error.to_string(),
    }
}

#[cfg(feature = "nvcodec")]
use super::nvcodec::encode::video_encoder as nvenc;

#[cfg(not(feature = "nvcodec"))]
fn nvenc(config: &encode::Video, _: &Picture) -> Result<Box<dyn EncodeVideo>, Error> {
    Err(Error::Incapable {
        what: format!("this build has no NVENC for {} (feature `nvcodec`)", config.codec),
        hint: "choose the software backend".into(),
    })
}

/// With software that goes on where the device fails.
#[cfg(feature = "ffmpeg")]
fn with_software(
    device: Box<dyn EncodeVideo>,
    config: &encode::Video,
    picture: &Picture,
) -> Box<dyn EncodeVideo> {
    let codec = config.codec;
    let (config, picture) = (super::device::software(&software(config)), picture.clone());
    let open = move || -> Result<Box<dyn EncodeVideo>, Error> {
        let encoder = super::video_encoder(&config, &picture)?;
        Ok(match codec {
            sv_core::Codec::Hevc => Box::new(super::renumber::Renumbered::new(encoder)?),
            _ => encoder,
        })
    };
    super::standby::Standby::over(codec, device, Box::new(open))
}

/// The encoders of builds without FFmpeg can't go on in another one's stream.
#[cfg(not(feature = "ffmpeg"))]
fn with_software(device: Box<dyn EncodeVideo>, _: &encode::Video, _: &Picture) -> Box<dyn EncodeVideo> {
    device
}
