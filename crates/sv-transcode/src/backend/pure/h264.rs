//! H.264 by OpenH264.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, DecoderConfig, Flush};
use openh264::encoder::{
    BitRate, ColorPrimaries, Complexity, EncoderConfig, FrameRate, FrameType, MatrixCoefficients, QpRange,
    RateControlMode, TransferCharacteristics, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use sv_codec::{h264, nal};
use sv_core::frame::Plane;
use sv_core::{
    Codec, ColorInfo, Duration, Frame, HdrMetadata, Packet, PixelFormat, Planes, Timestamp, Track, TrackId,
    VideoFrame,
};

use crate::Error;
use crate::backend::{Decode, EncodeVideo, Picture};
use crate::encode::{self, Effort, Rate};

const SPS: u8 = 7;
const PPS: u8 = 8;

fn library(error: &openh264::Error) -> Error {
    Error::Library { library: "openh264", reason: error.to_string() }
}

pub(super) struct Decoder {
    decoder: openh264::decoder::Decoder,
    length_size: u8,
    /// Parameter sets that are still to be given to the decoder.
    headers: Vec<u8>,
    /// Times of packets whose pictures are not out yet, smallest first: pictures come out in the
    /// order in which they are shown.
    times: BinaryHeap<Reverse<(Timestamp, Duration)>>,
    ready: VecDeque<VideoFrame>,
    color: ColorInfo,
    hdr: HdrMetadata,
}

impl Decoder {
    pub(super) fn open(track: &Track) -> Result<Self, Error> {
        let config = h264::Config::parse(&track.config)
            .map_err(|error| Error::Invalid(format!("track {}: {error}", track.id.0)))?;
        let decoding = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), decoding)
            .map_err(|error| library(&error))?;
        let mut headers = Vec::new();
        for unit in config.sps.iter().chain(&config.pps) {
            headers.extend_from_slice(&[0, 0, 0, 1]);
            headers.extend_from_slice(unit);
        }
        let (color, hdr) = track.video().map(|v| (v.color, v.hdr)).unwrap_or_default();
        Ok(Self {
            decoder,
            length_size: config.length_size,
            headers,
            times: BinaryHeap::new(),
            ready: VecDeque::new(),
            color,
            hdr,
        })
    }

    fn frame(&mut self, planes: Planes, width: u32, height: u32) {
        let Some(Reverse((pts, duration))) = self.times.pop() else { return };
        let picture = Arc::new(planes);
        self.ready.push_back(VideoFrame {
            pts,
            duration,
            width,
            height,
            color: self.color,
            hdr: self.hdr,
            dynamic: sv_core::color::DynamicMetadata::default(),
            picture,
        });
    }
}

/// A copy of the decoder's picture, which it will overwrite.
fn copy(picture: &DecodedYUV<'_>) -> (Planes, u32, u32) {
    let (width, height) = picture.dimensions();
    let (sy, su, sv) = picture.strides();
    let plane = |data: &[u8], stride: usize, w: usize, h: usize| {
        let mut out = Vec::with_capacity(w * h);
        data.chunks(stride.max(1)).take(h).for_each(|row| out.extend_from_slice(row.get(..w).unwrap_or(row)));
        (out, w)
    };
    let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
    let planes = vec![
        plane(picture.y(), sy, width, height),
        plane(picture.u(), su, cw, ch),
        plane(picture.v(), sv, cw, ch),
    ];
    let size = |n: usize| u32::try_from(n).unwrap_or(0);
    (Planes { format: PixelFormat::Yuv420p8, planes }, size(width), size(height))
}

impl Decode for Decoder {
    fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        let damaged = |reason: String| Error::Damaged { codec: Codec::H264, reason };
        let mut stream = std::mem::take(&mut self.headers);
        for unit in nal::units(&packet.data, self.length_size) {
            let unit = unit.map_err(|error| damaged(error.to_string()))?;
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(unit.data);
        }
        self.times.push(Reverse((packet.pts, packet.duration)));
        match self.decoder.decode(&stream) {
            Ok(picture) => {
                if let Some((planes, width, height)) = picture.as_ref().map(copy) {
                    self.frame(planes, width, height);
                }
                Ok(())
            }
            Err(error) => {
                // Its picture will not come, so nothing may take its time.
                self.times.retain(|Reverse((pts, _))| *pts != packet.pts);
                Err(damaged(error.to_string()))
            }
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        let rest = self.decoder.flush_remaining().map_err(|error| library(&error))?;
        let rest: Vec<_> = rest.iter().map(copy).collect();
        rest.into_iter().for_each(|(planes, width, height)| self.frame(planes, width, height));
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Frame>, Error> {
        Ok(self.ready.pop_front().map(Frame::Video))
    }
}

pub(super) struct Encoder {
    encoder: openh264::encoder::Encoder,
    config: Bytes,
    ready: VecDeque<Packet>,
}

impl Encoder {
    pub(super) fn open(config: &encode::Video, picture: &Picture) -> Result<Self, Error> {
        let fresh = || {
            openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), settings(config, picture))
                .map_err(|error| library(&error))
        };
        // The parameter sets come with the first picture only, and are needed before it.
        let mut trial = fresh()?;
        let source = Source::new(&picture.frame)?;
        let stream = trial.encode(&source).map_err(|error| library(&error))?.to_vec();
        let of = |kind| -> Vec<Bytes> {
            let units =
                nal::annex_b(&stream).map(|unit| unit.data).filter(|unit| h264::unit_type(unit) == kind);
            units.map(Bytes::copy_from_slice).collect()
        };
        let record = h264::Config::from_parameter_sets(of(SPS), of(PPS))
            .map_err(|error| Error::Library { library: "openh264", reason: error.to_string() })?;
        Ok(Self { encoder: fresh()?, config: record.build(), ready: VecDeque::new() })
    }
}

fn settings(config: &encode::Video, picture: &Picture) -> EncoderConfig {
    let frame = &picture.frame;
    let fps = picture.frame_rate.to_f64();
    let (bitrate, qp) = match config.rate {
        Rate::Average { bitrate, .. } => (bitrate, QpRange::new(10, 51)),
        Rate::Quality { crf, cap } => {
            // A tenth of a bit for each sample is a usual picture at factor 23; six more halve it.
            let samples = f64::from(frame.width) * f64::from(frame.height) * fps;
            let bits = samples * 0.1 * ((23.0 - f64::from(crf)) / 6.0).exp2();
            let bits = cap.map_or(bits, |c| bits.min(c.bitrate as f64 * 0.8));
            let least = (crf - 6.0).clamp(0.0, 45.0) as u8;
            (bits as u64, QpRange::new(least, 51))
        }
    };
    let bitrate = u32::try_from(bitrate.clamp(50_000, 200_000_000)).unwrap_or(u32::MAX);
    let settings = EncoderConfig::new()
        .bitrate(BitRate::from_bps(bitrate))
        .max_frame_rate(FrameRate::from_hz(fps as f32))
        .rate_control_mode(RateControlMode::Bitrate)
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(match config.effort {
            Effort::Fastest | Effort::Faster | Effort::Fast => Complexity::Low,
            Effort::Balanced => Complexity::Medium,
            Effort::Best => Complexity::High,
        })
        .qp(qp)
        .skip_frames(false)
        .scene_change_detect(false)
        .num_threads(u16::try_from(config.threads.max(1)).unwrap_or(1));
    match vui(frame.color) {
        Some(vui) => settings.vui(vui),
        None => settings,
    }
}

/// Colours that the encoder has names for; others are left unsaid rather than said wrongly.
fn vui(color: ColorInfo) -> Option<VuiConfig> {
    let primaries = match color.primaries {
        1 => ColorPrimaries::Bt709,
        2 => ColorPrimaries::Unspecified,
        5 => ColorPrimaries::Bt470BG,
        6 => ColorPrimaries::Smpte170M,
        9 => ColorPrimaries::Bt2020,
        _ => return None,
    };
    let transfer = match color.transfer {
        1 => TransferCharacteristics::Bt709,
        2 => TransferCharacteristics::Unspecified,
        5 => TransferCharacteristics::Bt470Bg,
        6 => TransferCharacteristics::Smpte170M,
        13 => TransferCharacteristics::Srgb,
        14 => TransferCharacteristics::Bt2020_10,
        _ => return None,
    };
    let matrix = match color.matrix {
        1 => MatrixCoefficients::Bt709,
        2 => MatrixCoefficients::Unspecified,
        5 => MatrixCoefficients::Bt470Bg,
        6 => MatrixCoefficients::Smpte170M,
        9 => MatrixCoefficients::Bt2020Ncl,
        _ => return None,
    };
    let vui = VuiConfig::new().color_primaries(primaries).transfer_characteristics(transfer);
    Some(vui.matrix_coefficients(matrix).full_range(color.full_range))
}

/// A picture as the encoder reads it: by raw pointers, so its planes are measured first.
struct Source<'a> {
    planes: [Plane<'a>; 3],
    size: (usize, usize),
}

impl<'a> Source<'a> {
    fn new(frame: &'a VideoFrame) -> Result<Self, Error> {
        let (w, h) = (frame.width as usize, frame.height as usize);
        let plane = |index: usize, w: usize, h: usize| {
            let plane = frame.picture.plane(index)?;
            let needed = plane.stride.checked_mul(h.checked_sub(1)?)?.checked_add(w)?;
            (plane.stride >= w && plane.data.len() >= needed).then_some(plane)
        };
        let planes = (plane(0, w, h), plane(1, w / 2, h / 2), plane(2, w / 2, h / 2));
        match planes {
            (Some(y), Some(u), Some(v)) if w % 2 == 0 && h % 2 == 0 => {
                Ok(Self { planes: [y, u, v], size: (w, h) })
            }
            _ => Err(Error::Invalid("H.264 pictures have even sides and all their samples".into())),
        }
    }
}

impl YUVSource for Source<'_> {
    fn dimensions(&self) -> (usize, usize) {
        self.size
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.planes[0].stride, self.planes[1].stride, self.planes[2].stride)
    }

    fn y(&self) -> &[u8] {
        self.planes[0].data
    }

    fn u(&self) -> &[u8] {
        self.planes[1].data
    }

    fn v(&self) -> &[u8] {
        self.planes[2].data
    }
}

impl EncodeVideo for Encoder {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        if key && tick != 0 {
            self.encoder.force_intra_frame();
        }
        let source = Source::new(frame)?;
        let encoded = self.encoder.encode(&source).map_err(|error| library(&error))?;
        let is_key = matches!(encoded.frame_type(), FrameType::IDR);
        let stream = encoded.to_vec();
        let units: Vec<&[u8]> = nal::annex_b(&stream)
            .map(|unit| unit.data)
            .filter(|unit| !matches!(h264::unit_type(unit), SPS | PPS))
            .collect();
        if units.is_empty() || (key && !is_key) {
            let reason = if key { "no key frame where one was asked for" } else { "a picture was left out" };
            return Err(Error::Library { library: "openh264", reason: reason.into() });
        }
        self.ready.push_back(Packet {
            track: TrackId(0),
            pts: frame.pts,
            dts: frame.pts,
            duration: frame.duration,
            key: is_key,
            data: nal::length_prefixed(units),
            protection: None,
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        Ok(self.ready.pop_front().map(|packet| Packet { track: id, ..packet }))
    }
}
