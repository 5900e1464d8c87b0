use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::Error;

/// A 128-bit content key. Wiped from memory when dropped; `Debug` shows none of it; comparison
/// takes the same time whatever the difference.
#[derive(Clone)]
pub struct ContentKey([u8; 16]);

impl ContentKey {
    /// From its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// From 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Syntax`] for anything else; the message does not repeat the text.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        match sv_core::KeyId::from_hex(text) {
            Some(id) if text.len() == 32 => Ok(Self(id.0)),
            _ => Err(Error::Syntax { what: "a content key", expected: "32 hexadecimal digits" }),
        }
    }

    /// An initialisation vector for what `subject` names: the same whenever it is asked for, so that what is encrypted
    /// twice comes out the same, and another one for everything else. Nobody can tell it without the key (HMAC-SHA256).
    ///
    /// What is encrypted under it must be the same each time: `subject` has to tell all that decides the bytes.
    #[must_use]
    pub fn vector(&self, subject: &[&[u8]]) -> [u8; 16] {
        let mut out = [0; 16];
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return out };
        mac.update(b"streamverse vector");
        for part in subject {
            // Parts can't run into each other.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        let digest = mac.finalize().into_bytes();
        for (to, from) in out.iter_mut().zip(digest) {
            *to = from;
        }
        out
    }

    /// The bytes themselves: for ciphers and licences only, never for a log.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Drop for ContentKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for ContentKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ContentKey {}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_key() {
        let key = ContentKey::from_hex("00112233445566778899aabbccddeeff").unwrap();
        assert_eq!(format!("{key:?}"), "ContentKey(hidden)");
        assert!(ContentKey::from_hex("0011").is_err());
    }

    #[test]
    fn vectors_are_the_same_for_the_same_alone() {
        let key = ContentKey::new([7; 16]);
        let one = key.vector(&[b"film", b"v"]);
        assert_eq!(one, key.vector(&[b"film", b"v"]));
        for other in [&[&b"fil"[..], b"mv"][..], &[b"film"], &[b"film", b"v", b""], &[b"v", b"film"]] {
            assert_ne!(one, key.vector(other));
        }
        assert_ne!(one, ContentKey::new([8; 16]).vector(&[b"film", b"v"]));
    }
}
