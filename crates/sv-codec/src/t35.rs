//! Messages of [ITU-T T.35](https://www.itu.int/rec/T-REC-T.35) that say whose they are: bytes that
//! codecs carry without reading them. They are given here from their country code on.

/// Whether a message is HDR10+ (SMPTE ST 2094-40): of the United States, Samsung, and the first kind
/// of theirs.
#[must_use]
pub fn is_hdr10_plus(message: &[u8]) -> bool {
    message.starts_with(&[0xB5, 0x00, 0x3C, 0x00, 0x01])
}
