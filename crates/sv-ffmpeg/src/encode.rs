//! Frames to packets, in MP4's form.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};

use crate::ffi as ff;
use bytes::Bytes;
use sv_core::{Codec, ColorInfo, Duration, Packet, PixelFormat, Ratio, Timestamp, TrackId, VideoFrame};

use crate::decode::{Context, rational};
use crate::demux::{Options, RawPacket};
use crate::error::libc_code::{EAGAIN, ENOMEM};
use crate::error::{Error, check};
use crate::form::{Sampling, av1, nal, small};
use crate::frame::Frame;

/// What to encode pictures with.
#[derive(Clone, Debug)]
pub struct Video {
    /// FFmpeg's name of the encoder: `libx264`.
    pub encoder: String,
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
    /// 8, or 10 for [`sv_core::PixelFormat::Yuv420p10`].
    pub bit_depth: u8,
    /// Frames per second, nominal: the clock of the encoder's rate control.
    pub frame_rate: Ratio,
    /// What the sample values mean; written into the bitstream.
    pub color: ColorInfo,
    /// The encoder's options by FFmpeg's names: `crf`, `preset`, `maxrate`, `threads`.
    pub options: Vec<(String, String)>,
    /// More options, which are left out where the encoder doesn't have them.
    pub wishes: Vec<(String, String)>,
    /// A picture on a device, like all that will be pushed; `None` for pictures in memory.
    pub like: Option<VideoFrame>,
}

/// What to encode sound with.
#[derive(Clone, Debug)]
pub struct Audio {
    /// FFmpeg's name of the encoder: `aac`.
    pub encoder: String,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Channels, in FFmpeg's default layout for their number.
    pub channels: u16,
    /// Options as for [`Video::options`].
    pub options: Vec<(String, String)>,
}

/// An open encoder. Push a frame, take packets until there are none, and so on; at the end call
/// [`finish`](Self::finish) and take the rest.
pub struct Encoder {
    context: Context,
    codec: Codec,
    config: Bytes,
    clock: Clock,
    /// Packets that had to make room for more frames before anybody asked for them.
    ready: VecDeque<RawPacket>,
}

/// Maps the encoder's plain clock to the caller's times and back.
enum Clock {
    /// Pictures: the encoder counts nominal frames, the caller has any time base.
    Video {
        /// Ticks and times in presentation order, not yet used up for decoding times.
        times: VecDeque<(i64, i64)>,
        /// Waiting for their packets: tick, time, duration, and whether a key frame was asked for.
        pending: VecDeque<(i64, i64, u64, bool)>,
        /// Whether the encoder's decoding times count (else they are the presentation times).
        reorders: bool,
        /// By how many frames decoding runs ahead of presentation.
        delay: usize,
        /// Packets out so far.
        packets: usize,
        /// How far before the first time decoding begins.
        lead: i64,
        last_tick: Option<i64>,
        last_dts: Option<i64>,
    },
    /// Sound: samples since the first.
    Audio { buffer: Vec<f32>, frame: usize, taken: i64, given: i64, delay: i64, ended: bool },
}

impl Encoder {
    /// Opens an encoder for pictures.
    ///
    /// # Errors
    /// [`Error::Missing`] when the linked FFmpeg lacks the encoder; FFmpeg's reason when it does
    /// not like the settings.
    pub fn video(settings: &Video) -> Result<Self, Error> {
        Self::video_with(settings, None)
    }

    /// The configuration of an encoder that tells it only with its first packet (libaom): that of
    /// another one with the same settings, which encodes one grey picture.
    fn config_by_trial(settings: &Video, sampling: Sampling) -> Result<Option<Bytes>, Error> {
        let mut encoder = Self::video_with(settings, Some(Bytes::new()))?;
        let bytes = if settings.bit_depth == 10 { 2 } else { 1 };
        let plane = |index| {
            let (w, h) = crate::frame::plane_size(settings.width, settings.height, index);
            (vec![0; w * h * bytes], w * bytes)
        };
        let format = if bytes == 2 { PixelFormat::Yuv420p10 } else { PixelFormat::Yuv420p8 };
        let picture = sv_core::Planes { format, planes: (0..3).map(plane).collect() };
        let frame = VideoFrame {
            pts: Timestamp::ZERO,
            duration: Duration::ZERO,
            width: settings.width,
            height: settings.height,
            color: settings.color,
            hdr: sv_core::HdrMetadata::default(),
            dynamic: sv_core::color::DynamicMetadata::default(),
            picture: std::sync::Arc::new(picture),
        };
        encoder.push(&frame, 0, true)?;
        encoder.finish()?;
        let first = encoder.packet(TrackId(0))?;
        Ok(first.and_then(|packet| av1::av1c(&packet.data, sampling)))
    }

    /// With a configuration that is known already, or its own.
    fn video_with(settings: &Video, config: Option<Bytes>) -> Result<Self, Error> {
        let (codec, mut context) = open(&settings.encoder)?;
        let inner = context.inner_mut();
        inner.width = i32::try_from(settings.width).unwrap_or(0);
        inner.height = i32::try_from(settings.height).unwrap_or(0);
        inner.pix_fmt = match settings.bit_depth {
            10 => ff::AVPixelFormat::AV_PIX_FMT_YUV420P10LE,
            _ => ff::AVPixelFormat::AV_PIX_FMT_YUV420P,
        };
        if let Some(like) = &settings.like {
            set_frames(inner, like)?;
        }
        inner.time_base = rational(settings.frame_rate.den(), settings.frame_rate.num());
        inner.framerate = rational(settings.frame_rate.num(), settings.frame_rate.den());
        inner.sample_aspect_ratio = rational(1, 1);
        let color = settings.color;
        // SAFETY: C enums, 32 bits wide, which FFmpeg and its encoders read as numbers.
        unsafe {
            (&raw mut inner.color_primaries).cast::<u32>().write(color.primaries.into());
            (&raw mut inner.color_trc).cast::<u32>().write(color.transfer.into());
            (&raw mut inner.colorspace).cast::<u32>().write(color.matrix.into());
        }
        inner.color_range = match color.full_range {
            true => ff::AVColorRange::AVCOL_RANGE_JPEG,
            false => ff::AVColorRange::AVCOL_RANGE_MPEG,
        };
        inner.flags |= ff::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        start(&mut context, codec, &settings.encoder, &settings.options, &settings.wishes)?;
        let (codec, sampling) = (
            crate::track::codec(context.inner().codec_id),
            Sampling { depth: settings.bit_depth, chroma: (1, 1), mono: false },
        );
        let extradata = extradata(&context);
        let config = match codec {
            _ if config.is_some() => config,
            Codec::Av1 if extradata.is_empty() && settings.like.is_none() => {
                Self::config_by_trial(settings, sampling)?
            }
            Codec::H264 => nal::avcc(extradata, sampling),
            Codec::Hevc => nal::hvcc(extradata, sampling),
            Codec::Av1 if extradata.first() == Some(&0x81) => Some(Bytes::copy_from_slice(extradata)),
            Codec::Av1 => av1::av1c(extradata, sampling),
            Codec::Vp9 => {
                let (w, h, rate) = (settings.width, settings.height, settings.frame_rate.to_f64());
                Some(small::vpcc(w, h, rate, sampling, color))
            }
            _ => Some(Bytes::copy_from_slice(extradata)),
        };
        let Some(config) = config else {
            return Err(Error::Invalid(format!("{} gave no parameter sets", settings.encoder)));
        };
        // Pictures that are shown later travel inside the packets of earlier ones in these two.
        let reorders = !matches!(codec, Codec::Av1 | Codec::Vp9);
        let clock = Clock::Video {
            times: VecDeque::new(),
            pending: VecDeque::new(),
            reorders,
            delay: 0,
            packets: 0,
            lead: 0,
            last_tick: None,
            last_dts: None,
        };
        Ok(Self { context, codec, config, clock, ready: VecDeque::new() })
    }

    /// Opens an encoder for sound. Samples are pushed with [`push_samples`](Self::push_samples).
    ///
    /// # Errors
    /// As for [`video`](Self::video).
    pub fn audio(settings: &Audio) -> Result<Self, Error> {
        use ff::AVSampleFormat as F;
        // Asking the codec for its formats changed twice between FFmpeg 5.1 and 9; trying does not.
        let mut last = None;
        for format in [F::AV_SAMPLE_FMT_FLTP, F::AV_SAMPLE_FMT_FLT, F::AV_SAMPLE_FMT_S16] {
            let (codec, mut context) = open(&settings.encoder)?;
            let inner = context.inner_mut();
            inner.sample_fmt = format;
            inner.sample_rate = i32::try_from(settings.sample_rate).unwrap_or(0);
            inner.time_base = rational(1, settings.sample_rate);
            // SAFETY: the layout is unset, so that nothing is leaked.
            unsafe { ff::av_channel_layout_default(&raw mut inner.ch_layout, settings.channels.into()) };
            inner.flags |= ff::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            if let Err(error) = start(&mut context, codec, &settings.encoder, &settings.options, &[]) {
                last = Some(error);
                continue;
            }
            let codec = crate::track::codec(context.inner().codec_id);
            let extradata = extradata(&context);
            let config = match codec {
                Codec::Opus => small::dops(extradata),
                Codec::Flac => small::flac_blocks(extradata),
                _ => Some(Bytes::copy_from_slice(extradata)),
            };
            let Some(config) = config else {
                return Err(Error::Invalid(format!("{} gave no configuration", settings.encoder)));
            };
            let frame = usize::try_from(context.inner().frame_size).ok().filter(|n| *n > 0).unwrap_or(1024);
            let delay = i64::from(context.inner().initial_padding.max(0));
            let clock = Clock::Audio { buffer: Vec::new(), frame, taken: 0, given: 0, delay, ended: false };
            return Ok(Self { context, codec, config, clock, ready: VecDeque::new() });
        }
        Err(last.unwrap_or_else(|| Error::missing(format!("encoder {}", settings.encoder))))
    }

    /// The codec of the packets.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The configuration in MP4's form, as in [`sv_core::Track::config`].
    #[must_use]
    pub fn config(&self) -> &Bytes {
        &self.config
    }

    /// Samples at the start that a player must drop.
    #[must_use]
    pub fn delay(&self) -> u32 {
        match self.clock {
            Clock::Audio { delay, .. } => u32::try_from(delay).unwrap_or(0),
            Clock::Video { .. } => 0,
        }
    }

    /// Takes a picture in. `tick` is its place in nominal frames, and grows; its own time and
    /// duration come back on its packet, whatever their time base. `key` makes it a key frame that
    /// closes the group before it.
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn push(&mut self, video: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        let Clock::Video { times, pending, last_tick, .. } = &mut self.clock else {
            return Err(Error::Invalid("this encoder takes sound".into()));
        };
        let tick = last_tick.map_or(tick, |last| tick.max(last + 1));
        *last_tick = Some(tick);
        times.push_back((tick, video.pts.ticks()));
        pending.push_back((tick, video.pts.ticks(), video.duration.ticks(), key));
        let mut frame = Frame::of_video(video)?;
        let inner = frame.inner_mut();
        inner.pts = tick;
        inner.pict_type = match key {
            true => ff::AVPictureType::AV_PICTURE_TYPE_I,
            false => ff::AVPictureType::AV_PICTURE_TYPE_NONE,
        };
        #[cfg(not(ffmpeg_6_1))]
        {
            inner.key_frame = key.into();
            inner.interlaced_frame = 0;
        }
        #[cfg(ffmpeg_6_1)]
        {
            inner.flags &= !(ff::AV_FRAME_FLAG_KEY as i32 | ff::AV_FRAME_FLAG_INTERLACED as i32);
            if key {
                inner.flags |= ff::AV_FRAME_FLAG_KEY as i32;
            }
        }
        inner.sample_aspect_ratio = rational(1, 1);
        self.send(frame.as_ptr())
    }

    /// Takes interleaved samples in; any number of them.
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn push_samples(&mut self, samples: &[f32]) -> Result<(), Error> {
        let channels = self.channels();
        let Clock::Audio { buffer, frame, .. } = &mut self.clock else {
            return Err(Error::Invalid("this encoder takes pictures".into()));
        };
        let need = *frame * channels;
        buffer.extend_from_slice(samples);
        let whole = buffer.len() / need * need;
        let ready: Vec<f32> = buffer.drain(..whole).collect();
        for chunk in ready.chunks_exact(need) {
            self.send_samples(chunk)?;
        }
        Ok(())
    }

    /// No more frames come.
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let Clock::Audio { buffer, ended, .. } = &mut self.clock {
            *ended = true;
            let rest = std::mem::take(buffer);
            if !rest.is_empty() {
                self.send_samples(&rest)?;
            }
        }
        self.send(std::ptr::null())
    }

    fn channels(&self) -> usize {
        usize::try_from(self.context.inner().ch_layout.nb_channels).unwrap_or(1).max(1)
    }

    fn send_samples(&mut self, samples: &[f32]) -> Result<(), Error> {
        let channels = self.channels();
        let count = samples.len() / channels;
        let mut frame = Frame::new()?;
        let Clock::Audio { taken, .. } = &mut self.clock else { return Ok(()) };
        let context = self.context.inner();
        let inner = frame.inner_mut();
        inner.format = context.sample_fmt as i32;
        inner.nb_samples = i32::try_from(count).unwrap_or(0);
        inner.sample_rate = context.sample_rate;
        inner.pts = *taken;
        *taken += count as i64;
        // SAFETY: the frame is fresh; on success each plane has room for its samples, which are
        // written through pointers of the format that the context was opened with.
        unsafe {
            let copied = ff::av_channel_layout_copy(&raw mut inner.ch_layout, &raw const context.ch_layout);
            check(copied, || "set a channel layout".into())?;
            check(ff::av_frame_get_buffer(frame.as_ptr(), 0), || "allocate sound".into())?;
            let inner = frame.inner_mut();
            match context.sample_fmt {
                ff::AVSampleFormat::AV_SAMPLE_FMT_FLTP => {
                    for channel in 0..channels {
                        let plane = (*inner.extended_data.add(channel)).cast::<f32>();
                        let of_channel = samples.iter().skip(channel).step_by(channels);
                        of_channel.enumerate().for_each(|(i, s)| plane.add(i).write(*s));
                    }
                }
                ff::AVSampleFormat::AV_SAMPLE_FMT_FLT => {
                    let plane = inner.data[0].cast::<f32>();
                    std::ptr::copy_nonoverlapping(samples.as_ptr(), plane, count * channels);
                }
                _ => {
                    let plane = inner.data[0].cast::<i16>();
                    let to_i16 = |s: f32| (s * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
                    samples.iter().enumerate().for_each(|(i, s)| plane.add(i).write(to_i16(*s)));
                }
            }
        }
        self.send(frame.as_ptr())
    }

    fn send(&mut self, frame: *const ff::AVFrame) -> Result<(), Error> {
        loop {
            // SAFETY: an open encoder, and a valid frame or null (the end).
            match unsafe { ff::avcodec_send_frame(self.context.0.as_ptr(), frame) } {
                ff::AVERROR_EOF => return Ok(()),
                // Much sound at once (a hole that was filled) is more than it takes in one go.
                code if code == -EAGAIN => match self.receive()? {
                    Some(packet) => self.ready.push_back(packet),
                    None => return check(code, || format!("encode {}", self.codec)).map(drop),
                },
                code => return check(code, || format!("encode {}", self.codec)).map(drop),
            }
        }
    }

    /// What the encoder has ready, if anything.
    fn receive(&mut self) -> Result<Option<RawPacket>, Error> {
        let raw = RawPacket::new()?;
        // SAFETY: an open encoder and an empty packet.
        match unsafe { ff::avcodec_receive_packet(self.context.0.as_ptr(), raw.as_ptr()) } {
            ff::AVERROR_EOF => Ok(None),
            code if code == -EAGAIN => Ok(None),
            code => check(code, || format!("encode {}", self.codec)).map(|_| Some(raw)),
        }
    }

    /// The next packet, for track `id`. Its times are in the time base of the pushed pictures, or
    /// in samples since the first pushed one, less [`delay`](Self::delay).
    ///
    /// # Errors
    /// FFmpeg's reason.
    pub fn packet(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        loop {
            let raw = match self.ready.pop_front() {
                Some(raw) => raw,
                None => match self.receive()? {
                    Some(raw) => raw,
                    None => return Ok(None),
                },
            };
            let (tick, decode_tick) = (raw.inner().pts, raw.inner().dts);
            let key = raw.inner().flags & ff::AV_PKT_FLAG_KEY != 0;
            // A new configuration without samples (FLAC's at the end) is no packet.
            if raw.data().is_empty() {
                continue;
            }
            let Some(times) = self.clock.times_of(tick, decode_tick) else { continue };
            if times.key && !key {
                return Err(Error::Invalid(format!(
                    "this encoder for {} makes key frames where it likes, not where they are asked for: choose another",
                    self.codec
                )));
            }
            let data = match self.codec {
                Codec::H264 | Codec::Hevc if nal::is_annex_b(raw.data()) => {
                    nal::encoded_to_lengths(raw.data(), self.codec == Codec::Hevc).into()
                }
                Codec::Av1 => Bytes::copy_from_slice(&av1::strip(raw.data())),
                _ => Bytes::from_owner(raw),
            };
            return Ok(Some(Packet {
                track: id,
                pts: Timestamp::new(times.pts),
                dts: Timestamp::new(times.dts),
                duration: Duration::new(times.duration),
                key,
                data,
                protection: None,
            }));
        }
    }
}

struct Times {
    pts: i64,
    dts: i64,
    duration: u64,
    key: bool,
}

impl Clock {
    /// Times of the next packet on the caller's clock, or `None` when it holds
    /// nothing that is heard.
    fn times_of(&mut self, tick: i64, decode_tick: i64) -> Option<Times> {
        match self {
            Self::Video { times, pending, reorders, delay, packets, lead, last_dts, .. } => {
                let at = pending.iter().position(|(t, ..)| *t == tick).unwrap_or(0);
                let (_, pts, duration, key) = pending.remove(at)?;
                if *packets == 0 && *reorders && decode_tick < tick {
                    // The first picture is decoded as long before it is shown as the encoder
                    // reorders; on our clock that is a number of pictures.
                    let (first, ticks) = (*times.front()?, tick - decode_tick);
                    *delay = times.iter().take_while(|(t, _)| t - first.0 < ticks).count();
                    let nominal = ticks.saturating_mul(duration.max(1) as i64);
                    *lead = times.get(*delay).map_or(nominal, |(_, t)| t - first.1);
                }
                let dts = match *packets < *delay {
                    true => times.get(*packets).map_or(pts, |(_, t)| *t) - *lead,
                    false => times.pop_front().map_or(pts, |(_, t)| t),
                };
                *packets += 1;
                let dts = last_dts.map_or(dts, |last| dts.max(last)).min(pts);
                *last_dts = Some(dts);
                Some(Times { pts, dts, duration, key })
            }
            Self::Audio { frame, taken, given, delay, ended, .. } => {
                // Before the end, everything given is behind what was taken.
                let left = if *ended { *taken + *delay - *given } else { *frame as i64 };
                let duration = left.min(*frame as i64);
                let pts = *given - *delay;
                *given += duration.max(0);
                (duration > 0).then_some(Times {
                    pts,
                    dts: pts,
                    duration: duration.unsigned_abs(),
                    key: false,
                })
            }
        }
    }
}

fn open(name: &str) -> Result<(*const ff::AVCodec, Context), Error> {
    crate::log::init()?;
    let text =
        CString::new(name).map_err(|_| Error::Invalid("an encoder's name has no zero bytes".into()))?;
    // SAFETY: a zero-terminated string.
    let codec = unsafe { ff::avcodec_find_encoder_by_name(text.as_ptr()) };
    if codec.is_null() {
        return Err(Error::missing(format!("encoder {name}")));
    }
    Ok((codec, Context::new(codec)?))
}

fn start(
    context: &mut Context,
    codec: *const ff::AVCodec,
    name: &str,
    options: &[(String, String)],
    wishes: &[(String, String)],
) -> Result<(), Error> {
    let mut dictionary = Options::new();
    for (key, value) in wishes.iter().chain(options) {
        dictionary.set_text(key, value)?;
    }
    // SAFETY: a context of this codec, with its parameters set.
    let code = unsafe { ff::avcodec_open2(context.0.as_ptr(), codec, &raw mut dictionary.0) };
    check(code, || format!("open the encoder {name}"))?;
    // What FFmpeg has not taken is left in the dictionary.
    let mut entry: *const ff::AVDictionaryEntry = std::ptr::null();
    loop {
        // SAFETY: an empty key with this flag gives one entry after the other, the last of which is null.
        // Entries have zero-terminated keys.
        let key = unsafe {
            entry = ff::av_dict_get(dictionary.0, c"".as_ptr(), entry, ff::AV_DICT_IGNORE_SUFFIX);
            match entry.as_ref() {
                Some(entry) => CStr::from_ptr(entry.key).to_string_lossy(),
                None => return Ok(()),
            }
        };
        if !wishes.iter().any(|(wish, _)| *wish == key) {
            return Err(Error::Invalid(format!("the encoder {name} has no option {key:?}")));
        }
    }
}

/// Tells the encoder that pictures are on a device, and how.
fn set_frames(context: &mut ff::AVCodecContext, like: &VideoFrame) -> Result<(), Error> {
    let frame = like.picture.as_any().downcast_ref::<Frame>().filter(|f| f.is_on_device());
    let Some(frame) = frame else {
        return Err(Error::Invalid("the picture is not on a device".into()));
    };
    // SAFETY: a living frames context, whose data is that structure; both formats are C enums, 32 bits
    // wide, and values that FFmpeg made. The new reference is the context's, which frees it.
    unsafe {
        let frames = frame.frames_context();
        let known = (*frames).data.cast::<ff::AVHWFramesContext>();
        let copy = |to: *mut ff::AVPixelFormat, from: *const ff::AVPixelFormat| {
            to.cast::<i32>().write(from.cast::<i32>().read());
        };
        copy(&raw mut context.pix_fmt, &raw const (*known).format);
        copy(&raw mut context.sw_pix_fmt, &raw const (*known).sw_format);
        context.hw_frames_ctx = ff::av_buffer_ref(frames);
        if context.hw_frames_ctx.is_null() {
            return Err(Error::call("reference a device", -ENOMEM));
        }
    }
    Ok(())
}

fn extradata(context: &Context) -> &[u8] {
    let inner = context.inner();
    match usize::try_from(inner.extradata_size) {
        // SAFETY: FFmpeg's pointer and length of one allocation, which the context keeps.
        Ok(len) if len > 0 && !inner.extradata.is_null() => unsafe {
            std::slice::from_raw_parts(inner.extradata, len)
        },
        _ => &[],
    }
}
