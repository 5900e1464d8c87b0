//! Packets to frames.

use std::ffi::CStr;
use std::ptr::NonNull;

use crate::ffi as ff;
use sv_core::{AudioFrame, Codec, Media, Packet, Track, VideoFrame};

use crate::demux::{Options, RawPacket};
use crate::error::libc_code::{EAGAIN, ENOMEM};
use crate::error::{Error, check};
use crate::form::extradata;
use crate::frame::Frame;
use crate::track::{Private, codec_id};

/// How to decode.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Threads inside the decoder. Each one more holds one more picture in memory and delays the
    /// output by one.
    pub threads: u32,
    /// Largest picture.
    pub pixels: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threads: 1, pixels: sv_core::Limits::default().pixels }
    }
}

/// An open codec context.
pub(crate) struct Context(pub(crate) NonNull<ff::AVCodecContext>);

// SAFETY: owned by one value, used by one thread at a time.
unsafe impl Send for Context {}

impl Context {
    pub(crate) fn new(codec: *const ff::AVCodec) -> Result<Self, Error> {
        // SAFETY: a codec of FFmpeg's tables, or null.
        let context = unsafe { ff::avcodec_alloc_context3(codec) };
        NonNull::new(context).map(Self).ok_or_else(|| Error::call("allocate a codec", -ENOMEM))
    }

    pub(crate) fn inner(&self) -> &ff::AVCodecContext {
        // SAFETY: valid as long as `self`.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut ff::AVCodecContext {
        // SAFETY: valid as long as `self`, which is borrowed mutably.
        unsafe { self.0.as_mut() }
    }

    /// Copies a configuration into the context, with the padding that FFmpeg wants.
    fn set_extradata(&mut self, data: &[u8]) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        let (len, padding) = (data.len(), ff::AV_INPUT_BUFFER_PADDING_SIZE as usize);
        // SAFETY: zeroed memory of the needed length; the context frees it.
        unsafe {
            let memory: *mut u8 = ff::av_mallocz(len + padding).cast();
            if memory.is_null() {
                return Err(Error::call("allocate a configuration", -ENOMEM));
            }
            std::ptr::copy_nonoverlapping(data.as_ptr(), memory, len);
            let context = self.inner_mut();
            context.extradata = memory;
            context.extradata_size = i32::try_from(len).unwrap_or(0);
        }
        Ok(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let mut context = self.0.as_ptr();
        // SAFETY: we own it.
        unsafe { ff::avcodec_free_context(&raw mut context) };
    }
}

/// Decodes one track. Give it a packet, take frames until there are none, and so on; at the end
/// call [`finish`](Self::finish) and take the rest.
pub struct Decoder {
    context: Context,
    track: Track,
    no_pts: bool,
    next_pts: i64,
    patched: bool,
}

impl Decoder {
    /// Opens a decoder for a track, `name` if given, else FFmpeg's first for the codec.
    ///
    /// # Errors
    /// [`Error::Missing`] when the linked FFmpeg can't decode it.
    pub fn open(track: &Track, name: Option<&str>, settings: Settings) -> Result<Self, Error> {
        crate::log::init()?;
        let missing = || Error::missing(format!("decoder for {}", track.codec));
        let id = codec_id(track.codec).ok_or_else(missing)?;
        let codec = match name {
            Some(name) => {
                let text = std::ffi::CString::new(name).map_err(|_| missing())?;
                // SAFETY: a zero-terminated string.
                let codec = unsafe { ff::avcodec_find_decoder_by_name(text.as_ptr()) };
                if codec.is_null() {
                    return Err(Error::missing(format!("decoder {name}")));
                }
                codec
            }
            // SAFETY: a look-up in a static table.
            None => unsafe { ff::avcodec_find_decoder(id) },
        };
        if codec.is_null() {
            return Err(missing());
        }
        let mut context = Context::new(codec)?;
        let (private, rest) = Private::read(&track.config);
        match private {
            Some(_) => context.set_extradata(rest)?,
            None => context.set_extradata(&extradata(track.codec, &track.config))?,
        }
        let inner = context.inner_mut();
        inner.pkt_timebase = rational(track.time_base.num(), track.time_base.den());
        inner.thread_count = i32::try_from(settings.threads.clamp(1, 64)).unwrap_or(1);
        inner.codec_id = id;
        if let Some(private) = private {
            inner.codec_tag = private.codec_tag;
            inner.block_align = private.block_align;
            inner.bits_per_coded_sample = private.bits_per_coded_sample;
        }
        match &track.media {
            Media::Video(video) => {
                inner.width = i32::try_from(video.width).unwrap_or(0);
                inner.height = i32::try_from(video.height).unwrap_or(0);
                if let (Some(private), Codec::Other("rawvideo")) = (private, track.codec) {
                    // SAFETY: a C enum, 32 bits wide, which FFmpeg reads as a number and checks.
                    unsafe { (&raw mut inner.pix_fmt).cast::<i32>().write(private.format) };
                }
            }
            Media::Audio(audio) => {
                inner.sample_rate = i32::try_from(audio.sample_rate).unwrap_or(0);
                // SAFETY: the layout is unset, so that nothing is leaked.
                unsafe { ff::av_channel_layout_default(&raw mut inner.ch_layout, audio.channels.into()) };
            }
            Media::Text(_) => return Err(Error::Invalid("text tracks need no decoder".into())),
        }
        let mut options = Options::new();
        options.set_text("max_pixels", &settings.pixels.to_string())?;
        // SAFETY: a context of this codec, with its parameters set.
        let code = unsafe { ff::avcodec_open2(context.0.as_ptr(), codec, &raw mut options.0) };
        check(code, || format!("open the {} decoder", track.codec))?;
        let no_pts = private.is_some_and(|p| p.no_pts);
        Ok(Self { context, track: track.clone(), no_pts, next_pts: 0, patched: false })
    }

    /// FFmpeg's name of the decoder at work.
    #[must_use]
    pub fn name(&self) -> String {
        // SAFETY: an open context has a codec with a zero-terminated name.
        let name = unsafe { CStr::from_ptr((*self.context.inner().codec).name) };
        name.to_string_lossy().into_owned()
    }

    /// Takes a packet in. All frames must have been taken before.
    ///
    /// # Errors
    /// [`Error::is_damage`] tells a broken packet, after which decoding may go on.
    pub fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        let raw = RawPacket::new()?;
        let Ok(size) = i32::try_from(packet.data.len()) else {
            return Err(Error::Invalid("the packet is too large".into()));
        };
        // FFmpeg reads a little past the end, so foreign memory has to be copied.
        // SAFETY: on success the packet has `size` writable bytes (and the padding).
        unsafe {
            check(ff::av_new_packet(raw.as_ptr(), size), || "allocate a packet".into())?;
            let inner = &mut *raw.as_ptr();
            std::ptr::copy_nonoverlapping(packet.data.as_ptr(), inner.data, packet.data.len());
            inner.pts = if self.no_pts { ff::AV_NOPTS_VALUE } else { packet.pts.ticks() };
            inner.dts = packet.dts.ticks();
            inner.duration = i64::try_from(packet.duration.ticks()).unwrap_or(0);
            inner.flags = if packet.key { ff::AV_PKT_FLAG_KEY } else { 0 };
        }
        self.send(raw.as_ptr())
    }

    /// No more packets come.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn finish(&mut self) -> Result<(), Error> {
        self.send(std::ptr::null())
    }

    fn send(&mut self, packet: *const ff::AVPacket) -> Result<(), Error> {
        // SAFETY: an open decoder, and a valid packet or null (the end).
        let code = unsafe { ff::avcodec_send_packet(self.context.0.as_ptr(), packet) };
        match code {
            ff::AVERROR_EOF => Ok(()),
            code => check(code, || format!("decode {}", self.track.codec)).map(drop),
        }
    }

    fn receive(&mut self) -> Result<Option<Frame>, Error> {
        let frame = Frame::new()?;
        // SAFETY: an open decoder and an empty frame.
        let code = unsafe { ff::avcodec_receive_frame(self.context.0.as_ptr(), frame.as_ptr()) };
        match code {
            ff::AVERROR_EOF => Ok(None),
            code if code == -EAGAIN => Ok(None),
            code => {
                check(code, || format!("decode {}", self.track.codec))?;
                self.patched = frame.is_patched();
                Ok(Some(frame))
            }
        }
    }

    /// Whether the last picture or sound had places that could not be decoded and were made up.
    #[must_use]
    pub fn is_patched(&self) -> bool {
        self.patched
    }

    /// The next picture. Its time is in the track's time base, exactly as the packet had it.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn video(&mut self) -> Result<Option<VideoFrame>, Error> {
        let Some(frame) = self.receive()? else { return Ok(None) };
        let Some(info) = self.track.video() else {
            return Err(Error::Invalid("this track is not video".into()));
        };
        let pts = frame.best_pts().unwrap_or(self.next_pts);
        let duration = frame.duration().max(0);
        self.next_pts = pts.saturating_add(duration.max(1));
        Ok(Some(frame.into_video(pts, duration.unsigned_abs(), info.color, info.hdr)))
    }

    /// The next sound, with times as for [`video`](Self::video).
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn audio(&mut self) -> Result<Option<AudioFrame>, Error> {
        let Some(frame) = self.receive()? else { return Ok(None) };
        let pts = frame.best_pts().unwrap_or(self.next_pts);
        self.next_pts = pts.saturating_add(frame.duration().max(1));
        frame.into_audio(pts).map(Some)
    }
}

pub(crate) fn rational(num: u32, den: u32) -> ff::AVRational {
    ff::AVRational {
        num: i32::try_from(num).unwrap_or(i32::MAX),
        den: i32::try_from(den).unwrap_or(i32::MAX),
    }
}
