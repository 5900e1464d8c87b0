//! FFmpeg as a program: its encoders without linking to it, so that its licence stays with it, or one that is
//! newer than the library.
//!
//! Raw pictures (in Matroska) and samples go in through a pipe, packets come out through another: pictures in
//! fragmented MP4, because FFmpeg can't write libaom's AV1 into a pipe as Matroska, sound in Matroska, because
//! older ones don't put Opus and FLAC into MP4. Each encoder is a process of its own, which ends with it.

mod audio;
mod child;
mod fragments;
mod matroska;
mod video;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use sv_core::Codec;

use super::options::candidates;
use super::{Backend, EncodeAudio, EncodeVideo, Picture};
use crate::{Error, encode};

/// What it is called among backends.
pub(crate) const NAME: &str = "ffmpeg-cli";
/// Names the program, where it isn't the `ffmpeg` of the search path.
const VARIABLE: &str = "STREAMVERSE_FFMPEG";

/// What a program can do.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: String,
    pub(crate) version: String,
    pub(crate) license: &'static str,
    /// Encoders by name.
    pub(crate) encoders: Vec<String>,
}

/// The option that names the program for one encoder, before the environment does.
const PROGRAM: &str = "program";

/// The program that is named by the environment, or found.
pub(crate) fn probe() -> Result<Program, String> {
    let path = std::env::var(VARIABLE).ok().filter(|p| !p.is_empty()).unwrap_or_else(|| "ffmpeg".into());
    known(&path)
}

fn known(path: &str) -> Result<Program, String> {
    // A program is asked once; another name is another program.
    static KNOWN: OnceLock<Mutex<BTreeMap<String, Result<Program, String>>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(path.to_owned()).or_insert_with(|| ask(path)).clone()
}

fn ask(path: &str) -> Result<Program, String> {
    let run = |arguments: &[&str]| {
        let output = Command::new(path).args(arguments).stdin(Stdio::null()).output();
        let output =
            output.map_err(|e| format!("{path} can't be started ({e}); {VARIABLE} names another"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("{path} doesn't answer as FFmpeg does")),
        }
    };
    let version = run(&["-hide_banner", "-version"])?;
    let first = version.lines().next().and_then(|l| l.strip_prefix("ffmpeg version "));
    let first = first.ok_or_else(|| format!("{path} is no FFmpeg"))?;
    let has = |flag: &str| version.contains(flag);
    let license = match (has("--enable-nonfree"), has("--enable-gpl"), has("--enable-version3")) {
        (true, ..) => "nonfree, not to be passed on; a program of its own",
        (_, true, true) => "GPL version 3 or later; a program of its own",
        (_, true, false) => "GPL version 2 or later; a program of its own",
        (_, _, true) => "LGPL version 3 or later; a program of its own",
        _ => "LGPL version 2.1 or later; a program of its own",
    };
    // ` V....D libx264   what it is (codec h264)`, behind a line of dashes.
    let list = run(&["-hide_banner", "-encoders"])?;
    let encoders = list.lines().skip_while(|l| !l.trim_start().starts_with("---")).skip(1);
    let encoders = encoders.filter_map(|l| l.split_whitespace().nth(1)).map(String::from).collect();
    let version = first.split_whitespace().next().unwrap_or(first).to_owned();
    Ok(Program { path: path.into(), version, license, encoders })
}

/// Whether it is this backend that was asked for, and for which of its encoders.
pub(crate) fn asked(backend: &Backend) -> Option<Option<&str>> {
    let Backend::Named(name) = backend else { return None };
    match name.strip_prefix(NAME)? {
        "" => Some(None),
        rest => rest.strip_prefix(':').map(Some),
    }
}

/// The encoders of a codec that may be tried, best first.
fn usable(program: &Program, codec: Codec, backend: &Backend) -> Result<Vec<String>, Error> {
    let named = asked(backend).flatten();
    let all = match named {
        Some(name) => vec![name],
        None => candidates(codec, &Backend::Software),
    };
    let there: Vec<String> =
        all.into_iter().filter(|name| program.encoders.iter().any(|e| e == name)).map(String::from).collect();
    if there.is_empty() {
        let hint = match named {
            Some(name) => format!("{} {} has no encoder {name}", program.path, program.version),
            None => format!("{} {} has no encoder for it", program.path, program.version),
        };
        return Err(Error::Unsupported { task: "encode", codec, hint });
    }
    Ok(there)
}

fn found(codec: Codec, options: &[(String, String)]) -> Result<Program, Error> {
    let named = options.iter().find(|(key, _)| key == PROGRAM).map(|(_, path)| path);
    named.map_or_else(probe, |path| known(path)).map_err(|hint| Error::Unsupported {
        task: "encode",
        codec,
        hint,
    })
}

/// Whether it can encode a codec.
pub(crate) fn can_encode(codec: Codec) -> bool {
    probe().is_ok_and(|program| usable(&program, codec, &Backend::Auto).is_ok())
}

pub(crate) fn video_encoder(
    config: &encode::Video,
    picture: &Picture,
) -> Result<Box<dyn EncodeVideo>, Error> {
    let program = found(config.codec, &config.options)?;
    let mut problem = None;
    for name in usable(&program, config.codec, &config.backend)? {
        match video::open(&program, &name, config, picture) {
            Ok(encoder) => return Ok(encoder),
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.unwrap_or_else(|| super::no_encoder(config.codec)))
}

pub(crate) fn audio_encoder(
    config: &encode::Audio,
    sample_rate: u32,
    channels: u16,
) -> Result<Box<dyn EncodeAudio>, Error> {
    let program = found(config.codec, &config.options)?;
    let mut problem = None;
    for name in usable(&program, config.codec, &config.backend)? {
        match audio::open(&program, &name, config, sample_rate, channels) {
            Ok(encoder) => return Ok(Box::new(encoder)),
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.unwrap_or_else(|| super::no_encoder(config.codec)))
}

/// Arguments that every run begins with.
fn quiet() -> Vec<String> {
    ["-hide_banner", "-nostats", "-loglevel", "error"].map(String::from).to_vec()
}
