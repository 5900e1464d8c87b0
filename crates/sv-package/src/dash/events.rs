//! Splice information in manifests: `EventStream` (ISO/IEC 23009-1:2022, 5.10.2; ANSI/SCTE 214-1, 6.7), and the periods
//! that it parts a finished presentation into.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sv_core::TimeBase;

use super::xml::Element;
use crate::{Marks, Rendition};

/// Sections as XML that holds them as they are.
const XML_BIN: &str = "urn:scte:scte35:2014:xml+bin";

/// The events of a period, whose time begins at `offset` of the presentation, from there up to `until`.
pub(super) fn stream(marks: &Marks, offset: Duration, until: Option<Duration>) -> Element {
    let ticks = |at: Duration| sv_core::Duration::from_std(at, TimeBase::MPEG).ticks();
    let mut out = Element::new("EventStream").attr("schemeIdUri", XML_BIN).attr("timescale", 90_000);
    if !offset.is_zero() {
        out = out.attr("presentationTimeOffset", ticks(offset));
    }
    let inside = |at: Duration| at >= offset && until.is_none_or(|until| at < until);
    for mark in marks.iter().filter(|mark| inside(mark.at)) {
        let Some(splice) = mark.splice() else { continue };
        let mut event = Element::new("Event").attr("presentationTime", ticks(mark.at));
        if let Some(length) = splice.duration {
            event = event.attr("duration", ticks(length));
        }
        let section = Element::new("Binary").text(STANDARD.encode(&splice.section));
        let signal =
            Element::new("Signal").attr("xmlns", "http://www.scte.org/schemas/35/2016").child(section);
        out = out.child(event.attr("id", mark.number()).child(signal));
    }
    out
}

/// Where periods of a finished presentation begin: with it, and at each splice in it.
pub(super) fn starts(marks: &Marks, duration: Duration) -> Vec<Duration> {
    let splices = marks.iter().filter(|mark| mark.splice().is_some()).map(|mark| mark.at);
    let mut out: Vec<Duration> =
        std::iter::once(Duration::ZERO).chain(splices.filter(|at| *at < duration)).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// The part of a rendition that is between two such moments.
pub(super) fn part(rendition: &Rendition, from: Duration, until: Option<Duration>) -> Rendition {
    let mut out = rendition.clone();
    // A whole file is in all of them: what it tells has times of its own.
    if rendition.layout != crate::Layout::Sidecar {
        let base = rendition.info.time_base();
        out.segments.retain(|s| {
            (from.is_zero() || s.is_behind(from, base)) && until.is_none_or(|until| !s.is_behind(until, base))
        });
    }
    out
}
