//! Which renditions a manifest names: the manifest filters of AWS MediaPackage, which packagers' users know.

use std::str::FromStr;

use sv_core::TrackKind;

use super::Refusal;
use crate::{Rendition, VideoRange};

/// Most conditions, and most values of one: more is an attack and no wish.
const MOST: usize = 32;

/// Conditions on renditions, as
/// [MediaPackage](https://docs.aws.amazon.com/mediapackage/latest/userguide/manifest-filter-query-parameters.html)
/// writes them: `video_height:240-720;video_codec:H264,H265;audio_language:en,de`.
///
/// Conditions are separated by `;`, and a rendition has to meet all that are about its kind. The values of one are
/// separated by `,`, and one of them is enough; numbers may be ranges, ends included. What a rendition does not say,
/// it does not meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    kind: TrackKind,
    what: What,
    values: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Height,
    Bitrate,
    FrameRate,
    Range,
    Codec,
    Language,
    Channels,
    SampleRate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// In thousandths, because frame rates have some.
    Numbers(u64, u64),
    /// In lower case.
    Word(String),
}

const NAMES: [(&str, TrackKind, What); 12] = [
    ("video_height", TrackKind::Video, What::Height),
    ("video_bitrate", TrackKind::Video, What::Bitrate),
    ("video_framerate", TrackKind::Video, What::FrameRate),
    ("video_dynamic_range", TrackKind::Video, What::Range),
    ("video_codec", TrackKind::Video, What::Codec),
    ("audio_codec", TrackKind::Audio, What::Codec),
    ("audio_language", TrackKind::Audio, What::Language),
    ("audio_channels", TrackKind::Audio, What::Channels),
    ("audio_bitrate", TrackKind::Audio, What::Bitrate),
    ("audio_sample_rate", TrackKind::Audio, What::SampleRate),
    ("subtitle_language", TrackKind::Text, What::Language),
    ("subtitle_codec", TrackKind::Text, What::Codec),
];

impl What {
    fn is_number(self) -> bool {
        !matches!(self, Self::Range | Self::Codec | Self::Language)
    }
}

impl FromStr for Filter {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let mut conditions: Vec<Condition> = Vec::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, values) = part.split_once(':').ok_or(Refusal::Filter("a condition is NAME:VALUES"))?;
            let (_, kind, what) = NAMES.into_iter().find(|(known, ..)| *known == name).ok_or(Refusal::Filter(
                "it knows video_height, video_bitrate, video_framerate, video_dynamic_range, video_codec, audio_codec, \
                 audio_language, audio_channels, audio_bitrate, audio_sample_rate, subtitle_language and subtitle_codec",
            ))?;
            let values: Vec<Value> =
                values.split(',').take(MOST).map(|v| value(what, v)).collect::<Result<_, _>>()?;
            if conditions.len() >= MOST || conditions.iter().any(|c| (c.kind, c.what) == (kind, what)) {
                return Err(Refusal::Filter("each condition stands there once"));
            }
            conditions.push(Condition { kind, what, values });
        }
        Ok(Self(conditions))
    }
}

fn value(what: What, text: &str) -> Result<Value, Refusal> {
    let wrong =
        Refusal::Filter("a value is a word, a number or a range of numbers, as that condition has them");
    if what.is_number() {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (thousandths(from).ok_or(wrong)?, thousandths(to).ok_or(wrong)?);
        return if from <= to { Ok(Value::Numbers(from, to)) } else { Err(wrong) };
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if text.is_empty() || text.len() > 32 || !text.chars().all(fits) {
        return Err(wrong);
    }
    Ok(Value::Word(text.to_ascii_lowercase()))
}

/// `29.97` is 29970.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part.parse().ok()?)
}

impl Filter {
    /// Whether a manifest names this rendition.
    #[must_use]
    pub fn takes(&self, rendition: &Rendition) -> bool {
        let mut own = self.0.iter().filter(|c| c.kind == rendition.info.kind);
        own.all(|condition| condition.meets(rendition))
    }
}

impl Condition {
    fn meets(&self, rendition: &Rendition) -> bool {
        let info = &rendition.info;
        let number = |n: Option<u64>| n.map(|n| n.saturating_mul(1000));
        let (number, words) = match self.what {
            What::Height => (number(info.size.map(|(_, height)| u64::from(height))), Vec::new()),
            What::Bitrate => (number(Some(rendition.bandwidth().peak)), Vec::new()),
            What::FrameRate => (rendition.frame_rate().and_then(rate), Vec::new()),
            What::Channels => (number(info.channels.map(u64::from)), Vec::new()),
            What::SampleRate => (number(info.sample_rate.map(u64::from)), Vec::new()),
            What::Range => (
                None,
                match info.range {
                    VideoRange::Sdr => vec!["sdr"],
                    VideoRange::Hlg => vec!["hlg", "hdr"],
                    VideoRange::Pq => vec!["pq", "hdr10", "hdr"],
                },
            ),
            What::Codec => (None, codec_names(&info.codec)),
            What::Language => (None, info.language.as_deref().into_iter().collect()),
        };
        self.values.iter().any(|value| match value {
            Value::Numbers(from, to) => number.is_some_and(|n| (*from..=*to).contains(&n)),
            Value::Word(word) => words.iter().any(|said| match self.what {
                // `pt` is any Portuguese.
                What::Language => {
                    said.eq_ignore_ascii_case(word)
                        || said.to_ascii_lowercase().starts_with(&format!("{word}-"))
                }
                What::Codec => *said == word.as_str() || info.codec.eq_ignore_ascii_case(word),
                _ => *said == word.as_str(),
            }),
        })
    }
}

/// To the nearest thousandth.
fn rate(rate: f64) -> Option<u64> {
    // Of what is at most a few hundred.
    #[allow(clippy::as_conversions)]
    (0.0..1e6).contains(&rate).then(|| (rate * 1000.0).round() as u64)
}

/// What a codec is called in filters, beside the whole string of RFC 6381 and the first part of it.
fn codec_names(codec: &str) -> Vec<&str> {
    let stem = codec.split('.').next().unwrap_or(codec);
    let mut names = vec![stem];
    names.extend(match stem {
        "avc1" | "avc3" => &["h264", "avc"][..],
        "hvc1" | "hev1" | "dvh1" | "dvhe" => &["h265", "hevc"],
        "av01" => &["av1"],
        "vp09" => &["vp9"],
        "mp4a" => match codec {
            "mp4a.40.5" | "mp4a.40.29" => &["aac", "aach"][..],
            "mp4a.6B" | "mp4a.69" => &["mp3"],
            _ => &["aac", "aacl"],
        },
        "ac-3" => &["ac3"],
        "ec-3" => &["eac3"],
        "wvtt" => &["webvtt"],
        "stpp" => &["ttml"],
        _ => &[],
    });
    names
}
