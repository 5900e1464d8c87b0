//! Boxes into one buffer: a size is written when the box is closed.

use bytes::{BufMut, BytesMut};

use crate::num::u32_of;

/// A buffer that boxes are written to.
pub(crate) struct Boxes {
    pub(crate) out: BytesMut,
}

impl Boxes {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: BytesMut::with_capacity(bytes) }
    }

    /// A box (ISO/IEC 14496-12, 4.2) whose body `body` writes.
    pub(crate) fn boxed(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.out.put_u32(0);
        self.out.put_slice(kind);
        body(self);
        let size = u32_of(self.out.len().saturating_sub(start));
        self.patch_u32(start, size);
    }

    /// A box with version and flags in front of its body.
    pub(crate) fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.boxed(kind, |w| {
            w.u32(u32::from(version).wrapping_shl(24) | (flags & 0xFF_FFFF));
            body(w);
        });
    }

    pub(crate) fn patch_u32(&mut self, at: usize, value: u32) {
        if let Some(place) = self.out.get_mut(at..at.saturating_add(4)) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.out.put_u8(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.out.put_u16(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.out.put_u32(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.out.put_u64(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.out.put_bytes(0, count);
    }

    pub(crate) fn bytes(&mut self, data: &[u8]) {
        self.out.put_slice(data);
    }

    /// A string and the zero byte that ends it; zero bytes inside are dropped.
    pub(crate) fn cstr(&mut self, text: &str) {
        self.out.extend(text.bytes().filter(|b| *b != 0));
        self.out.put_u8(0);
    }
}
