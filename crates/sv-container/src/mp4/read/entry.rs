//! Sample entries (ISO/IEC 14496-12, 8.5.2): how a track's packets are coded.

use bytes::Bytes;
use sv_codec::Reader;
use sv_core::color::{ContentLight, DolbyVision, MasteringDisplay};
use sv_core::{AudioInfo, Codec, ColorInfo, HdrMetadata, Media, Protection, Ratio, TextInfo, VideoInfo};

use super::atom::{Atom, Kind};
use super::crypt;
use super::spherical;
use crate::Result;

/// What one sample entry says.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) codec: Codec,
    pub(super) config: Bytes,
    pub(super) media: Media,
    pub(super) bitrate: Option<u64>,
    pub(super) protection: Option<Protection>,
}

/// Reads a sample entry of a track whose handler is `handler`. `Err` in the inside tells why the
/// track can't be used, as a four-character code or a clause.
pub(super) fn parse(
    atom: &Atom,
    handler: Kind,
    quicktime: bool,
) -> Result<std::result::Result<Entry, String>> {
    let parsed = match &handler {
        b"vide" => visual(atom)?,
        b"soun" => sound(atom, quicktime)?,
        b"text" | b"subt" | b"sbtl" if &atom.kind == b"wvtt" => text(atom)?,
        b"subt" | b"text" | b"sbtl" if &atom.kind == b"stpp" => Some(documents(atom)),
        _ => None,
    };
    Ok(parsed.ok_or_else(|| atom.kind.escape_ascii().to_string()))
}

/// The original format of an encrypted entry, and how it is protected.
fn original(atom: &Atom, children: usize) -> Result<Option<(Kind, Option<Protection>)>> {
    if !matches!(&atom.kind, b"encv" | b"enca") {
        return Ok(Some((atom.kind, None)));
    }
    for child in atom.children(children) {
        let child = child?;
        if &child.kind != b"sinf" {
            continue;
        }
        let format = child.child(b"frma").and_then(|frma| frma.body.first_chunk().copied());
        if let (Some(kind), Some(protection)) = (format, crypt::sinf(&child)?) {
            return Ok(Some((kind, Some(protection))));
        }
    }
    Ok(None)
}

/// `VisualSampleEntry` (12.1.3).
fn visual(atom: &Atom) -> Result<Option<Entry>> {
    const CHILDREN: usize = 78;
    let mut r = atom.reader("the visual sample entry");
    r.skip(24).map_err(atom.error())?;
    let (width, height) = (r.u16().map_err(atom.error())?, r.u16().map_err(atom.error())?);
    let Some((kind, protection)) = original(atom, CHILDREN)? else {
        return Ok(None);
    };
    let (codec, config_box) = match &kind {
        b"avc1" | b"avc2" | b"avc3" | b"avc4" | b"dva1" | b"dvav" => (Codec::H264, b"avcC"),
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => (Codec::Hevc, b"hvcC"),
        b"av01" | b"dav1" => (Codec::Av1, b"av1C"),
        b"vp08" => (Codec::Vp8, b"vpcC"),
        b"vp09" => (Codec::Vp9, b"vpcC"),
        _ => return Ok(None),
    };
    let mut config = None;
    let (mut color, mut aspect, mut hdr, mut bitrate) = (None, None, HdrMetadata::default(), None);
    let mut dolby = None;
    let (mut stereo, mut projection) = (None, None);
    for child in atom.children(CHILDREN) {
        // Padding behind the last box is common; what was found before it stands.
        let Ok(child) = child else { break };
        match &child.kind {
            kind if kind == config_box => config = Some(child.body),
            b"colr" => color = colr(&child.body).or(color),
            b"pasp" => aspect = pasp(&child.body),
            b"mdcv" => hdr.mastering = mdcv(&child.body),
            b"clli" => hdr.light = clli(&child.body),
            b"dvcC" | b"dvvC" => dolby = dolby_vision(&child.body),
            b"btrt" => bitrate = btrt(&child.body),
            b"st3d" => stereo = Some(child.body),
            b"sv3d" => projection = Some(child.body),
            _ => {}
        }
    }
    let Some(mut config) = config else {
        return Ok(None);
    };
    if matches!(codec, Codec::Vp8 | Codec::Vp9) {
        config = if config.len() >= 4 { config.slice(4..) } else { config };
    }
    let mut video = match sv_codec::describe(codec, &config, None) {
        Some(Media::Video(video)) => video,
        _ => VideoInfo::new(u32::from(width), u32::from(height)),
    };
    if let (Codec::Vp8 | Codec::Vp9, Ok(vpx)) = (codec, sv_codec::vp9::Config::parse(&config)) {
        (video.bit_depth, video.color) = (vpx.bit_depth, vpx.color);
    }
    video.color = color.unwrap_or(video.color);
    video.sample_aspect = aspect.unwrap_or(video.sample_aspect);
    video.hdr.mastering = hdr.mastering.or(video.hdr.mastering);
    video.hdr.light = hdr.light.or(video.hdr.light);
    video.dolby_vision = dolby;
    video.spherical = spherical::v2(stereo.as_ref(), projection.as_ref());
    Ok(Some(Entry { codec, config, media: Media::Video(video), bitrate, protection }))
}

/// `nclx` of ISO files and `nclc` of QuickTime, which lacks the range.
fn colr(body: &[u8]) -> Option<ColorInfo> {
    let mut r = Reader::new("colr", body);
    let kind: Kind = r.array().ok()?;
    if !matches!(&kind, b"nclx" | b"nclc") {
        return None;
    }
    let mut point = || r.u16().ok().and_then(|v| u8::try_from(v).ok());
    let (primaries, transfer, matrix) = (point()?, point()?, point()?);
    let full_range = &kind == b"nclx" && r.u8().is_ok_and(|b| b & 0x80 != 0);
    Some(ColorInfo { primaries, transfer, matrix, full_range })
}

fn pasp(body: &[u8]) -> Option<Ratio> {
    let mut r = Reader::new("pasp", body);
    Ratio::new(r.u32().ok()?, r.u32().ok()?)
}

fn mdcv(body: &[u8]) -> Option<MasteringDisplay> {
    let mut r = Reader::new("mdcv", body);
    let mut point = || Some([r.u16().ok()?, r.u16().ok()?]);
    let (green, blue, red, white) = (point()?, point()?, point()?, point()?);
    let (max_luminance, min_luminance) = (r.u32().ok()?, r.u32().ok()?);
    Some(MasteringDisplay { primaries: [red, green, blue], white, max_luminance, min_luminance })
}

fn clli(body: &[u8]) -> Option<ContentLight> {
    let mut r = Reader::new("clli", body);
    Some(ContentLight { max_content: r.u16().ok()?, max_average: r.u16().ok()? })
}

/// `DOVIDecoderConfigurationRecord`; one without RPUs is of no use.
fn dolby_vision(body: &[u8]) -> Option<DolbyVision> {
    let mut r = Reader::new("dvcC", body);
    r.skip(2).ok()?;
    let (bits, compatibility) = (r.u16().ok()?, r.u8().ok()? >> 4);
    let [high, _] = bits.to_be_bytes();
    let level = u8::try_from(bits >> 3 & 0x3F).ok()?;
    let dolby = DolbyVision { profile: high >> 1, level, enhancement: bits & 2 != 0, compatibility };
    (bits & 4 != 0).then_some(dolby)
}

fn btrt(body: &[u8]) -> Option<u64> {
    let mut r = Reader::new("btrt", body);
    r.skip(8).ok()?;
    r.u32().ok().filter(|rate| *rate > 0).map(u64::from)
}

/// `AudioSampleEntry` (12.2.3), and its QuickTime variants with more fields.
fn sound(atom: &Atom, quicktime: bool) -> Result<Option<Entry>> {
    let mut r = atom.reader("the audio sample entry");
    r.skip(8).map_err(atom.error())?;
    let version = r.u16().map_err(atom.error())?;
    r.skip(6).map_err(atom.error())?;
    let channels = r.u16().map_err(atom.error())?;
    let bit_depth = r.u16().map_err(atom.error())?;
    r.skip(4).map_err(atom.error())?;
    let sample_rate = r.u32().map_err(atom.error())? >> 16;
    let children = match version {
        1 if quicktime => 28 + 16,
        2 if quicktime => 28 + 36,
        _ => 28,
    };
    let Some((kind, protection)) = original(atom, children)? else {
        return Ok(None);
    };
    let (mut config, mut bitrate) = (None, None);
    let mut elementary = None;
    for child in atom.children(children) {
        let Ok(child) = child else { break };
        match &child.kind {
            b"esds" => elementary = esds(&child),
            // QuickTime wraps it once more.
            b"wave" => {
                elementary = child.child(b"esds").as_ref().and_then(esds).or(elementary);
                let cookie = child.child(b"alac").filter(|cookie| cookie.body.len() >= 4);
                config = cookie.map(|cookie| cookie.body.slice(4..)).or(config);
            }
            b"dOps" | b"dac3" | b"dec3" | b"dac4" | b"udts" | b"iacb" => config = Some(child.body),
            b"dfLa" | b"alac" => config = (child.body.len() >= 4).then(|| child.body.slice(4..)),
            b"btrt" => bitrate = btrt(&child.body),
            _ => {}
        }
    }
    let (codec, config) = match (&kind, config, elementary) {
        (b"mp4a", _, Some((0x40 | 0x66..=0x68, specific, _))) if !specific.is_empty() => {
            (Codec::Aac, specific)
        }
        (b"mp4a", _, Some((0x69 | 0x6B, ..))) | (b".mp3", ..) => (Codec::Mp3, Bytes::new()),
        (b"Opus", Some(config), _) => (Codec::Opus, config),
        (b"fLaC", Some(config), _) => (Codec::Flac, config),
        (b"ac-3", Some(config), _) => (Codec::Ac3, config),
        (b"ec-3", Some(config), _) => (Codec::Eac3, config),
        (b"ac-4", Some(config), _) => (Codec::Ac4, config),
        (b"dtsx", Some(config), _) => (Codec::DtsX, config),
        (b"alac", Some(config), _) => (Codec::Alac, config),
        (b"iamf", Some(config), _) => (Codec::Iamf, config),
        _ => return Ok(None),
    };
    let bitrate = bitrate.or_else(|| elementary_rate(atom, children));
    let media = sv_codec::describe(codec, &config, None).unwrap_or_else(|| {
        let bit_depth = if codec == Codec::Flac { u8::try_from(bit_depth).unwrap_or(0) } else { 0 };
        Media::Audio(AudioInfo { sample_rate, channels, delay: 0, bit_depth })
    });
    Ok(Some(Entry { codec, config, media, bitrate, protection }))
}

/// The average bit rate that `esds` tells, if it does.
fn elementary_rate(atom: &Atom, children: usize) -> Option<u64> {
    let esds_box = atom.children(children).map_while(Result::ok).find(|child| &child.kind == b"esds")?;
    esds(&esds_box).map(|(_, _, rate)| u64::from(rate)).filter(|rate| *rate > 0)
}

/// Object type, decoder specific info and average bit rate of `esds` (ISO/IEC 14496-1, 7.2.6).
fn esds(atom: &Atom) -> Option<(u8, Bytes, u32)> {
    let mut r = Reader::new("esds", &atom.body);
    r.skip(4).ok()?;
    descriptor(&mut r, 3)?;
    r.skip(2).ok()?;
    let flags = r.u8().ok()?;
    if flags & 0x80 != 0 {
        r.skip(2).ok()?;
    }
    if flags & 0x40 != 0 {
        let url = r.u8().ok()?;
        r.skip(usize::from(url)).ok()?;
    }
    if flags & 0x20 != 0 {
        r.skip(2).ok()?;
    }
    descriptor(&mut r, 4)?;
    let object_type = r.u8().ok()?;
    r.skip(8).ok()?;
    let rate = r.u32().ok()?;
    let specific = descriptor(&mut r, 5).map(|len| atom.slice(r.pos(), len)).unwrap_or_default();
    Some((object_type, specific, rate))
}

/// The size of the descriptor that begins here, if it has this tag.
fn descriptor(r: &mut Reader<'_>, tag: u8) -> Option<usize> {
    if r.u8().ok()? != tag {
        return None;
    }
    let mut size = 0usize;
    for _ in 0..4 {
        let byte = r.u8().ok()?;
        size = size.wrapping_shl(7) | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
    Some(size)
}

/// `WVTTSampleEntry` (ISO/IEC 14496-30, 7.5).
fn text(atom: &Atom) -> Result<Option<Entry>> {
    let header = atom.children(8).map_while(Result::ok).find(|child| &child.kind == b"vttC");
    Ok(Some(Entry {
        codec: Codec::WebVtt,
        config: header.map(|vttc| vttc.body).unwrap_or_default(),
        media: Media::Text(TextInfo::default()),
        bitrate: None,
        protection: None,
    }))
}

/// `XMLSubtitleSampleEntry` (ISO/IEC 14496-12, 12.6.3), of which TTML is one (14496-30, 5.3).
fn documents(atom: &Atom) -> Entry {
    let body = atom.body.get(8..).unwrap_or_default();
    let length = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    Entry {
        codec: Codec::Ttml,
        config: atom.slice(8, length),
        media: Media::Text(TextInfo::default()),
        bitrate: None,
        protection: None,
    }
}
