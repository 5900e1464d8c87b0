//! What a path and a query ask an origin for.

use std::fmt::Write as _;
use std::time::Duration;

use super::Filter;
use crate::hls::Order;

/// Longest path below a presentation, and longest query.
const LONGEST: usize = 2048;

/// Why a request is not even looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing is ever called that.
    #[error(
        "there is nothing of that name; a presentation has hls.m3u8, ts.m3u8 and dash.mpd, and what they name"
    )]
    Path,
    /// More than anybody needs.
    #[error("the address is too long")]
    Long,
    /// The filter breaks its grammar.
    #[error("the filter can't be read: {0}")]
    Filter(&'static str),
    /// A parameter that is known says what it can't.
    #[error("{0} can't be read: {1}")]
    Parameter(&'static str, &'static str),
}

/// A request below the place of one presentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is wanted.
    pub wanted: Wanted,
    /// How.
    pub query: Query,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// `hls.m3u8`, or with transport streams `ts.m3u8`.
    Multivariant {
        /// Whether segments are transport streams and packed audio.
        ts: bool,
    },
    /// `dash.mpd`.
    Manifest,
    /// `time`: the clock that a live presentation goes by.
    Clock,
    /// `NAME.m3u8`, `NAME-iframes.m3u8`; below `ts/` of transport streams.
    Media {
        /// Whether segments are transport streams and packed audio.
        ts: bool,
        /// The rendition, with `-iframes` behind its name for the I-frame playlist.
        name: String,
    },
    /// `NAME/init.mp4`, `NAME/init-EPOCH.mp4`.
    Init {
        /// The rendition.
        name: String,
        /// How many breaks of the source came before.
        epoch: u32,
    },
    /// `NAME/NUMBER.m4s`; below `ts/` with another ending.
    Segment {
        /// Whether it is a transport stream or packed audio.
        ts: bool,
        /// The rendition.
        name: String,
        /// Its number.
        number: u64,
    },
    /// `NAME.vtt`: text as one file; below `ts/` on the clock of transport streams.
    Text {
        /// Whether it goes with transport streams.
        ts: bool,
        /// The rendition.
        name: String,
    },
}

/// What is asked of a manifest: which renditions, and which stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// `filter`, or `aws.manifestfilter`: which renditions.
    pub filter: Filter,
    /// `start`: seconds of the presentation's timeline, with up to three decimals.
    pub start: Option<Duration>,
    /// `end`, likewise.
    pub end: Option<Duration>,
    /// `delay`, or `time_delay`: a live presentation is shown so much later.
    pub delay: Duration,
    /// `order`: `ascending`, `descending` or `middle`.
    pub order: Order,
}

impl Request {
    /// Reads what stands behind the presentation's name, without a slash in front, and the query without its question
    /// mark. Parameters that are not known are left alone: caches and tokens have theirs.
    ///
    /// # Errors
    /// A sentence for whoever asks.
    pub fn parse(path: &str, query: &str) -> Result<Self, Refusal> {
        if path.len() > LONGEST || query.len() > LONGEST {
            return Err(Refusal::Long);
        }
        let wanted = Wanted::parse(path).ok_or(Refusal::Path)?;
        Ok(Self { wanted, query: Query::parse(query)? })
    }
}

/// Letters, digits, `-` and `_`: what renditions are called.
fn name(text: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    ((1..=255).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

/// A number as it is written, in one way only.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl Wanted {
    fn parse(path: &str) -> Option<Self> {
        match path {
            "hls.m3u8" => return Some(Self::Multivariant { ts: false }),
            "ts.m3u8" => return Some(Self::Multivariant { ts: true }),
            "dash.mpd" => return Some(Self::Manifest),
            "time" => return Some(Self::Clock),
            _ => {}
        }
        let (ts, path) = path.strip_prefix("ts/").map_or((false, path), |rest| (true, rest));
        let (stem, ending) = path.rsplit_once('.')?;
        match (stem.split_once('/'), ending) {
            (None, "m3u8") => Some(Self::Media { ts, name: name(stem)? }),
            (None, "vtt") => Some(Self::Text { ts, name: name(stem)? }),
            (Some((folder, "init")), "mp4") if !ts => Some(Self::Init { name: name(folder)?, epoch: 0 }),
            (Some((folder, file)), "mp4") if !ts => {
                let epoch = number(file.strip_prefix("init-")?).filter(|n| *n > 0)?;
                Some(Self::Init { name: name(folder)?, epoch: u32::try_from(epoch).ok()? })
            }
            (Some((folder, file)), "m4s") if !ts => {
                Some(Self::Segment { ts, name: name(folder)?, number: number(file)? })
            }
            (Some((folder, file)), "ts" | "aac" | "ac3" | "ec3" | "mp3") if ts => {
                Some(Self::Segment { ts, name: name(folder)?, number: number(file)? })
            }
            _ => None,
        }
    }

    /// Whether transport streams are asked for.
    #[must_use]
    pub fn is_ts(&self) -> bool {
        match self {
            Self::Multivariant { ts }
            | Self::Media { ts, .. }
            | Self::Segment { ts, .. }
            | Self::Text { ts, .. } => *ts,
            Self::Manifest | Self::Clock | Self::Init { .. } => false,
        }
    }
}

impl Query {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let what = match key {
                "filter" | "aws.manifestfilter" => "filter",
                "start" => "start",
                "end" => "end",
                "delay" | "time_delay" => "delay",
                "order" => "order",
                _ => continue,
            };
            if seen.contains(&what) {
                return Err(Refusal::Parameter(what, "it stands there twice"));
            }
            seen.push(what);
            let value = unescape(value).ok_or(Refusal::Parameter(what, "its escapes are broken"))?;
            let time =
                || seconds(&value).ok_or(Refusal::Parameter(what, "seconds are wanted, such as 90 or 12.5"));
            match what {
                "filter" => query.filter = value.parse()?,
                "start" => query.start = Some(time()?),
                "end" => query.end = Some(time()?),
                "delay" => query.delay = time()?,
                _ => {
                    query.order = match value.as_str() {
                        "ascending" => Order::Ascending,
                        "descending" => Order::Descending,
                        "middle" => Order::Middle,
                        _ => return Err(Refusal::Parameter(what, "it is ascending, descending or middle")),
                    };
                }
            }
        }
        if query.end.is_some_and(|end| end <= query.start.unwrap_or_default()) {
            return Err(Refusal::Parameter("end", "it is not behind start"));
        }
        Ok(query)
    }

    /// Whether all of the time is wanted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.start.unwrap_or_default().is_zero() && self.end.is_none()
    }

    /// What a media playlist has to be asked besides, with its question mark: always the same for the same stretch,
    /// so that caches know it again. Nothing where all of the time is wanted.
    #[must_use]
    pub fn suffix(&self) -> String {
        let mut out = String::new();
        let times = [
            ("start", self.start.filter(|s| !s.is_zero())),
            ("end", self.end),
            ("delay", Some(self.delay).filter(|d| !d.is_zero())),
        ];
        for (name, time) in times {
            let Some(time) = time else { continue };
            let mark = if out.is_empty() { '?' } else { '&' };
            let _ = write!(out, "{mark}{name}={}", time.as_secs());
            let millis = time.subsec_millis();
            if millis > 0 {
                let _ = write!(out, ".{millis:03}");
            }
        }
        out
    }
}

/// `90`, `12.5`: up to a hundred years, to the millisecond.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole, 10) || !digits(part, 3) {
        return None;
    }
    let millis: String = part.chars().chain("000".chars()).take(3).collect();
    Some(Duration::from_secs(whole.parse().ok()?).saturating_add(Duration::from_millis(millis.parse().ok()?)))
}

/// Undoes percent escapes ([RFC 3986, 2.1](https://www.rfc-editor.org/rfc/rfc3986#section-2.1)).
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high.wrapping_shl(4) | low).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let wanted = |path: &str| Wanted::parse(path);
        assert_eq!(wanted("hls.m3u8"), Some(Wanted::Multivariant { ts: false }));
        assert_eq!(wanted("v-1/init.mp4"), Some(Wanted::Init { name: "v-1".into(), epoch: 0 }));
        assert_eq!(wanted("v/init-2.mp4"), Some(Wanted::Init { name: "v".into(), epoch: 2 }));
        assert_eq!(wanted("ts/v/10.ts"), Some(Wanted::Segment { ts: true, name: "v".into(), number: 10 }));
        for none in [
            "",
            "..",
            "../x.m3u8",
            "v/../x.m4s",
            "v/01.m4s",
            "v/-1.m4s",
            "v/1.ts",
            "ts/v/1.m4s",
            "v/w/1.m4s",
            "v/init-0.mp4",
            "v\0.m3u8",
            "%2e.m3u8",
            "ts/ts/v.m3u8",
            ".journal",
            "v/99999999999999999999.m4s",
        ] {
            assert_eq!(wanted(none), None, "{none}");
        }
    }

    #[test]
    fn queries() {
        let query = |text: &str| Query::parse(text);
        let one = query("token=1&start=10&end=20.25&order=descending&filter=video_height%3A240-720").unwrap();
        assert_eq!(one.suffix(), "?start=10&end=20.250");
        assert_eq!(one.order, Order::Descending);
        assert!(one.filter != Filter::default());
        assert!(query("").unwrap().is_whole() && query("start=0").unwrap().suffix().is_empty());
        for wrong in [
            "start=x",
            "start=-1",
            "start=1&start=2",
            "start=2&end=2",
            "order=up",
            "filter=a",
            "filter=%4",
            "end=",
            "filter=video_height:a",
            "filter=video_height:9-1",
            "delay=1e3",
            "filter=video_height:1;video_height:2",
        ] {
            assert!(query(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_asked_for_again_is_the_same(start in 0u64..1_000_000, length in 1u64..1_000_000, delay in 0u64..100_000) {
            let ms = Duration::from_millis;
            let query = Query { start: Some(ms(start)).filter(|s| !s.is_zero()), end: Some(ms(start + length)), delay: ms(delay), ..Query::default() };
            prop_assert_eq!(Query::parse(query.suffix().trim_start_matches('?')).unwrap(), query);
        }

        #[test]
        fn nothing_is_too_odd(path in ".{0,64}", query in "(start|end|filter|delay|order|=|&|%|[0-9:;,.-]|.){0,32}") {
            let _ = Request::parse(&path, &query);
        }
    }
}
