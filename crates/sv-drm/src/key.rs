use std::fmt;

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
}
