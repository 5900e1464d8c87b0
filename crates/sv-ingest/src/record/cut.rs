//! A stretch of recordings as one file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sv_container::mp4::{Demuxer, progressive};
use sv_core::{
    FileAt, Item, Limits, Packet, Source as _, TimeBase, Timestamp, Track, TrackId, TrackKind, Write,
};

use super::writer::wall;
use crate::{Error, Result};

/// Times are rounded, to milliseconds by RTMP: a picture that is before a moment by that is at it.
const ROUNDING: i64 = 1_000_000;

/// What is decoded or heard together lies within that.
const NEAR: i64 = 2_000_000_000;

/// What a cut has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Where it begins, behind the beginning of the first part: the first picture at or behind what was asked for.
    pub from: Duration,
    /// How long it is.
    pub length: Duration,
    /// Pictures in it that are shown, or packets of sound where there are none.
    pub pictures: u64,
    /// Pictures before them that are needed for decoding alone: an edit list hides them. None where it begins with a key
    /// picture.
    pub hidden: u64,
}

/// Writes what parts hold from `from` until before `to`, counted from the beginning of the first, to a new MP4 file. Nothing
/// is encoded: pictures are exact, and what has to be decoded before the first is hidden by an edit list. Parts of one
/// recording follow each other as they did when they came; other files follow where the one before ends.
///
/// # Errors
/// When nothing lies there, parts are coded otherwise than the first, `out` is there already, or a file can't be read or written.
pub fn cut(parts: &[PathBuf], from: Duration, to: Duration, out: &Path) -> Result<Cut> {
    if out.exists() {
        let what = format!("{} is there already", out.display());
        return Err(Error::InvalidInput { what, problem: "choose another name, or remove it" });
    }
    let Some(first) = parts.first() else {
        return Err(Error::InvalidInput { what: "the recordings".into(), problem: "there are none" });
    };
    let aside = out.with_extension("mp4-part");
    let done = (|| {
        let file = File::create(&aside).map_err(Error::io(format!("making {}", aside.display())))?;
        let mut cutter = Cutter::new(first, (from, to), file, aside.clone())?;
        cutter.parts(parts)?;
        let cut = cutter.finish()?;
        std::fs::rename(&aside, out).map_err(Error::io(format!("making {}", out.display())))?;
        Ok(cut)
    })();
    if done.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    done
}

/// All times are nanoseconds behind the first picture of the first part.
struct Cutter {
    from: i64,
    to: i64,
    tracks: BTreeMap<TrackId, Arc<Track>>,
    /// The track by which it is cut.
    lead: TrackId,
    /// What comes before it is known where to begin: from a key picture on.
    held: Vec<Packet>,
    begun: bool,
    writer: progressive::Writer,
    file: BufWriter<File>,
    path: PathBuf,
    last: BTreeMap<TrackId, Timestamp>,
    pictures: u64,
    hidden: u64,
    /// Where the first track ends.
    end: i64,
}

fn ns(length: Duration) -> i64 {
    i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)
}

fn length(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}

fn wrong(part: &Path, problem: &'static str) -> Error {
    Error::InvalidInput { what: part.display().to_string(), problem }
}

fn open(part: &Path) -> Result<Demuxer> {
    let source = FileAt::open(part).map_err(Error::io(format!("opening {}", part.display())))?;
    Ok(Demuxer::open(Arc::new(source), Limits::default())?)
}

impl Cutter {
    fn new(first: &Path, (from, to): (Duration, Duration), file: File, path: PathBuf) -> Result<Self> {
        let tracks: BTreeMap<_, _> = open(first)?.tracks().iter().map(|t| (t.id, Arc::clone(t))).collect();
        let video = tracks.values().find(|t| t.kind() == TrackKind::Video);
        let lead = video.or(tracks.values().next()).map(|t| t.id);
        Ok(Self {
            from: ns(from).saturating_sub(ROUNDING),
            to: ns(to).saturating_sub(ROUNDING),
            tracks,
            lead: lead.ok_or_else(|| wrong(first, "it has neither pictures nor sound"))?,
            held: Vec::new(),
            begun: false,
            writer: progressive::Writer::new("cut", progressive::Options::default()),
            file: BufWriter::new(file),
            path,
            last: BTreeMap::new(),
            pictures: 0,
            hidden: 0,
            end: 0,
        })
    }

    fn nanos(&self, id: TrackId, at: Timestamp) -> i64 {
        let base = self.tracks.get(&id).map_or(TimeBase::NANOS, |t| t.time_base);
        at.rescale(base, TimeBase::NANOS).ticks()
    }

    /// A packet that many nanoseconds later.
    fn moved(&self, packet: Packet, by: i64) -> Packet {
        let base = self.tracks.get(&packet.track).map_or(TimeBase::NANOS, |t| t.time_base);
        let ticks = Timestamp::new(by).rescale(TimeBase::NANOS, base).ticks();
        Packet { pts: packet.pts.offset(ticks), dts: packet.dts.offset(ticks), ..packet }
    }

    fn parts(&mut self, parts: &[PathBuf]) -> Result<()> {
        let clocks = parts.iter().map(|part| self.clock(part)).collect::<Result<Option<Vec<i64>>>>()?;
        let mut zero = None;
        for (n, part) in parts.iter().enumerate() {
            let clock = |n: usize| clocks.as_ref().and_then(|c| c.get(n)?.checked_sub(*c.first()?));
            // The next one begins well before the beginning, so this one has nothing of it.
            let next =
                clock(n.saturating_add(1)).zip(zero).map(|(at, zero): (i64, i64)| at.saturating_add(zero));
            if next.is_some_and(|next| next.saturating_add(NEAR) <= self.from) {
                continue;
            }
            let mut demuxer = open(part)?;
            for track in demuxer.tracks() {
                let known = self.tracks.get(&track.id);
                if known.is_none_or(|k| {
                    k.codec != track.codec || k.config != track.config || k.time_base != track.time_base
                }) {
                    return Err(wrong(part, "it is coded otherwise than the first part: cut it by itself"));
                }
            }
            let mut start = zero.map(|zero: i64| clock(n).map_or(self.end, |at| at.saturating_add(zero)));
            let mut early = Vec::new();
            while let Some(item) = demuxer.next_item()? {
                let Item::Packet(packet) = item else { continue };
                let Some(by) = start else {
                    // The first picture is the beginning.
                    early.push(packet);
                    let first =
                        early.iter().rfind(|p| p.track == self.lead).map(|p| self.nanos(p.track, p.pts));
                    if let Some(first) = first {
                        let by = first.saturating_neg();
                        (start, zero) = (Some(by), Some(by));
                        for packet in std::mem::take(&mut early) {
                            self.packet(self.moved(packet, by))?;
                        }
                    }
                    continue;
                };
                let packet = self.moved(packet, by);
                // Sound lies near the pictures that it belongs to.
                if packet.track == self.lead
                    && self.nanos(packet.track, packet.dts) >= self.to.saturating_add(NEAR)
                {
                    return Ok(());
                }
                self.packet(packet)?;
            }
        }
        Ok(())
    }

    /// When zero was in a recording, in nanoseconds since 1970; nothing in files of others.
    fn clock(&self, part: &Path) -> Result<Option<i64>> {
        let zero =
            |(track, wall, media): (TrackId, i64, Timestamp)| wall.saturating_sub(self.nanos(track, media));
        Ok(producer(part)?.map(zero))
    }

    fn packet(&mut self, packet: Packet) -> Result<()> {
        let (pts, dts) = (self.nanos(packet.track, packet.pts), self.nanos(packet.track, packet.dts));
        let end = self.nanos(packet.track, packet.pts.saturating_add(packet.duration));
        let leads = packet.track == self.lead;
        if leads {
            self.end = self.end.max(end);
        }
        if self.begun {
            return self.put(packet);
        }
        if leads && packet.key && pts <= self.from.saturating_add(ROUNDING.saturating_mul(2)) {
            self.held.retain(|p| p.track != packet.track);
        } else if leads && !self.held.iter().any(|p| p.track == packet.track) && !packet.key {
            return Ok(());
        }
        if leads || end > self.from {
            self.held.push(packet);
        }
        match self.first() {
            // Nothing that is decoded later is shown earlier.
            Some(first) if leads && dts >= first => self.begin(first),
            _ => Ok(()),
        }
    }

    /// The first picture at or behind the beginning, of what has come.
    fn first(&self) -> Option<i64> {
        let lead = self.held.iter().filter(|p| p.track == self.lead);
        lead.map(|p| self.nanos(p.track, p.pts)).filter(|pts| *pts >= self.from).min()
    }

    fn begin(&mut self, first: i64) -> Result<()> {
        (self.from, self.begun) = (first, true);
        for track in self.tracks.values() {
            self.writer.push(Item::Track(Arc::clone(track)))?;
        }
        std::mem::take(&mut self.held).into_iter().try_for_each(|packet| self.put(packet))
    }

    fn put(&mut self, packet: Packet) -> Result<()> {
        let (pts, dts) = (self.nanos(packet.track, packet.pts), self.nanos(packet.track, packet.dts));
        let leads = packet.track == self.lead;
        let end = self.nanos(packet.track, packet.pts.saturating_add(packet.duration));
        if dts >= self.to || (!leads && end <= self.from) {
            return Ok(());
        }
        // What stands in two files once.
        if self.last.get(&packet.track).is_some_and(|last| packet.dts <= *last) {
            return Ok(());
        }
        self.last.insert(packet.track, packet.dts);
        if leads {
            let (lead_in, shown) = (pts < self.from, (self.from..self.to).contains(&pts));
            self.hidden = self.hidden.saturating_add(u64::from(lead_in));
            self.pictures = self.pictures.saturating_add(u64::from(shown));
        }
        let moved = self.moved(packet, self.from.saturating_neg());
        self.writer.push(Item::Packet(moved))?;
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while let Some(object) = self.writer.pull() {
            let Write::At(at) = object.write else { continue };
            let written = self
                .file
                .seek(SeekFrom::Start(at))
                .and_then(|_| object.data.iter().try_for_each(|piece| self.file.write_all(piece)));
            written.map_err(Error::io(format!("writing {}", self.path.display())))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Cut> {
        if !self.begun {
            let Some(first) = self.first().filter(|first| *first < self.to) else {
                let what = format!("{:.3} s", length(self.from).as_secs_f64());
                return Err(Error::InvalidInput { what, problem: "nothing is recorded from there on" });
            };
            self.begin(first)?;
        }
        let shown = length(self.end.min(self.to.saturating_add(ROUNDING)).saturating_sub(self.from));
        self.writer.show(shown);
        self.writer.finish()?;
        self.write()?;
        let all = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        all.map_err(Error::io(format!("writing {}", self.path.display())))?;
        Ok(Cut { from: length(self.from), length: shown, pictures: self.pictures, hidden: self.hidden })
    }
}

/// The first time of a producer that stands in a file: which track, when since 1970, and the time of its packet then.
fn producer(part: &Path) -> Result<Option<(TrackId, i64, Timestamp)>> {
    let failed = || Error::io(format!("reading {}", part.display()));
    let mut file = File::open(part).map_err(failed())?;
    let mut at = 0u64;
    // The header and what stands behind it.
    for _ in 0..8 {
        let mut head = [0; 32];
        file.seek(SeekFrom::Start(at)).map_err(failed())?;
        match file.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(failed()(error)),
        }
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            head;
        if kind == *b"prft" {
            let word = |from: usize| {
                let bytes = head.get(from..from.saturating_add(8)).and_then(|b| <[u8; 8]>::try_from(b).ok());
                u64::from_be_bytes(bytes.unwrap_or_default())
            };
            let track = TrackId(u32::try_from(word(8) & 0xFFFF_FFFF).unwrap_or(0));
            let media = Timestamp::new(i64::try_from(word(24)).unwrap_or(0));
            return Ok(Some((track, ns(wall(word(16))), media)));
        }
        if kind == *b"moof" || kind == *b"mdat" {
            return Ok(None);
        }
        at = at.saturating_add(u32::from_be_bytes([a, b, c, d]).max(8).into());
    }
    Ok(None)
}
