//! What becomes of tracks that are encoded: segments, manifests, keys.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use super::values::{duration, long_duration};

#[derive(ClapArgs)]
pub(crate) struct Package {
    /// The files: MP4 and whatever else the enabled backends read; WebVTT, SubRip or TTML for subtitles.
    /// Or descriptors: in=FILE,stream=audio,language=de,label=Deutsch,roles=dub,default=yes,bandwidth=N,format=vtt
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) input: Vec<streamverse::Pick>,
    /// The folder to make
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// How text is stored; WebVTT is a file and TTML what the manifests can name, if left out
    #[arg(long, value_enum)]
    pub(crate) text: Option<TextAs>,
    /// Captions that pictures carry (CEA-608 and CEA-708): only said to be there, or made into text too
    #[arg(long, value_enum, default_value = "keep")]
    pub(crate) captions: Captions,
    /// What playlists of HLS promise: that this is all (vod), or that somebody will add to it (event)
    #[arg(long, value_enum, default_value = "vod")]
    pub(crate) playlist: Playlist,
    /// Take no notice of the cues that inputs tell themselves (SCTE-35)
    #[arg(long)]
    pub(crate) no_cues: bool,
    /// Tell of cues in segments too, as emsg boxes: for players that look for them there
    #[arg(long)]
    pub(crate) emsg: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What files of segments are named by.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SegmentNames {
    Number,
    Time,
}

/// What playlists promise.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Playlist {
    Vod,
    Event,
}

/// What is done with captions in pictures.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Captions {
    Keep,
    Extract,
}

/// How text is stored.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextAs {
    /// One file
    File,
    /// A file for each segment
    Segments,
    /// Segments of MP4
    Mp4,
}

impl From<TextAs> for streamverse::package_files::TextAs {
    fn from(text: TextAs) -> Self {
        match text {
            TextAs::File => Self::File,
            TextAs::Segments => Self::Segments,
            TextAs::Mp4 => Self::Mp4,
        }
    }
}

#[derive(ClapArgs)]
pub(crate) struct Output {
    /// Length of a segment, such as 4s or 2500ms
    #[arg(long, default_value = "4s", value_parser = duration)]
    pub(crate) segment: Duration,
    #[command(flatten)]
    pub(crate) protect: Protect,
    /// Where players get a ClearKey licence; written into the DASH manifest
    #[arg(long)]
    pub(crate) license_url: Option<String>,
    /// Write HLS (with neither --hls nor --dash: both)
    #[arg(long)]
    pub(crate) hls: bool,
    /// Write DASH (with neither --hls nor --dash: both)
    #[arg(long)]
    pub(crate) dash: bool,
    /// One file per rendition, and byte ranges
    #[arg(long)]
    pub(crate) single_file: bool,
    /// What files of segments are named by: their numbers, or the ticks at which they start
    #[arg(long, value_enum, default_value = "number")]
    pub(crate) names: SegmentNames,
    /// Fast motion in DASH: pictures of every so many key frames, several with commas between; 0 for none
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1")]
    trick_play: Vec<u32>,
    /// Places for advertisements, in seconds, such as 12.5,30+15: segments end there, and manifests tell of them. What
    /// stands behind + is how long the break is meant to be
    #[arg(long, value_delimiter = ',', value_name = "SECONDS[+DURATION]")]
    pub(crate) ad_cues: Vec<streamverse::AdCue>,
    /// Something to be shown between, by players that know HLS interstitials, such as 30=https://HOST/ad/master.m3u8,resume=0. Options
    /// behind the URI: list, duration=S, resume=S, limit=S, snap=out;in, restrict=skip;jump, once
    #[arg(long, value_name = "AT=URI[,OPTION]")]
    pub(crate) interstitial: Vec<streamverse::Between>,
    /// What segments are written as; ts is for HLS on old devices, webm for DASH
    #[arg(long, value_enum, default_value_t = Format::Cmaf)]
    pub(crate) format: Format,
    /// Small pictures of the whole film for players to show where a seek would go: how many seconds apart, and
    /// how wide, in how many columns and rows of a file
    #[arg(long, value_name = "SECONDS[,WIDTH[,COLUMNSxROWS]]", num_args = 0..=1, default_missing_value = "10")]
    pub(crate) thumbnails: Option<streamverse::Thumbnails>,
    #[command(flatten)]
    pub(crate) ways: Ways,
    /// Print events as JSON lines on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// 0 is none.
pub(crate) fn factors(asked: &[u32]) -> Vec<u32> {
    asked.iter().copied().filter(|nth| *nth > 0).collect()
}

#[derive(ClapArgs)]
pub(crate) struct Ways {
    /// Another place where the folder will be had, such as cdn-b=https://b.example/talk/ (an empty address: beside the
    /// manifest); may be said several times, the place to begin with first
    #[arg(long, value_name = "NAME=URL", value_parser = pathway)]
    pathway: Vec<streamverse::package::steering::Pathway>,
    /// Who tells players which pathway to take; a file steering.json beside the manifests, if left out
    #[arg(long, value_name = "URL", requires = "pathway")]
    steering: Option<String>,
}

impl Ways {
    /// Where else the presentation will be had.
    pub(crate) fn steering(&self) -> streamverse::Result<Option<streamverse::package::Steering>> {
        if self.pathway.is_empty() {
            return Ok(None);
        }
        let server = self.steering.as_deref().unwrap_or("steering.json");
        Ok(Some(streamverse::package::Steering::new(server, self.pathway.clone())?))
    }
}

fn pathway(text: &str) -> Result<streamverse::package::steering::Pathway, String> {
    let (id, base) = text.split_once('=').ok_or("NAME=URL is wanted")?;
    Ok(streamverse::package::steering::Pathway { id: id.into(), base: base.into() })
}

#[derive(ClapArgs)]
#[command(next_help_heading = "Encryption")]
pub(crate) struct Protect {
    /// Encrypt; the key comes from --keys or the environment variable SV_KEYS. sample-aes and aes-128 are for
    /// --format ts
    #[arg(long)]
    pub(crate) encrypt: Option<SchemeName>,
    /// A file with a line KID:KEY, both of 32 hexadecimal digits; or a line for each of AUDIO, SD, HD, UHD1, UHD2,
    /// which begins with that word; @1, @2 ... before KID:KEY for later crypto periods
    #[arg(long)]
    pub(crate) keys: Option<PathBuf>,
    /// Leave the segments before this clear, such as 8s
    #[arg(long, value_parser = long_duration)]
    pub(crate) clear_lead: Option<Duration>,
    /// Change the key after each such time, such as 10s
    #[arg(long, value_parser = long_duration)]
    pub(crate) crypto_period: Option<Duration>,
    /// Where players of HLS get the 16 bytes of the key; {kid} in it stands for the key's name
    #[arg(long, value_name = "URL")]
    pub(crate) key_url: Option<String>,
    /// Whole pssh boxes in hexadecimal, one behind the other, instead of the common one
    #[arg(long, value_name = "HEX", value_parser = pssh)]
    pub(crate) pssh: Option<Boxes>,
    /// Leave pssh boxes out of the stream: only the DASH manifest has them
    #[arg(long)]
    pub(crate) no_pssh: bool,
}

/// Whole `pssh` boxes.
#[derive(Clone)]
pub(crate) struct Boxes(pub(crate) Vec<streamverse::core::Bytes>);

pub(super) fn pssh(text: &str) -> Result<Boxes, String> {
    let digits: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| text.get(at..at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok()))
        .collect();
    let bytes = digits.ok_or("hexadecimal digits are wanted")?;
    streamverse::drm::pssh::split(&bytes).map(Boxes).map_err(|e| e.to_string())
}

/// What segments are written as.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Fragments of MP4
    Cmaf,
    /// Transport streams, and packed audio
    Ts,
    /// WebM, of VP8, VP9, AV1, Opus and Vorbis
    Webm,
}

impl From<Format> for streamverse::package::Form {
    fn from(format: Format) -> Self {
        match format {
            Format::Cmaf => Self::Cmaf,
            Format::Ts => Self::Ts,
            Format::Webm => Self::WebM,
        }
    }
}

impl Output {
    /// Which manifests: naming none means all that the format has.
    pub(crate) fn manifests(&self) -> (bool, bool) {
        if self.hls || self.dash {
            return (self.hls, self.dash);
        }
        (self.format != Format::Webm, self.format != Format::Ts)
    }

    /// Fast motion: of every so many key frames.
    pub(crate) fn trick_play(&self) -> Vec<u32> {
        factors(&self.trick_play)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SchemeName {
    Cenc,
    Cens,
    Cbc1,
    Cbcs,
    SampleAes,
    #[value(name = "aes-128")]
    Aes128,
}

impl From<SchemeName> for streamverse::core::Scheme {
    fn from(name: SchemeName) -> Self {
        match name {
            SchemeName::Cenc => Self::Cenc,
            SchemeName::Cens => Self::Cens,
            SchemeName::Cbc1 => Self::Cbc1,
            SchemeName::Cbcs => Self::Cbcs,
            SchemeName::SampleAes => Self::SampleAes,
            SchemeName::Aes128 => Self::Aes128,
        }
    }
}
