//! `sv gateway`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use streamverse::Error;
use streamverse::core::ErrorKind;
use streamverse::gateway::{Gateway, Happening, Settings};
use streamverse::ingest::gateway::{Certificate, Keys, Notice, Open, WhipSettings};
use streamverse::ingest::push::{Progress, Target};
use streamverse::ingest::rtsp::Address;
use streamverse::ingest::whip::Way;

use crate::live::{self, PLAYER};
use crate::{At, Failure, args};

const LIST: &str = include_str!("streams.html");
const SEND: &str = include_str!("send.html");

pub(crate) fn run(args: &args::Gateway) -> Result<(), Failure> {
    let streams = streams(args.stream_keys.as_deref()).map_err(Failure::at(At::Keys))?;
    let keys = streams.as_deref().map(keys).transpose().map_err(Failure::at(At::Keys))?;
    let targets = targets(streams.as_deref().unwrap_or_default()).map_err(Failure::at(At::Keys))?;
    let sources = sources(streams.as_deref().unwrap_or_default()).map_err(Failure::at(At::Keys))?;
    let mut settings = match keys {
        Some(keys) => Settings::new(keys, &args.out),
        None if args.open || open_to(args).is_none() => Settings::new(Open, &args.out),
        None => {
            let message = format!(
                "everybody who reaches {} could send anything: say who may by --stream-keys FILE, or --open if that is wanted",
                open_to(args).unwrap_or(args.rtmp)
            );
            return Err(Failure::at(At::Keys)(Error::new(ErrorKind::InvalidInput, message)));
        }
    };
    settings.presentation = live::shaped(&args.shape)?;
    settings.linger = args.linger;
    let json = args.json;
    settings.told = Arc::new(move |happening| tell(happening, json));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::from)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(args.listen)).map_err(|e| {
        let message = format!("{} can't be listened on: {e}; choose another by --listen", args.listen);
        Failure::at(At::Output)(Error::new(ErrorKind::of_io(&e), message))
    })?;
    let at = listener.local_addr().map_err(Error::from)?;
    let gateway = Gateway::start(settings).map_err(Failure::at(At::Output))?;
    let rtmp = gateway.rtmp(args.rtmp).map_err(Failure::at(At::Output))?;
    if let (Some(address), Some(cert), Some(key)) = (args.rtmps, &args.cert, &args.cert_key) {
        let certificate = Certificate::open(cert, key).map_err(Error::from).map_err(Failure::at(At::Keys))?;
        gateway.rtmps(address, certificate).map_err(Failure::at(At::Output))?;
    }
    let rtsp = args.rtsp.map(|address| gateway.rtsp(address)).transpose().map_err(Failure::at(At::Output))?;
    if let (Some(address), Some(cert), Some(key)) = (args.rtsps, &args.cert, &args.cert_key) {
        let certificate = Certificate::open(cert, key).map_err(Error::from).map_err(Failure::at(At::Keys))?;
        gateway.rtsps(address, certificate).map_err(Failure::at(At::Output))?;
    }
    let media = whip(args, &gateway)?;
    for (stream, source) in sources {
        gateway.pull(&stream, source)?;
    }
    for (stream, target) in targets {
        gateway.push(&stream, target)?;
    }
    if json {
        let (rtmp, http) = (rtmp.to_string(), at.to_string());
        let rtsp = rtsp.map(|address| address.to_string());
        let ready = json!({ "event": "live.ready", "rtmp": rtmp, "rtsp": rtsp, "http": http, "whip": media });
        println!("{ready}");
    } else {
        println!("send to rtmp://{rtmp}/live/KEY, watch at http://{at}/");
    }
    let router = gateway
        .router()
        .route("/", get(|| async { Html(LIST) }))
        .route("/send", get(|| async { Html(SEND) }))
        .route("/{name}/", get(|| async { Html(PLAYER) }))
        .into_make_service_with_connect_info::<SocketAddr>();
    let server = runtime.spawn(axum::serve(listener, router).into_future());
    let _ = runtime.block_on(tokio::signal::ctrl_c());
    drop(gateway);
    server.abort();
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(())
}

/// An address at which others than this machine could send.
fn open_to(args: &args::Gateway) -> Option<SocketAddr> {
    let offers = (!args.whip.is_empty()).then_some(args.listen);
    [Some(args.rtmp), args.rtmps, args.rtsp, args.rtsps, offers]
        .into_iter()
        .flatten()
        .find(|address| !address.ip().is_loopback())
}

/// Takes WHIP, if it is asked for, and says where media come in.
fn whip(args: &args::Gateway, gateway: &Gateway) -> Result<Vec<String>, Failure> {
    let Some(udp) = args.whip.first() else { return Ok(Vec::new()) };
    let mut settings = WhipSettings::new(*udp);
    settings.tcp = args.whip.get(1).copied();
    settings.public.clone_from(&args.public_ip);
    let servers: Vec<String> =
        args.ice_server.iter().map(|url| format!("<{url}>; rel=\"ice-server\"")).collect();
    let addresses = gateway.whip(settings, &servers).map_err(Failure::at(At::Output))?;
    let way = |way| if way == Way::Udp { "udp" } else { "tcp" };
    Ok(addresses.iter().map(|address| format!("{}:{}", way(address.way), address.at)).collect())
}

fn tell(happening: &Happening, as_json: bool) {
    let (event, stream, more) = match happening {
        Happening::Ingest(Notice::Started { stream, from, protocol }) => {
            ("live.stream.started", stream.as_str(), format!("by {protocol} from {from}"))
        }
        Happening::Ingest(Notice::Track { stream, track }) => {
            ("live.stream.track", stream.as_str(), track.codec.to_string())
        }
        Happening::Ingest(Notice::Ended { stream, reason }) => {
            ("live.stream.ended", stream.as_str(), reason.clone())
        }
        Happening::Ingest(Notice::Refused { peer, reason }) => {
            ("live.refused", "", format!("{peer}: {reason}"))
        }
        Happening::Presented { stream, folder } => {
            ("live.presentation.started", stream.as_str(), folder.display().to_string())
        }
        Happening::Pushed { stream, to, progress: Progress::Sending } => {
            ("live.push.started", stream.as_str(), to.clone())
        }
        Happening::Pushed { stream, to, progress: Progress::Waiting { reason, next } } => {
            ("live.push.failed", stream.as_str(), format!("{to}: {reason}; again in {} s", next.as_secs()))
        }
        Happening::Pulled { stream, from, progress: Progress::Sending } => {
            ("live.pull.started", stream.as_str(), from.clone())
        }
        Happening::Pulled { stream, from, progress: Progress::Waiting { reason, next } } => {
            ("live.pull.failed", stream.as_str(), format!("{from}: {reason}; again in {} s", next.as_secs()))
        }
        Happening::Closed { stream, error } => {
            ("live.presentation.ended", stream.as_str(), error.clone().unwrap_or_default())
        }
        _ => return,
    };
    if as_json {
        println!("{}", json!({ "event": event, "stream": stream, "detail": more }));
    } else {
        println!("{event} {stream} {more}");
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    stream: Vec<Entry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    key: Option<String>,
    sha256: Option<String>,
    #[serde(default)]
    push: Vec<String>,
    pull: Option<String>,
}

/// What a file, or the environment, says of streams. Errors say where, and never what stands there.
fn streams(path: Option<&Path>) -> Result<Option<Vec<Entry>>, Error> {
    let text = match (path, std::env::var("SV_STREAM_KEYS")) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map_err(|e| Error::from(e).context(format!("{} can't be read", path.display())))?,
        (None, Ok(text)) => text,
        (None, Err(_)) => return Ok(None),
    };
    let file: File = toml::from_str(&text).map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        wrong(format!("the stream keys are no such file as sv gateway --help shows: see line {line}"))
    })?;
    match file.stream.iter().find(|entry| !streamverse::ingest::is_name(&entry.name)) {
        Some(Entry { name, .. }) => {
            Err(wrong(format!("{name:?} can't be a stream's name: letters, digits, - and _ can")))
        }
        None => Ok(Some(file.stream)),
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn keys(streams: &[Entry]) -> Result<Keys, Error> {
    let mut keys = Keys::new();
    for Entry { name, key, sha256, pull, .. } in streams {
        if pull.is_some() && key.is_none() && sha256.is_none() {
            continue;
        }
        keys = match (key, sha256) {
            (Some(key), None) if key.len() >= 16 => keys.key(key, name),
            (Some(_), None) => return Err(wrong(format!("the key of {name} has fewer than 16 letters"))),
            (None, Some(hash)) => {
                let byte = |n: usize| u8::from_str_radix(hash.get(2 * n..2 * n + 2)?, 16).ok();
                let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
                let hash = bytes.filter(|_| hash.len() == 64).and_then(|b| <[u8; 32]>::try_from(b).ok());
                keys.hashed(
                    hash.ok_or_else(|| wrong(format!("the sha256 of {name} has no 64 digits")))?,
                    name,
                )
            }
            _ => return Err(wrong(format!("{name} needs either key or sha256"))),
        };
    }
    Ok(keys)
}

/// Where streams are passed on to.
fn targets(streams: &[Entry]) -> Result<Vec<(String, Target)>, Error> {
    let all = streams.iter().flat_map(|entry| entry.push.iter().map(move |url| (entry, url)));
    all.map(|(Entry { name, .. }, url)| {
        let target = Target::parse(url).map_err(|e| Error::from(e).context(format!("push of {name}")))?;
        Ok((name.clone(), target))
    })
    .collect()
}

/// Where streams are fetched from.
fn sources(streams: &[Entry]) -> Result<Vec<(String, Address)>, Error> {
    let all = streams.iter().filter_map(|entry| Some((&entry.name, entry.pull.as_ref()?)));
    all.map(|(name, url)| {
        let source = Address::parse(url).map_err(|e| Error::from(e).context(format!("pull of {name}")))?;
        Ok((name.clone(), source))
    })
    .collect()
}
