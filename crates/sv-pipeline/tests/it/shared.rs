//! A queue that processes share through PostgreSQL; each has its own connection.

use std::collections::HashSet;
use std::sync::Barrier;

use serde_json::json;
use sv_core::ErrorKind;
use sv_pipeline::queue::{Error, JobId, Options, Queue, State};

use crate::place::{Place, at, job};
use crate::server::{Server, fresh, place, shared};

/// Lets so many processes join and do this at the same time, and gives what each of them says.
fn together<T: Send>(place: &Place, count: usize, act: impl Fn(usize, &Queue) -> T + Sync) -> Vec<T> {
    let (start, act) = (Barrier::new(count), &act);
    let process = |n| {
        let start = &start;
        move || {
            let queue = place.open(at(0));
            start.wait();
            act(n, &queue)
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..count).map(|n| scope.spawn(process(n))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn two_processes_never_hold_the_same_job() {
    let Some(place) = place() else { return };
    let queue = place.open(at(0));
    for n in 0..300 {
        queue.enqueue(&job(&n.to_string()), at(0)).unwrap();
    }
    let taken = together(&place, 6, |n, queue| {
        let claims = std::iter::from_fn(|| queue.claim(&format!("w{n}"), at(0)).unwrap());
        claims
            .map(|claim| {
                queue.complete(&claim.lease, &json!(n), at(0)).unwrap();
                claim.job.id
            })
            .collect::<Vec<JobId>>()
    });
    let all: Vec<JobId> = taken.into_iter().flatten().collect();
    assert_eq!(all.len(), 300);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 300);
    let counts = queue.counts().unwrap();
    assert_eq!((counts.done, counts.queued, counts.running), (300, 0, 0));
}

#[test]
fn jobs_of_the_silent_are_given_out_once() {
    let Some(place) = place() else { return };
    let queue = place.open(at(0));
    for n in 0..60 {
        queue.enqueue(&job(&n.to_string()), at(0)).unwrap();
        queue.claim("silent", at(0)).unwrap().unwrap();
    }
    let taken = together(&place, 4, |_, queue| {
        let claims = std::iter::from_fn(|| queue.claim("w", at(60)).unwrap());
        claims.map(|claim| (claim.job.id, claim.lease.fence)).collect::<Vec<_>>()
    });
    let all: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(all.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), 60);
    assert!(all.len() == 60 && all.iter().all(|(_, fence)| *fence == 2));
}

#[test]
fn a_key_that_all_enter_is_entered_once() {
    let Some(place) = place() else { return };
    const PROCESSES: usize = 6;
    let round = Barrier::new(PROCESSES);
    let told = together(&place, PROCESSES, |_, queue| {
        let enter = |n: u32| {
            round.wait();
            queue.enqueue(&job(&format!("key {n}")), at(0))
        };
        (0..40).map(enter).collect::<Vec<_>>()
    });
    for n in 0..40 {
        let of_key: Vec<_> = told.iter().map(|all| *all[n].as_ref().unwrap()).collect();
        assert_eq!(of_key.iter().filter(|put| put.fresh).count(), 1, "{of_key:?}");
        assert_eq!(of_key.iter().map(|put| put.id).collect::<HashSet<_>>().len(), 1);
    }
}

/// While a key is entered by some, others take, complete, cancel and fail what they find.
#[test]
fn a_key_is_active_once_whatever_others_do() {
    let Some(place) = place() else { return };
    let fresh: usize = together(&place, 6, |n, queue| {
        let mut fresh = 0;
        for round in 0..60 {
            if n < 3 {
                fresh += usize::from(queue.enqueue(&job("the key"), at(0)).unwrap().fresh);
            } else if let Some(claim) = queue.claim("w", at(0)).unwrap() {
                assert_eq!(claim.job.key, "the key");
                match round % 3 {
                    0 => queue.complete(&claim.lease, &json!(1), at(0)).unwrap(),
                    1 => drop(queue.fail(&claim.lease, "no", false, at(0)).unwrap()),
                    _ => {
                        queue.cancel(claim.job.id, at(0)).unwrap();
                        queue.give_back(&claim.lease, at(0)).unwrap();
                    }
                }
            }
        }
        fresh
    })
    .into_iter()
    .sum();
    let counts = place.open(at(0)).counts().unwrap();
    let over = counts.done + counts.failed + counts.cancelled;
    assert_eq!(over + counts.queued + counts.running, fresh as u64);
    assert!(counts.queued + counts.running <= 1, "{counts:?}");
}

#[test]
fn an_old_fence_is_refused_in_every_process() {
    let Some(place) = place() else { return };
    let (one, two) = (place.open(at(0)), place.open(at(0)));
    one.enqueue(&job("a"), at(0)).unwrap();
    let old = one.claim("sleepy", at(0)).unwrap().unwrap();
    assert_eq!(two.claim("w", at(59)).unwrap(), None);
    let new = two.claim("w", at(60)).unwrap().unwrap();
    assert_eq!(new.lease.fence, old.lease.fence + 1);
    let late = one.complete(&old.lease, &json!("late"), at(61));
    assert!(matches!(late, Err(Error::LeaseLost(_))), "{late:?}");
    two.complete(&new.lease, &json!("good"), at(62)).unwrap();
    assert_eq!(one.job(new.job.id).unwrap().unwrap().result, Some(json!("good")));
}

#[test]
fn those_who_come_first_make_the_queue_once() {
    let Some(server) = shared() else { return };
    for _ in 0..5 {
        let (database, start) = (fresh(&server), Barrier::new(8));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (database, start) = (&database, &start);
                scope.spawn(move || {
                    start.wait();
                    let queue = Queue::connect(database, Options::default()).unwrap();
                    queue.enqueue(&job(&n.to_string()), at(0)).unwrap();
                });
            }
        });
        let queue = Queue::connect(&database, Options::default()).unwrap();
        assert_eq!(queue.counts().unwrap().queued, 8);
    }
}

#[test]
fn queues_of_one_server_know_nothing_of_each_other() {
    let Some(server) = shared() else { return };
    let one = Queue::connect(&fresh(&server), Options::default()).unwrap();
    let two = Queue::connect(&fresh(&server), Options::default()).unwrap();
    assert!(one.enqueue(&job("a"), at(0)).unwrap().fresh);
    assert_eq!(two.claim("w", at(0)).unwrap(), None);
    assert!(two.enqueue(&job("a"), at(0)).unwrap().fresh);
}

/// What a process was told before the server went away.
#[derive(Default)]
struct Told {
    entered: Vec<JobId>,
    completed: Vec<JobId>,
}

impl Told {
    fn work(&mut self, queue: &Queue, key: &str, now: u64) -> Result<(), Error> {
        self.entered.push(queue.enqueue(&job(key), at(0))?.id);
        if let Some(claim) = queue.claim("w", at(now))? {
            queue.complete(&claim.lease, &json!(key), at(now))?;
            self.completed.push(claim.job.id);
        }
        Ok(())
    }
}

/// The server is killed while four processes work, three times over. Whatever a process was told
/// holds afterwards, and the same queues go on.
#[test]
fn what_was_told_holds_after_the_server_was_killed() {
    let Some(server) = Server::start() else { return };
    let database = fresh(&server);
    let queues: Vec<_> = (0..4).map(|_| Queue::connect(&database, Options::default()).unwrap()).collect();
    let (mut entered, mut completed) = (HashSet::new(), HashSet::new());
    for round in 0..3 {
        let busy = &Barrier::new(queues.len() + 1);
        let work = &|n: usize, queue: &Queue| {
            let mut told = Told::default();
            let mut step = |step: u32| told.work(queue, &format!("{round} {n} {step}"), round * 60);
            let begun = (0..10).try_for_each(&mut step);
            busy.wait();
            begun.unwrap();
            let error = (10..).find_map(|n| step(n).err());
            (told, error.unwrap())
        };
        let told: Vec<(Told, Error)> = std::thread::scope(|scope| {
            let process = |(n, queue)| scope.spawn(move || work(n, queue));
            let all: Vec<_> = queues.iter().enumerate().map(process).collect();
            busy.wait();
            server.kill();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for (told, error) in told {
            entered.extend(told.entered);
            completed.extend(told.completed);
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("PostgreSQL"), "{error}");
        }
        // No server: one sentence, at once.
        let error = queues[0].counts().unwrap_err();
        assert!(error.kind().is_retryable() && error.to_string().contains("can't be reached"), "{error}");
        server.up();
        for id in &entered {
            let job = queues[1].job(*id).unwrap().expect("an accepted job");
            assert!(job.state == State::Done || !completed.contains(id), "{job:?}");
        }
    }
    // All queues go on, and all that was accepted can be done.
    for queue in &queues {
        while let Some(claim) = queue.claim("w", at(10_000)).unwrap() {
            assert!(!completed.contains(&claim.job.id), "{:?} was done", claim.job);
            queue.complete(&claim.lease, &json!(null), at(10_000)).unwrap();
        }
        assert_eq!(queue.counts().unwrap().queued, 0);
    }
    // Some are done although the answer was lost: nobody was told, and nothing is done again.
    let left = entered.iter().filter(|id| queues[0].job(**id).unwrap().unwrap().state != State::Done);
    assert_eq!(left.collect::<Vec<_>>(), Vec::<&JobId>::new());
}

#[test]
fn a_server_that_restarts_while_nobody_asks_is_not_noticed() {
    let Some(server) = Server::start() else { return };
    let queue = Queue::connect(&fresh(&server), Options::default()).unwrap();
    let id = queue.enqueue(&job("a"), at(0)).unwrap().id;
    server.kill();
    server.up();
    let claim = queue.claim("w", at(0)).unwrap().unwrap();
    assert_eq!(claim.job.id, id);
    server.kill();
    server.up();
    assert_eq!(queue.counts().unwrap().running, 1);
}

/// A server that accepts everything and answers nothing.
#[test]
#[ignore = "it takes two times half a minute"]
fn a_server_that_hangs_hangs_nobody() {
    let Some(server) = Server::start() else { return };
    let queue = Queue::connect(&fresh(&server), Options::default()).unwrap();
    server.signal("STOP");
    for result in [queue.enqueue(&job("a"), at(0)).err(), queue.counts().err()] {
        let error = result.unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    server.signal("CONT");
    assert!(queue.enqueue(&job("a"), at(0)).unwrap().fresh);
}

/// The client panics on the threads of an asynchronous runtime; the queue does not.
#[cfg(feature = "nats")]
#[test]
fn a_thread_of_an_asynchronous_runtime_may_ask() {
    let Some(place) = place() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let queue = place.open(at(0));
        assert!(queue.enqueue(&job("a"), at(0)).unwrap().fresh);
        assert!(queue.claim("w", at(0)).unwrap().is_some());
    });
}
