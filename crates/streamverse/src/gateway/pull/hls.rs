//! HLS that others serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sv_core::{ErrorKind, Limits};
use sv_ingest::hls::{self, Get, Lane, Playlist, Step};
use ureq::ResponseExt as _;
use url::Url;

use super::Outlet;
use super::pace::Pace;
use crate::live::NAP;
use crate::{Error, Result};

/// How long a server may take: it may hold a request for three segments.
const PATIENCE: Duration = Duration::from_secs(40);
/// The longest playlist, and the longest segment or part.
const PLAYLIST: u64 = 8 << 20;
const SEGMENT: u64 = 128 << 20;
/// More bits a second than any variant has.
const BEST: u64 = u64::MAX;

pub(super) fn run(url: &Url, outlet: &Arc<Outlet>) -> Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("StreamVerse/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let (body, base) = get(&agent, url, None, PLAYLIST).map_err(|reason| failed(&reason))?;
    let text = String::from_utf8_lossy(&body);
    let lanes = match hls::parse(&text)? {
        Playlist::Media(_) => vec![base],
        Playlist::Master(master) => {
            let none =
                || Error::new(ErrorKind::Malformed, "the playlist lists nothing that could be fetched");
            let (variant, sound) = master.choose(BEST).ok_or_else(none)?;
            let uris = [Some(variant.uri.as_str()), sound.and_then(|s| s.uri.as_deref())];
            uris.into_iter().flatten().map(|uri| join(&base, uri)).collect::<Result<_>>()?
        }
    };
    let pace = Arc::new(Pace::default());
    std::thread::scope(|scope| {
        let follow = |number: u32, url: Url| {
            let (agent, pace) = (agent.clone(), Arc::clone(&pace));
            move || {
                let result = follow(&agent, url, number, &pace, outlet);
                // What isn't whole is nothing.
                outlet.cancel.cancel();
                result
            }
        };
        let threads = (0..).zip(lanes).map(|(number, url)| scope.spawn(follow(number, url)));
        let results: Vec<Result<()>> = threads
            .collect::<Vec<_>>()
            .into_iter()
            .map(|thread| {
                let panicked = |_| Err(Error::new(ErrorKind::Internal, "a thread has panicked"));
                thread.join().unwrap_or_else(panicked)
            })
            .collect();
        // The one that was called off because of another says nothing new.
        let called_off = |r: &Result<()>| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::Cancelled);
        let first = results.iter().position(|r| r.is_err() && !called_off(r));
        results.into_iter().nth(first.unwrap_or(0)).unwrap_or(Ok(()))
    })
}

fn follow(agent: &ureq::Agent, url: Url, number: u32, pace: &Pace, outlet: &Outlet) -> Result<()> {
    let mut limits = Limits::default();
    limits.packet_bytes = 16 << 20;
    let (mut lane, begun, mut base) = (Lane::new(limits), Instant::now(), url.clone());
    loop {
        if outlet.is_over() {
            return Err(crate::live::cancelled());
        }
        match lane.step(begun.elapsed()) {
            Step::Over => return give(&mut lane, number, pace, outlet),
            Step::Wait(left) => std::thread::sleep(left.min(NAP)),
            Step::Get(Get { uri, query, range }) => {
                let playlist = uri.is_empty();
                let mut target = if playlist { url.clone() } else { join(&base, &uri)? };
                if let Some(query) = query {
                    let query = target.query().map_or_else(|| query.clone(), |old| format!("{old}&{query}"));
                    target.set_query(Some(&query));
                }
                let most = if playlist { PLAYLIST } else { SEGMENT };
                match get(agent, &target, range, most) {
                    Ok((body, place)) => {
                        if playlist {
                            base = place;
                        }
                        lane.came(begun.elapsed(), &body)?;
                    }
                    Err(reason) => lane.failed(begun.elapsed(), &reason)?,
                }
                give(&mut lane, number, pace, outlet)?;
            }
        }
    }
}

/// Passes on what a lane has, each item when it is due.
fn give(lane: &mut Lane, number: u32, pace: &Pace, outlet: &Outlet) -> Result<()> {
    let hold = lane.hold_back();
    while let Some(item) = lane.item() {
        let item = Lane::of(number, item);
        let mut left = pace.wait(Instant::now(), &item, hold);
        while !left.is_zero() {
            if outlet.is_over() {
                return Err(crate::live::cancelled());
            }
            std::thread::sleep(left.min(NAP));
            left = left.saturating_sub(NAP);
        }
        outlet.give(&item)?;
    }
    Ok(())
}

/// Gets something, and says where it was in the end.
fn get(agent: &ureq::Agent, url: &Url, range: Option<hls::Range>, most: u64) -> Result<(Bytes, Url), String> {
    let mut request = agent.get(url.as_str());
    if let Some(range) = range {
        let last = range.offset.saturating_add(range.length).saturating_sub(1);
        request = request.header("range", format!("bytes={}-{last}", range.offset));
    }
    let mut answer = request.call().map_err(|error| match error {
        ureq::Error::Timeout(_) => "it took too long".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "its host isn't known".to_owned(),
        _ => "it can't be fetched".to_owned(),
    })?;
    let status = answer.status().as_u16();
    let wanted = if range.is_some() { status == 206 } else { status == 200 };
    if !wanted {
        return Err(format!("the server answered {status}"));
    }
    let place = Url::parse(&answer.get_uri().to_string()).unwrap_or_else(|_| url.clone());
    let body = answer.body_mut().with_config().limit(most).read_to_vec();
    let body = body.map_err(|_| "it broke off, or is too long".to_owned())?;
    if range.is_some_and(|range| u64::try_from(body.len()) != Ok(range.length)) {
        return Err("the server gave other bytes than were asked for".into());
    }
    Ok((body.into(), place))
}

fn join(base: &Url, uri: &str) -> Result<Url> {
    let wrong = || Error::new(ErrorKind::Malformed, "the playlist names something that is no URL of HTTP");
    let url = base.join(uri).map_err(|_| wrong())?;
    matches!(url.scheme(), "http" | "https").then_some(url).ok_or_else(wrong)
}

fn failed(reason: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the playlist can't be had: {reason}"))
}
