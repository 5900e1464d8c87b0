//! Sets a live presentation up and runs it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sv_core::{ErrorKind, Event, Grid, Item, Source, TimeBase, Timestamp, Track, TrackId, TrackKind};
use sv_package::live::{Presentation, Settings, Stream};
use sv_package::{Form, Mark, Marks, Segmenter};
use sv_pipeline::Cancel;
use sv_pipeline::graph::{Failure, Graph};
use sv_pipeline::share::{Class, Share, Shares};

use super::Request;
use super::desk::{Desk, MANIFESTS, Origin};
use super::lane::{Lane, reached};
use super::source::{Clock, Coming, Paced, Pipe};
use super::store::Store;
use crate::finish::{Begin, check_codec, check_form};
use crate::input::{Input, Prefer};
use crate::meter::Meter;
use crate::names::Names;
use crate::package_files::failure;
use crate::vod::Handle;
use crate::{Error, Result};

/// Packets that wait between reader and writer, in bytes, for each track.
const QUEUE: usize = 2 << 20;

/// What an input gives, and the renditions that are made of it.
struct Feed {
    source: Either,
    lanes: Vec<(TrackId, Lane)>,
}

enum Either {
    Paced(Box<Paced>),
    Coming(Box<dyn Coming>),
}

impl Source for Either {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        match self {
            Self::Paced(paced) => paced.next_item(),
            Self::Coming(coming) => coming.next_item(),
        }
    }
}

/// Does the work of one request.
pub struct Driver {
    feeds: Vec<Feed>,
    origin: Origin,
    store: Arc<Mutex<Store>>,
    meter: Meter,
    cancel: Cancel,
    /// An earlier run saw the source end.
    ended: bool,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// An input whose tracks are known.
enum Opened {
    File(Box<Input>),
    Coming(Box<dyn Coming>),
}

/// Opens the inputs and the folder.
///
/// # Errors
/// When an input can't be read, has nothing to show, or the folder holds something else.
pub fn start(request: Request) -> Result<(Handle, Origin, Driver)> {
    begin(request, |from, cues, cancel| Box::new(Pipe::open(from, cues, cancel)))
}

/// As [`start`]; `come` makes the source that the input `-` stands for, whose first packets come at that moment of the
/// presentation.
pub(crate) fn begin(
    request: Request,
    mut come: impl FnMut(Duration, bool, &Cancel) -> Box<dyn Coming>,
) -> Result<(Handle, Origin, Driver)> {
    check_form(Form::Cmaf, true, true, request.encryption.as_ref())?;
    if request.encryption.as_ref().is_some_and(|e| !e.pssh_in_stream) {
        let message = "live streams have their pssh boxes inside: leave --no-pssh out";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let (meter, events) = Meter::new();
    let cancel = Cancel::default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let store = Store::open(&request.output, &fingerprint(&request), now)?;
    let (looping, length, ended) = (request.looping, store.length, store.ended);
    let clock = Clock::new(store.began);
    let (resumed, began) = (store.resumed, store.began);
    // Segments go on where cues of earlier runs have put the grid.
    let told: Vec<_> = store.cues.iter().filter_map(Mark::of).collect();
    let mut cuts = store.cuts.clone();
    cuts.extend(told.iter().map(|mark| mark.at));
    let mut grid = Grid::new(request.segment);
    cuts.iter().for_each(|at| grid.cut(*at));
    let mut splices = false;
    let store = Arc::new(Mutex::new(store));
    let locked = || store.lock().unwrap_or_else(PoisonError::into_inner);

    let mut names = Names::default();
    let (mut streams, mut packets, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for pick in &request.inputs {
        // What can't be read again goes on where the clock is.
        let from = if resumed { clock.elapsed() } else { Duration::ZERO };
        let (opened, tracks) = if pick.path.as_os_str() == "-" {
            let mut coming = come(from, request.cues, &cancel);
            let tracks = coming.tracks()?;
            (Opened::Coming(coming), tracks)
        } else {
            open(&pick.path, request.cues)?
        };
        splices |= opened.has_cues();
        let taken: Vec<Arc<Track>> = tracks
            .iter()
            .enumerate()
            .filter(|(number, track)| track.kind() != TrackKind::Text && pick.takes(*number, track))
            .map(|(_, track)| Arc::clone(track))
            .collect();
        if taken.is_empty() {
            let message = format!("{} has no such track as its descriptor asks for", pick.path.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let mut lanes = Vec::new();
        for track in &taken {
            check(track, &request)?;
            let told = pick.told(track);
            let name = names.for_track(&told);
            let earlier = locked().earlier(&name);
            let seamless = matches!(opened, Opened::File(_)) && !earlier.epochs.is_empty();
            let begin = match &request.encryption {
                Some(encryption) if track.protection.is_none() => Some(Begin {
                    encryption: encryption.clone(),
                    grid: grid.clone(),
                    iv: locked().iv(&name)?,
                    first_sample: earlier.packets(),
                }),
                _ => None,
            };
            let mut segmenter = Segmenter::new(request.segment).cuts(&cuts).clock(began);
            if let Some(part) = request.part {
                segmenter = segmenter.parts(part);
            }
            let pictures = taken.iter().any(|track| track.video().is_some());
            if request.emsg && (track.video().is_some() || !pictures) {
                // A file tells once more of what came after its newest segment; a pipe does not.
                let count = if seamless { earlier.cues } else { usize::MAX };
                let known: Marks = locked().cues.iter().take(count).filter_map(Mark::of).collect();
                segmenter = segmenter.emsg(&known);
            }
            if let Some(newest) = earlier.epochs.iter().rev().find(|e| !e.segments.is_empty()) {
                segmenter = segmenter.resume(newest);
            }
            let from = if seamless { reached(&earlier.epochs) } else { None };
            let stream = Stream::new(&name, Form::Cmaf).roles(pick.roles.iter().copied());
            streams.push(stream.resume(earlier.epochs.clone()));
            packets.push(earlier.packets());
            lanes.push((track.id, told, name, begin, segmenter, from, seamless));
        }
        parts.push((opened, lanes));
    }

    let mut settings = Settings::new(began);
    settings.segment = request.segment;
    settings.part = request.part;
    settings.window = request.window;
    settings.splices = request.cues && splices;
    settings.dash.inband = request.emsg;
    settings.interstitial.clone_from(&request.interstitial);
    settings.dash.license_url.clone_from(&request.license_url);
    settings.hls.key_url = request.encryption.as_ref().and_then(|e| e.key_url.clone());
    let handed_out = std::fs::read_to_string(request.output.join(MANIFESTS)).unwrap_or_default();
    let mut presentation = Presentation::new(settings, streams).recall(&handed_out);
    cuts.iter().for_each(|at| presentation.cut(*at));
    for mark in told {
        presentation.mark(mark, began);
    }
    let desk = Arc::new(Desk::new(presentation, packets, &request.output, clock));

    let mut feeds = Vec::new();
    let mut place = 0;
    for (opened, lanes) in parts {
        let from = lanes.iter().map(|l| l.5.unwrap_or(Timestamp::ZERO)).min().unwrap_or(Timestamp::ZERO);
        let ids: Vec<TrackId> = lanes.iter().map(|l| l.0).collect();
        let mut made = Vec::new();
        for (id, told, name, begin, segmenter, from, seamless) in lanes {
            let lane = Lane {
                name,
                place,
                told,
                begin,
                encryptor: None,
                segmenter,
                from,
                seamless,
                base: TimeBase::NANOS,
                desk: Arc::clone(&desk),
                store: Arc::clone(&store),
                meter: meter.clone(),
                keep: request.keep,
            };
            place += 1;
            made.push((id, lane));
        }
        let source = match opened {
            Opened::Coming(coming) => Either::Coming(coming),
            Opened::File(input) => {
                let from = Duration::from_nanos(from.ticks().max(0).unsigned_abs());
                let length = length.or(Some(Duration::ZERO));
                Either::Paced(Box::new(Paced::new(*input, ids, (looping, length), from, clock, &cancel)?))
            }
        };
        feeds.push(Feed { source, lanes: made });
    }
    let origin = Origin { desk };
    let driver = Driver { feeds, origin: origin.clone(), store, meter, cancel: cancel.clone(), ended };
    Ok((Handle::new(events, cancel), origin, driver))
}

impl Opened {
    /// Whether the source may tell of splices.
    fn has_cues(&self) -> bool {
        match self {
            Self::File(input) => input.has_cues(),
            Self::Coming(coming) => coming.has_cues(),
        }
    }
}

fn open(path: &std::path::Path, cues: bool) -> Result<(Opened, Vec<Arc<Track>>)> {
    let mut input = Input::open(path, Prefer::Own)?;
    if cues {
        input = input.tell_cues();
    }
    let tracks = input.tracks.clone();
    Ok((Opened::File(Box::new(input)), tracks))
}

fn check(track: &Track, request: &Request) -> Result<()> {
    if sv_codec::rfc6381::string(track).is_none() {
        let message = format!("{} is known to no player of HLS or DASH; transcode it first", track.codec);
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let encryption = request.encryption.as_ref().filter(|_| track.protection.is_none());
    check_codec(Form::Cmaf, encryption, track.codec)?;
    encryption.map(|e| e.keys.of(track)).transpose()?;
    Ok(())
}

/// Whatever makes other bytes makes another presentation.
fn fingerprint(request: &Request) -> String {
    let inputs: Vec<String> = request.inputs.iter().map(|pick| format!("{pick:?}")).collect();
    let scheme = request.encryption.as_ref().map(|e| (e.scheme.as_str(), e.clear_lead, e.crypto_period));
    let mut all = format!(
        "{};{:?};{:?};{};{scheme:?}",
        inputs.join(";"),
        request.segment,
        request.part,
        request.looping
    );
    // Nothing is said where all is as it always was, so that presentations of before go on.
    if request.emsg || !request.cues {
        all += &format!(";{};{}", request.emsg, request.cues);
    }
    all
}

impl Driver {
    /// Streams until the sources end or the run is cancelled; then the presentation is a recording of what
    /// its window holds.
    ///
    /// # Errors
    /// When a source breaks off or the folder can't be written: everything that was told stays, and the same
    /// request goes on with it.
    pub fn run(self) -> Result<()> {
        let Self { feeds, origin, store, meter, cancel, ended } = self;
        if ended {
            // Nothing is left to come.
            for place in 0..feeds.iter().map(|f| f.lanes.len()).sum() {
                origin.desk.end(place)?;
            }
            return Ok(());
        }
        let order = feeds.iter().flat_map(|f| f.lanes.iter().map(|(_, lane)| lane.name.clone())).collect();
        meter.begin(None);
        meter.tell(Event::Planned { renditions: order, duration_ms: None, reasons: Vec::new() });

        let lanes: Vec<Vec<(TrackId, Mutex<Lane>)>>;
        let sources: Vec<Either>;
        (sources, lanes) = feeds
            .into_iter()
            .map(|feed| {
                let lanes = feed.lanes.into_iter().map(|(id, lane)| (id, Mutex::new(lane))).collect();
                (feed.source, lanes)
            })
            .unzip();
        let locked = |lane: &Mutex<Lane>, work: &dyn Fn(&mut Lane) -> Result<()>| {
            work(&mut lane.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let share = Share::new(&Shares::default(), Class::Live);
        let mut graph = Graph::<Error>::new(QUEUE, &cancel).share(&share);
        for (source, lanes) in sources.into_iter().zip(&lanes) {
            let source = Noting { source, store: &store };
            let node = graph.source("reader", source);
            for (id, lane) in lanes {
                graph.sink("writer", node, Some(*id), move |item: Item| {
                    lane.lock().unwrap_or_else(PoisonError::into_inner).item(item)
                });
            }
        }
        let result = graph.run();
        // Whoever stops a stream wants what there is of it.
        let stopped = match result {
            Ok(()) | Err(Failure::Cancelled) => Ok(()),
            Err(Failure::Node { error, .. }) if error.kind() == ErrorKind::Cancelled => Ok(()),
            Err(other) => Err(failure(other)),
        };
        stopped?;
        for (_, lane) in lanes.iter().flatten() {
            locked(lane, &Lane::end)?;
        }
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut manifests = Vec::new();
        for object in origin.desk.objects()? {
            if matches!(object.path.as_str(), "master.m3u8" | "manifest.mpd") {
                manifests.push(object.path.clone());
            }
            store.put(object)?;
        }
        store.end()?;
        meter.tell(Event::Finished { manifests, elapsed_ms: meter.elapsed().as_millis() as u64 });
        Ok(())
    }
}

/// Notes in the journal how long a file is that is shown again and again.
struct Noting<'a> {
    source: Either,
    store: &'a Mutex<Store>,
}

impl Source for Noting<'_> {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        let length = |source: &Either| match source {
            Either::Paced(paced) => paced.length(),
            Either::Coming(_) => None,
        };
        let before = length(&self.source);
        let item = self.source.next_item()?;
        if let (None, Some(length)) = (before, length(&self.source)) {
            self.store.lock().unwrap_or_else(PoisonError::into_inner).note_length(length)?;
        }
        Ok(item)
    }
}
