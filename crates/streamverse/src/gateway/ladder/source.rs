//! A source that has rungs besides what comes of it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sv_core::{ErrorKind, Item, Packet, Source, TimeBase, Track, TrackId, TrackKind};
use sv_pipeline::Cancel;
use sv_transcode::{Ladder, Rung};

use super::crew::{Crew, Made, Member};
use super::measure::Measure;
use super::{Below, Standing};
use crate::gateway::Happening;
use crate::gateway::source::Fed;
use crate::live::{Coming, cancelled};
use crate::names::Names;
use crate::{Error, Result};

/// What was decided, in the presentation's folder, for a gateway that goes on with it.
const DECIDED: &str = ".ladder";
/// Numbers of rungs' tracks begin here: no source has so many.
const FIRST_ID: u32 = 0x7000_0000;
/// What is looked at until the source is known waits so long at most, and so much of it.
const PATIENCE: Duration = Duration::from_secs(4);
const MOST_HELD: usize = 4096;
/// Packets of rungs that are at hand at most.
const MOST_MADE: usize = 512;
/// How long it may take until a rung has its first picture.
const BEGINS: Duration = Duration::from_secs(5);
/// Packets that wait longer to be decoded are late, and it is looked so often whether that gets better.
const LATE: Duration = Duration::from_secs(4);
const ROUND: Duration = Duration::from_secs(2);

type Tell = Box<dyn Fn(Happening) + Send>;

/// What comes of a source, and the rungs below it.
pub(in crate::gateway) struct Laddered {
    fed: Fed,
    stream: String,
    below: Below,
    folder: PathBuf,
    resumed: bool,
    standing: Arc<Standing>,
    tell: Tell,
    cancel: Cancel,
    /// The track that the rungs are made of.
    pictures: Option<TrackId>,
    members: Vec<Member>,
    crew: Option<Crew>,
    /// What came while it was found out what the source is. The crew has it already.
    held: VecDeque<Item>,
    /// What the crew has made, and ends of what is given up.
    made: VecDeque<Item>,
    /// Since when the crew is late, and what it had to do next then.
    late: Option<(Instant, i64)>,
    base: TimeBase,
}

impl Laddered {
    /// A stream that goes on in a folder has the rungs that it had there.
    pub(in crate::gateway) fn new(
        fed: Fed,
        (stream, below, folder): (&str, Below, &Path),
        resumed: bool,
        standing: Arc<Standing>,
        tell: impl Fn(Happening) + Send + 'static,
        cancel: &Cancel,
    ) -> Self {
        Self {
            fed,
            stream: stream.to_owned(),
            below,
            folder: folder.to_owned(),
            resumed,
            standing,
            tell: Box::new(tell),
            cancel: cancel.clone(),
            pictures: None,
            members: Vec::new(),
            crew: None,
            held: VecDeque::new(),
            made: VecDeque::new(),
            late: None,
            base: TimeBase::NANOS,
        }
    }

    /// The rungs of an earlier run, or those that suit what comes.
    fn decide(&mut self, track: &Arc<Track>) -> Result<Ladder> {
        let decided = self.folder.join(DECIDED);
        if self.resumed {
            // One that had none has none.
            let text = std::fs::read_to_string(decided).unwrap_or_default();
            return Ok(toml::from_str(&text).unwrap_or_default());
        }
        let mut measure = Measure::new(Arc::clone(track));
        let begun = Instant::now();
        while !measure.is_enough() && begun.elapsed() < PATIENCE && self.held.len() < MOST_HELD {
            if let Some(item) = self.fed.soon()? {
                measure.see(&item);
                self.held.push_back(item);
            } else if self.fed.is_over() {
                break;
            }
        }
        let ladder = match measure.facts() {
            Ok(Some(facts)) => self.below.of(&facts.info, facts.bitrate),
            Ok(None) => {
                Ladder { reasons: vec!["too little came to know what it is".into()], ..Ladder::default() }
            }
            Err(error) => {
                Ladder { reasons: vec![format!("it can't be decoded: {error}")], ..Ladder::default() }
            }
        };
        self.keep(&ladder)?;
        Ok(ladder)
    }

    /// Writes down which rungs there are.
    fn keep(&self, ladder: &Ladder) -> Result<()> {
        let text = toml::to_string(ladder).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let aside = self.folder.join(".ladder.part");
        std::fs::write(&aside, text)?;
        Ok(std::fs::rename(aside, self.folder.join(DECIDED))?)
    }

    /// Shows the crew what comes.
    fn show(&mut self, item: &Item) {
        let Some(crew) = &self.crew else { return };
        if item.track() != self.pictures || self.pictures.is_none() {
            return;
        }
        if let Item::Track(track) = item {
            self.base = track.time_base;
        }
        crew.mailbox.put(item.clone());
        let (behind, lost) = crew.mailbox.behind();
        self.standing.note(behind, lost);
        if behind < LATE {
            self.late = None;
            return;
        }
        let nanos = |p: Packet| p.pts.rescale(self.base, TimeBase::NANOS).ticks();
        let front = crew.mailbox.front().map_or(0, nanos);
        let (since, was) = *self.late.get_or_insert((Instant::now(), front));
        let passed = since.elapsed();
        if passed < ROUND {
            return;
        }
        self.late = Some((Instant::now(), front));
        // Who is late but faster than what comes, as behind a burst, gets there.
        let done = Duration::from_nanos(u64::try_from(front.saturating_sub(was)).unwrap_or(0));
        if done < passed.mul_f64(1.1) {
            let largest =
                self.members.iter().filter(|m| m.is_wanted()).max_by_key(|m| area(&m.rung)).cloned();
            if let Some(member) = largest {
                let reason = format!(
                    "the machine can't keep up: pictures wait {:.1} s to be encoded; choose fewer or smaller rungs, or less effort",
                    behind.as_secs_f64()
                );
                self.give_up(&member, &reason);
            }
        }
    }

    fn give_up(&mut self, member: &Member, reason: &str) {
        if member.given_up.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(stream = self.stream, rung = member.name, reason, "a rung is given up");
        self.standing.give_up(member, reason);
        self.made.retain(|item| item.track() != Some(member.id));
        self.made.push_back(Item::End(member.id));
        (self.tell)(Happening::RungGivenUp {
            stream: self.stream.clone(),
            rung: member.name.clone(),
            reason: reason.to_owned(),
        });
        let rungs = self.members.iter().filter(|m| m.is_wanted()).map(|m| m.rung.clone()).collect();
        if let Err(error) = self.keep(&Ladder { rungs, reasons: Vec::new() }) {
            tracing::warn!(%error, "a gateway that goes on with this stream will make that rung again");
        }
        if self.members.iter().all(|m| !m.is_wanted()) {
            self.crew = None;
        }
    }

    /// The crew has ended, before or behind the source.
    fn over(&mut self, too_early: bool) {
        let Some(mut crew) = self.crew.take() else { return };
        let reason = match crew.stop() {
            Err(error) => error.to_string(),
            Ok(()) if too_early => "what makes it has ended".to_owned(),
            Ok(()) => return,
        };
        for member in self.members.clone() {
            self.give_up(&member, &reason);
        }
    }

    fn is_wanted(&self, item: &Item) -> bool {
        self.members.iter().any(|m| Some(m.id) == item.track() && m.is_wanted())
    }

    /// Takes what the crew has made.
    fn collect(&mut self) {
        while let Some(crew) = &self.crew {
            match crew.poll() {
                Made::Item(item) if self.is_wanted(&item) => self.made.push_back(item),
                Made::Item(_) => {}
                Made::Nothing => return,
                // Behind the source's end that is how it has to be.
                Made::Over => return self.over(!self.fed.is_over()),
            }
            // The rest waits where it is bounded.
            if self.made.len() >= MOST_MADE {
                return;
            }
        }
    }

    /// Makes the rungs until each has told what it is; gives their tracks.
    fn begin(&mut self, pictures: &Arc<Track>, ladder: &Ladder) -> Result<Vec<Arc<Track>>> {
        let mut names = Names::default();
        let numbered = ladder.rungs.iter().zip(FIRST_ID..);
        self.members = numbered
            .map(|(rung, id)| Member {
                id: TrackId(id),
                name: names.unique(&format!("{}p-{}", rung.width.min(rung.height), rung.codec)),
                rung: rung.clone(),
                given_up: Arc::new(AtomicBool::new(false)),
            })
            .collect();
        self.standing.begin(&self.members);
        self.pictures = Some(pictures.id);
        self.crew = Some(Crew::start(&self.members, &self.cancel)?);
        for item in self.held.clone() {
            self.show(&item);
        }
        let mut told: Vec<Arc<Track>> = Vec::new();
        let begun = Instant::now();
        let missing = |this: &Self, told: &[Arc<Track>]| -> Vec<Member> {
            let missing = |m: &&Member| m.is_wanted() && !told.iter().any(|t| t.id == m.id);
            this.members.iter().filter(missing).cloned().collect()
        };
        while !missing(self, &told).is_empty() && begun.elapsed() < BEGINS {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let before = self.made.len();
            self.collect();
            for item in self.made.iter().skip(before) {
                if let Item::Track(track) = item
                    && !told.iter().any(|t| t.id == track.id)
                {
                    told.push(Arc::clone(track));
                }
            }
            if let Some(item) = self.fed.soon()? {
                self.show(&item);
                self.held.push_back(item);
            } else if self.fed.is_over()
                && let Some(crew) = &self.crew
            {
                crew.mailbox.close();
            }
        }
        for member in missing(self, &told) {
            self.give_up(&member, "it has no picture yet, as late as it is; choose less effort for it");
        }
        told.retain(|track| self.members.iter().any(|m| m.id == track.id && m.is_wanted()));
        told.sort_by_key(|track| track.id);
        Ok(told)
    }
}

fn area(rung: &Rung) -> u64 {
    u64::from(rung.width) * u64::from(rung.height)
}

impl Coming for Laddered {
    fn tracks(&mut self) -> Result<Vec<Arc<Track>>> {
        let mut tracks = self.fed.tracks()?;
        let Some(pictures) = tracks.iter().find(|t| t.kind() == TrackKind::Video).cloned() else {
            return Ok(tracks);
        };
        let ladder = self.decide(&pictures)?;
        let rungs = if ladder.rungs.is_empty() { Vec::new() } else { self.begin(&pictures, &ladder)? };
        (self.tell)(Happening::Laddered {
            stream: self.stream.clone(),
            rungs: self
                .members
                .iter()
                .filter(|m| m.is_wanted())
                .map(|m| (m.name.clone(), m.rung.clone()))
                .collect(),
            reasons: ladder.reasons,
        });
        tracks.extend(rungs);
        Ok(tracks)
    }

    fn has_cues(&self) -> bool {
        self.fed.has_cues()
    }

    fn gives_up(&self) -> bool {
        true
    }
}

impl Source for Laddered {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.held.pop_front() {
                return Ok(Some(item));
            }
            self.collect();
            if let Some(item) = self.made.pop_front() {
                return Ok(Some(item));
            }
            if let Some(item) = self.fed.soon()? {
                self.show(&item);
                return Ok(Some(item));
            }
            if !self.fed.is_over() {
                continue;
            }
            let Some(crew) = &self.crew else { return Ok(None) };
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            crew.mailbox.close();
            match crew.wait() {
                Made::Item(item) if self.is_wanted(&item) => return Ok(Some(item)),
                Made::Over => self.over(false),
                _ => {}
            }
        }
    }
}
