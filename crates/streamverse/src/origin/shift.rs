//! A live presentation out of its folder: later than it happens, from another moment on, in another form, encrypted.
//!
//! Its segments are cut already, so one is read whole and either passed on or written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use sv_container::mp4;
use sv_core::{Bytes, ErrorKind, Grid, Item, Limits, Media, Source as _, Stage as _, Track, TrackKind};
use sv_package::live::{self, Presentation, Stream, Window};
use sv_package::origin::{Request, Wanted};
use sv_package::{Form, Info, Rendition, SegmentRecord, Segmenter, dash, hls};

use super::stock::digits;
use super::title::{encrypted, encryptor, missing, protected, whole};
use super::{Answer, Settings};
use crate::live::{Earlier, Told};
use crate::vod::Encryption;
use crate::{Error, Result};

/// Segments that may go at any moment: the oldest are not told of any more.
const LEAVING: usize = 2;
/// Most bytes of one segment.
const MOST_BYTES: u64 = 256 << 20;

/// A live presentation as its journal told when it was opened.
pub(super) struct Live {
    /// Of everything that decides the bytes of a segment.
    pub(super) print: [u8; 32],
    folder: PathBuf,
    began: Duration,
    ended: bool,
    lanes: Vec<Lane>,
    encryption: Option<Vec<Encryption>>,
    license_url: Option<String>,
}

/// One rendition.
struct Lane {
    name: String,
    /// What can still be read of each.
    epochs: Vec<Epoch>,
}

struct Epoch {
    stored: Rendition,
    /// Packets of the rendition before each segment.
    before: BTreeMap<u64, u64>,
    /// The track of its initialisation.
    track: Arc<Track>,
}

impl Live {
    /// Reads the journal, and looks which segments there still are.
    pub(super) fn open(
        name: &str,
        folder: &Path,
        settings: &Settings,
        encryption: Option<Vec<Encryption>>,
    ) -> Result<Self> {
        let told =
            Told::of(folder).map_err(|_| Error::new(ErrorKind::Malformed, "its journal can't be read"))?;
        let mut lanes = Vec::new();
        // Neither text nor fast motion is shown later: both are made on the way out of what is stored otherwise.
        let shown = |earlier: &Earlier| {
            earlier.epochs.iter().all(|e| e.info.kind != TrackKind::Text && e.trick_play_of.is_none())
        };
        for (name, earlier) in told.earlier.iter().filter(|(_, earlier)| shown(earlier)) {
            let there = numbers(&folder.join(name));
            let mut packets = earlier.gone;
            let mut lane = Lane { name: name.clone(), epochs: Vec::new() };
            for stored in &earlier.epochs {
                let mut epoch = stored.clone();
                let mut before = BTreeMap::new();
                for segment in &epoch.segments {
                    before.insert(segment.number, packets);
                    packets = packets.saturating_add(u64::from(segment.packets));
                }
                epoch.segments.retain(|s| there.contains(&s.number));
                if epoch.segments.is_empty() {
                    continue;
                }
                if encryption.is_some() && epoch.info.key.is_some() {
                    let message = "it is encrypted already, and the origin encrypts what is clear";
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
                let init = file(&folder.join(epoch.init_path()))?;
                let demuxer = mp4::Demuxer::open(Arc::new(init), Limits::default())?;
                let mut track = Track::clone(demuxer.tracks().first().ok_or_else(missing)?);
                if let Media::Video(video) = &mut track.media {
                    video.reorder = sv_core::Duration::new(epoch.info.reorder);
                }
                lane.epochs.push(Epoch { stored: epoch, before, track: Arc::new(track) });
            }
            // What is gone from the front is going on to go.
            let cut =
                lane.epochs.first().is_some_and(|e| e.before.values().next() != Some(&0)) || earlier.gone > 0;
            let first = lane.epochs.first_mut().filter(|e| cut || e.stored.segments.len() < e.before.len());
            if let Some(epoch) = first.filter(|_| !told.ended) {
                let count = LEAVING.min(epoch.stored.segments.len().saturating_sub(1));
                epoch.stored.segments.drain(..count);
            }
            if !lane.epochs.is_empty() {
                lanes.push(lane);
            }
        }
        let mut print = Sha256::new();
        print.update(format!("live {name:?} {:?} {:?}", told.fingerprint, told.began));
        for e in encryption.iter().flatten() {
            print.update(super::title::told(e));
        }
        Ok(Self {
            print: print.finalize().into(),
            folder: folder.to_owned(),
            began: told.began,
            ended: told.ended,
            lanes,
            encryption,
            license_url: settings.license_url.clone(),
        })
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        let epochs = self.lanes.iter().flat_map(|lane| &lane.epochs);
        epochs.map(|e| e.before.len().saturating_mul(256)).sum::<usize>().saturating_add(64 << 10)
    }

    /// What is done with one form; an error where it is not to be had.
    fn encryption(&self, ts: bool) -> Result<Option<&Encryption>> {
        let Some(all) = &self.encryption else { return Ok(None) };
        let own = all.iter().find(|e| e.scheme.fourcc().is_none() == ts);
        let message = "what is served here is encrypted, and no scheme is set for that form";
        own.map(Some).ok_or_else(|| Error::new(ErrorKind::NotFound, message))
    }

    /// A rendition as it is told in one form.
    fn told(
        &self,
        name: &str,
        epoch: &Epoch,
        ts: bool,
        encryption: Option<&Encryption>,
    ) -> Result<Option<Rendition>> {
        let mut told = epoch.stored.clone();
        if ts {
            if !sv_container::ts::Muxer::supports(epoch.track.codec) || told.info.key.is_some() {
                return Ok(None);
            }
            told.form = Form::Ts;
            told.init_bytes = 0;
        }
        let (mut own, mut turns) = (None, Vec::new());
        if let Some(encryption) = encryption {
            let track = protected(name, &epoch.track, encryption, &self.print)?;
            own = track.protection.as_ref().map(|p| p.default_kid);
            turns = encryption.turns(&track);
            told.info.key = Info::of(&track)?.key;
        }
        let base = told.info.time_base();
        for segment in told.segments.iter_mut().filter(|_| ts || own.is_some()) {
            let begin = sv_core::Duration::new(segment.start).to_std(base);
            let kid = turns.iter().rev().find(|(from, _)| *from <= begin).map_or(own, |(_, kid)| *kid);
            // As much as a form can add: sizes are known when somebody asks for the segment.
            let more = u64::from(segment.packets).saturating_mul(if ts { 120 } else { 24 });
            segment.bytes = segment.bytes.saturating_add(more).saturating_add(if ts {
                segment.bytes / 20 + 3400
            } else {
                128
            });
            segment.key_bytes = 0;
            segment.kid = kid.or(segment.kid);
        }
        Ok(Some(told))
    }

    /// A manifest or a playlist as it is now.
    pub(super) fn written(&self, request: &Request) -> Result<Answer> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let answer = |text: String, content_type| {
            let mut hash = Sha256::new();
            hash.update(text.as_bytes());
            Answer { data: text.into(), content_type, tag: digits(hash), lasting: false }
        };
        let (wanted, query) = (&request.wanted, &request.query);
        if *wanted == Wanted::Clock {
            return Ok(answer(live::date_time(now), "text/plain"));
        }
        let nothing =
            || Error::new(ErrorKind::NotFound, "there is nothing of that stretch (yet, or any more)");
        let encryption = self.encryption(wanted.is_ts())?;
        // Where the presentation has come to for whoever sees it later.
        let reached = now.saturating_sub(self.began).saturating_sub(query.delay);
        let from = query.start.unwrap_or_default();
        let to = query.end.map_or(reached, |end| end.min(reached));
        let mut streams = Vec::new();
        let mut all_shown = true;
        let (mut newest, mut oldest) = (Duration::ZERO, Duration::MAX);
        for lane in &self.lanes {
            let form = if wanted.is_ts() { Form::Ts } else { Form::Cmaf };
            let mut epochs = Vec::new();
            for epoch in &lane.epochs {
                let Some(mut told) = self.told(&lane.name, epoch, wanted.is_ts(), encryption)? else {
                    continue;
                };
                let base = told.info.time_base();
                let at = |ticks: u64| sv_core::Duration::new(ticks).to_std(base);
                let end = |s: &SegmentRecord| at(s.start.saturating_add(s.duration));
                all_shown &= told.segments.last().is_none_or(|s| end(s) <= reached);
                // With an end the last segment may go beyond it; what has not happened yet is never told.
                let there = |s: &SegmentRecord| {
                    end(s) > from && end(s) <= reached && query.end.is_none_or(|_| at(s.start) < to)
                };
                told.segments.retain(there);
                if let (Some(first), Some(last)) = (told.segments.first(), told.segments.last()) {
                    (oldest, newest) = (oldest.min(at(first.start)), newest.max(end(last)));
                    epochs.push(told);
                }
            }
            let wanted =
                |r: &Rendition| query.filter.takes(r) || matches!(request.wanted, Wanted::Media { .. });
            if epochs.last().is_some_and(wanted) {
                streams.push(Stream::new(&lane.name, form).resume(epochs));
            }
        }
        if streams.is_empty() {
            return Err(nothing());
        }
        let over = query.end.is_some_and(|end| end <= reached) || (self.ended && all_shown);
        let mut settings = live::Settings::new(self.began);
        let longest = streams.iter().map(Stream::longest).max().unwrap_or(1).max(1);
        settings.segment = Duration::from_secs(longest);
        settings.waits = false;
        settings.window = match query.start {
            Some(_) => Window::Event,
            None => Window::Sliding(newest.saturating_sub(oldest)),
        };
        settings.hls.query = query.suffix();
        settings.hls.order = query.order;
        settings.hls.key_url = encryption.and_then(|e| e.key_url.clone());
        settings.dash.license_url.clone_from(&self.license_url);
        if wanted.is_ts() && matches!(wanted, Wanted::Multivariant { .. }) {
            settings.hls.folder = "ts/".to_owned();
        }
        if *wanted == Wanted::Manifest {
            // Who is shown everything later is told that it happens later.
            settings.began = settings.began.saturating_add(query.delay);
        }
        if over {
            settings.recorded_from = Some(query.start.unwrap_or(oldest).max(oldest));
        }
        let published = self.began.saturating_add(query.delay).saturating_add(newest);
        let mut presentation = Presentation::new(settings, streams).published_at(published);
        if over {
            presentation.end(published);
        }
        let place = |name: &str| presentation.streams().iter().position(|s| s.name() == name);
        let (asked, content_type) = match wanted {
            Wanted::Multivariant { .. } => (live::Wanted::Multivariant, hls::CONTENT_TYPE),
            Wanted::Manifest => (live::Wanted::Manifest, dash::CONTENT_TYPE),
            Wanted::Media { name, .. } => {
                let asked = match (place(name), name.strip_suffix("-iframes").and_then(place)) {
                    (Some(stream), _) => live::Wanted::Media { stream, skip: false },
                    (None, Some(stream)) => live::Wanted::Iframes { stream },
                    (None, None) => return Err(nothing()),
                };
                (asked, hls::CONTENT_TYPE)
            }
            _ => return Err(missing()),
        };
        Ok(answer(presentation.text(asked)?.ok_or_else(missing)?, content_type))
    }

    /// A segment or an initialisation: as it lies there, or made of it now.
    pub(super) fn segment(&self, wanted: &Wanted) -> Result<(Bytes, &'static str)> {
        let encryption = self.encryption(wanted.is_ts())?;
        let lane = |name: &str| self.lanes.iter().find(|lane| lane.name == name).ok_or_else(missing);
        match wanted {
            Wanted::Init { name, epoch } => {
                let epochs = &lane(name)?.epochs;
                let epoch = epochs.iter().find(|e| e.stored.epoch == *epoch).ok_or_else(missing)?;
                let Some(encryption) = encryption else {
                    return Ok((
                        file(&self.folder.join(epoch.stored.init_path()))?,
                        epoch.stored.content_type(),
                    ));
                };
                let mut track = protected(name, &epoch.track, encryption, &self.print)?;
                if let Some(protection) = track.protection.as_mut().filter(|_| !encryption.pssh_in_stream) {
                    protection.pssh.clear();
                }
                let track = Segmenter::outgoing(&track);
                Ok((mp4::init_segment(&[&track])?, epoch.stored.content_type()))
            }
            Wanted::Segment { name, number, ts } => {
                let lane = lane(name)?;
                // Also those that manifests don't tell of any more: who has an old one may ask.
                let epoch = lane.epochs.iter().find(|e| e.before.contains_key(number)).ok_or_else(missing)?;
                let stored = file(&self.folder.join(epoch.stored.path(*number)))?;
                if !ts && encryption.is_none() {
                    return Ok((stored, epoch.stored.content_type()));
                }
                let first = epoch.before.get(number).copied().unwrap_or(0);
                let told = self.told(name, epoch, *ts, encryption)?.ok_or_else(missing)?;
                let init = file(&self.folder.join(epoch.stored.init_path()))?;
                let both: Bytes = [init, stored].concat().into();
                let mut demuxer = mp4::Demuxer::open(Arc::new(both), Limits::default())?;
                let mut items = vec![Item::Track(Arc::clone(&epoch.track))];
                while let Some(item) = demuxer.next_item()? {
                    if matches!(item, Item::Packet(_)) {
                        items.push(item);
                    }
                }
                if let Some(encryption) = encryption {
                    // A cell of its own: where the live run's lay isn't known, and a segment is of one.
                    let mut grid = Grid::new(Duration::MAX);
                    let record = told.segments.iter().find(|s| s.number == *number).ok_or_else(missing)?;
                    grid.cut(sv_core::Duration::new(record.start).to_std(told.info.time_base()));
                    items = encrypted(
                        encryptor(name, &epoch.track, encryption, &self.print, first, grid)?,
                        items,
                    )?;
                }
                let form = told.form;
                let mut segmenter =
                    Segmenter::new(Duration::MAX).form(form).only(*number, epoch.stored.info.reorder);
                for item in items {
                    segmenter.push(item)?;
                }
                segmenter.finish()?;
                while let Some(item) = segmenter.pull()? {
                    if let Item::Segment(segment) = item {
                        return Ok((whole(segment, encryption)?, told.content_type()));
                    }
                }
                Err(Error::new(ErrorKind::Malformed, "the stored segment is empty"))
            }
            _ => Err(missing()),
        }
    }
}

/// The numbers of the segments that lie in a folder.
fn numbers(folder: &Path) -> BTreeSet<u64> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".m4s")?.parse().ok()).collect()
}

/// All of a file that is no larger than a segment may be.
fn file(path: &Path) -> Result<Bytes> {
    // What has left the window is gone, and that is no fault.
    let meta = std::fs::symlink_metadata(path).map_err(|_| missing())?;
    if !meta.is_file() || meta.len() > MOST_BYTES {
        return Err(Error::new(ErrorKind::LimitExceeded, "a stored segment is no file or too large"));
    }
    Ok(std::fs::read(path)?.into())
}
