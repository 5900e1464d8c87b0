//! What a codec configuration says about pictures and sound.

use sv_core::{AudioInfo, Codec, Media, Ratio, TextInfo, VideoInfo};

use crate::{aac, h264};

/// Size, colour, rate and the like, as `config` tells them; where the configuration leaves
/// something open (parameter sets inside packets, MPEG audio), the first packet may tell.
///
/// `config` has the form of [`Track::config`](sv_core::Track::config). `None` where neither tells
/// enough.
#[must_use]
pub fn describe(codec: Codec, config: &[u8], first_packet: Option<&[u8]>) -> Option<Media> {
    match codec {
        Codec::H264 => h264_info(config, first_packet).map(Media::Video),
        Codec::Aac => {
            let config = aac::Config::parse(config).ok()?;
            Some(sound(config.sample_rate, config.channels, 0))
        }
        Codec::WebVtt => Some(Media::Text(TextInfo::default())),
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
        None => crate::nal::units(first_packet?, config.length_size)
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
