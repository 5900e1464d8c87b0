//! Lengths of time and rates, as people write them.

use std::time::Duration;

/// `4s`, `2.5s`, `2500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    within(text, 60)
}

/// As [`duration`], up to a day.
pub(super) fn long_duration(text: &str) -> Result<Duration, String> {
    within(text, 86_400)
}

pub(super) fn within(text: &str, seconds: u32) -> Result<Duration, String> {
    let most_ms = f64::from(seconds) * 1000.0;
    let (number, unit_ms) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1000.0),
    };
    match number.parse::<f64>() {
        Ok(n) if (100.0..=most_ms).contains(&(n * unit_ms)) => {
            Ok(Duration::from_millis((n * unit_ms).round() as u64))
        }
        _ => Err(format!("a length between 100ms and {seconds}s is wanted, such as 4s")),
    }
}

/// `120ms`, `1s`: a latency of SRT.
pub(super) fn latency(text: &str) -> Result<Duration, String> {
    let most = |at: &Duration| (20..=30_000).contains(&at.as_millis());
    let number = text.strip_suffix("ms").map(str::parse::<u64>);
    let read = match number {
        Some(millis) => millis.ok().map(Duration::from_millis),
        None => text.strip_suffix('s').unwrap_or(text).parse::<u64>().ok().map(Duration::from_secs),
    };
    read.filter(most).ok_or_else(|| "a latency between 20ms and 30s is wanted, such as 120ms".into())
}

/// `500ms`, or `0`.
pub(super) fn part(text: &str) -> Result<Duration, String> {
    if text.trim_start_matches('0').trim_matches(['m', 's']).is_empty() {
        return Ok(Duration::ZERO);
    }
    duration(text).map_err(|_| "a length between 100ms and 60s is wanted, such as 500ms, or 0".into())
}

/// `0s`, `90s`, `2.5m`, `4h`.
pub(super) fn moment(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['h', 'm']) {
        Some(number) if text.ends_with('h') => (number, 3600.0),
        Some(number) => (number, 60.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    match number.parse::<f64>() {
        Ok(n) if (0.0..1e9).contains(&(n * unit)) => Ok(Duration::from_secs_f64(n * unit)),
        _ => Err("a moment is wanted, such as 90s, 2.5m or 4h".into()),
    }
}

/// `60s`, `30m`, `4h`.
pub(super) fn long(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['h', 'm']) {
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    match number.parse::<u32>() {
        Ok(n) if (2..=365 * 86_400).contains(&(u64::from(n) * unit)) => {
            Ok(Duration::from_secs(u64::from(n) * unit))
        }
        _ => Err("a length of at least 2s is wanted, such as 60s, 30m or 4h".into()),
    }
}

/// `6M`, `800k`, `2500000`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 1e6),
        None => text.strip_suffix(['K', 'k']).map_or((text, 1.0), |number| (number, 1e3)),
    };
    match number.parse::<f64>() {
        Ok(n) if (10_000.0..=1e9).contains(&(n * unit)) => Ok((n * unit).round() as u64),
        _ => Err("bits per second between 10k and 1000M are wanted, such as 6M".into()),
    }
}
