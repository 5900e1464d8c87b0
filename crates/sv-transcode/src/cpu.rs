//! What work costs.

use std::time::Duration;

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
