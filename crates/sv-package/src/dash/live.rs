//! The manifest of a presentation that goes on: `type="dynamic"`, a period for each epoch, and what low
//! latency needs (ISO/IEC 23009-1:2022, 5.3 and annex K; DASH-IF's "Low-latency Modes for DASH").

use std::collections::BTreeMap;
use std::time::Duration;

use sv_core::Grid;

use super::xml::Element;
use super::{Scene, Timing, adaptation_sets, events, iso_duration, root, steered};
use crate::live::{Settings, Stream, Window};
use crate::{Error, Form, Marks, Rendition, clock};

/// What there is to tell of.
pub(crate) struct Shown<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) streams: &'a [Stream],
    pub(crate) marks: &'a Marks,
    pub(crate) grid: &'a Grid,
    /// When it was published, since 1970.
    pub(crate) now: Duration,
}

/// The manifest.
pub(crate) fn manifest(shown: &Shown<'_>) -> Result<Element, Error> {
    let Shown { settings, streams, marks, grid, now } = *shown;
    let ended = !streams.is_empty() && streams.iter().all(Stream::is_ended);
    let epochs = epochs(settings, streams, grid, ended);
    let first = |r: &Rendition| {
        let start = r.segments.first().map_or(0, |s| s.start);
        sv_core::Duration::new(start).to_std(r.info.time_base())
    };
    let reached = epochs.values().flatten().map(Rendition::duration).max().ok_or(Error::Empty)?;
    let began = clock::date_time(settings.began);
    let order = super::places(streams);
    let zero = settings.recorded_from.unwrap_or_default();
    let longest =
        Duration::from_secs(streams.iter().map(Stream::longest).max().unwrap_or(0)).max(settings.segment);
    let ahead = settings.part.map(|part| settings.segment.saturating_sub(part));
    // None of those listed may be longer than what is said, by no fraction of a frame.
    let bound = epochs.values().flatten().map(bound).max().unwrap_or_default().max(longest);

    let mut out = root().attr("id", "live").attr("profiles", "urn:mpeg:dash:profile:isoff-live:2011");
    if ended {
        out = out
            .attr("type", "static")
            .attr("mediaPresentationDuration", iso_duration(reached.saturating_sub(zero)));
    } else {
        let update = update_period(settings);
        // Enough for whoever takes whole segments; the others are told by the service description.
        let behind = match settings.part {
            Some(part) => longest.saturating_add(update).saturating_add(part),
            None => longest.saturating_mul(3),
        };
        out = out
            .attr("type", "dynamic")
            .attr("availabilityStartTime", &began)
            .attr("publishTime", clock::date_time(now))
            .attr("minimumUpdatePeriod", iso_duration(update))
            .attr("suggestedPresentationDelay", iso_duration(behind));
        if let Window::Sliding(window) = settings.window {
            out = out.attr("timeShiftBufferDepth", iso_duration(window));
        }
    }
    out = out
        .attr("maxSegmentDuration", iso_duration(bound))
        .attr("minBufferTime", iso_duration(settings.part.map_or(settings.segment, |p| p.saturating_mul(2))));
    if let Some(steering) = &settings.dash.steering {
        out = steered(out, steering);
    }
    if !ended && settings.waits {
        out = out.child(
            Element::new("PatchLocation")
                .attr("ttl", settings.segment.as_secs().saturating_mul(30).max(60))
                .text(format!("manifest.mpp?publishTime={}", clock::date_time(now))),
        );
    }
    if let Some(part) = settings.part.filter(|_| !ended) {
        out = out.child(service(part, update_period(settings)));
    }
    // A period begins with what it had first, and not with what the window has left of it.
    let begins = |(i, (epoch, renditions)): (usize, (&u32, &Vec<Rendition>))| {
        if (*epoch == 0 || settings.recorded_from.is_some()) && i == 0 {
            zero
        } else {
            starts(streams, *epoch).unwrap_or_else(|| renditions.iter().map(first).min().unwrap_or_default())
        }
    };
    let begins: Vec<Duration> = epochs.iter().enumerate().map(begins).collect();
    for (i, ((epoch, renditions), start)) in epochs.iter().zip(begins.iter().copied()).enumerate() {
        let timing = Timing { start, ahead: ahead.filter(|_| !ended), began: began.clone() };
        let scene = Scene {
            options: &settings.dash,
            timing: Some(timing),
            offset: Duration::ZERO,
            behind: None,
            order: &order,
        };
        let all: Vec<&Rendition> = renditions.iter().collect();
        let at = iso_duration(start.saturating_sub(zero));
        let mut period = Element::new("Period").attr("id", epoch).attr("start", at);
        // Also without events: those who come later find their place. (A patch that put the element there would be one
        // that Shaka Player takes for another period.)
        if settings.splices || (ended && !marks.is_empty()) {
            let until = i.checked_add(1).and_then(|next| begins.get(next)).copied();
            period = period.child(events::stream(marks, start, until));
        }
        out = out.child(adaptation_sets(&all, &scene).into_iter().fold(period, Element::child));
    }
    if !ended {
        out = out.child(clock_source());
    }
    Ok(out)
}

/// The longest segment of a rendition, rounded up to milliseconds.
fn bound(rendition: &Rendition) -> Duration {
    let longest = rendition.segments.iter().map(|s| s.duration).max().unwrap_or(0);
    let longest = sv_core::Duration::new(longest).to_std(rendition.info.time_base());
    Duration::from_millis(u64::try_from(longest.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// The renditions of each epoch, with the segment that is being made where it can be asked for.
fn epochs(
    settings: &Settings,
    streams: &[Stream],
    grid: &Grid,
    ended: bool,
) -> BTreeMap<u32, Vec<Rendition>> {
    let mut out: BTreeMap<u32, Vec<Rendition>> = BTreeMap::new();
    for stream in streams {
        let newest = stream.newest().map(|r| r.epoch);
        for rendition in stream.epochs().filter(|r| r.form == Form::Cmaf) {
            let mut rendition = rendition.clone();
            if settings.part.is_some() && !ended && Some(rendition.epoch) == newest {
                rendition.segments.extend(stream.expected(grid));
            }
            if !rendition.segments.is_empty() {
                out.entry(rendition.epoch).or_default().push(rendition);
            }
        }
    }
    if !ended
        && out.len() > 1
        && let Some(newest) = out.last_entry().filter(|newest| !is_complete(streams, newest.get()))
    {
        newest.remove();
    }
    out
}

/// How many segments of an epoch its other streams are waited for.
const PATIENCE: usize = 2;

/// Whether a period has all that it will have. Players look once at what a period is made of: dash.js and Shaka Player
/// stand still in one that had only sound when they first saw it.
fn is_complete(streams: &[Stream], period: &[Rendition]) -> bool {
    let mut awaited = streams.iter().filter(|s| s.may_have_parts() && !s.is_fast() && !s.is_ended());
    awaited.all(|s| period.iter().any(|r| r.name == s.name()))
        || period.iter().any(|r| r.segments.len() > PATIENCE)
}

/// When an epoch began, which stays the same when its first segments leave the window.
fn starts(streams: &[Stream], epoch: u32) -> Option<Duration> {
    // Text counts in milliseconds, and would put it a little before the pictures.
    streams.iter().filter(|s| s.may_have_parts()).filter_map(|s| s.began(epoch)).min()
}

/// How often clients ask for what is new. With parts, the manifest tells of a segment that has just begun, so
/// they must hear of it soon.
fn update_period(settings: &Settings) -> Duration {
    settings.part.map_or(settings.segment, |part| part.saturating_mul(2).min(settings.segment))
}

/// What viewers are to aim at: a client hears of a segment when it asks for the manifest, and then takes a
/// part, while it has another to play.
fn service(part: Duration, update: Duration) -> Element {
    let target = part.saturating_mul(3).saturating_add(update).as_millis();
    let latency = Element::new("Latency")
        .attr("target", target)
        .attr("min", part.as_millis().saturating_mul(2))
        .attr("max", target.saturating_mul(3))
        .attr("referenceId", 0);
    let rate = Element::new("PlaybackRate").attr("min", "0.96").attr("max", "1.04");
    Element::new("ServiceDescription").attr("id", 0).child(latency).child(rate)
}

/// Where clients get the time: beside the manifest.
fn clock_source() -> Element {
    Element::new("UTCTiming").attr("schemeIdUri", "urn:mpeg:dash:utc:http-xsdate:2014").attr("value", "time")
}

/// Which media time was which wall-clock time.
pub(super) fn reference_time(timing: &Timing) -> Element {
    Element::new("ProducerReferenceTime")
        .attr("id", 0)
        .attr("inband", "true")
        .attr("type", "encoder")
        .attr("wallClockTime", &timing.began)
        .attr("presentationTime", 0)
        .child(clock_source())
}

/// What a template says of time.
pub(super) fn timed(template: Element, timing: &Timing, rendition: &Rendition) -> Element {
    let offset = sv_core::Duration::from_std(timing.start, rendition.info.time_base()).ticks();
    let template = if offset > 0 { template.attr("presentationTimeOffset", offset) } else { template };
    match timing.ahead.filter(|_| rendition.may_have_parts()) {
        Some(ahead) => template
            .attr("availabilityTimeOffset", format!("{}.{:03}", ahead.as_secs(), ahead.subsec_millis()))
            .attr("availabilityTimeComplete", "false"),
        None => template,
    }
}
