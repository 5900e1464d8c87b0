//! The folder of a live presentation, and the journal by which a later run goes on.
//!
//! `.journal` holds one JSON line for each thing that is stored; a line is written after the bytes that it
//! tells of have reached the disk, and before anyone is told of them. A torn last line counts as never
//! written. It is written anew, shorter, when most of it is about what the window has left.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sv_core::{Cue, ErrorKind, Object, Sink as _};
use sv_package::{Rendition, SegmentRecord};
use sv_pipeline::folder::Folder;

use super::desk::Desk;
use crate::{Error, Result};

pub(crate) const JOURNAL: &str = ".journal";

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    /// What decides the bytes, and when the presentation began, in nanoseconds since 1970.
    Live { fingerprint: String, began: u64 },
    /// The initialisation vector of a rendition.
    Iv { name: String, iv: [u8; 16] },
    /// How long the source is, in nanoseconds.
    Length { nanos: u64 },
    /// An epoch of a rendition begins.
    Track { rendition: Box<Rendition> },
    /// A segment of the newest epoch is stored.
    Segment { name: String, record: SegmentRecord },
    /// Packets and segments of a rendition that are no longer listed here.
    Gone { name: String, packets: u64 },
    /// Splice information: when on the presentation's timeline, in nanoseconds, and the section.
    Cue { at: u64, section: Vec<u8> },
    /// A segment ended at a cue that is no longer listed here, at so many nanoseconds.
    Cut { at: u64 },
    /// The source has ended.
    Ended,
}

/// What earlier runs stored of one rendition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Earlier {
    pub(crate) epochs: Vec<Rendition>,
    /// Packets of segments that are not in `epochs`.
    pub(crate) gone: u64,
    /// How many of the presentation's cues were known when its newest segment was stored: those that its segments tell of.
    pub(crate) cues: usize,
}

impl Earlier {
    /// Packets of all segments that there ever were.
    pub(crate) fn packets(&self) -> u64 {
        self.epochs.iter().map(Rendition::packets).sum::<u64>() + self.gone
    }
}

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) fingerprint: String,
    /// When the presentation began, since 1970.
    pub(crate) began: Duration,
    /// Whether the source has ended.
    pub(crate) ended: bool,
    /// How long the source is, if that is known.
    pub(super) length: Option<Duration>,
    pub(crate) earlier: BTreeMap<String, Earlier>,
    /// Splice information.
    pub(crate) cues: Vec<Cue>,
    /// Where segments ended for the sake of cues that are forgotten.
    pub(crate) cuts: Vec<Duration>,
    ivs: BTreeMap<String, [u8; 16]>,
    lines: usize,
}

impl Told {
    /// Reads a journal, and says how much of it is whole lines: nothing, if it doesn't begin as it should.
    fn read(journal: impl std::io::Read) -> Result<(Self, u64)> {
        let mut told = Self::default();
        let mut reader = BufReader::new(journal);
        let mut whole = 0;
        let mut text = Vec::new();
        loop {
            text.clear();
            reader.read_until(b'\n', &mut text)?;
            if text.last() != Some(&b'\n') {
                return Ok((told, whole));
            }
            let Ok(line) = serde_json::from_slice::<Line>(&text) else { return Ok((told, whole)) };
            match line {
                Line::Live { fingerprint, began } => {
                    told.fingerprint = fingerprint;
                    told.began = Duration::from_nanos(began);
                }
                _ if whole == 0 => return Ok((told, 0)),
                Line::Iv { name, iv } => {
                    told.ivs.insert(name, iv);
                }
                Line::Length { nanos } => told.length = Some(Duration::from_nanos(nanos)),
                Line::Track { rendition } => {
                    // One that is told again is told otherwise, or begins again because others hadn't begun it.
                    let epochs = &mut told.earlier.entry(rendition.name.clone()).or_default().epochs;
                    epochs.retain(|epoch| epoch.epoch != rendition.epoch);
                    epochs.push(*rendition);
                }
                Line::Segment { name, record } => {
                    let earlier = told.earlier.entry(name).or_default();
                    earlier.cues = told.cues.len();
                    if let Some(epoch) = earlier.epochs.last_mut() {
                        epoch.began.get_or_insert(record.start);
                        epoch.segments.push(record);
                    }
                }
                Line::Gone { name, packets } => told.earlier.entry(name).or_default().gone = packets,
                Line::Cue { at, section } => {
                    let payload = section.into();
                    let at = Duration::from_nanos(at);
                    told.cues.push(Cue { at, payload, scheme: sv_container::scte35::SCHEME.to_owned() });
                }
                Line::Cut { at } => told.cuts.push(Duration::from_nanos(at)),
                Line::Ended => told.ended = true,
            }
            whole += text.len() as u64;
            told.lines += 1;
        }
    }

    /// What the journal of a folder says, whoever is writing it.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let nothing = || format!("{} holds no live presentation", folder.display());
        let journal = File::open(folder.join(JOURNAL)).map_err(|e| Error::from(e).context(nothing()))?;
        match Self::read(journal)? {
            (_, 0) => Err(Error::new(ErrorKind::Malformed, nothing())),
            (told, _) => Ok(told),
        }
    }
}

/// A live presentation's folder.
pub(crate) struct Store {
    folder: Folder,
    path: PathBuf,
    journal: File,
    fingerprint: String,
    /// When it began, since 1970.
    pub(crate) began: Duration,
    /// Whether an earlier run began it.
    pub(crate) resumed: bool,
    /// Whether an earlier run saw the source end.
    pub(crate) ended: bool,
    /// How long the source is, if an earlier run knew.
    pub(crate) length: Option<Duration>,
    /// Splice information of earlier runs, and where segments ended for the sake of what is forgotten.
    pub(crate) cues: Vec<Cue>,
    pub(crate) cuts: Vec<Duration>,
    earlier: BTreeMap<String, Earlier>,
    ivs: BTreeMap<String, [u8; 16]>,
    lines: usize,
    /// Files that nobody names any more, and when they may go.
    leaving: VecDeque<(Instant, String)>,
}

impl Store {
    /// Opens the folder; goes on if it holds a presentation of the same `fingerprint`, and begins one at
    /// `now` if it is empty.
    pub(crate) fn open(output: &Path, fingerprint: &str, now: Duration) -> Result<Self> {
        let taken = |message: String| Error::new(ErrorKind::AlreadyExists, message);
        let journal = output.join(JOURNAL);
        let empty = fs::read_dir(output).map_or(true, |mut entries| entries.next().is_none());
        if !empty && !journal.exists() {
            let message =
                format!("{} is there already; remove it or choose another output", output.display());
            return Err(taken(message));
        }
        let folder = Folder::create(output, true)?;
        let journal =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&journal)?;
        journal
            .try_lock()
            .map_err(|_| taken(format!("another run is streaming to {} at the moment", output.display())))?;
        let (told, whole) = Told::read(&journal)?;
        let resumed = whole > 0;
        if resumed && told.fingerprint != fingerprint {
            return Err(taken(format!(
                "{} holds a live presentation of other inputs or options; remove it or choose another output",
                output.display()
            )));
        }
        let mut store = Self {
            folder,
            path: output.to_owned(),
            journal,
            fingerprint: fingerprint.to_owned(),
            began: if resumed { told.began } else { now },
            resumed,
            ended: told.ended,
            length: told.length,
            cues: told.cues,
            cuts: told.cuts,
            earlier: told.earlier,
            ivs: told.ivs,
            lines: told.lines,
            leaving: VecDeque::new(),
        };
        store.journal.set_len(whole)?;
        store.journal.seek(std::io::SeekFrom::End(0))?;
        if !resumed {
            let began = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
            store.log(&Line::Live { fingerprint: fingerprint.to_owned(), began })?;
        }
        Ok(store)
    }

    fn log(&mut self, line: &Line) -> Result<()> {
        let text = text(line)?;
        self.lines += 1;
        self.journal.write_all(&text).and_then(|()| self.journal.sync_data()).map_err(|e| {
            Error::from(e).context(format!("the journal of {} can't be written", self.path.display()))
        })
    }

    /// What earlier runs stored of a rendition.
    pub(crate) fn earlier(&self, name: &str) -> Earlier {
        self.earlier.get(name).cloned().unwrap_or_default()
    }

    /// The rendition's initialisation vector: random, and the same when the run goes on.
    pub(crate) fn iv(&mut self, name: &str) -> Result<[u8; 16]> {
        if let Some(iv) = self.ivs.get(name) {
            return Ok(*iv);
        }
        let mut iv = [0; 16];
        getrandom::fill(&mut iv)
            .map_err(|e| Error::new(ErrorKind::Unavailable, format!("no randomness is to be had: {e}")))?;
        self.ivs.insert(name.to_owned(), iv);
        self.log(&Line::Iv { name: name.to_owned(), iv })?;
        Ok(iv)
    }

    /// Notes how long the source is.
    pub(crate) fn note_length(&mut self, length: Duration) -> Result<()> {
        if self.length.is_some() {
            return Ok(());
        }
        self.length = Some(length);
        self.log(&Line::Length { nanos: u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) })
    }

    /// Stores an object.
    pub(crate) fn put(&mut self, object: Object) -> Result<()> {
        Ok(self.folder.put(object)?)
    }

    /// Notes that an epoch has begun.
    pub(crate) fn began(&mut self, rendition: &Rendition) -> Result<()> {
        let mut rendition = rendition.clone();
        rendition.segments.clear();
        self.log(&Line::Track { rendition: Box::new(rendition) })
    }

    /// Notes that a segment is stored.
    pub(crate) fn stored(&mut self, name: &str, record: SegmentRecord) -> Result<()> {
        self.log(&Line::Segment { name: name.to_owned(), record })
    }

    /// Notes splice information.
    pub(crate) fn cue(&mut self, cue: &Cue) -> Result<()> {
        self.log(&Line::Cue { at: nanos(cue.at), section: cue.payload.to_vec() })
    }

    /// Notes that the source has ended.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.ended = true;
        self.log(&Line::Ended)
    }

    /// These files have left every playlist; clients that have an old one may still ask for `grace`.
    pub(crate) fn leave(&mut self, paths: Vec<String>, grace: Duration) {
        let at = Instant::now() + grace;
        self.leaving.extend(paths.into_iter().map(|path| (at, path)));
        while self.leaving.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            let Some((_, path)) = self.leaving.pop_front() else { break };
            // What can't be removed is in nobody's way.
            let _ = fs::remove_file(self.path.join(path));
        }
    }

    /// Writes the journal anew if most of it is about what is gone.
    pub(crate) fn shorten(&mut self, desk: &Desk) -> Result<()> {
        if self.lines < 1024 + 4 * desk.segments() {
            return Ok(());
        }
        let streams = desk.listed();
        let began = u64::try_from(self.began.as_nanos()).unwrap_or(u64::MAX);
        let mut lines = vec![Line::Live { fingerprint: self.fingerprint.clone(), began }];
        lines.extend(self.ivs.iter().map(|(name, iv)| Line::Iv { name: name.clone(), iv: *iv }));
        if let Some(length) = self.length {
            lines.push(Line::Length { nanos: u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) });
        }
        let (marks, cuts) = desk.marks();
        lines.extend(cuts.into_iter().map(|at| Line::Cut { at: nanos(at) }));
        lines.extend(marks.iter().filter_map(|mark| {
            let section = mark.splice()?.section.to_vec();
            Some(Line::Cue { at: nanos(mark.at), section })
        }));
        for (epochs, packets) in &streams {
            let Some(name) = epochs.first().map(|e| e.name.clone()) else { continue };
            let listed: u64 = epochs.iter().map(Rendition::packets).sum();
            lines.push(Line::Gone { name: name.clone(), packets: packets.saturating_sub(listed) });
            for epoch in epochs {
                let mut bare = epoch.clone();
                let records = std::mem::take(&mut bare.segments);
                lines.push(Line::Track { rendition: Box::new(bare) });
                lines.extend(records.into_iter().map(|record| Line::Segment { name: name.clone(), record }));
            }
        }
        let aside = self.path.join(".journal.part");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&aside)?;
        let mut all = Vec::new();
        for line in &lines {
            all.extend(text(line)?);
        }
        file.write_all(&all)?;
        file.sync_all()?;
        // Whoever finds the new one must find it locked.
        file.try_lock()
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the journal can't be locked: {e}")))?;
        fs::rename(&aside, self.path.join(JOURNAL))?;
        File::open(&self.path)?.sync_all()?;
        self.journal = file;
        self.lines = lines.len();
        Ok(())
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

fn text(line: &Line) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the journal can't be written: {e}")))?;
    text.push(b'\n');
    Ok(text)
}
