//! What a run costs: told before it by [`estimate`], and after it by its [`Receipt`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sv_core::ErrorKind;
use sv_pipeline::share::Share;
use sv_transcode::cpu::Spent;

use crate::vod::{self, Report, Request};
use crate::{Error, Result};

/// What things cost where the work is done. Read from TOML by [`Prices::read`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// What the numbers are in: `EUR`.
    pub currency: String,
    /// One processor core for an hour.
    pub core_hour: f64,
    /// One device (GPU) for an hour.
    pub device_hour: f64,
    /// Keeping a gigabyte (10^9 bytes) for a month.
    pub gigabyte_month: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Self { currency: "USD".into(), core_hour: 0.0, device_hour: 0.0, gigabyte_month: 0.0 }
    }
}

impl Prices {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// When it can't be read, or is no list of prices.
    pub fn read(path: &Path) -> Result<Self> {
        let what = || format!("the prices {} can't be used", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| Error::from(e).context(what()))?;
        let prices: Self = toml::from_str(&text)
            .map_err(|e| Error::new(ErrorKind::InvalidInput, e.message().to_owned()).context(what()))?;
        let all = [prices.core_hour, prices.device_hour, prices.gigabyte_month];
        if all.iter().any(|p| !p.is_finite() || *p < 0.0) {
            return Err(Error::new(ErrorKind::InvalidInput, "a price is a number from 0 up").context(what()));
        }
        Ok(prices)
    }
}

/// What a run took, or will take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// Processor time of the program from the start of the request to its end, all threads. Where a program
    /// does several at once, each has its own stages' time, and of what can't be told apart (threads of
    /// libraries, reading and writing) a part that is as large as theirs.
    pub core_seconds: f64,
    /// Time of devices (GPU). None are used by default.
    pub device_seconds: f64,
    /// Bytes stored.
    pub bytes: u64,
    /// Length of the source.
    pub media_seconds: f64,
    /// At the prices that were given.
    pub price: Option<Price>,
}

/// Money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Price {
    /// What the numbers are in.
    pub currency: String,
    /// For the work, once.
    pub work: f64,
    /// For keeping the result, each month.
    pub storage_month: f64,
}

/// What a run takes, from its beginning on.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    share: Share,
    begun: Spent,
    /// Steps of this run's share and of all at the beginning.
    own: Duration,
    all: Duration,
}

impl Clock {
    pub(crate) fn start(share: &Share) -> Self {
        let (own, all) = (share.spent(), share.shares.spent());
        Self { share: share.clone(), begun: Spent::now(), own, all }
    }

    pub(crate) fn spent(&self) -> Spent {
        let spent = Spent::now().since(self.begun);
        let own = self.share.spent().saturating_sub(self.own);
        let all = self.share.shares.spent().saturating_sub(self.all);
        let part = if all.is_zero() { 1.0 } else { own.as_secs_f64() / all.as_secs_f64() };
        let rest = spent.cpu.saturating_sub(all).mul_f64(part.min(1.0));
        Spent { cpu: own + rest, ..spent }
    }
}

impl Receipt {
    pub(crate) fn new(spent: Spent, bytes: u64, media: Duration, prices: Option<&Prices>) -> Self {
        let (core_seconds, device_seconds) = (spent.cpu.as_secs_f64(), spent.device.as_secs_f64());
        let price = prices.map(|p| Price {
            currency: p.currency.clone(),
            work: (core_seconds * p.core_hour + device_seconds * p.device_hour) / 3600.0,
            storage_month: bytes as f64 / 1e9 * p.gigabyte_month,
        });
        Self { core_seconds, device_seconds, bytes, media_seconds: media.as_secs_f64(), price }
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_minute = self.core_seconds / (self.media_seconds / 60.0).max(1e-9);
        write!(
            f,
            "{:.1} core-seconds ({per_minute:.1} for a minute of the source), {:.1} MB stored",
            self.core_seconds,
            self.bytes as f64 / 1e6
        )?;
        if self.device_seconds > 0.0 {
            write!(f, ", {:.1} device-seconds", self.device_seconds)?;
        }
        if let Some(p) = &self.price {
            write!(f, ", {:.4} {} once and {:.4} a month", p.work, p.currency, p.storage_month)?;
        }
        Ok(())
    }
}

/// A part of a source: where it begins, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) at: Duration,
    pub(crate) length: Duration,
}

/// Places that are tried.
const PLACES: [f64; 4] = [0.13, 0.38, 0.61, 0.86];

/// Says what a request will cost, by doing a little of it: at four places of the source, for one
/// second and for a segment more. What the longer run takes beyond the shorter is what each second of
/// the film takes. A film of less than a minute is simply done, and thrown away.
///
/// Nothing is left in `request.output`, which need not be writable.
///
/// # Errors
/// As for [`vod::start`] and [`vod::Driver::run`].
pub fn estimate(request: &Request) -> Result<Receipt> {
    let begun = Spent::now();
    let (_handle, driver) = vod::start(scratch(request, None))?;
    let Some(length) = driver.duration().filter(|d| *d >= Duration::from_secs(60)) else {
        let (spent, bytes, media) = measured(driver)?;
        return Ok(Receipt::new(spent, bytes, media, request.prices.as_ref()));
    };
    // What deciding the ladder took is part of the work.
    let planning = Spent::now().since(begun);
    let ladder = driver.ladder();
    drop(driver);
    let short = Duration::from_secs(1);
    let (mut cores, mut devices, mut bytes) = (Rate::default(), Rate::default(), 0.0);
    let seconds = request.segment.as_secs_f64();
    for place in PLACES {
        let at = length.mul_f64(place);
        let run = |length| {
            let mut part = scratch(request, Some(Window { at, length }));
            part.ladder = ladder.clone();
            measured(vod::start(part)?.1)
        };
        let (one, small, _) = run(short)?;
        let (two, large, _) = run(short + request.segment)?;
        cores.add(one.cpu, two.cpu, seconds);
        devices.add(one.device, two.device, seconds);
        bytes += large.saturating_sub(small) as f64 / seconds;
    }
    let spent = Spent { cpu: cores.of(length) + planning.cpu, device: devices.of(length) + planning.device };
    let bytes = (bytes / PLACES.len() as f64 * length.as_secs_f64()) as u64;
    Ok(Receipt::new(spent, bytes, length, request.prices.as_ref()))
}

/// What a second of the film takes, and what comes on top once: sums over all places.
#[derive(Default)]
struct Rate {
    second: f64,
    first: f64,
}

impl Rate {
    fn add(&mut self, one: Duration, more: Duration, seconds: f64) {
        self.second += more.saturating_sub(one).as_secs_f64() / seconds;
        self.first += one.as_secs_f64();
    }

    fn of(&self, length: Duration) -> Duration {
        let n = PLACES.len() as f64;
        let once = (self.first - self.second).max(0.0);
        Duration::from_secs_f64((self.second * length.as_secs_f64() + once) / n)
    }
}

/// The same request for a part of the source, into a folder of its own.
fn scratch(request: &Request, window: Option<Window>) -> Request {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("sv-estimate-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    Request { output: std::env::temp_dir().join(name), window, ..request.clone() }
}

fn measured(driver: vod::Driver) -> Result<(Spent, u64, Duration)> {
    let output = Output(driver.output().to_owned());
    let begun = Spent::now();
    let report = driver.run()?;
    let spent = Spent::now().since(begun);
    drop(output);
    Ok((spent, stored(&report), Duration::from_millis(report.duration_ms)))
}

/// Bytes of all renditions.
pub(crate) fn stored(report: &Report) -> u64 {
    report.renditions.iter().map(|r| r.bytes).sum()
}

/// Removes a folder, finished or not, whatever happens.
struct Output(PathBuf);

impl Drop for Output {
    fn drop(&mut self) {
        let _ = vod::discard(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
