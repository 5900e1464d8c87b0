//! Where those who make the presentation meet those who ask for it.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sv_core::{Bytes, Item, Object, Part, Segment, Track};
use sv_package::live::{Answer, Presentation, Stream, Wanted, Window};
use sv_package::{Carried, Mark, Marks, Rendition, SegmentRecord};
use tokio::sync::watch;

use super::source::Clock;
use crate::Result;

/// The manifests that clients may have, beside the journal.
pub(super) const MANIFESTS: &str = ".manifests";

/// Segments whose parts stay in memory, the open one included.
const RECENT: usize = 6;

/// Answers requests about a live presentation: playlists, manifests, parts and segments, at once or when
/// they come to be. Clones answer for the same presentation.
#[derive(Clone)]
pub struct Origin {
    pub(super) desk: Arc<Desk>,
}

impl Origin {
    /// For a presentation that somebody else makes: items come by [`push`](Self::push), and whole segments and
    /// initialisations lie in `folder`. (A [`Driver`](super::Driver) does both for its own.)
    #[must_use]
    pub fn new(presentation: Presentation, folder: &Path) -> Self {
        let clock = Clock::new(presentation.settings().began);
        let packets = vec![0; presentation.streams().len()];
        Self { desk: Arc::new(Desk::new(presentation, packets, folder, clock)) }
    }

    /// Gives a stream what its segmenter has given, and gives the object to store, which must be in its place
    /// before a segment is pushed. Whoever waits for it is answered.
    ///
    /// # Errors
    /// As [`Presentation::push`].
    pub fn push(&self, stream: usize, item: Item) -> Result<Option<Object>> {
        match item {
            Item::Part(part) => self.desk.part(stream, part).map(|()| None),
            Item::Track(track) => Ok(self.desk.track(stream, track, false)?.and_then(|(init, _)| init)),
            Item::Segment(segment) => self.desk.segment(stream, segment).map(|_| None),
            Item::End(_) => self.desk.end(stream).map(|()| None),
            _ => Ok(None),
        }
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("folder", &self.desk.root).finish_non_exhaustive()
    }
}

pub(crate) struct Desk {
    state: Mutex<State>,
    /// Rings for each stream when something came of it, and says how far it is.
    bells: Vec<watch::Sender<Arc<Told>>>,
    /// Rings when the manifest changed.
    manifest: watch::Sender<u64>,
    pub(super) root: PathBuf,
    pub(super) clock: Clock,
}

struct State {
    presentation: Presentation,
    /// The newest segments of each stream, oldest first.
    recent: Vec<VecDeque<Recent>>,
    /// Texts, and the version that they are of.
    texts: HashMap<Wanted, (u64, Bytes)>,
    /// Counts everything that comes.
    version: u64,
    /// Counts what manifests tell of.
    segments: u64,
    /// Packets of each stream.
    packets: Vec<u64>,
}

/// What those hear who wait for a stream: enough to answer without asking again.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The segment that is being made, and how many parts it has.
    next: u64,
    open: usize,
    ended: bool,
    /// The playlist as a delta update, made by the first who needs it.
    delta: OnceLock<Bytes>,
}

impl Told {
    /// Whether the playlist tells of that segment or part.
    pub(super) fn has(&self, segment: u64, part: Option<u32>) -> bool {
        let there = part.and_then(|p| usize::try_from(p).ok()).is_some_and(|p| p < self.open);
        self.ended || segment < self.next || (segment == self.next && there)
    }
}

struct Recent {
    number: u64,
    parts: Vec<Vec<Bytes>>,
    whole: bool,
}

/// What there is of a segment that is being made.
pub(super) enum Progress {
    /// These bytes come next.
    Part(Vec<Bytes>),
    /// More will come.
    Later,
    /// That was all.
    Whole,
    /// It is not in memory.
    Unknown,
}

impl Desk {
    pub(crate) fn new(presentation: Presentation, packets: Vec<u64>, root: &Path, clock: Clock) -> Self {
        let count = presentation.streams().len();
        let recent = (0..count).map(|_| VecDeque::new()).collect();
        Self {
            state: Mutex::new(State {
                presentation,
                recent,
                texts: HashMap::new(),
                version: 0,
                segments: 0,
                packets,
            }),
            bells: (0..count).map(|_| watch::Sender::new(Arc::default())).collect(),
            manifest: watch::Sender::new(0),
            root: root.to_owned(),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an item to a stream; `inside` may look at the rest meanwhile.
    fn push<T>(
        &self,
        place: usize,
        item: Item,
        seamless: bool,
        inside: impl FnOnce(&mut State, Option<Object>) -> T,
    ) -> Result<T> {
        let now = self.clock.now();
        let mut state = self.state();
        let part = matches!(&item, Item::Part(part) if part.number > 0);
        let object = state.presentation.push(place, item, seamless, now)?;
        state.version += 1;
        state.segments += u64::from(!part);
        let out = inside(&mut state, object);
        let told = state.presentation.streams().get(place).map(|stream| Told {
            next: stream.next(),
            open: stream.open().len(),
            ended: stream.is_ended(),
            delta: OnceLock::new(),
        });
        drop(state);
        if let Some((bell, told)) = self.bells.get(place).zip(told) {
            bell.send_replace(Arc::new(told));
        }
        if !part {
            self.manifest.send_modify(|n| *n += 1);
        }
        Ok(out)
    }

    /// A track begins: its initialisation and the epoch, or nothing where an epoch goes on.
    pub(super) fn track(
        &self,
        place: usize,
        track: Arc<Track>,
        seamless: bool,
    ) -> Result<Option<(Option<Object>, Rendition)>> {
        self.push(place, Item::Track(track), seamless, |state, init| {
            let newest = state.presentation.streams().get(place).and_then(|s| s.newest().cloned());
            newest.filter(|r| r.segments.is_empty()).map(|rendition| (init, rendition))
        })
    }

    /// Which captions the pictures of a stream carry, before its first segment is told; gives what the journal has to
    /// know then.
    pub(super) fn carry(&self, place: usize, names: Vec<Carried>) -> Option<Rendition> {
        let mut state = self.state();
        state.presentation.carry(place, names);
        let newest = state.presentation.streams().get(place)?.newest()?;
        (newest.segments.is_empty() && !newest.info.carried.is_empty()).then(|| newest.clone())
    }

    pub(super) fn part(&self, place: usize, part: Part) -> Result<()> {
        let (number, data) = (part.segment, part.data.clone());
        self.push(place, Item::Part(part), false, |state, _| {
            let Some(recent) = state.recent.get_mut(place) else { return };
            if recent.back().is_none_or(|r| r.number != number) {
                recent.push_back(Recent { number, parts: Vec::new(), whole: false });
                while recent.len() > RECENT {
                    recent.pop_front();
                }
            }
            if let Some(open) = recent.back_mut() {
                open.parts.push(data);
            }
        })
    }

    /// Whether a mark is told of already.
    pub(super) fn knows(&self, mark: &Mark) -> bool {
        self.state().presentation.marks().knows(mark)
    }

    /// A mark is stored: now it is told.
    pub(super) fn mark(&self, mark: Mark) {
        let now = self.clock.now();
        let mut state = self.state();
        if state.presentation.mark(mark, now) {
            state.version += 1;
            state.segments += 1;
            drop(state);
            self.manifest.send_modify(|n| *n += 1);
        }
    }

    /// What manifests tell of, and where segments end for its sake.
    pub(super) fn marks(&self) -> (Marks, Vec<Duration>) {
        let state = self.state();
        (state.presentation.marks().clone(), state.presentation.cuts())
    }

    /// What a segment will be stored as, and noted as.
    pub(super) fn describe(
        &self,
        place: usize,
        segment: &Segment,
    ) -> Option<(String, &'static str, SegmentRecord)> {
        self.state().presentation.streams().get(place)?.describe(segment)
    }

    /// A segment is stored: now it is told. Gives the files that nobody names any more.
    pub(super) fn segment(&self, place: usize, segment: Segment) -> Result<Vec<String>> {
        let (number, packets) = (segment.number, u64::from(segment.packets));
        self.push(place, Item::Segment(segment), false, |state, _| {
            if let Some(recent) = state.recent.get_mut(place).and_then(|r| r.back_mut())
                && recent.number == number
            {
                recent.whole = true;
            }
            if let Some(all) = state.packets.get_mut(place) {
                *all += packets;
            }
            state.presentation.trim()
        })
    }

    /// A stream is given up: nobody is told of it any more. Gives its files.
    pub(super) fn leave(&self, place: usize) -> Vec<String> {
        let now = self.clock.now();
        let mut state = self.state();
        let gone = state.presentation.leave(place, now);
        state.version += 1;
        state.segments += 1;
        if let Some(recent) = state.recent.get_mut(place) {
            recent.clear();
        }
        drop(state);
        if let Some(bell) = self.bells.get(place) {
            // Whoever waits for it finds that it is gone.
            bell.send_replace(Arc::new(Told { ended: true, ..Told::default() }));
        }
        self.manifest.send_modify(|n| *n += 1);
        gone
    }

    pub(super) fn end(&self, place: usize) -> Result<()> {
        self.push(place, Item::End(sv_core::TrackId(1)), false, |_, _| ())
    }

    /// Nothing more comes of any stream.
    pub(super) fn end_all(&self) -> Result<()> {
        (0..self.bells.len()).try_for_each(|place| self.end(place))
    }

    /// The names of all streams.
    pub(super) fn names(&self) -> Vec<String> {
        self.state().presentation.streams().iter().map(|s| s.name().to_owned()).collect()
    }

    /// How long files stay that have left the playlists: who has an old one may ask for what it names.
    pub(super) fn grace(&self) -> Duration {
        let state = self.state();
        let settings = state.presentation.settings();
        match settings.window {
            Window::Sliding(window) => window + settings.segment * 2,
            Window::Event => settings.segment * 2,
        }
    }

    /// How many segments can be had.
    pub(super) fn segments(&self) -> usize {
        let state = self.state();
        let streams = state.presentation.streams().iter();
        streams.flat_map(|s| s.epochs()).map(|e| e.segments.len() + 1).sum()
    }

    /// What can be had of each stream, and all packets that it ever had.
    pub(super) fn listed(&self) -> Vec<(Vec<Rendition>, u64)> {
        let state = self.state();
        let streams = state.presentation.streams().iter();
        streams.zip(&state.packets).map(|(s, packets)| (s.epochs().cloned().collect(), *packets)).collect()
    }

    /// The place of the stream of that name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.state().presentation.streams().iter().position(|s| s.name() == name && !s.has_left())
    }

    /// Rings when something comes of a stream.
    pub(super) fn bell(&self, place: usize) -> Option<watch::Receiver<Arc<Told>>> {
        self.bells.get(place).map(watch::Sender::subscribe)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state().presentation.is_ready()
    }

    /// Whether a media playlist with that segment or part can be had.
    pub(super) fn answer(&self, place: usize, segment: u64, part: Option<u32>) -> Answer {
        self.state().presentation.answer(place, segment, part)
    }

    /// How long a request may wait: three target durations.
    pub(super) fn patience(&self) -> Duration {
        let state = self.state();
        let longest = state.presentation.streams().iter().map(|s| s.longest()).max().unwrap_or(0);
        Duration::from_secs(longest).max(state.presentation.settings().segment) * 3
    }

    /// The delta update of a stream that is as far as `told`, or a little further.
    pub(super) fn delta(&self, stream: usize, told: &Told) -> Result<Option<Bytes>> {
        if let Some(text) = told.delta.get() {
            return Ok(Some(text.clone()));
        }
        let text = self.text(Wanted::Media { stream, skip: true })?;
        Ok(text.map(|text| told.delta.get_or_init(|| text).clone()))
    }

    /// A playlist or manifest, made once for all who ask.
    pub(super) fn text(&self, wanted: Wanted) -> Result<Option<Bytes>> {
        let mut state = self.state();
        let version = match wanted {
            Wanted::Multivariant | Wanted::Manifest => state.segments,
            _ => state.version,
        };
        if let Some((of, text)) = state.texts.get(&wanted)
            && *of == version
        {
            return Ok(Some(text.clone()));
        }
        let Some(text) = state.presentation.text(wanted)? else { return Ok(None) };
        let text = Bytes::from(text);
        state.texts.insert(wanted, (version, text.clone()));
        if wanted == Wanted::Manifest {
            self.remember(&state);
        }
        Ok(Some(text))
    }

    /// Rings when the manifest changed.
    pub(super) fn manifest_bell(&self) -> watch::Receiver<u64> {
        self.manifest.subscribe()
    }

    /// Whether the manifest is still that of `since`.
    pub(super) fn is_newest(&self, since: &str) -> bool {
        let state = self.state();
        state.presentation.published() == since && !state.presentation.is_ended()
    }

    pub(super) fn patch(&self, since: &str) -> Result<Option<String>> {
        let mut state = self.state();
        let patch = state.presentation.patch(since)?;
        self.remember(&state);
        Ok(patch)
    }

    /// Stores what clients may have, for a run that comes after this one. Clients that have something else
    /// fetch the whole manifest, so a failure harms nobody.
    fn remember(&self, state: &State) {
        let aside = self.root.join(".manifests.part");
        let text = state.presentation.remember();
        let _ =
            std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, self.root.join(MANIFESTS)));
    }

    /// Part `part` of a segment that is in memory.
    pub(super) fn progress(&self, place: usize, segment: u64, part: usize) -> Progress {
        let state = self.state();
        let in_parts = state.presentation.settings().part.is_some();
        let Some(recent) = state.recent.get(place) else { return Progress::Unknown };
        match recent.iter().find(|r| r.number == segment) {
            Some(found) => match found.parts.get(part) {
                Some(data) => Progress::Part(data.clone()),
                None if found.whole => Progress::Whole,
                None => Progress::Later,
            },
            None => match state.presentation.streams().get(place) {
                Some(stream)
                    if in_parts
                        && stream.may_have_parts()
                        && stream.next() == segment
                        && !stream.is_ended() =>
                {
                    Progress::Later
                }
                _ => Progress::Unknown,
            },
        }
    }

    /// Every playlist and manifest of what is left, as a recording.
    pub(super) fn objects(&self) -> Result<Vec<Object>> {
        let state = self.state();
        let presentation = &state.presentation;
        let streams = presentation
            .streams()
            .iter()
            .filter(|s| !s.has_left())
            .map(|s| Stream::new(s.name(), sv_package::Form::Cmaf).resume(s.epochs().cloned().collect()));
        let mut ended = Presentation::new(presentation.settings().clone(), streams.collect());
        for mark in presentation.marks().iter() {
            ended.mark(mark.clone(), Duration::ZERO);
        }
        recording(ended)
    }
}

/// Every playlist and manifest of a presentation that is over.
pub(super) fn recording(mut presentation: Presentation) -> Result<Vec<Object>> {
    presentation.record(Duration::ZERO);
    let mut out = Vec::new();
    let names: Vec<String> = presentation.streams().iter().map(|s| s.name().to_owned()).collect();
    for (stream, name) in names.iter().enumerate() {
        let hls = sv_package::hls::CONTENT_TYPE;
        if let Some(text) = presentation.text(Wanted::Media { stream, skip: false })? {
            out.push(Object::whole(format!("{name}.m3u8"), hls, text));
        }
        if let Some(text) = presentation.text(Wanted::Iframes { stream })? {
            out.push(Object::whole(format!("{name}-iframes.m3u8"), hls, text));
        }
    }
    for (wanted, path, kind) in [
        (Wanted::Multivariant, "master.m3u8", sv_package::hls::CONTENT_TYPE),
        (Wanted::Manifest, "manifest.mpd", sv_package::dash::CONTENT_TYPE),
    ] {
        if let Some(text) = presentation.text(wanted)? {
            out.push(Object::whole(path, kind, text));
        }
    }
    Ok(out)
}
