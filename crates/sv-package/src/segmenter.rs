//! Cuts the packets of one track into CMAF segments on a grid that all renditions share.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use sv_container::{mp4, ts, webm};
use sv_core::{
    Duration, Grid, Item, Media, Packet, Segment, Stage, TimeBase, Timestamp, Track, TrackId, TrackKind,
};

use crate::parts::{Context, Parts};
use crate::{Error, Form, Mark, Marks, Rendition};

/// Takes one track's items and gives its [`Segment`]s.
///
/// A segment ends before the first key packet at or behind the next multiple of the target length,
/// so tracks whose key frames stand on the grid are cut at the same moments, and others as near to
/// them as they allow. Cutting depends on nothing but the packets and cues: a run that begins at a segment
/// boundary gives the same segments from there on.
///
/// A [`Cue`](sv_core::Cue) ends a segment too ([`Grid::cut`]); it counts from where it stands among the items. Those that
/// are known from the start may be given to [`cuts`](Self::cuts).
///
/// Times leave in a time base of one over a whole number, which is what MP4 can store. Decode times
/// are made anew: the n-th packet of a segment is decoded at the n-th smallest presentation time of
/// the segment, so a segment's decode time is its presentation time, whatever encoder it comes
/// from. The media timeline runs ahead by as much as the first segment's pictures are reordered
/// ([`VideoInfo::reorder`](sv_core::VideoInfo::reorder)), and an edit list takes that back: the form
/// of ISO/IEC 23000-19, section 7.5.13, that every reader agrees on.
#[derive(Debug)]
pub struct Segmenter {
    grid: Grid,
    track: Option<Shape>,
    number: u64,
    /// From an earlier run, in outgoing ticks.
    reorder: Option<u64>,
    form: Form,
    /// Segments and bytes of an earlier run, from which a transport stream's counters follow.
    earlier: (u64, u64),
    /// Whether nothing is known of earlier segments.
    alone: bool,
    pending: Vec<Packet>,
    /// When the first packet of the segment that is being filled is shown, and for how long.
    first: Option<(Timestamp, Duration)>,
    parts: Option<Parts>,
    /// Packets say when the next one begins.
    seamless: bool,
    /// No packet has come yet.
    fresh: bool,
    /// Splices that fragments tell of, if they do.
    events: Option<Events>,
    /// Wall-clock time of the presentation's beginning, since 1970.
    clock: Option<std::time::Duration>,
    ready: VecDeque<Item>,
}

/// Splices, and which of them have been told.
#[derive(Debug, Default)]
struct Events {
    marks: Marks,
    told: BTreeSet<u32>,
}

impl Events {
    /// All that is known was told by an earlier run.
    fn pass(&mut self) {
        self.told.extend(self.marks.iter().map(Mark::number));
    }

    /// What is told with the fragment that ends at `until`.
    fn take(&mut self, until: std::time::Duration, timescale: u32) -> Vec<mp4::Emsg> {
        let told = &mut self.told;
        let new = self.marks.iter().filter(|mark| mark.at < until && told.insert(mark.number()));
        new.filter_map(|mark| mark.emsg(timescale)).collect()
    }
}

#[derive(Debug)]
struct Shape {
    track: Arc<Track>,
    /// The packets' time base has this many ticks of the outgoing one in each tick.
    factor: i64,
    /// Encoder delay in outgoing ticks: media time is presentation time plus this.
    delay: i64,
    announced: bool,
    /// Of pictures in transport streams.
    muxer: Option<ts::Muxer>,
}

impl Shape {
    /// Ticks by which media time runs ahead for reordered pictures.
    fn reorder(&self) -> i64 {
        self.track.video().map_or(0, |v| i64::try_from(v.reorder.ticks()).unwrap_or(0))
    }

    fn context(&self, number: u64, prft: Option<mp4::Prft>) -> Context<'_> {
        Context { track: &self.track, number, delay: self.delay, reorder: self.reorder(), prft }
    }

    /// What the clock was when `start` was shown.
    fn prft(&self, clock: Option<std::time::Duration>, start: Timestamp) -> Option<mp4::Prft> {
        let media = start.offset(self.delay).ticks().max(0);
        let at = Duration::new(start.ticks().max(0).unsigned_abs()).to_std(self.track.time_base);
        Some(mp4::Prft {
            track: self.track.id.0,
            ntp: ntp(clock?.saturating_add(at)),
            media_time: media.unsigned_abs(),
        })
    }
}

/// How far media time runs ahead of presentation time for an encoder's delay, in ticks.
pub(crate) fn delay(track: &Track) -> u64 {
    let Some(audio) = track.audio() else { return 0 };
    TimeBase::new(1, audio.sample_rate)
        .map_or(0, |rate| Duration::new(audio.delay.into()).rescale(rate, track.time_base).ticks())
}

/// Time since 1970 as NTP has it: seconds since 1900 and their 2^32nd parts
/// ([RFC 5905, 6](https://www.rfc-editor.org/rfc/rfc5905#section-6)).
fn ntp(since_1970: std::time::Duration) -> u64 {
    const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
    let seconds = since_1970.as_secs().wrapping_add(SECONDS_1900_TO_1970);
    let nanos = u64::from(since_1970.subsec_nanos());
    let part = nanos.wrapping_shl(32).checked_div(1_000_000_000).unwrap_or(0);
    seconds.wrapping_shl(32) | part
}

impl Segmenter {
    /// Cuts at multiples of `target`, numbering from 0.
    #[must_use]
    pub fn new(target: std::time::Duration) -> Self {
        Self {
            grid: Grid::new(target),
            track: None,
            number: 0,
            reorder: None,
            form: Form::Cmaf,
            earlier: (0, 0),
            alone: false,
            pending: Vec::new(),
            first: None,
            parts: None,
            seamless: false,
            fresh: true,
            events: None,
            clock: None,
            ready: VecDeque::new(),
        }
    }

    /// Gives [`Part`](sv_core::Part)s of at most this length before the segments that they make up. Fragments
    /// of MP4 only: transport streams stay whole.
    ///
    /// The packets' decode times are kept then, but for a move that makes each segment's first packet be
    /// decoded when it is shown.
    #[must_use]
    pub fn parts(mut self, target: std::time::Duration) -> Self {
        self.parts = Some(Parts::new(target));
        self
    }

    /// Takes each packet's word for when the next one begins, and it is a key packet: a segment is given as soon as its last
    /// packet has come, as of [`TrickPlay`](crate::TrickPlay).
    #[must_use]
    pub fn seamless(mut self) -> Self {
        self.seamless = true;
        self
    }

    /// Ends segments at these moments too, and counts the multiples of the target length from each of them.
    #[must_use]
    pub fn cuts(mut self, cuts: &[std::time::Duration]) -> Self {
        cuts.iter().for_each(|at| self.grid.cut(*at));
        self
    }

    /// Tells of splices in `emsg` boxes, in fragments of MP4: of those that are known already with the segment in which
    /// each happens, and of cues that come with what comes next.
    #[must_use]
    pub fn emsg(mut self, marks: &Marks) -> Self {
        self.events = Some(Events { marks: marks.clone(), told: BTreeSet::new() });
        self
    }

    /// Says in front of each segment what the wall clock was at its beginning (`prft`), where the
    /// presentation began so long after 1970.
    #[must_use]
    pub fn clock(mut self, began: std::time::Duration) -> Self {
        self.clock = Some(began);
        self
    }

    /// Writes segments of another form than [`Form::Cmaf`].
    ///
    /// Transport streams have no edit lists: times are those of the presentation, moved by
    /// [`ts::ORIGIN`](sv_container::ts::ORIGIN).
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Goes on behind the segments of `earlier`.
    #[must_use]
    pub fn resume(mut self, earlier: &Rendition) -> Self {
        self.number = earlier.segments.last().map_or(0, |s| s.number.saturating_add(1));
        self.reorder = Some(earlier.info.reorder);
        self.events.iter_mut().for_each(Events::pass);
        self.form = earlier.form;
        // What an encrypted segment was filled up with is less than a packet.
        let packets = earlier.segments.iter().map(|s| s.bytes.saturating_sub(s.bytes % 188));
        let count = u64::try_from(earlier.segments.len()).unwrap_or(u64::MAX);
        self.earlier = (count, packets.fold(0, u64::saturating_add));
        self
    }

    /// Begins with segment `number` of a rendition whose other segments somebody else makes, at another time or not at
    /// all: all that has to be known of them is `reorder` ([`Info::reorder`](crate::Info::reorder)). Fragments are
    /// those that whoever makes the whole rendition writes; transport streams are counted so that each stands alone.
    #[must_use]
    pub fn only(mut self, number: u64, reorder: u64) -> Self {
        self.number = number;
        self.reorder = Some(reorder);
        self.alone = true;
        self
    }

    /// The track as segments describe it: its time base is one over a whole number, and its number
    /// is 1, because every rendition is a file of one track.
    #[must_use]
    pub fn outgoing(track: &Track) -> Track {
        let mut out = track.clone();
        out.id = TrackId(1);
        let den = NonZeroU32::new(track.time_base.den()).unwrap_or(NonZeroU32::MIN);
        out.time_base = TimeBase::per_second(den);
        out.duration =
            track.duration.map(|d| Duration::new(d.ticks().saturating_mul(u64::from(track.time_base.num()))));
        out
    }

    fn begin(&mut self, track: &Track) -> Result<(), Error> {
        let out = Self::outgoing(track);
        let muxer = if self.form == Form::Ts && out.kind() == TrackKind::Video {
            let (pieces, bytes) = self.earlier;
            let muxer = ts::Muxer::new(&[&out]);
            let muxer = muxer.map_err(|source| Error::Container { track: track.id, source })?;
            Some(if self.alone { muxer.alone(self.number) } else { muxer.resume(pieces, bytes) })
        } else {
            None
        };
        let delay = i64::try_from(delay(&out)).unwrap_or(0);
        self.track = Some(Shape {
            track: Arc::new(out),
            factor: i64::from(track.time_base.num()),
            delay,
            announced: false,
            muxer,
        });
        Ok(())
    }

    fn packet(&mut self, mut packet: Packet) -> Result<(), Error> {
        let Some(shape) = &self.track else {
            return Err(Error::Order { track: packet.track, what: "a packet came before the track" });
        };
        self.fresh = false;
        packet.track = shape.track.id;
        packet.pts = Timestamp::new(packet.pts.ticks().saturating_mul(shape.factor));
        packet.duration = Duration::new(packet.duration.ticks().saturating_mul(shape.factor.unsigned_abs()));
        packet.dts = Timestamp::new(packet.dts.ticks().saturating_mul(shape.factor));
        let base = shape.track.time_base;
        let in_parts = self.in_parts();
        let cell = |(pts, duration)| self.grid.cell_of(pts, duration, base);
        let here = (packet.pts, packet.duration);
        if packet.key && self.first.is_some_and(|first| cell(here) > cell(first)) {
            self.flush(Some(packet.pts))?;
        }
        if self.first.is_none() {
            self.first = Some(here);
            let at = Duration::new(packet.pts.ticks().max(0).unsigned_abs()).to_std(base);
            self.grid.forget(at);
        }
        if !in_parts {
            let end = packet.pts.saturating_add(packet.duration);
            let over = self.seamless
                && self.first.is_some_and(|first| {
                    let cell = |(pts, duration)| self.grid.cell_of(pts, duration, base);
                    cell((end, packet.duration)) > cell(first)
                });
            self.pending.push(packet);
            return if over { self.flush(Some(end)) } else { Ok(()) };
        }
        self.announce(packet.pts.since(packet.dts).unwrap_or_default());
        let start = self.parts.as_ref().and_then(Parts::start).unwrap_or(packet.pts);
        let (Some(shape), Some(parts)) = (&self.track, &mut self.parts) else { return Ok(()) };
        let context = shape.context(self.number, shape.prft(self.clock, start));
        let full = parts.push(packet, &context)?;
        self.ready.extend(full.into_iter().map(Item::Part));
        Ok(())
    }

    /// What has come to be known leaves with the next part.
    fn tell(&mut self) {
        if let (true, Some(shape), Some(events)) = (self.in_parts(), &self.track, &mut self.events) {
            let all = events.take(std::time::Duration::MAX, shape.track.time_base.den());
            self.parts.iter_mut().for_each(|parts| parts.tell(&all));
        }
    }

    fn in_parts(&self) -> bool {
        self.parts.is_some() && self.form == Form::Cmaf
    }

    /// Tells of the track as segments describe it, once its pictures' order is known.
    fn announce(&mut self, late: Duration) {
        let Some(shape) = self.track.as_mut().filter(|shape| !shape.announced) else { return };
        let mut track = Track::clone(&shape.track);
        if let Media::Video(video) = &mut track.media {
            video.reorder = self.reorder.take().map_or(late, Duration::new);
        }
        shape.track = Arc::new(track);
        shape.announced = true;
        self.ready.push_back(Item::Track(Arc::clone(&shape.track)));
    }

    /// Ends the segment whose parts have left already.
    fn flush_parts(&mut self, next: Option<Timestamp>) -> Result<(), Error> {
        let (Some(shape), Some(parts)) = (&self.track, &mut self.parts) else { return Ok(()) };
        let start = parts.start().unwrap_or(Timestamp::ZERO);
        let context = shape.context(self.number, shape.prft(self.clock, start));
        if let Some((part, segment)) = parts.finish(next, &context)? {
            self.ready.extend(part.map(Item::Part));
            self.ready.push_back(Item::Segment(segment));
            self.number = self.number.saturating_add(1);
        }
        Ok(())
    }

    fn flush(&mut self, next: Option<Timestamp>) -> Result<(), Error> {
        self.first = None;
        if self.in_parts() {
            return self.flush_parts(next);
        }
        let mut packets = std::mem::take(&mut self.pending);
        let Some(first) = packets.first() else { return Ok(()) };
        let key = first.key;

        // The n-th packet is decoded at the n-th smallest presentation time.
        let mut times: Vec<(Timestamp, Duration)> = packets.iter().map(|p| (p.pts, p.duration)).collect();
        times.sort_unstable();
        let start = times.first().map_or(Timestamp::ZERO, |t| t.0);
        let (last, stated) = times.last().copied().unwrap_or_default();
        let last_duration = if stated > Duration::ZERO {
            stated
        } else {
            next.and_then(|n| n.since(last)).unwrap_or_default()
        };
        let end = last.saturating_add(last_duration);
        let late = packets.iter().zip(&times).filter_map(|(p, (at, _))| at.since(p.pts)).max();
        self.announce(late.unwrap_or_default());
        let Some(shape) = &mut self.track else { return Ok(()) };
        let reorder = shape.reorder();
        let shown = times.iter().skip(1).map(|t| t.0).chain([end]);
        for ((packet, (at, _)), until) in packets.iter_mut().zip(&times).zip(shown) {
            if self.form == Form::Ts {
                packet.dts = at.offset(reorder.saturating_neg()).min(packet.pts);
            } else {
                packet.dts = at.offset(shape.delay);
                packet.pts = packet.pts.offset(shape.delay).offset(reorder);
            }
            packet.duration = until.since(*at).unwrap_or_default();
        }

        let prft = shape.prft(self.clock, start);
        let track = &shape.track;
        let sequence = u32::try_from(self.number.saturating_add(1)).unwrap_or(u32::MAX);
        let decode = start.offset(shape.delay);
        let failed = |source| Error::Container { track: track.id, source };
        let long = |bytes: usize| u64::try_from(bytes).unwrap_or(0);
        let (data, first) = match (self.form, &mut shape.muxer) {
            (Form::Cmaf, _) => {
                let until = Duration::new(end.ticks().max(0).unsigned_abs()).to_std(track.time_base);
                let scale = track.time_base.den();
                let emsg = self.events.as_mut().map(|events| events.take(until, scale)).unwrap_or_default();
                let options = mp4::Options { prft, emsg, ..mp4::Options::default() };
                let data = mp4::fragment(track, sequence, decode, &packets, &options).map_err(failed)?;
                let first = data.iter().take(2).map(|b| long(b.len())).fold(0, u64::saturating_add);
                (data, first)
            }
            (Form::WebM, _) => {
                let data = webm::cluster(track, &packets).map_err(failed)?;
                let first = data.iter().take(2).map(|b| long(b.len())).fold(0, u64::saturating_add);
                (data, first)
            }
            (Form::Ts, Some(muxer)) => {
                let (data, first) = muxer.piece(&packets).map_err(failed)?;
                (vec![data], long(first))
            }
            (Form::Ts | Form::Text, _) => (vec![ts::packed_audio(track, &packets).map_err(failed)?], 0),
        };
        let kid = track.protection.as_ref().and_then(|p| p.kid(packets.first()?.protection.as_ref()));
        let key_bytes = if key && track.kind() == TrackKind::Video { first } else { 0 };
        self.ready.push_back(Item::Segment(Segment {
            track: track.id,
            number: self.number,
            start,
            duration: end.since(start).unwrap_or_default(),
            key,
            key_bytes,
            packets: u32::try_from(packets.len()).unwrap_or(u32::MAX),
            kid,
            data,
        }));
        self.number = self.number.saturating_add(1);
        Ok(())
    }
}

impl Stage for Segmenter {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Track(track) => {
                self.flush(None)?;
                self.begin(&track)?;
            }
            Item::Packet(packet) => self.packet(packet)?,
            Item::End(track) => {
                self.flush(None)?;
                self.ready.push_back(Item::End(track));
            }
            Item::Cue(cue) => {
                self.grid.cut(cue.at);
                if let (Some(events), Some(mark)) = (&mut self.events, Mark::of(&cue)) {
                    events.marks.add(mark);
                    // What stands before the first packet of a run that goes on left with the last packets of the run before.
                    if self.number > 0 && self.fresh {
                        events.pass();
                    } else {
                        self.tell();
                    }
                }
                self.ready.push_back(Item::Cue(cue));
            }
            other => self.ready.push_back(other),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.flush(None)
    }
}
