//! Ordinary MP4 files, for downloads and recordings: `mdat` first, its index behind it or in a
//! place that was kept free.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use sv_core::{Codec, Item, Object, Packet, Timestamp, Track, TrackId, Write};

use super::boxes::Boxes;
use super::init::{self, Edit, timescale_length, timescale_ticks};
use super::text;
use crate::num::{i64_of, u32_of, u64_of};
use crate::{Error, Result};

/// A chunk ends when it holds so many bytes, or a second.
const CHUNK_BYTES: usize = 1 << 20;

/// How a file is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Bytes to keep free in front of the media: the index goes there if it fits, so that players
    /// can begin before they have all of the file. About 16 for each packet suffice.
    pub reserve: u32,
}

/// Turns items into the bytes of a file, as [`Object`]s of one path: one behind the other as they
/// come, and into their places in front at the end.
///
/// Every track must be announced before the first packet. Memory grows by about 12 bytes a packet.
#[derive(Debug)]
pub struct Writer {
    path: String,
    options: Options,
    lanes: Vec<Lane>,
    begun: bool,
    /// How much of it is shown, if that isn't all.
    shown: Option<std::time::Duration>,
    /// Bytes written so far.
    position: u64,
    /// Where the reserved place and the length of `mdat` are.
    reserve_at: u64,
    mdat_at: u64,
    ready: VecDeque<Object>,
}

/// One track: its sample tables, and the chunk that is being filled.
#[derive(Debug)]
struct Lane {
    track: Arc<Track>,
    first: Option<i64>,
    last: Option<Packet>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    pending_ticks: u64,
    /// Text is turned into samples at the end: it is small.
    cues: Vec<Packet>,
    durations: Runs,
    offsets: Runs,
    sizes: Vec<u32>,
    sync: Vec<u32>,
    chunks: Vec<(u64, u32)>,
    ticks: u64,
}

/// A run-length table.
#[derive(Debug, Default)]
struct Runs(Vec<(u32, u32)>);

impl Runs {
    fn push(&mut self, value: u32) {
        match self.0.last_mut() {
            Some((count, last)) if *last == value => *count = count.saturating_add(1),
            _ => self.0.push((1, value)),
        }
    }

    fn write(&self, w: &mut Boxes, kind: &[u8; 4], version: u8) {
        w.full(kind, version, 0, |w| {
            w.u32(u32_of(self.0.len()));
            for (count, value) in &self.0 {
                w.u32(*count);
                w.u32(*value);
            }
        });
    }
}

impl Writer {
    /// A writer of the file at `path`, which every object will name.
    #[must_use]
    pub fn new(path: impl Into<String>, options: Options) -> Self {
        Self {
            path: path.into(),
            options,
            lanes: Vec::new(),
            begun: false,
            shown: None,
            position: 0,
            reserve_at: 0,
            mdat_at: 0,
            ready: VecDeque::new(),
        }
    }

    /// Shows no more than that, from zero on: what goes beyond it is there for decoding alone.
    pub const fn show(&mut self, length: std::time::Duration) {
        self.shown = Some(length);
    }

    /// Takes in tracks and packets; other items mean nothing here.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a track that MP4 can't carry, that is protected, or that comes
    /// after the first packet; for decoding times that fall. [`Error::NoTrack`] for a packet of a
    /// track that was not announced.
    pub fn push(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Track(track) => self.add(track),
            Item::Packet(packet) => self.packet(packet),
            _ => Ok(()),
        }
    }

    /// The next piece of the file that is ready.
    pub fn pull(&mut self) -> Option<Object> {
        self.ready.pop_front()
    }

    /// No more items come: the last chunks and the index become ready.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn finish(&mut self) -> Result<()> {
        self.begin()?;
        for index in 0..self.lanes.len() {
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.finish()?;
            }
            self.flush(index);
        }
        let moov = self.index()?;
        let length = self.position.saturating_sub(self.mdat_at);
        let patch = |at, bytes: Bytes| self.object(vec![bytes], Write::At(at));
        let mdat = patch(self.mdat_at.saturating_add(8), Bytes::copy_from_slice(&length.to_be_bytes()));
        let room = usize::try_from(self.options.reserve).unwrap_or(0);
        let object = match room.checked_sub(moov.len()) {
            // What is left must be nothing or a whole box.
            Some(left) if left == 0 || left >= 8 => {
                let mut w = Boxes::with_capacity(room);
                w.bytes(&moov);
                if left > 0 {
                    w.boxed(b"free", |w| w.zeros(left.saturating_sub(8)));
                }
                patch(self.reserve_at, w.out.freeze())
            }
            _ => self.object(vec![moov], Write::At(self.position)),
        };
        self.ready.extend([mdat, object]);
        Ok(())
    }

    fn object(&self, data: Vec<Bytes>, write: Write) -> Object {
        Object { path: self.path.clone(), content_type: "video/mp4", data, write }
    }

    fn append(&mut self, data: Vec<Bytes>) {
        let bytes = data.iter().fold(0u64, |n, part| n.saturating_add(u64_of(part.len())));
        let at = self.position;
        self.position = at.saturating_add(bytes);
        let object = self.object(data, Write::At(at));
        self.ready.push_back(object);
    }

    fn add(&mut self, track: Arc<Track>) -> Result<()> {
        let invalid = |problem| Err(Error::InvalidInput { track: track.id.0, problem });
        if track.protection.is_some() {
            return invalid("protected tracks go into fragments");
        }
        if self.begun || self.lanes.iter().any(|lane| lane.track.id == track.id) {
            return invalid("a file can't take a track, or another configuration, after the first packet");
        }
        self.lanes.push(Lane {
            track,
            first: None,
            last: None,
            pending: Vec::new(),
            pending_bytes: 0,
            pending_ticks: 0,
            cues: Vec::new(),
            durations: Runs::default(),
            offsets: Runs::default(),
            sizes: Vec::new(),
            sync: Vec::new(),
            chunks: Vec::new(),
            ticks: 0,
        });
        Ok(())
    }

    /// `ftyp`, the reserved place, and the head of `mdat`.
    fn begin(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let tracks: Vec<&Track> = self.lanes.iter().map(|lane| &*lane.track).collect();
        init::check(&tracks)?;
        let mut w = Boxes::with_capacity(64);
        w.boxed(b"ftyp", |w| w.bytes(b"isom\0\0\x02\0isomiso6mp41"));
        self.reserve_at = u64_of(w.out.len());
        let reserve = usize::try_from(self.options.reserve).unwrap_or(0);
        if reserve >= 8 {
            w.boxed(b"free", |w| w.zeros(reserve.saturating_sub(8)));
        }
        self.mdat_at = u64_of(w.out.len());
        w.u32(1);
        w.bytes(b"mdat");
        w.u64(16);
        self.append(vec![w.out.freeze()]);
        Ok(())
    }

    fn packet(&mut self, packet: Packet) -> Result<()> {
        self.begin()?;
        let TrackId(track) = packet.track;
        let Some(index) = self.lanes.iter().position(|lane| lane.track.id == packet.track) else {
            return Err(Error::NoTrack { track });
        };
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        if lane.track.codec == Codec::WebVtt {
            lane.cues.push(packet);
            return Ok(());
        }
        lane.sample(packet)?;
        let second = u64::from(lane.track.time_base.den());
        if lane.pending_bytes >= CHUNK_BYTES || lane.pending_ticks >= second {
            self.flush(index);
        }
        Ok(())
    }

    /// Writes what a track has collected as a chunk.
    fn flush(&mut self, index: usize) {
        let at = self.position;
        let Some(lane) = self.lanes.get_mut(index).filter(|lane| !lane.pending.is_empty()) else {
            return;
        };
        let data = std::mem::take(&mut lane.pending);
        lane.chunks.push((at, u32_of(data.len())));
        (lane.pending_bytes, lane.pending_ticks) = (0, 0);
        self.append(data);
    }

    fn index(&self) -> Result<Bytes> {
        let tracks: Vec<&Track> = self.lanes.iter().map(|lane| &*lane.track).collect();
        let samples = self.lanes.iter().fold(0usize, |n, lane| n.saturating_add(lane.sizes.len()));
        let mut w = Boxes::with_capacity(samples.saturating_mul(12).saturating_add(4096));
        let mut result = Ok(());
        w.boxed(b"moov", |w| {
            let longest =
                self.lanes.iter().map(|lane| init::movie_ticks(&lane.track, lane.shown(self.shown))).max();
            init::movie_header(w, longest.unwrap_or(0), &tracks);
            for lane in &self.lanes {
                let mut tables = |w: &mut Boxes| lane.tables(w);
                let written =
                    init::track_box(w, &tracks, &lane.track, lane.ticks, lane.edit(self.shown), &mut tables);
                if written.is_err() {
                    result = written;
                }
            }
        });
        result.map(|()| w.out.freeze())
    }
}

impl Lane {
    fn invalid(&self, problem: &'static str) -> Error {
        Error::InvalidInput { track: self.track.id.0, problem }
    }

    /// Takes a packet in, whose duration is known only when the next one comes.
    fn sample(&mut self, packet: Packet) -> Result<()> {
        let last = self.last.replace(packet.clone());
        if let Some(last) = last {
            let length = packet.dts.since(last.dts).ok_or_else(|| self.invalid("decoding times fall"))?;
            let ticks = timescale_length(&self.track, length);
            self.end_sample(ticks)?;
        } else {
            self.first = timescale_ticks(&self.track, packet.dts.ticks());
        }
        let offset = packet.pts.ticks().checked_sub(packet.dts.ticks());
        let offset = offset
            .and_then(|ticks| timescale_ticks(&self.track, ticks))
            .and_then(|ticks| i32::try_from(ticks).ok())
            .ok_or_else(|| self.invalid("presentation and decoding time are too far apart"))?;
        self.offsets.push(offset.cast_unsigned());
        self.data(packet.data, packet.key)
    }

    fn data(&mut self, data: Bytes, key: bool) -> Result<()> {
        let size = u32::try_from(data.len()).map_err(|_| self.invalid("a packet has 4 GiB or more"))?;
        self.sizes.push(size);
        if key {
            self.sync.push(u32_of(self.sizes.len()));
        }
        self.pending_bytes = self.pending_bytes.saturating_add(data.len());
        self.pending.push(data);
        Ok(())
    }

    fn end_sample(&mut self, ticks: u64) -> Result<()> {
        let length =
            u32::try_from(ticks).map_err(|_| self.invalid("a packet lasts longer than 2^32 ticks"))?;
        self.durations.push(length);
        self.ticks = self.ticks.saturating_add(ticks);
        self.pending_ticks = self.pending_ticks.saturating_add(ticks);
        Ok(())
    }

    /// The last packet lasts as long as it says; text becomes samples.
    fn finish(&mut self) -> Result<()> {
        if let Some(last) = self.last.take() {
            let ticks = timescale_length(&self.track, last.duration);
            self.end_sample(ticks)?;
        }
        let cues = std::mem::take(&mut self.cues);
        if !cues.is_empty() {
            self.first = Some(0);
        }
        for sample in text::samples(Timestamp::ZERO, &cues) {
            let length = sample.end.since(sample.start).unwrap_or_default();
            let ticks = timescale_length(&self.track, length);
            self.offsets.push(0);
            self.data(sample.data, true)?;
            self.end_sample(ticks)?;
        }
        Ok(())
    }

    /// Media time begins with the first packet; the presentation at zero.
    fn edit(&self, most: Option<std::time::Duration>) -> Edit {
        let first = self.first.unwrap_or(0);
        let (empty, start) = (first.max(0).unsigned_abs(), first.min(0).saturating_neg());
        let most = most.map(|most| {
            let ticks =
                timescale_length(&self.track, sv_core::Duration::from_std(most, self.track.time_base));
            ticks.saturating_sub(empty)
        });
        let all = i64_of(self.ticks).saturating_sub(start).max(0).unsigned_abs();
        // The last pictures are shown later than they are decoded.
        let pictures = self.track.video().is_some();
        Edit { empty, start, shown: most.filter(|most| pictures || *most < all) }
    }

    /// How long the presentation of this track is.
    fn shown(&self, most: Option<std::time::Duration>) -> u64 {
        let edit = self.edit(most);
        let all = i64_of(self.ticks).saturating_sub(edit.start).max(0).unsigned_abs();
        edit.shown.unwrap_or(all).saturating_add(edit.empty)
    }

    fn tables(&self, w: &mut Boxes) {
        self.durations.write(w, b"stts", 0);
        if self.offsets.0.iter().any(|(_, offset)| *offset != 0) {
            let signed = self.offsets.0.iter().any(|(_, offset)| offset.cast_signed() < 0);
            self.offsets.write(w, b"ctts", u8::from(signed));
        }
        if self.sync.len() < self.sizes.len() {
            w.full(b"stss", 0, 0, |w| {
                w.u32(u32_of(self.sync.len()));
                self.sync.iter().for_each(|number| w.u32(*number));
            });
        }
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for (index, (_, count)) in self.chunks.iter().enumerate() {
            if runs.last().is_none_or(|(_, last)| last != count) {
                runs.push((u32_of(index).saturating_add(1), *count));
            }
        }
        w.full(b"stsc", 0, 0, |w| {
            w.u32(u32_of(runs.len()));
            for (first, count) in runs {
                w.u32(first);
                w.u32(count);
                w.u32(1);
            }
        });
        w.full(b"stsz", 0, 0, |w| {
            w.u32(0);
            w.u32(u32_of(self.sizes.len()));
            self.sizes.iter().for_each(|size| w.u32(*size));
        });
        let long = self.chunks.last().is_some_and(|(at, _)| u32::try_from(*at).is_err());
        w.full(if long { b"co64" } else { b"stco" }, 0, 0, |w| {
            w.u32(u32_of(self.chunks.len()));
            for (at, _) in &self.chunks {
                if long { w.u64(*at) } else { w.u32(u32_of(*at)) }
            }
        });
    }
}
