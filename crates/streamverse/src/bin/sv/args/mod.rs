//! The command line.

mod encode;
mod live;
mod package;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand};

pub(crate) use encode::*;
pub(crate) use live::*;
pub(crate) use package::*;
use values::duration;

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
    /// Take streams that others send (RTMP), as many as come, and present each as HLS and DASH over HTTP
    Gateway(Box<Gateway>),
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
pub(crate) struct Serve {
    /// The folder
    pub(crate) dir: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
}

#[derive(ClapArgs)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Args::command(), "sv", &mut std::io::stdout());
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 the input can't be used, \
4 the output can't be written or is taken, 5 a key is missing or wrong, 130 interrupted.";

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
