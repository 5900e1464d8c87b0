//! Renditions of stored tracks: their manifests, and what each segment is made of.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sv_container::{mp4, webvtt};
use sv_core::{Bytes, Grid, Item, KeyId, Protection, Segment, Stage as _, Timestamp, Track, TrackKind};

use super::{Query, Sample, Table, Wanted};
use crate::{Error, Form, Info, Layout, Packager, Rendition, Role, SegmentRecord, Segmenter, dash, hls};

/// Stored samples that lie no further apart are read at once: a seek costs more than so many bytes.
const NEAR: u64 = 32 << 10;

/// A stored track and what is to be told of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Member {
    /// Which source it lies in: whatever the caller counts by.
    pub source: usize,
    /// Where its samples lie.
    pub table: Arc<Table>,
    /// The rendition's name.
    pub name: String,
    /// What it is for.
    pub roles: Vec<Role>,
    /// The rendition that it shows in fast motion.
    pub trick_play_of: Option<String>,
    /// How its segments will be encrypted.
    pub protection: Option<Protection>,
    /// Under which key, in order: segments whose cell of the grid begins at that moment or later are clear (nothing) or
    /// under that one. Empty where all are under the track's own.
    pub turns: Vec<(Duration, Option<KeyId>)>,
}

impl Member {
    /// A clear rendition.
    #[must_use]
    pub fn new(name: impl Into<String>, source: usize, table: Arc<Table>) -> Self {
        let (name, roles) = (name.into(), Vec::new());
        Self { source, table, name, roles, trick_play_of: None, protection: None, turns: Vec::new() }
    }

    /// The key of a segment whose cell begins then.
    fn kid(&self, at: Duration) -> Option<KeyId> {
        let own = self.protection.as_ref().map(|p| p.default_kid);
        self.turns.iter().rev().find(|(from, _)| *from <= at).map_or(own, |(_, kid)| *kid)
    }
}

/// What there is to ask for in one form: renditions that come into being segment by segment.
#[derive(Debug)]
pub struct Offer {
    form: Form,
    lanes: Vec<Lane>,
    texts: Vec<(Rendition, webvtt::Document)>,
    hls: hls::Options,
    dash: dash::Options,
}

#[derive(Debug)]
struct Lane {
    member: Member,
    /// The track as its segments describe it.
    track: Arc<Track>,
    rendition: Rendition,
    /// The first sample of each segment, and behind the last.
    firsts: Vec<usize>,
}

impl Offer {
    /// An offer of these renditions, cut as a [`Segmenter`] cuts them; transport streams of those that have a place there.
    ///
    /// # Errors
    /// As of [`Segmenter`] and [`Packager`].
    pub fn new(
        form: Form,
        segment: Duration,
        members: Vec<Member>,
        hls: hls::Options,
        dash: dash::Options,
    ) -> Result<Self, Error> {
        let lanes = members
            .into_iter()
            .filter(|m| !m.table.samples.is_empty())
            .map(|member| Lane::cut(member, form, segment))
            .collect::<Result<_, _>>()?;
        Ok(Self { form, lanes, texts: Vec::new(), hls, dash })
    }

    /// Offers text too, as one file of WebVTT: what it is, and its cues on the presentation's timeline.
    pub fn text(&mut self, name: &str, info: Info, document: webvtt::Document) {
        let length = self.lanes.iter().map(|lane| lane.rendition.duration()).max().unwrap_or_default();
        let text = self.written(&document, None);
        let (rendition, _) = Packager::sidecar(name, info, text, length);
        self.texts.push((rendition, document));
    }

    /// Every rendition, whole.
    pub fn renditions(&self) -> impl Iterator<Item = &Rendition> {
        self.lanes.iter().map(|lane| &lane.rendition).chain(self.texts.iter().map(|(rendition, _)| rendition))
    }

    /// Bytes that it takes in memory beside its tables.
    #[must_use]
    pub fn weight(&self) -> usize {
        let segments = self.renditions().map(|r| r.segments.len()).fold(0usize, usize::saturating_add);
        let texts = self.texts.iter().map(|(r, _)| usize::try_from(r.bytes()).unwrap_or(0).saturating_mul(4));
        texts.fold(
            segments.saturating_mul(size_of::<SegmentRecord>().saturating_add(8)),
            usize::saturating_add,
        )
    }

    /// A playlist, a manifest or a file of text, and its media type. `None` for what is neither, or not there.
    ///
    /// # Errors
    /// [`Error::Empty`] when the query leaves nothing to name.
    pub fn written_for(
        &self,
        wanted: &Wanted,
        query: &Query,
    ) -> Result<Option<(String, &'static str)>, Error> {
        if wanted.is_ts() != (self.form == Form::Ts) {
            return Ok(None);
        }
        let mut hls = self.hls.clone();
        hls.query = query.suffix();
        hls.order = query.order;
        hls.start = query.start;
        Ok(match wanted {
            Wanted::Multivariant { ts } => {
                if *ts {
                    hls.folder = "ts/".to_owned();
                }
                Some((hls::multivariant(&self.chosen(query), &hls)?, hls::CONTENT_TYPE))
            }
            Wanted::Manifest => {
                let chosen = self.chosen(query);
                let mut options = self.dash.clone();
                if !query.is_whole() {
                    let query = Query { start: Some(begins(&chosen)), ..query.clone() };
                    options.query = query.suffix();
                    options.stretch = Some((begins(&chosen), query.end.unwrap_or(Duration::MAX)));
                }
                Some((dash::manifest(&chosen, &options)?, dash::CONTENT_TYPE))
            }
            Wanted::Media { name, .. } => {
                let text = match (self.find(name), name.strip_suffix("-iframes")) {
                    (Some(whole), _) => {
                        let rendition = stretch(whole, query);
                        if rendition.segments.is_empty() {
                            return Err(Error::Empty);
                        }
                        Some(hls::media(&rendition, &hls))
                    }
                    (None, Some(name)) => {
                        self.find(name).and_then(|whole| hls::iframes(&stretch(whole, query), &hls))
                    }
                    (None, None) => None,
                };
                text.map(|text| (text, hls::CONTENT_TYPE))
            }
            Wanted::Text { name, .. } => {
                let found = self.texts.iter().find(|(rendition, _)| rendition.name == *name);
                let part = (!query.is_whole()).then(|| (query.start.unwrap_or_default(), query.end));
                found.map(|(_, document)| (self.written(document, part), "text/vtt; charset=utf-8"))
            }
            Wanted::Clock | Wanted::Init { .. } | Wanted::Segment { .. } => None,
        })
    }

    /// The initialisation segment of a rendition, and its media type.
    ///
    /// # Errors
    /// [`Error::Container`] when it can't be written.
    pub fn init(&self, name: &str) -> Result<Option<(Bytes, &'static str)>, Error> {
        let lane = self.lanes.iter().find(|lane| lane.rendition.name == name && self.form == Form::Cmaf);
        lane.map(|lane| Ok((init(&lane.track)?, lane.rendition.content_type()))).transpose()
    }

    /// What segment `number` of a rendition is made of.
    #[must_use]
    pub fn piece(&self, name: &str, number: u64) -> Option<Piece> {
        let lane = self.lanes.iter().find(|lane| lane.rendition.name == name)?;
        let place = usize::try_from(number).ok()?;
        let samples = *lane.firsts.get(place)?..*lane.firsts.get(place.checked_add(1)?)?;
        Some(Piece {
            source: lane.member.source,
            table: Arc::clone(&lane.member.table),
            samples,
            number,
            reorder: lane.rendition.info.reorder,
            form: self.form,
            content_type: lane.rendition.content_type(),
        })
    }

    fn find(&self, name: &str) -> Option<&Rendition> {
        self.renditions().find(|r| r.name == name)
    }

    /// The renditions that a query wants, and as much of them.
    fn chosen(&self, query: &Query) -> Vec<Rendition> {
        // Fast motion goes with what it shows.
        let takes = |rendition: &Rendition| match rendition.trick_play_of.as_deref() {
            Some(main) => self.find(main).is_some_and(|main| query.filter.takes(main)),
            None => query.filter.takes(rendition),
        };
        let all = self.renditions().filter(|r| takes(r)).map(|r| stretch(r, query));
        all.filter(|r| !r.segments.is_empty()).collect()
    }

    /// Cues of a stretch of the timeline, which count from its beginning.
    fn written(&self, document: &webvtt::Document, part: Option<(Duration, Option<Duration>)>) -> String {
        let ts = self.form == Form::Ts;
        let (from, to) = part.unwrap_or_default();
        let millis = |time: Duration| Timestamp::new(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let (start, end) = (millis(from), to.map_or(Timestamp::new(i64::MAX), millis));
        let mut document = document.clone();
        if part.is_some() {
            document.blocks.retain_mut(|block| {
                let webvtt::Block::Cue(cue) = block else { return true };
                let shown = cue.start < end && cue.end > start;
                let back = |at: Timestamp| at.offset(start.ticks().saturating_neg());
                (cue.start, cue.end) = (back(cue.start.max(start)), back(cue.end.min(end)));
                shown
            });
        }
        let text = document.to_string();
        // Where moment 0 of the text lies on the clock of the media (RFC 8216, 3.5).
        let clock = u64::try_from(from.as_millis()).unwrap_or(0).saturating_mul(90);
        let clock = clock.saturating_add(if ts { sv_container::ts::ORIGIN } else { 0 });
        match text.split_once('\n') {
            Some((title, rest)) if clock > 0 => {
                format!("{title}\nX-TIMESTAMP-MAP=MPEGTS:{clock},LOCAL:00:00:00.000\n{rest}")
            }
            _ => text,
        }
    }
}

/// Of a rendition, the segments that have something of the stretch.
fn stretch(rendition: &Rendition, query: &Query) -> Rendition {
    let mut rendition = rendition.clone();
    if query.is_whole() {
        return rendition;
    }
    let (from, to) = (query.start.unwrap_or_default(), query.end.unwrap_or(Duration::MAX));
    let base = rendition.info.time_base();
    let at = |ticks: u64| sv_core::Duration::new(ticks).to_std(base);
    if rendition.layout == Layout::Sidecar {
        // One file, which is cut itself.
        for whole in &mut rendition.segments {
            let ticks = |time: Duration| sv_core::Duration::from_std(time, base).ticks();
            let end = if to < at(whole.duration) { ticks(to) } else { whole.duration };
            whole.duration = end.saturating_sub(ticks(from));
        }
        rendition.segments.retain(|s| s.duration > 0);
        return rendition;
    }
    rendition.segments.retain(|s| at(s.start.saturating_add(s.duration)) > from && at(s.start) < to);
    rendition
}

/// When the first picture of these renditions is shown, or their first sound. A DASH period begins there and not at a moment
/// within a segment: players would drop all pictures up to the next one that needs no other.
fn begins(renditions: &[Rendition]) -> Duration {
    let first = |kind| {
        let own = renditions.iter().filter(move |r| r.info.kind == kind && r.trick_play_of.is_none());
        own.filter_map(|r| Some(sv_core::Duration::new(r.segments.first()?.start).to_std(r.info.time_base())))
            .min()
    };
    first(TrackKind::Video).or_else(|| first(TrackKind::Audio)).unwrap_or_default()
}

fn init(track: &Track) -> Result<Bytes, Error> {
    mp4::init_segment(&[track]).map_err(|source| Error::Container { track: track.id, source })
}

impl Lane {
    /// Lets a segmenter cut the rendition, of which nobody has read a byte: zeros stand for payloads.
    fn cut(member: Member, form: Form, segment: Duration) -> Result<Self, Error> {
        let table = &member.table;
        let largest = table.samples.iter().map(|s| s.size).max().unwrap_or(0);
        let zeros = Bytes::from(vec![0; usize::try_from(largest).unwrap_or(0)]);
        let mut segmenter = Segmenter::new(segment);
        let mut packager =
            Packager::new(member.name.as_str(), Layout::Files, 0).roles(member.roles.iter().copied());
        if let Some(main) = &member.trick_play_of {
            packager = packager.trick_play_of(main);
        }
        let mut out: Option<Arc<Track>> = None;
        let mut drain = |segmenter: &mut Segmenter, packager: &mut Packager| -> Result<(), Error> {
            while let Some(item) = segmenter.pull()? {
                if let Item::Track(track) = &item {
                    out = Some(Arc::clone(track));
                }
                packager.push(item)?;
            }
            Ok(())
        };
        segmenter.push(Item::Track(Arc::clone(&table.track)))?;
        for sample in &table.samples {
            let size = usize::try_from(sample.size).unwrap_or(0);
            segmenter.push(Item::Packet(sample.packet(&table.track, zeros.slice(..size))))?;
            drain(&mut segmenter, &mut packager)?;
        }
        segmenter.finish()?;
        drain(&mut segmenter, &mut packager)?;
        let (mut rendition, _) = packager.finish()?;
        let mut track = Track::clone(out.as_ref().ok_or(Error::Empty)?);
        track.protection.clone_from(&member.protection);
        rendition.form = form;
        rendition.info = Info { roles: member.roles.clone(), ..Info::of(&track)? };
        rendition.init_bytes = match form {
            Form::Cmaf => u64::try_from(init(&track)?.len()).unwrap_or(u64::MAX),
            Form::Ts | Form::Text | Form::WebM => 0,
        };
        let mut firsts = vec![0usize];
        let grid = Grid::new(segment);
        let protected = member.protection.is_some();
        let mut rest = table.samples.as_slice();
        for record in &mut rendition.segments {
            let (now, later) = rest
                .split_at_checked(usize::try_from(record.packets).unwrap_or(usize::MAX))
                .unwrap_or((rest, &[]));
            rest = later;
            firsts.push(firsts.last().copied().unwrap_or(0).saturating_add(now.len()));
            record.kid = now.first().and_then(|first| {
                let (pts, duration) =
                    (Timestamp::new(first.pts()), sv_core::Duration::new(u64::from(first.duration)));
                let start = grid.start(grid.cell_of(pts, duration, table.track.time_base));
                member.kid(Duration::from_nanos(u64::try_from(start).unwrap_or(0)))
            });
            estimate(record, now, form, rendition.info.kind, protected);
        }
        Ok(Self { member, track: Arc::new(track), rendition, firsts })
    }
}

/// Of what is no clear CMAF the sizes are known when the payloads are: until then manifests tell what is a little above
/// them, and name no byte ranges.
fn estimate(record: &mut SegmentRecord, samples: &[Sample], form: Form, kind: TrackKind, protected: bool) {
    let count = u64::from(record.packets);
    if form == Form::Cmaf {
        if protected {
            // A vector and one or two ranges for each sample.
            record.bytes = record.bytes.saturating_add(count.saturating_mul(24)).saturating_add(128);
            record.key_bytes = 0;
        }
        return;
    }
    record.key_bytes = 0;
    let payload = samples.iter().map(|s| u64::from(s.size)).fold(0, u64::saturating_add);
    record.bytes = match kind {
        TrackKind::Video => samples
            .iter()
            .map(|s| {
                u64::from(s.size)
                    .saturating_add(if s.key { 320 } else { 64 })
                    .div_ceil(184)
                    .saturating_mul(188)
            })
            .fold(17 * 188, u64::saturating_add),
        _ => payload.saturating_add(count.saturating_mul(7)).saturating_add(256),
    };
}

/// One segment that somebody wants: what to read, and how to write what was read.
#[derive(Clone, Debug)]
pub struct Piece {
    source: usize,
    table: Arc<Table>,
    samples: Range<usize>,
    number: u64,
    reorder: u64,
    form: Form,
    content_type: &'static str,
}

impl Piece {
    /// The source to read from.
    #[must_use]
    pub fn source(&self) -> usize {
        self.source
    }

    /// The track as it is stored.
    #[must_use]
    pub fn track(&self) -> &Arc<Track> {
        &self.table.track
    }

    /// Samples of the rendition before it: what an encryptor counts on from.
    #[must_use]
    pub fn first(&self) -> u64 {
        u64::try_from(self.samples.start).unwrap_or(u64::MAX)
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    fn samples(&self) -> &[Sample] {
        self.table.samples.get(self.samples.clone()).unwrap_or_default()
    }

    /// What to read: offsets and lengths, in the order in which [`items`](Self::items) wants the bytes.
    #[must_use]
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut out: Vec<(u64, u64)> = Vec::new();
        for sample in self.samples() {
            let (begin, size) = (sample.offset, u64::from(sample.size));
            let end = begin.saturating_add(size);
            match out.last_mut() {
                Some((offset, length))
                    if begin >= *offset && begin <= offset.saturating_add(*length).saturating_add(NEAR) =>
                {
                    *length = (*length).max(end.saturating_sub(*offset));
                }
                _ => out.push((begin, size)),
            }
        }
        out
    }

    /// The track and the packets of the segment, out of the bytes of [`ranges`](Self::ranges); nothing if these are
    /// others. An encryptor takes them next, or [`write`](Self::write).
    #[must_use]
    pub fn items(&self, read: &[Bytes]) -> Option<Vec<Item>> {
        let ranges = self.ranges();
        let mut place = 0usize;
        let mut out = vec![Item::Track(Arc::clone(self.track()))];
        for sample in self.samples() {
            let size = usize::try_from(sample.size).ok()?;
            let data = loop {
                let (offset, length) = ranges.get(place)?;
                let within = sample
                    .offset
                    .checked_sub(*offset)
                    .filter(|from| from.saturating_add(u64::from(sample.size)) <= *length);
                match within {
                    Some(from) => {
                        let from = usize::try_from(from).ok()?;
                        let piece = read.get(place)?;
                        let to = from.checked_add(size).filter(|to| *to <= piece.len())?;
                        break piece.slice(from..to);
                    }
                    None => place = place.saturating_add(1),
                }
            };
            out.push(Item::Packet(sample.packet(self.track(), data)));
        }
        Some(out)
    }

    /// Writes the segment of its track and packets, encrypted or not.
    ///
    /// # Errors
    /// What is wrong with the packets.
    pub fn write(&self, items: impl IntoIterator<Item = Item>) -> Result<Segment, Error> {
        // No cut within: where it ends is known.
        let mut segmenter = Segmenter::new(Duration::MAX).form(self.form).only(self.number, self.reorder);
        items.into_iter().try_for_each(|item| segmenter.push(item))?;
        segmenter.finish()?;
        while let Some(item) = segmenter.pull()? {
            if let Item::Segment(segment) = item {
                return Ok(segment);
            }
        }
        Err(Error::Empty)
    }
}
