//! `moof` (ISO/IEC 14496-12, 8.8): the samples of one fragment, read from its bytes as they are
//! asked for.

use std::collections::BTreeMap;

use bytes::Bytes;
use sv_codec::Reader;

use super::atom::Atom;
use super::crypt::Auxiliary;
use super::layout::whole_box;
use super::tables::Sample;
use super::trak::Trak;
use crate::num::{i64_of, u64_of, usize_of};
use crate::{Error, Result};

/// What samples are like unless a fragment says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) description: u32,
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

/// `trex` of each track (8.8.3).
pub(super) fn track_defaults(mvex: &Atom) -> Result<BTreeMap<u32, Defaults>> {
    let mut out = BTreeMap::new();
    for atom in mvex.children(0) {
        let atom = atom?;
        if &atom.kind == b"trex" {
            let mut r = atom.reader("trex");
            let mut parse = || -> sv_codec::Result<(u32, Defaults)> {
                r.skip(4)?;
                let id = r.u32()?;
                Ok((
                    id,
                    Defaults { description: r.u32()?, duration: r.u32()?, size: r.u32()?, flags: r.u32()? },
                ))
            };
            let (id, defaults) = parse().map_err(atom.error())?;
            out.insert(id, defaults);
        }
    }
    Ok(out)
}

/// The samples of one `traf`.
pub(super) struct Fragment {
    pub(super) track: u32,
    pub(super) auxiliary: Option<Auxiliary>,
    runs: Vec<Run>,
    run: usize,
    defaults: Defaults,
    dts: i64,
    number: usize,
}

impl Fragment {
    /// When the next sample is decoded.
    pub(super) const fn dts(&self) -> i64 {
        self.dts
    }
}

/// One `trun` (8.8.8).
struct Run {
    flags: u32,
    first_flags: Option<u32>,
    left: u32,
    entries: Bytes,
    pos: usize,
    offset: u64,
    begun: bool,
}

impl Run {
    /// Bytes of one entry.
    const fn width(flags: u32) -> usize {
        let columns = (flags & 0xF00).count_ones();
        match columns {
            0 => 0,
            1 => 4,
            2 => 8,
            3 => 12,
            _ => 16,
        }
    }
}

/// Reads a `moof` that begins at `start`. `next_dts` is where each track goes on when its `traf`
/// does not say; at most `limit` samples are allowed.
pub(super) fn parse(
    moof: &Atom,
    start: u64,
    defaults: &BTreeMap<u32, Defaults>,
    tracks: &BTreeMap<u32, Trak>,
    next_dts: &BTreeMap<u32, i64>,
    limit: usize,
) -> Result<Vec<Fragment>> {
    let mut out = Vec::new();
    let mut samples = 0usize;
    // Where data goes on when a traf names no base: at first the moof itself.
    let mut implicit = start;
    // Keys that come with the samples they are for.
    let systems = moof.children(0).map_while(Result::ok).filter(|atom| &atom.kind == b"pssh");
    let pssh: Vec<Bytes> = systems.map(|atom| whole_box(&atom)).collect();
    for traf in moof.children(0) {
        let traf = traf?;
        if &traf.kind != b"traf" {
            continue;
        }
        let Some(tfhd) = traf.child(b"tfhd") else {
            return Err(traf.malformed("moof/traf", "it has no tfhd"));
        };
        let header = TrackFragment::parse(&tfhd, start, implicit, defaults)?;
        let known = tracks.get(&header.track);
        let mut fragment = Fragment {
            track: header.track,
            auxiliary: None,
            runs: Vec::new(),
            run: 0,
            defaults: header.defaults,
            dts: next_dts.get(&header.track).copied().unwrap_or(0),
            number: 0,
        };
        let mut offset = header.implicit.unwrap_or(header.base);
        let size = u64_of(moof.body.len());
        for atom in traf.children(0) {
            let atom = atom?;
            match &atom.kind {
                b"tfdt" => {
                    let mut r = atom.reader("tfdt");
                    let (version, _) = Atom::version_flags(&mut r).map_err(atom.error())?;
                    let time = if version == 1 { r.u64() } else { r.u32().map(u64::from) };
                    fragment.dts = i64_of(time.map_err(atom.error())?);
                }
                b"trun" => {
                    let run = fragment.read_run(&atom, &header, size, &mut offset)?;
                    samples = samples.saturating_add(usize_of(run.left));
                    if samples > limit {
                        let limit = u64_of(limit);
                        let what = "the number of samples in a fragment";
                        return Err(Error::LimitExceeded { what, offset: atom.offset, limit });
                    }
                    fragment.runs.push(run);
                }
                _ => {}
            }
        }
        implicit = offset;
        if let Some(track) = known {
            if let Some(protection) = track.descriptions.iter().find_map(|d| d.protection.as_ref()) {
                let base = header.base;
                let auxiliary = Auxiliary::parse(&traf, base, protection, Some(&track.stbl), &pssh)?;
                fragment.auxiliary = Some(auxiliary);
            }
            out.push(fragment);
        }
    }
    Ok(out)
}

/// `tfhd` (8.8.7).
struct TrackFragment {
    track: u32,
    /// Where offsets count from: a place that is named, or the `moof`.
    base: u64,
    /// Where data goes on from the `traf` before, when no base is named.
    implicit: Option<u64>,
    defaults: Defaults,
}

impl TrackFragment {
    fn parse(atom: &Atom, moof: u64, implicit: u64, defaults: &BTreeMap<u32, Defaults>) -> Result<Self> {
        let mut r = atom.reader("tfhd");
        let mut parse = || -> sv_codec::Result<Self> {
            let (_, flags) = Atom::version_flags(&mut r)?;
            let track = r.u32()?;
            let mut values = defaults.get(&track).copied().unwrap_or_default();
            let (base, implicit) = match flags {
                f if f & 1 != 0 => (r.u64()?, None),
                f if f & 0x2_0000 != 0 => (moof, None),
                _ => (moof, Some(implicit)),
            };
            for (flag, value) in [
                (0x2, &mut values.description),
                (0x8, &mut values.duration),
                (0x10, &mut values.size),
                (0x20, &mut values.flags),
            ] {
                if flags & flag != 0 {
                    *value = r.u32()?;
                }
            }
            Ok(Self { track, base, implicit, defaults: values })
        };
        parse().map_err(atom.error())
    }
}

impl Fragment {
    /// Reads a `trun` and moves `offset` behind its data.
    fn read_run(&self, atom: &Atom, header: &TrackFragment, moof_size: u64, offset: &mut u64) -> Result<Run> {
        let mut r = atom.reader("trun");
        let mut parse = || -> sv_codec::Result<Run> {
            let (_, flags) = Atom::version_flags(&mut r)?;
            let left = r.u32()?;
            if flags & 1 != 0 {
                let delta = i64::from(r.i32()?);
                // Without a named base, the offset counts from the data before; but writers exist
                // that count from the moof. A small number can only be the former.
                let base = match header.implicit {
                    Some(implicit) if delta.unsigned_abs() < moof_size => implicit,
                    _ => header.base,
                };
                *offset = base.saturating_add_signed(delta);
            }
            let first_flags = if flags & 4 != 0 { Some(r.u32()?) } else { None };
            let width = Run::width(flags);
            let bytes = usize_of(left).checked_mul(width).filter(|bytes| *bytes <= r.remaining());
            let bytes = bytes.ok_or_else(|| r.invalid("it counts more samples than it holds"))?;
            if flags & 0x200 == 0 && self.defaults.size == 0 && left > 1 {
                return Err(r.invalid("its samples have no size"));
            }
            let entries = atom.slice(r.pos(), bytes);
            Ok(Run { flags, first_flags, left, entries, pos: 0, offset: *offset, begun: false })
        };
        let run = parse().map_err(atom.error())?;
        *offset = offset.saturating_add(self.run_bytes(&run));
        Ok(run)
    }

    fn run_bytes(&self, run: &Run) -> u64 {
        if run.flags & 0x200 == 0 {
            return u64::from(run.left).saturating_mul(u64::from(self.defaults.size));
        }
        let column = if run.flags & 0x100 == 0 { 0 } else { 4 };
        let sizes = run.entries.chunks_exact(Run::width(run.flags).max(4)).filter_map(|entry| {
            let bytes = entry.get(column..)?.first_chunk()?;
            Some(u64::from(u32::from_be_bytes(*bytes)))
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// The decoding time of the next sample, if there is one.
    pub(super) fn peek_dts(&self) -> Option<i64> {
        self.runs.iter().skip(self.run).any(|run| run.left > 0).then_some(self.dts)
    }

    /// The decoding time behind the last sample given so far.
    pub(super) const fn end_dts(&self) -> i64 {
        self.dts
    }

    /// The next sample; `None` behind the last.
    pub(super) fn next(&mut self) -> Option<Sample> {
        let run = loop {
            let run = self.runs.get_mut(self.run)?;
            if run.left > 0 {
                break run;
            }
            self.run = self.run.saturating_add(1);
        };
        let first = !std::mem::replace(&mut run.begun, true);
        let mut r = Reader::new("trun", run.entries.get(run.pos..).unwrap_or_default());
        let mut column = |flag: u32, default: u32| {
            if run.flags & flag == 0 { default } else { r.u32().unwrap_or(default) }
        };
        let duration = column(0x100, self.defaults.duration);
        let size = column(0x200, self.defaults.size);
        let flags = column(0x400, self.defaults.flags);
        // Signed whatever the version says, since writers mix that up.
        let shift = column(0x800, 0).cast_signed();
        run.pos = run.pos.saturating_add(r.pos());
        let flags = run.first_flags.filter(|_| first).unwrap_or(flags);
        let sample = Sample {
            number: self.number,
            offset: run.offset,
            size,
            dts: self.dts,
            shift,
            duration,
            // sample_is_non_sync_sample
            key: flags & 0x1_0000 == 0,
            description: self.defaults.description.max(1),
            chunk: self.run,
            first_in_chunk: first,
        };
        run.left = run.left.saturating_sub(1);
        run.offset = run.offset.saturating_add(u64::from(size));
        self.dts = self.dts.saturating_add(i64::from(duration));
        self.number = self.number.saturating_add(1);
        Some(sample)
    }
}
