//! The job queue under a clock that the test owns.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde_json::json;
use sv_pipeline::queue::{Cancelled, Class, Error, Failed, JobId, Lease, Options, Queue, Standing, State};

use crate::place::{Place, at, job, with_each_journal};

with_each_journal! {
    a_job_goes_from_hand_to_hand,
    a_key_waits_or_runs_once,
    the_urgent_come_first_then_those_who_wait_longest,
    failures_pause_twice_as_long_each_time_and_end,
    a_hopeless_job_fails_at_once,
    a_silent_worker_loses_its_job_and_cannot_disturb_the_next,
    jobs_are_called_off,
    a_job_whose_workers_fall_silent_ends_and_one_given_back_does_not,
    what_is_over_can_be_forgotten,
    jobs_are_counted,
    what_was_put_in_comes_out,
    threads_share_the_queue,
}

fn a_job_goes_from_hand_to_hand(place: &Place) {
    let queue = place.open(at(0));
    let put = queue.enqueue(&job("a"), at(0)).unwrap();
    assert!(put.fresh);

    let claim = queue.claim("w", at(1)).unwrap().unwrap();
    assert_eq!((claim.job.id, &claim.job.payload), (put.id, &json!({ "of": "a" })));
    assert_eq!(queue.claim("v", at(1)).unwrap(), None);

    assert_eq!(queue.progress(&claim.lease, &json!(0.5), at(2)).unwrap(), Standing::GoOn);
    assert_eq!(queue.job(put.id).unwrap().unwrap().progress, Some(json!(0.5)));
    queue.complete(&claim.lease, &json!(null), at(3)).unwrap();
    let done = queue.job(put.id).unwrap().unwrap();
    assert_eq!((done.state, done.result), (State::Done, Some(json!(null))));
    assert_eq!(queue.counts().unwrap().done, 1);
    assert!(matches!(queue.complete(&claim.lease, &json!(1), at(4)), Err(Error::LeaseLost(_))));
}

fn a_key_waits_or_runs_once(place: &Place) {
    let queue = place.open(at(0));
    let first = queue.enqueue(&job("a"), at(0)).unwrap();
    let second = queue.enqueue(&job("a"), at(1)).unwrap();
    assert_eq!((second.id, second.fresh), (first.id, false));

    let claim = queue.claim("w", at(2)).unwrap().unwrap();
    assert!(!queue.enqueue(&job("a"), at(3)).unwrap().fresh);
    queue.complete(&claim.lease, &json!(1), at(4)).unwrap();
    let third = queue.enqueue(&job("a"), at(5)).unwrap();
    assert!(third.fresh && third.id > first.id);
    assert_eq!(queue.latest("a").unwrap().unwrap().id, third.id);
}

fn the_urgent_come_first_then_those_who_wait_longest(place: &Place) {
    let queue = place.open(at(0));
    for (n, (key, class)) in [
        ("tidy", Class::Background),
        ("film", Class::Normal),
        ("clip", Class::Normal),
        ("match", Class::Live),
    ]
    .into_iter()
    .enumerate()
    {
        let mut new = job(key);
        new.class = class;
        queue.enqueue(&new, at(n as u64)).unwrap();
    }
    let order: Vec<String> =
        std::iter::from_fn(|| queue.claim("w", at(10)).unwrap()).map(|c| c.job.key).collect();
    assert_eq!(order, ["match", "film", "clip", "tidy"]);
}

fn failures_pause_twice_as_long_each_time_and_end(place: &Place) {
    let queue = place.open(at(0));
    let id = queue.enqueue(&job("a"), at(0)).unwrap().id;
    let mut now = 0;
    for pause in [2, 4, 8, 16] {
        let claim = queue.claim("w", at(now)).unwrap().unwrap();
        assert_eq!(
            queue.fail(&claim.lease, "no luck", true, at(now)).unwrap(),
            Failed::AgainAt(at(now + pause))
        );
        assert_eq!(queue.next_due().unwrap(), Some(at(now + pause)));
        assert_eq!(queue.claim("w", at(now + pause - 1)).unwrap(), None);
        now += pause;
    }
    let claim = queue.claim("w", at(now)).unwrap().unwrap();
    assert_eq!(queue.fail(&claim.lease, "still no luck", true, at(now)).unwrap(), Failed::ForGood);
    let over = queue.job(id).unwrap().unwrap();
    assert_eq!(
        (over.state, over.attempts, over.reason.as_deref()),
        (State::Failed, 5, Some("still no luck"))
    );
    assert_eq!(queue.next_due().unwrap(), None);
}

fn a_hopeless_job_fails_at_once(place: &Place) {
    let queue = place.open(at(0));
    queue.enqueue(&job("a"), at(0)).unwrap();
    let claim = queue.claim("w", at(0)).unwrap().unwrap();
    assert_eq!(queue.fail(&claim.lease, "this is not a video", false, at(0)).unwrap(), Failed::ForGood);
    assert_eq!(queue.claim("w", at(1000)).unwrap(), None);
}

fn a_silent_worker_loses_its_job_and_cannot_disturb_the_next(place: &Place) {
    let queue = place.open(at(0));
    queue.enqueue(&job("a"), at(0)).unwrap();
    let old = queue.claim("sleepy", at(0)).unwrap().unwrap();
    queue.heartbeat(&old.lease, at(50)).unwrap();
    assert_eq!(queue.claim("w", at(109)).unwrap(), None);
    let new = queue.claim("w", at(110)).unwrap().unwrap();
    assert!(new.lease.fence > old.lease.fence);
    for refused in [
        queue.heartbeat(&old.lease, at(111)).err(),
        queue.progress(&old.lease, &json!(1), at(111)).err(),
        queue.complete(&old.lease, &json!(1), at(111)).err(),
        queue.fail(&old.lease, "late", true, at(111)).err(),
        queue.give_back(&old.lease, at(111)).err(),
    ] {
        assert!(matches!(refused, Some(Error::LeaseLost(_))), "{refused:?}");
    }
    queue.complete(&new.lease, &json!(1), at(112)).unwrap();
}

fn jobs_are_called_off(place: &Place) {
    let queue = place.open(at(0));
    let waiting = queue.enqueue(&job("a"), at(0)).unwrap().id;
    assert_eq!(queue.cancel(waiting, at(0)).unwrap(), Cancelled::AtOnce);
    assert_eq!(queue.cancel(waiting, at(0)).unwrap(), Cancelled::WasOver);
    assert_eq!(queue.claim("w", at(1)).unwrap(), None);

    let running = queue.enqueue(&job("b"), at(1)).unwrap().id;
    let claim = queue.claim("w", at(1)).unwrap().unwrap();
    assert_eq!(queue.cancel(running, at(2)).unwrap(), Cancelled::Asked);
    assert_eq!(queue.heartbeat(&claim.lease, at(3)).unwrap(), Standing::Cancelled);
    queue.fail(&claim.lease, "called off", true, at(3)).unwrap();
    assert_eq!(queue.job(running).unwrap().unwrap().state, State::Cancelled);
    assert!(matches!(queue.cancel(JobId(99), at(3)), Err(Error::NoSuchJob(JobId(99)))));
}

#[test]
fn what_a_dead_process_held_is_free_at_once() {
    let folder = Place::folder();
    let queue = folder.open(at(0));
    let id = queue.enqueue(&job("a"), at(0)).unwrap().id;
    let old = queue.claim("w", at(0)).unwrap().unwrap();
    drop(queue);

    let queue = folder.open(at(1));
    let new = queue.claim("w", at(1)).unwrap().unwrap();
    assert_eq!((new.job.id, new.job.attempts), (id, 2));
    assert!(matches!(queue.heartbeat(&old.lease, at(1)), Err(Error::LeaseLost(_))));
}

#[test]
fn a_job_that_kills_its_worker_ends_and_one_given_back_does_not() {
    let folder = Place::folder();
    let id = folder.open(at(0)).enqueue(&job("a"), at(0)).unwrap().id;
    for _ in 0..20 {
        let queue = folder.open(at(0));
        let claim = queue.claim("w", at(0)).unwrap().unwrap();
        queue.give_back(&claim.lease, at(0)).unwrap();
    }
    for _ in 0..5 {
        let queue = folder.open(at(0));
        assert!(queue.claim("w", at(0)).unwrap().is_some());
    }
    let queue = folder.open(at(0));
    assert_eq!(queue.claim("w", at(0)).unwrap(), None);
    let over = queue.job(id).unwrap().unwrap();
    assert_eq!(over.state, State::Failed);
    assert!(over.reason.unwrap().contains("died 5 times"));
}

#[test]
fn one_folder_has_one_owner() {
    let folder = Place::folder();
    let queue = folder.open(at(0));
    let second = Queue::open(folder.path(), Options::default(), at(0));
    let Err(Error::InUse(_)) = second else { panic!("two owners: {second:?}") };
    drop(queue);
    folder.open(at(0));
}

#[test]
fn a_folder_that_is_a_file_is_one_sentence() {
    let folder = Place::folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Queue::open(&file, Options::default(), at(0)).unwrap_err();
    assert!(error.to_string().contains("can't be written"), "{error}");
}

#[test]
fn a_journal_from_the_future_is_left_alone() {
    let folder = Place::folder();
    drop(folder.open(at(0)));
    let raw = rusqlite::Connection::open(folder.path().join("queue.sqlite3")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = Queue::open(folder.path(), Options::default(), at(0)).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
}

fn what_is_over_can_be_forgotten(place: &Place) {
    let queue = place.open(at(0));
    let id = queue.enqueue(&job("a"), at(0)).unwrap().id;
    let kept = queue.enqueue(&job("b"), at(0)).unwrap().id;
    queue.cancel(id, at(0)).unwrap();
    assert_eq!(queue.forget(at(1)).unwrap(), 1);
    assert_eq!(queue.job(id).unwrap(), None);
    assert!(queue.job(kept).unwrap().is_some());
}

fn a_job_whose_workers_fall_silent_ends_and_one_given_back_does_not(place: &Place) {
    let queue = place.open(at(0));
    let id = queue.enqueue(&job("a"), at(0)).unwrap().id;
    for _ in 0..20 {
        let claim = queue.claim("w", at(0)).unwrap().unwrap();
        queue.give_back(&claim.lease, at(0)).unwrap();
    }
    for n in 0..5 {
        assert_eq!(queue.claim("w", at(n * 60)).unwrap().unwrap().job.attempts, n as u32 + 1);
        assert_eq!(queue.next_due().unwrap(), Some(at(n * 60 + 60)));
    }
    assert_eq!(queue.claim("w", at(300)).unwrap(), None);
    let over = queue.job(id).unwrap().unwrap();
    assert_eq!(over.state, State::Failed);
    assert!(over.reason.unwrap().contains("died 5 times"));
}

fn jobs_are_counted(place: &Place) {
    let queue = place.open(at(0));
    for key in ["done", "failed", "again", "running", "waiting", "cancelled"] {
        queue.enqueue(&job(key), at(0)).unwrap();
    }
    let claim = || queue.claim("w", at(0)).unwrap().unwrap();
    queue.complete(&claim().lease, &json!(1), at(0)).unwrap();
    queue.fail(&claim().lease, "no", false, at(0)).unwrap();
    queue.fail(&claim().lease, "not yet", true, at(0)).unwrap();
    assert_eq!(claim().job.key, "running");
    let last = queue.latest("cancelled").unwrap().unwrap();
    queue.cancel(last.id, at(0)).unwrap();
    let counts = queue.counts().unwrap();
    assert_eq!((counts.queued, counts.running, counts.done), (2, 1, 1));
    assert_eq!((counts.failed, counts.cancelled, counts.retries), (1, 1, 1));
}

fn what_was_put_in_comes_out(place: &Place) {
    let queue = place.open(at(0));
    let mut new = job("a 'quoted' \"key\" of $1, ?1 and ünïcode \u{1f426}");
    new.payload = json!({ "zero": "\0", "deep": [1, -2.5, null, { "x": "$2 FOR UPDATE" }] });
    let id = queue.enqueue(&new, at(0)).unwrap().id;
    let claim = queue.claim("w'; DROP TABLE jobs; --", at(0)).unwrap().unwrap();
    assert_eq!((&claim.job.key, &claim.job.payload), (&new.key, &new.payload));
    queue.fail(&claim.lease, "because\0 of $3", false, at(0)).unwrap();
    let over = queue.job(id).unwrap().unwrap();
    assert!(over.reason.unwrap().ends_with(" of $3"));
    assert_eq!((over.created, over.due, over.class), (at(0), at(0), Class::Normal));
    assert_eq!(queue.job(JobId(id.0 + 1)).unwrap(), None);
    assert_eq!(queue.latest("b").unwrap(), None);
}

/// Threads that race for jobs never get the same one.
fn threads_share_the_queue(place: &Place) {
    let queue = place.open(at(0));
    for n in 0..40 {
        queue.enqueue(&job(&n.to_string()), at(0)).unwrap();
    }
    let mut taken: Vec<JobId> = std::thread::scope(|scope| {
        let worker =
            || std::iter::from_fn(|| queue.claim("w", at(0)).unwrap()).map(|c| c.job.id).collect::<Vec<_>>();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    taken.sort();
    let len = taken.len();
    taken.dedup();
    assert_eq!((len, taken.len()), (40, 40));
}

/// What may happen to a queue, in any order.
#[derive(Clone, Debug)]
enum Step {
    Enqueue(u8),
    Claim,
    Heartbeat(usize),
    Complete(usize),
    Fail(usize, bool),
    GiveBack(usize),
    Cancel(usize),
    Wait(u16),
    KillTheProcess,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u8..5).prop_map(Step::Enqueue),
        4 => Just(Step::Claim),
        2 => any::<usize>().prop_map(Step::Heartbeat),
        2 => any::<usize>().prop_map(Step::Complete),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, again)| Step::Fail(n, again)),
        1 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => (0u16..200).prop_map(Step::Wait),
        1 => Just(Step::KillTheProcess),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    // Every case writes to the disk with full synchronisation.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_interleaving_runs_a_job_twice_or_loses_one(steps in steps()) {
        no_interleaving(&Place::folder(), steps)?;
    }
}

#[cfg(all(unix, feature = "postgres"))]
#[test]
fn nor_does_one_in_a_server() {
    // One server for all cases.
    let Some(_runs) = crate::server::place() else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(48));
    let case = |steps| no_interleaving(&crate::server::place().unwrap(), steps);
    runner.run(&steps(), case).unwrap();
}

/// Does these steps, and says which promise was broken.
fn no_interleaving(place: &Place, steps: Vec<Step>) -> TestCaseResult {
    let mut now = 0u64;
    let mut queue = place.open(at(0));
    let mut leases: Vec<Lease> = Vec::new();
    // Who holds which job until when, as the documentation promises it.
    let mut holders: HashMap<JobId, (i64, u64)> = HashMap::new();
    let mut all: Vec<JobId> = Vec::new();

    for step in steps {
        let pick = |n: usize| (!leases.is_empty()).then(|| leases[n % leases.len()]);
        match step {
            Step::Enqueue(key) => {
                let put = queue.enqueue(&job(&key.to_string()), at(now)).unwrap();
                prop_assert_eq!(put.fresh, !all.contains(&put.id));
                if put.fresh {
                    all.push(put.id);
                }
            }
            Step::Claim => {
                if let Some(claim) = queue.claim("w", at(now)).unwrap() {
                    let before = holders.insert(claim.job.id, (claim.lease.fence, now + 60));
                    if let Some((fence, until)) = before {
                        prop_assert!(until <= now, "job {} runs twice", claim.job.id);
                        prop_assert!(claim.lease.fence > fence);
                    }
                    leases.push(claim.lease);
                }
            }
            Step::Heartbeat(n) => {
                if let Some(lease) = pick(n) {
                    match queue.heartbeat(&lease, at(now)) {
                        Ok(_) => {
                            prop_assert_eq!(holders[&lease.job].0, lease.fence);
                            holders.insert(lease.job, (lease.fence, now + 60));
                        }
                        Err(e) => prop_assert!(matches!(e, Error::LeaseLost(_))),
                    }
                }
            }
            Step::Complete(n) => {
                if let Some(lease) = pick(n)
                    && queue.complete(&lease, &json!(0), at(now)).is_ok()
                {
                    prop_assert_eq!(holders.remove(&lease.job).unwrap().0, lease.fence);
                }
            }
            Step::Fail(n, again) => {
                if let Some(lease) = pick(n)
                    && queue.fail(&lease, "because", again, at(now)).is_ok()
                {
                    prop_assert_eq!(holders.remove(&lease.job).unwrap().0, lease.fence);
                }
            }
            Step::GiveBack(n) => {
                if let Some(lease) = pick(n)
                    && queue.give_back(&lease, at(now)).is_ok()
                {
                    prop_assert_eq!(holders.remove(&lease.job).unwrap().0, lease.fence);
                }
            }
            Step::Cancel(n) => {
                if !all.is_empty() {
                    queue.cancel(all[n % all.len()], at(now)).unwrap();
                }
            }
            Step::Wait(seconds) => now += u64::from(seconds),
            Step::KillTheProcess => {
                drop(queue);
                queue = place.open(at(now));
                if place.shows_who_is_dead() {
                    holders.clear();
                }
            }
        }
    }

    // Whoever is left to work can end every job that was ever accepted.
    now += 1_000;
    while let Some(claim) = queue.claim("w", at(now)).unwrap() {
        queue.complete(&claim.lease, &json!(0), at(now)).unwrap();
    }
    for id in all {
        prop_assert!(queue.job(id).unwrap().unwrap().state.is_over(), "job {} is lost", id);
    }
    Ok(())
}
