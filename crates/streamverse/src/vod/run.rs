//! Wires the graph of one run: source, decoder, filters, encoders, and the end of each rendition.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sv_core::{ErrorKind, Event, Item, Timestamp, TrackId};
use sv_package::{Layout, TrickPlay};
use sv_pipeline::Cancel;
use sv_pipeline::graph::{Graph, Node};
use sv_transcode::{decode, encode, filter};

use super::decided::Decided;
use super::plan::{Picture, Plan, Sound, Video};
use super::{Decoder, Handle, LadderChoice, Levelled, Report, Request};
use super::{chunks, kept, level, publish};
use crate::chunks::Workers;
use crate::cost::Clock;
use crate::damage::Ledger;
use crate::finish::{Common, Finish, Shared, resume_point};
use crate::input::Input;
use crate::meter::Meter;
use crate::package_files::failure;
use crate::rungs::{self, Span, Wanted};
use crate::work::{self, Work};
use crate::{Error, Result};

/// Bytes that wait between two threads: some pictures of 720p, one of 4K and a little more.
const QUEUE: usize = 2 << 20;

/// Does the work of one request.
#[derive(Debug)]
pub struct Driver {
    request: Request,
    plan: Plan,
    begun: Clock,
    meter: Meter,
    cancel: Cancel,
}

/// Opens the source and decides what to make of it; nothing is written yet.
///
/// # Errors
/// When the source can't be read, nothing here can decode or encode it (the message names the
/// feature that would help), the ladder file is wrong, or the output is there already.
pub fn start(request: Request) -> Result<(Handle, Driver)> {
    Work::check(&request.output)?;
    let begun = Clock::start(&request.share);
    let plan = Plan::of(&request)?;
    let (meter, events) = Meter::new();
    let cancel = Cancel::default();
    let driver = Driver { request, plan, begun, meter, cancel: cancel.clone() };
    Ok((Handle::new(events, cancel), driver))
}

/// Removes what an unfinished run for `output` left; does nothing if there is none.
///
/// # Errors
/// What the operating system says.
pub fn discard(output: &Path) -> Result<()> {
    let partial = work::partial(output);
    if !partial.is_dir() {
        return Ok(());
    }
    Ok(std::fs::remove_dir_all(partial)?)
}

impl Driver {
    /// How long the source is, if it says.
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.plan.duration
    }

    /// The folder that will be made.
    pub(crate) fn output(&self) -> &Path {
        &self.request.output
    }

    /// The rungs that were decided on.
    pub(crate) fn ladder(&self) -> LadderChoice {
        let rungs = self.plan.video.iter().flat_map(|v| &v.rungs).map(|p| p.rung.clone()).collect();
        LadderChoice::Rungs(sv_transcode::Ladder { rungs, reasons: Vec::new() })
    }

    /// Transcodes and packages, on this thread and others that end with it.
    ///
    /// # Errors
    /// When the source breaks off, the output can't be written, or the run is cancelled. What is
    /// finished stays in `<output>.partial`: start the same request again to go on, or
    /// [`discard`] it.
    pub fn run(self) -> Result<Report> {
        let Self { request, plan, begun, meter, cancel } = self;
        let mut work = Work::journaled(&request.output, &plan.fingerprint)?;
        let resumed = work.resumed();
        if let Some(object) = plan.decided.as_ref().and_then(Decided::object) {
            work.put(object)?;
        }
        let work: Shared = Arc::new(Mutex::new(work));
        let damage = ledger(&request, &work)?;
        let names = plan.names();
        meter.begin(plan.duration);
        meter.tell(Event::Planned {
            renditions: names.clone(),
            duration_ms: plan.duration.map(|d| d.as_millis() as u64),
            reasons: plan.reasons.clone(),
        });
        if resumed > 0 {
            meter.tell(Event::Resumed { segments: resumed });
        }
        let poster = publish::poster(&plan, &work, &meter);

        let common = Common {
            segment: request.segment,
            cuts: plan.marked.cuts.clone(),
            events: None,
            layout: if request.single_file { Layout::SingleFile } else { Layout::Files },
            form: request.form,
            by_time: request.names_by_time,
            encryption: request.encryption.clone(),
            duration: plan.duration,
        };
        let levels = levels(&request, &plan, &damage, &cancel)?;
        let build = Build {
            request: &request,
            plan: &plan,
            common,
            work: &work,
            meter: &meter,
            damage: &damage,
            levels: &levels,
        };
        let far = match &request.workers {
            Some(workers) => build.in_chunks(workers, &cancel)?,
            None => build.in_one(&cancel).map(|()| Duration::ZERO)?,
        };
        let made = publish::Made { poster, resumed, begun, far, damage: damage.list(), levels };
        publish::publish(&request, &plan, work, &meter, made)
    }
}

/// How loud the sound is, where that is to be changed: read once from end to end, by itself.
fn levels(request: &Request, plan: &Plan, damage: &Ledger, cancel: &Cancel) -> Result<Vec<Levelled>> {
    let Some(target) = request.loudness.filter(|_| !plan.sounds.is_empty()) else { return Ok(Vec::new()) };
    let sounds: Vec<(&Sound, &sv_transcode::audio::Rendition)> =
        plan.sounds.iter().filter_map(|s| Some((s, s.rendition.as_ref()?))).collect();
    let tracks: Vec<TrackId> = sounds.iter().map(|(s, _)| s.track.id).collect();
    level::find(&|| source(request, plan, damage, &tracks, None), &sounds, target, cancel)
}

/// A reader of these tracks of the source.
fn source(
    request: &Request,
    plan: &Plan,
    damage: &Ledger,
    tracks: &[TrackId],
    from: Option<Timestamp>,
) -> Result<Input> {
    let mut input = plan.source.again()?;
    input.select(tracks);
    input.rebase(plan.start);
    input.forgive(damage);
    if let Some(window) = request.window {
        input.limit(window.length);
        input.seek(Duration::ZERO)?;
    }
    if let Some(from) = from.filter(|f| f.ticks() > 0) {
        input.seek(Duration::from_nanos(from.ticks().unsigned_abs()))?;
    }
    Ok(input)
}

/// Where damage of the source is collected, with what an earlier run found.
fn ledger(request: &Request, work: &Shared) -> Result<Ledger> {
    let ledger = Ledger::new(request.strict);
    for known in work.lock().unwrap_or_else(PoisonError::into_inner).damage() {
        ledger.add(known.clone())?;
    }
    // The folder is taken apart at the end, when nobody finds damage any more.
    let weak = Arc::downgrade(work);
    ledger.keep(move |damage| match weak.upgrade() {
        Some(work) => work.lock().unwrap_or_else(PoisonError::into_inner).damaged(damage),
        None => Ok(()),
    });
    Ok(ledger)
}

/// One rendition's end, and the node that feeds it.
struct Lane {
    node: Node,
    /// `None` when it has ended.
    end: Option<Finish>,
}

impl Lane {
    /// What has not ended by itself, because its source broke off.
    fn end(self) -> Result<()> {
        self.end.map_or(Ok(()), Finish::end)
    }
}

/// Gives an item to a rendition's end. A rendition is complete as soon as it is over, whatever others
/// still do.
fn feed(end: &mut Option<Finish>, item: Item) -> Result<()> {
    let over = matches!(item, Item::End(_));
    if let Some(end) = end {
        end.item(item)?;
    }
    if over { end.take().map_or(Ok(()), Finish::end) } else { Ok(()) }
}

/// A rung to make: its names as far as they are not finished, and where the first goes on.
pub(super) struct Todo<'p> {
    pub(super) one: &'p Picture,
    pub(super) main: Option<&'p String>,
    /// Each with its factor and where it goes on.
    pub(super) tricks: Vec<(u32, &'p String, Option<Timestamp>)>,
    pub(super) from: Option<Timestamp>,
}

pub(super) struct Build<'a> {
    pub(super) request: &'a Request,
    pub(super) plan: &'a Plan,
    common: Common,
    work: &'a Shared,
    pub(super) meter: &'a Meter,
    pub(super) damage: &'a Ledger,
    levels: &'a [Levelled],
}

impl<'a> Build<'a> {
    /// Pictures and sound: one graph that reads the source from end to end.
    fn in_one(&self, cancel: &Cancel) -> Result<()> {
        let mut lanes = Vec::new();
        let mut graph = Graph::<Error>::new(QUEUE, cancel).share(&self.request.share);
        self.lanes(true, &mut graph, &mut lanes)?;
        for Lane { node, end } in &mut lanes {
            graph.sink("writer", *node, None, |item| feed(end, item));
        }
        graph.run().map_err(failure)?;
        lanes.into_iter().try_for_each(Lane::end)
    }

    /// Pictures in chunks, and sound beside them in one go: an encoder of sound that begins in the
    /// middle gives other samples.
    fn in_chunks(&self, workers: &Workers, cancel: &Cancel) -> Result<Duration> {
        let todo = self.plan.video.as_ref().map(|video| self.pictures_to_make(video)).unwrap_or_default();
        let both = cancel.part();
        let mut lanes = Vec::new();
        let mut graph = Graph::<Error>::new(QUEUE, &both).share(&self.request.share);
        self.lanes(false, &mut graph, &mut lanes)?;
        for Lane { node, end } in &mut lanes {
            graph.sink("writer", *node, None, |item| feed(end, item));
        }
        let far = std::thread::scope(|scope| {
            // One that fails cancels everything that shares its `Cancel`.
            let sound = scope.spawn(|| graph.run().map_err(failure));
            let pictures =
                if todo.is_empty() { Ok(Duration::ZERO) } else { chunks::run(self, todo, workers, &both) };
            if pictures.is_err() {
                both.cancel();
            }
            let sound = sound.join().unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Internal,
                    "the thread of the sound panicked; this is a bug of ours",
                ))
            });
            match (pictures, sound) {
                // Whichever failed first cancelled the other.
                (Err(error), Err(other)) if error.kind() == ErrorKind::Cancelled => Err(other),
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                (Ok(far), Ok(())) => Ok(far),
            }
        })?;
        lanes.into_iter().try_for_each(Lane::end)?;
        chunks::clear(&self.request.output)?;
        Ok(far)
    }

    fn lanes(&self, pictures: bool, graph: &mut Graph<'_, Error>, lanes: &mut Vec<Lane>) -> Result<()> {
        let video = self.plan.video.as_ref().filter(|_| pictures);
        let pictures = video.map(|video| (video, self.pictures_to_make(video)));
        let sounds: Vec<&Sound> = self.plan.sounds.iter().filter(|s| !self.finished(&s.name)).collect();
        let sound_tracks: Vec<TrackId> = sounds.iter().map(|s| s.track.id).collect();
        let mut reader = None;
        if let Some((video, todo)) = pictures.filter(|(_, todo)| !todo.is_empty()) {
            let first = todo.iter().map(|one| one.from).min().flatten();
            let mut tracks = vec![video.track.id];
            // One reader for both keeps sound from running ahead of pictures. Where pictures go on
            // in the middle, sound is read apart, from its beginning.
            if first.is_none() {
                tracks.extend(&sound_tracks);
            }
            let node = graph.source("reader", self.source(&tracks, first)?);
            reader = first.is_none().then_some(node);
            self.video(graph, node, video, todo, lanes)?;
        }
        if sounds.is_empty() {
            return Ok(());
        }
        let reader = match reader {
            Some(reader) => reader,
            None => graph.source("sound reader", self.source(&sound_tracks, None)?),
        };
        self.sounds(graph, reader, sounds, lanes)
    }

    fn finished(&self, name: &str) -> bool {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).finished(name)
    }

    /// Where rendition `name` goes on: `None` from the beginning.
    fn resume(&self, name: &str) -> Option<Timestamp> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.earlier(name).and_then(resume_point)
    }

    fn source(&self, tracks: &[TrackId], from: Option<Timestamp>) -> Result<Input> {
        source(self.request, self.plan, self.damage, tracks, from)
    }

    /// The rungs that an earlier run has not finished.
    fn pictures_to_make(&self, video: &'a Video) -> Vec<Todo<'a>> {
        let mut todo = Vec::new();
        for one in &video.rungs {
            let tricks: Vec<_> = one
                .tricks
                .iter()
                .filter(|(_, name)| !self.finished(name))
                .map(|(nth, name)| (*nth, name, self.resume(name)))
                .collect();
            let main = (!self.finished(&one.name)).then_some(&one.name);
            let from = main.map(|n| self.resume(n)).into_iter().chain(tricks.iter().map(|t| t.2)).min();
            if let Some(from) = from {
                todo.push(Todo { one, main, tricks, from });
            }
        }
        todo
    }

    /// Decodes once and makes every rung; the key frames of some are a rendition of their own.
    fn video(
        &self,
        graph: &mut Graph<'_, Error>,
        reader: Node,
        video: &Video,
        todo: Vec<Todo<'_>>,
        lanes: &mut Vec<Lane>,
    ) -> Result<()> {
        let wanted: Vec<Wanted<'_>> = todo
            .iter()
            .map(|todo| Wanted {
                name: &todo.one.name,
                rung: &todo.one.rung,
                span: Span { from: todo.from, until: None },
                given_up: None,
            })
            .collect();
        let mut options = self.request.decoder.options(self.damage, &video.track);
        if let Some(device) = &self.plan.device {
            options.device = Some(device.clone());
            options.fallback = self.request.decoder != Decoder::Device;
        }
        let how = rungs::How {
            segment: self.request.segment,
            cuts: &self.common.cuts,
            crop: video.crop,
            decode: &options,
            encoder: self.request.encoder.as_deref(),
            device: self.plan.device.as_ref(),
        };
        let nodes = rungs::encode(graph, reader, &video.track, &wanted, &how)?;
        for (todo, encoded) in todo.iter().zip(nodes) {
            if let Some(name) = todo.main {
                lanes.push(self.lane(name, None, encoded)?);
            }
            for (nth, name, from) in &todo.tricks {
                let keys = graph.stage("key frames", encoded, None, TrickPlay::every(*nth).from(*from));
                lanes.push(self.lane(name, Some(&todo.one.name), keys)?);
            }
        }
        Ok(())
    }

    /// Sound is encoded from its beginning even when a run goes on, because an encoder that starts
    /// in the middle gives other bytes; finished segments are not stored again.
    fn sounds(
        &self,
        graph: &mut Graph<'_, Error>,
        reader: Node,
        todo: Vec<&Sound>,
        lanes: &mut Vec<Lane>,
    ) -> Result<()> {
        let mut decoders: BTreeMap<TrackId, Node> = BTreeMap::new();
        for sound in todo {
            let id = sound.track.id;
            let Some(rendition) = &sound.rendition else {
                let kept = graph.stage("kept sound", reader, Some(id), kept::Kept::new(&sound.track));
                lanes.push(self.lane(&sound.name, None, kept)?);
                continue;
            };
            let decoded = match decoders.get(&id) {
                Some(node) => *node,
                None => {
                    let mut options = decode::Options::default();
                    options.on_damage = Some(self.damage.listener(&sound.track));
                    let decoder = decode::open(&sound.track, &options)?;
                    let node = graph.stage("sound decoder", reader, Some(id), decoder);
                    decoders.insert(id, node);
                    node
                }
            };
            let level = self.levels.iter().find(|l| l.rendition == sound.name);
            let shape = match (level, self.request.loudness) {
                (Some(level), Some(target)) => level.shape(rendition, target),
                _ => rendition.filter(),
            };
            let stage = filter::audio(&sound.track, &shape)?;
            let shaped = graph.stage("sound filter", decoded, None, stage);
            let encoder = encode::audio(&rendition.encode(), id)?;
            let encoded = graph.stage(format!("encoder {}", sound.name), shaped, None, encoder);
            lanes.push(self.lane(&sound.name, None, encoded)?);
        }
        Ok(())
    }

    fn lane(&self, name: &str, trick_play_of: Option<&str>, node: Node) -> Result<Lane> {
        Ok(Lane { node, end: Some(self.finish(name, trick_play_of)?) })
    }

    /// The end of a rendition.
    pub(super) fn finish(&self, name: &str, trick_play_of: Option<&str>) -> Result<Finish> {
        let end = Finish::new(name, &self.common, trick_play_of, self.work, self.meter.clone())?;
        let data = &self.plan.captions.data;
        let mut pictures = self.plan.video.iter().flat_map(|video| &video.rungs);
        let carries = !data.is_empty() && pictures.any(|one| one.name == name && one.carries_captions());
        Ok(if carries { end.captioned(data) } else { end })
    }
}
