//! The parser: transport packets in, items out, without any I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use sv_core::{Codec, Cue, Duration, Item, Limits, TimeBase, Track, TrackId};

use super::elementary::{self, Elementary};
use super::packet::{self, Framer};
use super::pes::{Clock, Header};
use super::psi::{self, Sections};
use crate::language;
use crate::num::u64_of;
use crate::scte35::{self, Section};
use crate::{Error, Result};

/// The stream type of splice information (ANSI/SCTE 35, 8.1).
const SPLICES: u8 = 0x86;
/// Sentences about damage that differ.
const MOST_WARNINGS: usize = 64;
/// How many bytes may pass before tracks that show nothing are no longer waited for.
const PROBE_BYTES: u64 = 4 << 20;

/// Takes a transport stream in pieces of any size, and gives its tracks and packets.
///
/// Items are held back until every stream of the programs has shown how it is coded, or four
/// mebibytes have passed. Tracks that show it later are announced then. A track that changes its
/// configuration is announced again.
///
/// Splice information ([`scte35`]) comes as [`Item::Cue`]s where it stands in the stream, which is before its time. Their
/// times are on the clock of the packets.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    framer: Framer,
    position: u64,
    tables: BTreeMap<u16, Sections>,
    programs: Vec<u16>,
    /// Streams of splice information.
    cues: BTreeMap<u16, Sections>,
    /// The languages of captions in pictures.
    captions: BTreeMap<String, String>,
    streams: BTreeMap<u16, Elementary>,
    clock: Clock,
    announced: bool,
    held: VecDeque<Item>,
    ready: VecDeque<Item>,
    warnings: Vec<String>,
    discontinuities: u64,
    jumps: bool,
    /// Whether splice information that takes something back is told too.
    cancels: bool,
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
            cues: BTreeMap::new(),
            captions: BTreeMap::new(),
            streams: BTreeMap::new(),
            clock: Clock::default(),
            announced: false,
            held: VecDeque::new(),
            ready: VecDeque::new(),
            warnings: Vec::new(),
            discontinuities: 0,
            jumps: false,
            cancels: false,
        }
    }

    /// Lets times go back where a stream's clock is set back by more than a second, as when a sender starts
    /// anew: for whoever puts them in order (such as a live source). Otherwise they stand still until the
    /// clock has come to where it was.
    #[must_use]
    pub fn follow_jumps(mut self) -> Self {
        self.jumps = true;
        self
    }

    /// Gives splice information that takes announced splices back too, as a cue of when it stands in the stream.
    #[must_use]
    pub fn tell_cancellations(mut self) -> Self {
        self.cancels = true;
        self
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
            for section in sections.push(payload, packet.start) {
                self.section(packet.pid, &section)?;
            }
            return Ok(());
        }
        if let Some(sections) = self.cues.get_mut(&packet.pid).filter(|_| !packet.scrambled) {
            for section in sections.push(payload, packet.start) {
                self.cue(section);
            }
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&packet.pid) else {
            return Ok(());
        };
        let twice = stream.payload == payload;
        stream.payload.clear();
        stream.payload.extend_from_slice(payload);
        match stream.counter.replace(packet.counter) {
            // A packet may be sent twice. (Another one with that number follows a break.)
            Some(last) if last == packet.counter && !packet.discontinuity && twice => return Ok(()),
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
        if packet.start {
            (stream.collecting, stream.until) = (true, None);
        }
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
        if stream.until.is_none() {
            stream.until = Header::parse(&stream.pes).map(|header| header.end.unwrap_or(usize::MAX));
        }
        if stream.until.is_some_and(|end| stream.pes.len() >= end) {
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
        let program = psi::program_map(section);
        for (name, language) in program.captions {
            self.captions.entry(name).or_insert(language);
        }
        for stream in program.streams {
            if stream.kind == SPLICES && self.cues.len() < self.limits.tracks {
                self.cues.entry(stream.pid).or_default();
                continue;
            }
            match elementary::codec_of(&stream) {
                Ok(codec) => {
                    if self.streams.len() >= self.limits.tracks {
                        let limit = u64_of(self.limits.tracks);
                        let what = "the number of streams";
                        return Err(Error::LimitExceeded { what, offset: self.position, limit });
                    }
                    let (limits, secret) = (self.limits, elementary::is_secret(&stream));
                    let language = stream.language.as_deref().and_then(language::tag);
                    let jumps = self.jumps;
                    let begin = || Elementary::new(codec, secret, language, limits, jumps);
                    self.streams.entry(stream.pid).or_insert_with(begin);
                }
                Err(what) => self.warnings.push(format!("stream {:#x} is left out: {what}", stream.pid)),
            }
        }
        Ok(())
    }

    /// Splice information has come: what is about a moment becomes a cue. What says no time is about now.
    fn cue(&mut self, section: Vec<u8>) {
        let at = match Section::parse(&section) {
            Ok(section) if section.only_cancels() && self.cancels => self.clock.last(),
            Ok(section) if !section.is_moment() => return,
            // The clock of the pictures stays where it is.
            Ok(section) => match section.time() {
                Some(raw) => Some(self.clock.clone().unwrap(raw)),
                None => self.clock.last(),
            },
            Err(error) => {
                let warning = format!("splice information is left out: {error}");
                if !self.warnings.contains(&warning) && self.warnings.len() < MOST_WARNINGS {
                    self.warnings.push(warning);
                }
                return;
            }
        };
        let ticks = at.unwrap_or(0).max(0).unsigned_abs();
        self.held.push_back(Item::Cue(Cue {
            at: Duration::new(ticks).to_std(TimeBase::MPEG),
            payload: section.into(),
            scheme: scte35::SCHEME.to_owned(),
        }));
    }

    /// The languages (BCP 47) of captions in pictures, as far as the stream says, by the names that HLS has for them:
    /// `CC1`, `CC3`, `SERVICE1` to `SERVICE63`.
    #[must_use]
    pub const fn caption_languages(&self) -> &BTreeMap<String, String> {
        &self.captions
    }

    /// Whether there is a stream of splice information: [`Item::Cue`]s may come.
    #[must_use]
    pub fn has_cues(&self) -> bool {
        !self.cues.is_empty()
    }

    /// A PES packet is whole: its payload goes to the codec.
    fn end_pes(&mut self, pid: u16) -> Result<()> {
        let Some(stream) = self.streams.get_mut(&pid) else {
            return Ok(());
        };
        stream.collecting = false;
        // The next one is about as long: room at once costs less than growing.
        let room = BytesMut::with_capacity(stream.pes.len());
        let pes = std::mem::replace(&mut stream.pes, room).freeze();
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
