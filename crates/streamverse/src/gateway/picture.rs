//! What a stream shows at the moment, as a JPEG: made when somebody asks, of its next key picture.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sv_core::{ErrorKind, Frame, Item, Track, TrackKind};
use sv_ingest::{Hub, Next};
use sv_transcode::{decode, filter, poster};
use tokio::sync::{Mutex as Turn, Semaphore};

use crate::title::through;
use crate::{Error, Result};

const WIDTH: u32 = 640;
/// How long a picture is new.
const FRESH: Duration = Duration::from_secs(2);
/// How long it stands in where none can be made: whoever shows it asks again and again, and a stream ends between.
const STALE: Duration = Duration::from_secs(60);
/// How long a key picture is waited for.
const PATIENCE: Duration = Duration::from_secs(12);
const NAP: Duration = Duration::from_millis(100);
/// What may wait meanwhile, in bytes.
const FEED: usize = 8 << 20;
/// Pictures that are waited for or made at once, and streams whose last one is kept.
const AT_ONCE: usize = 4;
const KEPT: usize = 256;

type Last = Arc<Turn<Option<(Instant, Bytes)>>>;

/// The last picture of each stream that somebody asked for.
#[derive(Debug)]
pub(super) struct Pictures {
    last: Mutex<BTreeMap<String, Last>>,
    room: Semaphore,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { last: Mutex::default(), room: Semaphore::new(AT_ONCE) }
    }
}

impl Pictures {
    /// What the stream shows now, or did not long ago.
    pub(super) async fn of(&self, hub: &Hub, name: &str) -> Result<Bytes> {
        let turn = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() >= KEPT && !last.contains_key(name) {
                last.clear();
            }
            Arc::clone(last.entry(name.to_owned()).or_default())
        };
        // Who comes second has what the first one waited for.
        let mut last = turn.lock().await;
        if let Some((at, picture)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(picture.clone());
        }
        match self.newest(hub, name).await {
            Ok(picture) => {
                *last = Some((Instant::now(), picture.clone()));
                Ok(picture)
            }
            Err(error) => match &*last {
                Some((at, picture)) if at.elapsed() < STALE => Ok(picture.clone()),
                _ => Err(error),
            },
        }
    }

    async fn newest(&self, hub: &Hub, name: &str) -> Result<Bytes> {
        if !hub.is_live(name) {
            return Err(Error::new(ErrorKind::NotFound, "nobody sends this stream"));
        }
        let _place = self.room.acquire().await.map_err(|_| over())?;
        let (hub, name) = (hub.clone(), name.to_owned());
        let made = tokio::task::spawn_blocking(move || make(&hub, &name)).await.map_err(|_| over())??;
        Ok(Bytes::from(made))
    }
}

fn over() -> Error {
    Error::new(ErrorKind::Closed, "the gateway has ended")
}

fn make(hub: &Hub, name: &str) -> Result<Vec<u8>> {
    let mut feed = hub.subscribe(name, FEED);
    let begun = Instant::now();
    let mut track: Option<Arc<Track>> = None;
    while begun.elapsed() < PATIENCE {
        match feed.next(NAP) {
            Next::Item(Item::Track(new)) if new.kind() == TrackKind::Video => {
                if track.as_ref().is_none_or(|track| track.id == new.id) {
                    track = Some(new);
                }
            }
            Next::Item(Item::Packet(packet)) => {
                if let Some(track) = track.as_ref().filter(|track| packet.key && track.id == packet.track) {
                    return decoded(track, Item::Packet(packet));
                }
            }
            Next::Item(_) | Next::Nothing => {}
            Next::Over => return Err(over()),
        }
    }
    Err(Error::new(ErrorKind::Timeout, "no key picture has come"))
}

fn decoded(track: &Arc<Track>, packet: Item) -> Result<Vec<u8>> {
    let mut config = filter::Video::default();
    config.bit_depth = Some(8);
    config.dynamic_range = filter::DynamicRange::Standard;
    let mut stages = [decode::open(track, &decode::Options::default())?, filter::video(track, &config)?];
    let mut items = vec![Item::Track(Arc::clone(track)), packet];
    for stage in &mut stages {
        items = through(stage, items, true)?;
    }
    let frame = items.into_iter().find_map(|item| match item {
        Item::Frame(_, Frame::Video(frame)) => Some(frame),
        _ => None,
    });
    let frame = frame.ok_or_else(|| Error::new(ErrorKind::Malformed, "the key picture can't be decoded"))?;
    Ok(poster::jpeg(&frame, WIDTH)?)
}
