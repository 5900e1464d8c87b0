//! Cuts text on the grid that pictures and sound are cut on.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_container::webvtt::{self, Block, TimestampMap};
use sv_container::{mp4, ttml};
use sv_core::{
    Bytes, Codec, Duration, Grid, Item, Limits, Packet, Segment, Stage, TimeBase, Timestamp, Track, TrackId,
};

use crate::{Error, Form, Segmenter};

/// Most cues at a time: each is written again into every segment in which it is shown.
const MOST_CUES: usize = 1024;
/// Most segments that one packet may close: silence is long, but not for ever.
const MOST_SEGMENTS: i64 = 1 << 17;

/// Takes one text track's items and gives its [`Segment`]s, one for each multiple of the target
/// length, also where nothing is said.
///
/// Unlike pictures, text may be cut anywhere: a cue that spans a boundary is in both segments
/// ([RFC 8216, 3.5](https://www.rfc-editor.org/rfc/rfc8216#section-3.5)). A segment is given as soon as a packet
/// says that time has gone beyond it. Where nobody speaks, an empty packet says so; that is all that live
/// text needs. The first packet says in which segment the track begins, and a segment's number is its place on
/// the grid, so nothing must be known of an earlier run.
///
/// Text that goes with pictures whose key frames stand anywhere can be [`led`](Self::led) by their segments instead.
///
/// Text comes as WebVTT or TTML, and leaves as either.
#[derive(Debug)]
pub struct TextSegmenter {
    grid: Grid,
    form: Form,
    codec: Option<Codec>,
    map: Option<u64>,
    /// As it leaves; and time base and codec as it comes.
    track: Option<(Arc<Track>, (TimeBase, Codec))>,
    /// The latest moment that a packet told of and that no segment has reached.
    reached: Option<Timestamp>,
    /// The segment that is being filled.
    number: Option<i64>,
    /// Somebody else says where segments end.
    led: bool,
    waiting: Vec<Packet>,
    /// Documents of TTML that leave as such.
    documents: Vec<(Packet, ttml::Document)>,
    ready: VecDeque<Item>,
}

impl TextSegmenter {
    /// Cuts at multiples of `target`, which is a millisecond at least. `form` is [`Form::Cmaf`], or [`Form::Text`] for plain files.
    #[must_use]
    pub fn new(target: std::time::Duration, form: Form) -> Self {
        Self {
            grid: Grid::new(target.max(std::time::Duration::from_millis(1))),
            form,
            codec: None,
            map: None,
            track: None,
            reached: None,
            number: None,
            led: false,
            waiting: Vec::new(),
            documents: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Ends segments at these moments too, as [`Segmenter::cuts`] does. Numbers count them, so they must all be known.
    #[must_use]
    pub fn cuts(mut self, cuts: &[std::time::Duration]) -> Self {
        cuts.iter().for_each(|at| self.grid.cut(*at));
        self
    }

    /// Writes WebVTT or TTML, whatever comes in.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// Says in each plain WebVTT file which time of a 90 kHz clock time zero is: what segments need that go with
    /// transport streams.
    #[must_use]
    pub fn clock(mut self, zero: u64) -> Self {
        self.map = Some(zero);
        self
    }

    /// Leaves it to [`segment`](Self::segment) where segments begin and end, and numbers them from `number`.
    #[must_use]
    pub fn led(mut self, number: u64) -> Self {
        (self.led, self.number) = (true, i64::try_from(number).ok());
        self
    }

    /// Gives the segment of text that goes with one of other media, in milliseconds: with what has come so far. What comes
    /// later and should have been shown in it is shown in the next one, as far as it lasts.
    ///
    /// # Errors
    /// As for packets; nothing is given before the track has come.
    pub fn segment(&mut self, from: Timestamp, to: Timestamp) -> Result<(), Error> {
        let number = self.number.unwrap_or(0);
        self.flush(number, from, to)?;
        self.number = Some(number.saturating_add(1));
        Ok(())
    }

    fn begin(&mut self, track: &Track) {
        let mut out = Segmenter::outgoing(track);
        // Packed text counts in milliseconds at best, and so do its segments.
        out.time_base = TimeBase::MILLIS;
        out.duration = None;
        match self.codec {
            Some(Codec::WebVtt) if out.codec != Codec::WebVtt => {
                (out.codec, out.config) = (Codec::WebVtt, Bytes::from_static(b"WEBVTT"));
            }
            Some(Codec::Ttml) if out.codec != Codec::Ttml => {
                (out.codec, out.config) = (Codec::Ttml, Bytes::from_static(ttml::NAMESPACE.as_bytes()));
            }
            _ => {}
        }
        let out = Arc::new(out);
        self.ready.push_back(Item::Track(Arc::clone(&out)));
        self.track = Some((out, (track.time_base, track.codec)));
    }

    fn packet(&mut self, mut packet: Packet) -> Result<(), Error> {
        let Some((track, (base, codec))) = &self.track else {
            return Err(Error::Order { track: packet.track, what: "a packet came before the track" });
        };
        let end = packet.pts.saturating_add(packet.duration).rescale(*base, TimeBase::MILLIS);
        packet.pts = packet.pts.rescale(*base, TimeBase::MILLIS);
        packet.duration = end.since(packet.pts).unwrap_or_default();
        packet.track = track.id;
        packet.dts = packet.pts;
        let documents = *codec == Codec::Ttml && !packet.data.is_empty();
        let now = packet.pts;
        if !self.led {
            self.reach(now)?;
            self.reached = self.reached.max(Some(now));
        }
        if packet.data.is_empty() || packet.duration == Duration::ZERO {
            return Ok(());
        }
        if !documents {
            self.waiting.push(packet);
        } else {
            let failed = |source| Error::Container { track: packet.track, source };
            let document = ttml::Document::parse(&packet.data, &Limits::default()).map_err(failed)?;
            if self.outgoing() == Codec::Ttml {
                self.documents.push((packet, document));
            } else {
                let cues = document.to_webvtt();
                let inside = cues.cues().filter(|cue| cue.start < end && cue.end > now);
                self.waiting.extend(inside.map(|cue| {
                    let start = cue.start.max(now);
                    Packet {
                        pts: start,
                        dts: start,
                        duration: cue.end.min(end).since(start).unwrap_or_default(),
                        data: webvtt::sample::payload(cue),
                        ..packet.clone()
                    }
                }));
            }
        }
        Ok(())
    }

    fn outgoing(&self) -> Codec {
        self.track.as_ref().map_or(Codec::WebVtt, |(track, _)| track.codec)
    }

    /// When a segment begins.
    fn boundary(&self, number: i64) -> Timestamp {
        let ms = self.grid.start(i128::from(number)).checked_div(1_000_000).unwrap_or(0);
        Timestamp::new(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    /// Gives the segments that end at or before `now`.
    fn reach(&mut self, now: Timestamp) -> Result<(), Error> {
        let Some((track, _)) = &self.track else { return Ok(()) };
        let track = track.id;
        let mut cell = i64::try_from(self.grid.cell(now, TimeBase::MILLIS)).unwrap_or(i64::MAX);
        // Segments that are no whole milliseconds long begin a little earlier.
        if self.boundary(cell.saturating_add(1)) <= now.max(Timestamp::ZERO) {
            cell = cell.saturating_add(1);
        }
        let first = *self.number.get_or_insert(cell);
        if cell.saturating_sub(first) > MOST_SEGMENTS {
            return Err(Error::Order {
                track,
                what: "time goes on by more than a hundred thousand segments at once",
            });
        }
        for number in first..cell {
            self.flush(number, self.boundary(number), self.boundary(number.saturating_add(1)))?;
            self.number = Some(number.saturating_add(1));
        }
        Ok(())
    }

    /// Writes the segment from `from` up to `to`.
    fn flush(&mut self, number: i64, from: Timestamp, to: Timestamp) -> Result<(), Error> {
        let Some((track, _)) = &self.track else { return Ok(()) };
        let end = |p: &Packet| p.pts.saturating_add(p.duration);
        let shown = |p: &&Packet| p.pts < to && end(p) > from;
        let mut cues: Vec<&Packet> = self.waiting.iter().filter(shown).collect();
        cues.sort_by_key(|cue| cue.pts);
        if cues.len() > MOST_CUES {
            return Err(Error::Order {
                track: track.id,
                what: "more than a thousand cues are shown in one segment",
            });
        }
        let count = cues.len().saturating_add(self.documents.len());
        let data = match (self.form, track.codec) {
            (Form::Cmaf, Codec::Ttml) => {
                self.fragment(track, number, from, &self.documents_in(track, &cues, from, to))?
            }
            (Form::Cmaf, _) => {
                let clip = |p: &&Packet| {
                    let pts = p.pts.max(from);
                    Packet {
                        pts,
                        dts: pts,
                        duration: end(p).min(to).since(pts).unwrap_or_default(),
                        ..(*p).clone()
                    }
                };
                let mut packets: Vec<Packet> = cues.iter().map(clip).collect();
                packets.push(empty(track.id, to));
                self.fragment(track, number, from, &packets)?
            }
            (_, Codec::Ttml) => {
                let texts =
                    self.documents.iter().filter(|(p, _)| shown(&p)).map(|(_, d)| d.segment(from, to));
                // A file holds one document; of several at a time, which only live text has, the first one.
                let text = texts.into_iter().next().unwrap_or_else(|| written(track, &cues).to_string());
                vec![Bytes::from(text)]
            }
            _ => {
                let map = self.map.map(|mpegts| TimestampMap { mpegts, local: Timestamp::ZERO });
                vec![Bytes::from(document(track, &cues).segment(from, to, map))]
            }
        };
        self.ready.push_back(Item::Segment(Segment {
            track: track.id,
            number: u64::try_from(number).unwrap_or(0),
            start: from,
            duration: to.since(from).unwrap_or_default(),
            key: true,
            key_bytes: 0,
            packets: u32::try_from(count).unwrap_or(u32::MAX),
            kid: None,
            data,
        }));
        self.waiting.retain(|p| end(p) > to);
        self.documents.retain(|(p, _)| end(p) > to);
        Ok(())
    }

    fn fragment(
        &self,
        track: &Track,
        number: i64,
        from: Timestamp,
        packets: &[Packet],
    ) -> Result<Vec<Bytes>, Error> {
        let sequence = u32::try_from(number.saturating_add(1)).unwrap_or(u32::MAX);
        mp4::fragment(track, sequence, from, packets, &mp4::Options::default())
            .map_err(|source| Error::Container { track: track.id, source })
    }

    /// Samples of TTML that cover the segment without gaps: each holds what is shown in it
    /// (ISO/IEC 14496-30, 5.6).
    fn documents_in(&self, track: &Track, cues: &[&Packet], from: Timestamp, to: Timestamp) -> Vec<Packet> {
        let sample = |start: Timestamp, end: Timestamp, text: String| Packet {
            track: track.id,
            pts: start,
            dts: start,
            duration: end.since(start).unwrap_or_default(),
            key: true,
            data: Bytes::from(text),
            protection: None,
        };
        if self.documents.is_empty() {
            return vec![sample(from, to, written(track, cues).to_string())];
        }
        let mut out = Vec::new();
        let mut at = from;
        let none = || ttml::Document::from_webvtt(&webvtt::Document::default(), track.language.as_deref());
        for (packet, document) in &self.documents {
            let (start, end) = (packet.pts.max(at), packet.pts.saturating_add(packet.duration).min(to));
            if start >= end {
                continue;
            }
            if start > at {
                out.push(sample(at, start, none().to_string()));
            }
            out.push(sample(start, end, document.segment(start, end)));
            at = end;
        }
        if at < to {
            out.push(sample(at, to, none().to_string()));
        }
        out
    }
}

fn empty(track: TrackId, at: Timestamp) -> Packet {
    let (duration, data) = (Duration::ZERO, Bytes::new());
    Packet { track, pts: at, dts: at, duration, key: true, data, protection: None }
}

/// The cues, with the styles and regions of their track.
fn document(track: &Track, cues: &[&Packet]) -> webvtt::Document {
    let mut out = webvtt::parse(&track.config, &Limits::default()).unwrap_or_default();
    out.blocks.extend(cues.iter().map(|packet| {
        let (start, end) = (packet.pts, packet.pts.saturating_add(packet.duration));
        Block::Cue(webvtt::Cue { start, end, ..webvtt::sample::cue(&packet.data) })
    }));
    out
}

fn written(track: &Track, cues: &[&Packet]) -> ttml::Document {
    ttml::Document::from_webvtt(&document(track, cues), track.language.as_deref())
}

impl Stage for TextSegmenter {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Track(track) => self.begin(&track),
            Item::Packet(packet) => self.packet(packet)?,
            Item::End(track) => {
                self.finish()?;
                self.ready.push_back(Item::End(track));
            }
            other => self.ready.push_back(other),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.led {
            return Ok(());
        }
        let all = self.waiting.iter().chain(self.documents.iter().map(|(packet, _)| packet));
        let last = all.map(|p| p.pts.saturating_add(p.duration)).max();
        let Some(last) = last.max(self.reached) else { return Ok(()) };
        self.reach(last)?;
        // What is left is shorter than the others.
        match self.number {
            Some(number) if self.boundary(number) < last => self.flush(number, self.boundary(number), last),
            _ => Ok(()),
        }
    }
}
