//! What works on this machine, and what would switch on the rest.

use std::fmt;

use serde::Serialize;
use sv_transcode::Capability;

/// Codecs that people ask for by name.
const COMMON: [&str; 18] = [
    "aac",
    "ac3",
    "alac",
    "av1",
    "eac3",
    "flac",
    "h264",
    "hevc",
    "mjpeg",
    "mp3",
    "mpeg2video",
    "mpeg4",
    "opus",
    "prores",
    "truehd",
    "vorbis",
    "vp8",
    "vp9",
];

/// A report for people (`Display`) and programs (`Serialize`).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Doctor {
    /// Version of this library.
    pub version: String,
    /// Every backend, compiled in or not.
    pub backends: Vec<Capability>,
}

/// Asks every backend what it can do here. Devices are tried, which may take a moment.
#[must_use]
pub fn doctor() -> Doctor {
    Doctor { version: env!("CARGO_PKG_VERSION").into(), backends: sv_transcode::capabilities() }
}

impl fmt::Display for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "streamverse {}", self.version)?;
        for backend in &self.backends {
            let version = backend.version.as_deref().map(|v| format!(" {v}")).unwrap_or_default();
            write!(f, "\n\n{}{version}: {}", backend.backend, if backend.enabled { "on" } else { "off" })?;
            if let Some(hint) = &backend.hint {
                write!(f, "\n  to switch it on: {hint}")?;
            }
            if let Some(license) = &backend.license {
                write!(f, "\n  licence of the whole: {license}")?;
            }
            if !backend.encoders.is_empty() {
                write!(f, "\n  encodes:")?;
                for coder in &backend.encoders {
                    let device = if coder.hardware { ", on a device" } else { "" };
                    write!(f, "\n    {} by {}{device}", coder.codec, coder.name)?;
                }
            }
            if !backend.decoders.is_empty() {
                let (common, rest): (Vec<_>, Vec<_>) =
                    backend.decoders.iter().partition(|name| COMMON.contains(&name.as_str()));
                let common: Vec<_> = common.into_iter().map(String::as_str).collect();
                write!(f, "\n  decodes: {}", common.join(", "))?;
                if !rest.is_empty() {
                    write!(f, ", and {} others (--json lists them)", rest.len())?;
                }
            }
            for device in &backend.devices {
                match &device.problem {
                    Some(problem) => write!(f, "\n  device {}: off, {problem}", device.name)?,
                    None if device.encoders.is_empty() => write!(f, "\n  device {}: works", device.name)?,
                    None => {
                        let codecs = device.encoders.join(", ");
                        write!(f, "\n  device {}: works, and encodes {codecs}", device.name)?;
                    }
                }
            }
        }
        Ok(())
    }
}
