//! The parser: transport packets in, items out, without any I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sv_core::{Codec, Duration, Item, Limits, Packet, TimeBase, Timestamp, Track, TrackId};

use super::frames;
use super::packet::{self, Framer};
use super::pes::{Clock, Header};
use super::psi::{self, Sections, Stream};
use super::units::{self, ParameterSets};
use crate::language;
use crate::num::{i64_of, u64_of};
use crate::{Error, Result};

/// How many bytes may pass before tracks that show nothing are no longer waited for.
const PROBE_BYTES: u64 = 4 << 20;

/// Takes a transport stream in pieces of any size, and gives its tracks and packets.
///
/// Items are held back until every stream of the programs has shown how it is coded, or four
/// mebibytes have passed. Tracks that show it later are announced then. A track that changes its
/// configuration is announced again.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    framer: Framer,
    position: u64,
    tables: BTreeMap<u16, Sections>,
    programs: Vec<u16>,
    streams: BTreeMap<u16, Elementary>,
    clock: Clock,
    announced: bool,
    held: VecDeque<Item>,
    ready: VecDeque<Item>,
    warnings: Vec<String>,
    discontinuities: u64,
}

/// One elementary stream.
#[derive(Debug)]
struct Elementary {
    codec: Codec,
    language: Option<String>,
    counter: Option<u8>,
    /// The PES packet that is being collected.
    pes: BytesMut,
    collecting: bool,
    clock: Option<Clock>,
    track: Option<Arc<Track>>,
    /// Video: sets, and the access unit whose duration the next one tells.
    sets: ParameterSets,
    pending: Option<Packet>,
    duration: Duration,
    /// Audio: bytes of a frame that is not whole.
    rest: BytesMut,
    /// Time stamps, and from which byte of `rest` on a frame must begin for each.
    stamps: VecDeque<(usize, i64)>,
    /// The last time stamp, and samples since then, so that rounding does not add up.
    since: Option<i64>,
    samples: u64,
    /// When the last frame was decoded: broken streams go back, packets never do.
    last: Timestamp,
}

impl Parser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let mut tables = BTreeMap::new();
        tables.insert(0, Sections::default());
        Self {
            limits,
            framer: Framer::default(),
            position: 0,
            tables,
            programs: Vec::new(),
            streams: BTreeMap::new(),
            clock: Clock::default(),
            announced: false,
            held: VecDeque::new(),
            ready: VecDeque::new(),
            warnings: Vec::new(),
            discontinuities: 0,
        }
    }

    /// Takes bytes in.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for a packet or a number of streams above the limits. Damage is no
    /// error: it is passed over and counted.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.feed(bytes, false)
    }

    /// No more bytes come: what was held back becomes ready.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn finish(&mut self) -> Result<()> {
        self.feed(&[], true)?;
        let pids: Vec<u16> = self.streams.keys().copied().collect();
        for pid in pids {
            self.end_pes(pid)?;
            if let Some(stream) = self.streams.get_mut(&pid) {
                stream.frames(pid, true, &mut self.held);
                if let Some(pending) = stream.pending.take() {
                    stream.emit(pending, None, &mut self.held);
                }
            }
        }
        self.announce();
        for (pid, stream) in &self.streams {
            match stream.track {
                Some(_) => self.ready.push_back(Item::End(TrackId(u32::from(*pid)))),
                None => self
                    .warnings
                    .push(format!("stream {pid:#x} ({}) holds nothing that can be read", stream.codec)),
            }
        }
        if self.framer.losses > 0 {
            self.warnings.push(format!("synchronisation was lost {} times", self.framer.losses));
        }
        if self.discontinuities > 0 {
            self.warnings.push(format!("{} packets are missing or out of order", self.discontinuities));
        }
        Ok(())
    }

    /// The next item that is ready.
    pub fn pull(&mut self) -> Option<Item> {
        self.ready.pop_front()
    }

    /// Whether the tracks are known: items come from now on.
    #[must_use]
    pub const fn is_announced(&self) -> bool {
        self.announced
    }

    /// The tracks that are known so far.
    pub fn tracks(&self) -> impl Iterator<Item = &Arc<Track>> {
        self.streams.values().filter_map(|stream| stream.track.as_ref())
    }

    /// What is left out or damaged, a sentence each; some come only with [`finish`](Self::finish).
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<()> {
        let mut framer = std::mem::take(&mut self.framer);
        let result = framer.push(bytes, last, |packet| {
            self.position = self.position.saturating_add(u64_of(packet.len()));
            match packet::Packet::parse(packet) {
                Some(packet) => self.packet(&packet),
                None => Ok(()),
            }
        });
        self.framer = framer;
        if !self.announced && (self.position > PROBE_BYTES || self.complete()) {
            self.announce();
        }
        if self.announced {
            self.ready.append(&mut self.held);
        }
        result
    }

    /// Whether every stream of every program has shown how it is coded.
    fn complete(&self) -> bool {
        let mapped =
            !self.programs.is_empty() && self.programs.iter().all(|pid| !self.tables.contains_key(pid));
        mapped && self.streams.values().all(|stream| stream.track.is_some())
    }

    /// Lets go what was held, every track's first description in front.
    fn announce(&mut self) {
        if !self.announced {
            self.announced = true;
            let mut later = VecDeque::new();
            let mut seen = Vec::new();
            for item in self.held.drain(..) {
                match &item {
                    Item::Track(track) if !seen.contains(&track.id) => {
                        seen.push(track.id);
                        self.ready.push_back(item);
                    }
                    _ => later.push_back(item),
                }
            }
            self.held = later;
        }
        self.ready.append(&mut self.held);
    }

    fn packet(&mut self, packet: &packet::Packet<'_>) -> Result<()> {
        let Some(payload) = packet.payload else {
            return Ok(());
        };
        if let Some(sections) = self.tables.get_mut(&packet.pid) {
            if let Some(section) = sections.push(payload, packet.start) {
                self.section(packet.pid, &section)?;
            }
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&packet.pid) else {
            return Ok(());
        };
        match stream.counter.replace(packet.counter) {
            // A packet may be sent twice.
            Some(last) if last == packet.counter && !packet.discontinuity => return Ok(()),
            Some(last) if last.wrapping_add(1) & 15 != packet.counter && !packet.discontinuity => {
                self.discontinuities = self.discontinuities.saturating_add(1);
            }
            _ => {}
        }
        if packet.scrambled {
            let warning = format!("stream {:#x} is scrambled", packet.pid);
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
            return Ok(());
        }
        if packet.start {
            self.end_pes(packet.pid)?;
        }
        let Some(stream) = self.streams.get_mut(&packet.pid) else {
            return Ok(());
        };
        stream.collecting |= packet.start;
        if !stream.collecting {
            return Ok(());
        }
        if stream.pes.len().saturating_add(payload.len()) > self.limits.packet_bytes {
            let limit = u64_of(self.limits.packet_bytes);
            return Err(Error::LimitExceeded {
                what: "the size of a PES packet",
                offset: self.position,
                limit,
            });
        }
        stream.pes.extend_from_slice(payload);
        if Header::parse(&stream.pes).is_some_and(|h| h.end.is_some_and(|end| stream.pes.len() >= end)) {
            self.end_pes(packet.pid)?;
        }
        Ok(())
    }

    fn section(&mut self, pid: u16, section: &[u8]) -> Result<()> {
        if pid == 0 {
            for program in psi::program_association(section) {
                if !self.programs.contains(&program) && self.programs.len() < self.limits.tracks {
                    self.programs.push(program);
                    self.tables.insert(program, Sections::default());
                }
            }
            return Ok(());
        }
        // The first map of a program counts: streams that come and go are for broadcasters.
        self.tables.remove(&pid);
        for stream in psi::program_map(section) {
            match codec_of(&stream) {
                Ok(codec) => {
                    if self.streams.len() >= self.limits.tracks {
                        let limit = u64_of(self.limits.tracks);
                        let what = "the number of streams";
                        return Err(Error::LimitExceeded { what, offset: self.position, limit });
                    }
                    let language = stream.language.as_deref().and_then(language::tag);
                    self.streams.entry(stream.pid).or_insert_with(|| Elementary::new(codec, language));
                }
                Err(what) => self.warnings.push(format!("stream {:#x} is left out: {what}", stream.pid)),
            }
        }
        Ok(())
    }

    /// A PES packet is whole: its payload goes to the codec.
    fn end_pes(&mut self, pid: u16) -> Result<()> {
        let Some(stream) = self.streams.get_mut(&pid) else {
            return Ok(());
        };
        stream.collecting = false;
        let pes = stream.pes.split().freeze();
        let Some(header) = Header::parse(&pes) else {
            return Ok(());
        };
        let end = header.end.map_or(pes.len(), |end| end.min(pes.len())).max(header.payload);
        let payload = pes.slice(header.payload.min(end)..end);
        // A stream's clock begins at that of the others, so that a wrap between their starts does
        // no harm.
        let mut clock = stream.clock.unwrap_or(self.clock);
        let dts = header.dts.or(header.pts).map(|raw| clock.unwrap(raw));
        let mut beside = clock;
        let pts = header.pts.map(|raw| beside.unwrap(raw));
        stream.clock = Some(clock);
        self.clock = clock;
        if matches!(stream.codec, Codec::H264 | Codec::Hevc) {
            stream.pictures(pid, &payload, pts.zip(dts), &mut self.held);
            return Ok(());
        }
        if stream.rest.len().saturating_add(payload.len()) > self.limits.packet_bytes {
            let limit = u64_of(self.limits.packet_bytes);
            return Err(Error::LimitExceeded { what: "the size of a frame", offset: self.position, limit });
        }
        if let Some(pts) = pts {
            let from = stream.rest.len();
            if stream.stamps.back().is_some_and(|(last, _)| *last == from) {
                stream.stamps.pop_back();
            }
            stream.stamps.push_back((from, pts));
        }
        stream.rest.extend_from_slice(&payload);
        stream.frames(pid, false, &mut self.held);
        Ok(())
    }
}

/// Which codec a stream is of, or what else it holds.
fn codec_of(stream: &Stream) -> std::result::Result<Codec, String> {
    let registered = |id: &[u8; 4]| stream.registration.as_ref() == Some(id);
    match stream.kind {
        0x1B => Ok(Codec::H264),
        0x24 => Ok(Codec::Hevc),
        0x03 | 0x04 => Ok(Codec::Mp3),
        0x0F => Ok(Codec::Aac),
        0x81 => Ok(Codec::Ac3),
        0x84 | 0x87 => Ok(Codec::Eac3),
        0x06 if stream.tags.contains(&0x6A) || registered(b"AC-3") => Ok(Codec::Ac3),
        0x06 if stream.tags.contains(&0x7A) || registered(b"EAC3") => Ok(Codec::Eac3),
        0x06 if registered(b"HEVC") => Ok(Codec::Hevc),
        0x01 | 0x02 => Err("it is MPEG-2 video, which the FFmpeg backend reads".into()),
        0x11 => Err("it is AAC in LATM, which the FFmpeg backend reads".into()),
        0x15 => Err("it is timed metadata".into()),
        0x86 => Err("it holds SCTE-35 ad markers".into()),
        kind => Err(format!("its stream type is {kind:#04x}")),
    }
}

impl Elementary {
    fn new(codec: Codec, language: Option<String>) -> Self {
        Self {
            codec,
            language,
            counter: None,
            pes: BytesMut::new(),
            collecting: false,
            clock: None,
            track: None,
            sets: ParameterSets::default(),
            pending: None,
            duration: Duration::ZERO,
            rest: BytesMut::new(),
            stamps: VecDeque::new(),
            since: None,
            samples: 0,
            last: Timestamp::new(i64::MIN),
        }
    }

    /// Announces the track when its configuration is new.
    fn configure(&mut self, pid: u16, config: Bytes, first: &[u8], out: &mut VecDeque<Item>) {
        // The bit rate in front of `dec3` is that of one frame: it says nothing about the track.
        let lasting =
            |config: &Bytes| config.slice(if self.codec == Codec::Eac3 { 2.min(config.len()) } else { 0 }..);
        if self.track.as_ref().is_some_and(|track| lasting(&track.config) == lasting(&config)) {
            return;
        }
        let Some(media) = sv_codec::describe(self.codec, &config, Some(first)) else {
            return;
        };
        let track = Arc::new(Track {
            id: TrackId(u32::from(pid)),
            codec: self.codec,
            time_base: TimeBase::MPEG,
            config,
            media,
            language: self.language.clone(),
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        });
        self.track = Some(Arc::clone(&track));
        out.push_back(Item::Track(track));
    }

    /// Pictures of one PES packet with its presentation and decoding time; one without goes on
    /// with the picture before.
    fn pictures(&mut self, pid: u16, payload: &Bytes, times: Option<(i64, i64)>, out: &mut VecDeque<Item>) {
        for (index, picture) in units::pictures(self.codec, payload).into_iter().enumerate() {
            let Some(unit) = self.sets.convert(self.codec, picture) else {
                continue;
            };
            let (pts, dts) = match (times, &mut self.pending) {
                (Some(times), _) if index == 0 => times,
                (None, Some(pending)) if index == 0 => {
                    let mut data = BytesMut::from(&*pending.data);
                    data.extend_from_slice(&unit.data);
                    pending.data = data.freeze();
                    continue;
                }
                (_, Some(pending)) => {
                    let step = i64_of(self.duration.ticks());
                    (pending.pts.ticks().saturating_add(step), pending.dts.ticks().saturating_add(step))
                }
                (_, None) => continue,
            };
            let mut dts = Timestamp::new(dts);
            if let Some(pending) = self.pending.take() {
                dts = dts.max(pending.dts);
                self.emit(pending, Some(dts), out);
            }
            if let Some(config) = unit.config {
                self.configure(pid, config, &unit.data, out);
            }
            self.pending = Some(Packet {
                track: TrackId(u32::from(pid)),
                pts: Timestamp::new(pts),
                dts,
                duration: Duration::ZERO,
                key: unit.key,
                data: unit.data,
                protection: None,
            });
        }
    }

    /// Gives a picture, which lasts until `next` is decoded.
    fn emit(&mut self, mut packet: Packet, next: Option<Timestamp>, out: &mut VecDeque<Item>) {
        // A longer step is a jump of the clock, not a picture.
        const LONGEST: Duration = Duration::new(10 * 90_000);
        let length = next.and_then(|next| next.since(packet.dts));
        packet.duration = length.filter(|l| *l <= LONGEST && *l > Duration::ZERO).unwrap_or(self.duration);
        self.duration = packet.duration;
        // Before the first parameter sets, nothing can be decoded.
        if self.track.is_some() {
            out.push_back(Item::Packet(packet));
        }
    }

    /// Frames of sound, as far as they are whole; `last` when no more bytes come.
    fn frames(&mut self, pid: u16, last: bool, out: &mut VecDeque<Item>) {
        if self.rest.is_empty() {
            return;
        }
        let data = self.rest.split().freeze();
        let mut pos = 0usize;
        while let Some(rest) = data.get(pos..).filter(|rest| !rest.is_empty()) {
            let frame = match frames::frame(self.codec, rest, last) {
                Ok(frame) if frame.len > frame.header => frame,
                Err(true) => break,
                _ => {
                    pos = pos.saturating_add(1);
                    continue;
                }
            };
            while let Some((_, pts)) = self.stamps.front().copied().filter(|(from, _)| *from <= pos) {
                (self.since, self.samples) = (Some(pts), 0);
                self.stamps.pop_front();
            }
            let ticks = |samples: u64| {
                let ticks = samples.saturating_mul(90_000).saturating_add(u64::from(frame.rate / 2));
                i64_of(ticks.checked_div(u64::from(frame.rate)).unwrap_or(0))
            };
            let end = self.samples.saturating_add(u64::from(frame.samples));
            let payload = data.slice(pos.saturating_add(frame.header)..pos.saturating_add(frame.len));
            self.configure(pid, frame.config, &payload, out);
            if let (Some(since), Some(_)) = (self.since, &self.track) {
                let (begin, end) = (ticks(self.samples), ticks(end));
                let at = Timestamp::new(since.saturating_add(begin)).max(self.last);
                self.last = at;
                out.push_back(Item::Packet(Packet {
                    track: TrackId(u32::from(pid)),
                    pts: at,
                    dts: at,
                    duration: Duration::new(end.saturating_sub(begin).unsigned_abs()),
                    key: true,
                    data: payload,
                    protection: None,
                }));
            }
            self.samples = end;
            pos = pos.saturating_add(frame.len);
        }
        let kept = data.get(pos.min(data.len())..).unwrap_or_default();
        self.rest.extend_from_slice(kept);
        for (from, _) in &mut self.stamps {
            *from = from.saturating_sub(pos);
        }
    }
}
