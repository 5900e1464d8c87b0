//! How patient a queue is.

use std::time::Duration;

/// How patient a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long a worker may stay silent before its job is given to another.
    pub lease: Duration,
    /// How often a job is tried in all, worker deaths included, before it fails for good.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            attempts: 5,
            pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(300),
        }
    }
}

impl Options {
    /// The pause after the `failures`-th failure in a row, from 1.
    pub(super) fn pause_after(&self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.pause.saturating_mul(doubled).min(self.longest_pause)
    }
}
