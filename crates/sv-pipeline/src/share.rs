//! Who goes first when there is not enough of a machine for all.
//!
//! A live stream can't wait: a picture that is encoded too late is of no use. Work whose result is
//! stored can. While anything of [`Class::Live`] runs, all other work of this process yields in two ways:
//! some cores are *reserved*, which means that fewer steps of other work are taken at a time than there
//! are cores, and its threads ask the operating system for a smaller *weight* (their nice value; on Linux 5
//! is about a third of the usual share, 10 about a tenth). Without live work nothing is held back, but
//! that [`Class::Background`] has its small weight always, for what other programs do.
//!
//! Steps are short: one picture through one decoder, filter or encoder. So a reserved core is free a
//! moment after live work begins.
//!
//! ```
//! use sv_core::{Item, Source};
//! use sv_pipeline::graph::Graph;
//! use sv_pipeline::share::{Class, Share, Shares};
//! use sv_pipeline::Cancel;
//!
//! // Four cores, one of which only live work may use while there is any.
//! let shares = Shares::new(4, 1);
//! let (live, stored) = (Share::new(&shares, Class::Live), Share::new(&shares, Class::Normal));
//! let game = Graph::<std::io::Error>::new(1 << 20, &Cancel::default()).share(&live);
//! let film = Graph::<std::io::Error>::new(1 << 20, &Cancel::default()).share(&stored);
//! # let _ = (film, game);
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How urgent work is. A queue always serves a more urgent class first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Somebody is watching it happen: live streams.
    Live,
    /// Somebody waits for it.
    #[default]
    Normal,
    /// Whenever there is nothing better to do, on the whole machine.
    Background,
}

impl Class {
    /// The nice value of its threads once they yield.
    const fn nice(self) -> i32 {
        match self {
            Self::Live => 0,
            Self::Normal => 5,
            Self::Background => 10,
        }
    }
}

/// The cores of a machine, shared by the graphs of a process. Clones are the same thing.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Steps that work may take at a time while nothing live runs.
    alone: usize,
    /// Steps that other work may take at a time beside live work.
    beside: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Nanoseconds of processor time that all steps took.
    spent: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Runs of live work.
    live: usize,
    /// Steps of other work that are being taken.
    taken: usize,
}

impl Default for Shares {
    /// The same for the whole process: all cores, a quarter of them (one at least) reserved.
    fn default() -> Self {
        static PROCESS: OnceLock<Shares> = OnceLock::new();
        let make = || {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Self::new(cores, (cores / 4).max(1))
        };
        PROCESS.get_or_init(make).clone()
    }
}

impl Shares {
    /// So many cores, of which so many are reserved for live work while there is any. At least one is
    /// left for other work: it has the smaller weight there.
    #[must_use]
    pub fn new(cores: usize, reserved: usize) -> Self {
        Self::limited(usize::MAX, cores.saturating_sub(reserved))
    }

    /// At most `alone` steps of work that isn't live at a time, and `beside` while something live runs:
    /// for a machine whose live work is another process's.
    #[must_use]
    pub fn limited(alone: usize, beside: usize) -> Self {
        let alone = alone.max(1);
        let beside = beside.clamp(1, alone);
        Self(Arc::new(Inner { alone, beside, ..Inner::default() }))
    }

    /// Processor time that all steps have taken so far.
    #[must_use]
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.0.spent.load(Ordering::Relaxed))
    }

    /// Says that live work runs until the result is dropped. A graph of that class does so by itself.
    #[must_use]
    pub fn live(&self) -> Live {
        self.0.lock().live += 1;
        Live(self.clone())
    }
}

/// What one piece of work may take of a machine. The default is the normal class of the whole process's
/// [`Shares`].
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// The machine.
    pub shares: Shares,
    /// How urgent the work is.
    pub class: Class,
    /// Nanoseconds of processor time that steps with this share took.
    spent: Arc<AtomicU64>,
}

impl Share {
    /// A share of this class.
    #[must_use]
    pub fn new(shares: &Shares, class: Class) -> Self {
        Self { shares: shares.clone(), class, spent: Arc::default() }
    }

    /// Processor time that steps with this share, or a clone of it, have taken so far, as their own threads
    /// count it: threads that a library starts are not in it. Nothing where the system doesn't tell.
    #[must_use]
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// A seat for one thread.
    pub(crate) fn seat(&self) -> Seat {
        let (shares, spent) = (self.shares.clone(), Arc::clone(&self.spent));
        Seat { shares, class: self.class, spent, yields: false }
    }
}

/// Nanoseconds of processor time of this thread.
fn thread_time() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
        seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
    }
    #[cfg(not(target_os = "linux"))]
    0
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self, state: &State) -> usize {
        if state.live > 0 { self.beside } else { self.alone }
    }
}

/// Live work runs as long as this is kept.
#[derive(Debug)]
pub struct Live(Shares);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.0.lock().live -= 1;
        self.0.0.changed.notify_all();
    }
}

/// One thread's place among the others.
pub(crate) struct Seat {
    shares: Shares,
    class: Class,
    spent: Arc<AtomicU64>,
    yields: bool,
}

impl Seat {
    /// Takes a step when there is room for it.
    pub(crate) fn step<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if self.class == Class::Live {
            return self.counted(work);
        }
        let inner = &self.shares.0;
        let mut state = inner.lock();
        while state.taken >= inner.room(&state) {
            state = inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.taken += 1;
        let yields = state.live > 0 || self.class == Class::Background;
        drop(state);
        // A step that panics is still over.
        let _taken = Taken(inner);
        if yields && !self.yields {
            // Once is enough, and all that an ordinary user may do: weight that was given away does
            // not come back to a thread.
            self.yields = true;
            weigh(self.class.nice());
        }
        self.counted(work)
    }

    fn counted<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = thread_time();
        let result = work();
        let spent = thread_time().saturating_sub(begun);
        self.spent.fetch_add(spent, Ordering::Relaxed);
        self.shares.0.spent.fetch_add(spent, Ordering::Relaxed);
        result
    }
}

struct Taken<'a>(&'a Inner);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.lock().taken -= 1;
        self.0.changed.notify_one();
    }
}

/// Gives this thread a smaller share. Linux keeps a nice value for each thread; elsewhere it belongs to
/// the process, live work included, and is left alone.
fn weigh(nice: i32) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let done = getpriority_process(None).and_then(|now| match now < nice {
            true => setpriority_process(None, nice),
            false => Ok(()),
        });
        if let Err(error) = done {
            tracing::debug!("a thread keeps its weight: {error}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// How many of `threads` get into a step at a time, once nothing moves any more.
    fn together(shares: &Shares, threads: usize, expected: usize) -> usize {
        let inside = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let (enter, entered) = mpsc::channel();
        let gates: Vec<_> = (0..threads).map(|_| mpsc::channel::<()>()).collect();
        std::thread::scope(|scope| {
            let mut keys = Vec::new();
            for (index, (key, gate)) in gates.into_iter().enumerate() {
                keys.push(key);
                let (enter, inside, most) = (enter.clone(), &inside, &most);
                let mut seat = Share::new(shares, Class::Normal).seat();
                scope.spawn(move || {
                    seat.step(|| {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        enter.send(index).unwrap();
                        gate.recv().unwrap();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
            // As many as there is room for come in; each that is let go lets another in.
            let mut waiting = std::collections::VecDeque::new();
            for _ in 0..expected {
                waiting.push_back(entered.recv().unwrap());
            }
            for left in (0..threads).rev() {
                keys[waiting.pop_front().unwrap()].send(()).unwrap();
                if left >= expected {
                    waiting.push_back(entered.recv().unwrap());
                }
            }
        });
        most.into_inner()
    }

    #[test]
    fn live_work_keeps_its_cores_and_gives_them_back() {
        let shares = Shares::new(4, 1);
        assert_eq!(together(&shares, 6, 6), 6, "nothing is held back without live work");
        let live = shares.live();
        assert_eq!(together(&shares, 6, 3), 3);
        let more = shares.live();
        drop(live);
        assert_eq!(together(&shares, 6, 3), 3);
        drop(more);
        assert_eq!(together(&shares, 6, 6), 6);
    }

    #[test]
    fn one_core_is_always_left_and_a_limit_holds_without_live_work() {
        let shares = Shares::new(2, 8);
        let _live = shares.live();
        assert_eq!(together(&shares, 3, 1), 1);
        assert_eq!(together(&Shares::limited(2, 1), 4, 2), 2);
    }

    #[test]
    fn live_steps_never_wait() {
        let shares = Shares::new(1, 1);
        let _live = shares.live();
        let (mut film, mut stream) =
            (Share::new(&shares, Class::Normal).seat(), Share::new(&shares, Class::Live).seat());
        // The only place is taken, and the live step is taken inside of it.
        assert_eq!(film.step(|| stream.step(|| 7)), 7);
    }

    #[test]
    fn a_step_that_panics_gives_its_place_back() {
        let shares = Shares::limited(1, 1);
        let mut seat = Share::new(&shares, Class::Normal).seat();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            seat.step(|| panic!("on purpose"));
        }));
        assert!(panicked.is_err());
        assert_eq!(seat.step(|| 7), 7);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn threads_yield_when_something_live_runs_and_not_before() {
        use rustix::process::getpriority_process;
        let shares = Shares::new(2, 1);
        let before = getpriority_process(None).unwrap();
        for (class, nice) in [(Class::Normal, 5), (Class::Background, 10), (Class::Live, 0)] {
            let mut seat = Share::new(&shares, class).seat();
            std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    let alone = if class == Class::Background { before.max(nice) } else { before };
                    assert_eq!(seat.step(|| getpriority_process(None).unwrap()), alone);
                    let _live = shares.live();
                    seat.step(|| getpriority_process(None).unwrap())
                });
                assert_eq!(thread.join().unwrap(), before.max(nice));
            });
        }
        assert_eq!(getpriority_process(None).unwrap(), before, "other threads keep their weight");
    }
}
