//! DASH manifests, ISO/IEC 23009-1:2022 (5th edition).

mod events;
pub(crate) mod live;
mod patch;
mod tiles;
mod xml;

pub(crate) use patch::Patches;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sv_container::language;
use sv_container::scte35::SCHEME;
use sv_core::{KeyId, Object, Ratio, TrackKind};

use crate::live::Stream;
use crate::{Carried, Error, Form, Info, Key, Layout, Marks, Rendition, Role, Steering, Tiles, VideoRange};
use xml::Element;

/// The media type of a manifest.
pub const CONTENT_TYPE: &str = "application/dash+xml";

/// The [common system](https://www.w3.org/TR/eme-initdata-cenc/#common-system) of W3C.
const COMMON: &str = "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b";

/// What the manifest says beyond the renditions.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Where a ClearKey licence is to be had, for encrypted renditions.
    pub license_url: Option<String>,
    /// Small pictures to find a place by.
    pub tiles: Vec<Tiles>,
    /// Where else the presentation can be had, and who says from where to take it.
    pub steering: Option<Steering>,
    /// The stretch of the presentation's timeline that is shown; all of it if nothing is said. Its beginning
    /// is moment 0 of the manifest.
    pub stretch: Option<(std::time::Duration, std::time::Duration)>,
    /// What stands behind the path of a whole file of text, such as `?start=10`.
    pub query: String,
    /// Splices: a finished presentation has a period for each stretch between them, and all of them are events. (The
    /// interstitials among them are for HLS alone.)
    pub marks: Marks,
    /// Segments of pictures (of sound, where there are none) tell of splices too, in `emsg` boxes.
    pub inband: bool,
}

/// The manifest as an object named `manifest.mpd`.
///
/// # Errors
/// [`Error::Empty`] without a rendition that has segments.
pub fn object(renditions: &[Rendition], options: &Options) -> Result<Object, Error> {
    Ok(Object::whole("manifest.mpd", CONTENT_TYPE, manifest(renditions, options)?))
}

/// The manifest of a finished presentation.
///
/// # Errors
/// [`Error::Empty`] without a rendition that has segments.
pub fn manifest(renditions: &[Rendition], options: &Options) -> Result<String, Error> {
    let all: Vec<&Rendition> = renditions.iter().filter(|r| !r.segments.is_empty()).collect();
    let duration = renditions.iter().map(Rendition::duration).max().unwrap_or_default();
    let duration = match options.stretch {
        Some((from, to)) => duration.min(to).saturating_sub(from),
        None => duration,
    };
    if all.is_empty() || duration.is_zero() {
        return Err(Error::Empty);
    }
    let longest = renditions.iter().map(Rendition::target_duration).filter(|d| *d < 60).max().unwrap_or(2);
    let profile = profile(&all);

    let mut mpd = root()
        .attr("profiles", profile)
        .attr("type", "static")
        .attr("mediaPresentationDuration", iso_duration(duration))
        .attr("minBufferTime", format!("PT{longest}S"));
    if let Some(steering) = &options.steering {
        mpd = steered(mpd, steering);
    }
    let starts = events::starts(&options.marks, duration);
    for (id, start) in starts.iter().enumerate() {
        let until = id.checked_add(1).and_then(|next| starts.get(next)).copied();
        let mut period = Element::new("Period").attr("id", id).attr("start", iso_start(*start));
        if starts.len() > 1 {
            period = period.attr("duration", iso_micros(until.unwrap_or(duration).saturating_sub(*start)));
        }
        if options.marks.iter().any(|mark| mark.splice().is_some()) {
            period = period.child(events::stream(&options.marks, *start, until));
        }
        let parts: Vec<Rendition> = all.iter().map(|r| events::part(r, *start, until)).collect();
        let parts: Vec<&Rendition> = parts.iter().filter(|r| !r.segments.is_empty()).collect();
        let scene = Scene { options, timing: None, offset: *start, behind: id.checked_sub(1), order: &[] };
        let mut period = adaptation_sets(&parts, &scene).into_iter().fold(period, Element::child);
        // Sheets go on from period to period; they are named where they begin with the only one.
        for tiles in options.tiles.iter().filter(|_| starts.len() == 1) {
            let id = period.children().len();
            period = period.child(tiles::adaptation_set(id, tiles));
        }
        mpd = mpd.child(period);
    }
    Ok(mpd.document())
}

/// ISO/IEC 23009-1:2022, 8: what all of the renditions have in common.
fn profile(all: &[&Rendition]) -> &'static str {
    if all.iter().any(|r| r.form == Form::WebM) {
        // The others are about ISO files.
        "urn:mpeg:dash:profile:full:2011"
    } else if all.iter().all(|r| r.layout == Layout::Sidecar || r.index.is_some()) {
        // Every rendition is one file of byte ranges.
        "urn:mpeg:dash:profile:isoff-on-demand:2011"
    } else if all.iter().all(|r| r.layout == Layout::Files) {
        "urn:mpeg:dash:profile:isoff-live:2011"
    } else {
        // A whole file of text beside segments, which the live profile has no place for.
        "urn:mpeg:dash:profile:isoff-main:2011"
    }
}

/// ETSI TS 103 998, 5: a base for each pathway, and whom to ask. Players begin with the first one and ask at
/// the same time, as those of HLS do.
fn steered(mut mpd: Element, steering: &Steering) -> Element {
    for pathway in steering.pathways() {
        let base = if pathway.base.is_empty() { "./" } else { &pathway.base };
        mpd = mpd.child(Element::new("BaseURL").attr("serviceLocation", &pathway.id).text(base));
    }
    let first = steering.pathways().first().map_or("", |way| &way.id);
    mpd.child(
        Element::new("ContentSteering")
            .attr("defaultServiceLocation", first)
            .attr("queryBeforeStart", "false")
            .text(steering.server()),
    )
}

/// The outermost element, with the names that stand in it.
fn root() -> Element {
    Element::new("MPD")
        .attr("xmlns", "urn:mpeg:dash:schema:mpd:2011")
        .attr("xmlns:cenc", "urn:mpeg:cenc:2013")
        .attr("xmlns:dashif", "https://dashif.org/CPS")
        .attr("xmlns:scte214", "urn:scte:dash:scte214-extensions")
}

/// What is the same for all sets of a period.
struct Scene<'a> {
    options: &'a Options,
    /// Of a presentation that goes on.
    timing: Option<Timing>,
    /// Where on the presentation's timeline its own begins; of a presentation that goes on, see its timing.
    offset: std::time::Duration,
    /// The period that it goes on with, without a break.
    behind: Option<usize>,
    /// What the sets of a presentation's streams are called while it goes on.
    order: &'a [(&'a str, usize)],
}

impl Scene<'_> {
    /// Tells where in media time the period begins.
    fn offset(&self, element: Element, timescale: u32) -> Element {
        let base = sv_core::TimeBase::new(1, timescale).unwrap_or(sv_core::TimeBase::MILLIS);
        match sv_core::Duration::from_std(self.offset, base).ticks() {
            0 => element,
            ticks => element.attr("presentationTimeOffset", ticks),
        }
    }
}

/// How a period that goes on lies in time.
#[derive(Clone)]
struct Timing {
    /// When it starts, on the presentation's timeline, which segments count on.
    start: std::time::Duration,
    /// How long before its end a segment can be asked for, where it leaves in parts.
    ahead: Option<std::time::Duration>,
    /// The wall clock at the presentation's beginning, as text.
    began: String,
}

/// The sets of these renditions.
fn adaptation_sets(renditions: &[&Rendition], scene: &Scene<'_>) -> Vec<Element> {
    let mut sets: BTreeMap<SetKey, Vec<&Rendition>> = BTreeMap::new();
    for rendition in renditions {
        sets.entry(SetKey::of(rendition)).or_default().push(rendition);
    }
    let id_of = |at: usize, set: &[&Rendition]| {
        let all = set.iter().filter_map(|r| scene.order.iter().find(|(name, _)| *name == r.name));
        all.map(|(_, id)| *id).min().unwrap_or(at)
    };
    let ids: BTreeMap<&str, usize> = sets
        .values()
        .enumerate()
        .map(|(at, set)| (id_of(at, set), set))
        .flat_map(|(id, set)| set.iter().map(move |r| (r.name.as_str(), id)))
        .collect();
    let telling = sets.keys().map(|key| key.kind).min().filter(|_| scene.options.inband);
    let mut out = Vec::new();
    for (at, (key, set)) in sets.iter().enumerate() {
        let id = id_of(at, set);
        let inband = telling == Some(key.kind);
        let others: Vec<String> = sets
            .iter()
            .enumerate()
            .filter(|(_, (other, _))| key.switches_to(other))
            .map(|(at, (_, set))| id_of(at, set).to_string())
            .collect();
        out.push(adaptation_set(id, key, set, &Kin { ids: &ids, others: &others, inband }, scene));
    }
    out
}

/// What sets are called while streams come and go: each by the place of the first stream that belonged to it when both were
/// there last.
fn places(streams: &[Stream]) -> Vec<(&str, usize)> {
    let together = |one: &Stream, other: &Stream| {
        let both = one.epochs().rev().find_map(|a| Some((a, other.epochs().find(|b| b.epoch == a.epoch)?)));
        both.is_some_and(|(a, b)| SetKey::of(a) == SetKey::of(b))
    };
    let first = |at: usize, stream: &Stream| {
        streams.iter().take(at).position(|other| together(stream, other)).unwrap_or(at)
    };
    streams.iter().enumerate().map(|(at, stream)| (stream.name(), first(at, stream))).collect()
}

/// What makes renditions interchangeable, in the order in which sets are listed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SetKey {
    /// Pictures, sound, text, fast motion.
    kind: u8,
    codec: String,
    range: u8,
    channels: u16,
    language: String,
    /// Text of different roles is never interchangeable.
    role: (bool, bool),
    roles: Vec<Role>,
    /// A set is protected as a whole, so each key has its own: players may switch between them where they
    /// have both.
    kid: Option<KeyId>,
    /// How its segments are written.
    content_type: &'static str,
}

impl SetKey {
    /// Whether pictures of the one may follow pictures of the other.
    fn switches_to(&self, other: &Self) -> bool {
        let alike = |a: &Self| (a.kind, a.codec.clone(), a.range);
        self.kind == 0 && self.kid != other.kid && alike(self) == alike(other)
    }

    fn of(rendition: &Rendition) -> Self {
        let info = &rendition.info;
        Self {
            kind: match info.kind {
                _ if rendition.trick_play_of.is_some() => 3,
                TrackKind::Video => 0,
                TrackKind::Audio => 1,
                TrackKind::Text => 2,
            },
            codec: info.codec.split('.').next().unwrap_or_default().to_owned(),
            range: match info.range {
                VideoRange::Sdr => 0,
                VideoRange::Hlg => 1,
                VideoRange::Pq => 2,
            },
            channels: info.channels.unwrap_or(0),
            language: info.language.clone().unwrap_or_default(),
            role: (info.forced, info.captions),
            roles: info.roles.clone(),
            kid: info.key.as_ref().map(|key| key.kid),
            content_type: rendition.content_type(),
        }
    }
}

/// What a set has to know of its period.
struct Kin<'a> {
    /// The set of each rendition.
    ids: &'a BTreeMap<&'a str, usize>,
    /// Sets that players may switch to.
    others: &'a [String],
    /// Whether its segments tell of splices.
    inband: bool,
}

fn adaptation_set(id: usize, key: &SetKey, set: &[&Rendition], kin: &Kin<'_>, scene: &Scene<'_>) -> Element {
    let Kin { ids, others, inband } = *kin;
    let Some(first) = set.first() else { return Element::new("AdaptationSet") };
    let info = &first.info;
    let kind = match info.kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
        TrackKind::Text => "text",
    };
    let mut out = Element::new("AdaptationSet").attr("id", id).attr("contentType", kind);
    out = out.attr("mimeType", first.content_type()).attr("segmentAlignment", "true");
    if first.layout != Layout::Sidecar {
        out = out.attr("startWithSAP", "1");
        if first.form == Form::Cmaf {
            out = out.attr("containerProfiles", "cmfc");
        }
    }
    // DASH-IF wants it said of sound also where it isn't known.
    match &info.language {
        Some(language) => out = out.attr("lang", language),
        None if info.kind == TrackKind::Audio => out = out.attr("lang", "und"),
        None => {}
    }
    out = picture(out, set);
    if let Some(key) = &info.key {
        for element in protection(key, scene.options) {
            out = out.child(element);
        }
    }
    if key.kind == 3 {
        let main = first.trick_play_of.as_deref().and_then(|name| ids.get(name)).copied().unwrap_or(0);
        out = out.child(
            Element::new("EssentialProperty")
                .attr("schemeIdUri", "http://dashif.org/guidelines/trickmode")
                .attr("value", main),
        );
    }
    for element in color(info) {
        out = out.child(element);
    }
    if !others.is_empty() {
        out = out.child(
            Element::new("SupplementalProperty")
                .attr("schemeIdUri", "urn:mpeg:dash:adaptation-set-switching:2016")
                .attr("value", others.join(",")),
        );
    }
    if let Some(before) = scene.behind {
        out = out.child(
            Element::new("SupplementalProperty")
                .attr("schemeIdUri", "urn:mpeg:dash:period-continuity:2015")
                .attr("value", before),
        );
    }
    if inband {
        out = out.child(Element::new("InbandEventStream").attr("schemeIdUri", SCHEME));
    }
    if let Some(label) = &info.label {
        out = out.child(Element::new("Label").text(label));
    }
    // Text doesn't say when it was made.
    if let Some(timing) = scene.timing.as_ref().filter(|_| info.kind != TrackKind::Text) {
        out = out.child(live::reference_time(timing));
    }
    if info.captions {
        out = out.child(
            Element::new("Accessibility")
                .attr("schemeIdUri", "urn:mpeg:dash:role:2011")
                .attr("value", "caption"),
        );
    }
    for (prefix, scheme) in
        [("CC", "urn:scte:dash:cc:cea-608:2015"), ("SERVICE", "urn:scte:dash:cc:cea-708:2015")]
    {
        // SCTE 214-1, 7.2: a channel and its language, of three letters.
        let channel = |captions: &Carried| {
            let number = captions.name.strip_prefix(prefix)?;
            let language = captions.language.as_deref().and_then(language::long);
            let language = language.as_deref().unwrap_or("und");
            Some(if prefix == "CC" {
                format!("CC{number}={language}")
            } else {
                format!("{number}=lang:{language}")
            })
        };
        let channels: Vec<_> = info.carried.iter().filter_map(channel).collect();
        if !channels.is_empty() {
            let value = channels.join(";");
            out = out.child(Element::new("Accessibility").attr("schemeIdUri", scheme).attr("value", value));
        }
    }
    if info.roles.contains(&Role::Description) {
        // For the visually impaired (DVB's AudioPurposeCS).
        out = out.child(
            Element::new("Accessibility")
                .attr("schemeIdUri", "urn:tva:metadata:cs:AudioPurposeCS:2007")
                .attr("value", 1),
        );
    }
    let role = match info.kind {
        TrackKind::Text if info.forced => "forced-subtitle",
        TrackKind::Text if info.captions => "caption",
        TrackKind::Text => "subtitle",
        TrackKind::Audio if set.iter().any(|r| r.info.default) || key.language.is_empty() => "main",
        TrackKind::Audio => "alternate",
        TrackKind::Video => "main",
    };
    let told: Vec<_> = match info.roles.is_empty() {
        true => vec![role],
        false => info.roles.iter().map(|role| role.value()).collect(),
    };
    for role in told {
        out = out
            .child(Element::new("Role").attr("schemeIdUri", "urn:mpeg:dash:role:2011").attr("value", role));
    }
    let mut set = set.to_vec();
    set.sort_by_key(|r| r.bandwidth().peak);
    for rendition in set {
        out = out.child(representation(rendition, scene));
    }
    out
}

/// What is the most of any picture of a set, and the shape in which they are shown (DASH-IF IOP 4.3, 3.2.4).
fn picture(mut out: Element, set: &[&Rendition]) -> Element {
    let sizes = || set.iter().filter_map(|r| r.info.size);
    if let (Some(width), Some(height)) = (sizes().map(|s| s.0).max(), sizes().map(|s| s.1).max()) {
        out = out.attr("maxWidth", width).attr("maxHeight", height);
    }
    if let Some(rate) = set.iter().filter_map(|r| r.info.frame_rate).max() {
        out = out.attr("maxFrameRate", fraction(rate));
    }
    // Small ones are rounded: the largest tells the shape best.
    let shape = |info: &Info| {
        let ((width, height), aspect) = (info.size?, info.sample_aspect.unwrap_or(Ratio::ONE));
        Ratio::new(width.checked_mul(aspect.num())?, height.checked_mul(aspect.den())?)
    };
    let largest = set.iter().max_by_key(|r| r.info.size);
    match largest.and_then(|r| shape(&r.info)) {
        Some(shape) => out.attr("par", format!("{}:{}", shape.num(), shape.den())),
        None => out,
    }
}

/// A rate as the schema wants it: a number, or a fraction.
fn fraction(rate: Ratio) -> String {
    if rate.den() == 1 { rate.num().to_string() } else { format!("{}/{}", rate.num(), rate.den()) }
}

fn representation(rendition: &Rendition, scene: &Scene<'_>) -> Element {
    let info = &rendition.info;
    let mut out = Element::new("Representation").attr("id", &rendition.name);
    // Text outside of ISO files has no codecs parameter.
    if rendition.has_init() {
        out = out.attr("codecs", &info.codec);
    }
    // What HLS says in one string, SCTE 214-1 (2022, 10.2.2) says in two attributes.
    if let Some(supplemental) = &info.supplemental {
        let (codec, brand) = supplemental.split_once('/').unwrap_or((supplemental, ""));
        out = out.attr("scte214:supplementalCodecs", codec);
        if !brand.is_empty() {
            out = out.attr("scte214:supplementalProfiles", brand);
        }
    }
    out = out.attr("bandwidth", rendition.bandwidth().peak.max(1));
    if let Some((width, height)) = info.size {
        out = out.attr("width", width).attr("height", height);
        let sar = info.sample_aspect.map_or("1:1".to_owned(), |a| format!("{}:{}", a.num(), a.den()));
        out = out.attr("sar", sar);
        if let Some(rate) = info.frame_rate {
            out = out.attr("frameRate", fraction(rate));
        }
        if rendition.trick_play_of.is_some() {
            out = out.attr("codingDependency", "false");
        }
    }
    if let Some(rate) = info.sample_rate {
        out = out.attr("audioSamplingRate", rate);
    }
    if let Some((scheme, value)) = loudspeakers(info) {
        out = out.child(
            Element::new("AudioChannelConfiguration").attr("schemeIdUri", scheme).attr("value", value),
        );
    }
    for (scheme, value) in dolby(info) {
        out =
            out.child(Element::new("SupplementalProperty").attr("schemeIdUri", scheme).attr("value", value));
    }
    match rendition.layout {
        Layout::Files => out.child(template(rendition, scene)),
        Layout::Sidecar => {
            let url = format!("{}{}", rendition.path(0), scene.options.query);
            let out = out.child(Element::new("BaseURL").text(url));
            if scene.offset.is_zero() {
                return out;
            }
            out.child(scene.offset(Element::new("SegmentBase").attr("timescale", 1000), 1000))
        }
        Layout::SingleFile => {
            let out = out.child(Element::new("BaseURL").text(rendition.path(0)));
            match rendition.index {
                Some((offset, bytes)) => out.child(segment_base(rendition, offset, bytes, scene)),
                None => out.child(segment_list(rendition, scene)),
            }
        }
    }
}

fn template(rendition: &Rendition, scene: &Scene<'_>) -> Element {
    let first = rendition.segments.first().map_or(0, |s| s.number);
    let mut out = Element::new("SegmentTemplate").attr("timescale", rendition.info.timescale);
    if let Some(timing) = &scene.timing {
        out = live::timed(out, timing, rendition);
    } else {
        out = scene.offset(out, rendition.info.timescale);
    }
    let from = scene
        .options
        .stretch
        .map_or(0, |(from, _)| sv_core::Duration::from_std(from, rendition.info.time_base()).ticks());
    if from > 0 && scene.timing.is_none() {
        out = out.attr("presentationTimeOffset", from);
    }
    let extension = rendition.extension();
    if rendition.has_init() {
        out = out.attr("initialization", rendition.init_path());
    }
    let identifier = if rendition.named_by_time { "$Time$" } else { "$Number$" };
    out.attr("media", format!("{}/{identifier}.{extension}", rendition.name))
        .attr("startNumber", first)
        .child(timeline(rendition))
}

/// Runs of equal lengths, each begun anew where the next segment is not where the last one ended.
fn timeline(rendition: &Rendition) -> Element {
    let mut out = Element::new("SegmentTimeline");
    let mut run: Option<(Option<u64>, u64, u64)> = None;
    let mut expected = None;
    let emit = |out: Element, run: Option<(Option<u64>, u64, u64)>| match run {
        Some((start, duration, repeat)) => {
            let mut s = Element::new("S");
            if let Some(start) = start {
                s = s.attr("t", start);
            }
            s = s.attr("d", duration);
            out.child(if repeat > 0 { s.attr("r", repeat) } else { s })
        }
        None => out,
    };
    for segment in &rendition.segments {
        let joins = expected == Some(segment.start);
        expected = Some(segment.start.saturating_add(segment.duration));
        run = match run {
            Some((start, duration, repeat)) if joins && duration == segment.duration => {
                Some((start, duration, repeat.saturating_add(1)))
            }
            before => {
                out = emit(out, before);
                Some(((!joins).then_some(segment.start), segment.duration, 0))
            }
        };
    }
    emit(out, run)
}

fn segment_base(rendition: &Rendition, offset: u64, bytes: u64, scene: &Scene<'_>) -> Element {
    let last = offset.saturating_add(bytes).saturating_sub(1);
    let out = Element::new("SegmentBase").attr("timescale", rendition.info.timescale);
    scene
        .offset(out, rendition.info.timescale)
        .attr("indexRange", format!("{offset}-{last}"))
        .child(initialization(rendition))
}

fn segment_list(rendition: &Rendition, scene: &Scene<'_>) -> Element {
    let out = Element::new("SegmentList").attr("timescale", rendition.info.timescale);
    let mut out = scene
        .offset(out, rendition.info.timescale)
        .child(initialization(rendition))
        .child(timeline(rendition));
    for segment in &rendition.segments {
        let last = segment.offset.saturating_add(segment.bytes).saturating_sub(1);
        out = out.child(Element::new("SegmentURL").attr("mediaRange", format!("{}-{last}", segment.offset)));
    }
    out
}

fn initialization(rendition: &Rendition) -> Element {
    Element::new("Initialization").attr("range", format!("0-{}", rendition.init_bytes.saturating_sub(1)))
}

/// DASH-IF IOP part 6: the scheme's own descriptor first, then one for each key system.
fn protection(key: &Key, options: &Options) -> Vec<Element> {
    let mut out = vec![
        Element::new("ContentProtection")
            .attr("schemeIdUri", "urn:mpeg:dash:mp4protection:2011")
            .attr("value", key.scheme.as_str())
            .attr("cenc:default_KID", key.kid.to_uuid()),
    ];
    for pssh in &key.pssh {
        // The common header stands in the segments. In a manifest it is no key system, and dash.js
        // hands it to ClearKey as a list of key ids, which it is not.
        let system = STANDARD.decode(pssh).ok().and_then(|b| system_id(&b)).filter(|s| s != COMMON);
        if let Some(system) = system {
            out.push(
                Element::new("ContentProtection")
                    .attr("schemeIdUri", format!("urn:uuid:{system}"))
                    .child(Element::new("cenc:pssh").text(pssh)),
            );
        }
    }
    let mut clear = Element::new("ContentProtection")
        .attr("schemeIdUri", "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e")
        .attr("value", "ClearKey1.0");
    if let Some(url) = &options.license_url {
        clear = clear.child(Element::new("dashif:Laurl").attr("licenseType", "EME-1.0").text(url));
    }
    out.push(clear);
    out
}

fn system_id(pssh: &[u8]) -> Option<String> {
    let id: [u8; 16] = pssh.get(12..28)?.try_into().ok()?;
    Some(KeyId(id).to_uuid())
}

/// Colour that players may have to know before they choose: DASH-IF IOP part 7.
fn color(info: &Info) -> Vec<Element> {
    if info.kind != TrackKind::Video || info.range == VideoRange::Sdr {
        return Vec::new();
    }
    let property = |name: &str, value: u8| {
        Element::new("SupplementalProperty")
            .attr("schemeIdUri", format!("urn:mpeg:mpegB:cicp:{name}"))
            .attr("value", value)
    };
    vec![
        property("ColourPrimaries", info.color.primaries),
        property("TransferCharacteristics", info.color.transfer),
        property("MatrixCoefficients", info.color.matrix),
    ]
}

/// The scheme and the value of `AudioChannelConfiguration`. AC-4 is told by MPEG's, where that has a word for it, and else
/// by Dolby's (ETSI TS 103 190-2, G.3), in which objects have a bit of their own.
fn loudspeakers(info: &Info) -> Option<(&'static str, String)> {
    const DTS: &str = "tag:dts.com,2018:uhd:audio_channel_configuration";
    const DOLBY: &str = "tag:dolby.com,2015:dash:audio_channel_configuration:2015";
    let configuration = match info.speakers {
        Some(mask) if info.codec == "dtsx" => return Some((DTS, format!("{mask:08X}"))),
        Some(0) => return Some((DOLBY, "800000".to_owned())),
        Some(mask) => match groups_configuration(mask) {
            Some(configuration) => configuration,
            None => return Some((DOLBY, format!("{mask:06X}"))),
        },
        None => info.channels.and_then(channel_configuration)?,
    };
    Some(("urn:mpeg:mpegB:cicp:ChannelConfiguration", configuration.to_string()))
}

/// MPEG's configuration of AC-4's groups of loudspeakers, where they are the same.
const fn groups_configuration(mask: u32) -> Option<u8> {
    Some(match mask {
        0x02 => 1,
        0x01 => 2,
        0x03 => 3,
        0x07 => 5,
        0x47 => 6,
        0x4F => 12,
        // With two in front above, four above, and those with seven around.
        0x57 => 14,
        0x77 => 16,
        0x7F => 19,
        _ => return None,
    })
}

/// What Dolby has players told: that there are objects (Dolby Atmos in E-AC-3: ETSI TS 103 420, D.2), or sound made for
/// headphones (AC-4: ETSI TS 103 190-2, G.2.12).
fn dolby(info: &Info) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if let Some(objects) = info.objects {
        out.push(("tag:dolby.com,2018:dash:EC3_ExtensionType:2018", "JOC".to_owned()));
        out.push(("tag:dolby.com,2018:dash:EC3_ExtensionComplexityIndex:2018", objects.to_string()));
    }
    if info.codec.starts_with("ac-4.02.02.") {
        out.push(("tag:dolby.com,2016:dash:virtualized_content:2016", "1".to_owned()));
    }
    out
}

/// ISO/IEC 23091-3, table of channel configurations.
fn channel_configuration(channels: u16) -> Option<u8> {
    match channels {
        1..=6 => u8::try_from(channels).ok(),
        7 => Some(11),
        8 => Some(12),
        _ => None,
    }
}

/// Without a fraction at the very beginning.
fn iso_start(at: std::time::Duration) -> String {
    if at.is_zero() { "PT0S".to_owned() } else { iso_micros(at) }
}

fn iso_micros(length: std::time::Duration) -> String {
    format!("PT{}.{:06}S", length.as_secs(), length.subsec_micros())
}

fn iso_duration(length: std::time::Duration) -> String {
    format!("PT{}.{:03}S", length.as_secs(), length.subsec_millis())
}
