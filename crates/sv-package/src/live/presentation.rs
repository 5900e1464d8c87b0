//! All renditions of a presentation that goes on, and what requests are answered with.

use std::time::Duration;

use sv_core::{Grid, Item, Object};

use super::{Settings, Stream, Window};
use crate::dash::Patches;
use crate::hls::live::{self as playlist, Report, View};
use crate::{Asset, Carried, Error, Interstitial, Mark, Marks, Rendition, clock, dash, hls};

/// What a client may ask for, besides segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// The playlist that names all others.
    Multivariant,
    /// The media playlist of a stream, whole or as a delta update (`_HLS_skip`).
    Media {
        /// Which.
        stream: usize,
        /// Without what the client has already.
        skip: bool,
    },
    /// The I-frame playlist of a stream.
    Iframes {
        /// Which.
        stream: usize,
    },
    /// The DASH manifest.
    Manifest,
}

/// Whether a request can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// At once.
    Now,
    /// When more has come.
    Later,
    /// Never: it asks for what is too far ahead.
    Refused,
}

/// Streams that belong together, with one clock.
#[derive(Debug)]
pub struct Presentation {
    settings: Settings,
    streams: Vec<Stream>,
    /// When a segment came last, since 1970.
    published: Duration,
    patches: Patches,
    marks: Marks,
    /// What segments are cut on.
    grid: Grid,
}

impl Presentation {
    /// A presentation of these streams.
    #[must_use]
    pub fn new(settings: Settings, streams: Vec<Stream>) -> Self {
        let published = settings.began;
        let grid = Grid::new(settings.segment);
        Self { settings, streams, published, patches: Patches::default(), marks: Marks::default(), grid }
    }

    /// Says when a segment came last, since 1970, where somebody else has seen it come.
    #[must_use]
    pub fn published_at(mut self, at: Duration) -> Self {
        self.published = at;
        self
    }

    /// What all have in common.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The streams.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Gives a stream what its segmenter has given, at `now` since 1970, and gives the object to store.
    ///
    /// # Errors
    /// As [`Stream::push`]; [`Error::Empty`] when there is no such stream.
    pub fn push(
        &mut self,
        stream: usize,
        item: Item,
        seamless: bool,
        now: Duration,
    ) -> Result<Option<Object>, Error> {
        // The manifest tells of a segment when it begins and when it ends.
        if !matches!(&item, Item::Part(part) if part.number > 0) {
            // Two manifests of one millisecond could not be told apart.
            self.published = now.max(self.published.saturating_add(Duration::from_millis(1)));
        }
        self.streams.get_mut(stream).ok_or(Error::Empty)?.push(item, seamless)
    }

    /// Takes a mark in, at `now` since 1970: manifests tell of it as long as the window holds what it is about. Says
    /// whether it was new. Segmenters are told by themselves, by its cue.
    pub fn mark(&mut self, mark: Mark, now: Duration) -> bool {
        self.cut(mark.at);
        let between = self.settings.interstitial.as_deref().and_then(|template| between(template, &mark));
        let new = self.marks.add(mark);
        if let Some(between) = between.filter(|_| new) {
            self.marks.add(between);
        }
        if new {
            self.published = now.max(self.published.saturating_add(Duration::from_millis(1)));
        }
        new
    }

    /// Segments end there too, as a mark said that is forgotten.
    pub fn cut(&mut self, at: Duration) {
        self.grid.cut(at);
    }

    /// What manifests tell of.
    #[must_use]
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Where segments ended and will end for the sake of marks, as far as whoever goes on has to know.
    #[must_use]
    pub fn cuts(&self) -> Vec<Duration> {
        self.grid.cuts()
    }

    /// Says which captions the pictures of a stream carry ([`Stream::carry`]).
    pub fn carry(&mut self, stream: usize, names: Vec<Carried>) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.carry(names);
        }
    }

    /// Gives a stream up, at `now` since 1970: manifests name the others alone. Gives the paths of its files.
    pub fn leave(&mut self, stream: usize, now: Duration) -> Vec<String> {
        self.published = now.max(self.published.saturating_add(Duration::from_millis(1)));
        self.streams.get_mut(stream).map(Stream::leave).unwrap_or_default()
    }

    /// Ends every stream.
    pub fn end(&mut self, now: Duration) {
        self.published = now.max(self.published.saturating_add(Duration::from_millis(1)));
        self.streams.iter_mut().for_each(Stream::end);
    }

    /// Ends every stream, and makes what there is a recording, whose time begins with its first segment.
    pub fn record(&mut self, now: Duration) {
        self.end(now);
        let first = |r: &Rendition| {
            r.segments.first().map(|s| sv_core::Duration::new(s.start).to_std(r.info.time_base()))
        };
        self.settings.recorded_from = self.streams.iter().filter_map(|s| s.epochs().find_map(first)).min();
    }

    /// Whether nothing more comes.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.streams.iter().all(Stream::is_ended)
    }

    /// Forgets what the window has left, and gives the paths of files that nobody names any more.
    pub fn trim(&mut self) -> Vec<String> {
        match self.settings.window {
            Window::Event => Vec::new(),
            Window::Sliding(window) => {
                let gone = self.streams.iter_mut().flat_map(|s| s.trim(window)).collect();
                let first = |r: &Rendition| {
                    let start = r.segments.first()?.start;
                    Some(sv_core::Duration::new(start).to_std(r.info.time_base()))
                };
                let shown = self.streams.iter().filter_map(|s| s.epochs().find_map(first)).min();
                self.marks.trim(shown.unwrap_or_default());
                self.grid.forget(shown.unwrap_or_default());
                gone
            }
        }
    }

    /// Whether each stream has something to show: before that there is nothing to name. Fast motion is waited for until
    /// there is a second segment of others: what has few of the key pictures may take long.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let shown = |s: &Stream| s.is_ended() || s.epochs().any(|e| !e.segments.is_empty());
        let (fast, others): (Vec<&Stream>, Vec<_>) = self.streams.iter().partition(|s| s.is_fast());
        let late = || others.iter().all(|s| s.is_ended() || s.next() > 1);
        !others.is_empty() && others.iter().all(|s| shown(s)) && (fast.iter().all(|s| shown(s)) || late())
    }

    /// Whether a media playlist that tells of `segment`, or of its `part`, can be had (`_HLS_msn` and
    /// `_HLS_part`, [rfc8216bis, 6.2.5.2](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis#section-6.2.5.2)).
    #[must_use]
    pub fn answer(&self, stream: usize, segment: u64, part: Option<u32>) -> Answer {
        let Some(stream) = self.streams.get(stream) else { return Answer::Refused };
        let open = stream.open().len();
        let next = stream.next();
        let there = match part {
            Some(part) => segment == next && usize::try_from(part).is_ok_and(|part| part < open),
            None => false,
        };
        if there || segment < next || stream.is_ended() {
            return Answer::Now;
        }
        if segment > next.saturating_add(1) { Answer::Refused } else { Answer::Later }
    }

    /// The text of a playlist or manifest; nothing when the stream has none of that kind.
    ///
    /// # Errors
    /// [`Error::Empty`] before there is anything to name.
    pub fn text(&mut self, wanted: Wanted) -> Result<Option<String>, Error> {
        match wanted {
            Wanted::Multivariant => {
                let newest: Vec<Rendition> = self.streams.iter().filter_map(shown).cloned().collect();
                hls::multivariant(&newest, &self.settings.hls).map(Some)
            }
            Wanted::Media { stream, skip } => {
                let Some(own) = self.streams.get(stream).filter(|s| s.in_hls()) else { return Ok(None) };
                let mut view = self.view(skip);
                if view.part_target.is_some() {
                    let others =
                        self.streams.iter().enumerate().filter(|(i, s)| *i != stream && !s.is_ended());
                    view.reports =
                        others.filter(|(_, s)| s.in_hls()).filter_map(|(_, s)| report(s)).collect();
                }
                // Who gives no parts promises none (rfc8216bis, 4.4.3.7 and 4.4.3.8).
                view.part_target = view.part_target.filter(|_| own.may_have_parts());
                Ok(Some(playlist::media(own, &view)))
            }
            Wanted::Iframes { stream } => {
                let own = self.streams.get(stream).filter(|s| s.in_hls());
                Ok(own.and_then(|s| playlist::iframes(s, &self.view(false))))
            }
            Wanted::Manifest => {
                let tree = dash::live::manifest(&self.scene())?;
                let text = tree.document();
                self.patches.keep(tree);
                Ok(Some(text))
            }
        }
    }

    /// What changes the manifest of `publish_time` (its `publishTime`) into the present one
    /// (ISO/IEC 23009-1:2022, 5.15), or nothing where that one is forgotten.
    ///
    /// # Errors
    /// [`Error::Empty`] before there is a manifest.
    pub fn patch(&mut self, publish_time: &str) -> Result<Option<String>, Error> {
        let tree = dash::live::manifest(&self.scene())?;
        let patch = self.patches.since(publish_time, &tree);
        self.patches.keep(tree);
        Ok(patch)
    }

    /// When the manifest changed last, as its `publishTime` says it.
    #[must_use]
    pub fn published(&self) -> String {
        clock::date_time(self.published)
    }

    /// The manifests that clients may have, as text to be stored: what [`recall`](Self::recall) takes.
    #[must_use]
    pub fn remember(&self) -> String {
        self.patches.remember()
    }

    /// Knows the manifests of an earlier run, so that clients that have them go on with patches.
    #[must_use]
    pub fn recall(mut self, text: &str) -> Self {
        self.patches.recall(text);
        self
    }

    fn scene(&self) -> dash::live::Shown<'_> {
        dash::live::Shown {
            settings: &self.settings,
            streams: &self.streams,
            marks: &self.marks,
            grid: &self.grid,
            now: self.published,
        }
    }

    fn view(&self, skip: bool) -> View<'_> {
        let stated =
            u64::try_from(self.settings.segment.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
        let longest = self.streams.iter().map(Stream::longest).max().unwrap_or(0);
        let part_target = self.settings.part.map(|part| {
            let of = |s: &Stream| {
                let base = s.newest().map(|r| r.info.time_base()).unwrap_or(sv_core::TimeBase::MILLIS);
                sv_core::Duration::new(s.longest_part()).to_std(base)
            };
            let longest = self.streams.iter().map(of).max().unwrap_or_default().max(part);
            // Never below what a part has, in the milliseconds that are written.
            Duration::from_millis(u64::try_from(longest.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
        });
        View {
            settings: &self.settings,
            marks: &self.marks,
            target: stated.max(longest).max(1),
            part_target,
            skip,
            reports: Vec::new(),
        }
    }
}

/// What is shown instead of the programme from a departure on.
fn between(template: &str, mark: &Mark) -> Option<Mark> {
    let splice = mark.splice().filter(|splice| splice.out == Some(true))?;
    let seconds = splice.duration.map_or(0, |length| length.as_secs());
    let event = splice.event.unwrap_or_default().to_string();
    let uri = template.replace("{event}", &event).replace("{seconds}", &seconds.to_string());
    let mut what = Interstitial::new(Asset::Uri(uri));
    (what.limit, what.duration) = (splice.duration, splice.duration);
    (what.snap_out, what.snap_in) = (true, true);
    Some(Mark::interstitial(mark.at, what))
}

/// The newest epoch that has a segment.
fn shown(stream: &Stream) -> Option<&Rendition> {
    stream.epochs().rev().find(|e| !e.segments.is_empty())
}

fn report(stream: &Stream) -> Option<Report<'_>> {
    let (segment, part) = match stream.open().len().checked_sub(1) {
        Some(last) => (stream.next(), Some(last)),
        None => {
            let segment = stream.next().checked_sub(1)?;
            let whole = stream.parted.iter().find(|p| p.number == segment);
            (segment, whole.and_then(|p| p.parts.len().checked_sub(1)))
        }
    };
    Some(Report { name: stream.name(), segment, part })
}
