//! The ciphers of the four schemes, in place over the protected ranges of one sample.
//!
//! ISO/IEC 23001-7, section 9: counter mode runs on across the subsamples of a sample, chained mode
//! begins anew with the initialisation vector at each subsample in `cbcs` and SAMPLE-AES, and runs on in `cbc1`.

use aes::Aes128;
use aes::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use sv_core::{Scheme, Subsample};

use super::keystream::{Keystream, xor};
use crate::ContentKey;

const BLOCK: usize = 16;

/// Chains that are encrypted side by side: as many as a processor keeps in flight. One alone waits for each block before
/// the next.
const LANES: usize = 16;

/// One key's schedule and one track's scheme.
pub(crate) struct Cipher {
    aes: Aes128,
    scheme: Scheme,
    /// Encrypted and clear blocks; `(0, 0)` stands for all.
    pattern: (u8, u8),
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Encrypt,
    Decrypt,
}

impl Cipher {
    pub(crate) fn new(key: &ContentKey, scheme: Scheme, pattern: (u8, u8)) -> Self {
        Self { aes: Aes128::new(key.expose().into()), scheme, pattern }
    }

    pub(crate) const fn pattern(&self) -> (u8, u8) {
        self.pattern
    }

    /// Encrypts samples, each with its vector and subsamples; false for one whose subsamples do not add up to it.
    pub(crate) fn encrypt<'a>(
        &self,
        samples: impl Iterator<Item = (&'a mut [u8], [u8; 16], &'a [Subsample])>,
    ) -> bool {
        if !matches!(self.scheme, Scheme::Cbcs | Scheme::SampleAes) {
            let mut all = true;
            samples.for_each(|(data, iv, runs)| all &= self.apply(data, iv, runs, Way::Encrypt).is_some());
            return all;
        }
        // The chain begins anew with each range, so all of them are independent of each other.
        let mut all = true;
        let ranges = samples.flat_map(|(data, iv, runs)| {
            let ranges = protected(data, runs);
            all &= ranges.is_some();
            ranges.unwrap_or_default().into_iter().map(move |range| Lane {
                chain: iv,
                rest: range,
                run: 0,
                block: None,
            })
        });
        self.side_by_side(ranges);
        all
    }

    fn side_by_side<'a>(&self, mut ranges: impl Iterator<Item = Lane<'a>>) {
        let mut lanes: Vec<Lane<'a>> = Vec::with_capacity(LANES);
        let mut blocks = [Block::<Aes128>::default(); LANES];
        loop {
            lanes.retain_mut(|lane| lane.advance(self.pattern));
            while lanes.len() < LANES {
                let Some(mut lane) = ranges.next() else { break };
                if lane.advance(self.pattern) {
                    lanes.push(lane);
                }
            }
            for (lane, block) in lanes.iter().zip(&mut blocks) {
                if let Some(input) = &lane.block {
                    *block = xor(**input, lane.chain).into();
                }
            }
            let Some(some) = blocks.get_mut(..lanes.len()).filter(|some| !some.is_empty()) else { return };
            self.aes.encrypt_blocks(some);
            for (lane, block) in lanes.iter_mut().zip(&blocks) {
                lane.chain = (*block).into();
                if let Some(output) = &mut lane.block {
                    **output = lane.chain;
                }
            }
        }
    }

    /// Runs over one sample; `None` when the subsamples do not add up to it.
    pub(crate) fn apply(
        &self,
        sample: &mut [u8],
        iv: [u8; 16],
        subsamples: &[Subsample],
        way: Way,
    ) -> Option<()> {
        let mut ctr = match self.scheme {
            Scheme::Cenc | Scheme::Cens => Some(Keystream::new(&self.aes, iv)),
            _ => None,
        };
        let mut chain = iv;
        for range in protected(sample, subsamples)? {
            if matches!(self.scheme, Scheme::Cbcs | Scheme::SampleAes) {
                chain = iv;
            }
            match &mut ctr {
                Some(ctr) => self.patterned(range, |bytes| ctr.apply(bytes)),
                None => self.patterned(range, |bytes| self.chained(bytes, &mut chain, way)),
            }
        }
        Some(())
    }

    /// Calls `f` for each run of encrypted blocks in a protected range.
    fn patterned(&self, range: &mut [u8], mut f: impl FnMut(&mut [u8])) {
        let (crypt, skip) = self.pattern;
        if crypt == 0 || skip == 0 {
            return f(range);
        }
        let crypt = usize::from(crypt).saturating_mul(BLOCK);
        let stride = usize::from(skip).saturating_mul(BLOCK).saturating_add(crypt);
        for chunk in range.chunks_mut(stride) {
            // A chained mode leaves a part of a block clear by itself; a counter covers it.
            let n = chunk.len().min(crypt);
            if let Some(run) = chunk.get_mut(..n) {
                f(run);
            }
        }
    }

    /// Cipher block chaining over whole blocks; what remains at the end stays clear.
    pub(super) fn chained(&self, range: &mut [u8], chain: &mut [u8; 16], way: Way) {
        for bytes in range.chunks_exact_mut(BLOCK) {
            let Ok(input) = <[u8; BLOCK]>::try_from(&*bytes) else { continue };
            let mut block: Block<Aes128> = input.into();
            match way {
                Way::Encrypt => {
                    for (b, c) in block.iter_mut().zip(chain.iter()) {
                        *b ^= c;
                    }
                    self.aes.encrypt_block(&mut block);
                    *chain = block.into();
                }
                Way::Decrypt => {
                    self.aes.decrypt_block(&mut block);
                    for (b, c) in block.iter_mut().zip(chain.iter()) {
                        *b ^= c;
                    }
                    *chain = input;
                }
            }
            bytes.copy_from_slice(&block);
        }
    }
}

/// The protected ranges of a sample: all of it without subsamples, and `None` when they do not add up to it.
fn protected<'a>(sample: &'a mut [u8], subsamples: &[Subsample]) -> Option<Vec<&'a mut [u8]>> {
    if subsamples.is_empty() {
        return Some(vec![sample]);
    }
    let mut ranges = Vec::with_capacity(subsamples.len());
    let mut rest = sample;
    for run in subsamples {
        let (_, after) = rest.split_at_mut_checked(usize::from(run.clear))?;
        let (range, after) = after.split_at_mut_checked(usize::try_from(run.protected).ok()?)?;
        rest = after;
        ranges.push(range);
    }
    rest.is_empty().then_some(ranges)
}

/// One chain on its way through a range.
struct Lane<'a> {
    chain: [u8; BLOCK],
    rest: &'a mut [u8],
    /// Blocks that were encrypted since the last clear ones.
    run: u8,
    block: Option<&'a mut [u8; BLOCK]>,
}

impl Lane<'_> {
    /// Goes to the next block that is encrypted; false behind the last whole one.
    fn advance(&mut self, (crypt, skip): (u8, u8)) -> bool {
        let mut rest = std::mem::take(&mut self.rest);
        if crypt > 0 && skip > 0 && self.run == crypt {
            let clear = usize::from(skip).saturating_mul(BLOCK);
            rest = rest.split_at_mut_checked(clear).map_or(Default::default(), |(_, after)| after);
            self.run = 0;
        }
        let Some((block, after)) = rest.split_first_chunk_mut::<BLOCK>() else { return false };
        self.run = self.run.wrapping_add(1);
        (self.block, self.rest) = (Some(block), after);
        true
    }
}
