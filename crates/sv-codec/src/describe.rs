//! What a codec configuration says about pictures and sound.

use sv_core::{AudioInfo, Codec, Media, Ratio, TextInfo, VideoInfo};

use crate::{aac, ac3, ac4, alac, av1, dtsx, flac, h264, hevc, iamf, mpa, nal, opus, vp8, vp9};

/// Size, colour, rate and the like, as `config` tells them; where the configuration leaves
/// something open (parameter sets inside packets, MPEG audio), the first packet may tell.
///
/// `config` has the form of [`Track::config`](sv_core::Track::config). `None` where neither tells
/// enough.
#[must_use]
pub fn describe(codec: Codec, config: &[u8], first_packet: Option<&[u8]>) -> Option<Media> {
    match codec {
        Codec::H264 => h264_info(config, first_packet).map(Media::Video),
        Codec::Hevc => hevc_info(config, first_packet).map(Media::Video),
        Codec::Av1 => av1_info(config, first_packet).map(Media::Video),
        Codec::Vp8 => {
            let (width, height) = vp8::Header::parse(first_packet?).ok()?.size?;
            Some(Media::Video(VideoInfo::new(width, height)))
        }
        Codec::Vp9 => vp9_info(config, first_packet).map(Media::Video),
        Codec::Aac => {
            let config = aac::Config::parse(config).ok()?;
            Some(sound(config.sample_rate, config.channels, 0))
        }
        Codec::Opus => Some(sound(48000, u16::from(opus::Config::parse(config).ok()?.channels), 0)),
        Codec::Ac3 => ac3::parse_dac3(config).ok().map(|c| sound(c.sample_rate, c.channels, 0)),
        Codec::Eac3 => ac3::parse_dec3(config).ok().map(|c| sound(c.sample_rate, c.channels, 0)),
        Codec::Flac => {
            let info = flac::StreamInfo::parse(config).ok()?;
            Some(sound(info.sample_rate, info.channels, info.bit_depth))
        }
        Codec::Ac4 => {
            let config = ac4::Config::parse(config).ok()?;
            // Objects are mixed for the loudspeakers that there are.
            Some(sound(config.sample_rate, config.channels().unwrap_or(0), 0))
        }
        Codec::DtsX => {
            let config = dtsx::Config::parse(config).ok()?;
            Some(sound(config.sample_rate, config.channels(), 0))
        }
        Codec::Alac => {
            let config = alac::Config::parse(config).ok()?;
            Some(sound(config.sample_rate, u16::from(config.channels), config.bit_depth))
        }
        Codec::Iamf => Some(sound(iamf::Config::parse(config).ok()?.sample_rate, 0, 0)),
        Codec::Mp3 => {
            let header = mpa::Header::parse(first_packet?).ok()?;
            Some(sound(header.sample_rate, header.channels, 0))
        }
        Codec::WebVtt | Codec::Ttml => Some(Media::Text(TextInfo::default())),
        _ => None,
    }
}

fn sound(sample_rate: u32, channels: u16, bit_depth: u8) -> Media {
    Media::Audio(AudioInfo { sample_rate, channels, delay: 0, bit_depth })
}

fn h264_info(config: &[u8], first_packet: Option<&[u8]>) -> Option<VideoInfo> {
    let config = h264::Config::parse(config).ok()?;
    let sps = match config.sps.first() {
        Some(unit) => h264::Sps::parse(unit).ok()?,
        None => nal::units(first_packet?, config.length_size)
            .map_while(Result::ok)
            .find(|unit| h264::unit_type(unit.data) == h264::SPS)
            .and_then(|unit| h264::Sps::parse(unit.data).ok())?,
    };
    Some(VideoInfo {
        sample_aspect: sps.sample_aspect.unwrap_or(Ratio::ONE),
        frame_rate: sps.frame_rate,
        color: sps.color.unwrap_or_default(),
        interlaced: !sps.frame_mbs_only,
        bit_depth: sps.bit_depth_luma,
        ..VideoInfo::new(sps.width, sps.height)
    })
}

fn hevc_info(config: &[u8], first_packet: Option<&[u8]>) -> Option<VideoInfo> {
    let config = hevc::Config::parse(config).ok()?;
    let in_packet: Vec<&[u8]> = nal::units(first_packet.unwrap_or_default(), config.length_size)
        .map_while(Result::ok)
        .map(|unit| unit.data)
        .collect();
    let units = || config.units().map(|unit| &**unit).chain(in_packet.iter().copied());
    let sps =
        units().filter(|unit| hevc::unit_type(unit) == hevc::SPS).find_map(|u| hevc::Sps::parse(u).ok())?;
    Some(VideoInfo {
        sample_aspect: sps.sample_aspect.unwrap_or(Ratio::ONE),
        frame_rate: sps.frame_rate,
        color: sps.color.unwrap_or_default(),
        hdr: hevc::sei::hdr(units()),
        interlaced: sps.field_pictures,
        bit_depth: sps.bit_depth_luma,
        ..VideoInfo::new(sps.width, sps.height)
    })
}

fn av1_info(config: &[u8], first_packet: Option<&[u8]>) -> Option<VideoInfo> {
    let stored = av1::Config::parse(config).ok();
    let found = || av1::Config::from_packet(first_packet?).ok();
    // A record may come without units: then the first packet has them.
    let config = stored.filter(|config| config.sequence().is_ok()).or_else(found)?;
    let sequence = config.sequence().ok()?;
    let mut hdr = av1::metadata::hdr(&config.obus);
    let later = av1::metadata::hdr(first_packet.unwrap_or_default());
    hdr.mastering = hdr.mastering.or(later.mastering);
    hdr.light = hdr.light.or(later.light);
    Some(VideoInfo {
        frame_rate: sequence.frame_rate,
        color: sequence.color,
        hdr,
        bit_depth: sequence.bit_depth,
        ..VideoInfo::new(sequence.width, sequence.height)
    })
}

/// `vpcC` has no size: it needs a key frame.
fn vp9_info(config: &[u8], first_packet: Option<&[u8]>) -> Option<VideoInfo> {
    let frame = vp9::frames(first_packet?).first().copied()?;
    let format = vp9::Header::parse(frame).ok()?.format?;
    let color = vp9::Config::parse(config).map_or(format.color, |config| config.color);
    Some(VideoInfo { color, bit_depth: format.bit_depth, ..VideoInfo::new(format.width, format.height) })
}
