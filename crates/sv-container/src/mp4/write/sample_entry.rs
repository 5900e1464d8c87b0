//! Sample entries: how the packets of a track are coded, inside `stsd`.

use sv_core::color::DolbyVision;
use sv_core::{AudioInfo, Codec, ColorInfo, KeyId, Media, Protection, Ratio, Scheme, Track, VideoInfo};

use super::boxes::Boxes;
use crate::num::u32_of;
use crate::{Error, Result};

/// Writes the sample entries of a track, behind their number: of a protected track the one of ISO/IEC 23001-7, and where
/// some of it is clear, a second one for that.
pub(super) fn write_all(w: &mut Boxes, track: &Track) -> Result<()> {
    let lead = track.protection.as_ref().is_some_and(|protection| protection.clear_lead);
    w.u32(if lead { CLEAR } else { 1 });
    write(w, track)?;
    if lead {
        write(w, &Track { protection: None, ..track.clone() })?;
    }
    Ok(())
}

/// Whether MP4 has a place for this codec, as it is written here.
#[must_use]
pub const fn supports(codec: Codec) -> bool {
    name(codec).is_some()
}

/// The number of the sample entry of what is clear in a protected track.
pub(super) const CLEAR: u32 = 2;

/// What the sample entries of a codec are called, where it isn't encrypted; `None` for what has no mapping to MP4 here.
const fn name(codec: Codec) -> Option<&'static [u8; 4]> {
    Some(match codec {
        Codec::H264 => b"avc1",
        Codec::Hevc => b"hvc1",
        Codec::Av1 => b"av01",
        Codec::Vp8 => b"vp08",
        Codec::Vp9 => b"vp09",
        Codec::Aac | Codec::Mp3 => b"mp4a",
        Codec::Opus => b"Opus",
        Codec::Ac3 => b"ac-3",
        Codec::Eac3 => b"ec-3",
        Codec::Ac4 => b"ac-4",
        Codec::DtsX => b"dtsx",
        Codec::Flac => b"fLaC",
        Codec::Alac => b"alac",
        Codec::Iamf => b"iamf",
        Codec::WebVtt => b"wvtt",
        Codec::Ttml => b"stpp",
        _ => return None,
    })
}

/// Writes the sample entry of a track; under protection the one of ISO/IEC 23001-7.
fn write(w: &mut Boxes, track: &Track) -> Result<()> {
    let Some(clear) = name(track.codec) else {
        return Err(invalid(track, "its codec has no mapping to MP4 here"));
    };
    if track.config.is_empty() && !matches!(track.codec, Codec::WebVtt | Codec::Mp3) {
        return Err(invalid(track, "its codec configuration is missing"));
    }
    match (&track.media, &track.protection) {
        (Media::Video(video), None) => visual(w, clear, track, video),
        (Media::Video(video), Some(_)) => visual(w, b"encv", track, video),
        (Media::Audio(audio), None) => sound(w, clear, track, audio),
        (Media::Audio(audio), Some(_)) => sound(w, b"enca", track, audio),
        (Media::Text(_), None) => text(w, track),
        (Media::Text(_), Some(_)) => return Err(invalid(track, "text can't be protected")),
    }
    Ok(())
}

fn invalid(track: &Track, problem: &'static str) -> Error {
    Error::InvalidInput { track: track.id.0, problem }
}

/// `VisualSampleEntry` (ISO/IEC 14496-12, 12.1.3).
fn visual(w: &mut Boxes, kind: &[u8; 4], track: &Track, video: &VideoInfo) {
    w.boxed(kind, |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index
        w.zeros(16);
        w.u16(u16::try_from(video.width).unwrap_or(u16::MAX));
        w.u16(u16::try_from(video.height).unwrap_or(u16::MAX));
        w.u32(0x0048_0000); // 72 dpi, as the specification's template says
        w.u32(0x0048_0000);
        w.u32(0);
        w.u16(1); // frame_count
        w.zeros(32); // compressorname
        w.u16(0x0018); // depth
        w.u16(0xFFFF); // pre_defined = -1
        match track.codec {
            Codec::H264 => w.boxed(b"avcC", |w| w.bytes(&track.config)),
            Codec::Hevc => w.boxed(b"hvcC", |w| w.bytes(&track.config)),
            Codec::Av1 => w.boxed(b"av1C", |w| w.bytes(&track.config)),
            // The record has 8 bytes; 12 are one with the version and flags of its box.
            _ if track.config.len() >= 12 => w.boxed(b"vpcC", |w| w.bytes(&track.config)),
            _ => w.full(b"vpcC", 1, 0, |w| w.bytes(&track.config)),
        }
        let ColorInfo { primaries, transfer, matrix, full_range } = video.color;
        if (primaries, transfer, matrix) != (2, 2, 2) || full_range {
            w.boxed(b"colr", |w| {
                w.bytes(b"nclx");
                w.u16(u16::from(primaries));
                w.u16(u16::from(transfer));
                w.u16(u16::from(matrix));
                w.u8(if full_range { 0x80 } else { 0 });
            });
        }
        if video.sample_aspect != Ratio::ONE {
            w.boxed(b"pasp", |w| {
                w.u32(video.sample_aspect.num());
                w.u32(video.sample_aspect.den());
            });
        }
        if let Some(mastering) = video.hdr.mastering {
            w.boxed(b"mdcv", |w| {
                let [red, green, blue] = mastering.primaries;
                // The box wants green first (ISO/IEC 14496-12, 12.1.7).
                for value in [green, blue, red, mastering.white].as_flattened() {
                    w.u16(*value);
                }
                w.u32(mastering.max_luminance);
                w.u32(mastering.min_luminance);
            });
        }
        if let Some(light) = video.hdr.light {
            w.boxed(b"clli", |w| {
                w.u16(light.max_content);
                w.u16(light.max_average);
            });
        }
        if let Some(dolby) = video.dolby_vision {
            dolby_vision(w, dolby);
        }
        if let Some(spherical) = &video.spherical {
            w.full(b"st3d", 0, 0, |w| w.u8(spherical.stereo));
            w.boxed(b"sv3d", |w| w.bytes(&spherical.projection));
        }
        bitrate(w, track);
        protection(w, track);
    });
}

/// `DOVIDecoderConfigurationRecord`; the name of its box goes by profile.
fn dolby_vision(w: &mut Boxes, dolby: DolbyVision) {
    let name = if dolby.profile > 7 { b"dvvC" } else { b"dvcC" };
    w.boxed(name, |w| {
        w.bytes(&[1, 0]); // version
        let flags = 0b101 | u16::from(dolby.enhancement) << 1; // RPU, enhancement and base layer
        w.u16(u16::from(dolby.profile & 0x7F) << 9 | u16::from(dolby.level & 0x3F) << 3 | flags);
        w.u32(u32::from(dolby.compatibility & 0xF) << 28);
        w.zeros(16);
    });
}

/// `AudioSampleEntry` (ISO/IEC 14496-12, 12.2.3).
fn sound(w: &mut Boxes, kind: &[u8; 4], track: &Track, audio: &AudioInfo) {
    w.boxed(kind, |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index
        w.zeros(8);
        w.u16(match (track.codec, audio.channels) {
            // AC-4 says 2 where it doesn't say (ETSI TS 103 190-2, E.4).
            (Codec::Ac4, 0) => 2,
            (_, channels) => channels,
        });
        w.u16(match audio.bit_depth {
            0 => 16,
            depth => u16::from(depth),
        });
        w.u32(0);
        // 16.16 fixed point: what does not fit is 0, and the codec's own box tells. IAMF leaves all to that
        // (6.2.4).
        let rate = if track.codec == Codec::Iamf { 0 } else { audio.sample_rate };
        w.u32(u16::try_from(rate).map_or(0, u32::from).wrapping_shl(16));
        match track.codec {
            Codec::Opus => w.boxed(b"dOps", |w| w.bytes(&track.config)),
            Codec::Ac3 => w.boxed(b"dac3", |w| w.bytes(&track.config)),
            Codec::Eac3 => w.boxed(b"dec3", |w| w.bytes(&track.config)),
            Codec::Ac4 => w.boxed(b"dac4", |w| w.bytes(&track.config)),
            Codec::DtsX => w.boxed(b"udts", |w| w.bytes(&track.config)),
            Codec::Flac => w.full(b"dfLa", 0, 0, |w| w.bytes(&track.config)),
            Codec::Alac => w.full(b"alac", 0, 0, |w| w.bytes(&track.config)),
            Codec::Iamf => w.boxed(b"iacb", |w| w.bytes(&track.config)),
            _ => elementary_stream(w, track),
        }
        bitrate(w, track);
        protection(w, track);
    });
}

/// `esds` with the descriptors of ISO/IEC 14496-1, 7.2.6.
fn elementary_stream(w: &mut Boxes, track: &Track) {
    let specific = if track.codec == Codec::Mp3 { &[][..] } else { &track.config };
    let specific_len = if specific.is_empty() { 0 } else { specific.len().saturating_add(5) };
    let bitrate = u32_of(track.bitrate.unwrap_or(0));
    w.full(b"esds", 0, 0, |w| {
        descriptor(w, 3, specific_len.saturating_add(3 + 5 + 13 + 5 + 1));
        w.u16(0); // ES_ID
        w.u8(0);
        descriptor(w, 4, specific_len.saturating_add(13));
        w.u8(if track.codec == Codec::Mp3 { 0x6B } else { 0x40 }); // objectTypeIndication
        w.u8(0x15); // an audio stream
        w.zeros(3); // bufferSizeDB
        w.u32(bitrate);
        w.u32(bitrate);
        if !specific.is_empty() {
            descriptor(w, 5, specific.len());
            w.bytes(specific);
        }
        descriptor(w, 6, 1);
        w.u8(2); // the predefined SL configuration of MP4
    });
}

/// A descriptor's tag and its size in four bytes of seven bits.
fn descriptor(w: &mut Boxes, tag: u8, size: usize) {
    w.u8(tag);
    for shift in [21u32, 14, 7, 0] {
        let bits = u8::try_from(size.wrapping_shr(shift) & 0x7F).unwrap_or(0);
        w.u8(if shift == 0 { bits } else { bits | 0x80 });
    }
}

/// `WVTTSampleEntry` (ISO/IEC 14496-30, 7.5) or `XMLSubtitleSampleEntry` (ISO/IEC 14496-12, 12.6.3).
fn text(w: &mut Boxes, track: &Track) {
    if track.codec == Codec::Ttml {
        return w.boxed(b"stpp", |w| {
            w.zeros(6);
            w.u16(1); // data_reference_index
            w.cstr(std::str::from_utf8(&track.config).unwrap_or(crate::ttml::NAMESPACE));
            w.cstr(""); // schema_location
            w.cstr(""); // auxiliary_mime_types: all is in the document
            bitrate(w, track);
        });
    }
    w.boxed(b"wvtt", |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index
        w.boxed(b"vttC", |w| {
            let header: &[u8] = if track.config.is_empty() { b"WEBVTT" } else { &track.config };
            w.bytes(header);
        });
        bitrate(w, track);
    });
}

fn bitrate(w: &mut Boxes, track: &Track) {
    if let Some(bitrate) = track.bitrate {
        w.boxed(b"btrt", |w| {
            w.u32(0);
            w.u32(u32_of(bitrate));
            w.u32(u32_of(bitrate));
        });
    }
}

/// `sinf` (ISO/IEC 23001-7, 4.1 and 8).
fn protection(w: &mut Boxes, track: &Track) {
    let Some((protection, scheme)) = track.protection.as_ref().and_then(|p| Some((p, p.scheme.fourcc()?)))
    else {
        return;
    };
    let original = name(track.codec).unwrap_or(b"mp4a");
    w.boxed(b"sinf", |w| {
        w.boxed(b"frma", |w| w.bytes(original));
        w.full(b"schm", 0, 0, |w| {
            w.bytes(&scheme);
            w.u32(0x0001_0000);
        });
        w.boxed(b"schi", |w| track_encryption(w, protection));
    });
}

/// `tenc` (ISO/IEC 23001-7, 8.2).
fn track_encryption(w: &mut Boxes, protection: &Protection) {
    w.full(b"tenc", u8::from(patterned(protection)), 0, |w| {
        let iv = protection.constant_iv.as_deref().unwrap_or_default();
        encryption_group(w, protection, protection.default_kid, iv);
    });
}

/// Whether blocks are encrypted by a pattern.
fn patterned(protection: &Protection) -> bool {
    matches!(protection.scheme, Scheme::Cens | Scheme::Cbcs)
}

/// What `tenc` and an entry of a `seig` group have in common; `iv` serves samples that have none of their own.
pub(super) fn encryption_group(w: &mut Boxes, protection: &Protection, kid: KeyId, iv: &[u8]) {
    let (crypt, skip) = protection.pattern;
    w.u8(0);
    w.u8(if patterned(protection) { crypt.min(15).wrapping_shl(4) | skip.min(15) } else { 0 });
    w.u8(1); // isProtected
    w.u8(protection.iv_size);
    w.bytes(&kid.0);
    if protection.iv_size == 0 {
        w.u8(u8::try_from(iv.len()).unwrap_or(0));
        w.bytes(iv);
    }
}
