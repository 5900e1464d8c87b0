//! Chunks that other processes encode: the journal gives them out, NATS carries them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use sv_core::ErrorKind;
use sv_pipeline::Cancel;
use sv_pipeline::nats::{Board, News, Options, Report, Task};
use sv_pipeline::queue::Lease;

use super::Unit;
use super::crew::{Crew, journal};
use super::worker::{Order, away, group};
use crate::{Error, Result};

/// Units that are out at a time: more than any fleet has slots, and no trouble for the server.
const MOST: usize = 8192;

/// How often the store is looked at for what nobody told of, and leases are renewed.
const LOOK: Duration = Duration::from_secs(1);
const RENEW: Duration = Duration::from_secs(60);

/// A unit that is out.
struct Out<'a> {
    unit: &'a Unit,
    lease: Lease,
    /// When it was offered, or last heard of.
    heard: Instant,
    renewed: Instant,
    worker: Option<String>,
    /// How much of each rendition its worker has told, in seconds.
    told: BTreeMap<String, f64>,
}

struct Far<'c, 'a> {
    crew: &'c Crew<'a>,
    board: Board,
    patience: Duration,
    out: BTreeMap<u32, Out<'a>>,
}

impl<'a> Crew<'a> {
    /// Gives units to workers elsewhere until `stop`.
    pub(super) fn far(&self, options: &Options, stop: &Cancel) -> Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| Error::new(ErrorKind::Unavailable, e.to_string()))?;
        let mut options = options.clone();
        options.group = group();
        let board =
            Board::connect(&options, &format!("vod-{:016x}", u64::from_ne_bytes(random))).map_err(away)?;
        let mut far = Far { crew: self, board, patience: options.patience, out: BTreeMap::new() };
        let result = far.serve(stop);
        // Nobody is to begin what nobody waits for.
        if let Err(error) = far.board.withdraw() {
            tracing::warn!(%error, "chunks that are not needed stay at the server");
        }
        for out in far.out.values() {
            let _ = self.queue.give_back(&out.lease, SystemTime::now());
        }
        result
    }
}

impl<'a> Far<'_, 'a> {
    fn serve(&mut self, stop: &Cancel) -> Result<()> {
        let mut looked = Instant::now();
        while !stop.is_cancelled() {
            self.offer()?;
            let mut heard = self.board.hear(Duration::from_millis(100));
            while let Some(report) = heard {
                self.report(report)?;
                heard = self.board.hear(Duration::ZERO);
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look()?;
            }
        }
        Ok(())
    }

    /// Offers what is due and not out yet.
    fn offer(&mut self) -> Result<()> {
        let mut tasks = Vec::new();
        while self.out.len() < MOST && tasks.len() < 512 {
            let claim = self.crew.queue.claim("far", SystemTime::now()).map_err(journal)?;
            let Some(claim) = claim else { break };
            let Some(unit) = self.crew.unit(&claim) else {
                self.crew.done(&claim.lease)?;
                continue;
            };
            tasks.push(self.task(unit, &claim.lease)?);
            let (heard, renewed) = (Instant::now(), Instant::now());
            let out = Out { unit, lease: claim.lease, heard, renewed, worker: None, told: BTreeMap::new() };
            self.out.insert(unit.number, out);
        }
        self.send(&tasks)
    }

    /// A server that does not answer has not lost anything that counts: what it should have is offered
    /// again when it has been silent for long enough (see [`look`](Self::look)).
    fn send(&self, tasks: &[Task]) -> Result<()> {
        if !tasks.is_empty()
            && let Err(error) = self.board.offer(tasks)
        {
            tracing::warn!(%error, "chunks could not be offered; they will be again");
        }
        Ok(())
    }

    fn task(&self, unit: &Unit, lease: &Lease) -> Result<Task> {
        let order = Order { unit: unit.clone(), store: self.crew.plan.store.place() };
        let payload = serde_json::to_value(&order)
            .map_err(|e| Error::new(ErrorKind::InvalidInput, format!("a chunk can't be described: {e}")))?;
        let again = u32::try_from(lease.fence).unwrap_or(u32::MAX);
        Ok(Task { board: self.board.name().to_owned(), key: unit.number.to_string(), again, payload })
    }

    fn report(&mut self, report: Report) -> Result<()> {
        let number = report.key.parse().ok();
        let known = number.and_then(|number| self.out.get_mut(&number).map(|out| (number, out)));
        let Some((number, out)) = known else { return Ok(()) };
        out.heard = Instant::now();
        let roster = self.crew.plan.roster;
        match report.news {
            News::Began(_) => {
                match out.worker.replace(report.worker.clone()) {
                    None => self.crew.begun(),
                    Some(_) => roster.load(self.crew.plan.name, |load| load.retries += 1),
                }
                let task = format!("chunk {number} of {}", self.crew.plan.name);
                roster.heard(&report.worker, true, |hand| hand.task = Some(task));
            }
            News::Beat(done) => {
                roster.heard(&report.worker, true, |_| ());
                out.more(&done, self.crew.plan.watch);
            }
            News::Done(result) => {
                roster.heard(&report.worker, true, |hand| {
                    (hand.task, hand.finished) = (None, hand.finished + 1)
                });
                let spent =
                    result.get("core_seconds").and_then(Value::as_f64).filter(|s| (0.0..1e9).contains(s));
                self.crew.tell(|standing| standing.far += Duration::from_secs_f64(spent.unwrap_or(0.0)));
                // A folder on a network may show it a moment later.
                if out.unit.is_done(self.crew.plan.store) {
                    self.done(number)?;
                }
            }
            News::Again(reason) | News::Failed(reason) if out.unit.is_done(self.crew.plan.store) => {
                tracing::debug!(number, reason, "a chunk that another worker had finished");
                self.done(number)?;
            }
            News::Again(reason) => self.not_done(number, &report.worker, reason, true)?,
            News::Failed(reason) => self.not_done(number, &report.worker, reason, false)?,
            _ => {}
        }
        Ok(())
    }

    fn done(&mut self, number: u32) -> Result<()> {
        let Some(out) = self.out.remove(&number) else { return Ok(()) };
        if out.worker.is_none() {
            self.crew.begun();
        }
        self.crew.done(&out.lease)?;
        self.crew.tell(|_| ());
        Ok(())
    }

    fn not_done(&mut self, number: u32, worker: &str, reason: String, again: bool) -> Result<()> {
        self.crew.plan.roster.heard(worker, true, |hand| hand.task = None);
        let Some(out) = self.out.remove(&number) else { return Ok(()) };
        let error = Error::new(ErrorKind::Malformed, reason).context(format!("worker {worker}"));
        self.crew.not_done(out.unit, &out.lease, error, again)
    }

    /// Finds what is done though nobody told, keeps leases alive, and offers anew what the server has
    /// lost: the journal says that it is out, nobody speaks of it, and the server holds nothing.
    fn look(&mut self) -> Result<()> {
        let store = self.crew.plan.store;
        let done: Vec<u32> =
            self.out.iter().filter(|(_, out)| out.unit.is_done(store)).map(|(number, _)| *number).collect();
        done.into_iter().try_for_each(|number| self.done(number))?;
        let mut silent = Vec::new();
        for out in self.out.values_mut() {
            if out.renewed.elapsed() > RENEW {
                out.renewed = Instant::now();
                self.crew.queue.heartbeat(&out.lease, SystemTime::now()).map_err(journal)?;
            }
            if out.heard.elapsed() > 2 * self.patience {
                silent.push(out.unit.number);
            }
        }
        if silent.is_empty() {
            return Ok(());
        }
        let held = match self.board.held() {
            Ok(held) => held,
            Err(error) => {
                tracing::debug!(%error, "the server does not answer");
                return Ok(());
            }
        };
        if held >= self.out.len() as u64 {
            return Ok(());
        }
        tracing::warn!(chunks = silent.len(), "the NATS server has lost chunks; they are offered again");
        for number in silent {
            let Some(out) = self.out.remove(&number) else { continue };
            self.crew.queue.give_back(&out.lease, SystemTime::now()).map_err(journal)?;
            self.crew.plan.roster.load(self.crew.plan.name, |load| load.retries += 1);
        }
        Ok(())
    }
}

impl Out<'_> {
    /// Tells `watch` what is new in a worker's account.
    fn more(&mut self, done: &Value, watch: &(dyn Fn(&str, Duration) + Sync)) {
        for (name, _) in &self.unit.rungs {
            let Some(seconds) = done.get(name).and_then(Value::as_f64).filter(|s| (0.0..1e7).contains(s))
            else {
                continue;
            };
            let told = self.told.entry(name.clone()).or_default();
            if seconds > *told {
                watch(name, Duration::from_secs_f64(seconds - *told));
                *told = seconds;
            }
        }
    }
}
