//! What goes on while somebody asks: live presentations, and the origin.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::package::pssh;
use super::values::{duration, latency, long, long_duration, moment, part};
use super::{Boxes, Captions, Protect, SchemeName, TextAs, Ways};

/// What a live presentation is like.
#[derive(ClapArgs)]
pub(crate) struct Shape {
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
    /// Keep segments that viewers can't go back to any more: `sv harvest` makes recordings of them
    #[arg(long)]
    pub(crate) keep: bool,
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
    /// Captions that pictures carry (CEA-608): only said to be there, or made into text too
    #[arg(long, value_enum, default_value = "keep")]
    pub(crate) captions: Captions,
    /// Which captions become text, with their languages, such as CC1=en,CC3=es; those that a file begins with, and CC1 of
    /// standard input, if left out
    #[arg(long, value_delimiter = ',', value_name = "CHANNEL[=LANGUAGE]")]
    pub(crate) channels: Vec<streamverse::live::Channel>,
    /// How text is stored: segments are for HLS, and mp4 is for DASH and HLS; both, each for its own, if left out
    #[arg(long, value_enum)]
    pub(crate) text: Option<TextAs>,
    /// Fast motion in DASH: pictures of every so many key frames, several with commas between
    #[arg(long, value_delimiter = ',', value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) trick_play: Vec<u32>,
    #[command(flatten)]
    pub(crate) ways: Ways,
    #[command(flatten)]
    pub(crate) protect: Protect,
    /// Where players get a ClearKey licence; written into the DASH manifest
    #[arg(long)]
    pub(crate) license_url: Option<String>,
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
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Begin files anew when they end
    #[arg(long = "loop")]
    pub(crate) looping: bool,
    /// Go on serving when the stream has ended
    #[arg(long)]
    pub(crate) serve: bool,
    /// Print events as JSON lines on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
#[command(after_help = GATEWAY)]
pub(crate) struct Gateway {
    /// The folder of presentations: below it one for each stream, and there one for each time
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Where to take RTMP
    #[arg(long, default_value = "127.0.0.1:1935")]
    pub(crate) rtmp: SocketAddr,
    /// Where to take RTMPS
    #[arg(long, requires = "cert", requires = "cert_key")]
    pub(crate) rtmps: Option<SocketAddr>,
    /// The certificate for RTMPS and RTSPS with those that vouch for it, in PEM; it is read again when it is renewed
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) cert_key: Option<PathBuf>,
    /// Where to take SRT
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) srt: Option<SocketAddr>,
    /// How long what comes by SRT is held back, so that what is lost can come again
    #[arg(long, default_value = "120ms", value_parser = latency, requires = "srt")]
    pub(crate) srt_latency: Duration,
    /// A file with the passphrase that everybody needs who comes by SRT; a stream's own stands in the key file
    #[arg(long, value_name = "FILE", requires = "srt")]
    pub(crate) srt_passphrase_file: Option<PathBuf>,
    /// Where to take what others record by RTSP
    #[arg(long)]
    pub(crate) rtsp: Option<SocketAddr>,
    /// Where to take RTSP inside of TLS
    #[arg(long, requires = "cert", requires = "cert_key")]
    pub(crate) rtsps: Option<SocketAddr>,
    /// Where to take media by WebRTC, whose senders post to http://LISTEN/whip/NAME: a port of UDP, and one of TCP behind a comma
    #[arg(long, value_name = "UDP[,TCP]", value_delimiter = ',')]
    pub(crate) whip: Vec<SocketAddr>,
    /// An address by which senders by WebRTC reach this machine, if it has another itself; may be said several times
    #[arg(long, value_name = "ADDRESS", requires = "whip")]
    pub(crate) public_ip: Vec<IpAddr>,
    /// A server that tells senders by WebRTC how they look from outside, such as stun:stun.example.net
    #[arg(long, value_name = "URL", requires = "whip")]
    pub(crate) ice_server: Vec<String>,
    /// Where to serve what is presented
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// Who may send what: a key file, as below; or set SV_STREAM_KEYS
    #[arg(long, value_name = "FILE")]
    pub(crate) stream_keys: Option<PathBuf>,
    /// Let everybody send under any name, also where --rtmp or --srt is no address of this machine alone
    #[arg(long, conflicts_with_all = ["stream_keys", "admission", "token_key"])]
    pub(crate) open: bool,
    /// Ask a URL who may send what: it is told by a POST, and answers 200 with {"stream": NAME}, or no
    #[arg(long, value_name = "URL", conflicts_with_all = ["stream_keys", "token_key"], hide_env_values = true, env = "SV_ADMISSION")]
    pub(crate) admission: Option<String>,
    /// Let in who has a JSON Web Token: the public key of who signs them, in PEM, or a secret of 32 bytes or more
    #[arg(long, value_name = "FILE", conflicts_with = "stream_keys")]
    pub(crate) token_key: Option<PathBuf>,
    /// Tokens must be made for this audience
    #[arg(long, value_name = "NAME", requires = "token_key")]
    pub(crate) token_audience: Option<String>,
    /// Who plays by RTMP needs a token too
    #[arg(long, requires = "token_key")]
    pub(crate) private: bool,
    /// Fetch a stream that nobody sends: from a playlist of HLS, or from a file again and again; may be given several times
    #[arg(long, value_name = "NAME=URL or NAME=FILE")]
    pub(crate) pull: Vec<String>,
    /// Tell a URL what happens, by POSTs as Standard Webhooks have them; may be given several times
    #[arg(long, value_name = "URL", hide_env_values = true, env = "SV_WEBHOOK", value_delimiter = ' ')]
    pub(crate) webhook: Vec<String>,
    /// The secret that signs what URLs are told; or set SV_WEBHOOK_SECRET
    #[arg(long, value_name = "FILE")]
    pub(crate) webhook_secret: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// How long a stream that nobody sends is waited for, such as 60s or 10m
    #[arg(long, default_value = "60s", value_parser = long)]
    pub(crate) linger: Duration,
    /// For how long of that to show the last key picture and silence, so that nobody who watches waits, such as 5s; left out, 5 s
    /// where a sender is gone without a word
    #[arg(long, value_parser = moment)]
    pub(crate) fill: Option<Duration>,
    /// A film to show as long as a stream is waited for: coded as the stream is, and as large
    #[arg(long, value_name = "FILE")]
    pub(crate) slate: Option<PathBuf>,
    /// Make rungs below each stream, live: auto by what it is, fixed, or a TOML file as for `sv vod`. Needs a machine that can
    /// encode them
    #[arg(long, value_name = "auto, fixed or FILE", num_args = 0..=1, default_missing_value = "auto")]
    pub(crate) ladder: Option<String>,
    /// Record each stream as it comes, in a folder of its name below this one
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// How long a part of a recording is, such as 10m or 1h
    #[arg(long, default_value = "1h", value_parser = long, requires = "record")]
    pub(crate) record_part: Duration,
    /// Remove parts that ended longer ago, such as 168h
    #[arg(long, value_parser = long, requires = "record")]
    pub(crate) record_keep: Option<Duration>,
    /// Remove a stream's oldest parts where all have more than so many gigabytes
    #[arg(long, value_name = "GB", requires = "record")]
    pub(crate) record_bytes: Option<u64>,
    /// Wait until each second is on the disk: it survives the end of the machine then
    #[arg(long, requires = "record")]
    pub(crate) record_sync: bool,
    /// Wait until no other gateway has the folder --out, then go on with its presentations
    #[arg(long)]
    pub(crate) standby: bool,
    /// Don't decode key pictures and sound to know of what is black, frozen or silent
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// Nothing may come from a stream's sender for that long until its backup is taken, such as 100ms
    #[arg(long, default_value = "150ms", value_parser = duration)]
    pub(crate) failover_after: Duration,
    /// How long the sender must have been well until it is taken again, such as 10s; 5s if left out
    #[arg(long, value_parser = duration)]
    pub(crate) failover_back: Option<Duration>,
    /// Print what happens as JSON lines on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

const GATEWAY: &str = "\
Send to rtmp://HOST/live/KEY, play from rtmp://HOST/live/NAME, watch at http://HOST:8090/NAME/.
By SRT: send to srt://HOST:PORT?streamid=KEY, play from srt://HOST:PORT?streamid=read:NAME.
With --rtsp, record to rtsp://HOST/live/KEY, or to rtsp://ANYBODY:KEY@HOST/live/NAME.
With --whip, send to http://HOST:8090/whip/NAME with the key as a bearer token, or from a browser's camera at http://HOST:8090/send.

A key file is TOML, with a table for each stream:
  [[stream]]
  name = \"studio\"
  key = \"at least 16 letters that nobody guesses\"   # or its SHA-256 in hexadecimal:
  # sha256 = \"…\"
  # only = { codecs = [\"h264\", \"aac\"], bitrate = 6000000, until = \"2026-12-01T20:00:00Z\", hours = [\"mon-fri 08:00-18:30\"] }
  # backup = \"another key, for a second sender\"         # takes over when the first fails; or backup_sha256
  # push = [\"rtmp://elsewhere/app/their-key\", \"srt://elsewhere:9000?streamid=their-key\"]   # pass it on whenever it is sent
  # pull = \"https://elsewhere/live.m3u8\"                         # fetch it while nobody sends it, in place of a key; or srt://HOST:PORT?streamid=…, rtsp://user:password@camera/stream
  # udp = \"239.1.1.1:5000\"                                    # take it from datagrams there, in place of a key
  # ladder = \"auto\"                                           # rungs below it, whatever --ladder says; or \"none\"
  # passphrase = \"what both sides of SRT know\"               # in place of that of --srt-passphrase-file";

#[derive(ClapArgs)]
pub(crate) struct Cut {
    /// Parts of a recording, or folders with all parts of one
    #[arg(required = true, value_name = "RECORDING")]
    pub(crate) recordings: Vec<PathBuf>,
    /// The file to make
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Where it begins behind the first picture, such as 90s or 83.24s: the picture there is the first
    #[arg(long, default_value = "0s", value_parser = moment)]
    pub(crate) from: Duration,
    /// Where it ends; the end of what there is if left out
    #[arg(long, value_parser = moment)]
    pub(crate) to: Option<Duration>,
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
    /// Leave the segments before this clear, such as 8s
    #[arg(long, value_parser = long_duration)]
    pub(crate) clear_lead: Option<Duration>,
    /// Change the key after each such time, such as 10s
    #[arg(long, value_parser = long_duration)]
    pub(crate) crypto_period: Option<Duration>,
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
