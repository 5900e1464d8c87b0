//! What a media file is made of.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use sv_core::{Media, Track};

use crate::Result;
use crate::input::{Input, Prefer};

/// What a media file is made of: plain data for people (`Display`) and programs (`Serialize`).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Probe {
    /// Names of the container.
    pub container: String,
    /// Length in milliseconds, if the file says.
    pub duration_ms: Option<u64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// The tracks.
    pub tracks: Vec<Stream>,
}

/// One track of a [`Probe`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stream {
    /// Its number in the file.
    pub id: u32,
    /// `video`, `audio` or `text`.
    pub kind: sv_core::TrackKind,
    /// Such as `h264`.
    pub codec: String,
    /// RFC 6381, where the codec has such a name.
    pub codec_string: Option<String>,
    /// Bits per second, if the file says.
    pub bitrate: Option<u64>,
    /// BCP 47 language, if the file says.
    pub language: Option<String>,
    /// Its name, if the file says.
    pub label: Option<String>,
    /// Picture properties.
    #[serde(flatten)]
    pub video: Option<Picture>,
    /// Sound properties.
    #[serde(flatten)]
    pub audio: Option<Sound>,
    /// The protection scheme, if it is encrypted.
    pub protection: Option<sv_core::Scheme>,
}

/// Picture properties.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Picture {
    /// In samples.
    pub width: u32,
    /// In samples.
    pub height: u32,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Bits per sample.
    pub bit_depth: u8,
    /// Clockwise turns of 90° that players apply.
    pub quarter_turns: u8,
    /// Whether pictures are pairs of fields.
    pub interlaced: bool,
    /// Colour code points of ITU-T H.273.
    pub color: sv_core::ColorInfo,
    /// HDR10 static metadata.
    pub hdr: sv_core::HdrMetadata,
}

/// Sound properties.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Sound {
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
}

/// Reads what `path` is made of, without decoding it.
///
/// # Errors
/// When the file can't be read or is no media file; the message names the feature that would help.
pub fn probe(path: impl AsRef<Path>) -> Result<Probe> {
    let path = path.as_ref();
    let input = Input::open(path, Prefer::Backend)?;
    Ok(Probe {
        container: input.container.clone(),
        duration_ms: input.duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        bytes: std::fs::metadata(path)?.len(),
        tracks: input.tracks.iter().map(|t| Stream::of(t)).collect(),
    })
}

impl Stream {
    fn of(track: &Track) -> Self {
        let video = match &track.media {
            Media::Video(v) => Some(Picture {
                width: v.width,
                height: v.height,
                frame_rate: v.frame_rate.map(|r| r.to_f64()),
                bit_depth: v.bit_depth,
                quarter_turns: v.quarter_turns,
                interlaced: v.interlaced,
                color: v.color,
                hdr: v.hdr,
            }),
            _ => None,
        };
        Self {
            id: track.id.0,
            kind: track.kind(),
            codec: track.codec.to_string(),
            codec_string: sv_codec::rfc6381::string(track),
            bitrate: track.bitrate,
            language: track.language.clone(),
            label: track.label.clone(),
            video,
            audio: track.audio().map(|a| Sound { sample_rate: a.sample_rate, channels: a.channels }),
            protection: track.protection.as_ref().map(|p| p.scheme),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.container)?;
        if let Some(ms) = self.duration_ms {
            write!(f, ", {}.{:03} s", ms / 1000, ms % 1000)?;
        }
        write!(f, ", {} bytes", self.bytes)?;
        for track in &self.tracks {
            write!(f, "\n  {} {}", track.id, track.codec)?;
            if let Some(string) = &track.codec_string {
                write!(f, " ({string})")?;
            }
            if let Some(v) = &track.video {
                write!(f, ", {}x{}", v.width, v.height)?;
                if let Some(rate) = v.frame_rate {
                    write!(f, " at {rate:.3} fps")?;
                }
                write!(f, ", {} bit", v.bit_depth)?;
                if v.interlaced {
                    write!(f, ", interlaced")?;
                }
                if v.quarter_turns > 0 {
                    write!(f, ", turned by {}°", u32::from(v.quarter_turns) * 90)?;
                }
                if v.color.is_pq() {
                    write!(f, ", PQ")?;
                } else if v.color.is_hlg() {
                    write!(f, ", HLG")?;
                }
            }
            if let Some(a) = &track.audio {
                write!(f, ", {} Hz, {} channels", a.sample_rate, a.channels)?;
            }
            if let Some(bitrate) = track.bitrate {
                write!(f, ", {} kbit/s", bitrate / 1000)?;
            }
            if let Some(language) = &track.language {
                write!(f, ", {language}")?;
            }
            if let Some(scheme) = track.protection {
                write!(f, ", encrypted ({})", scheme.as_str())?;
            }
        }
        Ok(())
    }
}
