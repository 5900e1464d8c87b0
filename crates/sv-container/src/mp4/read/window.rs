//! Reading payloads in few, large pieces, and cutting packets out of them without a copy.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use sv_core::ReadAt;

use crate::num::{u64_of, usize_of};
use crate::{Error, Result};

/// A few pieces of the file, the one read last in front.
pub(super) struct Windows {
    source: Arc<dyn ReadAt>,
    pieces: VecDeque<(u64, Bytes)>,
    keep: usize,
    piece: usize,
    max_packet: usize,
    /// Set while nobody wants payloads: where the last one asked for lies.
    place: Option<(u64, usize)>,
}

impl Windows {
    /// For so many tracks at different places: the memory is the same for one and for sixty.
    pub(super) fn new(source: Arc<dyn ReadAt>, tracks: usize, max_packet: usize) -> Self {
        let keep = tracks.saturating_add(1);
        let piece = (8usize << 20).checked_div(keep).unwrap_or(0).clamp(64 << 10, 256 << 10);
        Self { source, pieces: VecDeque::with_capacity(keep), keep, piece, max_packet, place: None }
    }

    /// Reads the smallest pieces from now on.
    pub(super) fn shrink(&mut self) {
        self.piece = 64 << 10;
    }

    pub(super) fn shared_source(&self) -> Arc<dyn ReadAt> {
        Arc::clone(&self.source)
    }

    pub(super) fn source(&self) -> &dyn ReadAt {
        &*self.source
    }

    /// Reads nothing from now on: who asks for bytes gets none, and [`place`](Self::place) says where they lie.
    pub(super) fn place_only(&mut self) {
        self.place.get_or_insert((0, 0));
        self.pieces.clear();
    }

    /// Where the bytes lie that were asked for last, if none are read.
    pub(super) fn place(&self) -> Option<(u64, usize)> {
        self.place
    }

    /// The bytes at `offset`: of what `what` names when they are not there.
    pub(super) fn get(&mut self, offset: u64, size: usize, what: impl FnOnce() -> String) -> Result<Bytes> {
        let hit = self.pieces.iter().enumerate().find_map(|(index, (start, piece))| {
            let from = usize_of(offset.checked_sub(*start)?);
            let to = from.checked_add(size)?;
            (to <= piece.len()).then(|| (index, piece.slice(from..to)))
        });
        if let Some((index, found)) = hit {
            // The piece that was used last is dropped last.
            self.pieces.swap(0, index);
            return Ok(found);
        }
        let end = offset.saturating_add(u64_of(size));
        let file = self.source.size();
        if end > file {
            return Err(Error::Truncated { what: what(), needed: end, size: file });
        }
        if size > self.max_packet {
            let limit = u64_of(self.max_packet);
            return Err(Error::LimitExceeded { what: "the size of a packet", offset, limit });
        }
        if let Some(place) = &mut self.place {
            *place = (offset, size);
            return Ok(Bytes::new());
        }
        // A large packet gets a piece of its own: the others stay.
        let large = size > self.piece / 2;
        let len = if large { size } else { usize_of(file.saturating_sub(offset).min(u64_of(self.piece))) };
        let piece = self.source.bytes_at(offset, len).map_err(|e| Error::io(offset, e))?;
        let found = piece.slice(..size);
        if !large {
            self.pieces.truncate(self.keep.saturating_sub(1));
            self.pieces.push_front((offset, piece));
        }
        Ok(found)
    }
}
