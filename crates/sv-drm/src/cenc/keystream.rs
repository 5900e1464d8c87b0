//! Counter mode: ISO/IEC 23001-7, 9.6.2, which is [NIST SP 800-38A, 6.5](https://doi.org/10.6028/NIST.SP.800-38A) with a
//! counter of 64 bits: what stands in front of it never changes within a sample.

use aes::Aes128;
use aes::cipher::{Block, BlockCipherEncrypt};

const BLOCK: usize = 16;

/// Blocks that are made at a time: what processors with wide registers keep in flight.
const AHEAD: usize = 64;

/// One sample's keystream, which runs on across its protected ranges.
pub(super) struct Keystream<'a> {
    aes: &'a Aes128,
    prefix: [u8; 8],
    counter: u64,
    blocks: [Block<Aes128>; AHEAD],
    /// Blocks that were made, and bytes of them that were used.
    made: usize,
    used: usize,
}

impl<'a> Keystream<'a> {
    pub(super) fn new(aes: &'a Aes128, iv: [u8; BLOCK]) -> Self {
        let [a, b, c, d, e, f, g, h, low @ ..] = iv;
        let (prefix, counter) = ([a, b, c, d, e, f, g, h], u64::from_be_bytes(low));
        Self { aes, prefix, counter, blocks: [Block::<Aes128>::default(); AHEAD], made: 0, used: 0 }
    }

    /// Covers or uncovers bytes.
    pub(super) fn apply(&mut self, mut bytes: &mut [u8]) {
        // What an earlier range has left of a block.
        if !self.used.is_multiple_of(BLOCK) {
            let rest = BLOCK.saturating_sub(self.used % BLOCK).min(bytes.len());
            let (few, after) = bytes.split_at_mut(rest);
            let block = self.blocks.get(self.used / BLOCK).copied().unwrap_or_default();
            few.iter_mut().zip(block.iter().skip(self.used % BLOCK)).for_each(|(to, key)| *to ^= key);
            self.used = self.used.saturating_add(rest);
            bytes = after;
        }
        while !bytes.is_empty() {
            let from = self.used / BLOCK;
            if from >= self.made {
                self.make(bytes.len().div_ceil(BLOCK));
                continue;
            }
            let there = self.blocks.get(from..self.made).unwrap_or_default();
            let length = bytes.len().min(there.len().saturating_mul(BLOCK));
            let (these, after) = bytes.split_at_mut(length);
            let (whole, rest) = these.as_chunks_mut::<BLOCK>();
            for (to, key) in whole.iter_mut().zip(there) {
                *to = xor(*to, (*key).into());
            }
            if let Some(key) = there.get(whole.len()) {
                rest.iter_mut().zip(key.iter()).for_each(|(to, key)| *to ^= key);
            }
            self.used = self.used.saturating_add(length);
            bytes = after;
        }
    }

    /// Makes the next blocks, `wanted` or as many as there is room for.
    fn make(&mut self, wanted: usize) {
        let blocks = self.blocks.get_mut(..wanted.min(AHEAD)).unwrap_or_default();
        for block in &mut *blocks {
            if let Some((front, count)) = block.split_first_chunk_mut::<8>() {
                *front = self.prefix;
                count.copy_from_slice(&self.counter.to_be_bytes());
            }
            self.counter = self.counter.wrapping_add(1);
        }
        (self.made, self.used) = (blocks.len(), 0);
        self.aes.encrypt_blocks(blocks);
    }
}

/// Two blocks' sum.
pub(super) fn xor(a: [u8; BLOCK], b: [u8; BLOCK]) -> [u8; BLOCK] {
    (u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::KeyInit as _;

    /// NIST SP 800-38A, F.5.1.
    #[test]
    fn the_vectors_of_nist_in_pieces_of_any_size() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let iv = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let plain = hex(concat!(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
        ));
        let secret = hex(concat!(
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff",
            "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
        ));
        let aes = Aes128::new(key.as_slice().try_into().unwrap());
        for piece in 1..=plain.len() {
            let mut stream = Keystream::new(&aes, iv.as_slice().try_into().unwrap());
            let mut data = plain.clone();
            data.chunks_mut(piece).for_each(|piece| stream.apply(piece));
            assert_eq!(data, secret, "{piece}");
        }
    }

    /// Longer than what is made at a time; and the counter goes round without a carry.
    #[test]
    fn long_samples_are_their_blocks() {
        let aes = Aes128::new(&[5; 16].into());
        let mut iv = [0xff; 16];
        iv[15] = 0xf0;
        let mut data = vec![0; 16 * 200 + 5];
        Keystream::new(&aes, iv).apply(&mut data);
        for (n, got) in data.chunks(16).enumerate() {
            let mut block = [0xff; 16];
            block[8..].copy_from_slice(&0xffff_ffff_ffff_fff0u64.wrapping_add(n as u64).to_be_bytes());
            let mut block = block.into();
            aes.encrypt_block(&mut block);
            assert_eq!(got, &block[..got.len()], "{n}");
        }
    }
}
