//! `EXT-X-DATERANGE`: splice information and interstitials
//! ([rfc8216bis, 4.4.5.1 and appendix D](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis#section-4.4.5.1)).

use std::fmt::Write as _;
use std::time::Duration;

use super::quoted;
use crate::clock::date_time;
use crate::{Asset, Interstitial, Mark, Marks, Splice, What};

/// A tag for each mark, of a presentation that began so long after 1970.
///
/// A departure and its return are one range: two tags with the same identifier, so that a tag that was told once never
/// changes.
pub(super) fn tags(marks: &Marks, began: Duration) -> String {
    let mut out = String::new();
    for mark in marks.iter() {
        match &mark.what {
            What::Splice(splice) => self::splice(&mut out, mark, splice, marks, began),
            What::Interstitial(interstitial) => self::interstitial(&mut out, mark, interstitial, began),
        }
    }
    out
}

fn splice(out: &mut String, mark: &Mark, splice: &Splice, marks: &Marks, began: Duration) {
    // The range is that of the departure, if there was one.
    let range = marks.departure(mark).unwrap_or(mark);
    begin(out, "splice", range, began);
    let way = match splice.out {
        Some(true) => "OUT",
        Some(false) => "IN",
        None => "CMD",
    };
    match splice.duration {
        _ if range.number() != mark.number() => {
            let length = mark.at.saturating_sub(range.at);
            let _ = write!(out, ",DURATION={}", decimal(length));
        }
        Some(length) if splice.out != Some(false) => {
            let _ = write!(out, ",PLANNED-DURATION={}", decimal(length));
        }
        _ => {}
    }
    let _ = write!(out, ",SCTE35-{way}=0x");
    for byte in &splice.section {
        let _ = write!(out, "{byte:02X}");
    }
    out.push('\n');
}

fn interstitial(out: &mut String, mark: &Mark, what: &Interstitial, began: Duration) {
    begin(out, "interstitial", mark, began);
    out.push_str(",CLASS=\"com.apple.hls.interstitial\"");
    if let Some(length) = what.duration {
        let _ = write!(out, ",DURATION={}", decimal(length));
    }
    let _ = match &what.asset {
        Asset::Uri(uri) => write!(out, ",X-ASSET-URI={}", quoted(uri)),
        Asset::List(uri) => write!(out, ",X-ASSET-LIST={}", quoted(uri)),
    };
    for (name, length) in [("X-RESUME-OFFSET", what.resume), ("X-PLAYOUT-LIMIT", what.limit)] {
        if let Some(length) = length {
            let _ = write!(out, ",{name}={}", decimal(length));
        }
    }
    let mut list = |name: &str, words: &[(&str, bool)]| {
        let said: Vec<&str> = words.iter().filter(|(_, said)| *said).map(|(word, _)| *word).collect();
        if !said.is_empty() {
            let _ = write!(out, ",{name}=\"{}\"", said.join(","));
        }
    };
    list("X-SNAP", &[("OUT", what.snap_out), ("IN", what.snap_in)]);
    list("X-RESTRICT", &[("SKIP", what.no_skip), ("JUMP", what.no_jump)]);
    list("CUE", &[("ONCE", what.once)]);
    out.push('\n');
}

fn begin(out: &mut String, kind: &str, mark: &Mark, began: Duration) {
    let date = date_time(began.saturating_add(mark.at));
    let _ = write!(out, "#EXT-X-DATERANGE:ID=\"{kind}-{}\",START-DATE=\"{date}\"", mark.number());
}

fn decimal(length: Duration) -> String {
    format!("{}.{:03}", length.as_secs(), length.subsec_millis())
}
