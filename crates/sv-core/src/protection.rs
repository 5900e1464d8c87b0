//! What encryption leaves on tracks and packets: never a key.
//!
//! See ISO/IEC 23001-7, Common encryption in ISO base media file format files.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Names a key without telling it: the 16 bytes of a KID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// From 32 hexadecimal digits, with or without the dashes of a UUID.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digits = text.chars().filter(|c| *c != '-');
        let mut id = [0u8; 16];
        for byte in &mut id {
            let high = digits.next()?.to_digit(16)?;
            let low = digits.next()?.to_digit(16)?;
            *byte = u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?;
        }
        digits.next().is_none().then_some(Self(id))
    }

    /// 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The dashed form of a UUID, as DASH's `cenc:default_KID` wants it.
    #[must_use]
    pub fn to_uuid(self) -> String {
        let mut out = String::with_capacity(36);
        for (i, b) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            out.push_str(&format!("{b:02x}"));
        }
        out
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_uuid())
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a key id is 32 hexadecimal digits"))
    }
}

/// The four protection schemes of ISO/IEC 23001-7, section 10, and the two of HLS's transport streams
/// ([RFC 8216, 4.3.2.4](https://www.rfc-editor.org/rfc/rfc8216#section-4.3.2.4)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// AES-CTR, whole protected ranges.
    Cenc,
    /// AES-CTR, pattern of protected blocks.
    Cens,
    /// AES-CBC, whole protected ranges.
    Cbc1,
    /// AES-CBC, pattern of protected blocks: what Apple's players want.
    Cbcs,
    /// AES-CBC over parts of samples in transport streams and packed audio: [MPEG-2 Stream Encryption Format for
    /// HTTP Live Streaming](https://developer.apple.com/library/archive/documentation/AudioVideo/Conceptual/HLS_Sample_Encryption/).
    SampleAes,
    /// AES-CBC over whole segments, whatever is in them: its packets know nothing of it.
    #[serde(rename = "aes-128")]
    Aes128,
}

impl Scheme {
    /// The scheme's four characters, as in the `schm` box; `None` for those of transport streams.
    #[must_use]
    pub const fn fourcc(self) -> Option<[u8; 4]> {
        match self {
            Self::Cenc => Some(*b"cenc"),
            Self::Cens => Some(*b"cens"),
            Self::Cbc1 => Some(*b"cbc1"),
            Self::Cbcs => Some(*b"cbcs"),
            Self::SampleAes | Self::Aes128 => None,
        }
    }

    /// Its name: `cbcs`, `sample-aes`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cenc => "cenc",
            Self::Cens => "cens",
            Self::Cbc1 => "cbc1",
            Self::Cbcs => "cbcs",
            Self::SampleAes => "sample-aes",
            Self::Aes128 => "aes-128",
        }
    }
}

/// How a track is protected: what its `sinf` box and the manifests say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The scheme of every protected sample.
    pub scheme: Scheme,
    /// The key that samples use unless they say otherwise.
    pub default_kid: KeyId,
    /// Encrypted and clear blocks of the pattern (`cens`, `cbcs`); `(0, 0)` without a pattern.
    pub pattern: (u8, u8),
    /// Bytes of initialisation vector that each sample carries: 8, 16, or 0 with a constant one.
    pub iv_size: u8,
    /// The vector of every sample where `iv_size` is 0: 8 or 16 bytes.
    pub constant_iv: Option<Bytes>,
    /// Whole `pssh` boxes, one for each key system.
    pub pssh: Vec<Bytes>,
    /// Whether some segments are clear as a whole, such as the first ones: they have a sample entry of their own,
    /// so that players need no key for them.
    pub clear_lead: bool,
}

/// A key that isn't the track's own: the track changes its key from time to time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleKey {
    /// Its name.
    pub kid: KeyId,
    /// Whole `pssh` boxes that announce it.
    pub pssh: Vec<Bytes>,
}

/// How one packet is protected: its entry in the `senc` box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleProtection {
    /// The initialisation vector, left-aligned in the array: [`Protection::iv_size`] bytes of its own, or else the
    /// constant one.
    pub iv: [u8; 16],
    /// Clear and protected runs; empty when the whole sample is protected.
    pub subsamples: Arc<[Subsample]>,
    /// The key, where it isn't [`Protection::default_kid`].
    pub key: Option<Arc<SampleKey>>,
}

impl Protection {
    /// Which key a packet of the track is under; `None` when it is clear.
    #[must_use]
    pub fn kid(&self, sample: Option<&SampleProtection>) -> Option<KeyId> {
        sample.map(|sample| sample.key.as_ref().map_or(self.default_kid, |key| key.kid))
    }
}

/// Clear bytes, then protected bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subsample {
    /// Bytes left as they are.
    pub clear: u16,
    /// Bytes covered by encryption.
    pub protected: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_read_both_forms() {
        let id = KeyId::from_hex("31323334-3536-3738-3930-313233343536").unwrap();
        assert_eq!(id.to_hex(), "31323334353637383930313233343536");
        assert_eq!(KeyId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(KeyId::from_hex("3132"), None);
        assert_eq!(KeyId::from_hex(&"0".repeat(33)), None);
    }
}
