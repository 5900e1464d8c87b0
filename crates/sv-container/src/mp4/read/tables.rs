//! Sample tables of a progressive file (ISO/IEC 14496-12, 8.6 and 8.7), read where they lie: a
//! sample costs the bytes that the file spends on it and no more.

use bytes::Bytes;

use super::atom::Atom;
use crate::num::{u64_of, usize_of};
use crate::{Error, Result};

/// Fixed-size entries of a table, big-endian, still in the bytes of `moov`.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Bytes);

impl Entries {
    /// The entries behind a full box's header and count, of `width` bytes each.
    fn of(atom: &Atom, what: &'static str, width: usize) -> Result<Self> {
        let mut r = atom.reader(what);
        r.skip(4).map_err(atom.error())?;
        let count = usize_of(r.u32().map_err(atom.error())?);
        let bytes = count.checked_mul(width).filter(|bytes| *bytes <= r.remaining());
        let bytes = bytes.ok_or_else(|| atom.malformed(what, "it counts more entries than it holds"))?;
        Ok(Self(atom.slice(r.pos(), bytes)))
    }

    pub(super) fn u32(&self, index: usize) -> Option<u32> {
        let at = index.checked_mul(4)?;
        self.0.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn u64(&self, index: usize) -> Option<u64> {
        let at = index.checked_mul(8)?;
        self.0.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn pair(&self, index: usize) -> Option<(u32, u32)> {
        let at = index.checked_mul(2)?;
        Some((self.u32(at)?, self.u32(at.checked_add(1)?)?))
    }

    /// The largest negative second value of a pair, as a positive number.
    fn lead(&self) -> i32 {
        let offsets =
            (0..self.words() / 2).filter_map(|i| self.pair(i)).map(|(_, value)| value.cast_signed());
        offsets.min().unwrap_or(0).min(0).saturating_neg()
    }

    pub(super) fn words(&self) -> usize {
        self.0.len() / 4
    }
}

/// Sizes of all samples.
#[derive(Clone, Debug)]
enum Sizes {
    Constant(u32),
    Words(Entries),
    /// `stz2`: 4, 8 or 16 bits each.
    Compact(u8, Bytes),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Constant(0)
    }
}

impl Sizes {
    fn get(&self, index: usize) -> Option<u32> {
        match self {
            Self::Constant(size) => Some(*size),
            Self::Words(entries) => entries.u32(index),
            Self::Compact(4, bytes) => {
                let byte = bytes.get(index / 2)?;
                Some(u32::from(if index.is_multiple_of(2) { byte >> 4 } else { byte & 15 }))
            }
            Self::Compact(8, bytes) => bytes.get(index).map(|b| u32::from(*b)),
            Self::Compact(_, bytes) => {
                let pair = bytes.get(index.checked_mul(2)?..)?.first_chunk()?;
                Some(u32::from(u16::from_be_bytes(*pair)))
            }
        }
    }
}

/// All sample tables of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Samples in all.
    pub(super) count: usize,
    /// `stts`: count and duration.
    durations: Entries,
    /// `ctts`: count and offset; signed whatever the version says, since writers mix that up.
    offsets: Entries,
    /// `stsc`: first chunk, samples per chunk, sample description.
    chunk_runs: Entries,
    /// `stco` or `co64`.
    chunks: Entries,
    long_chunks: bool,
    sizes: Sizes,
    /// How far decoding times must be moved ahead so that none is behind its presentation time:
    /// the largest negative offset.
    lead: i32,
    /// `stss`: numbers of sync samples from 1; without it all are.
    sync: Option<Entries>,
}

impl Tables {
    /// Reads `stbl`, which may count at most `limit` samples.
    pub(super) fn parse(stbl: &Atom, limit: usize) -> Result<Self> {
        let mut tables = Self::default();
        for atom in stbl.children(0) {
            let atom = atom?;
            match &atom.kind {
                b"stts" => tables.durations = Entries::of(&atom, "stts", 8)?,
                b"ctts" => {
                    tables.offsets = Entries::of(&atom, "ctts", 8)?;
                    tables.lead = tables.offsets.lead();
                }
                b"stsc" => tables.chunk_runs = Entries::of(&atom, "stsc", 12)?,
                b"stco" => tables.chunks = Entries::of(&atom, "stco", 4)?,
                b"co64" => {
                    tables.chunks = Entries::of(&atom, "co64", 8)?;
                    tables.long_chunks = true;
                }
                b"stss" => tables.sync = Some(Entries::of(&atom, "stss", 4)?),
                b"stsz" => tables.sample_sizes(&atom)?,
                b"stz2" => tables.compact_sizes(&atom)?,
                _ => {}
            }
        }
        if tables.count > limit {
            let limit = u64_of(limit);
            return Err(Error::LimitExceeded { what: "the number of samples", offset: stbl.offset, limit });
        }
        Ok(tables)
    }

    fn sample_sizes(&mut self, atom: &Atom) -> Result<()> {
        let mut r = atom.reader("stsz");
        r.skip(4).map_err(atom.error())?;
        let constant = r.u32().map_err(atom.error())?;
        self.count = usize_of(r.u32().map_err(atom.error())?);
        if constant != 0 {
            self.sizes = Sizes::Constant(constant);
            return Ok(());
        }
        let bytes = self.count.checked_mul(4).filter(|bytes| *bytes <= r.remaining());
        let bytes = bytes.ok_or_else(|| atom.malformed("stsz", "it counts more entries than it holds"))?;
        self.sizes = Sizes::Words(Entries(atom.slice(r.pos(), bytes)));
        Ok(())
    }

    fn compact_sizes(&mut self, atom: &Atom) -> Result<()> {
        let mut r = atom.reader("stz2");
        r.skip(7).map_err(atom.error())?;
        let bits = r.u8().map_err(atom.error())?;
        self.count = usize_of(r.u32().map_err(atom.error())?);
        if !matches!(bits, 4 | 8 | 16) {
            return Err(atom.malformed("stz2", "its entries have neither 4, 8 nor 16 bits"));
        }
        let bytes = self.count.checked_mul(usize::from(bits)).map(|bits| bits.div_ceil(8));
        let bytes = bytes.filter(|bytes| *bytes <= r.remaining());
        let bytes = bytes.ok_or_else(|| atom.malformed("stz2", "it counts more entries than it holds"))?;
        self.sizes = Sizes::Compact(bits, atom.slice(r.pos(), bytes));
        Ok(())
    }

    /// The duration that all samples share, the last one aside: what makes a constant frame rate.
    pub(super) fn constant_duration(&self) -> Option<u32> {
        let (count, duration) = self.durations.pair(0)?;
        let rest = self.count.saturating_sub(usize_of(count));
        (duration > 0 && rest <= 1).then_some(duration)
    }

    /// The sum of all durations, as far as the table goes.
    pub(super) fn total_duration(&self) -> u64 {
        (0..self.durations.words() / 2)
            .filter_map(|i| self.durations.pair(i))
            .fold(0, |sum, (count, duration)| {
                sum.saturating_add(u64::from(count).saturating_mul(u64::from(duration)))
            })
    }

    fn chunk(&self, index: usize) -> Option<u64> {
        if self.long_chunks { self.chunks.u64(index) } else { self.chunks.u32(index).map(u64::from) }
    }

    fn is_sync(&self, number: u32, from: usize) -> (bool, usize) {
        let Some(sync) = &self.sync else {
            return (true, 0);
        };
        let mut index = from;
        while let Some(entry) = sync.u32(index) {
            if entry >= number {
                return (entry == number, index);
            }
            index = index.saturating_add(1);
        }
        (false, index)
    }
}

/// One sample, before any edit list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Its number in the track, from 0.
    pub(super) number: usize,
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) dts: i64,
    /// Presentation time less decoding time.
    pub(super) shift: i32,
    pub(super) duration: u32,
    pub(super) key: bool,
    /// Which entry of `stsd`, from 1.
    pub(super) description: u32,
    /// The chunk it lies in, and whether it is the first there: auxiliary data may be per chunk.
    pub(super) chunk: usize,
    pub(super) first_in_chunk: bool,
}

/// A run-length table's position.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    next: usize,
    left: u32,
    value: u32,
}

impl Run {
    /// The value of the next sample; the last one goes on when the table ends too early.
    fn step(&mut self, entries: &Entries) -> u32 {
        while self.left == 0 {
            let Some((count, value)) = entries.pair(self.next) else {
                return self.value;
            };
            (self.left, self.value) = (count, value);
            self.next = self.next.saturating_add(1);
        }
        self.left = self.left.saturating_sub(1);
        self.value
    }
}

/// Walks the tables, one sample at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    sample: usize,
    dts: i64,
    durations: Run,
    offsets: Run,
    sync: usize,
    /// The next run of `stsc`, and what the current one says.
    chunk_run: usize,
    per_chunk: u32,
    description: u32,
    /// The next chunk, and what is left of the current one.
    chunk: usize,
    left: u32,
    offset: u64,
}

impl Cursor {
    /// The next sample; `None` behind the last.
    pub(super) fn next(&mut self, tables: &Tables) -> Result<Option<Sample>> {
        if self.sample >= tables.count {
            return Ok(None);
        }
        let first_in_chunk = self.left == 0;
        while self.left == 0 {
            self.enter_chunk(tables)?;
        }
        let size = tables.sizes.get(self.sample).unwrap_or(0);
        let duration = self.durations.step(&tables.durations);
        let shift = self.offsets.step(&tables.offsets).cast_signed();
        let number = u32::try_from(self.sample.saturating_add(1)).unwrap_or(u32::MAX);
        let (key, sync) = tables.is_sync(number, self.sync);
        self.sync = sync;
        let sample = Sample {
            number: self.sample,
            offset: self.offset,
            size,
            dts: self.dts.saturating_sub(i64::from(tables.lead)),
            shift: shift.saturating_add(tables.lead),
            duration,
            key,
            description: self.description,
            chunk: self.chunk.saturating_sub(1),
            first_in_chunk,
        };
        self.sample = self.sample.saturating_add(1);
        self.dts = self.dts.saturating_add(i64::from(duration));
        self.offset = self.offset.saturating_add(u64::from(size));
        self.left = self.left.saturating_sub(1);
        Ok(Some(sample))
    }

    fn enter_chunk(&mut self, tables: &Tables) -> Result<()> {
        let broken = |problem| Error::Malformed { path: "moov/trak/mdia/minf/stbl", offset: 0, problem };
        let Some(offset) = tables.chunk(self.chunk) else {
            return Err(broken("its chunks hold fewer samples than it counts"));
        };
        let number = u32::try_from(self.chunk.saturating_add(1)).unwrap_or(u32::MAX);
        let run = |index: usize| {
            let at = index.checked_mul(3)?;
            let word = |n: usize| tables.chunk_runs.u32(at.checked_add(n)?);
            Some((word(0)?, word(1)?, word(2)?))
        };
        while let Some((_, per_chunk, description)) = run(self.chunk_run).filter(|run| run.0 <= number) {
            (self.per_chunk, self.description) = (per_chunk, description);
            self.chunk_run = self.chunk_run.saturating_add(1);
        }
        if self.chunk_run == 0 {
            return Err(broken("stsc does not say how many samples the first chunk holds"));
        }
        self.chunk = self.chunk.saturating_add(1);
        self.left = self.per_chunk;
        self.offset = offset;
        Ok(())
    }
}
