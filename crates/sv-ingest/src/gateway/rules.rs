//! What a publisher may send: codecs, bits a second, and when.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sv_core::{Codec, Item};

use crate::{Error, Result};

/// How long more than the bitrate may come, as a length of what is allowed: groups of pictures begin with large ones, and
/// encoders send what waited in one go.
const BURST: u64 = 10;
const MINUTES: u64 = 24 * 60;

/// What somebody who sends is bound to. The default is bound to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Codecs that may come; any, if there are none.
    pub codecs: Vec<Codec>,
    /// Bits a second of all tracks, over ten seconds.
    pub bitrate: Option<u64>,
    /// Not before then.
    pub from: Option<SystemTime>,
    /// Not after then: who sends at that moment is sent away.
    pub until: Option<SystemTime>,
    /// Only then, every week; at any time, if there are none.
    pub hours: Vec<Hours>,
}

/// Hours of some days of a week, in UTC, as `mon-fri 08:00-18:30` says them; who ends before it begins ends on the next day.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Monday is the lowest bit.
    days: u8,
    /// Minutes of the day.
    from: u64,
    length: u64,
}

impl Rules {
    /// How long somebody may send from `now` on: nothing if for ever. The error is a sentence.
    pub(super) fn allowed(&self, now: SystemTime) -> Result<Option<Duration>, String> {
        if self.from.is_some_and(|from| now < from) {
            return Err("this stream may not be sent yet".into());
        }
        let mut left = match self.until.map(|until| until.duration_since(now)) {
            Some(Ok(left)) if !left.is_zero() => Some(left),
            Some(_) => return Err("the time for this stream is over".into()),
            None => None,
        };
        if !self.hours.is_empty() {
            let open = self.hours.iter().filter_map(|hours| hours.left(now)).max();
            let open = open.ok_or("this stream may not be sent at this hour")?;
            left = Some(left.map_or(open, |left| left.min(open)));
        }
        Ok(left)
    }
}

impl Hours {
    /// How long they last from `now` on; nothing outside of them.
    fn left(&self, now: SystemTime) -> Option<Duration> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (day, minute) = (since.as_secs().div_euclid(86_400), since.as_secs().div_euclid(60) % MINUTES);
        // What began yesterday may not be over.
        [(day, minute), (day.saturating_sub(1), minute.saturating_add(MINUTES))].into_iter().find_map(
            |(day, minute)| {
                // The first of January 1970 was a Thursday.
                let weekday = day.saturating_add(3) % 7;
                let passed = minute.checked_sub(self.from)?;
                let open = self.days & 1u8.checked_shl(u32::try_from(weekday).ok()?)? != 0;
                let left = self.length.checked_sub(passed).filter(|left| open && *left > 0)?;
                let seconds = left.saturating_mul(60).saturating_sub(since.as_secs() % 60);
                Some(Duration::from_secs(seconds))
            },
        )
    }
}

impl FromStr for Hours {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem| Error::InvalidInput { what: format!("the hours {text:?}"), problem };
        let form = wrong("they must be like \"mon-fri 08:00-18:30\" or \"sat 20:00-02:00\"");
        let day = |name: &str| DAYS.iter().position(|day| *day == name);
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
            let all = hour.checked_mul(60)?.checked_add(minute)?;
            (minute < 60 && all <= MINUTES).then_some(all)
        };
        let read = || {
            let (days, hours) = text.split_once(' ')?;
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (first, last) = (day(first)?, day(last)?);
            let mut all = 0u8;
            for step in 0..7usize {
                let at = first.saturating_add(step) % 7;
                all |= 1u8.checked_shl(u32::try_from(at).ok()?)?;
                if at == last {
                    break;
                }
            }
            let (from, to) = hours.trim().split_once('-')?;
            let (from, to) = (minute(from)?, minute(to)?);
            let to = if to <= from { to.saturating_add(MINUTES) } else { to };
            Some(Self { days: all, from, length: to.saturating_sub(from) })
        };
        read().ok_or(form)
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = DAYS.iter().zip(0u32..).filter(|(_, bit)| self.days >> bit & 1 == 1);
        let days: Vec<&str> = days.map(|(day, _)| *day).collect();
        let clock = |minutes: u64| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
        let to = self.from.saturating_add(self.length);
        write!(f, "{} {}-{}", days.join(","), clock(self.from), clock(to))
    }
}

impl fmt::Debug for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Holds a publisher to its rules.
#[derive(Debug)]
pub(super) struct Watch {
    codecs: Vec<Codec>,
    bitrate: Option<u64>,
    end: Option<Instant>,
    /// What has come above the bitrate, in bits, as of when.
    above: u64,
    at: Instant,
}

impl Watch {
    /// From `now` on.
    pub(super) fn new(rules: &Rules, wall: SystemTime, now: Instant) -> Self {
        let left = rules.allowed(wall).unwrap_or(Some(Duration::ZERO));
        let end = left.and_then(|left| now.checked_add(left));
        Self { codecs: rules.codecs.clone(), bitrate: rules.bitrate, end, above: 0, at: now }
    }

    /// Looks at what comes.
    pub(super) fn see(&mut self, now: Instant, item: &Item) -> Result<()> {
        let refuse = |reason: String| Err(Error::Denied { reason });
        if self.end.is_some_and(|end| now >= end) {
            return refuse("the time for this stream is over".into());
        }
        match item {
            Item::Track(track) if !self.codecs.is_empty() && !self.codecs.contains(&track.codec) => {
                let names: Vec<&str> = self.codecs.iter().map(|c| c.name()).collect();
                let reason =
                    format!("{} may not be sent with this key: send {}", track.codec, names.join(" or "));
                refuse(reason)
            }
            Item::Packet(packet) => {
                let Some(bitrate) = self.bitrate else { return Ok(()) };
                let micros = now.saturating_duration_since(self.at).as_micros();
                let drained = u128::from(bitrate).saturating_mul(micros).checked_div(1_000_000);
                let drained = drained.and_then(|bits| u64::try_from(bits).ok()).unwrap_or(u64::MAX);
                let bits = u64::try_from(packet.data.len()).unwrap_or(u64::MAX).saturating_mul(8);
                self.above = self.above.saturating_sub(drained).saturating_add(bits);
                self.at = now;
                if self.above > bitrate.saturating_mul(BURST) {
                    let allowed = bitrate.div_ceil(1000);
                    return refuse(format!("it has more than the {allowed} kbit/s that its key allows"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sv_core::{Bytes, Packet, Timestamp, TrackId};

    /// 2026-11-23 was a Monday, 00:00 UTC of which is 1 795 392 000 (`date -u -d 2026-11-23 +%s`).
    fn monday(hours: u64, minutes: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_392_000 + hours * 3600 + minutes * 60)
    }

    fn rules(hours: &str) -> Rules {
        Rules { hours: vec![hours.parse().unwrap()], ..Rules::default() }
    }

    #[test]
    fn hours_are_those_of_the_week() {
        let day = 24;
        let office = rules("mon-fri 08:00-18:30");
        assert!(office.allowed(monday(7, 59)).is_err());
        assert_eq!(office.allowed(monday(8, 0)), Ok(Some(Duration::from_secs(10 * 3600 + 1800))));
        assert_eq!(office.allowed(monday(18, 29)), Ok(Some(Duration::from_secs(60))));
        assert!(office.allowed(monday(18, 30)).is_err());
        assert!(office.allowed(monday(5 * day + 12, 0)).is_err());
        // A night belongs to the day on which it begins.
        let night = rules("sat 20:00-02:00");
        assert_eq!(night.allowed(monday(5 * day + 23, 0)), Ok(Some(Duration::from_secs(3 * 3600))));
        assert_eq!(night.allowed(monday(6 * day + 1, 0)), Ok(Some(Duration::from_secs(3600))));
        assert!(night.allowed(monday(6 * day + 20, 0)).is_err());
        // A week goes round.
        let weekend = rules("sat-mon 00:00-24:00");
        assert!(weekend.allowed(monday(1, 0)).is_ok());
        assert!(weekend.allowed(monday(day, 0)).is_err());
        assert_eq!(format!("{:?}", night.hours), "[sat 20:00-02:00]");
    }

    #[test]
    fn what_is_no_hour_is_an_error() {
        for text in [
            "",
            "mon",
            "mon 8-9",
            "mon 08:60-09:00",
            "mon 25:00-26:00",
            "montag 08:00-09:00",
            "mon08:00-09:00",
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }

    #[test]
    fn moments_bound_it_on_both_sides() {
        let rules = Rules { from: Some(monday(1, 0)), until: Some(monday(2, 0)), ..Rules::default() };
        assert!(rules.allowed(monday(0, 59)).is_err());
        assert_eq!(rules.allowed(monday(1, 30)), Ok(Some(Duration::from_secs(1800))));
        assert!(rules.allowed(monday(2, 0)).is_err());
        assert_eq!(Rules::default().allowed(monday(0, 0)), Ok(None));
    }

    fn packet(bytes: usize) -> Item {
        let time = Timestamp::new(0);
        Item::Packet(Packet {
            track: TrackId(0),
            pts: time,
            dts: time,
            duration: sv_core::Duration::new(1),
            key: true,
            data: Bytes::from(vec![0; bytes]),
            protection: None,
        })
    }

    #[test]
    fn a_bitrate_is_held_over_ten_seconds() {
        let rules = Rules { bitrate: Some(8_000), ..Rules::default() };
        let start = Instant::now();
        let mut watch = Watch::new(&rules, monday(0, 0), start);
        // A burst of nine seconds, then exactly what is allowed for a minute.
        watch.see(start, &packet(9_000)).unwrap();
        for second in 1..60 {
            watch.see(start + Duration::from_secs(second), &packet(1_000)).unwrap();
        }
        // Twice as much is noticed within seconds, and said.
        let late = (60..70).find_map(|s| watch.see(start + Duration::from_secs(s), &packet(2_000)).err());
        assert!(late.unwrap().to_string().contains("8 kbit/s"));
    }
}
