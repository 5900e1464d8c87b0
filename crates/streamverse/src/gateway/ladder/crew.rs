//! Who makes the rungs: threads that decode, scale and encode, a graph of them for each run of the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sv_core::{Cue, ErrorKind, Item, Packet, Source, TimeBase, Track, TrackId};
use sv_pipeline::Cancel;
use sv_pipeline::graph::{Failure, Graph};
use sv_pipeline::share::{Class, Share, Shares};
use sv_transcode::{Rung, decode};

use super::mailbox::{Mailbox, Next};
use crate::live::{NAP, cancelled};
use crate::package_files::failure;
use crate::rungs::{self, Span, Wanted};
use crate::{Error, Result};

/// What waits between two stages, in bytes: a few pictures.
const QUEUE: usize = 8 << 20;
/// Packets that wait for the packager.
const MADE: usize = 1024;
/// No key frame stands on this grid but the first: all others are where the source's are.
const NEVER: Duration = Duration::from_secs(1 << 32);
/// Runs of the source that fail one behind the other until there is no more hope.
const MOST_FAILURES: u32 = 3;

/// A rung that is made.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The number that its items get.
    pub(super) id: TrackId,
    /// As manifests name it.
    pub(super) name: String,
    pub(super) rung: Rung,
    pub(super) given_up: Arc<AtomicBool>,
}

impl Member {
    pub(super) fn is_wanted(&self) -> bool {
        !self.given_up.load(Ordering::Relaxed)
    }
}

/// Ends with everything when it is dropped.
pub(super) struct Crew {
    pub(super) mailbox: Arc<Mailbox>,
    made: Option<Receiver<Item>>,
    cancel: Cancel,
    thread: Option<JoinHandle<Result<()>>>,
}

/// What comes of the crew.
pub(super) enum Made {
    Item(Item),
    Nothing,
    /// Nothing more comes.
    Over,
}

impl Crew {
    pub(super) fn start(members: &[Member], cancel: &Cancel) -> Result<Self> {
        let (mailbox, cancel) = (Arc::new(Mailbox::default()), cancel.part());
        let (sender, made) = sync_channel(MADE);
        let work =
            Work { members: members.to_vec(), mailbox: Arc::clone(&mailbox), sender, cancel: cancel.clone() };
        let thread = std::thread::Builder::new().name("ladder".into()).spawn(move || work.run())?;
        Ok(Self { mailbox, made: Some(made), cancel, thread: Some(thread) })
    }

    /// What is there.
    pub(super) fn poll(&self) -> Made {
        match self.made.as_ref().map(Receiver::try_recv) {
            Some(Ok(item)) => Made::Item(item),
            Some(Err(TryRecvError::Empty)) => Made::Nothing,
            Some(Err(TryRecvError::Disconnected)) | None => Made::Over,
        }
    }

    /// What comes soon.
    pub(super) fn wait(&self) -> Made {
        match self.made.as_ref().map(|made| made.recv_timeout(NAP)) {
            Some(Ok(item)) => Made::Item(item),
            Some(Err(RecvTimeoutError::Timeout)) => Made::Nothing,
            Some(Err(RecvTimeoutError::Disconnected)) | None => Made::Over,
        }
    }

    /// Stops, and says what went wrong, if something did.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.cancel.cancel();
        self.mailbox.close();
        // Whoever waits for room in it hears that there is nobody any more.
        self.made = None;
        let panicked = || Error::new(ErrorKind::Internal, "what makes the rungs panicked: a bug");
        match self.thread.take().map(JoinHandle::join) {
            Some(result) => result.map_err(|_| panicked())?,
            None => Ok(()),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // It was wanted no more, so how it ended is of no interest.
        let _ = self.stop();
    }
}

struct Work {
    members: Vec<Member>,
    mailbox: Arc<Mailbox>,
    sender: SyncSender<Item>,
    cancel: Cancel,
}

impl Work {
    fn run(self) -> Result<()> {
        let mut track: Option<Arc<Track>> = None;
        let mut failures = 0;
        loop {
            if self.cancel.is_cancelled() {
                return Ok(());
            }
            match (self.mailbox.take(NAP, false), &track) {
                (Next::Track(next), _) => track = Some(next),
                // Decoding starts at a key frame, and what failed goes on at the next.
                (Next::Packet(packet), Some(told)) if packet.key => match self.epoch(told, packet) {
                    Ok(()) => failures = 0,
                    Err(error) if failures + 1 < MOST_FAILURES && error.kind() == ErrorKind::Malformed => {
                        tracing::warn!(%error, "the rungs have a hole");
                        failures += 1;
                    }
                    Err(error) => return Err(error),
                },
                (Next::Over, _) => return Ok(()),
                _ => {}
            }
        }
    }

    /// One run of the source: until its track is told anew.
    fn epoch(&self, track: &Arc<Track>, first: Packet) -> Result<()> {
        let info = track.video().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "no pictures"))?;
        let members: Vec<&Member> = self.members.iter().filter(|m| m.is_wanted()).collect();
        // A source of another size keeps its rungs, none larger than it is.
        let planned: Vec<Rung> = members
            .iter()
            .map(|m| if fits(&m.rung, info) { m.rung.clone() } else { m.rung.fitted(info) })
            .collect();
        let wanted: Vec<Wanted<'_>> = members
            .iter()
            .zip(&planned)
            .map(|(member, rung)| Wanted {
                name: &member.name,
                rung,
                span: Span::default(),
                given_up: Some(Arc::clone(&member.given_up)),
            })
            .collect();
        let cancel = self.cancel.part();
        let share = Share::new(&Shares::default(), Class::Live);
        let mut graph = Graph::<Error>::new(QUEUE, &cancel).share(&share);
        let reader = graph.source(
            "ladder reader",
            Run {
                mailbox: &self.mailbox,
                track: Arc::clone(track),
                ready: vec![Item::Packet(first)],
                begun: false,
                cancel: &cancel,
            },
        );
        let options = decode::Options::default();
        let how = rungs::How {
            segment: NEVER,
            cuts: &[],
            crop: None,
            decode: &options,
            encoder: None,
            device: None,
        };
        let nodes = rungs::encode(&mut graph, reader, track, &wanted, &how)?;
        for (member, node) in members.iter().zip(nodes) {
            let (id, sender) = (member.id, self.sender.clone());
            graph.sink("rung", node, None, move |item| {
                let item = match item {
                    Item::Track(track) => Item::Track(Arc::new(Track { id, ..Track::clone(&track) })),
                    Item::Packet(packet) => Item::Packet(Packet { track: id, ..packet }),
                    // It goes on with the next run.
                    _ => return Ok(()),
                };
                sender.send(item).map_err(|_| cancelled())
            });
        }
        match graph.run() {
            Ok(()) | Err(Failure::Cancelled) => Ok(()),
            Err(Failure::Node { error, .. }) if error.kind() == ErrorKind::Cancelled => Ok(()),
            Err(other) => Err(failure(other)),
        }
    }
}

/// Whether a rung is smaller than pictures, and shaped as they are.
fn fits(rung: &Rung, info: &sv_core::VideoInfo) -> bool {
    let (w, h) = sv_transcode::filter::display_size(info);
    let shape = |w: u32, h: u32| f64::from(w) / f64::from(h.max(1));
    let (own, wanted) = (shape(w, h), shape(rung.width, rung.height));
    rung.width.min(rung.height) <= w.min(h) && (own / wanted - 1.0).abs() < 0.02
}

/// A run of the source's packets. In front of each key frame stands a cue, so that encoders make one too.
struct Run<'a> {
    mailbox: &'a Mailbox,
    track: Arc<Track>,
    /// What comes next, the last first.
    ready: Vec<Item>,
    begun: bool,
    cancel: &'a Cancel,
}

impl Source for Run<'_> {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(Some(Item::Track(Arc::clone(&self.track))));
        }
        if let Some(item) = self.ready.pop() {
            return Ok(Some(item));
        }
        loop {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            match self.mailbox.take(NAP, true) {
                Next::Packet(packet) if packet.key => {
                    let cue = key_at(&packet, self.track.time_base);
                    self.ready.push(Item::Packet(packet));
                    return Ok(Some(cue));
                }
                Next::Packet(packet) => return Ok(Some(Item::Packet(packet))),
                Next::Another | Next::Over => return Ok(None),
                _ => {}
            }
        }
    }
}

/// A moment by which a key frame is due. Times of ticks are rounded: it lies a little before.
fn key_at(packet: &Packet, base: TimeBase) -> Item {
    let nanos = packet.pts.rescale(base, TimeBase::NANOS).ticks().max(0).unsigned_abs();
    let at = Duration::from_nanos(nanos.saturating_sub(1000));
    Item::Cue(Cue { at, payload: sv_core::Bytes::new(), scheme: String::new() })
}
