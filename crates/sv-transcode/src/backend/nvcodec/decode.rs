//! The driver's parser, which calls back with sequences, pictures to decode and pictures to show.

use std::collections::VecDeque;
use std::ffi::{c_int, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use sv_core::{Codec, Duration, Frame, Packet, Timestamp, Track, VideoFrame, VideoInfo};

use super::bitstream::Form;
use super::engine::{DISPLAY_DELAY, Engine, Shape};
use super::library::{self, Context, Video};
use super::sys::{
    DisplayInfo, Handle, PACKET_END_OF_STREAM, PACKET_TIMESTAMP, ParserParams, SourcePacket, VideoFormat,
};
use super::{cant, failed};
use crate::backend::Decode;
use crate::{Error, cpu, decode};

/// Most pictures of one packet: more than any codec keeps, less than a hostile packet could hold.
const MOST_READY: usize = 40;
/// Most packets that may wait for their pictures; what is older was never shown.
const MOST_TIMES: usize = 128;

/// What the callbacks work on.
struct State {
    context: Arc<Context>,
    codec: Codec,
    video: VideoInfo,
    scale: Option<(u32, u32)>,
    most_pixels: u64,
    engine: Option<Engine>,
    /// Whether decoding can start at the packet that is being parsed.
    key: bool,
    /// Times of packets whose pictures are not out yet.
    times: VecDeque<(Timestamp, Duration)>,
    ready: VecDeque<VideoFrame>,
    /// What a callback could not say to the parser, which only knows yes and no.
    problem: Option<Error>,
}

impl State {
    fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Damaged { codec: self.codec, reason: reason.into() }
    }

    /// A sequence begins; gives the number of surfaces.
    fn sequence(&mut self, format: &VideoFormat) -> Result<c_int, Error> {
        let shape = Shape::of(format, self.codec, self.scale, self.most_pixels)?;
        match &self.engine {
            Some(engine) if engine.shape == shape => {}
            // These two scale references, which a new decoder would not have.
            Some(engine)
                if !self.key
                    && matches!(self.codec, Codec::Vp9 | Codec::Av1)
                    && !engine.shape.same_size(&shape) =>
            {
                return Err(cant(format!("{} that changes its size between key frames", self.codec)));
            }
            _ => {
                // The old one goes first: both may not fit.
                self.engine = None;
                self.engine = Some(Engine::open(&self.context, self.codec, shape)?);
            }
        }
        Ok(shape.surfaces().into())
    }

    /// # Safety
    /// As for [`Engine::decode`].
    unsafe fn picture(&mut self, picture: *mut c_void) -> Result<c_int, Error> {
        let codec = self.codec;
        let damaged = |reason| Error::Damaged { codec, reason };
        let engine = self.engine.as_mut().ok_or_else(|| damaged("no sequence header came".into()))?;
        // SAFETY: the caller's promise.
        unsafe { engine.decode(picture) }.map_err(damaged)?;
        Ok(1)
    }

    fn display(&mut self, info: &DisplayInfo) -> Result<c_int, Error> {
        if self.ready.len() >= MOST_READY {
            return Err(self.damaged("it holds too many pictures"));
        }
        let Some((pts, duration)) = self.time_of(info.timestamp) else {
            return Err(self.damaged("it holds a picture too many"));
        };
        let Some(engine) = &mut self.engine else {
            return Err(self.damaged("no sequence header came"));
        };
        let planes = engine.picture(info).map_err(failed)?;
        self.ready.push_back(VideoFrame {
            pts,
            duration,
            width: engine.shape.width,
            height: engine.shape.height,
            color: self.video.color,
            hdr: self.video.hdr,
            dynamic: sv_core::color::DynamicMetadata::default(),
            picture: Arc::new(planes),
        });
        Ok(1)
    }

    /// The time of the packet that the parser names, else the first of those that wait: pictures
    /// come in the order in which they are shown.
    fn time_of(&mut self, ticks: i64) -> Option<(Timestamp, Duration)> {
        let named = self.times.iter().position(|(pts, _)| pts.ticks() == ticks);
        let first = || (0..self.times.len()).min_by_key(|i| self.times.get(*i).map(|(pts, _)| *pts));
        let at = named.or_else(first)?;
        self.times.remove(at)
    }
}

/// Runs a callback: neither a panic nor a second error may reach the parser.
///
/// # Safety
/// `user` points to a [`State`] that nothing else uses, and `argument` is null or readable.
unsafe fn call<T>(
    user: *mut c_void,
    argument: *mut T,
    work: impl FnOnce(&mut State, &mut T) -> Result<c_int, Error>,
) -> c_int {
    // SAFETY: the caller's promise.
    let (Some(state), Some(argument)) =
        (unsafe { user.cast::<State>().as_mut() }, unsafe { argument.as_mut() })
    else {
        // Without an argument it only tells that the stream has ended.
        return 1;
    };
    let result = catch_unwind(AssertUnwindSafe(|| work(state, argument)));
    match result.unwrap_or_else(|_| Err(failed("a callback panicked".into()))) {
        Ok(answer) => answer,
        Err(error) => {
            state.problem.get_or_insert(error);
            0
        }
    }
}

unsafe extern "C" fn on_sequence(user: *mut c_void, format: *mut VideoFormat) -> c_int {
    // SAFETY: the parser hands back our pointer and lends the format.
    unsafe { call(user, format, |state, format| state.sequence(format)) }
}

unsafe extern "C" fn on_decode(user: *mut c_void, picture: *mut c_void) -> c_int {
    // SAFETY: as above; the picture is only passed on, while the parser waits.
    unsafe { call(user, picture, |state, _| state.picture(picture)) }
}

unsafe extern "C" fn on_display(user: *mut c_void, info: *mut DisplayInfo) -> c_int {
    // SAFETY: as for the sequence.
    unsafe { call(user, info, |state, info| state.display(info)) }
}

/// Decodes one track on the first device.
pub(super) struct Decoder {
    context: Arc<Context>,
    video: &'static Video,
    form: Form,
    parser: Handle,
    /// Owned; a pointer, because the parser has it too.
    state: NonNull<State>,
    started: bool,
    _held: cpu::Held,
}

// SAFETY: parser, decoder and memory belong to no thread, and this value has the only way to them.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(super) fn open(
        track: &Track,
        kind: c_int,
        video: &VideoInfo,
        context: Context,
        options: &decode::Options,
    ) -> Result<Self, Error> {
        let form = Form::of(track)?;
        let (driver, part) = (context.driver, library::video().map_err(failed)?);
        let context = Arc::new(context);
        let state = Box::new(State {
            context: Arc::clone(&context),
            codec: track.codec,
            video: video.clone(),
            scale: options.scale,
            most_pixels: options.limits.pixels,
            engine: None,
            key: false,
            times: VecDeque::new(),
            ready: VecDeque::new(),
            problem: None,
        });
        let state = NonNull::from(Box::leak(state));
        // From here on `drop` cleans up.
        let mut decoder = Self {
            context,
            video: part,
            form,
            parser: std::ptr::null_mut(),
            state,
            started: false,
            _held: cpu::Held::now(),
        };
        let mut params = ParserParams {
            codec: kind,
            // The sequence callback says how many.
            decode_surfaces: 1,
            clock_rate: 0,
            error_threshold: 0,
            display_delay: DISPLAY_DELAY,
            flags: 0,
            reserved1: [0; 4],
            user: state.as_ptr().cast(),
            on_sequence,
            on_decode,
            on_display,
            on_operating_point: 0,
            on_sei: 0,
            reserved2: [0; 5],
            extended_format: 0,
        };
        // SAFETY: filled parameters, with callbacks of the right types; it writes a handle.
        let code = unsafe { (part.create_parser)(&raw mut decoder.parser, &raw mut params) };
        driver.check(code, "make a parser").map_err(failed)?;
        Ok(decoder)
    }

    fn state(&mut self) -> &mut State {
        // SAFETY: ours alone while the parser is not running, which it only is inside `parse`.
        unsafe { self.state.as_mut() }
    }

    fn parse(&mut self, flags: c_ulong, data: &[u8], timestamp: i64) -> Result<(), Error> {
        let len = c_ulong::try_from(data.len())
            .map_err(|_| Error::Invalid("the packet is too large for the NVIDIA driver".into()))?;
        let mut packet = SourcePacket { flags, len, data: data.as_ptr(), timestamp };
        if data.is_empty() {
            packet.data = std::ptr::null();
        }
        let (driver, video, parser) = (self.context.driver, self.video, self.parser);
        // SAFETY: a live parser, and a packet that lasts for the call.
        let code = self.context.with(|| unsafe { (video.parse)(parser, &raw mut packet) });
        let code = code.map_err(failed)?;
        if let Some(problem) = self.state().problem.take() {
            return Err(problem);
        }
        driver.check(code, "parse it").map_err(|reason| self.state().damaged(reason))
    }
}

impl Decode for Decoder {
    fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        let lead = packet.key || !self.started;
        let codec = self.state().codec;
        let stream = self.form.stream(packet, codec, lead)?;
        self.started = true;
        let state = self.state();
        state.key = packet.key;
        state.times.push_back((packet.pts, packet.duration));
        while state.times.len() > MOST_TIMES {
            state.times.pop_front();
        }
        self.parse(PACKET_TIMESTAMP, &stream, packet.pts.ticks())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.parse(PACKET_END_OF_STREAM, &[], 0)
    }

    fn pull(&mut self) -> Result<Option<Frame>, Error> {
        Ok(self.state().ready.pop_front().map(Frame::Video))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: leaked in `open`, taken back once; the parser goes before it is freed.
        let mut state = unsafe { Box::from_raw(self.state.as_ptr()) };
        let (parser, video) = (self.parser, self.video);
        let gone = self.context.with(|| {
            if !parser.is_null() {
                // SAFETY: made in `open`, destroyed once.
                unsafe { (video.destroy_parser)(parser) };
            }
            state.engine = None;
        });
        if let Err(error) = gone {
            tracing::warn!("{error}");
        }
    }
}
