//! Which streams there are, who sends them, and who gets them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sv_core::{Item, Track, TrackId, TrackKind};

use crate::feed::{Feed, Tap, feed};
use crate::health::{Health, Report};

/// All streams of a gateway by name. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    streams: Arc<Mutex<HashMap<String, Arc<Stream>>>>,
    /// What moments count from.
    born: Instant,
}

/// One stream: it is there as long as somebody sends it or waits for it.
pub(crate) struct Stream {
    name: String,
    born: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who sends it, and how it hears that somebody else does.
    publisher: Option<(Publisher, Option<Replaced>)>,
    /// How many have sent it.
    publishers: Publisher,
    /// How well it comes.
    health: Option<Health>,
    tracks: Vec<Arc<Track>>,
    taps: Vec<Tap>,
}

/// Who sends a stream: one at a time.
pub(crate) type Publisher = u64;
type Replaced = Box<dyn FnOnce() + Send>;

/// Whether a stream can have that name, which will stand in URLs and be a folder's: 1 to 64 letters of ASCII, digits,
/// hyphens, underscores and full stops, none of these at the beginning.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let all = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    all && (1..=64).contains(&name.len()) && !name.starts_with('.')
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub without a stream.
    #[must_use]
    pub fn new() -> Self {
        Self { streams: Arc::default(), born: Instant::now() }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of that name, which begins to be one if it wasn't.
    pub(crate) fn stream(&self, name: &str) -> Arc<Stream> {
        let mut streams = self.streams();
        if let Some(stream) = streams.get(name) {
            return Arc::clone(stream);
        }
        let stream = Arc::new(Stream { name: name.to_owned(), born: self.born, state: Mutex::default() });
        streams.insert(name.to_owned(), Arc::clone(&stream));
        stream
    }

    /// Names of streams that somebody sends.
    #[must_use]
    pub fn live(&self) -> Vec<String> {
        let streams = self.streams();
        let mut names: Vec<String> =
            streams.values().filter(|s| s.is_live()).map(|s| s.name.clone()).collect();
        names.sort();
        names
    }

    /// Whether somebody sends the stream of that name.
    #[must_use]
    pub fn is_live(&self, name: &str) -> bool {
        self.streams().get(name).is_some_and(|s| s.is_live())
    }

    /// How well the stream of that name comes; nothing where nobody sends it.
    #[must_use]
    pub fn health(&self, name: &str) -> Option<Report> {
        let stream = Arc::clone(self.streams().get(name)?);
        let mut state = stream.state();
        state.health.as_mut().map(|health| health.report(stream.born.elapsed()))
    }

    /// The stream of that name from the next moment on at which decoding can start, whoever sends it now or later: where
    /// one goes its tracks end, and where another comes they are told anew.
    /// `limit` is how many bytes wait at most for who reads them.
    #[must_use]
    pub fn subscribe(&self, name: &str, limit: usize) -> Feed {
        self.stream(name).subscribe(limit, None)
    }

    /// Sends away who sends the stream of that name. False where nobody does.
    pub fn dismiss(&self, name: &str) -> bool {
        let Some(stream) = self.streams().get(name).map(Arc::clone) else { return false };
        let away = stream.state().publisher.as_mut().and_then(|(_, away)| away.take());
        away.map(|away| away()).is_some()
    }

    /// Lets go of streams that nobody sends or wants.
    pub(crate) fn tidy(&self) {
        self.streams().retain(|_, stream| {
            let mut state = stream.state();
            state.taps.retain(Tap::is_wanted);
            state.publisher.is_some() || !state.taps.is_empty()
        });
    }

    /// Ends all feeds.
    pub(crate) fn close(&self) {
        for stream in self.streams().drain() {
            stream.1.state().taps.clear();
        }
    }
}

impl Stream {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state().publisher.is_some()
    }

    /// The tracks that are known of who sends it.
    pub(crate) fn tracks(&self) -> Vec<Arc<Track>> {
        self.state().tracks.clone()
    }

    pub(crate) fn subscribe(&self, limit: usize, ring: Option<Box<dyn Fn() + Send + Sync>>) -> Feed {
        let (tap, feed) = feed(limit, ring);
        let mut state = self.state();
        for track in &state.tracks {
            tap.give(&Item::Track(Arc::clone(track)), false);
        }
        state.taps.push(tap);
        feed
    }

    /// Somebody begins to send it, in place of who sent it before, which hears of it.
    pub(crate) fn begin(&self, replaced: Replaced) -> Publisher {
        let mut state = self.state();
        state.end();
        state.publishers = state.publishers.wrapping_add(1);
        let publisher = state.publishers;
        state.health = Some(Health::new(self.born.elapsed()));
        let before = state.publisher.replace((publisher, Some(replaced)));
        drop(state);
        if let Some((_, Some(replaced))) = before {
            replaced();
        }
        publisher
    }

    /// What `publisher` sends. False where somebody else has taken its place.
    pub(crate) fn give(&self, publisher: Publisher, item: &Item) -> bool {
        let mut state = self.state();
        if !state.is_sent_by(publisher) {
            return false;
        }
        if let Some(health) = &mut state.health {
            health.see(self.born.elapsed(), item);
        }
        let begins = match item {
            Item::Track(track) => {
                match state.tracks.iter_mut().find(|t| t.id == track.id) {
                    Some(old) => *old = Arc::clone(track),
                    None => state.tracks.push(Arc::clone(track)),
                }
                false
            }
            Item::Packet(packet) => packet.key && state.leads(packet.track),
            _ => false,
        };
        state.taps.retain(|tap| tap.give(item, begins));
        true
    }

    /// `publisher` sends nothing more. Who waits for the stream hears that its tracks end, and may wait for another. False where somebody else sends it.
    pub(crate) fn leave(&self, publisher: Publisher) -> bool {
        let mut state = self.state();
        let mine = state.is_sent_by(publisher);
        if mine {
            (state.publisher, state.health) = (None, None);
            state.end();
        }
        mine
    }
}

impl State {
    fn is_sent_by(&self, publisher: Publisher) -> bool {
        self.publisher.as_ref().is_some_and(|(number, _)| *number == publisher)
    }

    fn end(&mut self) {
        for track in std::mem::take(&mut self.tracks) {
            self.taps.retain(|tap| tap.give(&Item::End(track.id), false));
        }
    }

    /// Whether the stream can begin with a packet of that track: the first of pictures, or of sound alone.
    fn leads(&self, id: TrackId) -> bool {
        let video = self.tracks.iter().find(|t| t.kind() == TrackKind::Video);
        video.or(self.tracks.first()).is_some_and(|track| track.id == id)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}
