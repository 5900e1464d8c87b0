//! Boxes out of bytes: each with its place in the file, each within its parent.

use bytes::Bytes;
use sv_codec::Reader;
use sv_core::ReadAt;

use crate::num::{u64_of, usize_of};
use crate::{Error, Result};

/// A box's type.
pub(super) type Kind = [u8; 4];

/// The header of a box in the file (ISO/IEC 14496-12, 4.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Where the box begins.
    pub(super) start: u64,
    /// Where its body begins.
    pub(super) body: u64,
    /// Where it ends, as it says: possibly behind the end of the file.
    pub(super) end: u64,
}

impl Header {
    /// Reads the header at `start`; `None` where fewer than 8 bytes are left, which can't be a box.
    pub(super) fn read(source: &dyn ReadAt, start: u64) -> Result<Option<Self>> {
        let mut bytes = [0; 16];
        let available = usize_of(source.size().saturating_sub(start).min(16));
        if available < 8 {
            return Ok(None);
        }
        let buffer = bytes.get_mut(..available).unwrap_or_default();
        source.read_exact_at(start, buffer).map_err(|e| Error::io(start, e))?;
        Self::parse(buffer, start, source.size()).map(Some)
    }

    /// From the first bytes of a box; `outer_end` is where the surrounding box or file ends.
    fn parse(bytes: &[u8], start: u64, outer_end: u64) -> Result<Self> {
        let mut r = Reader::new("the box header", bytes);
        let size = r.u32().map_err(Error::syntax(start))?;
        let kind = r.array().map_err(Error::syntax(start))?;
        let (header, size) = match size {
            0 => (8, outer_end.saturating_sub(start)),
            1 => (16, r.u64().map_err(Error::syntax(start))?),
            size => (8, u64::from(size)),
        };
        if size < header {
            return Err(Error::Malformed {
                path: "a box",
                offset: start,
                problem: "it is smaller than its header",
            });
        }
        let end = start.checked_add(size).ok_or(Error::Malformed {
            path: "a box",
            offset: start,
            problem: "its size is beyond any file",
        })?;
        Ok(Self { kind, start, body: start.saturating_add(header), end })
    }

    /// Reads the body whole, if it is not above `limit`.
    pub(super) fn load(&self, source: &dyn ReadAt, limit: usize) -> Result<Atom> {
        let size = self.end.saturating_sub(self.body);
        if self.end > source.size() {
            return Err(Error::Truncated { what: name(self.kind), needed: self.end, size: source.size() });
        }
        if size > u64_of(limit) {
            let limit = u64_of(limit);
            return Err(Error::LimitExceeded { what: "the size of a box", offset: self.start, limit });
        }
        let mut body = vec![0; usize_of(size)];
        source.read_exact_at(self.body, &mut body).map_err(|e| Error::io(self.body, e))?;
        Ok(Atom { kind: self.kind, offset: self.body, body: Bytes::from(body) })
    }
}

/// How messages call a box.
pub(super) fn name(kind: Kind) -> String {
    format!("the {} box", kind.escape_ascii())
}

/// A box in memory.
#[derive(Clone, Debug)]
pub(super) struct Atom {
    pub(super) kind: Kind,
    /// Where the body begins in the file.
    pub(super) offset: u64,
    pub(super) body: Bytes,
}

impl Atom {
    /// The boxes inside, from byte `skip` of the body on. Ends at what is too short for a box:
    /// writers leave such padding.
    pub(super) fn children(&self, skip: usize) -> Children<'_> {
        Children { parent: self, pos: skip }
    }

    /// The first box of a kind inside; broken siblings in front of it hide it.
    pub(super) fn child(&self, kind: &Kind) -> Option<Self> {
        self.children(0).map_while(Result::ok).find(|atom| atom.kind == *kind)
    }

    /// A reader of the body whose errors say `what`.
    pub(super) fn reader(&self, what: &'static str) -> Reader<'_> {
        Reader::new(what, &self.body)
    }

    /// The version and flags of a full box.
    pub(super) fn version_flags(r: &mut Reader<'_>) -> sv_codec::Result<(u8, u32)> {
        let word = r.u32()?;
        Ok((u8::try_from(word >> 24).unwrap_or(0), word & 0xFF_FFFF))
    }

    /// Turns an error of the body's reader into one with this place.
    pub(super) fn error(&self) -> impl Fn(sv_codec::Error) -> Error + use<> {
        Error::syntax(self.offset)
    }

    pub(super) const fn malformed(&self, path: &'static str, problem: &'static str) -> Error {
        Error::Malformed { path, offset: self.offset, problem }
    }

    /// Bytes of the body without a copy; empty where the range is not inside.
    pub(super) fn slice(&self, from: usize, len: usize) -> Bytes {
        let end = from.saturating_add(len);
        if end <= self.body.len() { self.body.slice(from..end) } else { Bytes::new() }
    }
}

/// See [`Atom::children`].
pub(super) struct Children<'a> {
    parent: &'a Atom,
    pos: usize,
}

impl Iterator for Children<'_> {
    type Item = Result<Atom>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.parent.body.get(self.pos..).filter(|rest| rest.len() >= 8)?;
        let start = self.parent.offset.saturating_add(u64_of(self.pos));
        let outer_end = start.saturating_add(u64_of(rest.len()));
        let header = match Header::parse(rest, start, outer_end) {
            Ok(header) if header.end <= outer_end => header,
            other => {
                self.pos = self.parent.body.len();
                return Some(Err(other.err().unwrap_or(Error::Malformed {
                    path: "a box",
                    offset: start,
                    problem: "it reaches beyond the box around it",
                })));
            }
        };
        let header_len = usize_of(header.body.saturating_sub(start));
        let len = usize_of(header.end.saturating_sub(header.body));
        let body = self.parent.slice(self.pos.saturating_add(header_len), len);
        self.pos = self.pos.saturating_add(header_len).saturating_add(len);
        Some(Ok(Atom { kind: header.kind, offset: header.body, body }))
    }
}
