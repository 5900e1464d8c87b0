//! FFmpeg's frames as pictures and sound of ours, without copying pictures.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::ffi as ff;
use sv_core::color::{ContentLight, MasteringDisplay};
use sv_core::frame::Plane;
use sv_core::{AudioFrame, ColorInfo, Duration, HdrMetadata, Picture, PixelFormat, Timestamp, VideoFrame};

use crate::error::libc_code::ENOMEM;
use crate::error::{Error, check};
use crate::ffi::{AVContentLightMetadata, AVMasteringDisplayMetadata};

/// Reads an enum of FFmpeg's as the number that it is: a value that the headers don't list must
/// not become a Rust enum.
macro_rules! raw {
    ($place:expr) => {
        (&raw const $place).cast::<u32>().read()
    };
}
pub(crate) use raw;

/// One `AVFrame`: a reference to FFmpeg's buffers, which go back to their pool with the last one.
pub struct Frame(NonNull<ff::AVFrame>);

// SAFETY: the value owns its AVFrame, and the buffers behind it are counted atomically.
unsafe impl Send for Frame {}
// SAFETY: through `&Frame` the samples are only read, and nobody writes to buffers that are shared.
unsafe impl Sync for Frame {}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut frame = self.0.as_ptr();
        let _turn = crate::turn::take(self.format_number());
        // SAFETY: we own the frame; this gives back its buffers too.
        unsafe { ff::av_frame_free(&raw mut frame) };
    }
}

impl Frame {
    /// An empty frame.
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: a plain allocation.
        let frame = unsafe { ff::av_frame_alloc() };
        NonNull::new(frame).map(Self).ok_or_else(|| Error::call("allocate a frame", -ENOMEM))
    }

    /// Another reference to the same samples, with properties of its own.
    pub(crate) fn reference(&self) -> Result<Self, Error> {
        // SAFETY: the source is a valid frame; the result is checked.
        let frame = unsafe { ff::av_frame_clone(self.0.as_ptr()) };
        NonNull::new(frame).map(Self).ok_or_else(|| Error::call("reference a frame", -ENOMEM))
    }

    pub(crate) fn as_ptr(&self) -> *mut ff::AVFrame {
        self.0.as_ptr()
    }

    fn inner(&self) -> &ff::AVFrame {
        // SAFETY: the pointer is valid for as long as `self` is.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut ff::AVFrame {
        // SAFETY: as above, and `&mut self` makes it the only borrow.
        unsafe { self.0.as_mut() }
    }

    /// The frame behind a picture: the picture's own where FFmpeg made it, else a copy of it.
    pub(crate) fn of_video(video: &VideoFrame) -> Result<Self, Error> {
        let mut frame = match video.picture.as_any().downcast_ref::<Self>() {
            Some(own) => own.reference()?,
            None => Self::copy_of(video)?,
        };
        let (pts, color) = (video.pts.ticks(), video.color);
        let inner = frame.inner_mut();
        inner.pts = pts;
        // SAFETY: the fields are C enums, 32 bits wide, which FFmpeg reads as numbers.
        unsafe {
            (&raw mut inner.color_primaries).cast::<u32>().write(color.primaries.into());
            (&raw mut inner.color_trc).cast::<u32>().write(color.transfer.into());
            (&raw mut inner.colorspace).cast::<u32>().write(color.matrix.into());
        }
        inner.color_range = match color.full_range {
            true => ff::AVColorRange::AVCOL_RANGE_JPEG,
            false => ff::AVColorRange::AVCOL_RANGE_MPEG,
        };
        Ok(frame)
    }

    /// A picture of its own, whose samples are not set yet.
    pub(crate) fn planar(width: u32, height: u32, pixels: PixelFormat) -> Result<Self, Error> {
        let format = match pixels {
            PixelFormat::Yuv420p8 => ff::AVPixelFormat::AV_PIX_FMT_YUV420P,
            PixelFormat::Yuv420p10 => ff::AVPixelFormat::AV_PIX_FMT_YUV420P10LE,
            _ => return Err(Error::Invalid("this picture belongs to another backend".into())),
        };
        let (Ok(width), Ok(height)) = (i32::try_from(width), i32::try_from(height)) else {
            return Err(Error::Invalid("the picture is too large".into()));
        };
        let mut frame = Self::new()?;
        let inner = frame.inner_mut();
        (inner.format, inner.width, inner.height) = (format as i32, width, height);
        // SAFETY: format and size are set; on success all three planes are allocated.
        check(unsafe { ff::av_frame_get_buffer(frame.as_ptr(), 0) }, || "allocate a picture".into())?;
        Ok(frame)
    }

    fn copy_of(video: &VideoFrame) -> Result<Self, Error> {
        let pixels = video.picture.format();
        let bytes = if pixels == PixelFormat::Yuv420p10 { 2 } else { 1 };
        let frame = Self::planar(video.width, video.height, pixels)?;
        for index in 0..3 {
            let (w, h) = plane_size(video.width, video.height, index);
            let (Some(source), row) = (video.picture.plane(index), w * bytes) else {
                return Err(Error::Invalid("the picture's samples can't be read".into()));
            };
            let target = frame.inner().data[index];
            let stride = usize::try_from(frame.inner().linesize[index]).unwrap_or(0);
            for y in 0..h {
                let Some(from) = source.data.get(y * source.stride..).and_then(|s| s.get(..row)) else {
                    return Err(Error::Invalid("the picture has fewer samples than its size says".into()));
                };
                // SAFETY: the plane has `h` rows of `stride` bytes, and `row` is not longer than
                // a row; fresh memory does not overlap the source.
                unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), target.add(y * stride), row) };
            }
        }
        Ok(frame)
    }

    /// As a picture of `sv-core`. What the frame does not say, `color` and `hdr` say.
    pub(crate) fn into_video(
        self,
        pts: i64,
        duration: u64,
        color: ColorInfo,
        hdr: HdrMetadata,
    ) -> VideoFrame {
        VideoFrame {
            pts: Timestamp::new(pts),
            duration: Duration::new(duration),
            width: u32::try_from(self.inner().width).unwrap_or(0),
            height: u32::try_from(self.inner().height).unwrap_or(0),
            color: self.color(color),
            hdr: self.hdr(hdr),
            dynamic: sv_core::color::DynamicMetadata::default(),
            picture: Arc::new(self),
        }
    }

    fn color(&self, fallback: ColorInfo) -> ColorInfo {
        let inner = self.inner();
        // SAFETY: C enums, 32 bits wide.
        let (primaries, transfer, matrix, range) = unsafe {
            (
                raw!(inner.color_primaries),
                raw!(inner.color_trc),
                raw!(inner.colorspace),
                raw!(inner.color_range),
            )
        };
        color_of(primaries, transfer, matrix, range, fallback)
    }

    fn hdr(&self, fallback: HdrMetadata) -> HdrMetadata {
        let data = |kind| {
            // SAFETY: a look-up in a valid frame; the result lives as long as the frame.
            let data = unsafe { ff::av_frame_get_side_data(self.as_ptr(), kind) };
            // SAFETY: null, or valid as said above.
            unsafe { data.as_ref() }.map(|d| (d.data.cast_const(), d.size))
        };
        let mastering = data(ff::AVFrameSideDataType::AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
        let light = data(ff::AVFrameSideDataType::AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
        HdrMetadata {
            // SAFETY: the kinds are those of the structures that the functions read.
            mastering: unsafe { mastering.and_then(|(p, n)| mastering_of(p, n)) }.or(fallback.mastering),
            // SAFETY: as above.
            light: unsafe { light.and_then(|(p, n)| light_of(p, n)) }.or(fallback.light),
        }
    }

    /// Whether the frame says that it is two fields.
    pub(crate) fn interlaced(&self) -> bool {
        #[cfg(ffmpeg_6_1)]
        return self.inner().flags & ff::AV_FRAME_FLAG_INTERLACED as i32 != 0;
        #[cfg(not(ffmpeg_6_1))]
        return self.inner().interlaced_frame != 0;
    }

    pub(crate) fn duration(&self) -> i64 {
        #[cfg(ffmpeg_6_0)]
        return self.inner().duration;
        #[cfg(not(ffmpeg_6_0))]
        return self.inner().pkt_duration;
    }

    pub(crate) fn format_number(&self) -> i32 {
        self.inner().format
    }

    /// Whether its samples are on a device.
    pub(crate) fn is_on_device(&self) -> bool {
        !self.inner().hw_frames_ctx.is_null()
    }

    /// The layout of its samples on the device, if they are on one.
    pub(crate) fn on_device(&self) -> Option<i32> {
        let frames = NonNull::new(self.inner().hw_frames_ctx)?;
        // SAFETY: a frame's reference to its frames context, whose data is that structure; the format is a
        // C enum, 32 bits wide, read as a number.
        unsafe {
            let context = frames.as_ref().data.cast::<ff::AVHWFramesContext>();
            Some((&raw const (*context).sw_format).cast::<i32>().read())
        }
    }

    /// The frames context, for FFmpeg to make another reference of.
    pub(crate) fn frames_context(&self) -> *mut ff::AVBufferRef {
        self.inner().hw_frames_ctx
    }

    pub(crate) fn sample_aspect(&self) -> ff::AVRational {
        self.inner().sample_aspect_ratio
    }

    /// Whether the decoder found errors in it, or it depends on pictures that never came.
    pub(crate) fn is_patched(&self) -> bool {
        let inner = self.inner();
        inner.decode_error_flags != 0 || inner.flags & ff::AV_FRAME_FLAG_CORRUPT != 0
    }

    pub(crate) fn best_pts(&self) -> Option<i64> {
        let inner = self.inner();
        [inner.best_effort_timestamp, inner.pts].into_iter().find(|&t| t != ff::AV_NOPTS_VALUE)
    }

    /// Channels and samples per second, if it is sound.
    pub(crate) fn audio_shape(&self) -> (u16, u32) {
        let inner = self.inner();
        (
            u16::try_from(inner.ch_layout.nb_channels).unwrap_or(0),
            u32::try_from(inner.sample_rate).unwrap_or(0),
        )
    }

    /// The sound as interleaved floats, whatever it was.
    pub(crate) fn into_audio(self, pts: i64) -> Result<AudioFrame, Error> {
        let inner = self.inner();
        let (channels, sample_rate) = self.audio_shape();
        let (count, n) = (usize::from(channels), usize::try_from(inner.nb_samples).unwrap_or(0));
        let mut samples = vec![0f32; n.saturating_mul(count)];
        let planar = inner.format >= ff::AVSampleFormat::AV_SAMPLE_FMT_U8P as i32
            && inner.format != ff::AVSampleFormat::AV_SAMPLE_FMT_S64 as i32;
        let (planes, per_plane) = if planar { (count, n) } else { (1, n * count) };
        for plane in 0..planes {
            // SAFETY: extended_data has a pointer for each plane of a valid audio frame.
            let data = unsafe { *inner.extended_data.add(plane) }.cast_const();
            let step = planes;
            let out = samples.iter_mut().skip(plane).step_by(step);
            use ff::AVSampleFormat as F;
            // SAFETY: a plane holds `per_plane` samples of the format, aligned for it.
            unsafe {
                match inner.format {
                    f if f == F::AV_SAMPLE_FMT_FLT as i32 || f == F::AV_SAMPLE_FMT_FLTP as i32 => {
                        convert(data.cast::<f32>(), per_plane, out, |s| s);
                    }
                    f if f == F::AV_SAMPLE_FMT_S16 as i32 || f == F::AV_SAMPLE_FMT_S16P as i32 => {
                        convert(data.cast::<i16>(), per_plane, out, |s| f32::from(s) / 32768.0);
                    }
                    f if f == F::AV_SAMPLE_FMT_S32 as i32 || f == F::AV_SAMPLE_FMT_S32P as i32 => {
                        convert(data.cast::<i32>(), per_plane, out, |s| {
                            (f64::from(s) / 2_147_483_648.0) as f32
                        });
                    }
                    f if f == F::AV_SAMPLE_FMT_DBL as i32 || f == F::AV_SAMPLE_FMT_DBLP as i32 => {
                        convert(data.cast::<f64>(), per_plane, out, |s| s as f32);
                    }
                    f if f == F::AV_SAMPLE_FMT_U8 as i32 || f == F::AV_SAMPLE_FMT_U8P as i32 => {
                        convert(data, per_plane, out, |s| (f32::from(s) - 128.0) / 128.0);
                    }
                    f if f == F::AV_SAMPLE_FMT_S64 as i32 || f == F::AV_SAMPLE_FMT_S64P as i32 => {
                        convert(data.cast::<i64>(), per_plane, out, |s| {
                            (s as f64 / 9.223_372_036_854_776e18) as f32
                        });
                    }
                    other => return Err(Error::Invalid(format!("sample format {other} is not known"))),
                }
            }
        }
        Ok(AudioFrame { pts: Timestamp::new(pts), sample_rate, channels, samples: samples.into() })
    }
}

/// # Safety
/// `data` points to `n` samples.
unsafe fn convert<'a, T: Copy>(
    data: *const T,
    n: usize,
    out: impl Iterator<Item = &'a mut f32>,
    to: impl Fn(T) -> f32,
) {
    if data.is_null() || n == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    let samples = unsafe { std::slice::from_raw_parts(data, n) };
    samples.iter().zip(out).for_each(|(&sample, out)| *out = to(sample));
}

/// Width and height of a plane of 4:2:0, in samples.
pub(crate) fn plane_size(width: u32, height: u32, index: usize) -> (usize, usize) {
    let (w, h) = (width as usize, height as usize);
    if index == 0 { (w, h) } else { (w.div_ceil(2), h.div_ceil(2)) }
}

pub(crate) fn color_of(
    primaries: u32,
    transfer: u32,
    matrix: u32,
    range: u32,
    fallback: ColorInfo,
) -> ColorInfo {
    // 2 is "unspecified"; what doesn't fit a byte is nothing that H.273 knows.
    let pick = |value: u32, fallback: u8| match u8::try_from(value) {
        Ok(2) | Err(_) => fallback,
        Ok(value) => value,
    };
    ColorInfo {
        primaries: pick(primaries, fallback.primaries),
        transfer: pick(transfer, fallback.transfer),
        matrix: pick(matrix, fallback.matrix),
        full_range: match range {
            0 => fallback.full_range,
            range => range == ff::AVColorRange::AVCOL_RANGE_JPEG as u32,
        },
    }
}

/// # Safety
/// `data` is null or side data of the kind "mastering display", `size` bytes long.
pub(crate) unsafe fn mastering_of(data: *const u8, size: usize) -> Option<MasteringDisplay> {
    if data.is_null() || size < size_of::<AVMasteringDisplayMetadata>() {
        return None;
    }
    // SAFETY: long enough by the check above; the structure is plain numbers.
    let m = unsafe { data.cast::<AVMasteringDisplayMetadata>().read_unaligned() };
    if m.has_primaries == 0 || m.has_luminance == 0 {
        return None;
    }
    let units = |r: ff::AVRational, per_unit: i64| -> Option<u32> {
        let (num, den) = (i64::from(r.num) * per_unit, i64::from(r.den));
        u32::try_from((num + den / 2).checked_div(den)?).ok()
    };
    let point = |p: [ff::AVRational; 2]| -> Option<[u16; 2]> {
        let value = |r| u16::try_from(units(r, 50_000)?).ok();
        Some([value(p[0])?, value(p[1])?])
    };
    let [r, g, b] = m.display_primaries;
    Some(MasteringDisplay {
        primaries: [point(r)?, point(g)?, point(b)?],
        white: point(m.white_point)?,
        max_luminance: units(m.max_luminance, 10_000)?,
        min_luminance: units(m.min_luminance, 10_000)?,
    })
}

/// # Safety
/// `data` is null or side data of the kind "content light level", `size` bytes long.
pub(crate) unsafe fn light_of(data: *const u8, size: usize) -> Option<ContentLight> {
    if data.is_null() || size < size_of::<AVContentLightMetadata>() {
        return None;
    }
    // SAFETY: long enough by the check above; the structure is plain numbers.
    let light = unsafe { data.cast::<AVContentLightMetadata>().read_unaligned() };
    Some(ContentLight {
        max_content: u16::try_from(light.max_cll).ok()?,
        max_average: u16::try_from(light.max_fall).ok()?,
    })
}

impl Picture for Frame {
    fn format(&self) -> PixelFormat {
        use ff::AVPixelFormat as F;
        match self.inner().format {
            f if f == F::AV_PIX_FMT_YUV420P as i32 || f == F::AV_PIX_FMT_YUVJ420P as i32 => {
                PixelFormat::Yuv420p8
            }
            f if f == F::AV_PIX_FMT_YUV420P10LE as i32 => PixelFormat::Yuv420p10,
            _ => PixelFormat::Opaque,
        }
    }

    fn plane(&self, index: usize) -> Option<Plane<'_>> {
        let bytes = match self.format() {
            PixelFormat::Yuv420p8 => 1,
            PixelFormat::Yuv420p10 => 2,
            _ => return None,
        };
        let inner = self.inner();
        let (&data, &stride) = (inner.data.get(index).filter(|_| index < 3)?, inner.linesize.get(index)?);
        // A negative stride (rows bottom-up) is legal in FFmpeg and can't be told here.
        let stride = usize::try_from(stride).ok()?;
        let (width, height) = (u32::try_from(inner.width).ok()?, u32::try_from(inner.height).ok()?);
        let (w, h) = plane_size(width, height, index);
        let len = stride.checked_mul(h.checked_sub(1)?)?.checked_add(w * bytes)?;
        if data.is_null() {
            return None;
        }
        // SAFETY: a plane of a valid frame has `h` rows `stride` bytes apart, the last at least
        // `w` samples long; it lives and stays unchanged as long as this reference to it.
        Some(Plane { data: unsafe { std::slice::from_raw_parts(data, len) }, stride })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
