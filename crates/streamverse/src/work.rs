//! The folder in which a presentation grows, and the journal that lets a killed run go on.
//!
//! `<output>.partial/.journal` holds one JSON line for each thing that is finished: first what was
//! asked for, then tracks, segments and whole renditions. A line is written only after the bytes it
//! tells of have reached the disk, so whatever the journal says is there; a torn last line is what
//! a crash leaves, and counts as never written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sv_core::{ErrorKind, Object, Sink as _};
use sv_package::{Rendition, SegmentRecord};
use sv_pipeline::folder::Folder;

use crate::damage::Damage;
use crate::{Error, Result};

const JOURNAL: &str = ".journal";

/// The ladder that a run has found, beside the journal.
pub(crate) const LADDER: &str = ".ladder.json";

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    /// What decides the bytes of the result. Runs with equal requests may go on for each other.
    Request { fingerprint: String, ivs: BTreeMap<String, [u8; 16]> },
    /// A rendition begins.
    Track { rendition: Box<Rendition> },
    /// A segment is stored.
    Segment { name: String, record: SegmentRecord },
    /// A rendition is complete.
    Done { rendition: Box<Rendition> },
    /// Something of the source is damaged. A later line about the same place says more.
    Damage { damage: Damage },
}

/// A presentation that grows.
pub(crate) struct Work {
    folder: Folder,
    output: PathBuf,
    journal: Option<File>,
    /// What an earlier run and this one have finished.
    renditions: BTreeMap<String, Rendition>,
    done: BTreeMap<String, Rendition>,
    ivs: BTreeMap<String, [u8; 16]>,
    fingerprint: String,
    resumed: u64,
    damage: Vec<Damage>,
}

/// Where the work for `output` is done.
pub(crate) fn partial(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    output.with_file_name(name)
}

impl Work {
    /// Refuses an output that is there already.
    pub(crate) fn check(output: &Path) -> Result<()> {
        if output.exists() {
            let message =
                format!("{} is there already; remove it or choose another output", output.display());
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        Ok(())
    }

    /// A folder without a journal: for work that is quicker done again than recorded.
    pub(crate) fn plain(output: &Path) -> Result<Self> {
        Self::check(output)?;
        let partial = partial(output);
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        Ok(Self {
            folder: Folder::create(partial, false)?,
            output: output.to_owned(),
            journal: None,
            renditions: BTreeMap::new(),
            done: BTreeMap::new(),
            ivs: BTreeMap::new(),
            fingerprint: String::new(),
            resumed: 0,
            damage: Vec::new(),
        })
    }

    /// A folder with a journal: goes on if an earlier run with the same fingerprint left one, and
    /// begins anew otherwise.
    pub(crate) fn journaled(output: &Path, fingerprint: &str) -> Result<Self> {
        Self::check(output)?;
        let folder = Folder::create(partial(output), true)?;
        let path = folder.path().join(JOURNAL);
        let mut journal =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        journal.try_lock().map_err(|_| {
            let message = format!("another run is working on {} at the moment", output.display());
            Error::new(ErrorKind::AlreadyExists, message)
        })?;
        let mut work = Self {
            folder,
            output: output.to_owned(),
            journal: None,
            renditions: BTreeMap::new(),
            done: BTreeMap::new(),
            ivs: BTreeMap::new(),
            fingerprint: fingerprint.to_owned(),
            resumed: 0,
            damage: Vec::new(),
        };
        let whole = work.replay(&journal, fingerprint)?;
        if whole == 0 {
            work.clear()?;
        }
        journal.set_len(whole)?;
        journal.seek(std::io::SeekFrom::End(0))?;
        work.journal = Some(journal);
        if whole == 0 {
            work.log(&Line::Request { fingerprint: fingerprint.to_owned(), ivs: BTreeMap::new() })?;
        }
        work.resumed =
            work.renditions.values().chain(work.done.values()).map(|r| r.segments.len() as u64).sum();
        Ok(work)
    }

    /// Reads the journal; bytes of it that hold whole lines, or 0 if it is about something else.
    fn replay(&mut self, journal: &File, fingerprint: &str) -> Result<u64> {
        let mut reader = BufReader::new(journal);
        let mut whole = 0;
        let mut text = Vec::new();
        loop {
            text.clear();
            reader.read_until(b'\n', &mut text)?;
            if text.last() != Some(&b'\n') {
                return Ok(whole);
            }
            let Ok(line) = serde_json::from_slice::<Line>(&text) else { return Ok(whole) };
            match line {
                Line::Request { fingerprint: theirs, ivs } => {
                    if theirs != fingerprint {
                        return Ok(0);
                    }
                    self.ivs.extend(ivs);
                }
                _ if whole == 0 => return Ok(0),
                Line::Track { rendition } => {
                    self.renditions.insert(rendition.name.clone(), *rendition);
                }
                Line::Segment { name, record } => {
                    if let Some(rendition) = self.renditions.get_mut(&name) {
                        rendition.segments.push(record);
                    }
                }
                Line::Damage { damage } => self.damage.push(damage),
                Line::Done { rendition } => {
                    self.renditions.remove(&rendition.name);
                    self.done.insert(rendition.name.clone(), *rendition);
                }
            }
            whole += text.len() as u64;
        }
    }

    /// Removes what a run with another request left.
    fn clear(&mut self) -> Result<()> {
        self.renditions.clear();
        self.done.clear();
        self.ivs.clear();
        self.damage.clear();
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            if entry.file_name() == JOURNAL {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn log(&mut self, line: &Line) -> Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let mut text = serde_json::to_vec(line)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the journal can't be written: {e}")))?;
        text.push(b'\n');
        journal.write_all(&text).and_then(|()| journal.sync_data()).map_err(|e| {
            Error::from(e).context(format!("the journal of {} can't be written", self.output.display()))
        })
    }

    /// Segments that an earlier run had finished.
    pub(crate) fn resumed(&self) -> u64 {
        self.resumed
    }

    /// What an earlier run finished of a rendition.
    pub(crate) fn earlier(&self, name: &str) -> Option<&Rendition> {
        self.renditions.get(name)
    }

    /// A rendition that an earlier run completed.
    pub(crate) fn finished(&self, name: &str) -> bool {
        self.done.contains_key(name)
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
        let fingerprint = self.fingerprint.clone();
        self.log(&Line::Request { fingerprint, ivs: BTreeMap::from([(name.to_owned(), iv)]) })?;
        Ok(iv)
    }

    /// Stores an object.
    pub(crate) fn put(&mut self, object: Object) -> Result<()> {
        Ok(self.folder.put(object)?)
    }

    /// What an earlier run found damaged.
    pub(crate) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Notes damage of the source.
    pub(crate) fn damaged(&mut self, damage: &Damage) -> Result<()> {
        self.log(&Line::Damage { damage: damage.clone() })
    }

    /// Notes that a rendition has begun.
    pub(crate) fn began(&mut self, rendition: &Rendition) -> Result<()> {
        if self.renditions.contains_key(&rendition.name) {
            return Ok(());
        }
        self.renditions.insert(rendition.name.clone(), rendition.clone());
        self.log(&Line::Track { rendition: Box::new(rendition.clone()) })
    }

    /// Notes that a segment is stored.
    pub(crate) fn stored(&mut self, name: &str, record: SegmentRecord) -> Result<()> {
        if self.journal.is_none() {
            return Ok(());
        }
        self.log(&Line::Segment { name: name.to_owned(), record })
    }

    /// Notes that a rendition is complete.
    pub(crate) fn complete(&mut self, rendition: Rendition) -> Result<()> {
        self.log(&Line::Done { rendition: Box::new(rendition.clone()) })?;
        self.renditions.remove(&rendition.name);
        self.done.insert(rendition.name.clone(), rendition);
        Ok(())
    }

    /// The complete renditions, in the order of `names`.
    pub(crate) fn take(&self, names: &[String]) -> Vec<Rendition> {
        names.iter().filter_map(|name| self.done.get(name).cloned()).collect()
    }

    /// Gives the folder its final name. The journal goes last, so a crash before the renaming finds
    /// everything and renames again.
    pub(crate) fn publish(mut self) -> Result<()> {
        self.folder.sync()?;
        let ladder = self.folder.path().join(LADDER);
        if ladder.exists() {
            fs::remove_file(ladder)?;
        }
        let journal = self.folder.path().join(JOURNAL);
        if self.journal.take().is_some() {
            fs::remove_file(journal)?;
        }
        Ok(self.folder.rename(&self.output)?)
    }
}
