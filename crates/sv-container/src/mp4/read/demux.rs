//! The demuxer: packets of all tracks in decoding order, in bounded memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use sv_core::{
    Codec, ColorInfo, Cue, Duration, Item, Limits, Media, Packet, Protection, ReadAt, Source, TimeBase,
    Timestamp, Track, TrackId, TrackKind,
};

use super::atom::Header;
use super::layout::{Layout, MAX_IDLE_BOXES, whole_box};
use super::moof::{self, Defaults, Fragment};
use super::tables::{Cursor, Sample};
use super::trak::{self, Parsed, Trak};
use super::window::Windows;
use crate::num::{u64_of, usize_of};
use crate::{Error, Result, webvtt};

/// Reads an MP4 file, progressive or fragmented, through random access to its bytes.
///
/// As a [`Source`] it yields an [`Item::Track`] for each track, their packets in the order of
/// decoding times (within a fragment, if the file is fragmented), and an [`Item::End`] for each.
/// Payloads are slices of pieces of a quarter of a mebibyte; sample tables stay in the bytes of `moov`.
/// Memory depends on neither the length of the file nor how its tracks are interleaved.
///
/// Edit lists are applied as far as a player would see them: packet times are presentation times,
/// what must be decoded but not shown has negative ones, and how much sound that is says
/// [`AudioInfo::delay`](sv_core::AudioInfo::delay).
pub struct Demuxer {
    windows: Windows,
    limits: Limits,
    tracks: Vec<Arc<Track>>,
    traks: Arc<BTreeMap<u32, Trak>>,
    warnings: Vec<String>,
    lanes: BTreeMap<u32, Lane>,
    /// Tracks to read; `None` for all.
    only: Option<Vec<u32>>,
    defaults: BTreeMap<u32, Defaults>,
    /// Fragments that are being read, and where the search for the next `moof` goes on.
    fragments: Vec<Fragment>,
    next_box: Option<u64>,
    first_moof: Option<u64>,
    next_dts: BTreeMap<u32, i64>,
    samples_left: usize,
    ready: VecDeque<Item>,
    state: State,
}

/// A packet without its payload, and where that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// All of the packet but its data.
    pub packet: Packet,
    /// Where its payload begins in the file.
    pub offset: u64,
    /// Bytes of it.
    pub size: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Tracks,
    Packets,
    Finished,
}

/// Where a fragment begins, and where each track goes on that does not say so itself.
#[derive(Clone)]
struct Place {
    at: Option<u64>,
    next_dts: BTreeMap<u32, i64>,
}

/// Where one track is.
#[derive(Default)]
struct Lane {
    cursor: Cursor,
    /// The sample that comes next, if it is known already.
    next: Option<Sample>,
    auxiliary: Option<super::crypt::Auxiliary>,
    finished: bool,
    /// The sample description of the last packet.
    description: u32,
    /// Samples decoded before this media time are passed over, after a seek.
    from: i64,
    /// When the last packet was decoded: broken files go back, packets never do.
    last: Option<Timestamp>,
}

impl std::fmt::Debug for Demuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demuxer").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}

impl Demuxer {
    /// Reads the file's header.
    ///
    /// # Errors
    /// When the file is of another kind, is cut short before its header ends, breaks the
    /// specification, goes beyond `limits`, or can't be read.
    pub fn open(source: Arc<dyn ReadAt>, mut limits: Limits) -> Result<Self> {
        let layout = Layout::scan(&*source, &limits)?;
        let quicktime = layout.brand == Some(*b"qt  ");
        let movie = trak::movie_time_base(&layout.moov)?;
        let mut traks = BTreeMap::new();
        let mut warnings = Vec::new();
        let mut order = Vec::new();
        let mut samples_left = limits.samples;
        let mut counted = 0u64;
        let mut seen = 0usize;
        for atom in layout.moov.children(0) {
            let atom = atom?;
            if &atom.kind != b"trak" {
                continue;
            }
            seen = seen.saturating_add(1);
            if seen > limits.tracks {
                let limit = u64_of(limits.tracks);
                return Err(Error::LimitExceeded {
                    what: "the number of tracks",
                    offset: atom.offset,
                    limit,
                });
            }
            let mut left = limits;
            left.samples = samples_left;
            match trak::parse(&atom, movie, &left, quicktime)? {
                Parsed::Skipped(id, reason) => warnings.push(format!("track {id} is left out: {reason}")),
                Parsed::Track(trak) => {
                    let Some(track) = trak.descriptions.first() else { continue };
                    let id = track.id.0;
                    if traks.contains_key(&id) {
                        return Err(atom.malformed("moov/trak", "two tracks have the same number"));
                    }
                    if trak.edit.partial {
                        warnings
                            .push(format!("track {id} has a complex edit list: only its start is applied"));
                    }
                    samples_left = samples_left.saturating_sub(trak.tables.count);
                    counted = counted.saturating_add(u64_of(trak.tables.count));
                    if counted > source.size() {
                        // A few bytes named again and again would keep a reader busy for long.
                        return Err(
                            atom.malformed("moov/trak", "it counts more samples than the file has bytes")
                        );
                    }
                    order.push(id);
                    traks.insert(id, *trak);
                }
            }
        }
        // Fragments may name the same bytes again and again too.
        limits.samples = limits.samples.min(usize_of(source.size()));
        samples_left = samples_left.min(limits.samples);
        let (mut defaults, mut pssh) = (BTreeMap::new(), Vec::new());
        for atom in layout.moov.children(0).map_while(Result::ok) {
            match &atom.kind {
                b"mvex" => defaults = moof::track_defaults(&atom)?,
                b"pssh" => pssh.push(whole_box(&atom)),
                _ => {}
            }
        }
        for trak in traks.values_mut() {
            unify(trak, &pssh);
            if layout.first_moof.is_some() {
                // The edit list was written before the length of the media was known.
                trak.edit.end = None;
            }
        }
        if traks.is_empty() {
            let what = if warnings.is_empty() {
                "an MP4 file without tracks".to_owned()
            } else {
                format!("an MP4 file of which no track can be read ({})", warnings.join("; "))
            };
            return Err(Error::Unsupported { what, hint: "the FFmpeg backend knows more codecs" });
        }
        let windows = Windows::new(source, traks.len(), limits.packet_bytes);
        let mut demuxer = Self {
            windows,
            limits,
            tracks: Vec::new(),
            traks: Arc::new(traks),
            warnings,
            lanes: BTreeMap::new(),
            only: None,
            defaults,
            fragments: Vec::new(),
            next_box: layout.first_moof,
            first_moof: layout.first_moof,
            next_dts: BTreeMap::new(),
            samples_left,
            ready: VecDeque::new(),
            state: State::Tracks,
        };
        for id in order {
            demuxer.look_at_first_packet(id);
            let first = demuxer.traks.get(&id).and_then(|trak| trak.descriptions.first());
            demuxer.tracks.extend(first.cloned());
        }
        demuxer.rewind()?;
        Ok(demuxer)
    }

    /// The tracks that can be read, in the order of the file.
    #[must_use]
    pub fn tracks(&self) -> &[Arc<Track>] {
        &self.tracks
    }

    /// What is left out or not as it should be, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Another reader of the same file, at its beginning and for all tracks. The two share the
    /// file's header, which is most of what a demuxer keeps in memory.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn another(&self) -> Result<Self> {
        let source = self.windows.shared_source();
        let mut other = Self {
            windows: Windows::new(source, self.traks.len(), self.limits.packet_bytes),
            limits: self.limits,
            tracks: self.tracks.clone(),
            traks: Arc::clone(&self.traks),
            warnings: self.warnings.clone(),
            lanes: BTreeMap::new(),
            only: None,
            defaults: self.defaults.clone(),
            fragments: Vec::new(),
            next_box: self.first_moof,
            first_moof: self.first_moof,
            next_dts: BTreeMap::new(),
            samples_left: self.limits.samples,
            ready: VecDeque::new(),
            state: State::Tracks,
        };
        other.rewind()?;
        Ok(other)
    }

    /// Reads these tracks only, from now on: the payloads of others are not even looked at.
    pub fn select(&mut self, tracks: &[TrackId]) {
        let video = |t: &&Arc<Track>| t.kind() == TrackKind::Video && tracks.contains(&t.id);
        if !self.tracks.iter().any(|t| video(&t)) {
            // Sound lies in small pieces between much larger ones of pictures.
            self.windows.shrink();
        }
        self.only = Some(tracks.iter().map(|id| id.0).collect());
    }

    fn selected(only: Option<&[u32]>, id: u32) -> bool {
        only.is_none_or(|only| only.contains(&id))
    }

    /// Goes to the last sync sample of `track` that is shown at `time` or before it (or to its
    /// first), and the other tracks to the same place. Returns when that sample is shown.
    ///
    /// Packets come next, without the tracks again.
    ///
    /// # Errors
    /// [`Error::NoTrack`], and what reading the file may bring.
    pub fn seek(&mut self, track: TrackId, time: Timestamp) -> Result<Timestamp> {
        let Some(base) = self.traks.get(&track.0).and_then(|t| t.descriptions.first()).map(|t| t.time_base)
        else {
            return Err(Error::NoTrack { track: track.0 });
        };
        self.rewind()?;
        self.state = State::Packets;
        let found = match self.traks.get(&track.0) {
            Some(trak) if trak.tables.count > 0 => seek_tables(trak, time.ticks())?,
            _ => self.seek_fragments(track.0, time.ticks())?,
        };
        let Some((dts, pts)) = found else {
            return Ok(time);
        };
        for (id, lane) in &mut self.lanes {
            let Some(trak) = self.traks.get(id) else { continue };
            let Some(other) = trak.descriptions.first() else { continue };
            if *id == track.0 {
                lane.from = dts;
                continue;
            }
            let there = Timestamp::new(pts).rescale(base, other.time_base).ticks();
            lane.from = there.saturating_sub(trak.edit.shift);
            if other.kind() == TrackKind::Video
                && let Some((dts, _)) = seek_tables(trak, there)?
            {
                lane.from = dts;
            }
        }
        Ok(Timestamp::new(pts))
    }

    /// Where the next packet lies, in the order of [`next_item`](Source::next_item): what is read of the file is
    /// its tables alone. `None` at the end of all tracks. From the first call on no payload is read any more. For
    /// clear pictures and sound: of encrypted ones, and of text, nothing is told.
    ///
    /// # Errors
    /// As for reading packets, but for what is in their payloads; [`Error::Unsupported`] when a track's
    /// description changes on the way.
    pub fn next_place(&mut self) -> Result<Option<Located>> {
        if self.windows.place().is_none() {
            let clear = |t: &&Arc<Track>| t.kind() != TrackKind::Text && t.protection.is_none();
            let ids: Vec<TrackId> = self.tracks.iter().filter(clear).map(|t| t.id).collect();
            let ids: Vec<_> =
                ids.into_iter().filter(|id| Self::selected(self.only.as_deref(), id.0)).collect();
            self.select(&ids);
            self.windows.place_only();
        }
        loop {
            match self.next_item()? {
                None => return Ok(None),
                Some(Item::Packet(packet)) => {
                    let (offset, size) = self.windows.place().unwrap_or_default();
                    let size = u32::try_from(size).unwrap_or(u32::MAX);
                    return Ok(Some(Located { packet, offset, size }));
                }
                Some(Item::Track(track))
                    if self.lanes.get(&track.id.0).is_some_and(|l| l.description != 1) =>
                {
                    let what = format!("a change of what track {} is", track.id.0);
                    return Err(Error::Unsupported {
                        what,
                        hint: "package the file, which reads it in order",
                    });
                }
                Some(_) => {}
            }
        }
    }

    /// The events of a scheme that stand in front of fragments (`emsg`), in the order of the file, the first four thousand of
    /// them; none in a file without fragments. One of more than 64 KiB, and what is broken, is left out.
    #[must_use]
    pub fn events(&self, scheme: &str) -> Vec<Cue> {
        let Some(first) = self.first_moof else { return Vec::new() };
        super::event::scan(self.windows.source(), first, scheme, &self.defaults, &self.traks, &self.limits)
    }

    /// When the sync samples of a track are shown, in the order of the file and in its time base.
    /// Read from the header alone, so a fragmented file, which has no such list, gives none.
    ///
    /// # Errors
    /// [`Error::NoTrack`], and what is wrong with the tables.
    pub fn sync_times(&self, track: TrackId) -> Result<Vec<Timestamp>> {
        let trak = self.traks.get(&track.0).ok_or(Error::NoTrack { track: track.0 })?;
        let mut cursor = Cursor::default();
        let mut times = Vec::new();
        while let Some(sample) = cursor.next(&trak.tables)? {
            if sample.key {
                let shown = sample.dts.saturating_add(i64::from(sample.shift));
                times.push(Timestamp::new(shown.saturating_add(trak.edit.shift)));
            }
        }
        Ok(times)
    }

    /// Where the file's header leaves open what a track is like, its first packet tells: MPEG audio
    /// has no configuration, and parameter sets may be in packets alone.
    fn look_at_first_packet(&mut self, id: u32) {
        let Some(trak) = Arc::get_mut(&mut self.traks).and_then(|traks| traks.get_mut(&id)) else { return };
        let Some(track) = trak.descriptions.first().filter(|track| track.protection.is_none()) else {
            return;
        };
        if track.codec != Codec::Mp3 && sv_codec::describe(track.codec, &track.config, None).is_some() {
            return;
        }
        // A broken sample is reported when it is read, not here.
        let Ok(Some(sample)) = Cursor::default().next(&trak.tables) else { return };
        let Ok(packet) = self.windows.get(sample.offset, usize_of(sample.size), String::new) else { return };
        let Some(found) = sv_codec::describe(track.codec, &track.config, Some(&packet)) else { return };
        let mut track = Track::clone(track);
        match (&mut track.media, found) {
            (Media::Audio(known), Media::Audio(found)) => {
                (known.sample_rate, known.channels) = (found.sample_rate, found.channels);
            }
            (Media::Video(known), Media::Video(found)) => {
                (known.width, known.height) = (found.width, found.height);
                (known.bit_depth, known.interlaced) = (found.bit_depth, found.interlaced);
                if known.color == ColorInfo::default() {
                    known.color = found.color;
                }
            }
            _ => {}
        }
        if let Some(first) = trak.descriptions.first_mut() {
            *first = Arc::new(track);
        }
    }

    /// Scans fragments for the place of [`seek`](Self::seek), and goes to the one to begin with.
    fn seek_fragments(&mut self, track: u32, time: i64) -> Result<Option<(i64, i64)>> {
        let shift = self.traks.get(&track).map_or(0, |t| t.edit.shift);
        let mut found: Option<(i64, i64)> = None;
        // The last moof of each track so far, and what the decoding times were before it.
        let mut begin: BTreeMap<u32, Place> = BTreeMap::new();
        let mut resume: Option<Place> = None;
        let mut beyond = false;
        while !beyond {
            let place = Place { at: self.next_box, next_dts: self.next_dts.clone() };
            if !self.next_fragments()? {
                break;
            }
            let mut here = false;
            for mut fragment in std::mem::take(&mut self.fragments) {
                while let Some(sample) = fragment.next() {
                    self.samples_left = self.samples_left.saturating_sub(1);
                    let pts = sample.dts.saturating_add(i64::from(sample.shift)).saturating_add(shift);
                    if fragment.track == track && sample.key && !beyond {
                        beyond = pts > time && found.is_some();
                        if !beyond {
                            found = Some((sample.dts, pts));
                            here = true;
                        }
                    }
                }
                self.next_dts.insert(fragment.track, fragment.end_dts());
                if !beyond || here {
                    begin.insert(fragment.track, place.clone());
                }
            }
            if here {
                // Other tracks may lie before this moof: go back to the last of each.
                resume = begin.values().min_by_key(|place| place.at).cloned();
            }
        }
        self.fragments.clear();
        self.samples_left = self.limits.samples;
        let resume = resume.unwrap_or_else(|| Place { at: self.first_moof, next_dts: BTreeMap::new() });
        (self.next_box, self.next_dts) = (resume.at, resume.next_dts);
        Ok(found)
    }

    /// Back to the start of all tracks.
    fn rewind(&mut self) -> Result<()> {
        self.fragments.clear();
        self.next_box = self.first_moof;
        self.next_dts.clear();
        self.samples_left = self.limits.samples;
        self.lanes.clear();
        for (id, trak) in &*self.traks {
            let mut lane =
                Lane { auxiliary: trak.auxiliary.clone(), from: i64::MIN, description: 1, ..Lane::default() };
            lane.from = first_needed(trak)?;
            self.lanes.insert(*id, lane);
        }
        Ok(())
    }

    fn next_ready(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            match self.state {
                State::Tracks => {
                    let only = self.only.as_deref();
                    let chosen = self.tracks.iter().filter(|track| Self::selected(only, track.id.0));
                    self.ready.extend(chosen.map(|track| Item::Track(Arc::clone(track))));
                    self.state = State::Packets;
                }
                State::Packets => {
                    if !self.step_tables()? && !self.step_fragments()? {
                        let only = self.only.as_deref();
                        let chosen = self.tracks.iter().filter(|track| Self::selected(only, track.id.0));
                        self.ready.extend(chosen.map(|track| Item::End(track.id)));
                        self.state = State::Finished;
                    }
                }
                State::Finished => return Ok(None),
            }
        }
    }

    /// The next packet out of sample tables; false when there is none left.
    fn step_tables(&mut self) -> Result<bool> {
        let mut earliest: Option<(u32, Timestamp)> = None;
        let only = self.only.as_deref();
        for (id, lane) in self.lanes.iter_mut().filter(|(id, _)| Self::selected(only, **id)) {
            let Some(trak) = self.traks.get(id) else { continue };
            if lane.next.is_none() && !lane.finished {
                lane.next = lane.cursor.next(&trak.tables)?;
                lane.finished = lane.next.is_none();
            }
            if let (Some(sample), Some(track)) = (lane.next, trak.descriptions.first()) {
                let shown = Timestamp::new(sample.dts.saturating_add(trak.edit.shift));
                let at = shown.rescale(track.time_base, TimeBase::NANOS);
                if earliest.is_none_or(|(_, best)| at < best) {
                    earliest = Some((*id, at));
                }
            }
        }
        let Some((id, _)) = earliest else {
            return Ok(false);
        };
        let (Some(lane), Some(trak)) = (self.lanes.get_mut(&id), self.traks.get(&id)) else {
            return Ok(false);
        };
        let Some(sample) = lane.next.take() else {
            return Ok(false);
        };
        self.next_dts.insert(id, sample.dts.saturating_add(i64::from(sample.duration)));
        let mut auxiliary = lane.auxiliary.take();
        let result = emit(trak, lane, sample, &mut auxiliary, &mut self.windows, &mut self.ready);
        lane.auxiliary = auxiliary;
        result.map(|()| true)
    }

    /// The next packet out of fragments; false when there is none left.
    fn step_fragments(&mut self) -> Result<bool> {
        loop {
            let mut earliest: Option<(usize, Timestamp)> = None;
            let only = self.only.as_deref();
            let wanted = |f: &&Fragment| Self::selected(only, f.track);
            for (index, fragment) in self.fragments.iter().enumerate().filter(|(_, f)| wanted(f)) {
                let Some(trak) = self.traks.get(&fragment.track) else { continue };
                let (Some(dts), Some(track)) = (fragment.peek_dts(), trak.descriptions.first()) else {
                    continue;
                };
                let shown = Timestamp::new(dts.saturating_add(trak.edit.shift));
                let at = shown.rescale(track.time_base, TimeBase::NANOS);
                if earliest.is_none_or(|(_, best)| at < best) {
                    earliest = Some((index, at));
                }
            }
            let Some((index, _)) = earliest else {
                if self.next_fragments()? {
                    continue;
                }
                return Ok(false);
            };
            let Some(fragment) = self.fragments.get_mut(index) else {
                return Ok(false);
            };
            let id = fragment.track;
            let (Some(lane), Some(trak)) = (self.lanes.get_mut(&id), self.traks.get(&id)) else {
                return Ok(false);
            };
            let Some(sample) = fragment.next() else {
                continue;
            };
            self.next_dts.insert(id, fragment.end_dts());
            self.samples_left = self.samples_left.saturating_sub(1);
            lane.finished = lane.finished && trak.tables.count > 0;
            emit(trak, lane, sample, &mut fragment.auxiliary, &mut self.windows, &mut self.ready)?;
            return Ok(true);
        }
    }

    /// Reads the next `moof`; false at the end of the file.
    fn next_fragments(&mut self) -> Result<bool> {
        for _ in 0..MAX_IDLE_BOXES {
            let Some(start) = self.next_box else {
                return Ok(false);
            };
            let Some(header) = Header::read(self.windows.source(), start)? else {
                self.next_box = None;
                return Ok(false);
            };
            self.next_box = Some(header.end);
            if &header.kind == b"moof" {
                let atom = header.load(self.windows.source(), self.limits.structure_bytes)?;
                self.fragments = moof::parse(
                    &atom,
                    start,
                    &self.defaults,
                    &self.traks,
                    &self.next_dts,
                    self.limits.samples.min(self.samples_left),
                )?;
                return Ok(true);
            }
        }
        let limit = u64_of(MAX_IDLE_BOXES);
        let offset = self.next_box.unwrap_or(0);
        Err(Error::LimitExceeded { what: "the number of boxes without samples", offset, limit })
    }
}

impl Source for Demuxer {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        let result = self.next_ready();
        if result.is_err() {
            self.state = State::Finished;
            self.ready.clear();
        }
        result
    }
}

/// Makes a packet of a sample, and announces a new description before it.
fn emit(
    trak: &Trak,
    lane: &mut Lane,
    sample: Sample,
    auxiliary: &mut Option<super::crypt::Auxiliary>,
    windows: &mut Windows,
    ready: &mut VecDeque<Item>,
) -> Result<()> {
    let index = usize_of(sample.description.saturating_sub(1));
    let Some(track) = trak.descriptions.get(index).or(trak.descriptions.first()) else {
        return Ok(());
    };
    let protection = match (&track.protection, auxiliary) {
        (Some(protection), Some(auxiliary)) => {
            if sample.first_in_chunk {
                auxiliary.enter_chunk();
            }
            auxiliary.next(sample.size, protection, windows)?
        }
        _ => None,
    };
    let pts = sample.dts.saturating_add(i64::from(sample.shift)).saturating_add(trak.edit.shift);
    let past_end = trak.edit.end.is_some_and(|end| pts >= end);
    if past_end && sample.key {
        // Behind a sync sample that is no longer shown, nothing is.
        lane.from = i64::MAX;
    }
    if sample.dts < lane.from {
        return Ok(());
    }
    if sample.description != lane.description {
        lane.description = sample.description;
        ready.push_back(Item::Track(Arc::clone(track)));
    }
    let data = windows.get(sample.offset, usize_of(sample.size), || {
        format!("sample {} of track {}", sample.number.saturating_add(1), track.id.0)
    })?;
    let dts = Timestamp::new(sample.dts.saturating_add(trak.edit.shift));
    let dts = lane.last.map_or(dts, |last| dts.max(last));
    lane.last = Some(dts);
    let packet = Packet {
        track: track.id,
        pts: Timestamp::new(pts),
        dts,
        duration: Duration::new(u64::from(sample.duration)),
        // Playing can begin at every packet of sound, whatever tables say, but where packets lean on others.
        key: sample.key
            || (track.kind() == TrackKind::Audio && !matches!(track.codec, Codec::Ac4 | Codec::DtsX)),
        data,
        protection,
    };
    if track.codec == Codec::WebVtt {
        let cues = webvtt::sample::parse(&packet.data).into_iter();
        let data = cues.map(|cue| webvtt::sample::payload(&cue));
        ready.extend(data.map(|data| Item::Packet(Packet { data, ..packet.clone() })));
    } else {
        ready.push_back(Item::Packet(packet));
    }
    Ok(())
}

/// The decoding time of the first sample that is needed to show what the edit list shows.
fn first_needed(trak: &Trak) -> Result<i64> {
    let Some(track) = trak.descriptions.first() else {
        return Ok(i64::MIN);
    };
    match track.kind() {
        TrackKind::Video if trak.edit.start > 0 && trak.tables.count > 0 => {
            // What is shown at the start of the edit, at `start + shift` on our timeline.
            let shown = trak.edit.start.saturating_add(trak.edit.shift);
            Ok(seek_tables(trak, shown)?.map_or(i64::MIN, |(dts, _)| dts))
        }
        _ => Ok(i64::MIN),
    }
}

/// Media decoding time and presentation time of the last sync sample shown at or before `time`.
fn seek_tables(trak: &Trak, time: i64) -> Result<Option<(i64, i64)>> {
    let mut cursor = Cursor::default();
    let mut found = None;
    while let Some(sample) = cursor.next(&trak.tables)? {
        let pts = sample.dts.saturating_add(i64::from(sample.shift)).saturating_add(trak.edit.shift);
        if sample.key {
            if pts > time && found.is_some() {
                break;
            }
            found = Some((sample.dts, pts));
        }
    }
    Ok(found)
}

/// Gives all descriptions of a track the same protection: those without one are the clear lead of
/// a protected track, and their packets say so themselves.
fn unify(trak: &mut Trak, pssh: &[Bytes]) {
    let Some(protection) = trak.descriptions.iter().find_map(|d| d.protection.clone()) else {
        return;
    };
    let clear_lead = trak.descriptions.iter().any(|d| d.protection.is_none());
    let with_systems = Protection { pssh: pssh.to_vec(), clear_lead, ..protection };
    for description in &mut trak.descriptions {
        let mut track = Track::clone(description);
        if track.protection.is_some() {
            track.protection = Some(with_systems.clone());
        }
        *description = Arc::new(track);
    }
}
