//! A graph of stages, each on a thread of its own, joined by bounded queues.
//!
//! Three shapes only: a source begins, a stage takes from one place and gives to any number of
//! others, a sink ends. The slowest node sets the pace for all, because a full queue makes its
//! writer wait.

use std::collections::VecDeque;
use std::sync::mpsc;

use sv_core::{Item, Source, Stage, TrackId};

use crate::Cancel;
use crate::channel::{Receiver, Sender, Stopped, channel, weight};
use crate::share::{Class, Share};

/// Names a node that gives items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(usize);

/// How a run ended, if not well.
#[derive(Debug)]
pub enum Failure<E> {
    /// A node failed; every other one was stopped.
    Node {
        /// The node's name.
        name: String,
        /// What it said.
        error: E,
    },
    /// [`Cancel::cancel`] was called.
    Cancelled,
    /// The system gave no thread for a node, as when memory runs out.
    Thread {
        /// The node's name.
        name: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A node panicked: a bug.
    Panicked {
        /// The node's name.
        name: String,
    },
}

type Work<'a, E> = Box<dyn FnOnce(&mut Outlets) -> Result<(), Halt<E>> + Send + 'a>;

enum Halt<E> {
    Stopped,
    Failed(E),
}

impl<E> From<Stopped> for Halt<E> {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Where a node's items go.
struct Outlets {
    places: Vec<Outlet>,
    /// Items that go over together.
    handful: usize,
    /// Or fewer, of so many bytes.
    bytes: usize,
}

struct Outlet {
    only: Option<TrackId>,
    sender: Sender,
    waiting: Vec<Item>,
    weight: usize,
}

impl Outlets {
    fn send(&mut self, item: Item) -> Result<(), Stopped> {
        let track = item.track();
        let mut wanted = self
            .places
            .iter_mut()
            .filter(|place| place.only.is_none() || track.is_none() || place.only == track)
            .peekable();
        let mut item = Some(item);
        while let Some(place) = wanted.next() {
            let last = wanted.peek().is_none();
            let Some(next) = (if last { item.take() } else { item.clone() }) else { break };
            place.weight = place.weight.saturating_add(weight(&next));
            place.waiting.push(next);
            if place.waiting.len() >= self.handful || place.weight >= self.bytes {
                place.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        self.places.iter_mut().try_for_each(Outlet::flush)
    }
}

impl Outlet {
    fn flush(&mut self) -> Result<(), Stopped> {
        self.weight = 0;
        if self.waiting.is_empty() { Ok(()) } else { self.sender.send(&mut self.waiting) }
    }
}

/// A graph under construction. `E` is the error that every node's error becomes.
pub struct Graph<'a, E> {
    nodes: Vec<(String, Work<'a, E>, Outlets)>,
    capacity: usize,
    handful: usize,
    cancel: Cancel,
    share: Share,
}

impl<'a, E: Send + 'a> Graph<'a, E> {
    /// An empty graph, whose queues hold `capacity` bytes each (or one item that is larger).
    #[must_use]
    pub fn new(capacity: usize, cancel: &Cancel) -> Self {
        Self { nodes: Vec::new(), capacity, handful: 1, cancel: cancel.clone(), share: Share::default() }
    }

    /// How urgent this graph's work is, and with what it shares the machine; the default is the normal
    /// class of the whole process's [`Shares`](crate::share::Shares). It counts for stages that are added
    /// later.
    #[must_use]
    pub fn share(mut self, share: &Share) -> Self {
        self.share = share.clone();
        self
    }

    /// Hands items over so many at a time, from nodes that are added later. Threads are woken less often, which is
    /// most of what small packets cost; a source that has to wait for its items would keep them back, so this is for
    /// files.
    #[must_use]
    pub fn handfuls(mut self, items: usize) -> Self {
        self.handful = items.max(1);
        self
    }

    fn add(&mut self, name: impl Into<String>, work: Work<'a, E>) -> Node {
        let outlets = Outlets { places: Vec::new(), handful: self.handful, bytes: self.capacity / 4 };
        self.nodes.push((name.into(), work, outlets));
        Node(self.nodes.len() - 1)
    }

    fn inlet(&mut self, from: Node, only: Option<TrackId>) -> Receiver {
        let (sender, receiver) = channel(self.capacity, &self.cancel);
        if let Some((_, _, outlets)) = self.nodes.get_mut(from.0) {
            outlets.places.push(Outlet { only, sender, waiting: Vec::new(), weight: 0 });
        }
        receiver
    }

    /// Begins with a source. What nobody takes is thrown away.
    pub fn source<S>(&mut self, name: impl Into<String>, mut source: S) -> Node
    where
        S: Source + 'a,
        E: From<S::Error>,
    {
        self.add(
            name,
            Box::new(move |out| {
                while let Some(item) = source.next_item().map_err(|e| Halt::Failed(e.into()))? {
                    out.send(item)?;
                }
                Ok(())
            }),
        )
    }

    /// Puts a stage behind `from`. With `only`, it sees that track's items alone.
    pub fn stage<S>(
        &mut self,
        name: impl Into<String>,
        from: Node,
        only: Option<TrackId>,
        mut stage: S,
    ) -> Node
    where
        S: Stage + 'a,
        E: From<S::Error>,
    {
        let inlet = self.inlet(from, only);
        let mut seat = self.share.seat();
        let handful = self.handful;
        self.add(
            name,
            Box::new(move |out| {
                let fail = |e: S::Error| Halt::Failed(e.into());
                let mut items = VecDeque::new();
                // Waiting for a queue is no step: only the work itself takes up a place.
                while inlet.receive(&mut items, handful)? {
                    for item in items.drain(..) {
                        seat.step(|| stage.push(item)).map_err(fail)?;
                        while let Some(item) = seat.step(|| stage.pull()).map_err(fail)? {
                            out.send(item)?;
                        }
                    }
                }
                seat.step(|| stage.finish()).map_err(fail)?;
                while let Some(item) = seat.step(|| stage.pull()).map_err(fail)? {
                    out.send(item)?;
                }
                Ok(())
            }),
        )
    }

    /// Ends with a function that is called for each item behind `from`.
    pub fn sink(
        &mut self,
        name: impl Into<String>,
        from: Node,
        only: Option<TrackId>,
        mut sink: impl FnMut(Item) -> Result<(), E> + Send + 'a,
    ) {
        let inlet = self.inlet(from, only);
        let handful = self.handful;
        self.add(
            name,
            Box::new(move |_| {
                let mut items = VecDeque::new();
                while inlet.receive(&mut items, handful)? {
                    items.drain(..).try_for_each(&mut sink).map_err(Halt::Failed)?;
                }
                Ok(())
            }),
        );
    }

    /// Runs until every node has ended, on threads that end before this returns.
    ///
    /// A failure cancels the run for every other node.
    ///
    /// # Errors
    /// The first node's failure, or that the run was cancelled.
    pub fn run(self) -> Result<(), Failure<E>> {
        let (failures, first) = mpsc::channel();
        let _live = (self.share.class == Class::Live).then(|| self.share.shares.live());
        std::thread::scope(|scope| {
            for (name, work, mut outlets) in self.nodes {
                let thread = std::thread::Builder::new().name(name.clone());
                let spawned = thread.spawn_scoped(scope, {
                    let name = name.clone();
                    let failures = failures.clone();
                    let cancel = self.cancel.clone();
                    move || {
                        let work = std::panic::AssertUnwindSafe(|| {
                            work(&mut outlets)?;
                            Ok(outlets.flush()?)
                        });
                        match std::panic::catch_unwind(work) {
                            Ok(Ok(())) => outlets.places.drain(..).for_each(|place| place.sender.finish()),
                            Ok(Err(Halt::Stopped)) => {}
                            Ok(Err(Halt::Failed(error))) => {
                                let _ = failures.send(Failure::Node { name, error });
                                cancel.cancel();
                            }
                            Err(_) => {
                                let _ = failures.send(Failure::Panicked { name });
                                cancel.cancel();
                            }
                        }
                    }
                });
                if let Err(error) = spawned {
                    let _ = failures.send(Failure::Thread { name, error });
                    self.cancel.cancel();
                }
            }
        });
        drop(failures);
        match first.try_iter().next() {
            Some(failure) => Err(failure),
            None if self.cancel.is_cancelled() => Err(Failure::Cancelled),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u32);

    impl Source for Count {
        type Error = std::io::Error;
        fn next_item(&mut self) -> std::io::Result<Option<Item>> {
            self.0 += 1;
            Ok((self.0 <= 100).then_some(Item::End(TrackId(self.0 % 3))))
        }
    }

    /// Gives each item twice, the last one at the very end.
    #[derive(Default)]
    struct Echo(VecDeque<Item>, Option<Item>);

    impl Stage for Echo {
        type Error = std::io::Error;
        fn push(&mut self, item: Item) -> std::io::Result<()> {
            self.0.push_back(item.clone());
            self.0.extend(self.1.replace(item));
            Ok(())
        }
        fn pull(&mut self) -> std::io::Result<Option<Item>> {
            Ok(self.0.pop_front())
        }
        fn finish(&mut self) -> std::io::Result<()> {
            self.0.extend(self.1.take());
            Ok(())
        }
    }

    #[test]
    fn items_reach_every_branch_that_wants_them() {
        let cancel = Cancel::default();
        let mut graph = Graph::<std::io::Error>::new(1, &cancel);
        let (mut all, mut one, mut twice) = (0, 0, 0);
        let source = graph.source("source", Count(0));
        graph.sink("all", source, None, |_| {
            all += 1;
            Ok(())
        });
        graph.sink("one", source, Some(TrackId(1)), |item| {
            assert_eq!(item.track(), Some(TrackId(1)));
            one += 1;
            Ok(())
        });
        let echo = graph.stage("echo", source, None, Echo::default());
        graph.sink("twice", echo, None, |_| {
            twice += 1;
            Ok(())
        });
        graph.run().unwrap();
        assert_eq!((all, one, twice), (100, 34, 200));
    }

    #[test]
    fn handfuls_change_nothing_but_how_many_go_over_at_a_time() {
        let (mut one, mut twice) = (Vec::new(), 0);
        let mut graph = Graph::<std::io::Error>::new(1000, &Cancel::default()).handfuls(32);
        let source = graph.source("source", Count(0));
        graph.sink("one", source, Some(TrackId(1)), |item| {
            one.push(item.track());
            Ok(())
        });
        let echo = graph.stage("echo", source, None, Echo::default());
        graph.sink("twice", echo, None, |_| {
            twice += 1;
            Ok(())
        });
        graph.run().unwrap();
        assert_eq!((one.len(), twice), (34, 200));
        assert!(one.iter().all(|track| *track == Some(TrackId(1))));
    }

    #[test]
    fn one_failure_stops_all() {
        let mut graph = Graph::<std::io::Error>::new(1, &Cancel::default());
        let source = graph.source("source", Count(0));
        graph.sink("good", source, None, |_| Ok(()));
        graph.sink("bad", source, None, |_| Err(std::io::Error::other("no room")));
        match graph.run() {
            Err(Failure::Node { name, error }) => {
                assert_eq!((name.as_str(), error.to_string().as_str()), ("bad", "no room"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_panic_is_a_failure_and_a_cancelled_run_says_so() {
        let mut graph = Graph::<std::io::Error>::new(1, &Cancel::default());
        let source = graph.source("source", Count(0));
        graph.sink("bug", source, None, |_| panic!("on purpose"));
        assert!(matches!(graph.run(), Err(Failure::Panicked { .. })));

        let cancel = Cancel::default();
        let mut graph = Graph::<std::io::Error>::new(1, &cancel);
        let source = graph.source("source", Count(0));
        graph.sink("sink", source, None, |_| {
            cancel.cancel();
            Ok(())
        });
        assert!(matches!(graph.run(), Err(Failure::Cancelled)));
    }
}
