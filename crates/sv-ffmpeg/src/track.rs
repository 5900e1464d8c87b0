//! FFmpeg's description of a stream as ours.

use std::ffi::CStr;

use crate::ffi as ff;
use bytes::Bytes;
use sv_core::{
    AudioInfo, Codec, ColorInfo, Duration, HdrMetadata, Media, Ratio, TextInfo, TimeBase, Track, TrackId,
    VideoInfo,
};

use crate::form::{Form, Sampling, aac, av1, nal, small, webm};
use crate::frame::{color_of, light_of, mastering_of, raw};
use crate::spherical;

/// Marks the configuration of a codec that only this crate knows; what follows is [`Private`] and
/// then FFmpeg's own extradata.
const PRIVATE: &[u8; 4] = b"svFF";

/// What FFmpeg's decoders of old formats need beside extradata.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Private {
    pub(crate) codec_tag: u32,
    pub(crate) format: i32,
    pub(crate) block_align: i32,
    pub(crate) bits_per_coded_sample: i32,
    /// Whether the container has no presentation times (AVI): then they are guessed from decoding
    /// times, which is exact behind the decoder's reordering.
    pub(crate) no_pts: bool,
}

impl Private {
    const LEN: usize = 4 + 17;

    fn write(self, extradata: &[u8]) -> Bytes {
        let mut out = PRIVATE.to_vec();
        out.extend_from_slice(&self.codec_tag.to_be_bytes());
        for value in [self.format, self.block_align, self.bits_per_coded_sample] {
            out.extend_from_slice(&value.to_be_bytes());
        }
        out.push(self.no_pts.into());
        out.extend_from_slice(extradata);
        out.into()
    }

    /// Splits a configuration; a foreign one is all extradata.
    pub(crate) fn read(config: &[u8]) -> (Option<Self>, &[u8]) {
        let word = |at: usize| config.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
        let fields = (word(4), word(8), word(12), word(16), config.get(20));
        match fields {
            (Some(tag), Some(format), Some(align), Some(bits), Some(no_pts))
                if config.starts_with(PRIVATE) =>
            {
                let private = Self {
                    codec_tag: u32::from_be_bytes(tag),
                    format: i32::from_be_bytes(format),
                    block_align: i32::from_be_bytes(align),
                    bits_per_coded_sample: i32::from_be_bytes(bits),
                    no_pts: *no_pts != 0,
                };
                (Some(private), &config[Self::LEN..])
            }
            _ => (None, config),
        }
    }
}

/// FFmpeg's name for a codec, and ours.
pub(crate) fn codec(id: ff::AVCodecID) -> Codec {
    use ff::AVCodecID as Id;
    match id {
        Id::AV_CODEC_ID_H264 => Codec::H264,
        Id::AV_CODEC_ID_HEVC => Codec::Hevc,
        Id::AV_CODEC_ID_AV1 => Codec::Av1,
        Id::AV_CODEC_ID_VP8 => Codec::Vp8,
        Id::AV_CODEC_ID_VP9 => Codec::Vp9,
        Id::AV_CODEC_ID_AAC => Codec::Aac,
        Id::AV_CODEC_ID_OPUS => Codec::Opus,
        Id::AV_CODEC_ID_AC3 => Codec::Ac3,
        Id::AV_CODEC_ID_EAC3 => Codec::Eac3,
        Id::AV_CODEC_ID_FLAC => Codec::Flac,
        Id::AV_CODEC_ID_ALAC => Codec::Alac,
        Id::AV_CODEC_ID_VORBIS => Codec::Vorbis,
        Id::AV_CODEC_ID_MP1 | Id::AV_CODEC_ID_MP2 | Id::AV_CODEC_ID_MP3 => Codec::Mp3,
        // Text of these kinds leaves the demuxer as WebVTT cues.
        Id::AV_CODEC_ID_WEBVTT
        | Id::AV_CODEC_ID_SUBRIP
        | Id::AV_CODEC_ID_MOV_TEXT
        | Id::AV_CODEC_ID_ASS
        | Id::AV_CODEC_ID_TEXT => Codec::WebVtt,
        id => Codec::Other(name(id)),
    }
}

/// The number of a codec of ours, or `None` when this FFmpeg does not know it.
pub(crate) fn codec_id(codec: Codec) -> Option<ff::AVCodecID> {
    use ff::AVCodecID as Id;
    Some(match codec {
        Codec::H264 => Id::AV_CODEC_ID_H264,
        Codec::Hevc => Id::AV_CODEC_ID_HEVC,
        Codec::Av1 => Id::AV_CODEC_ID_AV1,
        Codec::Vp8 => Id::AV_CODEC_ID_VP8,
        Codec::Vp9 => Id::AV_CODEC_ID_VP9,
        Codec::Aac => Id::AV_CODEC_ID_AAC,
        Codec::Opus => Id::AV_CODEC_ID_OPUS,
        Codec::Ac3 => Id::AV_CODEC_ID_AC3,
        Codec::Eac3 => Id::AV_CODEC_ID_EAC3,
        Codec::Flac => Id::AV_CODEC_ID_FLAC,
        Codec::Alac => Id::AV_CODEC_ID_ALAC,
        Codec::Vorbis => Id::AV_CODEC_ID_VORBIS,
        // FFmpeg's decoder of layer III takes all three.
        Codec::Mp3 => Id::AV_CODEC_ID_MP3,
        Codec::Other(name) => {
            let name = std::ffi::CString::new(name).ok()?;
            // SAFETY: a zero-terminated string; the result is null or static.
            let descriptor = unsafe { ff::avcodec_descriptor_get_by_name(name.as_ptr()) };
            // SAFETY: as above.
            unsafe { descriptor.as_ref() }?.id
        }
        _ => return None,
    })
}

fn name(id: ff::AVCodecID) -> &'static str {
    // SAFETY: returns a pointer to a static, zero-terminated string for any number.
    let name = unsafe { CStr::from_ptr(ff::avcodec_get_name(id)) };
    name.to_str().unwrap_or("unknown")
}

/// How the samples of a pixel format lie.
pub(crate) fn sampling(format: i32) -> Option<Sampling> {
    // SAFETY: `raw` numbers are checked by FFmpeg's own table look-up below.
    let descriptor = unsafe { descriptor(format).as_ref() }?;
    Some(Sampling {
        depth: u8::try_from(descriptor.comp.first()?.depth).ok()?,
        chroma: (descriptor.log2_chroma_w, descriptor.log2_chroma_h),
        mono: descriptor.nb_components < 3,
    })
}

/// Whether pictures of this format are transparent in places.
fn has_alpha(format: i32) -> bool {
    // SAFETY: as for `sampling`.
    let descriptor = unsafe { descriptor(format).as_ref() };
    descriptor.is_some_and(|d| d.flags & u64::from(ff::AV_PIX_FMT_FLAG_ALPHA.unsigned_abs()) != 0)
}

/// # Safety
/// None beyond that the result, if not null, is static.
pub(crate) unsafe fn descriptor(format: i32) -> *const ff::AVPixFmtDescriptor {
    // Walking the table keeps numbers that the headers don't list out of a Rust enum.
    let mut at: *const ff::AVPixFmtDescriptor = std::ptr::null();
    let mut number = 0;
    loop {
        // SAFETY: null begins the walk, and each step takes the last result.
        at = unsafe { ff::av_pix_fmt_desc_next(at) };
        if at.is_null() {
            return at;
        }
        // SAFETY: `at` is a static descriptor; its id is read as the number that it is.
        let id = unsafe { ff::av_pix_fmt_desc_get_id(at) };
        number = (id as i32).max(number);
        if id as i32 == format {
            return at;
        }
    }
}

/// One entry of a dictionary.
pub(crate) fn tag(dictionary: *mut ff::AVDictionary, key: &CStr) -> Option<String> {
    // SAFETY: a dictionary of FFmpeg's (null is an empty one) and a zero-terminated key.
    let entry = unsafe { ff::av_dict_get(dictionary, key.as_ptr(), std::ptr::null(), 0) };
    // SAFETY: null, or valid until the dictionary changes; values are zero-terminated.
    let value = unsafe { CStr::from_ptr(entry.as_ref()?.value) };
    Some(value.to_string_lossy().into_owned())
}

pub(crate) fn ratio(r: ff::AVRational) -> Option<Ratio> {
    Ratio::new(u32::try_from(r.num).ok()?, u32::try_from(r.den).ok()?)
}

/// Side data of a stream: display matrix, HDR metadata.
///
/// # Safety
/// `stream` is a valid stream; the result lives as long as it.
unsafe fn side_data(stream: *const ff::AVStream, kind: ff::AVPacketSideDataType) -> (*const u8, usize) {
    #[cfg(ffmpeg_6_1)]
    // SAFETY: the parameters of a valid stream are never null, and the array belongs to them.
    unsafe {
        let parameters = (*stream).codecpar;
        let (list, count) = ((*parameters).coded_side_data, (*parameters).nb_coded_side_data);
        match ff::av_packet_side_data_get(list, count, kind).as_ref() {
            Some(data) => (data.data.cast_const(), data.size),
            None => (std::ptr::null(), 0),
        }
    }
    #[cfg(not(ffmpeg_6_1))]
    // SAFETY: a look-up in a valid stream.
    unsafe {
        let mut size = 0;
        let data = ff::av_stream_get_side_data(stream, kind, &raw mut size);
        (data.cast_const(), size)
    }
}

/// A stream of a container, as we see it: its track, and what to do with its payloads.
pub(crate) struct Stream {
    pub(crate) track: Track,
    pub(crate) form: Form,
}

/// Describes a stream; `None` for what is neither picture, sound nor text that we carry.
///
/// # Safety
/// `context` and `stream` are valid and belong together; `first` is the stream's first payload.
pub(crate) unsafe fn describe(
    context: *mut ff::AVFormatContext,
    stream: *mut ff::AVStream,
    id: TrackId,
    no_pts: bool,
    first: Option<&[u8]>,
) -> Option<Stream> {
    // SAFETY: the caller's promise; parameters of a valid stream are never null.
    let (s, p) = unsafe { (&*stream, &*(*stream).codecpar) };
    if s.disposition & ff::AV_DISPOSITION_ATTACHED_PIC != 0 {
        return None;
    }
    let mut codec = codec(p.codec_id);
    let extradata: &[u8] = match usize::try_from(p.extradata_size) {
        // SAFETY: FFmpeg's pointer and length of one allocation.
        Ok(len) if len > 0 && !p.extradata.is_null() => unsafe {
            std::slice::from_raw_parts(p.extradata, len)
        },
        _ => &[],
    };
    let time_base =
        TimeBase::new(u32::try_from(s.time_base.num).ok()?, u32::try_from(s.time_base.den).ok()?)?;
    let media = match p.codec_type {
        ff::AVMediaType::AVMEDIA_TYPE_VIDEO => {
            // SAFETY: the caller's promise.
            Media::Video(unsafe { video(context, stream) }?)
        }
        ff::AVMediaType::AVMEDIA_TYPE_AUDIO => Media::Audio(AudioInfo {
            sample_rate: u32::try_from(p.sample_rate).ok().filter(|r| *r > 0)?,
            channels: u16::try_from(p.ch_layout.nb_channels).ok().filter(|c| *c > 0)?,
            delay: u32::try_from(p.initial_padding).unwrap_or(0),
            bit_depth: u8::try_from(p.bits_per_raw_sample.max(p.bits_per_coded_sample)).unwrap_or(0),
        }),
        ff::AVMediaType::AVMEDIA_TYPE_SUBTITLE if codec == Codec::WebVtt => Media::Text(TextInfo {
            captions: s.disposition & ff::AV_DISPOSITION_HEARING_IMPAIRED != 0,
            forced: s.disposition & ff::AV_DISPOSITION_FORCED != 0,
        }),
        _ => return None,
    };
    let protection = tag(s.metadata, c"enc_key_id").and_then(|id| webm::protection(&id));
    // What decoders and parsers made of an encrypted packet is worth nothing.
    let first = first.filter(|_| protection.is_none());
    let shape = sampling(p.format).unwrap_or(Sampling { depth: 8, chroma: (1, 1), mono: false });
    let plain = |bytes: &[u8]| (Bytes::copy_from_slice(bytes), Form::Plain);
    let found = match codec {
        Codec::H264 | Codec::Hevc if extradata.first() == Some(&1) => Some(plain(extradata)),
        Codec::H264 => nal::avcc(extradata, shape).map(|config| (config, Form::AnnexB { hevc: false })),
        Codec::Hevc => nal::hvcc(extradata, shape).map(|config| (config, Form::AnnexB { hevc: true })),
        Codec::Av1 if extradata.first() == Some(&0x81) => {
            Some((Bytes::copy_from_slice(extradata), Form::Obu))
        }
        Codec::Av1 => {
            av1::av1c(extradata, shape).or_else(|| av1::av1c(first?, shape)).map(|config| (config, Form::Obu))
        }
        Codec::Vp8 => {
            let color = match &media {
                Media::Video(v) => v.color,
                _ => ColorInfo::default(),
            };
            Some((small::vp8c(first.unwrap_or_default(), color), Form::Plain))
        }
        Codec::Vp9 => {
            let (rate, color) = match &media {
                Media::Video(v) => (v.frame_rate.map_or(30.0, Ratio::to_f64), v.color),
                _ => (30.0, ColorInfo::default()),
            };
            let (w, h) = (u32::try_from(p.width).unwrap_or(0), u32::try_from(p.height).unwrap_or(0));
            Some((small::vpcc(w, h, rate, shape, color), Form::Plain))
        }
        Codec::Aac if first.is_some_and(aac::is_adts) => first.and_then(aac::config).map(|c| (c, Form::Adts)),
        Codec::Opus => small::dops(extradata).map(|config| (config, Form::Plain)),
        Codec::Flac => small::flac_blocks(extradata).map(|config| (config, Form::Plain)),
        Codec::Alac => small::alac_cookie(extradata).map(plain),
        // Its three headers, laced; where they aren't, only FFmpeg reads them.
        Codec::Vorbis => extradata.starts_with(&[2]).then(|| plain(extradata)),
        Codec::WebVtt => Some((
            Bytes::from_static(b"WEBVTT"),
            match p.codec_id {
                ff::AVCodecID::AV_CODEC_ID_SUBRIP | ff::AVCodecID::AV_CODEC_ID_TEXT => Form::SubRip,
                ff::AVCodecID::AV_CODEC_ID_MOV_TEXT => Form::MovText,
                ff::AVCodecID::AV_CODEC_ID_ASS => Form::Ass,
                _ => Form::Plain,
            },
        )),
        Codec::Other(_) => None,
        _ => Some(plain(extradata)),
    };
    let (config, form) = found.unwrap_or_else(|| {
        // What can't be put into MP4's form is still decodable here, under FFmpeg's own name.
        codec = Codec::Other(name(p.codec_id));
        let private = Private {
            codec_tag: p.codec_tag,
            format: p.format,
            block_align: p.block_align,
            bits_per_coded_sample: p.bits_per_coded_sample,
            no_pts,
        };
        (private.write(extradata), Form::Plain)
    });
    let duration = match u64::try_from(s.duration) {
        Ok(ticks) if ticks > 0 => Some(Duration::new(ticks)),
        // SAFETY: the caller's promise.
        _ => u64::try_from(unsafe { (*context).duration })
            .ok()
            .filter(|d| *d > 0)
            .and_then(|d| Some(Duration::new(d).rescale(TimeBase::new(1, 1_000_000)?, time_base))),
    };
    let track = Track {
        id,
        codec,
        time_base,
        config,
        media,
        language: tag(s.metadata, c"language").and_then(|code| crate::demux::language(&code)),
        label: tag(s.metadata, c"title"),
        default: s.disposition & ff::AV_DISPOSITION_DEFAULT != 0,
        duration,
        bitrate: u64::try_from(p.bit_rate).ok().filter(|b| *b > 0),
        protection,
    };
    Some(Stream { track, form })
}

/// # Safety
/// As for [`describe`].
unsafe fn video(context: *mut ff::AVFormatContext, stream: *mut ff::AVStream) -> Option<VideoInfo> {
    // SAFETY: the caller's promise.
    let (s, p) = unsafe { (&*stream, &*(*stream).codecpar) };
    let (width, height) = (u32::try_from(p.width).ok()?, u32::try_from(p.height).ok()?);
    if width == 0 || height == 0 {
        return None;
    }
    let mut info = VideoInfo::new(width, height);
    // SAFETY: the caller's promise for both calls; they only read.
    let (aspect, rate) = unsafe {
        (
            ff::av_guess_sample_aspect_ratio(context, stream, std::ptr::null_mut()),
            ff::av_guess_frame_rate(context, stream, std::ptr::null_mut()),
        )
    };
    // Matroska keeps VP8's and VP9's transparency beside the pictures, as pictures of their own.
    info.alpha = has_alpha(p.format) || tag(s.metadata, c"alpha_mode").is_some_and(|mode| mode != "0");
    info.sample_aspect = ratio(aspect).unwrap_or(Ratio::ONE);
    // Containers without a rate report their clock; nobody films at more than 1000 frames.
    let plausible = |r: &Ratio| r.to_f64() <= 1000.0;
    info.frame_rate = ratio(s.avg_frame_rate).filter(plausible).or_else(|| ratio(rate).filter(plausible));
    // SAFETY: C enums, 32 bits wide, read as numbers.
    let (primaries, transfer, matrix, range, order) = unsafe {
        (
            raw!(p.color_primaries),
            raw!(p.color_trc),
            raw!(p.color_space),
            raw!(p.color_range),
            raw!(p.field_order),
        )
    };
    info.color = color_of(primaries, transfer, matrix, range, ColorInfo::default());
    info.interlaced = order > ff::AVFieldOrder::AV_FIELD_PROGRESSIVE as u32;
    info.bit_depth = sampling(p.format).map_or(8, |s| s.depth);
    use ff::AVPacketSideDataType as Kind;
    // SAFETY: the caller's promise; each kind of data is read as what it is.
    unsafe {
        let (matrix, size) = side_data(stream, Kind::AV_PKT_DATA_DISPLAYMATRIX);
        if !matrix.is_null() && size >= 36 {
            let degrees = ff::av_display_rotation_get(matrix.cast());
            info.quarter_turns = quarter_turns(degrees);
        }
        let (data, size) = side_data(stream, Kind::AV_PKT_DATA_MASTERING_DISPLAY_METADATA);
        let mastering = mastering_of(data, size);
        let (data, size) = side_data(stream, Kind::AV_PKT_DATA_CONTENT_LIGHT_LEVEL);
        info.hdr = HdrMetadata { mastering, light: light_of(data, size) };
        info.spherical = spherical::of(
            side_data(stream, Kind::AV_PKT_DATA_SPHERICAL),
            side_data(stream, Kind::AV_PKT_DATA_STEREO3D),
        );
    }
    Some(info)
}

/// Clockwise quarter turns from FFmpeg's counter-clockwise degrees.
fn quarter_turns(degrees: f64) -> u8 {
    if degrees.is_nan() {
        return 0;
    }
    // Rounded and brought into 0 to 3, so the cast is exact.
    (-degrees / 90.0).round().rem_euclid(4.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_clockwise() {
        assert_eq!([90.0, -90.0, 180.0, -180.0, 0.0, f64::NAN].map(quarter_turns), [3, 1, 2, 2, 0, 0]);
    }

    #[test]
    fn private_configurations_survive() {
        let ours =
            Private { codec_tag: 7, format: -1, block_align: 3, bits_per_coded_sample: 4, no_pts: true };
        let config = ours.write(b"extra");
        let (read, rest) = Private::read(&config);
        let read = read.unwrap();
        assert_eq!((read.codec_tag, read.format, read.no_pts, rest), (7, -1, true, &b"extra"[..]));
        assert!(Private::read(b"foreign").0.is_none());
    }
}
