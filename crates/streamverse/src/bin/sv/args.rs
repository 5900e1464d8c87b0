//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand, ValueEnum};
use streamverse::core::Codec;

/// The streaming platform as a library: the command.
#[derive(Parser)]
#[command(name = "sv", version, about, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Say more on standard error (repeat for still more; or set SV_LOG)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 the input can't be used, \
4 the output can't be written or is taken, 5 a key is missing or wrong, 130 interrupted.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say what a media file is made of
    Probe(Probe),
    /// Transcode a file into an adaptive stream (HLS and DASH)
    Vod(Box<Vod>),
    /// Say what transcoding a file will cost, by doing a little of it
    Estimate(Estimate),
    /// Find the ladder that a file needs, by encoding samples of it
    Ladder(Ladder),
    /// Say how near a copy is to its original: VMAF, SSIMULACRA2 and XPSNR
    Compare(Compare),
    /// Package files as they are, without encoding anything anew
    Package(Package),
    /// Encode chunks for runs elsewhere (`sv vod --nats`), until Ctrl-C
    #[cfg(feature = "nats")]
    Worker(Worker),
    /// Stream live: files as if they happened, or what comes on standard input, as HLS and DASH over HTTP
    Live(Box<Live>),
    /// Make a recording of a stretch of a live presentation, while it goes on or later
    Harvest(Harvest),
    /// Serve a packaged folder, with a test player
    Serve(Serve),
    /// Package on request: serve stored MP4 and CMAF as HLS (CMAF or TS) and DASH, clear or encrypted on the way out
    Origin(Origin),
    /// Show what works on this machine and what would switch on the rest
    Doctor(Doctor),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Probe {
    /// The file
    pub(crate) input: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

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

/// What work may take of the machine.
#[derive(ClapArgs)]
pub(crate) struct Share {
    /// How urgent it is: less urgent work yields to live work, and threads of it have a smaller weight
    #[arg(long, default_value = "normal")]
    pub(crate) class: Class,
    /// Leave so many cores to others, such as a live gateway on this machine
    #[arg(long, default_value_t = 0, value_name = "CORES")]
    pub(crate) reserve: usize,
}

/// How urgent work is.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Class {
    Live,
    Normal,
    Background,
}

impl Share {
    pub(crate) fn get(&self) -> streamverse::pipeline::share::Share {
        use streamverse::pipeline::share;
        let class = match self.class {
            Class::Live => share::Class::Live,
            Class::Normal => share::Class::Normal,
            Class::Background => share::Class::Background,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self.reserve {
            0 => share::Share::new(&share::Shares::default(), class),
            reserve => {
                let left = cores.saturating_sub(reserve);
                share::Share::new(&share::Shares::limited(left, left), class)
            }
        }
    }
}

/// Where the workers meet.
#[cfg(feature = "nats")]
#[derive(ClapArgs)]
pub(crate) struct Nats {
    /// A NATS server with JetStream, such as nats://10.0.0.5:4222: chunks go to whoever joined there
    #[arg(long, env = "SV_NATS", hide_env_values = true)]
    pub(crate) nats: Option<String>,
    /// Its credentials file, if it asks for one
    #[arg(long, env = "SV_NATS_CREDS", hide_env_values = true)]
    pub(crate) nats_creds: Option<PathBuf>,
    /// A place in a bucket, s3://BUCKET/PREFIX, instead of folders that all machines share
    #[cfg(feature = "s3")]
    #[arg(long, env = "SV_STORE")]
    pub(crate) store: Option<String>,
    /// How long a worker may be silent before its chunk goes to another; the same for all
    #[arg(long, env = "SV_NATS_PATIENCE", default_value = "10s", value_parser = duration)]
    pub(crate) nats_patience: Duration,
}

#[cfg(feature = "nats")]
#[derive(ClapArgs)]
pub(crate) struct Worker {
    #[command(flatten)]
    pub(crate) nats: Nats,
    /// How many chunks at a time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) slots: u16,
    /// Refuse sources and outputs that are not below this folder
    #[arg(long, default_value = ".")]
    pub(crate) root: PathBuf,
    /// What it is called; the host's name and the process number if left out
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) share: Share,
}

#[derive(ClapArgs)]
pub(crate) struct Estimate {
    /// The file: anything that the enabled backends read
    pub(crate) input: PathBuf,
    /// Length of a segment, such as 4s or 2500ms
    #[arg(long, default_value = "4s", value_parser = duration)]
    pub(crate) segment: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) encode: Encode,
    #[command(flatten)]
    pub(crate) budget: Budget,
}

#[derive(ClapArgs)]
pub(crate) struct Compare {
    /// The original: anything that the enabled backends read
    pub(crate) original: PathBuf,
    /// What was made of it, of any size
    pub(crate) copy: PathBuf,
    /// Compare one of so many pictures
    #[arg(long, default_value_t = 1)]
    pub(crate) every: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Captions that pictures carry (CEA-608): only said to be there, or made into text too
    #[arg(long, value_enum, default_value = "keep")]
    pub(crate) captions: Captions,
    /// Take no notice of the cues that inputs tell themselves (SCTE-35)
    #[arg(long)]
    pub(crate) no_cues: bool,
    /// Tell of cues in segments too, as emsg boxes: for players that look for them there
    #[arg(long)]
    pub(crate) emsg: bool,
    /// Fast motion in DASH: pictures of every so many key frames, several with commas between; 0 for none
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1")]
    pub(crate) trick_play: Vec<u32>,
    /// What files of segments are named by: their numbers, or the ticks at which they start
    #[arg(long, value_enum, default_value = "number")]
    pub(crate) names: SegmentNames,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What files of segments are named by.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SegmentNames {
    Number,
    Time,
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
    /// Another place where the folder will be had, such as cdn-b=https://b.example/talk/ (an empty address: beside the
    /// manifest); may be said several times, the place to begin with first
    #[arg(long, value_name = "NAME=URL", value_parser = pathway)]
    pub(crate) pathway: Vec<streamverse::package::steering::Pathway>,
    /// Who tells players which pathway to take; a file steering.json beside the manifests, if left out
    #[arg(long, value_name = "URL", requires = "pathway")]
    pub(crate) steering: Option<String>,
    /// Print events as JSON lines on standard output
    #[arg(long)]
    pub(crate) json: bool,
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

fn pssh(text: &str) -> Result<Boxes, String> {
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

    /// Where else the presentation will be had.
    pub(crate) fn steering(&self) -> streamverse::Result<Option<streamverse::package::Steering>> {
        if self.pathway.is_empty() {
            return Ok(None);
        }
        let server = self.steering.as_deref().unwrap_or("steering.json");
        Ok(Some(streamverse::package::Steering::new(server, self.pathway.clone())?))
    }
}

#[derive(ClapArgs)]
pub(crate) struct Live {
    /// Files, shown at the speed of their clocks; or -, an MPEG transport stream on standard input. Or descriptors,
    /// as for `sv package`
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) input: Vec<streamverse::Pick>,
    /// The folder of the presentation: a later run with the same arguments goes on with it
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// Length of a segment, such as 2s or 2500ms
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) segment: Duration,
    /// Length of a part of a segment, for low latency, such as 500ms; 0 for none
    #[arg(long, default_value = "500ms", value_parser = part)]
    pub(crate) part: Duration,
    /// How far viewers can go back, such as 60s, 30m or 4h
    #[arg(long, default_value = "60s", value_parser = long)]
    pub(crate) window: Duration,
    /// An event: viewers can go back to its beginning
    #[arg(long, conflicts_with = "window")]
    pub(crate) event: bool,
    /// Keep segments that viewers can't go back to any more
    #[arg(long)]
    pub(crate) keep: bool,
    /// Begin files anew when they end
    #[arg(long = "loop")]
    pub(crate) looping: bool,
    /// Take no notice of the cues that the source tells itself (SCTE-35)
    #[arg(long)]
    pub(crate) no_cues: bool,
    /// A playlist that players of HLS show instead while the programme is left, as the source's cues say; {event} and
    /// {seconds} in it stand for the break's identifier and length
    #[arg(long, value_name = "URL", conflicts_with = "no_cues")]
    pub(crate) interstitial: Option<String>,
    /// Tell of cues in segments too, as emsg boxes: for players that look for them there
    #[arg(long)]
    pub(crate) emsg: bool,
    /// Go on serving when the stream has ended
    #[arg(long)]
    pub(crate) serve: bool,
    #[command(flatten)]
    pub(crate) protect: Protect,
    /// Where players get a ClearKey licence; written into the DASH manifest
    #[arg(long)]
    pub(crate) license_url: Option<String>,
    /// Print events as JSON lines on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Harvest {
    /// The folder of the live presentation
    pub(crate) live: PathBuf,
    /// The folder to make
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Where it begins on the presentation's own timeline, such as 90s
    #[arg(long, default_value = "0s", value_parser = moment)]
    pub(crate) from: Duration,
    /// Where it ends; the end of what there is if left out
    #[arg(long, value_parser = moment)]
    pub(crate) to: Option<Duration>,
}

#[derive(ClapArgs)]
pub(crate) struct Serve {
    /// The folder
    pub(crate) dir: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
}

#[derive(ClapArgs)]
#[command(after_help = ORIGIN)]
pub(crate) struct Origin {
    /// Titles: MP4 files, or folders with the renditions of one title (of sv vod, sv package or another packager).
    /// Each is called as its file or folder, without the ending
    #[arg(value_name = "TITLE")]
    pub(crate) titles: Vec<PathBuf>,
    /// Serve every file and folder in this one as a title, by its whole name, also those that come later
    #[arg(long, value_name = "DIR")]
    pub(crate) library: Option<PathBuf>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// Length of a segment, such as 4s or 2500ms
    #[arg(long, default_value = "4s", value_parser = duration)]
    pub(crate) segment: Duration,
    /// Encrypt what is sent: a scheme for CMAF (cenc, cbcs), one for transport streams (sample-aes, aes-128), or both,
    /// separated by a comma. A form without a scheme is not served then
    #[arg(long, value_delimiter = ',')]
    pub(crate) encrypt: Vec<SchemeName>,
    /// A key file as for sv package, or a folder with one for each title, NAME.keys; or set SV_KEYS
    #[arg(long)]
    pub(crate) keys: Option<PathBuf>,
    /// Where players of HLS get the 16 bytes of the key; {kid} in it stands for the key's name
    #[arg(long, value_name = "URL")]
    pub(crate) key_url: Option<String>,
    /// Where players get a ClearKey licence; written into DASH manifests
    #[arg(long)]
    pub(crate) license_url: Option<String>,
    /// Whole pssh boxes in hexadecimal, one behind the other, instead of the common one
    #[arg(long, value_name = "HEX", value_parser = pssh)]
    pub(crate) pssh: Option<Boxes>,
    /// Leave pssh boxes out of the stream: only the DASH manifest has them
    #[arg(long)]
    pub(crate) no_pssh: bool,
    /// Most MiB of segments that stay in memory
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(crate) cache: usize,
    /// Most MiB of sample tables that stay in memory: 32 bytes for each picture and each frame of sound
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(crate) tables: usize,
    /// Most requests at a time; others are told to come again
    #[arg(long, default_value_t = 1024)]
    pub(crate) requests: usize,
}

const ORIGIN: &str = "\
Addresses: /NAME/hls.m3u8 (HLS, CMAF), /NAME/ts.m3u8 (HLS, transport streams), /NAME/dash.mpd (DASH).

Behind a manifest's address, as a query:
  filter=video_height:240-720;video_codec:h264;audio_language:en,de   which renditions
  start=90&end=150.5                                                  which stretch, in seconds
  order=ascending|descending|middle                                   which variant of HLS comes first";

#[derive(ClapArgs)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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

/// `4s`, `2.5s`, `2500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    within(text, 60)
}

/// As [`duration`], up to a day.
fn long_duration(text: &str) -> Result<Duration, String> {
    within(text, 86_400)
}

fn within(text: &str, seconds: u32) -> Result<Duration, String> {
    let most_ms = f64::from(seconds) * 1000.0;
    let (number, unit_ms) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1000.0),
    };
    match number.parse::<f64>() {
        Ok(n) if (100.0..=most_ms).contains(&(n * unit_ms)) => {
            Ok(Duration::from_millis((n * unit_ms).round() as u64))
        }
        _ => Err(format!("a length between 100ms and {seconds}s is wanted, such as 4s")),
    }
}

/// `500ms`, or `0`.
fn part(text: &str) -> Result<Duration, String> {
    if text.trim_start_matches('0').trim_matches(['m', 's']).is_empty() {
        return Ok(Duration::ZERO);
    }
    duration(text).map_err(|_| "a length between 100ms and 60s is wanted, such as 500ms, or 0".into())
}

/// `0s`, `90s`, `2.5m`, `4h`.
fn moment(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['h', 'm']) {
        Some(number) if text.ends_with('h') => (number, 3600.0),
        Some(number) => (number, 60.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    match number.parse::<f64>() {
        Ok(n) if (0.0..1e9).contains(&(n * unit)) => Ok(Duration::from_secs_f64(n * unit)),
        _ => Err("a moment is wanted, such as 90s, 2.5m or 4h".into()),
    }
}

/// `60s`, `30m`, `4h`.
fn long(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['h', 'm']) {
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    match number.parse::<u32>() {
        Ok(n) if (2..=365 * 86_400).contains(&(u64::from(n) * unit)) => {
            Ok(Duration::from_secs(u64::from(n) * unit))
        }
        _ => Err("a length of at least 2s is wanted, such as 60s, 30m or 4h".into()),
    }
}

/// `6M`, `800k`, `2500000`.
fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 1e6),
        None => text.strip_suffix(['K', 'k']).map_or((text, 1.0), |number| (number, 1e3)),
    };
    match number.parse::<f64>() {
        Ok(n) if (10_000.0..=1e9).contains(&(n * unit)) => Ok((n * unit).round() as u64),
        _ => Err("bits per second between 10k and 1000M are wanted, such as 6M".into()),
    }
}

pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Args::command(), "sv", &mut std::io::stdout());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn lengths() {
        assert_eq!(duration("4s"), Ok(Duration::from_secs(4)));
        assert_eq!(duration("2.5s"), Ok(Duration::from_millis(2500)));
        assert_eq!(duration("2500ms"), Ok(Duration::from_millis(2500)));
        assert!(duration("0s").is_err() && duration("x").is_err() && duration("-1s").is_err());
    }
}
