//! What a stream is: codec, time base, size, channels, language.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::color::DolbyVision;
use crate::{ColorInfo, Duration, HdrMetadata, Protection, Ratio, Spherical, TimeBase};

/// Names a track within one presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackId(pub u32);

/// What a track is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles and captions.
    Text,
}

/// How a track's packets are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// ITU-T H.264, Advanced Video Coding.
    H264,
    /// ITU-T H.265, High Efficiency Video Coding.
    Hevc,
    /// AOMedia AV1.
    Av1,
    /// VP8, RFC 6386.
    Vp8,
    /// VP9.
    Vp9,
    /// MPEG-4 audio: AAC-LC, HE-AAC.
    Aac,
    /// Opus, RFC 6716.
    Opus,
    /// Dolby Digital.
    Ac3,
    /// Dolby Digital Plus.
    Eac3,
    /// Dolby AC-4, ETSI TS 103 190.
    Ac4,
    /// DTS:X, ETSI TS 103 491.
    DtsX,
    /// FLAC, RFC 9639.
    Flac,
    /// Apple Lossless.
    Alac,
    /// Vorbis, which WebM alone carries.
    Vorbis,
    /// Immersive Audio Model and Formats of AOMedia: several streams of another codec, and how to mix them.
    Iamf,
    /// MPEG-1 or MPEG-2 audio, layers I to III.
    Mp3,
    /// WebVTT cues.
    WebVtt,
    /// TTML and its profiles, IMSC among them: documents.
    Ttml,
    /// Something that only a backend knows, by the backend's own name for it.
    Other(&'static str),
}

impl Codec {
    /// The short name that commands, JSON and messages use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Av1 => "av1",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
            Self::Ac4 => "ac4",
            Self::DtsX => "dtsx",
            Self::Flac => "flac",
            Self::Alac => "alac",
            Self::Vorbis => "vorbis",
            Self::Iamf => "iamf",
            Self::Mp3 => "mp3",
            Self::WebVtt => "webvtt",
            Self::Ttml => "ttml",
            Self::Other(name) => name,
        }
    }

    /// The codec of that short name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        const ALL: [Codec; 18] = [
            Codec::H264,
            Codec::Hevc,
            Codec::Av1,
            Codec::Vp8,
            Codec::Vp9,
            Codec::Aac,
            Codec::Opus,
            Codec::Ac3,
            Codec::Eac3,
            Codec::Ac4,
            Codec::DtsX,
            Codec::Flac,
            Codec::Alac,
            Codec::Vorbis,
            Codec::Iamf,
            Codec::Mp3,
            Codec::WebVtt,
            Codec::Ttml,
        ];
        ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One stream of a presentation.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its number, unique within the presentation.
    pub id: TrackId,
    /// How its packets are coded.
    pub codec: Codec,
    /// The unit of its times.
    pub time_base: TimeBase,
    /// The decoder's configuration, in the form that MP4 stores: the body of `avcC`, `hvcC`,
    /// `av1C`, `vpcC`, `dOps`, `dac3`, `dec3`, `dac4`, `udts`, `iacb`; the AudioSpecificConfig of AAC; the
    /// metadata blocks of FLAC's `dfLa`; the magic cookie of ALAC, without its box; Vorbis's three
    /// headers as Matroska has them; the header of WebVTT; the namespaces of TTML, separated by spaces.
    pub config: Bytes,
    /// What is particular to pictures, sound or text.
    pub media: Media,
    /// BCP 47 language tag.
    pub language: Option<String>,
    /// A name for people.
    pub label: Option<String>,
    /// Whether a player should choose it when nobody has said otherwise.
    pub default: bool,
    /// How long it is, if the source says.
    pub duration: Option<Duration>,
    /// Average bits per second, if the source says or the encoder was told.
    pub bitrate: Option<u64>,
    /// How its samples are encrypted, if they are.
    pub protection: Option<Protection>,
}

impl Track {
    /// What it is for.
    #[must_use]
    pub const fn kind(&self) -> TrackKind {
        match self.media {
            Media::Video(_) => TrackKind::Video,
            Media::Audio(_) => TrackKind::Audio,
            Media::Text(_) => TrackKind::Text,
        }
    }

    /// Its picture properties, if it is video.
    #[must_use]
    pub const fn video(&self) -> Option<&VideoInfo> {
        match &self.media {
            Media::Video(v) => Some(v),
            _ => None,
        }
    }

    /// Its sound properties, if it is audio.
    #[must_use]
    pub const fn audio(&self) -> Option<&AudioInfo> {
        match &self.media {
            Media::Audio(a) => Some(a),
            _ => None,
        }
    }
}

/// What is particular to one kind of track.
#[derive(Clone, Debug, PartialEq)]
pub enum Media {
    /// Pictures.
    Video(VideoInfo),
    /// Sound.
    Audio(AudioInfo),
    /// Text.
    Text(TextInfo),
}

/// What is particular to pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoInfo {
    /// Coded width in samples, after cropping.
    pub width: u32,
    /// Coded height in samples, after cropping.
    pub height: u32,
    /// Width of a sample over its height; 1 for square samples.
    pub sample_aspect: Ratio,
    /// Frames per second where the rate is constant, or the average.
    pub frame_rate: Option<Ratio>,
    /// What the sample values mean.
    pub color: ColorInfo,
    /// HDR10 static metadata.
    pub hdr: HdrMetadata,
    /// Dolby Vision, as far as the container says.
    pub dolby_vision: Option<DolbyVision>,
    /// Clockwise turns of 90° that a player must apply: 0 to 3.
    pub quarter_turns: u8,
    /// Whether pictures are pairs of fields.
    pub interlaced: bool,
    /// Bits per sample of luma.
    pub bit_depth: u8,
    /// Whether there is transparency beside the colours.
    pub alpha: bool,
    /// How the picture covers directions, where it is one of all around.
    pub spherical: Option<Spherical>,
    /// How far a container's media timeline runs ahead of the presentation, in ticks, so that no
    /// picture is shown before it is decoded: an edit list takes it back. Packets do not know of it.
    pub reorder: Duration,
}

impl VideoInfo {
    /// A progressive 8-bit picture with square samples and nothing else known.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            sample_aspect: Ratio::ONE,
            frame_rate: None,
            color: ColorInfo::default(),
            hdr: HdrMetadata::default(),
            dolby_vision: None,
            quarter_turns: 0,
            interlaced: false,
            bit_depth: 8,
            alpha: false,
            spherical: None,
            reorder: Duration::ZERO,
        }
    }
}

/// What is particular to sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioInfo {
    /// Samples per second and channel, as played.
    pub sample_rate: u32,
    /// Channels, as played; 0 where a player mixes as many as it has loudspeakers.
    pub channels: u16,
    /// Samples at the start that a decoder produces and a player must drop: encoder delay.
    pub delay: u32,
    /// Bits per sample where the codec has such a thing, or 0.
    pub bit_depth: u8,
}

/// What is particular to text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextInfo {
    /// Whether it describes sounds too, for people who can't hear them.
    pub captions: bool,
    /// Whether it is shown even to people who have not asked for subtitles.
    pub forced: bool,
}
