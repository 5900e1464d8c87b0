//! What to call a track's codec in `CODECS=` of HLS, `codecs=` of DASH and media types
//! ([RFC 6381](https://www.rfc-editor.org/rfc/rfc6381) and each codec's own annex).

use std::fmt::Write;

use sv_core::{Codec, ColorInfo, Track};

use crate::Reader;

/// The exact string of a track, such as `avc1.64001f`; `None` where its configuration does not
/// tell or nobody has defined one.
#[must_use]
pub fn string(track: &Track) -> Option<String> {
    let color = track.video().map(|v| v.color).unwrap_or_default();
    match track.codec {
        Codec::H264 => avc(&track.config),
        Codec::Hevc => hevc(&track.config),
        Codec::Av1 => av1(&track.config, color),
        Codec::Vp8 => vpx("vp08", &track.config, color),
        Codec::Vp9 => vpx("vp09", &track.config, color),
        Codec::Aac => aac(&track.config),
        Codec::Opus => Some("opus".into()),
        Codec::Ac3 => Some("ac-3".into()),
        Codec::Eac3 => Some("ec-3".into()),
        Codec::Ac4 => ac4(&track.config),
        Codec::DtsX => Some("dtsx".into()),
        Codec::Flac => Some("fLaC".into()),
        Codec::Alac => Some("alac".into()),
        Codec::Vorbis => Some("vorbis".into()),
        Codec::Iamf => iamf(&track.config),
        Codec::Mp3 => Some("mp4a.6B".into()),
        Codec::WebVtt => Some("wvtt".into()),
        // The text profile of IMSC 1 (https://www.w3.org/TR/ttml-profile-registry/).
        Codec::Ttml => Some("stpp.ttml.im1t".into()),
        _ => None,
    }
}

/// What else a track is to players of Dolby Vision, such as `dvh1.08.01/db1p`: the value of HLS's
/// `SUPPLEMENTAL-CODECS` ([RFC 8216bis](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis),
/// 4.4.6.2), its codec and the brand of its base layer. `None` for tracks that are nothing else.
#[must_use]
pub fn supplemental(track: &Track) -> Option<String> {
    let dolby = track.video()?.dolby_vision?;
    let entry = match (track.codec, dolby.profile) {
        (Codec::Hevc, 8) => "dvh1",
        (Codec::Av1, 10) => "dav1",
        _ => return None,
    };
    let brand = match dolby.compatibility {
        1 => "db1p",
        2 => "db2g",
        4 => "db4h",
        _ => return None,
    };
    Some(format!("{entry}.{:02}.{:02}/{brand}", dolby.profile, dolby.level))
}

/// `avc1.PPCCLL` (RFC 6381, 3.3).
fn avc(config: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = config else {
        return None;
    };
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

/// `hvc1.profile.compatibility.tier-and-level.constraints` (ISO/IEC 14496-15, annex E.3).
fn hevc(config: &[u8]) -> Option<String> {
    let mut r = Reader::new("hvcC", config);
    r.skip(1).ok()?;
    let first = r.u8().ok()?;
    let compatibility = r.u32().ok()?;
    let constraints: [u8; 6] = r.array().ok()?;
    let level = r.u8().ok()?;
    let space = ["", "A", "B", "C"].get(usize::from(first >> 6))?;
    let tier = if first & 0x20 == 0 { 'L' } else { 'H' };
    let mut out = format!("hvc1.{space}{}.{:X}.{tier}{level}", first & 0x1F, compatibility.reverse_bits());
    let used = constraints.iter().rposition(|b| *b != 0).map_or(0, |last| last.saturating_add(1));
    for byte in constraints.iter().take(used) {
        write!(out, ".{byte:X}").ok()?;
    }
    Some(out)
}

/// `av01.P.LLT.DD[.M.CCC.cp.tc.mc.F]`
/// ([AV1-ISOBMFF, 5](https://aomediacodec.github.io/av1-isobmff/#codecsparam)).
fn av1(config: &[u8], color: ColorInfo) -> Option<String> {
    let [_, first, second, ..] = config else {
        return None;
    };
    let (profile, level) = (first >> 5, first & 0x1F);
    let bit = |mask: u8| u8::from(second & mask != 0);
    let tier = if bit(0x80) == 1 { 'H' } else { 'M' };
    let depth = match (bit(0x40), bit(0x20)) {
        (0, _) => 8,
        (_, 1) if profile == 2 => 12,
        _ => 10,
    };
    let mut out = format!("av01.{profile}.{level:02}{tier}.{depth:02}");
    let (mono, sub_x, sub_y) = (bit(0x10), bit(0x08), bit(0x04));
    let position = if sub_x == 1 && sub_y == 1 { second & 3 } else { 0 };
    let color = specified(color);
    if (mono, sub_x, sub_y, position, color) != (0, 1, 1, 0, ColorInfo::BT709) {
        let ColorInfo { primaries, transfer, matrix, full_range } = color;
        let range = u8::from(full_range);
        write!(out, ".{mono}.{sub_x}{sub_y}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{range}")
            .ok()?;
    }
    Some(out)
}

/// `vp09.PP.LL.DD[.CC.cp.tc.mc.FF]`, and `vp08` in the same way
/// ([VP codec ISO media file format binding](https://www.webmproject.org/vp9/mp4/)).
fn vpx(entry: &str, config: &[u8], color: ColorInfo) -> Option<String> {
    // The record itself has 8 bytes; with the version and flags of its box, 12.
    let record = if config.len() >= 12 { config.get(4..)? } else { config };
    let [profile, level, packed, ..] = record else {
        return None;
    };
    let (depth, subsampling) = (packed >> 4, (packed >> 1) & 7);
    let mut out = format!("{entry}.{profile:02}.{level:02}.{depth:02}");
    let color = specified(color);
    // Where 4:2:0 chroma is sited (0 or 1) makes no difference to any decoder.
    if subsampling > 1 || color != ColorInfo::BT709 {
        let ColorInfo { primaries, transfer, matrix, full_range } = color;
        let range = u8::from(full_range);
        write!(out, ".{subsampling:02}.{primaries:02}.{transfer:02}.{matrix:02}.{range:02}").ok()?;
    }
    Some(out)
}

/// The string's defaults stand for "unspecified" too: a player decides nothing by that.
fn specified(color: ColorInfo) -> ColorInfo {
    let or_709 = |value: u8| if value == 2 { 1 } else { value };
    ColorInfo {
        primaries: or_709(color.primaries),
        transfer: or_709(color.transfer),
        matrix: or_709(color.matrix),
        full_range: color.full_range,
    }
}

/// `mp4a.40.A`, A being the audio object type (RFC 6381, 3.3).
fn aac(config: &[u8]) -> Option<String> {
    let asc = crate::aac::Config::parse(config).ok()?;
    let object_type = if asc.ps {
        29
    } else if asc.sbr {
        5
    } else {
        asc.object_type
    };
    Some(format!("mp4a.40.{object_type}"))
}

/// `ac-4.bb.vv.cc`: versions of the bit stream and of the presentation, and its compatibility
/// (ETSI TS 103 190-2, E.13).
fn ac4(config: &[u8]) -> Option<String> {
    let config = crate::ac4::Config::parse(config).ok()?;
    let (stream, presentation) = (config.bitstream_version, config.presentation_version);
    Some(format!("ac-4.{stream:02x}.{presentation:02x}.{:02x}", config.compatibility))
}

/// `iamf.PPP.AAA.CODEC`: profiles, and the codec of what is mixed
/// ([IAMF, 6.4](https://aomediacodec.github.io/iamf/#codecsparameter)).
fn iamf(config: &[u8]) -> Option<String> {
    use crate::iamf::{Config, Inner};
    let config = Config::parse(config).ok()?;
    let inner = match config.inner {
        Inner::Opus => "Opus",
        Inner::Aac => "mp4a.40.2",
        Inner::Flac => "fLaC",
        Inner::Pcm => "ipcm",
    };
    Some(format!("iamf.{:03}.{:03}.{inner}", config.primary, config.additional))
}
