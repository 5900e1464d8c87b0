//! Pictures of another size, straight through libswscale: the common case of a ladder, which then
//! needs neither libavfilter nor the hundred libraries behind it.

use std::ptr::NonNull;

use crate::ffi as ff;
use sv_core::{ColorInfo, HdrMetadata, PixelFormat, VideoFrame};

use crate::error::libc_code::ENOMEM;
use crate::error::{Error, check};
use crate::frame::Frame;

/// Scales planar 4:2:0 pictures of one size and depth to another size, bicubic, the same samples
/// as FFmpeg's filter `scale` gives.
pub struct Scaler {
    context: Context,
    from: (u32, u32, PixelFormat),
    to: (u32, u32),
    /// Pictures that were given out; one that has come back is used again.
    pool: Vec<Frame>,
}

/// Pictures that are kept for another use at most: what waits in queues and encoders.
const POOL: usize = 32;

/// `SWS_BICUBIC`: a number in older headers, an enum in newer ones.
const BICUBIC: i64 = 4;

struct Context(NonNull<ff::SwsContext>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { ff::sws_freeContext(self.0.as_ptr()) };
    }
}

// SAFETY: the context is owned by this value and used by one thread at a time.
unsafe impl Send for Scaler {}

impl Scaler {
    /// For pictures like `first`, which must be one of the two planar formats.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another format, and FFmpeg's reason when it refuses the sizes.
    pub fn new(first: &VideoFrame, width: u32, height: u32) -> Result<Self, Error> {
        crate::log::init()?;
        ff::swscale()?;
        let pixels = first.picture.format();
        let format = match pixels {
            PixelFormat::Yuv420p8 => ff::AVPixelFormat::AV_PIX_FMT_YUV420P,
            PixelFormat::Yuv420p10 => ff::AVPixelFormat::AV_PIX_FMT_YUV420P10LE,
            _ => return Err(Error::Invalid("only planar 4:2:0 pictures are scaled directly".into())),
        };
        // SAFETY: a plain allocation.
        let context = NonNull::new(unsafe { ff::sws_alloc_context() });
        let context = Context(context.ok_or_else(|| Error::call("allocate a scaler", -ENOMEM))?);
        let options = [
            (c"srcw", i64::from(first.width)),
            (c"srch", i64::from(first.height)),
            (c"src_format", format as i64),
            (c"dstw", i64::from(width)),
            (c"dsth", i64::from(height)),
            (c"dst_format", format as i64),
            (c"sws_flags", BICUBIC),
            // Chroma lies between two rows, as in everything since MPEG-2.
            (c"src_v_chr_pos", 128),
            (c"dst_v_chr_pos", 128),
        ];
        for (name, value) in options {
            // SAFETY: a fresh context, which begins with its class; static, zero-terminated names.
            let code = unsafe { ff::av_opt_set_int(context.0.as_ptr().cast(), name.as_ptr(), value, 0) };
            check(code, || format!("set {name:?} of a scaler"))?;
        }
        // SAFETY: all options are set; no filters of our own.
        let code =
            unsafe { ff::sws_init_context(context.0.as_ptr(), std::ptr::null_mut(), std::ptr::null_mut()) };
        check(code, || format!("scale {}x{} to {width}x{height}", first.width, first.height))?;
        Ok(Self { context, from: (first.width, first.height, pixels), to: (width, height), pool: Vec::new() })
    }

    /// Whether it was built for pictures like this one.
    #[must_use]
    pub fn accepts(&self, video: &VideoFrame) -> bool {
        self.from == (video.width, video.height, video.picture.format())
    }

    /// The picture at the other size; time, colours and metadata stay.
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn scale(&mut self, video: &VideoFrame) -> Result<VideoFrame, Error> {
        let source = Frame::of_video(video)?;
        let target = self.target()?;
        let (input, output) = (source.as_ptr(), target.as_ptr());
        let rows = i32::try_from(video.height).unwrap_or(0);
        // SAFETY: both frames are of the sizes and the format that the context was made for, and
        // nobody else has the target's samples.
        let code = unsafe {
            ff::sws_scale(
                self.context.0.as_ptr(),
                (&raw const (*input).data).cast(),
                (&raw const (*input).linesize).cast(),
                0,
                rows,
                (&raw const (*output).data).cast(),
                (&raw const (*output).linesize).cast(),
            )
        };
        check(code, || "scale a picture".into())?;
        let mut scaled = target.into_video(
            video.pts.ticks(),
            video.duration.ticks(),
            ColorInfo::default(),
            HdrMetadata::default(),
        );
        (scaled.color, scaled.hdr) = (video.color, video.hdr);
        Ok(scaled)
    }

    /// A picture that nobody reads any more, or a new one.
    fn target(&mut self) -> Result<Frame, Error> {
        // SAFETY: valid frames; the count of references is read atomically.
        let free = self.pool.iter().find(|f| unsafe { ff::av_frame_is_writable(f.as_ptr()) } > 0);
        if let Some(frame) = free {
            return frame.reference();
        }
        let frame = Frame::planar(self.to.0, self.to.1, self.from.2)?;
        let given = frame.reference()?;
        if self.pool.len() < POOL {
            self.pool.push(frame);
        }
        Ok(given)
    }
}
