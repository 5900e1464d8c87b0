//! What an operator may choose: by argument or by environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use streamverse::chunks::Workers;

/// Ten years.
pub(crate) const MOST_HOURS: i64 = 10 * 365 * 24;

/// Said at the end of `--help`.
const EXIT_CODES: &str = "Exit codes:
  0  stopped by a signal
  1  something unexpected
  2  wrong arguments
  3  the address can't be listened on
  4  the data folder can't be used
  5  the data folder is in use by another service";

/// A streaming service on StreamVerse: upload, transcode, protect, play.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "reference-service", version, after_help = EXIT_CODES)]
pub(crate) struct Config {
    /// Where to listen. The service has no accounts: anything but a loopback address lets everybody in.
    #[arg(long, env = "STREAMVERSE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    /// The folder that holds everything: database, uploads, videos, keys.
    #[arg(long, env = "STREAMVERSE_DATA", default_value = "./data", value_name = "FOLDER")]
    pub(crate) data: PathBuf,

    /// A video to publish at the first start, while the library is empty.
    #[arg(long, env = "SAMPLE", value_name = "FILE")]
    pub(crate) sample: Option<PathBuf>,

    /// The largest upload, in bytes.
    #[arg(long, env = "STREAMVERSE_MAX_UPLOAD", default_value_t = 64 << 30, value_name = "BYTES")]
    pub(crate) max_upload: u64,

    /// How long an unfinished upload is kept after its last byte, in seconds.
    #[arg(long, env = "STREAMVERSE_UPLOAD_TTL", default_value_t = 24 * 3600, value_name = "SECONDS")]
    pub(crate) upload_ttl: u32,

    /// How long a playback link is good, in seconds.
    #[arg(long, env = "STREAMVERSE_TOKEN_TTL", default_value_t = 6 * 3600, value_name = "SECONDS")]
    pub(crate) token_ttl: u32,

    /// Videos transcoded at a time; each uses as many cores as it finds.
    #[arg(long, env = "STREAMVERSE_JOBS", default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,

    /// Cut videos into chunks, and encode so many of them at a time. Left out, each is encoded in one go.
    #[arg(long, env = "STREAMVERSE_WORKERS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) workers: Option<u32>,

    /// Where to take live streams by RTMP. Left out: port 1935 of the address of --listen, or any free port if that is taken.
    #[arg(long, env = "STREAMVERSE_RTMP", value_name = "ADDRESS")]
    pub(crate) rtmp: Option<SocketAddr>,

    /// Where to take live streams by SRT. Left out: port 9000 (of UDP) in the same way.
    #[arg(long, env = "STREAMVERSE_SRT", value_name = "ADDRESS")]
    pub(crate) srt: Option<SocketAddr>,

    /// Where to take media by WebRTC, whose senders post to http://LISTEN/whip: a port of UDP, and one of TCP behind a comma. Left
    /// out: port 8189 of both in the same way.
    #[arg(long, env = "STREAMVERSE_WHIP", value_name = "UDP[,TCP]", value_delimiter = ',', num_args = 1)]
    pub(crate) whip: Vec<SocketAddr>,

    /// An address by which senders by WebRTC reach this machine, if it has another itself; may be given several times.
    #[arg(long, env = "STREAMVERSE_PUBLIC_IP", value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) public_ip: Vec<IpAddr>,

    /// Where to take live streams that others record by RTSP. Left out: nowhere.
    #[arg(long, env = "STREAMVERSE_RTSP", value_name = "ADDRESS")]
    pub(crate) rtsp: Option<SocketAddr>,

    /// Make rungs below what is live, as it comes: "auto" for those that it suits, "fixed", or the path of a ladder in TOML. Left
    /// out: none. Each stream takes a core or more.
    #[arg(long, env = "STREAMVERSE_LIVE_LADDER", value_name = "LADDER")]
    pub(crate) live_ladder: Option<String>,

    /// How far viewers can go back in what is live, in seconds.
    #[arg(long, env = "STREAMVERSE_DVR", default_value_t = 1800, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(30..=86_400))]
    pub(crate) dvr: u32,

    /// How long what a live stream showed is kept after it has ended, in seconds.
    #[arg(long, env = "STREAMVERSE_LIVE_TTL", default_value_t = 24 * 3600, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(300..))]
    pub(crate) live_ttl: u32,

    /// How long recordings are kept if who starts a live stream says nothing else, in hours.
    #[arg(long, env = "STREAMVERSE_RECORDING_HOURS", default_value_t = 7 * 24, value_name = "HOURS",
          value_parser = clap::value_parser!(u32).range(1..=MOST_HOURS))]
    pub(crate) recording_hours: u32,

    /// How many bytes of recordings each live stream may have: beyond that its oldest parts are removed.
    #[arg(
        long,
        env = "STREAMVERSE_RECORDING_BYTES",
        default_value_t = 500_000_000_000,
        value_name = "BYTES"
    )]
    pub(crate) recording_bytes: u64,

    /// Tell a URL what happens, as Standard Webhooks have it; may be given several times.
    #[arg(
        long,
        env = "STREAMVERSE_WEBHOOK",
        value_name = "URL",
        hide_env_values = true,
        value_delimiter = ' '
    )]
    pub(crate) webhook: Vec<String>,

    /// A file with the secret that signs what URLs are told.
    #[arg(long, env = "STREAMVERSE_WEBHOOK_SECRET", value_name = "FILE")]
    pub(crate) webhook_secret: Option<PathBuf>,

    /// A NATS server with JetStream: chunks are encoded by whoever joined there (`sv worker --nats`) and has
    /// the data folder at the same path.
    #[cfg(feature = "nats")]
    #[arg(long, env = "STREAMVERSE_NATS", value_name = "URL", hide_env_values = true)]
    pub(crate) nats: Option<String>,

    /// How to write the log; by default text on a terminal and JSON elsewhere.
    #[arg(long, env = "STREAMVERSE_LOG", value_enum, value_name = "FORMAT")]
    pub(crate) log: Option<LogFormat>,

    /// Print the OpenAPI document and exit.
    #[arg(long)]
    pub(crate) print_openapi: bool,
}

impl Config {
    /// Who encodes chunks, if videos are cut into any.
    pub(crate) fn chunk_workers(&self) -> Option<Workers> {
        #[cfg(feature = "nats")]
        if let Some(url) = &self.nats {
            return Some(Workers::Nats(streamverse::pipeline::nats::Options::new(url)));
        }
        self.workers.map(Workers::Here)
    }
}

/// How to write the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object in a line.
    Json,
}
