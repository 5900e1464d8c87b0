//! What is asked for, in the driver's words: as `options::device_options` says it to FFmpeg's encoders.

use sv_core::{Codec, ColorInfo};

use super::structs::{Config, Vui};
use super::sys;
use crate::Error;
use crate::backend::Picture;
use crate::encode::{self, Cap, Effort, Rate};

/// Most pictures that the rate control may look ahead: each is kept on the device.
const MOST_LOOKAHEAD: u16 = 16;

/// The preset: what the options say, or else the effort.
pub(super) fn preset(config: &encode::Video) -> Result<sys::Guid, Error> {
    let mut number = match config.effort {
        Effort::Fastest => 1,
        Effort::Faster => 2,
        Effort::Fast => 4,
        Effort::Balanced => 5,
        Effort::Best => 7,
    };
    for (key, value) in &config.options {
        let asked = value.strip_prefix('p').and_then(|n| n.parse::<usize>().ok());
        number = match asked.filter(|n| key == "preset" && (1..=7).contains(n)) {
            Some(number) => number,
            None => {
                return Err(Error::Invalid(format!(
                    "the encoder nvenc has the option preset, p1 to p7, and not {key}={value}"
                )));
            }
        };
    }
    Ok(sys::PRESETS[number - 1])
}

/// Changes a preset's configuration to what is asked for. Gives for how many pictures the encoder will look
/// ahead; `looks` says whether it can.
pub(super) fn apply(to: &mut Config, config: &encode::Video, picture: &Picture, looks: bool) -> usize {
    to.version = sys::CONFIG_VERSION;
    // Key frames are where they are asked for, and nothing is decoded before it is shown.
    (to.group, to.interval) = (sys::INFINITE, 1);
    (to.monochrome, to.fields) = (0, sys::FIELDS_FRAME);
    rate(to, config);
    let ahead = &mut to.rate;
    if looks && ahead.flags & sys::RATE_LOOKAHEAD != 0 {
        ahead.lookahead = ahead.lookahead.min(MOST_LOOKAHEAD);
        ahead.flags |= sys::RATE_NO_SCENE_CUTS;
    } else {
        ahead.lookahead = 0;
        ahead.flags &= !sys::RATE_LOOKAHEAD;
    }
    codec(to, config.codec, picture);
    to.rate.lookahead.into()
}

fn rate(to: &mut Config, config: &encode::Video) {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let to = &mut to.rate;
    to.mode = sys::RATE_VARIABLE;
    (to.quality, to.quality_fraction, to.initial) = (0, 0, 0);
    match config.rate {
        Rate::Quality { crf, cap } => {
            // Factors of devices go to 51 in every codec; ours to 63 in AV1. 0 would mean none.
            let factor = if config.codec == Codec::Av1 { crf * 51.0 / 63.0 } else { crf };
            let [fraction, whole] = ((factor.clamp(1.0, 51.0) * 256.0).round() as u16).to_le_bytes();
            (to.quality, to.quality_fraction) = (whole, fraction);
            // A factor goes with a cap, and with no average and no buffer.
            (to.average, to.buffer) = (0, 0);
            to.most = cap.map_or(0, |cap| number(cap.bitrate));
        }
        Rate::Average { bitrate, cap } => {
            let loose = Cap { bitrate: bitrate.saturating_mul(2), buffer: bitrate.saturating_mul(2) };
            let cap = cap.unwrap_or(loose);
            to.average = number(bitrate);
            to.most = number(cap.bitrate.max(bitrate));
            to.buffer = number(cap.buffer);
        }
    }
}

fn codec(to: &mut Config, codec: Codec, picture: &Picture) {
    let (color, ten) = (picture.frame.color, picture.bit_depth > 8);
    match codec {
        Codec::H264 => {
            to.profile = sys::H264_HIGH;
            // SAFETY: the driver filled the part of this codec; it holds numbers, of which any will do.
            let part = unsafe { &mut to.codec.h264 };
            part.flags = part.flags & !sys::H264_REPEAT_SETS | sys::H264_NO_SETS;
            (part.level, part.idr_period) = (0, sys::INFINITE);
            (part.slice_mode, part.slice_data) = (3, 1);
            (part.chroma, part.b_reference) = (1, 0);
            vui(&mut part.vui, color);
        }
        Codec::Hevc => {
            to.profile = profile(codec, picture.bit_depth);
            // SAFETY: as above.
            let part = unsafe { &mut to.codec.hevc };
            part.flags &= !(sys::HEVC_REPEAT_SETS | sys::HEVC_CHROMA | sys::HEVC_DEPTH);
            part.flags |= sys::HEVC_NO_SETS | sys::HEVC_CHROMA_420 | if ten { sys::HEVC_DEPTH_10 } else { 0 };
            (part.level, part.tier, part.idr_period) = (0, 0, sys::INFINITE);
            (part.slice_mode, part.slice_data, part.b_reference) = (3, 1, 0);
            vui(&mut part.vui, color);
        }
        _ => {
            to.profile = sys::AV1_MAIN;
            // SAFETY: as above.
            let part = unsafe { &mut to.codec.av1 };
            part.flags &= !(sys::AV1_ANNEX_B | sys::AV1_NO_HEADER | sys::AV1_CHROMA | sys::AV1_DEPTHS);
            // With every key frame, so that another encoder can go on in the same stream.
            part.flags |= sys::AV1_REPEAT_HEADER | sys::AV1_CHROMA_420;
            part.flags |= if ten { sys::AV1_DEPTHS_10 } else { 0 };
            (part.level, part.tier, part.idr_period) = (sys::AV1_LEVEL_AUTO, 0, sys::INFINITE);
            part.b_reference = 0;
            (part.primaries, part.transfer) = (color.primaries.into(), color.transfer.into());
            (part.matrix, part.full_range) = (color.matrix.into(), color.full_range.into());
        }
    }
}

/// The profile that pictures of this depth need.
pub(super) fn profile(codec: Codec, depth: u8) -> sys::Guid {
    match codec {
        Codec::H264 => sys::H264_HIGH,
        Codec::Hevc if depth > 8 => sys::HEVC_MAIN10,
        Codec::Hevc => sys::HEVC_MAIN,
        _ => sys::AV1_MAIN,
    }
}

fn vui(to: &mut Vui, color: ColorInfo) {
    let said = (color.primaries, color.transfer, color.matrix) != (2, 2, 2);
    to.format = sys::VIDEO_FORMAT_UNSPECIFIED;
    to.full_range = color.full_range.into();
    to.colour_present = said.into();
    to.signal_present = (said || color.full_range).into();
    (to.primaries, to.transfer) = (color.primaries.into(), color.transfer.into());
    to.matrix = color.matrix.into();
}

#[cfg(test)]
mod tests {
    use super::super::structs::Plain as _;
    use super::*;

    fn config(codec: Codec, rate: Rate) -> Config {
        let mut config = encode::Video::new(codec);
        config.rate = rate;
        let mut to = Config::zero();
        super::rate(&mut to, &config);
        to
    }

    #[test]
    fn factors_have_fractions_and_fit_the_device() {
        let rate = |codec, crf| config(codec, Rate::Quality { crf, cap: None }).rate;
        let got = |codec, crf| (rate(codec, crf).quality, rate(codec, crf).quality_fraction);
        assert_eq!(got(Codec::H264, 23.5), (23, 128));
        assert_eq!(got(Codec::Hevc, 0.0), (1, 0));
        assert_eq!(got(Codec::H264, 99.0), (51, 0));
        assert_eq!(got(Codec::Av1, 63.0), (51, 0));
        assert_eq!(got(Codec::H264, f32::NAN).1, 0);
    }

    #[test]
    fn caps_bound_both_kinds_of_rate() {
        let cap = Some(Cap { bitrate: 6_000_000, buffer: 9_000_000 });
        let quality = config(Codec::H264, Rate::Quality { crf: 20.0, cap }).rate;
        assert_eq!((quality.average, quality.most, quality.quality), (0, 6_000_000, 20));
        let average = config(Codec::H264, Rate::Average { bitrate: 4_000_000, cap }).rate;
        assert_eq!((average.average, average.most, average.buffer), (4_000_000, 6_000_000, 9_000_000));
        assert_eq!(average.quality, 0);
    }

    #[test]
    fn options_choose_a_preset_and_nothing_else() {
        let mut config = encode::Video::new(Codec::H264);
        assert!(preset(&config).is_ok_and(|guid| guid == sys::PRESETS[3]));
        config.options = vec![("preset".into(), "p6".into())];
        assert!(preset(&config).is_ok_and(|guid| guid == sys::PRESETS[5]));
        for wrong in [("preset", "p8"), ("preset", "slow"), ("bf", "3")] {
            config.options = vec![(wrong.0.into(), wrong.1.into())];
            let error = preset(&config).unwrap_err();
            assert!(error.to_string().contains(wrong.0), "{error}");
        }
    }
}
