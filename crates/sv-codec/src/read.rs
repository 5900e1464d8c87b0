//! Reading big-endian bytes without ever reading too far.

use crate::{Error, Result};

/// A cursor over bytes. Every read is checked; errors name the structure and the place.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    data: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// At the first byte of `data`, which errors will call `what`.
    #[must_use]
    pub const fn new(what: &'static str, data: &'a [u8]) -> Self {
        Self { what, data, pos: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn pos(&self) -> usize {
        self.pos
    }

    /// The bytes not yet read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.data.get(self.pos..).unwrap_or_default()
    }

    /// How many bytes are not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest().len()
    }

    /// Whether all bytes are read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let Some(bytes) = self.rest().get(..n) else {
            return Err(Error::Truncated { what: self.what, offset: self.data.len() });
        };
        self.pos = self.pos.saturating_add(n);
        Ok(bytes)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Passes over `n` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn skip(&mut self, n: usize) -> Result<()> {
        self.take(n).map(drop)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(|[b]| b)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn u24(&mut self) -> Result<u32> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Four bytes, two's complement.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// An error at this place.
    #[must_use]
    pub const fn invalid(&self, problem: &'static str) -> Error {
        Error::Invalid { what: self.what, problem, offset: self.pos }
    }
}
