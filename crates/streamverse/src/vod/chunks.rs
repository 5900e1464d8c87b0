//! The pictures of a run whose chunks are encoded apart, put together as they come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sv_core::{ErrorKind, Grid, Item, Media, Source as _, Stage as _, Timestamp, Track};
use sv_package::TrickPlay;
use sv_pipeline::Cancel;
use sv_transcode::chunk;

use super::Request;
use super::plan::Plan;
use super::run::{Build, Todo};
use crate::chunks::{self, Crew, Journal, Store, Unit, Workers};
use crate::finish::Finish;
use crate::meter::Meter;
use crate::place;
use crate::{Error, Result};

/// How long encoders run before their chunk, for their rate control to settle, and behind it, for
/// their lookahead (see `docs/guides/chunks.md` for what other lengths cost and give).
const LEAD: Duration = Duration::from_millis(500);
const TAIL: Duration = Duration::from_millis(500);

/// Where chunks and their journal lie while a run lasts.
const FOLDER: &str = ".chunks";

/// The chunks of a request, all of them.
fn units(
    request: &Request,
    plan: &Plan,
    length: Duration,
    todo: &[Todo<'_>],
    remote: Option<&Remote>,
) -> Result<Vec<Unit>> {
    let Some(video) = &plan.video else { return Ok(Vec::new()) };
    let scenes = chunk::scenes(&plan.source.key_times(video.track.id, plan.start)?);
    let cuts = plan.marked.cuts.clone();
    let mut grid = Grid::new(request.segment);
    cuts.iter().for_each(|at| grid.cut(*at));
    let starts = chunk::plan(length, &grid, request.segment, request.chunk, &scenes);
    let ends = starts.iter().skip(1).map(|end| Some(*end)).chain([None]);
    let bytes = place::stat(&request.input)?.bytes;
    let source = match remote {
        Some(place) => place.source(&request.input, bytes)?,
        None if place::is_remote(&request.input) => request.input.clone(),
        None => request.input.canonicalize()?,
    };
    let rungs: Vec<_> = todo.iter().map(|todo| (todo.one.name.clone(), todo.one.rung.clone())).collect();
    let unit = |(number, (from, until)): (usize, (&Duration, Option<Duration>))| Unit {
        number: number as u32,
        source: source.clone(),
        bytes,
        track: video.track.id.0,
        start: plan.start.ticks(),
        from: *from,
        until,
        lead: LEAD,
        tail: TAIL,
        segment: request.segment,
        cuts: cuts.clone(),
        crop: video.crop,
        decoder: request.decoder,
        encoder: request.encoder.clone(),
        strict: request.strict,
        rungs: rungs.clone(),
    };
    Ok(starts.iter().zip(ends).enumerate().map(unit).collect())
}

/// Encodes what `todo` names, in chunks; tells the processor time that other processes took.
pub(super) fn run(
    build: &Build<'_>,
    todo: Vec<Todo<'_>>,
    workers: &Workers,
    cancel: &Cancel,
) -> Result<Duration> {
    let Some(length) = build.plan.duration else {
        let message = "the source doesn't say how long it is, so it can't be cut into chunks";
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    let remote = Remote::of(build.request, &build.plan.fingerprint)?;
    let mut units = units(build.request, build.plan, length, &todo, remote.as_ref())?;
    // What lies before the moment where the last run ended is in its place already.
    let from = todo.iter().map(|todo| todo.from).min().flatten().unwrap_or(Timestamp::ZERO);
    let nanos = u128::try_from(from.ticks()).unwrap_or(0);
    units.retain(|unit| unit.until.is_none_or(|until| until.as_nanos() > nanos));
    let begin = units.first().map_or(Duration::ZERO, |unit| unit.from);

    let folder = crate::work::partial(&build.request.output).join(FOLDER);
    // Workers elsewhere know no other folder that this process works in.
    let folder = std::path::absolute(&folder)?;
    let store = remote.as_ref().map_or_else(|| Ok(Store::folder(&folder)), Remote::chunks)?;
    let mut lanes = todo.iter().map(|todo| Lane::new(build, todo)).collect::<Result<Vec<_>>>()?;
    let progress = Progress::new(build.meter, begin);
    let watch = |name: &str, more: Duration| progress.more(name, more);
    let name = build.request.output.display().to_string();
    let journal = journal(build.request, &build.plan.fingerprint)?;
    let crew = Crew::new(chunks::Plan {
        name: &name,
        units: &units,
        store: &store,
        folder: &folder,
        journal: &journal,
        cancel,
        share: &build.request.share,
        watch: &watch,
        roster: &build.request.roster,
    })?;
    let mut last: Option<&Unit> = None;
    let remove = |unit: &Unit| unit.rungs.iter().try_for_each(|(name, _)| store.remove(&unit.name(name)));
    let far = crew.run(workers, |unit| {
        store.damage(&unit.damage_name())?.into_iter().try_for_each(|found| build.damage.add(found))?;
        lanes.iter_mut().try_for_each(|lane| lane.take(&store, unit))?;
        // A chunk's last segment is stored when the next chunk begins: only then is it done with.
        let unit = units.iter().find(|known| known.number == unit.number);
        std::mem::replace(&mut last, unit).map_or(Ok(()), remove)
    })?;
    drop(crew);
    #[cfg(feature = "postgres")]
    if let Journal::Database(database) = &journal {
        database.remove().map_err(chunks::unwritten)?;
    }
    if remote.is_some() {
        store.clear()?;
    }
    lanes.into_iter().try_for_each(Lane::end)?;
    Ok(far)
}

/// The journal of this very run: one that goes on finds it again.
fn journal(request: &Request, fingerprint: &str) -> Result<Journal> {
    let journal = request.journal.clone();
    #[cfg(feature = "postgres")]
    if let Journal::Database(mut database) = journal {
        let output = std::path::absolute(&request.output)?;
        database.name = format!("{}_{:016x}", database.name, hash(&(output, fingerprint)));
        return Ok(Journal::Database(database));
    }
    let _ = fingerprint;
    Ok(journal)
}

/// A place in a bucket that takes a shared folder's part.
struct Remote {
    place: String,
    /// What is this run's own.
    run: String,
}

impl Remote {
    fn of(request: &Request, fingerprint: &str) -> Result<Option<Self>> {
        let Some(place) = &request.store else { return Ok(None) };
        if !cfg!(feature = "s3") || !place.starts_with("s3://") {
            let message =
                format!("{place} is no place in a bucket: s3://BUCKET/PREFIX, with the feature `s3`");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        // A run that goes on finds what is there; another request for the same output doesn't.
        let output = std::path::absolute(&request.output)?;
        let run = format!("run-{:016x}", hash(&(output, fingerprint)));
        Ok(Some(Self { place: place.trim_end_matches('/').to_owned(), run }))
    }

    fn chunks(&self) -> Result<Store> {
        Store::at(format!("{}/{}", self.place, self.run))
    }

    /// The source, where workers find it: put there once.
    fn source(&self, input: &Path, bytes: u64) -> Result<PathBuf> {
        if place::is_remote(input) {
            return Ok(input.to_owned());
        }
        let stat = place::stat(input)?;
        let name = format!("source-{:016x}", hash(&(stat.name, stat.version, bytes)));
        #[cfg(feature = "s3")]
        {
            let bucket = crate::bucket::Bucket::open(&self.place)?;
            if bucket.size(&name)? != Some(bytes) {
                bucket.put_file(&name, &mut std::fs::File::open(input)?)?;
            }
        }
        Ok(format!("{}/{name}", self.place).into())
    }
}

fn hash(what: &impl std::hash::Hash) -> u64 {
    // The same in every process of one build, which is all that a run needs.
    let mut hasher = std::hash::DefaultHasher::new();
    what.hash(&mut hasher);
    std::hash::Hasher::finish(&hasher)
}

/// Removes what a run needed only on its way. Called when everything is in its place, also by a run
/// that found it so: the last one may have been killed just here.
pub(super) fn clear(output: &Path) -> Result<()> {
    let folder = crate::work::partial(output).join(FOLDER);
    match std::fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::from(e).context(format!("{} can't be removed", folder.display())))
        }
        _ => Ok(()),
    }
}

/// Adds up what workers have done of each rendition, wherever in it they did it.
struct Progress {
    meter: Meter,
    begin: Duration,
    done: std::sync::Mutex<std::collections::BTreeMap<String, Duration>>,
}

impl Progress {
    fn new(meter: &Meter, begin: Duration) -> Self {
        Self { meter: meter.clone(), begin, done: std::sync::Mutex::default() }
    }

    fn more(&self, name: &str, more: Duration) {
        let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sum = done.entry(name.to_owned()).or_insert(self.begin);
        *sum += more;
        let at = i64::try_from(sum.as_millis()).unwrap_or(i64::MAX);
        drop(done);
        self.meter.at(name, Timestamp::new(at));
    }
}

/// One rung's chunks on their way into the presentation.
struct Lane<'a> {
    name: &'a str,
    source: &'a Track,
    /// The configuration of the first chunk, which all must have.
    config: Option<Bytes>,
    main: Option<Finish>,
    tricks: Vec<(TrickPlay, Finish)>,
}

impl<'a> Lane<'a> {
    fn new(build: &Build<'a>, todo: &Todo<'a>) -> Result<Self> {
        let name = todo.one.name.as_str();
        let source = build.plan.video.as_ref().map(|video| &*video.track);
        let source = source.ok_or_else(|| Error::new(ErrorKind::Internal, "chunks of no pictures"))?;
        let main = todo.main.map(|main| build.finish(main, None)).transpose()?;
        let trick = |(nth, trick, from): &(u32, &String, _)| {
            Ok((TrickPlay::every(*nth).from(*from), build.finish(trick, Some(name))?))
        };
        let tricks = todo.tricks.iter().map(trick).collect::<Result<_>>()?;
        Ok(Self { name, source, config: None, main, tricks })
    }

    /// Appends a chunk.
    fn take(&mut self, store: &Store, unit: &Unit) -> Result<()> {
        let Some(mut chunk) = store.open(&unit.name(self.name))? else { return Ok(()) };
        while let Some(item) = chunk.next_item()? {
            match item {
                Item::Track(track) => self.track(&track)?,
                Item::Packet(_) => self.item(item)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn track(&mut self, track: &Track) -> Result<()> {
        match &self.config {
            Some(config) if *config != track.config => Err(Error::new(
                ErrorKind::Internal,
                format!("two chunks of {} came from encoders that are not the same", self.name),
            )),
            Some(_) => Ok(()),
            None => {
                self.config = Some(track.config.clone());
                let mut track = track.clone();
                // What an MP4 file doesn't keep, or keeps for its own chunk only.
                if let (Media::Video(video), Some(source)) = (&mut track.media, self.source.video()) {
                    video.frame_rate = source.frame_rate.or(video.frame_rate);
                }
                let source = self.source;
                track.language = source.language.clone();
                track.label = source.label.clone();
                track.default = source.default;
                track.duration = source.duration.map(|d| d.rescale(source.time_base, track.time_base));
                self.item(Item::Track(Arc::new(track)))
            }
        }
    }

    fn item(&mut self, item: Item) -> Result<()> {
        for (stage, end) in &mut self.tricks {
            stage.push(item.clone())?;
            while let Some(item) = stage.pull()? {
                end.item(item)?;
            }
        }
        self.main.as_mut().map_or(Ok(()), |main| main.item(item))
    }

    fn end(self) -> Result<()> {
        for (mut stage, mut end) in self.tricks {
            stage.finish()?;
            while let Some(item) = stage.pull()? {
                end.item(item)?;
            }
            end.end()?;
        }
        self.main.map_or(Ok(()), Finish::end)
    }
}
