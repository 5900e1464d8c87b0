//! The ciphers of the four schemes, in place over the protected ranges of one sample.
//!
//! ISO/IEC 23001-7, section 9: counter mode runs on across the subsamples of a sample, chained mode
//! begins anew with the initialisation vector at each subsample in `cbcs` and SAMPLE-AES, and runs on in `cbc1`.

use aes::Aes128;
use aes::cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher,
    StreamCipherCoreWrapper,
};
use sv_core::{Scheme, Subsample};

use crate::ContentKey;

const BLOCK: usize = 16;

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

    /// Runs over one sample; `None` when the subsamples do not add up to it.
    pub(crate) fn apply(
        &self,
        sample: &mut [u8],
        iv: [u8; 16],
        subsamples: &[Subsample],
        way: Way,
    ) -> Option<()> {
        let mut ctr = match self.scheme {
            Scheme::Cenc | Scheme::Cens => {
                let core = ctr::CtrCore::<Aes128, ctr::flavors::Ctr128BE>::inner_iv_init(
                    self.aes.clone(),
                    &iv.into(),
                );
                Some(StreamCipherCoreWrapper::from_core(core))
            }
            _ => None,
        };
        let mut chain = iv;
        let whole = [Subsample { clear: 0, protected: u32::try_from(sample.len()).ok()? }];
        let runs = if subsamples.is_empty() { &whole } else { subsamples };
        let mut rest = sample;
        for run in runs {
            let (_, after) = rest.split_at_mut_checked(usize::from(run.clear))?;
            let (range, after) = after.split_at_mut_checked(usize::try_from(run.protected).ok()?)?;
            rest = after;
            if matches!(self.scheme, Scheme::Cbcs | Scheme::SampleAes) {
                chain = iv;
            }
            match &mut ctr {
                Some(ctr) => self.patterned(range, |bytes| ctr.apply_keystream(bytes)),
                None => self.patterned(range, |bytes| self.chained(bytes, &mut chain, way)),
            }
        }
        rest.is_empty().then_some(())
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
