//! One rendition of a presentation that goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_container::{mp4, webm};
use sv_core::{Duration, Grid, Item, KeyId, Object, Part, Segment, Timestamp, Track};

use crate::{Carried, Error, Form, Info, Layout, Rendition, Role, SegmentRecord};

/// What a playlist tells of a part. Times are in the rendition's timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRecord {
    /// How long it is shown.
    pub duration: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether decoding can start with it.
    pub key: bool,
}

/// The parts of one segment.
#[derive(Debug)]
pub(crate) struct Parted {
    pub(crate) number: u64,
    pub(crate) start: u64,
    pub(crate) kid: Option<KeyId>,
    pub(crate) parts: Vec<PartRecord>,
}

/// What is to be had of one rendition: whole segments, and parts of the newest.
///
/// A break of the source (its track is described anew) begins an epoch: a [`Rendition`] with an
/// initialisation segment of its own. Segment numbers go on.
#[derive(Debug)]
pub struct Stream {
    name: String,
    form: Form,
    roles: Vec<Role>,
    trick_play_of: Option<String>,
    dash_alone: bool,
    /// Whether `pssh` boxes stand in the stream, and not only in manifests.
    pssh: bool,
    carried: Vec<Carried>,
    epochs: VecDeque<Rendition>,
    /// Of the newest segments; the last may still be open.
    pub(crate) parted: VecDeque<Parted>,
    next: u64,
    /// The number of the next epoch is no smaller.
    epoch: u32,
    ended: bool,
    /// In whole seconds, of every segment that there ever was.
    longest: u64,
}

impl Stream {
    /// A rendition that begins.
    #[must_use]
    pub fn new(name: impl Into<String>, form: Form) -> Self {
        Self {
            name: name.into(),
            form,
            roles: Vec::new(),
            trick_play_of: None,
            dash_alone: false,
            pssh: true,
            carried: Vec::new(),
            epochs: VecDeque::new(),
            parted: VecDeque::new(),
            next: 0,
            epoch: 0,
            ended: false,
            longest: 0,
        }
    }

    /// Says what the rendition is for.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.roles = roles.into_iter().collect();
        self
    }

    /// Marks the rendition as the fast motion of another one.
    #[must_use]
    pub fn trick_play_of(mut self, name: impl Into<String>) -> Self {
        self.trick_play_of = Some(name.into());
        self
    }

    /// Leaves the rendition to manifests of DASH: HLS has the same in another form.
    #[must_use]
    pub fn dash_alone(mut self) -> Self {
        self.dash_alone = true;
        self
    }

    /// Leaves the key systems' `pssh` boxes to the manifests.
    #[must_use]
    pub fn no_pssh(mut self) -> Self {
        self.pssh = false;
        self
    }

    /// Says which captions the pictures carry, by their names in HLS.
    #[must_use]
    pub fn carried(mut self, names: Vec<Carried>) -> Self {
        self.carry(names);
        self
    }

    /// Says so where it is heard only when the newest epoch has begun: for that one and those that come.
    pub fn carry(&mut self, names: Vec<Carried>) {
        if let Some(rendition) = self.epochs.back_mut() {
            rendition.info.carried.clone_from(&names);
        }
        self.carried = names;
    }

    /// Goes on behind what an earlier run stored, oldest epoch first.
    #[must_use]
    pub fn resume(mut self, epochs: Vec<Rendition>) -> Self {
        self.next =
            epochs.iter().flat_map(|e| &e.segments).map(|s| s.number.saturating_add(1)).max().unwrap_or(0);
        self.longest = epochs.iter().map(Rendition::target_duration).max().unwrap_or(0);
        self.epochs = epochs.into();
        // Nothing was stored of an epoch that has no segment: it begins again.
        self.epochs.retain(|e| !e.segments.is_empty());
        if let Some(newest) = self.epochs.back().filter(|_| self.carried.is_empty()) {
            self.carried.clone_from(&newest.info.carried);
        }
        self
    }

    /// Begins its next epoch with this number at least: where an earlier run ended, streams that go on together may have
    /// begun more or fewer.
    #[must_use]
    pub fn from_epoch(mut self, epoch: u32) -> Self {
        self.epoch = epoch;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is to be had, oldest first: a rendition for each epoch.
    pub fn epochs(&self) -> impl DoubleEndedIterator<Item = &Rendition> {
        self.epochs.iter()
    }

    /// The newest epoch.
    #[must_use]
    pub fn newest(&self) -> Option<&Rendition> {
        self.epochs.back()
    }

    /// Whether it is the fast motion of another one.
    pub(crate) fn is_fast(&self) -> bool {
        self.trick_play_of.is_some()
    }

    /// Whether HLS names it.
    pub(crate) fn in_hls(&self) -> bool {
        self.newest().is_none_or(Rendition::in_hls)
    }

    /// Whether segments leave in parts where any do.
    #[must_use]
    pub fn may_have_parts(&self) -> bool {
        self.newest().is_some_and(Rendition::may_have_parts)
    }

    /// The number of the segment that is being made.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Parts of the segment that is being made.
    #[must_use]
    pub fn open(&self) -> &[PartRecord] {
        self.parted.back().filter(|p| p.number == self.next).map_or(&[], |p| &p.parts)
    }

    /// When an epoch began, on the presentation's timeline.
    pub(crate) fn began(&self, epoch: u32) -> Option<std::time::Duration> {
        let rendition = self.epochs.iter().find(|e| e.epoch == epoch)?;
        Some(Duration::new(rendition.began?).to_std(rendition.info.time_base()))
    }

    /// Whether no more segments come.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The longest segment that there ever was, in whole seconds.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// The longest part that there is now, in ticks.
    #[must_use]
    pub fn longest_part(&self) -> u64 {
        self.parted.iter().flat_map(|p| &p.parts).map(|p| p.duration).max().unwrap_or(0)
    }

    /// Takes what a [`Segmenter`](crate::Segmenter) gives, and gives the object to store: the
    /// initialisation, a part, a whole segment. A `seamless` track goes on with the epoch that is there.
    ///
    /// # Errors
    /// As [`Packager::push`](crate::Packager::push).
    pub fn push(&mut self, item: Item, seamless: bool) -> Result<Option<Object>, Error> {
        match item {
            Item::Track(track) => self.track(&track, seamless),
            Item::Part(part) => self.part(part).map(Some),
            Item::Segment(segment) => self.segment(segment).map(Some),
            Item::End(_) => {
                self.end();
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// No more segments come.
    pub fn end(&mut self) {
        self.ended = true;
        self.parted.clear();
    }

    /// It is given up: nothing names it any more. Gives the paths of its files.
    pub fn leave(&mut self) -> Vec<String> {
        self.end();
        let files = self.epochs.drain(..).flat_map(|epoch| {
            let init = epoch.form.has_init().then(|| epoch.init_path());
            let segments: Vec<String> = epoch.segments.iter().map(|s| epoch.path_of(s)).collect();
            segments.into_iter().chain(init)
        });
        files.collect()
    }

    /// Whether it was given up, or nothing ever came.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.ended && self.epochs.is_empty()
    }

    /// What [`push`](Self::push) will store a segment as, and what it will note: for whoever stores before
    /// anybody hears of it. Nothing before the track has come.
    #[must_use]
    pub fn describe(&self, segment: &Segment) -> Option<(String, &'static str, SegmentRecord)> {
        let rendition = self.epochs.back()?;
        Some((rendition.path(segment.number), rendition.content_type(), SegmentRecord::of(segment, 0)))
    }

    fn track(&mut self, track: &Arc<Track>, seamless: bool) -> Result<Option<Object>, Error> {
        if seamless && !self.epochs.is_empty() {
            return Ok(None);
        }
        let init = match self.form {
            Form::Cmaf => {
                let mut written = Track::clone(track);
                if let Some(protection) = written.protection.as_mut().filter(|_| !self.pssh) {
                    protection.pssh.clear();
                }
                Some(mp4::init_segment(&[&written]))
            }
            Form::WebM => Some(webm::init_segment(track)),
            Form::Ts | Form::Text => None,
        };
        let init = init.transpose().map_err(|source| Error::Container { track: track.id, source })?;
        // An epoch without a segment never was.
        self.epochs.retain(|e| !e.segments.is_empty());
        let epoch = self.epochs.back().map_or(0, |e| e.epoch.saturating_add(1)).max(self.epoch);
        let (roles, carried) = (self.roles.clone(), self.carried.clone());
        let info = Info { roles, carried, ..Info::of(track)? }.told_in(self.form);
        let rendition = Rendition {
            name: self.name.clone(),
            info,
            layout: Layout::Files,
            form: self.form,
            named_by_time: false,
            init_bytes: init.as_ref().map_or(0, |b| u64::try_from(b.len()).unwrap_or(u64::MAX)),
            index: None,
            segments: Vec::new(),
            trick_play_of: self.trick_play_of.clone(),
            dash_alone: self.dash_alone,
            epoch,
            began: None,
        };
        let (path, content_type) = (rendition.init_path(), rendition.content_type());
        self.epochs.push_back(rendition);
        Ok(init.map(|init| Object::whole(path, content_type, init)))
    }

    fn part(&mut self, part: Part) -> Result<Object, Error> {
        let Some(rendition) = self.epochs.back() else {
            return Err(Error::Order { track: part.track, what: "a part came before the track" });
        };
        let record = PartRecord { duration: part.duration.ticks(), bytes: part.len(), key: part.key };
        let path = part_path(&self.name, part.segment, part.number);
        let content_type = rendition.content_type();
        if self.parted.back().is_none_or(|p| p.number != part.segment) {
            let start = part.start.ticks().max(0).unsigned_abs();
            if let Some(epoch) = self.epochs.back_mut() {
                epoch.began.get_or_insert(start);
            }
            self.parted.push_back(Parted { number: part.segment, start, kid: part.kid, parts: Vec::new() });
        }
        if let Some(open) = self.parted.back_mut() {
            open.parts.push(record);
        }
        Ok(Object { path, content_type, data: part.data, write: sv_core::Write::Whole })
    }

    fn segment(&mut self, segment: Segment) -> Result<Object, Error> {
        let Some(rendition) = self.epochs.back_mut() else {
            return Err(Error::Order { track: segment.track, what: "a segment came before the track" });
        };
        rendition.record(&segment, 0);
        let scale = u64::from(rendition.info.timescale.max(1));
        let rounded = rendition.segments.last().map_or(0, |s| {
            s.duration.saturating_add(scale.checked_div(2).unwrap_or(0)).checked_div(scale).unwrap_or(0)
        });
        self.longest = self.longest.max(rounded);
        self.next = segment.number.saturating_add(1);
        let named = self.describe(&segment);
        self.forget_parts();
        let (path, content_type, _) = named.ok_or(Error::Empty)?;
        Ok(Object { path, content_type, data: segment.data, write: sv_core::Write::Whole })
    }

    /// Parts are listed for three target durations
    /// ([rfc8216bis, 4.4.4.9](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis#section-4.4.4.9)).
    fn forget_parts(&mut self) {
        let Some(rendition) = self.epochs.back() else { return };
        let end = rendition.segments.last().map_or(0, |s| s.start.saturating_add(s.duration));
        let most = self.longest.saturating_mul(3).saturating_mul(u64::from(rendition.info.timescale));
        let first = end.saturating_sub(most);
        // A break of the source changes the timescale at most; numbers tell what is old then.
        let number = self.next.saturating_sub(16);
        self.parted.retain(|p| p.start >= first || p.number >= self.next);
        self.parted.retain(|p| p.number >= number);
    }

    /// Forgets segments that ended more than `window` before the newest one's end, and gives the paths of
    /// the files that nobody names any more. One segment stays.
    pub fn trim(&mut self, window: std::time::Duration) -> Vec<String> {
        let Some(end) = self.epochs.back().map(Rendition::duration) else { return Vec::new() };
        let first = end.saturating_sub(window);
        let mut gone = Vec::new();
        while let Some(rendition) = self.epochs.front_mut() {
            let base = rendition.info.time_base();
            let ended =
                |s: &SegmentRecord| Duration::new(s.start.saturating_add(s.duration)).to_std(base) <= first;
            let old = rendition.segments.iter().take_while(|s| ended(s)).count();
            let paths: Vec<String> =
                rendition.segments.iter().take(old).map(|s| rendition.path(s.number)).collect();
            rendition.segments.drain(..old);
            gone.extend(paths);
            if !rendition.segments.is_empty() || self.epochs.len() == 1 {
                break;
            }
            if let Some(rendition) = self.epochs.pop_front()
                && rendition.form.has_init()
            {
                gone.push(rendition.init_path());
            }
        }
        gone
    }

    /// When the newest epoch's timeline has come to, parts included.
    #[must_use]
    pub fn reached(&self) -> std::time::Duration {
        let Some(rendition) = self.epochs.back() else { return std::time::Duration::ZERO };
        let open = self.parted.back().filter(|p| p.number == self.next);
        let open = open.map_or(0, |p| p.parts.iter().map(|p| p.duration).fold(p.start, u64::saturating_add));
        rendition.duration().max(Duration::new(open).to_std(rendition.info.time_base()))
    }

    /// The newest segment that has begun, as if it were as long as it will probably be.
    pub(crate) fn expected(&self, grid: &Grid) -> Option<SegmentRecord> {
        let rendition = self.epochs.back()?;
        let open = self.parted.back().filter(|p| p.number == self.next)?;
        let base = rendition.info.time_base();
        let line = |start: u64| {
            let end = grid.end_of(Timestamp::new(i64::try_from(start).ok()?), base);
            let end = std::time::Duration::from_nanos(u64::try_from(end).ok()?);
            Some(Duration::from_std(end, base).ticks())
        };
        let mut duration = line(open.start)?.saturating_sub(open.start);
        // A source whose key frames lie beside the grid goes on so.
        if let Some(last) = rendition.segments.last()
            && line(last.start)? < last.start.saturating_add(last.duration)
        {
            duration = duration.max(last.duration);
        }
        Some(SegmentRecord {
            number: open.number,
            start: open.start,
            duration,
            bytes: 0,
            key_bytes: 0,
            offset: 0,
            packets: 0,
            kid: open.kid,
        })
    }
}

/// The path of a part.
pub(crate) fn part_path(name: &str, segment: u64, part: u32) -> String {
    format!("{name}/{segment}.{part}.m4s")
}
