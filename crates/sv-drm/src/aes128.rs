//! `METHOD=AES-128` of HLS: whole segments in cipher block chaining mode, filled up as PKCS #7 says
//! ([RFC 8216, 4.3.2.4](https://www.rfc-editor.org/rfc/rfc8216#section-4.3.2.4)).

use bytes::{Bytes, BytesMut};

use crate::cenc::chained;
use crate::{ContentKey, Error};

/// The initialisation vector of a segment whose playlist names none: its media sequence number (RFC 8216, 5.2).
#[must_use]
pub fn vector(sequence: u64) -> [u8; 16] {
    u128::from(sequence).to_be_bytes()
}

/// Encrypts a segment, which is given in pieces.
#[must_use]
pub fn encrypt(key: &ContentKey, iv: [u8; 16], segment: &[Bytes]) -> Bytes {
    let size = segment.iter().map(Bytes::len).fold(16usize, usize::saturating_add);
    let mut out = BytesMut::with_capacity(size);
    segment.iter().for_each(|piece| out.extend_from_slice(piece));
    let pad = 16usize.saturating_sub(out.len() % 16);
    out.resize(out.len().saturating_add(pad), u8::try_from(pad).unwrap_or(16));
    chained(key, iv, &mut out, true);
    out.freeze()
}

/// Decrypts a segment.
///
/// # Errors
/// [`Error::Segment`] when it is cut short or made with another key.
pub fn decrypt(key: &ContentKey, iv: [u8; 16], segment: &[u8]) -> Result<Bytes, Error> {
    if segment.is_empty() || !segment.len().is_multiple_of(16) {
        return Err(Error::Segment);
    }
    let mut out = BytesMut::from(segment);
    chained(key, iv, &mut out, false);
    let pad = out.last().copied().filter(|pad| (1..=16).contains(pad)).ok_or(Error::Segment)?;
    let size = out.len().saturating_sub(usize::from(pad));
    if out.get(size..).is_none_or(|filling| filling.iter().any(|byte| *byte != pad)) {
        return Err(Error::Segment);
    }
    out.truncate(size);
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.2.1, the first two blocks.
    #[test]
    fn blocks_of_the_standard() {
        let key = ContentKey::from_hex("2b7e151628aed2a6abf7158809cf4f3c").unwrap();
        let iv: [u8; 16] = std::array::from_fn(|n| n as u8);
        let clear = [
            0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a,
            0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51,
        ];
        let secret = [
            0x76, 0x49, 0xab, 0xac, 0x81, 0x19, 0xb2, 0x46, 0xce, 0xe9, 0x8e, 0x9b, 0x12, 0xe9, 0x19, 0x7d,
            0x50, 0x86, 0xcb, 0x9b, 0x50, 0x72, 0x19, 0xee, 0x95, 0xdb, 0x11, 0x3a, 0x91, 0x76, 0x78, 0xb2,
        ];
        let out =
            encrypt(&key, iv, &[Bytes::copy_from_slice(&clear[..5]), Bytes::copy_from_slice(&clear[5..])]);
        assert_eq!((&out[..32], out.len()), (&secret[..], 48));
        assert_eq!(decrypt(&key, iv, &out).unwrap(), clear[..]);
        assert!(decrypt(&key, iv, &out[..40]).is_err() && decrypt(&key, iv, &out[..32]).is_err());
    }
}
