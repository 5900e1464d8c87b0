//! How much of their time many workers spend on work, when the work is only waiting.
//!
//! ```sh
//! nats-server -js &
//! cargo run --release -p sv-pipeline --features nats --example stub_workers -- nats://127.0.0.1:4222 1000 5 5
//! ```
//!
//! prints how long WORKERS slots took for ROUNDS tasks each of SECONDS, and the efficiency: what the
//! tasks take, divided by what the slots had.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sv_pipeline::Cancel;
use sv_pipeline::nats::{Board, News, Options, Outcome, Task, work};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "nats://127.0.0.1:4222".into());
    let mut number = |usual: u32| args.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (workers, rounds, seconds) = (number(1000), number(5), number(5));
    let options = Options::new(url);
    let board = Board::connect(&options, &format!("stub-{}", std::process::id()))?;

    let cancel = Cancel::default();
    let length = Duration::from_secs(seconds.into());
    let crew = std::thread::spawn({
        let (options, cancel) = (options, cancel.clone());
        move || {
            let task = move |_: &Task, _: &Cancel, _: &Mutex<Value>| {
                std::thread::sleep(length);
                Outcome::Done(Value::Null)
            };
            work(&options, "stub", workers as usize, &cancel, task)
        }
    });
    let count = workers * rounds;
    let task =
        |n: u32| Task { board: board.name().to_owned(), key: n.to_string(), again: 0, payload: json!(n) };
    let tasks: Vec<Task> = (0..count).map(task).collect();
    let begun = Instant::now();
    board.offer(&tasks)?;
    println!("{count} tasks offered in {:.2} s", begun.elapsed().as_secs_f64());
    let mut done = std::collections::BTreeSet::new();
    let mut starts = 0;
    while done.len() < count as usize {
        let Some(report) = board.hear(Duration::from_secs(60)) else {
            return Err("nobody says anything".into());
        };
        match report.news {
            News::Done(_) => drop(done.insert(report.key)),
            News::Began(_) => starts += 1,
            _ => {}
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let efficiency = f64::from(count) * length.as_secs_f64() / (f64::from(workers) * took);
    println!("{workers} workers: {took:.2} s, {starts} starts for {count} tasks, efficiency {efficiency:.3}");
    cancel.cancel();
    crew.join().map_err(|_| "the workers panicked")??;
    Ok(())
}
