//! What `sv vod`, `sv ladder` and `sv estimate` have in common: how to encode.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use streamverse::core::Codec;

#[cfg(feature = "nats")]
use super::Nats;
use super::values::{duration, rate};
use super::{Output, Share};

#[derive(ClapArgs)]
pub(crate) struct Vod {
    /// The file: anything that the enabled backends read
    pub(crate) input: PathBuf,
    /// The folder to make
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// After a failure or Ctrl-C, keep OUT.partial: the same command goes on with it
    #[arg(long)]
    pub(crate) keep_partial: bool,
    /// Take pictures with an alpha channel without it, instead of refusing them
    #[arg(long)]
    pub(crate) drop_alpha: bool,
    /// What sound is encoded with; aac if left out
    #[arg(long)]
    pub(crate) audio_codec: Option<SoundCodec>,
    /// Keep sound of these codecs as it is, beside what is made of it
    #[arg(long, value_delimiter = ',', value_name = "CODECS")]
    pub(crate) keep_audio: Vec<KeptCodec>,
    /// Make the sound so loud, in LUFS (EBU R 128), with true peaks of at most -1 dBTP
    #[arg(long, value_name = "LUFS", num_args = 0..=1, default_missing_value = "-23", allow_hyphen_values = true,
          value_parser = lufs)]
    pub(crate) loudness: Option<f64>,
    /// Captions that the source's pictures carry (CEA-608 and CEA-708): put into the new ones too (auto: if they begin in the
    /// first 900 pictures; keep: wherever they begin), made into text besides (extract), or left out
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) captions: CaptionChoice,
    /// Take no notice of the cues that the source tells itself (SCTE-35)
    #[arg(long)]
    pub(crate) no_cues: bool,
    /// Fail at the first damage in the source, instead of keeping what is good
    #[arg(long)]
    pub(crate) strict: bool,
    /// Encode in chunks, so many at a time; the bytes are the same for any number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) workers: Option<u32>,
    /// A PostgreSQL server that keeps the journal of chunks instead of a file beside the output, such as
    /// postgres://user@host/database; with a password in it, say it by the environment variable
    #[cfg(feature = "postgres")]
    #[arg(long, env = "SV_JOURNAL", hide_env_values = true, value_name = "URL")]
    pub(crate) journal: Option<String>,
    /// How long a chunk is, about, such as 30s
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) chunk: Duration,
    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) nats: Nats,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) encode: Encode,
    #[command(flatten)]
    pub(crate) budget: Budget,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What becomes of captions.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CaptionChoice {
    Auto,
    Keep,
    Extract,
    Drop,
}

impl From<CaptionChoice> for streamverse::vod::CaptionChoice {
    fn from(choice: CaptionChoice) -> Self {
        match choice {
            CaptionChoice::Auto => Self::Auto,
            CaptionChoice::Keep => Self::Keep,
            CaptionChoice::Extract => Self::Extract,
            CaptionChoice::Drop => Self::Drop,
        }
    }
}

#[derive(ClapArgs)]
pub(crate) struct Encode {
    /// auto, fixed, title (found by encoding samples of the source), or a TOML file
    #[arg(long, default_value = "auto")]
    pub(crate) ladder: String,
    /// Video codecs, separated by commas: each gets the whole ladder
    #[arg(long, default_value = "h264", value_delimiter = ',')]
    pub(crate) codec: Vec<CodecName>,
    /// How hard the encoders work
    #[arg(long, default_value = "fast")]
    pub(crate) preset: PresetName,
    /// AV1: describe film grain instead of encoding it, for players to put it back: as strong as it is
    /// found to be (auto), or of this strength
    #[arg(long, value_name = "auto|1-50", value_parser = grain)]
    pub(crate) film_grain: Option<streamverse::vod::FilmGrain>,
    /// What of the picture is shown: all (none), what is left without black bars (auto), or W:H:LEFT:TOP
    #[arg(long, default_value = "none", value_parser = crop)]
    pub(crate) crop: streamverse::vod::CropChoice,
    /// What decodes pictures: the CPU, a device if one works (auto), or a device and nothing else
    #[arg(long, default_value = "software")]
    pub(crate) decode: DecodeOn,
    /// What encodes pictures, by its own name (`sv doctor` lists them); ffmpeg-cli is an FFmpeg program
    #[arg(long, value_name = "NAME")]
    pub(crate) encoder: Option<String>,
    /// A device that decodes, scales and encodes, as far as it can: auto, or a kind that `sv doctor` shows,
    /// with its own name if it isn't the first (vaapi:/dev/dri/renderD129, cuda:1)
    #[arg(long, value_name = "auto|KIND[:NAME]", conflicts_with = "encoder")]
    pub(crate) device: Option<String>,
    /// A TOML file of prices: currency, core_hour, device_hour, gigabyte_month
    #[arg(long, env = "SV_PRICES")]
    pub(crate) prices: Option<PathBuf>,
}

/// What sound is encoded with.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum SoundCodec {
    Aac,
    Opus,
    Flac,
}

/// What sound can be kept.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum KeptCodec {
    Ac3,
    Eac3,
    Aac,
    Opus,
    Flac,
}

impl From<SoundCodec> for Codec {
    fn from(codec: SoundCodec) -> Self {
        match codec {
            SoundCodec::Aac => Self::Aac,
            SoundCodec::Opus => Self::Opus,
            SoundCodec::Flac => Self::Flac,
        }
    }
}

impl From<KeptCodec> for Codec {
    fn from(codec: KeptCodec) -> Self {
        match codec {
            KeptCodec::Ac3 => Self::Ac3,
            KeptCodec::Eac3 => Self::Eac3,
            KeptCodec::Aac => Self::Aac,
            KeptCodec::Opus => Self::Opus,
            KeptCodec::Flac => Self::Flac,
        }
    }
}

/// What decodes pictures.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum DecodeOn {
    Software,
    Auto,
    Device,
}

impl From<DecodeOn> for streamverse::vod::Decoder {
    fn from(on: DecodeOn) -> Self {
        match on {
            DecodeOn::Software => Self::Software,
            DecodeOn::Auto => Self::Auto,
            DecodeOn::Device => Self::Device,
        }
    }
}

/// For `--ladder title` and `sv ladder`.
#[derive(ClapArgs)]
#[command(next_help_heading = "Ladder by title")]
pub(crate) struct Budget {
    /// VMAF of the best rung: what is above it, nobody sees
    #[arg(long, default_value_t = 95.0)]
    pub(crate) target: f64,
    /// Most bits per second of the best rung, such as 6M or 800k
    #[arg(long, value_parser = rate)]
    pub(crate) max_bitrate: Option<u64>,
    /// Most rungs
    #[arg(long, default_value_t = 6)]
    pub(crate) max_rungs: usize,
    /// Most core-seconds of encoding for a minute of the source
    #[arg(long)]
    pub(crate) core_seconds: Option<f64>,
    /// Aim at the pictures without their noise: bits for what nobody misses are saved
    #[arg(long)]
    pub(crate) ignore_noise: bool,
}

impl Budget {
    pub(crate) fn get(&self) -> streamverse::title::Budget {
        let mut budget = streamverse::title::Budget::default();
        budget.target = self.target;
        budget.max_bitrate = self.max_bitrate;
        budget.rungs = self.max_rungs;
        budget.core_seconds_per_minute = self.core_seconds;
        budget.ignore_noise = self.ignore_noise;
        budget
    }
}

#[derive(ClapArgs)]
pub(crate) struct Ladder {
    /// The file: anything that the enabled backends read
    pub(crate) input: PathBuf,
    /// Video codecs, separated by commas: each gets a ladder of its own
    #[arg(long, default_value = "h264", value_delimiter = ',')]
    pub(crate) codec: Vec<CodecName>,
    /// How hard the encoders work
    #[arg(long, default_value = "fast")]
    pub(crate) preset: PresetName,
    /// What decodes pictures: the CPU, a device if one works (auto), or a device and nothing else
    #[arg(long, default_value = "software")]
    pub(crate) decode: DecodeOn,
    /// Length of a segment, such as 4s or 2500ms
    #[arg(long, default_value = "4s", value_parser = duration)]
    pub(crate) segment: Duration,
    /// Draw each decision into this folder, as ladder-CODEC.svg
    #[arg(long)]
    pub(crate) plot: Option<PathBuf>,
    /// Write the ladder as TOML, for `sv vod --ladder FILE`
    #[arg(long)]
    pub(crate) toml: Option<PathBuf>,
    /// Print the decisions as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) budget: Budget,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CodecName {
    H264,
    Hevc,
    Av1,
    Vp9,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Self {
        match name {
            CodecName::H264 => Self::H264,
            CodecName::Hevc => Self::Hevc,
            CodecName::Av1 => Self::Av1,
            CodecName::Vp9 => Self::Vp9,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PresetName {
    Fastest,
    Faster,
    Fast,
    Balanced,
    Best,
}

impl From<PresetName> for streamverse::vod::Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Fastest => Self::Fastest,
            PresetName::Faster => Self::Faster,
            PresetName::Fast => Self::Fast,
            PresetName::Balanced => Self::Balanced,
            PresetName::Best => Self::Best,
        }
    }
}

fn crop(text: &str) -> Result<streamverse::vod::CropChoice, String> {
    use streamverse::vod::CropChoice;
    let numbers: Vec<u32> = text.split(':').map_while(|n| n.parse().ok()).collect();
    match (text, &numbers[..]) {
        ("none", _) => Ok(CropChoice::Whole),
        ("auto", _) => Ok(CropChoice::Bars),
        (_, &[width, height, left, top]) if text.split(':').count() == 4 => {
            Ok(CropChoice::To(streamverse::transcode::filter::Crop { left, top, width, height }))
        }
        _ => Err("none, auto, or WIDTH:HEIGHT:LEFT:TOP".into()),
    }
}

fn grain(text: &str) -> Result<streamverse::vod::FilmGrain, String> {
    use streamverse::vod::FilmGrain;
    if text == "auto" {
        return Ok(FilmGrain::Measure);
    }
    let strength = text.parse().ok().filter(|s| (1..=50).contains(s));
    strength.map(FilmGrain::Describe).ok_or_else(|| "it is auto, or a strength of 1 to 50".into())
}

fn lufs(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(loud) if (-50.0..=-5.0).contains(&loud) => Ok(loud),
        _ => Err("between -50 and -5, such as -23 or -16".into()),
    }
}
