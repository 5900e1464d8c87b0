//! Which streams there are, who sends them, and who gets them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sv_core::{Item, Packet, Track};

use crate::failover::{Content, Failover, Publisher, Switch, Told};
use crate::feed::{Feed, Tap, feed};
use crate::health::{Link, Report};

/// All streams of a gateway by name. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    streams: Arc<Mutex<HashMap<String, Arc<Stream>>>>,
    /// What moments count from.
    born: Instant,
    failover: Failover,
    watch: Arc<Watch>,
}

/// Streams that somebody has to tell the time, since several send them.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    streams: Mutex<(Vec<Arc<Stream>>, bool)>,
    bell: Condvar,
}

/// One stream: it is there as long as somebody sends it or waits for it.
pub(crate) struct Stream {
    name: String,
    born: Instant,
    watch: Arc<Watch>,
    state: Mutex<State>,
}

struct State {
    switch: Switch,
    /// How each who sends it hears that somebody else does.
    replaced: HashMap<Publisher, Replaced>,
    taps: Vec<Tap>,
}

type Replaced = Box<dyn FnOnce() + Send>;

/// Some of what came last from one who sends a stream, for whoever looks at it and listens to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// The stream's name.
    pub stream: String,
    /// Who sends it, for [`Hub::observe`].
    pub publisher: u64,
    /// The last key picture, and its track.
    pub picture: Option<(Arc<Track>, Packet)>,
    /// The track of sound.
    pub sound: Option<Arc<Track>>,
    /// Its last packets.
    pub packets: Vec<Packet>,
}

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
        Self::with_failover(Failover::default())
    }

    /// As [`new`](Self::new); who of several that send a stream is on air goes by these settings.
    #[must_use]
    pub fn with_failover(failover: Failover) -> Self {
        Self { streams: Arc::default(), born: Instant::now(), failover, watch: Arc::default() }
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
        let switch = Switch::new(self.failover);
        let state = Mutex::new(State { switch, replaced: HashMap::new(), taps: Vec::new() });
        let (name, watch) = (name.to_owned(), Arc::clone(&self.watch));
        let stream = Arc::new(Stream { name: name.clone(), born: self.born, watch, state });
        streams.insert(name, Arc::clone(&stream));
        stream
    }

    fn all(&self) -> Vec<Arc<Stream>> {
        self.streams().values().map(Arc::clone).collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams().get(name).map(Arc::clone)
    }

    /// Names of streams that somebody sends.
    #[must_use]
    pub fn live(&self) -> Vec<String> {
        let live = self.all().into_iter().filter(|s| s.is_live());
        let mut names: Vec<String> = live.map(|s| s.name.clone()).collect();
        names.sort();
        names
    }

    /// Whether somebody sends the stream of that name.
    #[must_use]
    pub fn is_live(&self, name: &str) -> bool {
        self.find(name).is_some_and(|s| s.is_live())
    }

    /// How well the stream of that name comes from who is on air; nothing where nobody sends it.
    #[must_use]
    pub fn health(&self, name: &str) -> Option<Report> {
        self.senders(name).into_iter().next()
    }

    /// How well the stream of that name comes from each who sends it: who is on air first.
    #[must_use]
    pub fn senders(&self, name: &str) -> Vec<Report> {
        let Some(stream) = self.find(name) else { return Vec::new() };
        let now = stream.now();
        stream.state().switch.reports(now)
    }

    /// Some of what came last, of all streams from each who sends them. It is kept of a stream from the first time on that this is
    /// asked: until then there is nothing.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let of = |stream: Arc<Stream>| {
            let looks = stream.state().switch.looks();
            let sample = move |(publisher, look): (_, crate::failover::Look)| Sample {
                stream: stream.name.clone(),
                publisher,
                picture: look.picture,
                sound: look.sound,
                packets: look.packets.into(),
            };
            looks.into_iter().map(sample)
        };
        self.all().into_iter().flat_map(of).collect()
    }

    /// Tells what is seen and heard of one who sends a stream, as a [`Sample`] names it: it counts until something else is
    /// told.
    pub fn observe(&self, stream: &str, publisher: u64, content: Content) {
        if let Some(stream) = self.find(stream) {
            stream.observe(publisher, content);
        }
    }

    /// The stream of that name from the next moment on at which decoding can start, whoever sends it now or later: where
    /// nobody does any more its tracks end, and where another comes they are told anew.
    /// `limit` is how many bytes wait at most for who reads them.
    #[must_use]
    pub fn subscribe(&self, name: &str, limit: usize) -> Feed {
        self.stream(name).subscribe(limit, None)
    }

    /// Sends away all who send the stream of that name. False where nobody does.
    pub fn dismiss(&self, name: &str) -> bool {
        let Some(stream) = self.streams().get(name).map(Arc::clone) else { return false };
        let away: Vec<Replaced> = stream.state().replaced.drain().map(|(_, away)| away).collect();
        let any = !away.is_empty();
        away.into_iter().for_each(|away| away());
        any
    }

    /// Lets go of streams that nobody sends or wants.
    pub(crate) fn tidy(&self) {
        self.streams().retain(|_, stream| {
            let mut state = stream.state();
            state.taps.retain(Tap::is_wanted);
            state.switch.is_live() || !state.taps.is_empty()
        });
    }

    /// Ends all feeds.
    pub(crate) fn close(&self) {
        for stream in self.streams().drain() {
            stream.1.state().taps.clear();
        }
    }

    pub(crate) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl Watch {
    fn streams(&self) -> MutexGuard<'_, (Vec<Arc<Stream>>, bool)> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, stream: &Arc<Stream>) {
        let mut streams = self.streams();
        if !streams.0.iter().any(|s| Arc::ptr_eq(s, stream)) {
            streams.0.push(Arc::clone(stream));
            self.bell.notify_all();
        }
    }

    pub(crate) fn start(&self) {
        self.streams().1 = false;
    }

    pub(crate) fn stop(&self) {
        self.streams().1 = true;
        self.bell.notify_all();
    }

    /// Tells the time to streams that several send, until it is stopped.
    pub(crate) fn run(&self, every: Duration, notice: impl Fn(&str, Told)) {
        let mut streams = self.streams();
        while !streams.1 {
            streams = if streams.0.is_empty() {
                self.bell.wait(streams).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.bell.wait_timeout(streams, every).unwrap_or_else(PoisonError::into_inner).0
            };
            streams.0.retain(|stream| stream.state().switch.is_redundant());
            let all = streams.0.clone();
            drop(streams);
            for stream in all {
                for told in stream.tick() {
                    notice(&stream.name, told);
                }
            }
            streams = self.streams();
        }
    }
}

impl Stream {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.born.elapsed()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state().switch.is_live()
    }

    /// The tracks that are known.
    pub(crate) fn tracks(&self) -> Vec<Arc<Track>> {
        self.state().switch.tracks().map(Arc::clone).collect()
    }

    pub(crate) fn subscribe(&self, limit: usize, ring: Option<Box<dyn Fn() + Send + Sync>>) -> Feed {
        let (tap, feed) = feed(limit, ring);
        let mut state = self.state();
        for track in state.switch.tracks() {
            tap.give(&Item::Track(Arc::clone(track)), false);
        }
        state.taps.push(tap);
        feed
    }

    /// Somebody begins to send it, in place of who had its rank, which hears of it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        rank: u8,
        from: String,
        replaced: Replaced,
    ) -> (Publisher, Vec<Told>) {
        let mut state = self.state();
        let (number, gone) = state.switch.begin(self.now(), rank, from);
        let gone = gone.and_then(|gone| state.replaced.remove(&gone));
        state.replaced.insert(number, replaced);
        let told = state.flush();
        let redundant = state.switch.is_redundant();
        drop(state);
        if redundant {
            self.watch.add(self);
        }
        if let Some(replaced) = gone {
            replaced();
        }
        (number, told)
    }

    /// What `publisher` sends, and what has happened by it. Nothing where somebody else has taken its place.
    pub(crate) fn give(&self, publisher: Publisher, item: &Item) -> Option<Vec<Told>> {
        let mut state = self.state();
        state.switch.give(self.now(), publisher, item).then(|| state.flush())
    }

    /// `publisher` sends nothing more. Who waits for the stream hears that its tracks end where nobody else sends it, and may
    /// wait for another. Nothing where somebody else has taken its place.
    pub(crate) fn leave(&self, publisher: Publisher) -> Option<Vec<Told>> {
        let mut state = self.state();
        state.replaced.remove(&publisher);
        state.switch.leave(self.now(), publisher).then(|| state.flush())
    }

    pub(crate) fn link(&self, publisher: Publisher, link: Link) {
        self.state().switch.link(publisher, link);
    }

    fn observe(&self, publisher: Publisher, content: Content) {
        // Whoever is told of a change hears of it with the next tick.
        self.state().switch.observe(self.now(), publisher, content);
    }

    fn tick(&self) -> Vec<Told> {
        let mut state = self.state();
        state.switch.tick(self.now());
        state.flush()
    }
}

impl State {
    /// Passes on what goes out.
    fn flush(&mut self) -> Vec<Told> {
        while let Some((item, begins)) = self.switch.next() {
            self.taps.retain(|tap| tap.give(&item, begins));
        }
        self.switch.told()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}
