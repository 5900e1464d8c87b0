//! Playback tokens: a path prefix and an expiry, signed with HMAC-SHA256.
//!
//! A token stands in the path of a playback URL (`/play/TOKEN/master.m3u8`), so that the relative
//! URLs inside manifests carry it along without being rewritten.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::Error;

/// Signs and verifies tokens with one secret, which is wiped when dropped.
pub struct Signer {
    secret: Vec<u8>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(hidden)")
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Signer {
    /// From a secret; 32 random bytes are right.
    ///
    /// # Errors
    /// [`Error::Syntax`] for fewer than 16 bytes.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let secret = secret.into();
        if secret.len() < 16 {
            return Err(Error::Syntax { what: "a token secret", expected: "at least 16 random bytes" });
        }
        Ok(Self { secret })
    }

    fn mac(&self, subject: &str, expires: u64) -> Result<Hmac<Sha256>, Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).map_err(|_| Error::Token)?;
        mac.update(&expires.to_be_bytes());
        mac.update(subject.as_bytes());
        Ok(mac)
    }

    /// A token for `subject` (a video's id, a path prefix) that is good until `expires`, in seconds
    /// since 1970. It is made of letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// None with a signer that [`new`](Self::new) made.
    pub fn sign(&self, subject: &str, expires: u64) -> Result<String, Error> {
        let mut raw = expires.to_be_bytes().to_vec();
        raw.extend_from_slice(&self.mac(subject, expires)?.finalize().into_bytes());
        Ok(URL_SAFE_NO_PAD.encode(raw))
    }

    /// Whether `token` was signed for `subject` and is still good at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Token`] when it was not, [`Error::Expired`] when it is no longer.
    pub fn verify(&self, token: &str, subject: &str, now: u64) -> Result<(), Error> {
        // The length first: nothing of a stranger's is decoded that can't be a token.
        if token.len() != 54 {
            return Err(Error::Token);
        }
        let raw = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::Token)?;
        let (expires, tag) = raw.split_first_chunk::<8>().ok_or(Error::Token)?;
        let expires = u64::from_be_bytes(*expires);
        self.mac(subject, expires)?.verify_slice(tag).map_err(|_| Error::Token)?;
        if now >= expires { Err(Error::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_expire_and_do_not_travel() {
        let signer = Signer::new([9; 32]).unwrap();
        let token = signer.sign("vid_1", 1000).unwrap();
        assert!(signer.verify(&token, "vid_1", 999).is_ok());
        assert!(matches!(signer.verify(&token, "vid_1", 1000), Err(Error::Expired)));
        assert!(matches!(signer.verify(&token, "vid_2", 999), Err(Error::Token)));
        assert!(matches!(Signer::new([8; 32]).unwrap().verify(&token, "vid_1", 999), Err(Error::Token)));
        assert!(Signer::new([0; 15]).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_token_is_refused(at in 0usize..54, to in "[A-Za-z0-9_-]") {
            let signer = Signer::new([9; 32]).unwrap();
            let token = signer.sign("vid_1", u64::MAX).unwrap();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            // The last character of base64 carries spare bits, so a change there may be no change.
            if changed != token {
                prop_assert!(signer.verify(&changed, "vid_1", 0).is_err());
            }
        }
    }
}
