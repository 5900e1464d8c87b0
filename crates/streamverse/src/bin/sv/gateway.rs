//! `sv gateway`.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use streamverse::Error;
use streamverse::core::ErrorKind;
use streamverse::gateway::{Asking, Below, Gateway, Happening, Hook, Hooks, Settings, Terms, Upstream};
use streamverse::ingest::gateway::{
    Admission, Certificate, Grant, Keys, Open, Passphrases, SrtSettings, Tokens, WhipSettings,
};
use streamverse::ingest::push::Target;
use streamverse::ingest::record;
use streamverse::ingest::srt::Passphrase;
use streamverse::ingest::whip::Way;
use streamverse::ingest::{Failover, Hub};

use crate::live::{self, PLAYER};
use crate::{At, Failure, args, say};

const LIST: &str = include_str!("streams.html");
const SEND: &str = include_str!("send.html");

pub(crate) fn run(args: &args::Gateway) -> Result<(), Failure> {
    let streams = streams(args.stream_keys.as_deref()).map_err(Failure::at(At::Keys))?.unwrap_or_default();
    let targets = targets(&streams).map_err(Failure::at(At::Keys))?;
    let admission = admission(args, &streams).map_err(Failure::at(At::Keys))?;
    let hooks = hooks(args).map_err(Failure::at(At::Keys))?;
    let mut settings = Settings::new(admission, &args.out);
    settings.presentation = live::shaped(&args.shape)?;
    (settings.linger, settings.fill, settings.watch) = (args.linger, args.fill, !args.no_watch);
    settings.standby = args.standby;
    settings.slate.clone_from(&args.slate);
    settings.ladder = args.ladder.as_deref().map(Below::parse).transpose().map_err(Failure::at(At::Input))?;
    settings.ladders = ladders(&streams).map_err(Failure::at(At::Keys))?;
    let record = args.record.as_ref().map(|folder| {
        let mut record = record::Settings::new(folder);
        (record.part, record.keep, record.sync) = (args.record_part, args.record_keep, args.record_sync);
        record.keep_bytes = args.record_bytes.map(|gigabytes| gigabytes * 1_000_000_000);
        record
    });
    settings.record = Arc::new(move |_| record.clone());
    let mut failover = Failover::default();
    (failover.loss, failover.clear) = (args.failover_after, args.failover_back.unwrap_or(failover.clear));
    settings.ingest.hub = Hub::with_failover(failover);
    let json = args.json;
    settings.told = Arc::new(move |happening| {
        hooks.tell(happening.event(), &happening.data());
        tell(happening, json);
    });
    // One that waits for another gateway takes no address before.
    let gateway = Gateway::start(settings).map_err(Failure::at(At::Output))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::from)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(args.listen)).map_err(|e| {
        let message = format!("{} can't be listened on: {e}; choose another by --listen", args.listen);
        Failure::at(At::Output)(Error::new(ErrorKind::of_io(&e), message))
    })?;
    let at = listener.local_addr().map_err(Error::from)?;
    let rtmp = gateway.rtmp(args.rtmp).map_err(Failure::at(At::Output))?;
    if let (Some(address), Some(cert), Some(key)) = (args.rtmps, &args.cert, &args.cert_key) {
        let certificate = Certificate::open(cert, key).map_err(Error::from).map_err(Failure::at(At::Keys))?;
        gateway.rtmps(address, certificate).map_err(Failure::at(At::Output))?;
    }
    let srt = match args.srt {
        Some(address) => {
            let settings = srt(args, &streams).map_err(Failure::at(At::Keys))?;
            Some(gateway.srt(address, settings).map_err(Failure::at(At::Output))?)
        }
        None => None,
    };
    let rtsp = args.rtsp.map(|address| gateway.rtsp(address)).transpose().map_err(Failure::at(At::Output))?;
    if let (Some(address), Some(cert), Some(key)) = (args.rtsps, &args.cert, &args.cert_key) {
        let certificate = Certificate::open(cert, key).map_err(Error::from).map_err(Failure::at(At::Keys))?;
        gateway.rtsps(address, certificate).map_err(Failure::at(At::Output))?;
    }
    let media = whip(args, &gateway)?;
    for (stream, target) in targets {
        gateway.push(&stream, target)?;
    }
    for (grant, upstream) in pulls(&streams, &args.pull).map_err(Failure::at(At::Keys))? {
        gateway.pull(grant, upstream).map_err(Failure::at(At::Keys))?;
    }
    for Entry { name, udp, .. } in &streams {
        if let Some(address) = udp {
            gateway.udp_ts(name, *address).map_err(Failure::at(At::Output))?;
        }
    }
    if json {
        let (rtmp, http) = (rtmp.to_string(), at.to_string());
        let (srt, rtsp) = (srt.map(|at| at.to_string()), rtsp.map(|at| at.to_string()));
        let ready = json!({ "event": "live.ready", "rtmp": rtmp, "srt": srt, "rtsp": rtsp, "http": http, "whip": media });
        say(ready);
    } else {
        let or = srt.map(|at| format!(" or srt://{at}?streamid=KEY")).unwrap_or_default();
        say(format_args!("send to rtmp://{rtmp}/live/KEY{or}, watch at http://{at}/"));
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
fn reached(args: &args::Gateway) -> Option<SocketAddr> {
    let offers = (!args.whip.is_empty()).then_some(args.listen);
    [Some(args.rtmp), args.rtmps, args.srt, args.rtsp, args.rtsps, offers]
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

/// How those who come by SRT are treated. Errors never say a passphrase.
fn srt(args: &args::Gateway, streams: &[Entry]) -> Result<SrtSettings, Error> {
    let read = |secret: &str, whose: &str| {
        Passphrase::new(secret).map_err(|e| Error::from(e).context(format!("the passphrase of {whose}")))
    };
    let mut settings = SrtSettings::default();
    settings.connection.latency = args.srt_latency;
    let all = match &args.srt_passphrase_file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Error::from(e).context(format!("{} can't be read", path.display())))?;
            Some(read(text.trim_end_matches(['\r', '\n']), &path.display().to_string())?)
        }
        None => None,
    };
    settings.connection.passphrase = all.clone();
    let mut own = HashMap::new();
    for Entry { name, passphrase, .. } in streams {
        if let Some(secret) = passphrase {
            own.insert(name.clone(), read(secret, name)?);
        }
    }
    if !own.is_empty() {
        settings.passphrases = Some(Passphrases::new(move |stream, unlock| {
            unlock.say(own.get(stream).or(all.as_ref()).cloned());
        }));
    }
    Ok(settings)
}

pub(crate) fn cut(args: &args::Cut) -> Result<(), Failure> {
    let mut parts = Vec::new();
    for path in &args.recordings {
        if path.is_dir() {
            let all = std::fs::read_dir(path).map_err(Error::from).map_err(Failure::at(At::Input))?;
            let all = all.flatten().map(|entry| entry.path());
            parts.extend(all.filter(|path| path.extension().is_some_and(|e| e == "mp4")));
        } else {
            parts.push(path.clone());
        }
    }
    // Names of parts are times.
    parts.sort();
    let done =
        record::cut(&parts, args.from, args.to.unwrap_or(Duration::MAX), &args.out).map_err(Error::from)?;
    println!(
        "{}: {} pictures, {:.3} s from {:.3} s on, {} hidden before them",
        args.out.display(),
        done.pictures,
        done.length.as_secs_f64(),
        done.from.as_secs_f64(),
        done.hidden
    );
    Ok(())
}

fn tell(happening: &Happening, as_json: bool) {
    let (event, data) = (happening.event(), happening.data());
    if as_json {
        let mut line = json!({ "event": event });
        if let (Some(line), serde_json::Value::Object(data)) = (line.as_object_mut(), data) {
            line.extend(data);
        }
        say(line);
        return;
    }
    let more = data.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let more: Vec<String> = more.map(|(name, value)| format!("{name}={value}")).collect();
    say(format_args!("{event} {}", more.join(" ")));
}

/// Who decides who may send what.
fn admission(args: &args::Gateway, streams: &[Entry]) -> Result<Arc<dyn Admission>, Error> {
    if let Some(url) = &args.admission {
        return Ok(Arc::new(Asking::start(signed(Hook::new(url)?, args)?)?));
    }
    if let Some(path) = &args.token_key {
        let key = std::fs::read(path)
            .map_err(|e| Error::from(e).context(format!("{} can't be read", path.display())))?;
        let public = key.starts_with(b"-----BEGIN");
        let tokens = if public { Tokens::public(&key)? } else { Tokens::secret(key.trim_ascii_end())? };
        let tokens = if args.private { tokens.private() } else { tokens };
        return Ok(match &args.token_audience {
            Some(audience) => Arc::new(tokens.audience(audience)),
            None => Arc::new(tokens),
        });
    }
    if args.stream_keys.is_some() || !streams.is_empty() {
        return Ok(Arc::new(keys(streams)?));
    }
    let Some(reached) = reached(args).filter(|_| !args.open) else { return Ok(Arc::new(Open)) };
    Err(wrong(format!(
        "everybody who reaches {} could send anything: say who may by --stream-keys, --token-key or --admission, or --open if that is wanted",
        reached
    )))
}

fn hooks(args: &args::Gateway) -> Result<Hooks, Error> {
    let hooks = args.webhook.iter().map(|url| signed(Hook::new(url)?, args));
    Hooks::start(hooks.collect::<Result<_, _>>()?)
}

/// With the secret that signs what is told, if there is one.
fn signed(hook: Hook, args: &args::Gateway) -> Result<Hook, Error> {
    let secret = match (&args.webhook_secret, std::env::var("SV_WEBHOOK_SECRET")) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map_err(|e| Error::from(e).context(format!("{} can't be read", path.display())))?,
        (None, Ok(secret)) => secret,
        (None, Err(_)) => return Ok(hook),
    };
    hook.signed(secret.trim())
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
    backup: Option<String>,
    backup_sha256: Option<String>,
    #[serde(default)]
    only: Terms,
    #[serde(default)]
    push: Vec<String>,
    pull: Option<String>,
    udp: Option<SocketAddr>,
    passphrase: Option<String>,
    ladder: Option<String>,
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
    for Entry { name, key, sha256, backup, backup_sha256, only, pull, udp, .. } in streams {
        let Some(first) = hash(name, ["key", "sha256"], key.as_deref(), sha256.as_deref())? else {
            // What is fetched need not be sent by anybody.
            if pull.is_some() || udp.is_some() {
                continue;
            }
            return Err(wrong(format!("{name} needs either key or sha256, or pull or udp")));
        };
        keys = keys.grant(first, only.grant(name));
        for told in [key, backup].into_iter().flatten() {
            keys = keys.digest(told, name);
        }
        let names = ["backup", "backup_sha256"];
        if let Some(second) = hash(name, names, backup.as_deref(), backup_sha256.as_deref())? {
            if second == first {
                return Err(wrong(format!("the backup of {name} needs a key of its own")));
            }
            let mut grant = only.grant(name);
            grant.rank = 1;
            keys = keys.grant(second, grant);
        }
    }
    Ok(keys)
}

/// Where streams are fetched from.
fn pulls(streams: &[Entry], more: &[String]) -> Result<Vec<(Grant, Upstream)>, Error> {
    let mut all = Vec::new();
    for Entry { name, only, pull, .. } in streams {
        if let Some(from) = pull {
            all.push((only.grant(name), Upstream::parse(from)?));
        }
    }
    for pair in more {
        let form = || wrong("--pull is NAME=FILE or NAME=https://…".into());
        let (name, from) = pair.split_once('=').ok_or_else(form)?;
        all.push((Grant::new(name), Upstream::parse(from)?));
    }
    Ok(all)
}

/// Which streams have rungs of their own, or none.
fn ladders(streams: &[Entry]) -> Result<BTreeMap<String, Option<Below>>, Error> {
    let all = streams.iter().filter_map(|entry| Some((&entry.name, entry.ladder.as_deref()?)));
    all.map(|(name, ladder)| {
        let below = if ladder == "none" { None } else { Some(Below::parse(ladder)?) };
        Ok((name.clone(), below))
    })
    .collect()
}

/// The SHA-256 of a key that is told as itself or as that, under these names.
fn hash(
    stream: &str,
    names: [&str; 2],
    key: Option<&str>,
    sha256: Option<&str>,
) -> Result<Option<[u8; 32]>, Error> {
    match (key, sha256) {
        (Some(key), None) if key.len() >= 16 => Ok(Some(Keys::hash(key))),
        (Some(_), None) => Err(wrong(format!("the {} of {stream} has fewer than 16 letters", names[0]))),
        (None, Some(hash)) => {
            let byte = |n: usize| u8::from_str_radix(hash.get(2 * n..2 * n + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
            let hash = bytes.filter(|_| hash.len() == 64).and_then(|b| <[u8; 32]>::try_from(b).ok());
            hash.map(Some).ok_or_else(|| wrong(format!("the {} of {stream} has no 64 digits", names[1])))
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(wrong(format!("{stream} needs either {} or {}", names[0], names[1]))),
    }
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
