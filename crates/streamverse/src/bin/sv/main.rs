//! `sv`: transcode, package, serve and inspect video from the command line.
//!
//! Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 the input can't be used; 4 the output can't
//! be written or is taken; 5 a key is missing or wrong; 130 interrupted.

mod args;
mod compare;
mod doctor;
mod estimate;
mod gateway;
mod keys;
mod ladder;
mod live;
mod origin;
mod package;
mod probe;
mod progress;
mod serve;
mod vod;
#[cfg(feature = "nats")]
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use streamverse::Error;
use streamverse::core::ErrorKind;

fn main() -> ExitCode {
    #[cfg(feature = "ffmpeg")]
    {
        streamverse::ffmpeg::quiet();
        streamverse::ffmpeg::lean();
    }
    let args = args::Args::parse();
    let level = match args.verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SV_LOG").unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let result = match args.command {
        args::Command::Probe(a) => probe::run(&a),
        args::Command::Vod(a) => vod::run(&a),
        #[cfg(feature = "nats")]
        args::Command::Worker(a) => worker::run(&a),
        args::Command::Estimate(a) => estimate::run(&a),
        args::Command::Ladder(a) => ladder::run(&a),
        args::Command::Compare(a) => compare::run(&a),
        args::Command::Package(a) => package::run(&a),
        args::Command::Live(a) => live::run(&a),
        args::Command::Gateway(a) => gateway::run(&a),
        args::Command::Harvest(a) => live::harvest(&a),
        args::Command::Cut(a) => gateway::cut(&a),
        args::Command::Serve(a) => serve::run(&a),
        args::Command::Origin(a) => origin::run(&a),
        args::Command::Doctor(a) => doctor::run(&a),
        args::Command::Completions { shell } => {
            args::completions(shell);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sv: {}", failure.error);
            ExitCode::from(failure.code())
        }
    }
}

/// Prints a line. Whoever read what is printed may be gone, which is nothing to streams that go on.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// An error and where it belongs, for the exit code.
struct Failure {
    error: Error,
    at: At,
}

/// What was being touched when it failed.
#[derive(Clone, Copy)]
enum At {
    Run,
    Input,
    Output,
    Keys,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, at: At::Run }
    }
}

impl Failure {
    fn at(at: At) -> impl Fn(Error) -> Self {
        move |error| Self { error, at }
    }

    fn code(&self) -> u8 {
        match (self.at, self.error.kind()) {
            (_, ErrorKind::Cancelled) => 130,
            (At::Keys, _) => 5,
            (At::Output, _) => 4,
            (At::Input, _)
            | (
                _,
                ErrorKind::Malformed | ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::InvalidInput,
            ) => 3,
            (_, ErrorKind::AlreadyExists | ErrorKind::Io | ErrorKind::PermissionDenied) => 4,
            _ => 1,
        }
    }
}
