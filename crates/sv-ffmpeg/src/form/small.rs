//! The small configurations: VP9, Opus, FLAC, ALAC.

use bytes::Bytes;
use sv_core::ColorInfo;

use super::Sampling;

/// The body of `vpcC` with its version and flags
/// ([VP codec ISO media file format binding](https://www.webmproject.org/vp9/mp4/)).
pub(crate) fn vpcc(
    width: u32,
    height: u32,
    frames_per_second: f64,
    sampling: Sampling,
    color: ColorInfo,
) -> Bytes {
    let subsampling = match sampling.chroma {
        (1, 1) => 1,
        (1, 0) => 2,
        _ => 3,
    };
    let profile = match (subsampling == 1, sampling.depth > 8) {
        (true, false) => 0,
        (false, false) => 1,
        (true, true) => 2,
        (false, true) => 3,
    };
    let bits = (sampling.depth << 4) | (subsampling << 1) | u8::from(color.full_range);
    let level = vp9_level(width, height, frames_per_second);
    let mut out = vec![1, 0, 0, 0, profile, level, bits];
    out.extend_from_slice(&[color.primaries, color.transfer, color.matrix, 0, 0]);
    out.into()
}

/// The body of `vpcC` of a VP8 stream that begins with this frame. Its tag has the version (RFC 6386, 9.1); levels
/// there are none, and the lowest stands for that.
pub(crate) fn vp8c(frame: &[u8], color: ColorInfo) -> Bytes {
    let version = frame.first().map_or(0, |tag| (tag >> 1) & 3);
    let bits = (8 << 4) | (1 << 1) | u8::from(color.full_range);
    let record = [version, 10, bits, color.primaries, color.transfer, color.matrix, 0, 0];
    [&[1, 0, 0, 0][..], &record].concat().into()
}

/// The smallest level that holds the picture size and rate (VP9 levels, the same document).
fn vp9_level(width: u32, height: u32, frames_per_second: f64) -> u8 {
    const LEVELS: [(u8, u64, u64); 13] = [
        (10, 36_864, 829_440),
        (11, 73_728, 2_764_800),
        (20, 122_880, 4_608_000),
        (21, 245_760, 9_216_000),
        (30, 552_960, 20_736_000),
        (31, 983_040, 36_864_000),
        (40, 2_228_224, 83_558_400),
        (41, 2_228_224, 160_432_128),
        (50, 8_912_896, 311_951_360),
        (51, 8_912_896, 588_251_136),
        (52, 8_912_896, 1_176_502_272),
        (60, 35_651_584, 1_176_502_272),
        (61, 35_651_584, 2_353_004_544),
    ];
    let size = u64::from(width) * u64::from(height);
    let rate = size as f64 * frames_per_second;
    LEVELS.iter().find(|(_, s, r)| size <= *s && rate <= *r as f64).map_or(62, |(level, ..)| *level)
}

/// The body of `dOps` (RFC 7845 style header in big-endian,
/// [Opus in ISOBMFF](https://opus-codec.org/docs/opus_in_isobmff.html), 4.3.2) from `OpusHead`.
pub(crate) fn dops(head: &[u8]) -> Option<Bytes> {
    let body = head.strip_prefix(b"OpusHead")?;
    let [_, channels, skip0, skip1, r0, r1, r2, r3, gain0, gain1, rest @ ..] = body else { return None };
    let mut out = vec![0, *channels, *skip1, *skip0, *r3, *r2, *r1, *r0, *gain1, *gain0];
    out.extend_from_slice(rest);
    Some(out.into())
}

/// `OpusHead` from the body of `dOps`.
pub(crate) fn opus_head(dops: &[u8]) -> Option<Vec<u8>> {
    let [_, channels, skip1, skip0, r3, r2, r1, r0, gain1, gain0, rest @ ..] = dops else { return None };
    let mut out = b"OpusHead".to_vec();
    out.extend_from_slice(&[1, *channels, *skip0, *skip1, *r0, *r1, *r2, *r3, *gain0, *gain1]);
    out.extend_from_slice(rest);
    Some(out)
}

/// FLAC's metadata blocks as in `dfLa` from FFmpeg's bare STREAMINFO (RFC 9639, 8.1 and 8.2).
pub(crate) fn flac_blocks(stream_info: &[u8]) -> Option<Bytes> {
    let info = stream_info.get(..34)?;
    let mut out = vec![0x80, 0, 0, 34];
    out.extend_from_slice(info);
    Some(out.into())
}

/// FFmpeg's bare STREAMINFO from FLAC's metadata blocks.
pub(crate) fn stream_info(blocks: &[u8]) -> &[u8] {
    match blocks {
        [kind, 0, 0, 34, rest @ ..] if kind & 0x7f == 0 => rest.get(..34).unwrap_or(rest),
        _ => blocks,
    }
}

/// ALAC's magic cookie from FFmpeg's, which is the whole box of MP4: a size, a name, a version and flags.
pub(crate) fn alac_cookie(extradata: &[u8]) -> Option<&[u8]> {
    match extradata.get(4..8) {
        Some(b"alac") => extradata.get(12..).filter(|cookie| cookie.len() >= 24),
        _ => Some(extradata).filter(|cookie| cookie.len() >= 24),
    }
}

/// FFmpeg's box around ALAC's magic cookie.
pub(crate) fn alac_box(cookie: &[u8]) -> Vec<u8> {
    let size = u32::try_from(cookie.len()).unwrap_or(u32::MAX).saturating_add(12);
    [&size.to_be_bytes()[..], b"alac", &[0; 4], cookie].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_configuration_goes_there_and_back() {
        let head = [&b"OpusHead"[..], &[1, 2, 0x38, 0x01, 0x80, 0xbb, 0, 0, 0, 0, 0]].concat();
        let ours = dops(&head).unwrap();
        assert_eq!(&ours[..], [0, 2, 0x01, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0]);
        assert_eq!(opus_head(&ours).unwrap(), head);
    }

    #[test]
    fn a_cookie_goes_into_its_box_and_out() {
        let cookie = [7; 24];
        let boxed = alac_box(&cookie);
        assert_eq!(boxed[..12], [0, 0, 0, 36, b'a', b'l', b'a', b'c', 0, 0, 0, 0]);
        assert_eq!(alac_cookie(&boxed), Some(&cookie[..]));
    }

    #[test]
    fn vp9_levels_follow_size_and_rate() {
        assert_eq!(vp9_level(1280, 720, 30.0), 31);
        assert_eq!(vp9_level(1280, 720, 60.0), 40);
        assert_eq!(vp9_level(3840, 2160, 60.0), 51);
    }
}
