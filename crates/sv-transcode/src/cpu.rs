//! What work costs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Processor time that this program has taken so far, all threads together; where that can't be
/// told, time since the first call.
#[must_use]
pub fn spent() -> Duration {
    #[cfg(unix)]
    return clock(rustix::time::ClockId::ProcessCPUTime);
    #[cfg(not(unix))]
    wall()
}

/// As [`spent`], of this thread alone.
#[must_use]
pub fn spent_here() -> Duration {
    #[cfg(unix)]
    return clock(rustix::time::ClockId::ThreadCPUTime);
    #[cfg(not(unix))]
    wall()
}

/// What this program has taken so far: of processors, and of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Processor time, as [`spent`] tells it.
    pub cpu: Duration,
    /// For how long device sessions were held, added up.
    pub device: Duration,
}

impl Spent {
    /// Until now.
    #[must_use]
    pub fn now() -> Self {
        Self { cpu: spent(), device: Duration::from_nanos(DEVICE.load(Ordering::Relaxed)) }
    }

    /// Between an earlier moment and this one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), device: self.device.saturating_sub(earlier.device) }
    }
}

/// Nanoseconds for which sessions that are over were held.
static DEVICE: AtomicU64 = AtomicU64::new(0);

/// Counts how long a device session is held, from its making to its end.
#[cfg_attr(not(any(feature = "nvcodec", feature = "ffmpeg")), allow(dead_code))]
pub(crate) struct Held(Instant);

#[cfg_attr(not(any(feature = "nvcodec", feature = "ffmpeg")), allow(dead_code))]
impl Held {
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let nanos = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
        DEVICE.fetch_add(nanos, Ordering::Relaxed);
    }
}

#[cfg(unix)]
fn clock(id: rustix::time::ClockId) -> Duration {
    let now = rustix::time::clock_gettime(id);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

#[cfg(not(unix))]
fn wall() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}
