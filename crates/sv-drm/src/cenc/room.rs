//! Memory for encrypted copies of payloads that others hold too.

use std::collections::VecDeque;

use bytes::BytesMut;

/// Bytes that are asked for at a time: samples are cut from it.
const PIECE: usize = 1 << 20;

/// Pieces that are remembered, so that they are used anew when nothing cut from them is left.
const MOST: usize = 64;

/// Hands out copies, out of pieces that come back: fresh memory costs more than to encrypt it.
#[derive(Default)]
pub(super) struct Room {
    piece: BytesMut,
    earlier: VecDeque<BytesMut>,
}

impl Room {
    /// A copy of `data` of its own.
    pub(super) fn copy(&mut self, data: &[u8]) -> BytesMut {
        if data.len() > PIECE / 2 {
            return BytesMut::from(data);
        }
        if self.piece.capacity() < data.len() {
            let spent = std::mem::take(&mut self.piece);
            if spent.capacity() > 0 {
                self.earlier.push_back(spent);
            }
            let free = self.earlier.front_mut().is_some_and(|piece| piece.try_reclaim(PIECE));
            let free = if free { self.earlier.pop_front() } else { None };
            if self.earlier.len() > MOST {
                self.earlier.pop_front();
            }
            self.piece = free.unwrap_or_else(|| BytesMut::with_capacity(PIECE));
        }
        self.piece.extend_from_slice(data);
        self.piece.split()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_apart_and_pieces_come_back() {
        let mut room = Room::default();
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..20u8 {
            let held: Vec<_> = (0..40).map(|_| room.copy(&vec![round; 100_000]).freeze()).collect();
            assert!(held.iter().all(|data| data.iter().all(|b| *b == round)));
            seen.extend(held.iter().map(|data| data.as_ptr() as usize));
        }
        assert!(seen.len() <= 80, "{} places", seen.len());
        assert_eq!(room.copy(&[3; 2 << 20]).len(), 2 << 20);
    }
}
