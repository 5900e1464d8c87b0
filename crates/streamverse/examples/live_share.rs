//! How late a live ladder gets while films are encoded beside it:
//! `cargo run --release -p streamverse --features ffmpeg --example live_share -- IN.mp4 SECONDS FILMS`.
//!
//! The same three rungs are encoded at the source's own pace three times: alone, beside FILMS runs of the
//! same ladder as fast as they go, and beside them with the live one in its own class. It prints how late
//! each picture came out of its encoder, and how much of the films got done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streamverse::container::mp4;
use streamverse::core::{Codec, FileAt, Item, Limits, Source, Track, TrackId};
use streamverse::pipeline::Cancel;
use streamverse::pipeline::graph::{Failure, Graph};
use streamverse::pipeline::share::{Class, Share, Shares};
use streamverse::transcode::{Ladder, decode, encode, filter};
use streamverse::{Error, Result};

/// A file again and again, as if it arrived now (live) or as fast as it is taken.
struct Loop {
    path: String,
    track: Arc<Track>,
    file: mp4::Demuxer,
    /// When the first picture arrived, and for how long pictures do.
    live: Option<(Instant, Duration)>,
    /// Pictures so far, and a picture's length in ticks.
    count: i64,
    tick: i64,
    told: bool,
}

fn open(path: &str) -> Result<(mp4::Demuxer, Arc<Track>)> {
    let file = mp4::Demuxer::open(Arc::new(FileAt::open(path)?), Limits::default())?;
    let track = file.tracks().iter().find(|t| t.video().is_some()).cloned();
    let track = track.ok_or_else(|| Error::new(streamverse::core::ErrorKind::InvalidInput, "no pictures"))?;
    Ok((file, track))
}

impl Loop {
    fn new(path: &str, live: Option<Duration>) -> Result<Self> {
        let (file, track) = open(path)?;
        let rate = track.video().and_then(|v| v.frame_rate).map_or(25.0, |r| r.to_f64());
        let tick =
            (f64::from(track.time_base.den()) / f64::from(track.time_base.num()) / rate).round() as i64;
        let live = live.map(|length| (Instant::now(), length));
        Ok(Self { path: path.into(), track, file, live, count: 0, tick, told: false })
    }
}

impl Source for Loop {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        if !std::mem::replace(&mut self.told, true) {
            return Ok(Some(Item::Track(Arc::clone(&self.track))));
        }
        loop {
            match self.file.next_item()? {
                Some(Item::Packet(mut packet)) if packet.track == self.track.id => {
                    // One picture after another, in every round through the file.
                    let ahead = packet.pts.ticks() - packet.dts.ticks();
                    packet.dts = streamverse::core::Timestamp::new(self.count * self.tick);
                    packet.pts = streamverse::core::Timestamp::new(packet.dts.ticks() + ahead);
                    self.count += 1;
                    if let Some((begun, length)) = self.live {
                        let at = Duration::from_secs_f64(packet.dts.to_seconds(self.track.time_base));
                        if at >= length {
                            return Ok(Some(Item::End(self.track.id)));
                        }
                        std::thread::sleep((begun + at).saturating_duration_since(Instant::now()));
                    }
                    return Ok(Some(Item::Packet(packet)));
                }
                Some(_) => {}
                None if self.live.is_some_and(|(begun, length)| begun.elapsed() >= length) => {
                    return Ok(None);
                }
                None => self.file = open(&self.path)?.0,
            }
        }
    }
}

/// A ladder of three rungs; `out` hears of each picture that leaves an encoder.
fn ladder(
    path: &str,
    live: Option<Duration>,
    share: &Share,
    cancel: &Cancel,
    out: &(dyn Fn(Duration) + Sync),
) -> Result<()> {
    let source = Loop::new(path, live)?;
    let track = Arc::clone(&source.track);
    let info = track.video().ok_or_else(|| std::io::Error::other("no pictures"))?;
    let mut rungs = Ladder::auto(info, None, &[Codec::H264]).rungs;
    rungs.retain(|rung| rung.width.min(rung.height) <= 480);
    rungs.truncate(3);
    let mut graph = Graph::<Error>::new(1 << 20, cancel).share(share);
    let reader = graph.source("reader", source);
    let decoder = graph.stage("decoder", reader, None, decode::open(&track, &decode::Options::default())?);
    for (rung, number) in rungs.iter().zip(1..) {
        let filter = graph.stage("filter", decoder, None, filter::video(&track, &rung.filter())?);
        let encoder = graph.stage("encoder", filter, None, encode::video(&rung.encode()?, TrackId(number))?);
        let mut base = track.time_base;
        graph.sink("out", encoder, None, move |item| {
            match item {
                Item::Track(track) => base = track.time_base,
                Item::Packet(packet) => out(Duration::from_secs_f64(packet.dts.to_seconds(base).max(0.0))),
                _ => {}
            }
            Ok(())
        });
    }
    match graph.run() {
        Ok(()) | Err(Failure::Cancelled) => Ok(()),
        Err(Failure::Node { error, .. }) => Err(error),
        Err(Failure::Thread { error, .. }) => Err(error.into()),
        Err(Failure::Panicked { name }) => Err(std::io::Error::other(format!("{name} panicked")).into()),
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, seconds, films] = &args[..] else {
        eprintln!("usage: live_share IN.mp4 SECONDS FILMS");
        std::process::exit(2);
    };
    let length = Duration::from_secs(seconds.parse().unwrap_or(20));
    let films: usize = films.parse().unwrap_or(2);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shares = Shares::new(cores, (cores / 4).max(1));
    println!("beside                    late by: median      95 %      most   film pictures");
    for (name, films, class) in [
        ("alone", 0, Class::Normal),
        ("films, all alike", films, Class::Normal),
        ("films, live goes first", films, Class::Live),
    ] {
        let cancel = Cancel::default();
        let begun = Instant::now();
        let late = std::sync::Mutex::new(Vec::new());
        let done = AtomicU64::new(0);
        let stored = Share::new(&shares, Class::Normal);
        std::thread::scope(|scope| {
            for _ in 0..films {
                scope.spawn(|| {
                    ladder(path, None, &stored, &cancel.part(), &|_| {
                        done.fetch_add(1, Ordering::Relaxed);
                    })
                });
            }
            let out = |at: Duration| {
                let by = begun.elapsed().saturating_sub(at);
                late.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(by);
            };
            let result = ladder(path, Some(length), &Share::new(&shares, class), &Cancel::default(), &out);
            cancel.cancel();
            result
        })?;
        let mut late = late.into_inner().unwrap_or_default();
        late.sort();
        let at = |share: usize| late.get(late.len() * share / 100).map_or(0.0, Duration::as_secs_f64);
        let most = late.last().map_or(0.0, Duration::as_secs_f64);
        println!(
            "{name:<34}{:>7.2} s {:>7.2} s {most:>7.2} s {:>9}",
            at(50),
            at(95),
            done.load(Ordering::Relaxed)
        );
    }
    Ok(())
}
