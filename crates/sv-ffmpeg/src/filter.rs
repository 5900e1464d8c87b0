//! Pictures to pictures: FFmpeg's filters as a chain in its own notation.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use crate::ffi as ff;
use sv_core::{HdrMetadata, Ratio, TimeBase, VideoFrame};

use crate::decode::rational;
use crate::device::Device;
use crate::error::libc_code::{EAGAIN, ENOMEM};
use crate::error::{Error, check};
use crate::frame::{Frame, raw};
use crate::turn;

/// A chain of filters for pictures of one size and format.
pub struct Filter {
    graph: Graph,
    source: NonNull<ff::AVFilterContext>,
    sink: NonNull<ff::AVFilterContext>,
    shape: Shape,
    base: TimeBase,
    /// Times and durations of what went in and is not out yet.
    durations: VecDeque<(i64, u64)>,
    late: Option<Late>,
}

/// Keeps pictures for a device that reads them late, see [`Device::uploads_late`].
#[derive(Default)]
struct Late {
    /// What was put on the device. It takes turns in as many queues as it has, each of which waits for the
    /// one before in it, so that older pictures have been read.
    given: VecDeque<Frame>,
    /// The last one there.
    last: Option<VideoFrame>,
}

impl Late {
    const QUEUES: usize = 8;
}

impl Drop for Late {
    fn drop(&mut self) {
        // To read it is to wait for it, and for those before it.
        if let Some(Err(error)) = self.last.take().map(|last| crate::device::fetch(&last)) {
            tracing::debug!("{error}");
        }
    }
}

/// What must not change while a chain runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    width: u32,
    height: u32,
    format: i32,
}

/// The graph, and the format of pictures on the device that some of it works on.
struct Graph(NonNull<ff::AVFilterGraph>, i32);

impl Drop for Graph {
    fn drop(&mut self) {
        let mut graph = self.0.as_ptr();
        let _turn = turn::take(self.1);
        // SAFETY: we own it; it frees its filters too.
        unsafe { ff::avfilter_graph_free(&raw mut graph) };
    }
}

// SAFETY: the graph and the two filters in it are owned by this value and used by one thread at a
// time.
unsafe impl Send for Filter {}

/// Whether FFmpeg says that this picture is two fields.
#[must_use]
pub fn is_interlaced(video: &VideoFrame) -> bool {
    video.picture.as_any().downcast_ref::<Frame>().is_some_and(Frame::interlaced)
}

/// The shape of this picture's samples, if it says: containers may be wrong about it.
#[must_use]
pub fn sample_aspect(video: &VideoFrame) -> Option<Ratio> {
    let frame = video.picture.as_any().downcast_ref::<Frame>()?;
    crate::track::ratio(frame.sample_aspect())
}

/// Bits per sample of this picture.
#[must_use]
pub fn bit_depth(video: &VideoFrame) -> u8 {
    let frame = video.picture.as_any().downcast_ref::<Frame>();
    let format = frame.map(|f| f.on_device().unwrap_or(f.format_number()));
    let depth = format.and_then(crate::track::sampling).map(|s| s.depth);
    depth.unwrap_or(match video.picture.format() {
        sv_core::PixelFormat::Yuv420p10 => 10,
        _ => 8,
    })
}

impl Filter {
    /// Builds the chain `description` (`bwdif=mode=send_frame,scale=640:360`) for pictures like
    /// `first`, whose times are in `base`.
    ///
    /// # Errors
    /// [`Error::Missing`] when the linked FFmpeg lacks one of the filters; FFmpeg's reason when it
    /// does not like the description.
    pub fn video(description: &str, first: &VideoFrame, base: TimeBase) -> Result<Self, Error> {
        Self::build(description, first, base, None)
    }

    /// As [`video`](Self::video), with a device for those filters that work on one or copy to it.
    ///
    /// # Errors
    /// As for [`video`](Self::video).
    pub fn on(device: &Device, description: &str, first: &VideoFrame, base: TimeBase) -> Result<Self, Error> {
        Self::build(description, first, base, Some(device))
    }

    fn build(
        description: &str,
        first: &VideoFrame,
        base: TimeBase,
        device: Option<&Device>,
    ) -> Result<Self, Error> {
        crate::log::init()?;
        ff::avfilter()?;
        for name in description.split(',').filter_map(|f| f.split('=').next()) {
            if !crate::probe::has_filter(name.trim()) {
                return Err(Error::missing(format!("filter {}", name.trim())));
            }
        }
        let frame = Frame::of_video(first)?;
        let shape = Shape { width: first.width, height: first.height, format: frame.format_number() };
        // SAFETY: a plain allocation.
        let graph = NonNull::new(unsafe { ff::avfilter_graph_alloc() });
        let pixels = if frame.is_on_device() { shape.format } else { device.map_or(-1, Device::pixels) };
        let graph = Graph(graph.ok_or_else(|| Error::call("allocate filters", -ENOMEM))?, pixels);
        let _turn = turn::take(pixels);
        // SAFETY: fresh, ours.
        unsafe { (*graph.0.as_ptr()).nb_threads = 1 };
        let mut arguments = format!(
            "width={}:height={}:pix_fmt={}:time_base={}/{}:sar=1/1",
            shape.width,
            shape.height,
            shape.format,
            base.num(),
            base.den()
        );
        if cfg!(ffmpeg_7_0) {
            let inner = frame.as_ptr();
            // SAFETY: a valid frame; C enums are read as numbers.
            let (space, range) = unsafe { (raw!((*inner).colorspace), raw!((*inner).color_range)) };
            arguments.push_str(&format!(":colorspace={space}:range={range}"));
        }
        let source = create(&graph, c"buffer", Some(&arguments), frame.frames_context())?;
        let sink = create(&graph, c"buffersink", None, std::ptr::null_mut())?;
        link(&graph, source, sink, description, device)?;
        let late = device.filter(|d| d.uploads_late() && !frame.is_on_device()).map(|_| Late::default());
        Ok(Self { late, graph, source, sink, shape, base, durations: VecDeque::new() })
    }

    /// Whether the chain was built for pictures like this one.
    #[must_use]
    pub fn accepts(&self, video: &VideoFrame) -> bool {
        let format = match video.picture.as_any().downcast_ref::<Frame>() {
            Some(frame) => frame.format_number(),
            None => match video.picture.format() {
                sv_core::PixelFormat::Yuv420p10 => ff::AVPixelFormat::AV_PIX_FMT_YUV420P10LE as i32,
                _ => ff::AVPixelFormat::AV_PIX_FMT_YUV420P as i32,
            },
        };
        self.shape == Shape { width: video.width, height: video.height, format }
    }

    /// Takes a picture in.
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn push(&mut self, video: &VideoFrame) -> Result<(), Error> {
        let mut frame = Frame::of_video(video)?;
        frame.inner_mut().sample_aspect_ratio = rational(1, 1);
        self.durations.push_back((video.pts.ticks(), video.duration.ticks()));
        if let Some(late) = &mut self.late {
            late.given.push_back(frame.reference()?);
            if late.given.len() > Late::QUEUES {
                late.given.pop_front();
            }
        }
        let _turn = turn::take(self.graph.1);
        // SAFETY: the source belongs to the living graph; it takes over the frame's references and
        // leaves the frame itself, empty, to us.
        let code = unsafe { ff::av_buffersrc_add_frame_flags(self.source.as_ptr(), frame.as_ptr(), 0) };
        check(code, || "filter a picture".into()).map(drop)
    }

    /// No more pictures come.
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn finish(&mut self) -> Result<(), Error> {
        let _turn = turn::take(self.graph.1);
        // SAFETY: as in `push`; null means the end.
        let code = unsafe { ff::av_buffersrc_add_frame_flags(self.source.as_ptr(), std::ptr::null_mut(), 0) };
        check(code, || "finish filtering".into()).map(drop)
    }

    /// The next picture. Times stay in the input's time base. HDR metadata stays only where the
    /// transfer function is still one of HDR.
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn pull(&mut self) -> Result<Option<VideoFrame>, Error> {
        let frame = Frame::new()?;
        let _turn = turn::take(self.graph.1);
        // SAFETY: the sink belongs to the living graph; the frame is empty.
        match unsafe { ff::av_buffersink_get_frame(self.sink.as_ptr(), frame.as_ptr()) } {
            ff::AVERROR_EOF => return Ok(None),
            code if code == -EAGAIN => return Ok(None),
            code => check(code, || "filter a picture".into())?,
        };
        // SAFETY: as above; plain arithmetic on both rationals.
        let pts = unsafe {
            let base = ff::av_buffersink_get_time_base(self.sink.as_ptr());
            ff::av_rescale_q((*frame.as_ptr()).pts, base, rational(self.base.num(), self.base.den()))
        };
        let mut duration = 0;
        while let Some(&(time, length)) = self.durations.front().filter(|(time, _)| *time <= pts) {
            duration = if time == pts { length } else { duration };
            self.durations.pop_front();
        }
        let mut video =
            frame.into_video(pts, duration, sv_core::ColorInfo::default(), HdrMetadata::default());
        if !video.color.is_pq() && !video.color.is_hlg() {
            video.hdr = HdrMetadata::default();
        }
        if let Some(late) = &mut self.late {
            late.last = Some(video.clone());
        }
        Ok(Some(video))
    }

    /// Filters at work, for the log.
    #[must_use]
    pub fn len(&self) -> usize {
        // SAFETY: the graph is ours and alive.
        unsafe { self.graph.0.as_ref() }.nb_filters as usize
    }

    /// Never true: source and sink are always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes a filter; `frames` is the frames context of pictures on a device that go into it, or null.
fn create(
    graph: &Graph,
    name: &CStr,
    arguments: Option<&str>,
    frames: *mut ff::AVBufferRef,
) -> Result<NonNull<ff::AVFilterContext>, Error> {
    let arguments =
        arguments.map(CString::new).transpose().map_err(|_| Error::Invalid("zero byte".into()))?;
    let arguments = arguments.as_ref().map_or(std::ptr::null(), |a| a.as_ptr());
    // SAFETY: a living graph, static or zero-terminated strings; the graph owns the result. The
    // parameters are FFmpeg's own, which takes a reference of its own to the context in them.
    let (context, code) = unsafe {
        let filter = ff::avfilter_get_by_name(name.as_ptr());
        let context = ff::avfilter_graph_alloc_filter(graph.0.as_ptr(), filter, name.as_ptr());
        let mut code = if context.is_null() { -ENOMEM } else { 0 };
        if code == 0 && !frames.is_null() {
            let parameters = ff::av_buffersrc_parameters_alloc();
            code = -ENOMEM;
            if let Some(known) = parameters.as_mut() {
                known.hw_frames_ctx = frames;
                code = ff::av_buffersrc_parameters_set(context, parameters);
            }
            ff::av_free(parameters.cast());
        }
        if code >= 0 {
            code = ff::avfilter_init_str(context, arguments);
        }
        (context, code)
    };
    check(code, || format!("create the filter {name:?}"))?;
    NonNull::new(context).ok_or_else(|| Error::call("create a filter", -ENOMEM))
}

fn link(
    graph: &Graph,
    source: NonNull<ff::AVFilterContext>,
    sink: NonNull<ff::AVFilterContext>,
    description: &str,
    device: Option<&Device>,
) -> Result<(), Error> {
    let text = CString::new(description).map_err(|_| Error::Invalid("zero byte".into()))?;
    // SAFETY: FFmpeg's own allocations throughout: the two lists are freed below whatever happens,
    // and the names in them are FFmpeg's copies. The graph has as many filters as it says, which free
    // their references to the device.
    let code = unsafe {
        let (mut outputs, mut inputs) = (ff::avfilter_inout_alloc(), ff::avfilter_inout_alloc());
        if outputs.is_null() || inputs.is_null() {
            ff::avfilter_inout_free(&raw mut outputs);
            ff::avfilter_inout_free(&raw mut inputs);
            return Err(Error::call("allocate filters", -ENOMEM));
        }
        (*outputs).name = ff::av_strdup(c"in".as_ptr());
        (*outputs).filter_ctx = source.as_ptr();
        (*outputs).pad_idx = 0;
        (*outputs).next = std::ptr::null_mut();
        (*inputs).name = ff::av_strdup(c"out".as_ptr());
        (*inputs).filter_ctx = sink.as_ptr();
        (*inputs).pad_idx = 0;
        (*inputs).next = std::ptr::null_mut();
        let mut code = ff::avfilter_graph_parse_ptr(
            graph.0.as_ptr(),
            text.as_ptr(),
            &raw mut inputs,
            &raw mut outputs,
            std::ptr::null_mut(),
        );
        ff::avfilter_inout_free(&raw mut outputs);
        ff::avfilter_inout_free(&raw mut inputs);
        if let (Some(device), 0..) = (device, code) {
            for index in 0..(*graph.0.as_ptr()).nb_filters as usize {
                let filter = *(*graph.0.as_ptr()).filters.add(index);
                (*filter).hw_device_ctx = device.context().give()?;
            }
        }
        if code >= 0 {
            code = ff::avfilter_graph_config(graph.0.as_ptr(), std::ptr::null_mut());
        }
        code
    };
    check(code, || format!("build the filters {description:?}")).map(drop)
}
