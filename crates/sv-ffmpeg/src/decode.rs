//! Packets to frames.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ffi as ff;
use sv_core::{AudioFrame, Codec, Media, Packet, Track, VideoFrame};

use crate::demux::{Options, RawPacket};
use crate::device::Device;
use crate::error::libc_code::{EAGAIN, ENOMEM, ENOSYS};
use crate::error::{Error, check};
use crate::form::extradata;
use crate::frame::Frame;
use crate::track::{Private, codec_id};

/// How to decode.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Threads inside the decoder. Each one more holds one more picture in memory and delays the
    /// output by one.
    pub threads: u32,
    /// Largest picture.
    pub pixels: u64,
    /// Decode on this device: pictures stay there. What it can't decode is an error, here or with the
    /// first packets, never decoded elsewhere.
    pub device: Option<Device>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threads: 1, pixels: sv_core::Limits::default().pixels, device: None }
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
    device: Option<OnDevice>,
}

/// What belongs to decoding on a device.
struct OnDevice {
    device: Device,
    /// Set by FFmpeg's question for a format, when the device's own is not among the answers. The
    /// context points to it.
    refused: Box<AtomicBool>,
}

/// Answers which of the formats to decode to: that of the device, or none.
unsafe extern "C" fn device_format(
    context: *mut ff::AVCodecContext,
    mut formats: *const ff::AVPixelFormat,
) -> ff::AVPixelFormat {
    // SAFETY: FFmpeg calls it with a context that `Decoder::open` has given a device and an `AtomicBool`
    // that outlives it, and with a list that ends in "none"; formats are read as the numbers that they are.
    unsafe {
        let device = (*(*context).hw_device_ctx).data.cast::<ff::AVHWDeviceContext>();
        if let Some(wanted) = crate::device::pixels_of((*device).type_) {
            while formats.cast::<i32>().read() != ff::AVPixelFormat::AV_PIX_FMT_NONE as i32 {
                if formats.cast::<i32>().read() == wanted as i32 {
                    return wanted;
                }
                formats = formats.add(1);
            }
        }
        (*(*context).opaque.cast::<AtomicBool>()).store(true, Ordering::Relaxed);
    }
    ff::AVPixelFormat::AV_PIX_FMT_NONE
}

impl OnDevice {
    /// Tells the context of the device, if the codec can be decoded on devices like it.
    fn set(device: &Device, codec: *const ff::AVCodec, context: &mut Context) -> Result<Self, Error> {
        let known = (0..).map_while(|index| {
            // SAFETY: a codec of FFmpeg's tables; null after the last of its configurations.
            unsafe { ff::avcodec_get_hw_config(codec, index).as_ref() }
        });
        let method = ff::AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX as i32;
        if !known.into_iter().any(|c| c.device_type == device.id() && c.methods & method != 0) {
            // SAFETY: a codec has a zero-terminated name.
            let name = unsafe { CStr::from_ptr((*codec).name) }.to_string_lossy();
            return Err(Error::missing(format!("decoder for {name} on {} devices", device.kind())));
        }
        let refused = Box::new(AtomicBool::new(false));
        let inner = context.inner_mut();
        inner.hw_device_ctx = device.context().give()?;
        inner.extra_hw_frames = crate::device::SPARE.into();
        inner.opaque = (&raw const *refused).cast_mut().cast();
        inner.get_format = Some(device_format);
        Ok(Self { device: device.clone(), refused })
    }
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
        let own = settings.device.as_ref().and_then(|device| device.decoder(track.codec));
        let codec = match name.or(own.as_deref()) {
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
        let device = settings.device.as_ref().filter(|_| track.video().is_some());
        let device = device.map(|device| OnDevice::set(device, codec, &mut context)).transpose()?;
        let mut options = Options::new();
        options.set_text("max_pixels", &settings.pixels.to_string())?;
        // SAFETY: a context of this codec, with its parameters set.
        let code = unsafe { ff::avcodec_open2(context.0.as_ptr(), codec, &raw mut options.0) };
        check(code, || format!("open the {} decoder", track.codec))?;
        let no_pts = private.is_some_and(|p| p.no_pts);
        Ok(Self { context, track: track.clone(), no_pts, next_pts: 0, patched: false, device })
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
            code => self.check(code),
        }
    }

    /// FFmpeg's error, unless the cause is that the device can't do it.
    fn check(&self, code: i32) -> Result<(), Error> {
        match &self.device {
            Some(on) if code < 0 && on.refused.load(Ordering::Relaxed) => Err(Error::Call {
                what: format!("decode {} on a {} device", self.track.codec, on.device.kind()),
                reason: "it does not take pictures like these".into(),
                code: -ENOSYS,
            }),
            _ => check(code, || format!("decode {}", self.track.codec)).map(drop),
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
                self.check(code)?;
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
        // Some encoders would write captions by themselves, so that they came twice; what becomes of them isn't theirs to say.
        // SAFETY: a valid frame of our own.
        unsafe {
            ff::av_frame_remove_side_data(frame.as_ptr(), ff::AVFrameSideDataType::AV_FRAME_DATA_A53_CC)
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
