//! What Common Encryption leaves in boxes (ISO/IEC 23001-7, 7 and 8): `tenc`, `senc`, `saiz`,
//! `saio` and the `seig` sample groups.

use std::sync::Arc;

use bytes::Bytes;
use sv_codec::Reader;
use sv_core::{KeyId, Protection, SampleKey, SampleProtection, Scheme, Subsample};

use super::atom::Atom;
use super::window::Windows;
use crate::num::{u64_of, usize_of};
use crate::{Error, Result};

/// The protection that `sinf` describes, without key systems; `None` where it is of a scheme that
/// nobody here knows.
pub(super) fn sinf(sinf: &Atom) -> Result<Option<Protection>> {
    let Some(schm) = sinf.child(b"schm") else {
        return Ok(None);
    };
    let mut r = schm.reader("schm");
    r.skip(4).map_err(schm.error())?;
    let scheme = match &r.array().map_err(schm.error())? {
        b"cenc" => Scheme::Cenc,
        b"cens" => Scheme::Cens,
        b"cbc1" => Scheme::Cbc1,
        b"cbcs" => Scheme::Cbcs,
        _ => return Ok(None),
    };
    let Some(tenc) = sinf.child(b"schi").and_then(|schi| schi.child(b"tenc")) else {
        return Ok(None);
    };
    let mut r = tenc.reader("tenc");
    let (version, _) = Atom::version_flags(&mut r).map_err(tenc.error())?;
    let group = encryption_group(&mut r, version > 0).map_err(tenc.error())?;
    Ok(Some(Protection {
        scheme,
        default_kid: group.kid,
        pattern: group.pattern,
        iv_size: group.iv_size,
        constant_iv: group.constant_iv,
        pssh: Vec::new(),
        clear_lead: false,
    }))
}

/// The part that `tenc` and a `seig` entry have in common.
#[derive(Clone, Debug)]
struct Group {
    protected: bool,
    pattern: (u8, u8),
    iv_size: u8,
    kid: KeyId,
    constant_iv: Option<Bytes>,
    /// The key, if it isn't the track's.
    key: Option<Arc<SampleKey>>,
}

impl Group {
    /// Its vector for samples that come without one, left-aligned.
    fn constant(&self) -> [u8; 16] {
        let mut iv = [0; 16];
        for (to, from) in iv.iter_mut().zip(self.constant_iv.iter().flatten()) {
            *to = *from;
        }
        iv
    }
}

fn encryption_group(r: &mut Reader<'_>, pattern: bool) -> sv_codec::Result<Group> {
    r.skip(1)?;
    let blocks = r.u8()?;
    let protected = r.u8()? != 0;
    let iv_size = r.u8()?;
    let kid = KeyId(r.array()?);
    if !matches!(iv_size, 0 | 8 | 16) {
        return Err(r.invalid("initialisation vectors have neither 8 nor 16 bytes"));
    }
    let mut constant_iv = None;
    if protected && iv_size == 0 {
        let size = r.u8()?;
        if !matches!(size, 8 | 16) {
            return Err(r.invalid("the constant initialisation vector has neither 8 nor 16 bytes"));
        }
        constant_iv = Some(Bytes::copy_from_slice(r.take(usize::from(size))?));
    }
    let pattern = if pattern { (blocks >> 4, blocks & 15) } else { (0, 0) };
    Ok(Group { protected, pattern, iv_size, kid, constant_iv, key: None })
}

/// The encryption data of a run of samples: of one `traf`, or of a whole progressive track.
#[derive(Clone, Debug, Default)]
pub(super) struct Auxiliary {
    iv_size: usize,
    source: Source,
    /// Samples seen so far, for `saiz`.
    sample: usize,
    groups: Groups,
}

#[derive(Clone, Debug, Default)]
enum Source {
    /// Nothing is said: whole samples under a constant vector.
    #[default]
    Constant,
    /// The entries of `senc`, and whether they have subsamples.
    Senc { entries: Bytes, pos: usize, subsamples: bool, left: usize },
    /// Sizes of `saiz`, offsets of `saio`, and where the next entry is.
    Elsewhere { default_size: u8, sizes: Bytes, count: usize, offsets: Vec<u64>, next: usize, pos: u64 },
}

/// Sample groups of type `seig`: which samples are clear, and which are under another key.
#[derive(Clone, Debug, Default)]
struct Groups {
    /// Entries of the `sgpd` at hand, and of the track's own for numbers below 65536.
    local: Vec<Group>,
    global: Vec<Group>,
    /// Runs of `sbgp`: count, index.
    runs: Vec<(u32, u32)>,
    next: usize,
    left: u32,
    index: u32,
}

impl Auxiliary {
    /// From the boxes in `parent`, which is a `traf` or `stbl`; `base` is where the offsets of
    /// `saio` count from. The groups of the track are in its `stbl`; `pssh` announces keys of this fragment.
    pub(super) fn parse(
        parent: &Atom,
        base: u64,
        protection: &Protection,
        stbl: Option<&Atom>,
        pssh: &[Bytes],
    ) -> Result<Self> {
        let mut out = Self { iv_size: usize::from(protection.iv_size), ..Self::default() };
        let (mut saiz, mut saio, mut senc) = (None, None, None);
        for atom in parent.children(0) {
            let atom = atom?;
            match &atom.kind {
                b"saiz" if ours(&atom, protection) => saiz = Some(atom),
                b"saio" if ours(&atom, protection) => saio = Some(atom),
                b"senc" => senc = Some(atom),
                b"sbgp" => out.groups.assign(&atom)?,
                b"sgpd" => out.groups.local = descriptions(&atom, protection)?,
                _ => {}
            }
        }
        if let Some(sgpd) = stbl.and_then(|stbl| stbl.child(b"sgpd")) {
            out.groups.global = descriptions(&sgpd, protection)?;
        }
        for group in out.groups.local.iter_mut().chain(&mut out.groups.global) {
            if group.protected
                && (group.kid != protection.default_kid || group.constant_iv != protection.constant_iv)
            {
                group.key = Some(Arc::new(SampleKey { kid: group.kid, pssh: pssh.to_vec() }));
            }
        }
        out.source = match (senc, saiz, saio) {
            (Some(senc), ..) => from_senc(&senc)?,
            (None, Some(saiz), Some(saio)) => from_saiz(&saiz, &saio, base)?,
            _ => Source::Constant,
        };
        Ok(out)
    }

    /// Where entries are given per chunk or run, goes to those of the one that begins.
    pub(super) fn enter_chunk(&mut self) {
        if let Source::Elsewhere { offsets, next, pos, .. } = &mut self.source
            && let Some(offset) = offsets.get(*next)
        {
            *pos = *offset;
            *next = next.saturating_add(1);
        }
    }

    /// The protection of the next sample, `size` bytes long; `None` when it is clear.
    pub(super) fn next(
        &mut self,
        size: u32,
        protection: &Protection,
        windows: &mut Windows,
    ) -> Result<Option<SampleProtection>> {
        let group = self.groups.step();
        let mut iv_size = self.iv_size;
        let mut protected = true;
        if let Some(group) = &group {
            protected = group.protected;
            if protected && group.pattern != protection.pattern {
                return Err(Error::Unsupported {
                    what: "a track that changes its pattern of encrypted blocks".into(),
                    hint: "package it again with one pattern for each track",
                });
            }
            iv_size = usize::from(group.iv_size);
        }
        let number = self.sample;
        self.sample = number.saturating_add(1);
        let mut sample = match &mut self.source {
            Source::Constant => {
                if protected && iv_size > 0 {
                    return Err(Error::Malformed {
                        path: "traf",
                        offset: 0,
                        problem: "protected samples come without senc or saiz",
                    });
                }
                SampleProtection::default()
            }
            Source::Senc { entries, pos, subsamples, left } => {
                let mut r = Reader::new("senc", entries.get(*pos..).unwrap_or_default());
                *left = left
                    .checked_sub(1)
                    .ok_or_else(|| Error::syntax(0)(r.invalid("it has too few entries")))?;
                let sample = entry(&mut r, iv_size, *subsamples, size).map_err(Error::syntax(0))?;
                *pos = pos.saturating_add(r.pos());
                sample
            }
            Source::Elsewhere { default_size, sizes, count, pos, .. } => {
                let len = if *default_size > 0 { Some(*default_size) } else { sizes.get(number).copied() };
                let len = usize::from(len.filter(|_| number < *count).unwrap_or(0));
                if len == 0 {
                    SampleProtection::default()
                } else {
                    let bytes = windows.get(*pos, len, || "the sample auxiliary information".into())?;
                    let at = *pos;
                    *pos = pos.saturating_add(u64_of(len));
                    let mut r = Reader::new("the sample auxiliary information", &bytes);
                    entry(&mut r, iv_size, len > iv_size, size).map_err(Error::syntax(at))?
                }
            }
        };
        if let Some(group) = group.filter(|group| group.key.is_some()) {
            if iv_size == 0 {
                sample.iv = group.constant();
            }
            sample.key = group.key;
        }
        Ok(protected.then_some(sample))
    }
}

/// One entry: a vector, then subsamples that must cover the sample exactly.
fn entry(
    r: &mut Reader<'_>,
    iv_size: usize,
    subsamples: bool,
    size: u32,
) -> sv_codec::Result<SampleProtection> {
    let mut sample = SampleProtection::default();
    let iv = r.take(iv_size)?;
    if let Some(place) = sample.iv.get_mut(..iv_size) {
        place.copy_from_slice(iv);
    }
    if subsamples {
        let count = r.u16()?;
        let runs = r.take(usize::from(count).saturating_mul(6))?;
        let mut covered = 0u64;
        sample.subsamples = runs
            .as_chunks::<6>()
            .0
            .iter()
            .map(|[a, b, c, d, e, f]| {
                let run = Subsample {
                    clear: u16::from_be_bytes([*a, *b]),
                    protected: u32::from_be_bytes([*c, *d, *e, *f]),
                };
                covered =
                    covered.saturating_add(u64::from(run.clear)).saturating_add(u64::from(run.protected));
                run
            })
            .collect::<Arc<[_]>>();
        if count > 0 && covered != u64::from(size) {
            return Err(r.invalid("the subsamples don't add up to the size of their sample"));
        }
    }
    Ok(sample)
}

/// Whether a `saiz` or `saio` is about encryption: it is when it does not say otherwise.
fn ours(atom: &Atom, protection: &Protection) -> bool {
    let mut r = atom.reader("saiz");
    match Atom::version_flags(&mut r) {
        Ok((_, flags)) if flags & 1 != 0 => {
            r.array().is_ok_and(|kind: [u8; 4]| Some(kind) == protection.scheme.fourcc())
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

fn from_senc(senc: &Atom) -> Result<Source> {
    let mut r = senc.reader("senc");
    let (_, flags) = Atom::version_flags(&mut r).map_err(senc.error())?;
    let left = usize_of(r.u32().map_err(senc.error())?);
    Ok(Source::Senc { entries: senc.slice(r.pos(), r.remaining()), pos: 0, subsamples: flags & 2 != 0, left })
}

fn from_saiz(saiz: &Atom, saio: &Atom, base: u64) -> Result<Source> {
    let mut r = saiz.reader("saiz");
    let (_, flags) = Atom::version_flags(&mut r).map_err(saiz.error())?;
    if flags & 1 != 0 {
        r.skip(8).map_err(saiz.error())?;
    }
    let default_size = r.u8().map_err(saiz.error())?;
    let count = usize_of(r.u32().map_err(saiz.error())?);
    let sizes = if default_size == 0 { r.take(count).map_err(saiz.error())? } else { &[] };
    let sizes = saiz.slice(r.pos().saturating_sub(sizes.len()), sizes.len());
    let mut r = saio.reader("saio");
    let (version, flags) = Atom::version_flags(&mut r).map_err(saio.error())?;
    if flags & 1 != 0 {
        r.skip(8).map_err(saio.error())?;
    }
    let entries = usize_of(r.u32().map_err(saio.error())?);
    let width = if version == 0 { 4 } else { 8 };
    if entries.checked_mul(width).is_none_or(|bytes| bytes > r.remaining()) {
        return Err(saio.malformed("saio", "it counts more entries than it holds"));
    }
    let mut offsets = Vec::with_capacity(entries);
    for _ in 0..entries {
        let offset = if version == 0 { r.u32().map(u64::from) } else { r.u64() };
        offsets.push(base.saturating_add(offset.map_err(saio.error())?));
    }
    Ok(Source::Elsewhere { default_size, sizes, count, offsets, next: 0, pos: 0 })
}

impl Groups {
    /// Takes in an `sbgp` of type `seig` (ISO/IEC 14496-12, 8.9.2).
    fn assign(&mut self, atom: &Atom) -> Result<()> {
        let mut r = atom.reader("sbgp");
        let (version, _) = Atom::version_flags(&mut r).map_err(atom.error())?;
        if &r.array().map_err(atom.error())? != b"seig" {
            return Ok(());
        }
        if version == 1 {
            r.skip(4).map_err(atom.error())?;
        }
        let count = usize_of(r.u32().map_err(atom.error())?);
        if count.checked_mul(8).is_none_or(|bytes| bytes > r.remaining()) {
            return Err(atom.malformed("sbgp", "it counts more entries than it holds"));
        }
        self.runs = (0..count).map_while(|_| Some((r.u32().ok()?, r.u32().ok()?))).collect();
        Ok(())
    }

    /// The group of the next sample, if it is in one.
    fn step(&mut self) -> Option<Group> {
        while self.left == 0 {
            let (count, index) = *self.runs.get(self.next)?;
            self.next = self.next.saturating_add(1);
            (self.left, self.index) = (count, index);
        }
        self.left = self.left.saturating_sub(1);
        let (list, index) = match self.index {
            0 => return None,
            // Numbers from 65537 mean the groups of the same fragment (8.9.4).
            n if n > 0x1_0000 => (&self.local, usize_of(n & 0xFFFF)),
            n if !self.global.is_empty() => (&self.global, usize_of(n)),
            n => (&self.local, usize_of(n)),
        };
        list.get(index.saturating_sub(1)).cloned()
    }
}

/// Entries of an `sgpd` of type `seig` (ISO/IEC 14496-12, 8.9.3).
fn descriptions(atom: &Atom, protection: &Protection) -> Result<Vec<Group>> {
    let mut r = atom.reader("sgpd");
    let mut parse = || -> sv_codec::Result<Vec<Group>> {
        let (version, _) = Atom::version_flags(&mut r)?;
        if &r.array()? != b"seig" {
            return Ok(Vec::new());
        }
        let default_length = if version == 1 { r.u32()? } else { 0 };
        if version >= 2 {
            r.skip(4)?;
        }
        let count = r.u32()?;
        let mut groups = Vec::new();
        for _ in 0..count {
            let length = if version == 1 && default_length == 0 { r.u32()? } else { default_length };
            let pattern = matches!(protection.scheme, Scheme::Cens | Scheme::Cbcs);
            if length == 0 {
                groups.push(encryption_group(&mut r, pattern)?);
            } else {
                let mut entry = Reader::new("seig", r.take(usize_of(length))?);
                groups.push(encryption_group(&mut entry, pattern)?);
            }
        }
        Ok(groups)
    };
    parse().map_err(atom.error())
}
