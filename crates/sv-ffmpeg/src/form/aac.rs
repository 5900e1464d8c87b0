//! AAC: ADTS headers to an AudioSpecificConfig (ISO/IEC 14496-3, 1.A.2 and 1.6.2.1).

use bytes::Bytes;

/// Whether the bytes begin with an ADTS header.
pub(crate) fn is_adts(data: &[u8]) -> bool {
    matches!(data, [0xff, b, _, _, _, _, _, ..] if b & 0xf6 == 0xf0)
}

/// The frame behind its header; the bytes themselves where there is none.
pub(crate) fn strip(data: &[u8]) -> &[u8] {
    if !is_adts(data) {
        return data;
    }
    let header = if data[1] & 1 == 1 { 7 } else { 9 };
    data.get(header..).unwrap_or_default()
}

/// The configuration that a header implies.
pub(crate) fn config(data: &[u8]) -> Option<Bytes> {
    if !is_adts(data) {
        return None;
    }
    let object = (data[2] >> 6) + 1;
    let rate = (data[2] >> 2) & 15;
    let channels = ((data[2] & 1) << 2) | (data[3] >> 6);
    // Channel configuration 0 means that a program config element in the stream says.
    Some(Bytes::copy_from_slice(&[(object << 3) | (rate >> 1), (rate << 7) | (channels << 3)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_48_khz_stereo() {
        let frame = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0xde, 0x02];
        assert_eq!(&config(&frame).unwrap()[..], [0x11, 0x90]);
        assert_eq!(strip(&frame), [0xde, 0x02]);
        assert_eq!(strip(&[1, 2]), [1, 2]);
    }
}
