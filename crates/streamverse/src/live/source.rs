//! Sources that give packets when it is time: files at the speed of their clock, and a pipe as it comes.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sv_container::ts;
use sv_core::{ErrorKind, Item, Limits, Source, Stage as _, TimeBase, Timestamp, Track, TrackId};
use sv_package::live::Continuity;
use sv_pipeline::Cancel;

use crate::input::Input;
use crate::{Error, Result};

/// How long a thread sleeps before it looks whether it is still wanted.
pub(crate) const NAP: Duration = Duration::from_millis(50);

/// The presentation's clock: how long ago it began, as the wall clock said when this run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    ran: Duration,
    began: Duration,
}

impl Clock {
    /// For a presentation that began so long after 1970.
    pub(crate) fn new(began: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), ran: now.saturating_sub(began), began }
    }

    /// For one that begins now.
    #[cfg(feature = "gateway")]
    pub(crate) fn beginning() -> Self {
        Self::new(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// How far the presentation should be.
    pub(crate) fn elapsed(&self) -> Duration {
        self.ran + self.started.elapsed()
    }

    /// Now, since 1970. It never goes back.
    pub(crate) fn now(&self) -> Duration {
        self.began + self.elapsed()
    }
}

pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was cancelled")
}

/// A file that is shown as if it happened.
pub(crate) struct Paced {
    input: Input,
    ids: Vec<TrackId>,
    /// Where its own timeline starts, in nanoseconds.
    start: Timestamp,
    looping: bool,
    /// How long it is, in nanoseconds, once it was seen to its end.
    length: Option<i64>,
    laps: i64,
    told: BTreeMap<TrackId, TimeBase>,
    reached: i64,
    clock: Clock,
    cancel: Cancel,
}

impl Paced {
    /// The tracks `ids` of `input`, from `from` on: everything before is left out at once.
    pub(crate) fn new(
        mut input: Input,
        ids: Vec<TrackId>,
        (looping, length): (bool, Option<Duration>),
        from: Duration,
        clock: Clock,
        cancel: &Cancel,
    ) -> Result<Self> {
        input.select(&ids);
        let mut scout = input.again()?;
        scout.select(&ids);
        let start = scout.find_start()?;
        let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        let length = length.map(nanos).filter(|l| *l > 0);
        let laps = length.filter(|_| looping).map_or(0, |length| nanos(from) / length);
        let mut paced = Self {
            input,
            ids,
            start,
            looping,
            length,
            laps,
            told: BTreeMap::new(),
            reached: 0,
            clock,
            cancel: cancel.clone(),
        };
        paced.input.rebase(paced.lap_start());
        let inside = nanos(from) - laps * length.unwrap_or(0);
        if inside > 0 {
            // Times count from the file's own beginning while it is looked for.
            paced.input.rebase(start);
            paced.input.seek(Duration::from_nanos(inside.unsigned_abs()))?;
            paced.input.rebase(paced.lap_start());
        }
        Ok(paced)
    }

    /// What is subtracted from the file's times.
    fn lap_start(&self) -> Timestamp {
        self.start.offset(-self.laps.saturating_mul(self.length.unwrap_or(0)))
    }

    /// How long the file is, once that is known.
    pub(crate) fn length(&self) -> Option<Duration> {
        self.length.map(|l| Duration::from_nanos(l.unsigned_abs()))
    }

    fn again(&mut self) -> Result<()> {
        let done = self.laps.saturating_mul(self.length.unwrap_or(0));
        self.length = Some(self.length.unwrap_or(self.reached - done).max(1_000_000));
        self.laps += 1;
        self.input = self.input.again()?;
        self.input.select(&self.ids);
        self.input.rebase(self.lap_start());
        Ok(())
    }

    fn wait(&self, due: i64) -> Result<()> {
        let due = Duration::from_nanos(due.max(0).unsigned_abs());
        loop {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            match due.checked_sub(self.clock.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(NAP)),
                _ => return Ok(()),
            }
        }
    }
}

impl Source for Paced {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        let mut idle = false;
        loop {
            match self.input.next_item()? {
                Some(Item::Track(track)) if self.told.contains_key(&track.id) => {}
                Some(Item::Track(track)) => {
                    self.told.insert(track.id, track.time_base);
                    return Ok(Some(Item::Track(track)));
                }
                Some(Item::Packet(packet)) => {
                    let base = self.told.get(&packet.track).copied().unwrap_or(TimeBase::NANOS);
                    let nanos = |at: Timestamp| at.rescale(base, TimeBase::NANOS).ticks();
                    self.reached = self.reached.max(nanos(packet.pts.saturating_add(packet.duration)));
                    self.wait(nanos(packet.dts))?;
                    return Ok(Some(Item::Packet(packet)));
                }
                Some(Item::End(_)) if self.looping => {}
                Some(item) => return Ok(Some(item)),
                None if self.looping && !idle => {
                    idle = true;
                    self.again()?;
                }
                None => return Ok(None),
            }
        }
    }
}

/// A source that gives what comes as it comes: nobody can ask for it again.
pub(crate) trait Coming: Source<Error = Error> {
    /// Waits until the tracks are known.
    fn tracks(&mut self) -> Result<Vec<Arc<Track>>>;

    /// Whether the stream has splice information.
    fn has_cues(&self) -> bool {
        false
    }

    /// Whether a track that ends is given up, while the others go on.
    fn gives_up(&self) -> bool {
        false
    }
}

/// An MPEG transport stream that somebody writes to our standard input.
pub(crate) struct Pipe {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    parser: ts::Parser,
    continuity: Continuity,
    cues: bool,
    finished: bool,
    cancel: Cancel,
}

impl Pipe {
    /// Begins to read. The first packets come at `start` of the presentation.
    pub(crate) fn open(start: Duration, cues: bool, cancel: &Cancel) -> Self {
        let (sender, pieces) = sync_channel(16);
        // A read can't be called off, so it is left behind when the run ends.
        std::thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            let mut buffer = vec![0; 64 << 10];
            loop {
                let piece = match input.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(n) => Ok(buffer[..n].to_vec()),
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(e) => Err(e),
                };
                let failed = piece.is_err();
                if sender.send(piece).is_err() || failed {
                    return;
                }
            }
        });
        Self {
            pieces,
            parser: ts::Parser::new(Limits::default()).follow_jumps(),
            continuity: Continuity::new(start),
            cues,
            finished: false,
            cancel: cancel.clone(),
        }
    }

    /// Reads until the tracks are known.
    fn announced(&mut self) -> Result<Vec<Arc<Track>>> {
        while !self.parser.is_announced() && !self.finished {
            self.step()?;
        }
        let tracks: Vec<_> = self.parser.tracks().cloned().collect();
        if tracks.is_empty() {
            let message = "no MPEG transport stream with pictures or sound comes on standard input; \
                           write one, such as by ffmpeg -re -i FILE -c copy -f mpegts -";
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        Ok(tracks)
    }

    fn step(&mut self) -> Result<()> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            match self.pieces.recv_timeout(NAP) {
                Ok(piece) => self.parser.push(&piece?)?,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    self.finished = true;
                    self.parser.finish()?;
                }
            }
            while let Some(item) = self.parser.pull() {
                if self.cues || !matches!(item, Item::Cue(_)) {
                    self.continuity.push(item)?;
                }
            }
            if self.finished {
                self.continuity.finish()?;
            }
            return Ok(());
        }
    }
}

impl Coming for Pipe {
    fn tracks(&mut self) -> Result<Vec<Arc<Track>>> {
        self.announced()
    }

    fn has_cues(&self) -> bool {
        self.parser.has_cues()
    }
}

impl Source for Pipe {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.continuity.pull()? {
                return Ok(Some(item));
            }
            if self.finished {
                return Ok(None);
            }
            self.step()?;
        }
    }
}
