//! Datagrams in a stream of bytes ([RFC 4571](https://www.rfc-editor.org/rfc/rfc4571)), as ICE has them over TCP.

use bytes::{Buf as _, Bytes, BytesMut};

/// Collects datagrams from pieces of a stream: each stands behind its length of two bytes. What waits is never
/// longer than one datagram and one piece.
#[derive(Debug, Default)]
pub struct Framing {
    rest: BytesMut,
}

impl Framing {
    /// Nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a piece, and gives each datagram that is whole. Those of no length are left out.
    pub fn push(&mut self, piece: &[u8], mut give: impl FnMut(Bytes)) {
        self.rest.extend_from_slice(piece);
        while let Some([high, low]) = self.rest.first_chunk() {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            if self.rest.len().saturating_sub(2) < len {
                return;
            }
            self.rest.advance(2);
            let datagram = self.rest.split_to(len).freeze();
            if !datagram.is_empty() {
                give(datagram);
            }
        }
    }
}

/// A datagram behind its length; `None` where it is too long for that.
#[must_use]
pub fn frame(datagram: &[u8]) -> Option<Bytes> {
    let len = u16::try_from(datagram.len()).ok()?;
    let mut out = BytesMut::with_capacity(datagram.len().saturating_add(2));
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(datagram);
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn however_it_is_cut(datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8), cut in 1usize..50) {
            let stream: Vec<u8> = datagrams.iter().flat_map(|d| frame(d).unwrap()).collect();
            let (mut framing, mut got) = (Framing::new(), Vec::new());
            for piece in stream.chunks(cut) {
                framing.push(piece, |datagram| got.push(datagram.to_vec()));
            }
            prop_assert_eq!(got, datagrams);
        }
    }

    #[test]
    fn a_datagram_has_no_more_than_its_length_can_say() {
        assert!(frame(&vec![0; 65_536]).is_none());
        assert_eq!(frame(&vec![0; 65_535]).unwrap().len(), 65_537);
    }
}
