//! Reading bits, most significant first, and the variable-length codes of the MPEG family.

use crate::{Error, Result};

/// A cursor over bits. Every read is checked; errors name the structure and the place.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    what: &'static str,
    data: &'a [u8],
    /// In bits. A slice is at most `isize::MAX` bytes, but its bits need not fit: hence `u64`.
    pos: u64,
}

impl<'a> BitReader<'a> {
    /// At the first bit of `data`, which errors will call `what`.
    #[must_use]
    pub const fn new(what: &'static str, data: &'a [u8]) -> Self {
        Self { what, data, pos: 0 }
    }

    /// Bits read so far.
    #[must_use]
    pub const fn pos(&self) -> u64 {
        self.pos
    }

    /// Bytes read so far, counting a partly read one.
    #[must_use]
    pub fn byte_pos(&self) -> usize {
        usize::try_from(self.pos.div_ceil(8)).unwrap_or(usize::MAX)
    }

    /// Bits not yet read.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        let all = u64::try_from(self.data.len()).unwrap_or(u64::MAX).saturating_mul(8);
        all.saturating_sub(self.pos)
    }

    /// One bit.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end.
    pub fn bit(&mut self) -> Result<bool> {
        let index = usize::try_from(self.pos / 8).unwrap_or(usize::MAX);
        let Some(byte) = self.data.get(index) else {
            return Err(Error::Truncated { what: self.what, offset: self.data.len() });
        };
        let mask = 0x80u8.checked_shr(u32::try_from(self.pos % 8).unwrap_or(0)).unwrap_or(0);
        self.pos = self.pos.saturating_add(1);
        Ok(byte & mask != 0)
    }

    /// The next `n` bits, at most 64; of more, the last 64.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn bits64(&mut self, n: u32) -> Result<u64> {
        let (mut value, mut left) = (0u64, n);
        while left > 0 {
            let index = usize::try_from(self.pos / 8).unwrap_or(usize::MAX);
            let Some(byte) = self.data.get(index) else {
                return Err(Error::Truncated { what: self.what, offset: self.data.len() });
            };
            // What is left of this byte, and what is taken of that.
            let there = 8u32.saturating_sub(u32::try_from(self.pos % 8).unwrap_or(0));
            let taken = there.min(left);
            let bits = u64::from(*byte).wrapping_shr(there.saturating_sub(taken));
            value = value.wrapping_shl(taken) | (bits & 1u64.wrapping_shl(taken).saturating_sub(1));
            self.pos = self.pos.saturating_add(u64::from(taken));
            left = left.saturating_sub(taken);
        }
        Ok(value)
    }

    /// The next `n` bits, at most 32; of more, the last 32.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn bits(&mut self, n: u32) -> Result<u32> {
        self.bits64(n).map(|v| u32::try_from(v & 0xFFFF_FFFF).unwrap_or(0))
    }

    /// The next `n` bits, at most 8; of more, the last 8.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn bits8(&mut self, n: u32) -> Result<u8> {
        self.bits64(n).map(|v| u8::try_from(v & 0xFF).unwrap_or(0))
    }

    /// Passes over `n` bits.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer remain.
    pub fn skip(&mut self, n: u64) -> Result<()> {
        if n > self.remaining() {
            return Err(Error::Truncated { what: self.what, offset: self.data.len() });
        }
        self.pos = self.pos.saturating_add(n);
        Ok(())
    }

    /// Passes over bits up to the next whole byte.
    pub fn align(&mut self) {
        self.pos = self.pos.next_multiple_of(8);
    }

    /// `ue(v)`: an unsigned Exp-Golomb code (H.264, 9.1).
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end, [`Error::Invalid`] above 2^32 - 2.
    pub fn ue(&mut self) -> Result<u32> {
        let mut zeros = 0u32;
        while !self.bit()? {
            zeros = zeros.saturating_add(1);
            if zeros > 31 {
                return Err(self.invalid("an Exp-Golomb code is too long"));
            }
        }
        let base = 1u32.wrapping_shl(zeros).wrapping_sub(1);
        Ok(base.saturating_add(self.bits(zeros)?))
    }

    /// `ue(v)`, not above `max`.
    ///
    /// # Errors
    /// As for [`ue`](Self::ue), and [`Error::Invalid`] with `problem` above `max`.
    pub fn ue_max(&mut self, max: u32, problem: &'static str) -> Result<u32> {
        let value = self.ue()?;
        if value > max { Err(self.invalid(problem)) } else { Ok(value) }
    }

    /// `se(v)`: a signed Exp-Golomb code (H.264, 9.1.1).
    ///
    /// # Errors
    /// As for [`ue`](Self::ue).
    pub fn se(&mut self) -> Result<i32> {
        let code = self.ue()?;
        let magnitude = i32::try_from(code.div_ceil(2)).unwrap_or(i32::MAX);
        Ok(if code % 2 == 0 { magnitude.saturating_neg() } else { magnitude })
    }

    /// `more_rbsp_data()` (H.264, 7.2): whether anything precedes the trailing bits.
    #[must_use]
    pub fn more_rbsp_data(&self) -> bool {
        let Some(last) = self.data.iter().rposition(|b| *b != 0) else {
            return false;
        };
        let byte = self.data.get(last).copied().unwrap_or(0);
        let stop = u64::try_from(last)
            .unwrap_or(u64::MAX)
            .saturating_mul(8)
            .saturating_add(u64::from(7u32.saturating_sub(byte.trailing_zeros())));
        self.pos < stop
    }

    /// An error at this place.
    #[must_use]
    pub fn invalid(&self, problem: &'static str) -> Error {
        Error::Invalid {
            what: self.what,
            problem,
            offset: usize::try_from(self.pos / 8).unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_of_the_specification() {
        // H.264, table 9-2: 1, 010, 011, 00100, 00101 are 0 to 4.
        let data = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut r = BitReader::new("test", &data);
        for expected in 0..5 {
            assert_eq!(r.ue().unwrap(), expected);
        }
        // H.264, table 9-3: the same codes are 0, 1, -1, 2, -2.
        let mut r = BitReader::new("test", &data);
        for expected in [0, 1, -1, 2, -2] {
            assert_eq!(r.se().unwrap(), expected);
        }
    }

    #[test]
    fn the_longest_code_and_one_too_long() {
        let mut longest = vec![0, 0, 0, 0x01];
        longest.extend([0xFF; 4]);
        assert_eq!(BitReader::new("test", &longest).ue().unwrap(), u32::MAX - 1);
        assert!(BitReader::new("test", &[0; 16]).ue().is_err());
        assert!(matches!(BitReader::new("test", &[0]).ue(), Err(Error::Truncated { .. })));
    }

    #[test]
    fn many_bits_are_their_bits_one_by_one() {
        let data: Vec<u8> = (0..32u32).map(|n| (n * 167 + 13) as u8).collect();
        for start in 0..16 {
            for n in 0..=64 {
                let (mut all, mut single) = (BitReader::new("test", &data), BitReader::new("test", &data));
                all.skip(start).unwrap();
                single.skip(start).unwrap();
                let expected = (0..n).fold(0u64, |value, _| value << 1 | u64::from(single.bit().unwrap()));
                assert_eq!(all.bits64(n).unwrap(), expected);
                assert_eq!(all.pos(), single.pos());
            }
        }
        let mut short = BitReader::new("test", &data[..1]);
        assert!(matches!(short.bits64(9), Err(Error::Truncated { .. })));
    }

    #[test]
    fn trailing_bits_are_no_data() {
        let mut r = BitReader::new("test", &[0b1100_1000, 0]);
        assert!(r.more_rbsp_data());
        r.skip(4).unwrap();
        assert!(!r.more_rbsp_data());
    }
}
