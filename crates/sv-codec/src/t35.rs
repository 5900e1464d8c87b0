//! Messages of [ITU-T T.35](https://www.itu.int/rec/T-REC-T.35) that say whose they are: bytes that
//! codecs carry without reading them. They are given here from their country code on.

/// Whether a message is HDR10+ (SMPTE ST 2094-40): of the United States, Samsung, and the first kind
/// of theirs.
#[must_use]
pub fn is_hdr10_plus(message: &[u8]) -> bool {
    message.starts_with(&[0xB5, 0x00, 0x3C, 0x00, 0x01])
}

/// The caption bytes of a message of ATSC's ([A/53 part 4](https://www.atsc.org/atsc-documents/a53-atsc-digital-television-standard/),
/// 6.2.3; [CTA-708](https://shop.cta.tech/products/digital-television-dtv-closed-captioning), 4.3): triplets of a byte
/// that says what the two others are. `None` of any other message.
#[must_use]
pub fn captions(message: &[u8]) -> Option<&[u8]> {
    message.strip_prefix(&[0xB5, 0x00, 0x31]).and_then(atsc)
}

/// The caption bytes of what stands behind ATSC's name, which MPEG-2 leaves out.
pub(crate) fn atsc(data: &[u8]) -> Option<&[u8]> {
    let [flags, _, rest @ ..] = data.strip_prefix(b"GA94\x03")? else { return None };
    // process_cc_data_flag, and cc_count
    let count = if flags & 0x40 == 0 { 0 } else { usize::from(flags & 0x1F).saturating_mul(3) };
    rest.get(..count.min(rest.len()))
}

/// A message with caption bytes, no more than 31 triplets of them.
pub(crate) fn of_captions(triplets: &[[u8; 3]]) -> Vec<u8> {
    let count = u8::try_from(triplets.len()).unwrap_or(31).min(31);
    let mut out = b"\xB5\x00\x31GA94\x03".to_vec();
    // process_cc_data_flag and cc_count, em_data, and a marker behind the triplets.
    out.extend([0x40 | count, 0xFF]);
    out.extend(triplets.iter().take(usize::from(count)).flatten());
    out.push(0xFF);
    out
}
