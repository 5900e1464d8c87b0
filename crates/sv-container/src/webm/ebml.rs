//! Elements of EBML ([RFC 8794](https://www.rfc-editor.org/rfc/rfc8794)) into one buffer.

use bytes::{BufMut, BytesMut};

use crate::num::{u64_of, usize_of};

/// A size that is not known: all ones.
pub(super) const UNKNOWN: u64 = 0x00FF_FFFF_FFFF_FFFF;

/// A buffer that elements are written to. An identifier is written as it stands in the specifications, with its
/// marker.
#[derive(Default)]
pub(super) struct Elements {
    pub(super) out: BytesMut,
}

impl Elements {
    pub(super) fn id(&mut self, id: u32) {
        let bytes = id.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        self.out.put_slice(bytes.get(zeros..).unwrap_or_default());
    }

    /// A size in as few bytes as it has (RFC 8794, 4).
    pub(super) fn size(&mut self, size: u64) {
        let mut width = 1u32;
        // All ones are kept for sizes that are not known.
        while width < 8 && size >= 1u64.wrapping_shl(width.saturating_mul(7)).saturating_sub(1) {
            width = width.saturating_add(1);
        }
        let value = size | 1u64.wrapping_shl(width.saturating_mul(7));
        self.tail(value, width);
    }

    /// A size in eight bytes, which may change in place.
    pub(super) fn wide_size(&mut self, size: u64) {
        self.out.put_u64((size & UNKNOWN) | 0x0100_0000_0000_0000);
    }

    /// The lowest `width` bytes of a number.
    fn tail(&mut self, value: u64, width: u32) {
        let from = usize_of(8u32.saturating_sub(width));
        self.out.put_slice(value.to_be_bytes().get(from..).unwrap_or_default());
    }

    pub(super) fn bytes(&mut self, id: u32, data: &[u8]) {
        self.id(id);
        self.size(u64_of(data.len()));
        self.out.put_slice(data);
    }

    pub(super) fn text(&mut self, id: u32, text: &str) {
        self.bytes(id, text.as_bytes());
    }

    pub(super) fn uint(&mut self, id: u32, value: u64) {
        let width = 8u32.saturating_sub(value.leading_zeros().checked_div(8).unwrap_or(0)).max(1);
        self.id(id);
        self.size(u64::from(width));
        self.tail(value, width);
    }

    /// A number in eight bytes, so that its element's length doesn't depend on it.
    pub(super) fn wide_uint(&mut self, id: u32, value: u64) {
        self.bytes(id, &value.to_be_bytes());
    }

    pub(super) fn int(&mut self, id: u32, value: i64) {
        self.bytes(id, &value.to_be_bytes());
    }

    pub(super) fn float(&mut self, id: u32, value: f64) {
        self.bytes(id, &value.to_be_bytes());
    }

    /// An element of elements, which `body` writes.
    pub(super) fn master(&mut self, id: u32, body: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        body(&mut inner);
        self.bytes(id, &inner.out);
    }

    /// `Void` of so many bytes, two at least.
    pub(super) fn void(&mut self, bytes: u64) {
        self.out.put_u8(0xEC);
        let body = if bytes < 9 {
            let body = bytes.saturating_sub(2);
            self.size(body);
            body
        } else {
            let body = bytes.saturating_sub(9);
            self.wide_size(body);
            body
        };
        self.out.put_bytes(0, usize_of(body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_specification() {
        // RFC 8794, table 2 and 4.4: all ones of a width are no size.
        for (size, bytes) in [
            (2u64, &[0x82u8][..]),
            (126, &[0xFE]),
            (127, &[0x40, 0x7F]),
            (0x3FFE, &[0x7F, 0xFE]),
            (0x3FFF, &[0x20, 0x3F, 0xFF]),
        ] {
            let mut w = Elements::default();
            w.size(size);
            assert_eq!(&w.out[..], bytes, "{size}");
        }
        for bytes in [2u64, 8, 9, 10, 300] {
            let mut w = Elements::default();
            w.void(bytes);
            assert_eq!(w.out.len() as u64, bytes);
        }
    }
}
