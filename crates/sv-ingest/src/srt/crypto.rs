//! How payloads are encrypted, and how both sides come to the same keys
//! ([draft-sharabayko-srt](https://datatracker.ietf.org/doc/html/draft-sharabayko-srt-01#section-6), 6).

use std::fmt;
use std::sync::Arc;

use aes::cipher::{Block, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes128, Aes192, Aes256};
use bytes::{BufMut as _, Bytes, BytesMut};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{Error, Result};

type Bits = Zeroizing<Vec<u8>>;

/// How often a passphrase is hashed.
const ITERATIONS: u32 = 2048;
/// What a wrapped key begins with when it is unwrapped (RFC 3394, 2.2.3.1).
const CHECK: [u8; 8] = [0xA6; 8];
/// Blocks of a key stream that are made at once: those of the largest packet, since each call prepares keys anew.
const BLOCKS: usize = super::packet::PAYLOAD.div_ceil(16);
/// A key serves for so many packets.
pub(super) const REFRESH: u64 = 1 << 25;
const SALTS: u8 = 8;
/// The next one is told that many before, and the last one known that many behind.
const ANNOUNCE: u64 = 4000;

/// A secret that both sides know, of 10 to 79 bytes. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Arc<Bits>);

impl Passphrase {
    /// From the secret itself.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for one of another length.
    pub fn new(secret: &str) -> Result<Self> {
        if !(10..=79).contains(&secret.len()) {
            return Err(Error::InvalidInput {
                what: "a passphrase of SRT".into(),
                problem: "it has between 10 and 79 bytes",
            });
        }
        Ok(Self(Arc::new(Zeroizing::new(secret.as_bytes().to_vec()))))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(hidden)")
    }
}

/// How long keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyLength {
    /// AES-128.
    #[default]
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl KeyLength {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// As handshakes have it: bytes divided by 8.
    pub(super) const fn field(self) -> u16 {
        match self {
            Self::Aes128 => 2,
            Self::Aes192 => 3,
            Self::Aes256 => 4,
        }
    }

    pub(super) const fn of_field(field: u16) -> Option<Self> {
        match field {
            2 => Some(Self::Aes128),
            3 => Some(Self::Aes192),
            4 => Some(Self::Aes256),
            _ => None,
        }
    }

    const fn of_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }
}

/// Why keys are of no use, in the words of a key response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// They are no keys.
    Malformed,
    /// The other side has another passphrase.
    BadSecret,
}

/// Random bytes that follow from a seed.
pub(super) struct Entropy {
    seed: Zeroizing<[u8; 32]>,
    count: u64,
}

impl Entropy {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), count: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.count = self.count.wrapping_add(1);
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&*self.seed);
        mac.map_or([0; 32], |mut mac| {
            mac.update(&self.count.to_be_bytes());
            mac.finalize().into_bytes().into()
        })
    }

    pub(super) fn bytes(&mut self, count: usize) -> Bits {
        let mut out = self.block().to_vec();
        out.truncate(count);
        Zeroizing::new(out)
    }

    pub(super) fn word(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.block();
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(hidden)")
    }
}

/// PBKDF2 with HMAC-SHA1 ([RFC 8018](https://www.rfc-editor.org/rfc/rfc8018#section-5.2), 5.2).
fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32, length: usize) -> Bits {
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    // Keys of any length are allowed.
    let Ok(keyed) = <Hmac<Sha1> as hmac::KeyInit>::new_from_slice(password) else { return out };
    let mut number = 1u32;
    while out.len() < length {
        let mut mac = keyed.clone();
        mac.update(salt);
        mac.update(&number.to_be_bytes());
        let mut last: [u8; 20] = mac.finalize().into_bytes().into();
        let mut sum = last;
        for _ in 1..iterations {
            let mut mac = keyed.clone();
            mac.update(&last);
            last = mac.finalize().into_bytes().into();
            sum.iter_mut().zip(&last).for_each(|(a, b)| *a ^= b);
        }
        let missing = length.saturating_sub(out.len());
        out.extend_from_slice(sum.get(..missing).unwrap_or(&sum));
        number = number.saturating_add(1);
    }
    out
}

fn joined(check: &[u8; 8], register: &[u8; 8]) -> Block<Aes128> {
    let mut block = Block::<Aes128>::default();
    block.iter_mut().zip(check.iter().chain(register)).for_each(|(to, from)| *to = *from);
    block
}

/// A block cipher with a key of any of the three lengths.
#[derive(Clone)]
enum Aes {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

impl Aes {
    fn new(key: &[u8]) -> Option<Self> {
        Some(match key.len() {
            16 => Self::Short(Box::new(Aes128::new_from_slice(key).ok()?)),
            24 => Self::Middle(Box::new(Aes192::new_from_slice(key).ok()?)),
            32 => Self::Long(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    fn encrypt(&self, blocks: &mut [Block<Aes128>]) {
        match self {
            Self::Short(aes) => aes.encrypt_blocks(blocks),
            Self::Middle(aes) => aes.encrypt_blocks(blocks),
            Self::Long(aes) => aes.encrypt_blocks(blocks),
        }
    }

    fn decrypt(&self, block: &mut Block<Aes128>) {
        match self {
            Self::Short(aes) => aes.decrypt_block(block),
            Self::Middle(aes) => aes.decrypt_block(block),
            Self::Long(aes) => aes.decrypt_block(block),
        }
    }

    /// Counter mode over a packet, in place; it is its own opposite.
    fn apply(&self, salt: &[u8; 16], seq: u32, data: &mut [u8]) {
        let mask = u128::from(seq).wrapping_shl(16);
        let start = (u128::from_be_bytes(*salt) & !0xFFFF) ^ mask;
        let mut counter = start;
        for chunk in data.chunks_mut(BLOCKS.saturating_mul(16)) {
            let mut blocks = [Block::<Aes128>::default(); BLOCKS];
            let count = chunk.len().div_ceil(16);
            let Some(blocks) = blocks.get_mut(..count) else { continue };
            for block in blocks.iter_mut() {
                *block = counter.to_be_bytes().into();
                counter = counter.wrapping_add(1);
            }
            self.encrypt(blocks);
            for (part, block) in chunk.chunks_mut(16).zip(blocks.iter()) {
                part.iter_mut().zip(block.iter()).for_each(|(a, b)| *a ^= b);
            }
        }
    }

    /// Wraps a key of a multiple of 8 bytes ([RFC 3394](https://www.rfc-editor.org/rfc/rfc3394#section-2.2.1), 2.2.1).
    fn wrap(&self, key: &[u8]) -> Vec<u8> {
        let (registers, _) = key.as_chunks::<8>();
        let mut registers = registers.to_vec();
        let (mut check, mut step) = (CHECK, 0u64);
        for _ in 0..6 {
            for register in &mut registers {
                let mut block = joined(&check, register);
                self.encrypt(std::slice::from_mut(&mut block));
                step = step.saturating_add(1);
                let (high, low) = block.split_at(8);
                check.copy_from_slice(high);
                register.copy_from_slice(low);
                check = (u64::from_be_bytes(check) ^ step).to_be_bytes();
            }
        }
        [&check[..], registers.as_flattened()].concat()
    }

    /// The opposite; nothing where it was wrapped with another key.
    fn unwrap(&self, wrapped: &[u8]) -> Option<Bits> {
        let (mut check, rest) = wrapped.split_first_chunk::<8>().map(|(c, r)| (*c, r))?;
        let (registers, odd) = rest.as_chunks::<8>();
        if !odd.is_empty() || registers.len() < 2 {
            return None;
        }
        let mut registers = registers.to_vec();
        let mut step = u64::try_from(registers.len()).ok()?.checked_mul(6)?;
        for _ in 0..6 {
            for register in registers.iter_mut().rev() {
                check = (u64::from_be_bytes(check) ^ step).to_be_bytes();
                let mut block = joined(&check, register);
                self.decrypt(&mut block);
                let (high, low) = block.split_at(8);
                check.copy_from_slice(high);
                register.copy_from_slice(low);
                step = step.saturating_sub(1);
            }
        }
        bool::from(check.ct_eq(&CHECK)).then(|| Zeroizing::new(registers.as_flattened().to_vec()))
    }
}

/// The message by which keys are told (3.2.2): wrapped, so that nobody reads them without the passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMaterial {
    /// Which keys it has: bit 0 for the even one, bit 1 for the odd one.
    pub keys: u8,
    /// How long each is.
    pub length: KeyLength,
    /// What a counter and the passphrase's hash begin with.
    pub salt: [u8; 16],
    /// The keys, the even one first.
    pub wrapped: Bytes,
}

impl KeyMaterial {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none, or of a cipher that isn't AES in counter mode.
    pub fn parse(message: &[u8]) -> Result<Self> {
        let broken = |problem| Error::Malformed { what: "a message of keys of SRT", problem };
        let (head, rest) = message.split_first_chunk::<16>().ok_or(broken("it is too short"))?;
        let [kind, sign0, sign1, keys, _, _, _, _, cipher, auth, _, _, _, _, salt, length] = *head;
        if (kind, sign0, sign1) != (0x12, 0x20, 0x29) {
            return Err(broken("it has another signature"));
        }
        if cipher != 2 || auth != 0 {
            return Err(broken("its cipher isn't AES in counter mode"));
        }
        let length = KeyLength::of_bytes(usize::from(length).saturating_mul(4))
            .ok_or(broken("no key is that long"))?;
        if salt != 4 || keys & 3 == 0 {
            return Err(broken("it has no salt or no key"));
        }
        let (salt, wrapped) = rest.split_first_chunk::<16>().ok_or(broken("it is too short"))?;
        let count = if keys & 3 == 3 { 2 } else { 1 };
        let size = length.bytes().saturating_mul(count).saturating_add(8);
        let wrapped = wrapped.get(..size).ok_or(broken("it is too short"))?;
        Ok(Self { keys: keys & 3, length, salt: *salt, wrapped: Bytes::copy_from_slice(wrapped) })
    }

    /// The message.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(&[0x12, 0x20, 0x29, self.keys & 3, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4]);
        out.put_u8(u8::try_from(self.length.bytes() / 4).unwrap_or(4));
        out.put_slice(&self.salt);
        out.put_slice(&self.wrapped);
        out.freeze()
    }
}

/// A key that packets are encrypted with.
struct Key {
    bits: Bits,
    aes: Aes,
}

impl Key {
    fn new(bits: Bits) -> Option<Self> {
        let aes = Aes::new(&bits)?;
        Some(Self { bits, aes })
    }
}

/// The keys of a connection, both ways.
pub(super) struct Crypto {
    passphrase: Passphrase,
    length: KeyLength,
    entropy: Entropy,
    /// What wraps our keys, and the salt that it was made with.
    wrapper: Aes,
    salt: [u8; 16],
    ours: [Option<Key>; 2],
    /// Which of ours is in use: 0 for the even one, 1 for the odd one.
    active: usize,
    /// What has been encrypted with it.
    count: u64,
    refresh: u64,
    announce: u64,
    /// What the other side must still hear.
    told: Option<Bytes>,
    theirs: [Option<Aes>; 2],
    their_salt: [u8; 16],
    their_wrapper: Option<Aes>,
    /// How often they may change their salt, which costs us much: nobody does.
    salts: u8,
}

fn wrapper(passphrase: &Passphrase, salt: &[u8; 16], length: KeyLength) -> Option<Aes> {
    let (_, low) = salt.split_at(8);
    Aes::new(&pbkdf2(&passphrase.0, low, ITERATIONS, length.bytes()))
}

impl Crypto {
    /// With new keys, for both ways at first.
    pub(super) fn new(
        passphrase: &Passphrase,
        length: KeyLength,
        refresh: u64,
        seed: [u8; 32],
    ) -> Option<Self> {
        let mut entropy = Entropy::new(seed);
        let mut salt = [0; 16];
        salt.copy_from_slice(&entropy.bytes(16));
        let key = Key::new(entropy.bytes(length.bytes()))?;
        let wrapper = wrapper(passphrase, &salt, length)?;
        Some(Self {
            passphrase: passphrase.clone(),
            length,
            entropy,
            their_wrapper: Some(wrapper.clone()),
            salts: SALTS,
            wrapper,
            salt,
            theirs: [Some(key.aes.clone()), None],
            their_salt: salt,
            ours: [Some(key), None],
            active: 0,
            count: 0,
            refresh,
            announce: ANNOUNCE.min(refresh / 4),
            told: None,
        })
    }

    /// With the keys that the other side has sent.
    pub(super) fn answer(
        passphrase: &Passphrase,
        message: &[u8],
        refresh: u64,
        seed: [u8; 32],
    ) -> Result<Self, Fault> {
        let material = KeyMaterial::parse(message).map_err(|_| Fault::Malformed)?;
        let wrapper = wrapper(passphrase, &material.salt, material.length).ok_or(Fault::Malformed)?;
        let bits = wrapper.unwrap(&material.wrapped).ok_or(Fault::BadSecret)?;
        let mut keys = bits.chunks(material.length.bytes()).map(|key| Key::new(Zeroizing::new(key.to_vec())));
        let mut take = |bit: u8| if material.keys & bit != 0 { keys.next().flatten() } else { None };
        let ours = [take(1), take(2)];
        let theirs = [0, 1].map(|n| ours.get::<usize>(n).and_then(Option::as_ref).map(|key| key.aes.clone()));
        let active = usize::from(material.keys & 1 == 0);
        Ok(Self {
            passphrase: passphrase.clone(),
            length: material.length,
            entropy: Entropy::new(seed),
            wrapper: wrapper.clone(),
            salt: material.salt,
            ours,
            active,
            count: 0,
            refresh,
            announce: ANNOUNCE.min(refresh / 4),
            told: None,
            theirs,
            their_salt: material.salt,
            their_wrapper: Some(wrapper),
            salts: SALTS,
        })
    }

    pub(super) const fn length(&self) -> KeyLength {
        self.length
    }

    /// The message that tells all of our keys.
    pub(super) fn offer(&self) -> Bytes {
        let mut bits = Zeroizing::new(Vec::with_capacity(64));
        let mut keys = 0;
        for (key, bit) in self.ours.iter().zip([1, 2]) {
            if let Some(key) = key {
                bits.extend_from_slice(&key.bits);
                keys |= bit;
            }
        }
        let wrapped = self.wrapper.wrap(&bits).into();
        KeyMaterial { keys, length: self.length, salt: self.salt, wrapped }.build()
    }

    /// Encrypts a packet in place, and says with which key: 1 for the even one, 2 for the odd one.
    pub(super) fn encrypt(&mut self, seq: u32, data: &mut [u8]) -> u8 {
        self.count = self.count.saturating_add(1);
        let other = self.active ^ 1;
        if self.count == self.refresh.saturating_sub(self.announce) {
            let key = Key::new(self.entropy.bytes(self.length.bytes()));
            if let Some(place) = self.ours.get_mut(other) {
                *place = key;
            }
            self.told = Some(self.offer());
        }
        let next = self.ours.get(other).is_some_and(Option::is_some);
        if self.count > self.refresh && next {
            (self.active, self.count) = (other, 0);
        } else if self.count == self.announce && next {
            // The last one isn't needed any more.
            if let Some(place) = self.ours.get_mut(other) {
                *place = None;
            }
        }
        match self.ours.get(self.active) {
            Some(Some(key)) => {
                key.aes.apply(&self.salt, seq, data);
                if self.active == 0 { 1 } else { 2 }
            }
            _ => 0,
        }
    }

    /// What the other side must still hear of, until it has answered.
    pub(super) const fn told(&self) -> Option<&Bytes> {
        self.told.as_ref()
    }

    /// The other side has answered.
    pub(super) fn heard(&mut self, answer: &[u8]) {
        if self.told.as_deref() == Some(answer) {
            self.told = None;
        }
    }

    /// Decrypts a packet in place. False where its key isn't known.
    pub(super) fn decrypt(&self, key: u8, seq: u32, data: &mut [u8]) -> bool {
        let place = match key {
            1 => self.theirs.first(),
            2 => self.theirs.last(),
            _ => None,
        };
        let Some(Some(aes)) = place else { return false };
        aes.apply(&self.their_salt, seq, data);
        true
    }

    /// Takes new keys of the other side.
    pub(super) fn take(&mut self, message: &[u8]) -> Result<(), Fault> {
        let material = KeyMaterial::parse(message).map_err(|_| Fault::Malformed)?;
        if material.length != self.length {
            return Err(Fault::Malformed);
        }
        if material.salt != self.their_salt || self.their_wrapper.is_none() {
            self.salts = self.salts.checked_sub(1).ok_or(Fault::Malformed)?;
            self.their_wrapper = wrapper(&self.passphrase, &material.salt, material.length);
            self.their_salt = material.salt;
        }
        let wrapper = self.their_wrapper.as_ref().ok_or(Fault::Malformed)?;
        let bits = wrapper.unwrap(&material.wrapped).ok_or(Fault::BadSecret)?;
        let mut keys = bits.chunks(material.length.bytes());
        for (place, bit) in self.theirs.iter_mut().zip([1, 2]) {
            if material.keys & bit != 0 {
                *place = keys.next().and_then(Aes::new);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
    }

    /// RFC 6070, 2.
    #[test]
    fn passphrases_are_hashed_as_rfc_6070_has_it() {
        let long = b"passwordPASSWORDpassword";
        let salt = b"saltSALTsaltSALTsaltSALTsaltSALTsalt";
        for (password, salt, iterations, key) in [
            (&b"password"[..], &b"salt"[..], 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (b"password", b"salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (b"password", b"salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
            (&long[..], &salt[..], 4096, "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"),
            (b"pass\0word", b"sa\0lt", 4096, "56fa6aa75548099dcc37d7f03425e0c3"),
        ] {
            let key = hex(key);
            assert_eq!(*pbkdf2(password, salt, iterations, key.len()), key);
        }
    }

    /// RFC 3394, 4.
    #[test]
    fn keys_are_wrapped_as_rfc_3394_has_it() {
        let long = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";
        let data = "00112233445566778899AABBCCDDEEFF0001020304050607 08090A0B0C0D0E0F";
        for (key, data, wrapped) in [
            (16, 16, "1FA68B0A8112B447 AEF34BD8FB5A7B82 9D3E862371D2CFE5"),
            (24, 16, "96778B25AE6CA435 F92B5B97C050AED2 468AB8A17AD84E5D"),
            (32, 16, "64E8C3F9CE0F5BA2 63E9777905818A2A 93C8191E7D6E8AE7"),
            (24, 24, "031D33264E15D332 68F24EC260743EDC E1C6C7DDEE725A93 6BA814915C6762D2"),
            (32, 24, "A8F9BC1612C68B3F F6E6F4FBE30E71E4 769C8B80A32CB895 8CD5D17D6B254DA1"),
            (32, 32, "28C9F404C4B810F4 CBCCB35CFB87F826 3F5786E2D80ED326 CBC7F0E71A99F43B FB988B9B7A02DD21"),
        ]
        .map(|(k, d, w)| (hex(long)[..k].to_vec(), hex(data)[..d].to_vec(), hex(w)))
        {
            let aes = Aes::new(&key).unwrap();
            assert_eq!(aes.wrap(&data), wrapped);
            assert_eq!(*aes.unwrap(&wrapped).unwrap(), data);
            let mut broken = wrapped;
            broken[9] ^= 1;
            assert!(aes.unwrap(&broken).is_none());
        }
    }

    /// NIST SP 800-38A, F.5.1 and F.5.5, whose counter is ours for a salt that ends in 0.
    #[test]
    fn counters_run_as_sp_800_38a_has_it() {
        let plain = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let mut salt = [0; 16];
        salt.copy_from_slice(&hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"));
        let aes = Aes::new(&hex("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        // SP 800-38A begins with the block that is number 0xFEFF of ours.
        let at = 0xFEFF * 16;
        let mut data = vec![0; at];
        data.extend_from_slice(&plain);
        salt[14..].fill(0);
        aes.apply(&salt, 0, &mut data);
        let first = u128::from_be_bytes(salt).wrapping_add(0xFEFF);
        assert_eq!(first.to_be_bytes().to_vec(), hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"));
        assert_eq!(data[at..], hex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"));
    }

    #[test]
    fn keys_are_renewed_on_both_sides() {
        let secret = Passphrase::new("a secret of some length").unwrap();
        for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
            let mut one = Crypto::new(&secret, length, 100, [1; 32]).unwrap();
            let mut two = Crypto::answer(&secret, &one.offer(), 100, [2; 32]).unwrap();
            let mut seen = [0; 3];
            for seq in 0..1000 {
                let mut data = b"what is said".to_vec();
                let key = one.encrypt(seq, &mut data);
                assert_ne!(data, b"what is said");
                seen[usize::from(key)] += 1;
                if let Some(message) = one.told().cloned() {
                    two.take(&message).unwrap();
                    one.heard(&message);
                }
                assert!(two.decrypt(key, seq, &mut data));
                assert_eq!(data, b"what is said");
            }
            assert!(seen[0] == 0 && seen[1] > 400 && seen[2] > 400, "{seen:?}");
            let other = Passphrase::new("another secret").unwrap();
            assert_eq!(Crypto::answer(&other, &one.offer(), 9, [0; 32]).unwrap_err(), Fault::BadSecret);
            assert!(!format!("{one:?} {secret:?}").contains("secret of"));
        }
    }

    proptest! {
        #[test]
        fn material_is_read_as_it_is_written(salt: [u8; 16], keys in 1..4u8, length in 0..3usize, byte: u8) {
            let length = [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256][length];
            let size = length.bytes() * if keys == 3 { 2 } else { 1 } + 8;
            let material = KeyMaterial { keys, length, salt, wrapped: vec![byte; size].into() };
            prop_assert_eq!(KeyMaterial::parse(&material.build()).unwrap(), material);
        }

        #[test]
        fn any_bytes_are_material_or_refused(bytes: Vec<u8>) {
            let _ = KeyMaterial::parse(&bytes);
        }
    }
}
