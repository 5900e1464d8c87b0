//! Where the parts of a file are.

use bytes::Bytes;
use sv_core::{Limits, ReadAt};

use super::atom::{Atom, Header, name};
use crate::num::usize_of;
use crate::{Error, Kind, Result, detect};

/// Boxes in a row that hold nothing for us: a file of more is an attack, not a film.
pub(super) const MAX_IDLE_BOXES: usize = 1 << 16;

/// A `pssh` box with its header again: that is how key systems are handed on.
pub(super) fn whole_box(atom: &Atom) -> Bytes {
    let size = u32::try_from(atom.body.len().saturating_add(8)).unwrap_or(0);
    let mut out = Vec::with_capacity(usize_of(size));
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&atom.kind);
    out.extend_from_slice(&atom.body);
    Bytes::from(out)
}

/// Where the parts of the file are.
pub(super) struct Layout {
    pub(super) brand: Option<[u8; 4]>,
    pub(super) moov: Atom,
    /// Where fragments begin: the first one, or an event in front of it.
    pub(super) first_moof: Option<u64>,
}

impl Layout {
    pub(super) fn scan(source: &dyn ReadAt, limits: &Limits) -> Result<Self> {
        check_kind(source)?;
        let (mut brand, mut moov) = (None, None);
        let (mut pos, mut event) = (0, None);
        for _ in 0..MAX_IDLE_BOXES {
            let Some(header) = Header::read(source, pos)? else { break };
            match &header.kind {
                b"ftyp" => brand = header.load(source, 4096).ok().and_then(|a| a.body.first_chunk().copied()),
                b"moov" if moov.is_none() => {
                    let atom = header.load(source, limits.structure_bytes)?;
                    if atom.child(b"mvex").is_none() {
                        return Ok(Self { brand, moov: atom, first_moof: None });
                    }
                    moov = Some(atom);
                }
                b"emsg" if moov.is_some() && event.is_none() => event = Some(pos),
                b"moof" => {
                    if let Some(moov) = moov {
                        return Ok(Self { brand, moov, first_moof: event.or(Some(pos)) });
                    }
                    return Err(Error::Unsupported {
                        what: "a media segment without its initialisation segment".into(),
                        hint: "put the initialisation segment in front of it",
                    });
                }
                _ => {}
            }
            if header.end > source.size() && moov.is_none() {
                let what = format!("{} in front of the moov box", name(header.kind));
                return Err(Error::Truncated { what, needed: header.end, size: source.size() });
            }
            pos = header.end;
        }
        match moov {
            Some(moov) => Ok(Self { brand, moov, first_moof: None }),
            None => Err(Error::Malformed { path: "the file", offset: 0, problem: "it has no moov box" }),
        }
    }
}

/// Refuses early, and by name, what is no MP4 file at all.
fn check_kind(source: &dyn ReadAt) -> Result<()> {
    let mut head = vec![0; usize_of(source.size().min(4096))];
    source.read_exact_at(0, &mut head).map_err(|e| Error::io(0, e))?;
    match detect(&head) {
        Some(Kind::Mp4) => Ok(()),
        Some(other) => Err(Error::WrongKind { expected: "an MP4 file", found: other.name() }),
        None if head.is_empty() => Err(Error::WrongKind { expected: "an MP4 file", found: "an empty file" }),
        None => Err(Error::WrongKind { expected: "an MP4 file", found: "something unknown" }),
    }
}
