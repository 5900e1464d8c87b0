//! AV1 by rav1e.

use std::collections::VecDeque;

use bytes::Bytes;
use rav1e::color::{
    ChromaticityPoint, ColorPrimaries, ContentLight, MasteringDisplay, MatrixCoefficients, PixelRange,
    TransferCharacteristics,
};
use rav1e::prelude::{
    ColorDescription, Config, Context, EncoderConfig, EncoderStatus, FrameParameters, FrameType,
    FrameTypeOverride, Pixel, Rational, SceneDetectionSpeed,
};
use sv_core::{ColorInfo, Duration, HdrMetadata, Packet, Timestamp, TrackId, VideoFrame};

use crate::Error;
use crate::backend::{EncodeVideo, Picture};
use crate::encode::{self, Effort, Rate};

fn library(reason: impl ToString) -> Error {
    Error::Library { library: "rav1e", reason: reason.to_string() }
}

pub(super) fn encoder(config: &encode::Video, picture: &Picture) -> Result<Box<dyn EncodeVideo>, Error> {
    Ok(match picture.bit_depth {
        10 => Box::new(Encoder::<u16>::open(config, picture)?),
        _ => Box::new(Encoder::<u8>::open(config, picture)?),
    })
}

struct Encoder<T: Pixel> {
    context: Context<T>,
    config: Bytes,
    /// Time, duration and whether a key frame was asked for, of pictures that are not out yet.
    times: VecDeque<(Timestamp, Duration, bool)>,
}

impl<T: Pixel> Encoder<T> {
    fn open(config: &encode::Video, picture: &Picture) -> Result<Self, Error> {
        let threads = usize::try_from(config.threads.max(1)).unwrap_or(1);
        let level = level(picture);
        let settings = settings(config, picture, level);
        let context: Context<T> = Config::new()
            .with_encoder_config(settings)
            .with_threads(threads)
            .new_context()
            .map_err(library)?;
        // It writes "no level" there, which no player likes to read.
        let mut record = context.container_sequence_header();
        if let Some(byte) = record.get_mut(1) {
            *byte = (*byte & 0xe0) | level;
        }
        Ok(Self { context, config: record.into(), times: VecDeque::new() })
    }
}

fn settings(config: &encode::Video, picture: &Picture, level: u8) -> EncoderConfig {
    let frame = &picture.frame;
    let mut settings = EncoderConfig::with_speed_preset(match config.effort {
        Effort::Fastest | Effort::Faster | Effort::Fast => 10,
        Effort::Balanced => 8,
        Effort::Best => 6,
    });
    settings.width = frame.width as usize;
    settings.height = frame.height as usize;
    settings.bit_depth = usize::from(picture.bit_depth);
    let rate = picture.frame_rate;
    settings.time_base = Rational::new(rate.den().into(), rate.num().into());
    settings.level_idx = Some(level);
    settings.pixel_range = if frame.color.full_range { PixelRange::Full } else { PixelRange::Limited };
    settings.color_description = description(frame.color);
    (settings.mastering_display, settings.content_light) = metadata(frame.hdr);
    // Key frames are where we ask for them, and nowhere else.
    settings.set_key_frame_interval(0, 0);
    settings.speed_settings.scene_detection_mode = SceneDetectionSpeed::None;
    match config.rate {
        // Its quantiser has four steps for each of the usual factor.
        Rate::Quality { crf, .. } => settings.quantizer = (crf * 4.0).clamp(1.0, 255.0) as usize,
        Rate::Average { bitrate, .. } => settings.bitrate = i32::try_from(bitrate).unwrap_or(i32::MAX),
    }
    settings
}

/// The smallest level that holds the picture size and rate (AV1, annex A.3).
fn level(picture: &Picture) -> u8 {
    const LEVELS: [(u8, u64, u64); 11] = [
        (0, 147_456, 4_423_680),
        (1, 278_784, 8_363_520),
        (4, 665_856, 19_975_680),
        (5, 1_065_024, 31_950_720),
        (8, 2_359_296, 70_778_880),
        (9, 2_359_296, 141_557_760),
        (12, 8_912_896, 267_386_880),
        (13, 8_912_896, 534_773_760),
        (14, 8_912_896, 1_069_547_520),
        (16, 35_651_584, 1_069_547_520),
        (17, 35_651_584, 2_139_095_040),
    ];
    let size = u64::from(picture.frame.width) * u64::from(picture.frame.height);
    let rate = size as f64 * picture.frame_rate.to_f64();
    LEVELS.iter().find(|(_, s, r)| size <= *s && rate <= *r as f64).map_or(18, |(level, ..)| *level)
}

/// Colours that the encoder has names for; others are left unsaid rather than said wrongly.
fn description(color: ColorInfo) -> Option<ColorDescription> {
    let color_primaries = match color.primaries {
        1 => ColorPrimaries::BT709,
        2 => ColorPrimaries::Unspecified,
        5 => ColorPrimaries::BT470BG,
        6 => ColorPrimaries::BT601,
        9 => ColorPrimaries::BT2020,
        _ => return None,
    };
    let transfer_characteristics = match color.transfer {
        1 => TransferCharacteristics::BT709,
        2 => TransferCharacteristics::Unspecified,
        5 => TransferCharacteristics::BT470BG,
        6 => TransferCharacteristics::BT601,
        13 => TransferCharacteristics::SRGB,
        14 => TransferCharacteristics::BT2020_10Bit,
        16 => TransferCharacteristics::SMPTE2084,
        18 => TransferCharacteristics::HLG,
        _ => return None,
    };
    let matrix_coefficients = match color.matrix {
        1 => MatrixCoefficients::BT709,
        2 => MatrixCoefficients::Unspecified,
        5 => MatrixCoefficients::BT470BG,
        6 => MatrixCoefficients::BT601,
        9 => MatrixCoefficients::BT2020NCL,
        _ => return None,
    };
    Some(ColorDescription { color_primaries, transfer_characteristics, matrix_coefficients })
}

/// HDR10 metadata in the fixed-point numbers of AV1 (6.7.3 and 6.7.4).
fn metadata(hdr: HdrMetadata) -> (Option<MasteringDisplay>, Option<ContentLight>) {
    let scaled = |value: u32, from: u64, to: u64| {
        u32::try_from((u64::from(value) * to + from / 2) / from).unwrap_or(u32::MAX)
    };
    let point = |[x, y]: [u16; 2]| {
        let fixed = |v: u16| u16::try_from(scaled(v.into(), 50_000, 1 << 16)).unwrap_or(u16::MAX);
        ChromaticityPoint { x: fixed(x), y: fixed(y) }
    };
    let mastering = hdr.mastering.map(|m| MasteringDisplay {
        primaries: m.primaries.map(point),
        white_point: point(m.white),
        max_luminance: scaled(m.max_luminance, 10_000, 1 << 8),
        min_luminance: scaled(m.min_luminance, 10_000, 1 << 14),
    });
    let light = hdr.light.map(|l| ContentLight {
        max_content_light_level: l.max_content,
        max_frame_average_light_level: l.max_average,
    });
    (mastering, light)
}

impl<T: Pixel> EncodeVideo for Encoder<T> {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn push(&mut self, frame: &VideoFrame, _tick: i64, key: bool) -> Result<(), Error> {
        let mut copy = self.context.new_frame();
        for (index, plane) in copy.planes.iter_mut().enumerate() {
            let Some(source) = frame.picture.plane(index) else {
                return Err(Error::Invalid("the picture's samples can't be read".into()));
            };
            plane.copy_from_raw_u8(source.data, source.stride, size_of::<T>());
        }
        let frame_type_override = if key { FrameTypeOverride::Key } else { FrameTypeOverride::No };
        let parameters = FrameParameters { frame_type_override, ..FrameParameters::default() };
        self.times.push_back((frame.pts, frame.duration, key));
        self.context.send_frame((copy, parameters)).map_err(library)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.context.flush();
        Ok(())
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        /// Each round either gives a packet, encodes one picture, or says that it wants more.
        const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0];
        loop {
            let packet = match self.context.receive_packet() {
                Ok(packet) => packet,
                Err(EncoderStatus::Encoded) => continue,
                Err(EncoderStatus::NeedMoreData | EncoderStatus::LimitReached) => return Ok(None),
                Err(error) => return Err(library(error)),
            };
            let is_key = packet.frame_type == FrameType::KEY;
            let Some((pts, duration, key)) = self.times.pop_front() else {
                return Err(library("more packets than pictures"));
            };
            if key && !is_key {
                return Err(library("no key frame where one was asked for"));
            }
            let data = packet.data.strip_prefix(&TEMPORAL_DELIMITER).unwrap_or(&packet.data);
            return Ok(Some(Packet {
                track: id,
                pts,
                dts: pts,
                duration,
                key: is_key,
                data: Bytes::copy_from_slice(data),
                protection: None,
            }));
        }
    }
}
