//! Containers, through FFmpeg, from strangers.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::ffi as ff;
use bytes::Bytes;
use sv_core::{Item, Limits, Packet, ReadAt, Source, Timestamp, Track, TrackId};

use crate::error::libc_code::{EAGAIN, EINVAL, ENOMEM, EPERM};
use crate::error::{Error, check, reason};
use crate::form::{Form, webm};
use crate::io::Io;
use crate::track::{Stream, describe, tag};

pub use crate::language::language;

/// The containers that we let strangers bring. None of them can name another file: playlists
/// (`hls`, `dash`, `concat`), image sequences and every network format are left out on purpose.
const CONTAINERS: &CStr =
    c"mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,wav,w64,aiff,caf,mp3,aac,flac,ac3,eac3,amr,\
    h264,hevc,m4v,vc1,ivf,obu,yuv4mpegpipe,mxf,asf,asf_o,gif,dv,webvtt,srt,wv,tta";

/// What a container says about the whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// FFmpeg's names for the container, the most telling last: `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// How long the whole is.
    pub duration: Option<Duration>,
    /// Bits per second of the whole.
    pub bitrate: Option<u64>,
    /// Title, artist and the like, as the file has them.
    pub metadata: Vec<(String, String)>,
    /// Chapters in order.
    pub chapters: Vec<Chapter>,
}

/// A named part of a presentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
    /// Its name.
    pub title: Option<String>,
}

/// What we remember about a stream of FFmpeg's.
struct Lane {
    id: TrackId,
    form: Form,
    /// Whether something is said in front of each payload.
    encrypted: bool,
    last_dts: Option<i64>,
}

/// Reads any container that FFmpeg knows and we accept, as a [`Source`]: tracks first, then
/// packets in file order, then the end of each track.
///
/// It reads through the given [`ReadAt`] alone. FFmpeg's own protocols are switched off, and so is
/// every format that could name another file; a playlist that is called `.mp4` is an error.
///
/// Track numbers are FFmpeg's stream indexes. Cover pictures and data streams are left out. Codecs
/// that MP4 has no form for keep FFmpeg's name ([`Codec::Other`](sv_core::Codec::Other)) and a configuration that only
/// [`Decoder`](crate::Decoder) reads. AC-3 and E-AC-3 come without configuration: their bitstream
/// says all that a decoder needs.
pub struct Demuxer {
    // Fields drop in order: the context uses the reader.
    context: Context,
    io: Io,
    name: String,
    limits: Limits,
    tracks: Vec<Track>,
    lanes: Vec<Option<Lane>>,
    queue: VecDeque<Item>,
    peeked: VecDeque<RawPacket>,
    ended: bool,
}

struct Context(NonNull<ff::AVFormatContext>);

// SAFETY: owned by one demuxer, which is used by one thread at a time.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        let mut context = self.0.as_ptr();
        // SAFETY: we own the context; the reader behind it is ours to close.
        unsafe { ff::avformat_close_input(&raw mut context) };
    }
}

/// An owned `AVPacket`.
pub(crate) struct RawPacket(NonNull<ff::AVPacket>);

// SAFETY: owned, and its buffer is counted atomically.
unsafe impl Send for RawPacket {}
// SAFETY: shared only to read the payload.
unsafe impl Sync for RawPacket {}

impl RawPacket {
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: a plain allocation.
        let packet = unsafe { ff::av_packet_alloc() };
        NonNull::new(packet).map(Self).ok_or_else(|| Error::call("allocate a packet", -ENOMEM))
    }

    pub(crate) fn as_ptr(&self) -> *mut ff::AVPacket {
        self.0.as_ptr()
    }

    pub(crate) fn inner(&self) -> &ff::AVPacket {
        // SAFETY: valid as long as `self`.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn data(&self) -> &[u8] {
        let packet = self.inner();
        match usize::try_from(packet.size) {
            // SAFETY: FFmpeg's pointer and length of one buffer, which `self` keeps alive.
            Ok(size) if size > 0 && !packet.data.is_null() => unsafe {
                std::slice::from_raw_parts(packet.data, size)
            },
            _ => &[],
        }
    }
}

impl AsRef<[u8]> for RawPacket {
    fn as_ref(&self) -> &[u8] {
        self.data()
    }
}

impl Drop for RawPacket {
    fn drop(&mut self) {
        let mut packet = self.0.as_ptr();
        // SAFETY: we own it.
        unsafe { ff::av_packet_free(&raw mut packet) };
    }
}

/// FFmpeg asks for another file: never.
unsafe extern "C" fn refuse(
    _: *mut ff::AVFormatContext,
    _: *mut *mut ff::AVIOContext,
    url: *const c_char,
    _: c_int,
    _: *mut *mut ff::AVDictionary,
) -> c_int {
    if !url.is_null() {
        // SAFETY: FFmpeg gives a zero-terminated string.
        let url = unsafe { CStr::from_ptr(url) };
        tracing::warn!(target: "ffmpeg", "the input asks for {url:?}, which is refused");
    }
    -EPERM
}

/// A dictionary of options that frees itself.
pub(crate) struct Options(pub(crate) *mut ff::AVDictionary);

impl Options {
    pub(crate) fn new() -> Self {
        Self(std::ptr::null_mut())
    }

    pub(crate) fn set(&mut self, key: &CStr, value: &CStr) {
        // SAFETY: both strings are copied; failure leaves the option out and is seen by its effect.
        unsafe { ff::av_dict_set(&raw mut self.0, key.as_ptr(), value.as_ptr(), 0) };
    }

    pub(crate) fn set_text(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let text = |s: &str| CString::new(s).map_err(|_| Error::Invalid(format!("{s:?} has a zero byte")));
        self.set(&text(key)?, &text(value)?);
        Ok(())
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: ours, or null.
        unsafe { ff::av_dict_free(&raw mut self.0) };
    }
}

impl Demuxer {
    /// Opens what `reader` holds and reads as much of it as it takes to describe the tracks.
    /// `name` appears in messages only; what the file is, its bytes say.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`] for what is no accepted container, [`Error::Read`] when the reader
    /// fails, [`Error::Limit`] for more tracks or larger pictures than `limits` allows.
    pub fn open(reader: Arc<dyn ReadAt>, name: &str, limits: Limits) -> Result<Self, Error> {
        crate::log::init()?;
        ff::avformat()?;
        if reader.size() == 0 {
            return Err(Error::UnknownFormat { name: name.into(), reason: "the file is empty".into() });
        }
        let mut io = Io::new(reader)?;
        // SAFETY: a plain allocation.
        let context = unsafe { ff::avformat_alloc_context() };
        let Some(context) = NonNull::new(context) else {
            return Err(Error::call("allocate a demuxer", -ENOMEM));
        };
        let mut options = Options::new();
        options.set(c"format_whitelist", CONTAINERS);
        options.set(c"protocol_whitelist", c"");
        options.set_text("max_streams", &limits.tracks.saturating_add(16).to_string())?;
        let mut raw = context.as_ptr();
        // SAFETY: the context is fresh; `io` lives longer than it. On failure FFmpeg frees the
        // context itself, but not the reader.
        let opened = unsafe {
            (*raw).pb = io.context();
            (*raw).flags |= ff::AVFMT_FLAG_CUSTOM_IO;
            (*raw).io_open = Some(refuse);
            ff::avformat_open_input(&raw mut raw, c"".as_ptr(), std::ptr::null(), &raw mut options.0)
        };
        if opened < 0 {
            if let Some(source) = io.take_error() {
                return Err(Error::Read { name: name.into(), source });
            }
            let reason = match opened {
                c if c == -EINVAL => "its kind is not on the list of accepted containers".into(),
                ff::AVERROR_EOF => "the file ends too early".into(),
                c => reason(c),
            };
            return Err(Error::UnknownFormat { name: name.into(), reason });
        }
        let context = Context(context);
        let mut demuxer = Self {
            context,
            io,
            name: name.into(),
            limits,
            tracks: Vec::new(),
            lanes: Vec::new(),
            queue: VecDeque::new(),
            peeked: VecDeque::new(),
            ended: false,
        };
        demuxer.inspect()?;
        Ok(demuxer)
    }

    /// Finds out what the streams are.
    fn inspect(&mut self) -> Result<(), Error> {
        let context = self.context.0.as_ptr();
        // FFmpeg opens decoders to see what headers don't tell; they obey the same bounds.
        let count = self.streams().len();
        let mut options: Vec<Options> = Vec::new();
        for _ in 0..count {
            let mut o = Options::new();
            o.set_text("max_pixels", &self.limits.pixels.to_string())?;
            o.set(c"threads", c"1");
            options.push(o);
        }
        let mut pointers: Vec<*mut ff::AVDictionary> = options.iter().map(|o| o.0).collect();
        // SAFETY: the context is open, and there is one dictionary for each of its streams.
        let code = unsafe { ff::avformat_find_stream_info(context, pointers.as_mut_ptr()) };
        // FFmpeg may have replaced the dictionaries; ours are whatever is left.
        options.iter_mut().zip(pointers).for_each(|(option, pointer)| option.0 = pointer);
        self.checked(code, "read the streams' descriptions")?;
        let firsts = self.peek_missing()?;
        // SAFETY: an open context has a format with a zero-terminated name.
        let container = unsafe { CStr::from_ptr((*(*context).iformat).name) }.to_string_lossy().into_owned();
        let streams = self.streams().to_vec();
        for (index, stream) in streams.into_iter().enumerate() {
            let id = TrackId(u32::try_from(index).unwrap_or(u32::MAX));
            let first = firsts.get(index).and_then(Option::as_deref);
            // SAFETY: the stream belongs to the open context.
            let described = unsafe { describe(context, stream, id, container == "avi", first) };
            let lane = |d: &Stream| {
                let encrypted = d.track.protection.is_some();
                Lane { id, form: d.form, encrypted, last_dts: None }
            };
            self.lanes.push(described.as_ref().map(lane));
            match described {
                Some(described) => self.tracks.push(described.track),
                // SAFETY: as above.
                None => unsafe { (*stream).discard = ff::AVDiscard::AVDISCARD_ALL },
            }
        }
        self.check_limits()?;
        self.queue.extend(self.tracks.iter().map(|t| Item::Track(Arc::new(t.clone()))));
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Error> {
        if self.tracks.len() > self.limits.tracks {
            let (value, limit) = (self.tracks.len() as u64, self.limits.tracks as u64);
            return Err(Error::Limit { what: "the number of tracks", value, limit });
        }
        for video in self.tracks.iter().filter_map(Track::video) {
            let value = u64::from(video.width) * u64::from(video.height);
            if value > self.limits.pixels {
                return Err(Error::Limit { what: "the picture size", value, limit: self.limits.pixels });
            }
        }
        Ok(())
    }

    /// The first payload of streams whose configuration is only in their payloads: AAC with ADTS
    /// headers, AV1 without a sequence header up front. The packets read on the way are kept.
    fn peek_missing(&mut self) -> Result<Vec<Option<Vec<u8>>>, Error> {
        /// Streams may begin late, but describing them is not worth more memory than this.
        const MOST_BYTES: usize = 8 << 20;
        let missing = |stream: &*mut ff::AVStream| {
            // SAFETY: a stream of the open context; its parameters are never null.
            let p = unsafe { &*(**stream).codecpar };
            let bare = p.extradata_size == 0;
            use ff::AVCodecID as Id;
            bare && matches!(p.codec_id, Id::AV_CODEC_ID_AAC | Id::AV_CODEC_ID_AV1 | Id::AV_CODEC_ID_VP8)
        };
        let missing: Vec<bool> = self.streams().iter().map(missing).collect();
        let mut firsts: Vec<Option<Vec<u8>>> = vec![None; missing.len()];
        let mut bytes = 0;
        while bytes < MOST_BYTES && missing.iter().zip(&firsts).any(|(m, f)| *m && f.is_none()) {
            let Some(packet) = self.read()? else { break };
            bytes += packet.data().len();
            let index = usize::try_from(packet.inner().stream_index).unwrap_or(usize::MAX);
            if let Some(first @ None) = firsts.get_mut(index).filter(|_| missing[index]) {
                *first = Some(packet.data().to_vec());
            }
            self.peeked.push_back(packet);
        }
        Ok(firsts)
    }

    fn streams(&self) -> &[*mut ff::AVStream] {
        // SAFETY: an open context's array of as many valid pointers as it says.
        unsafe {
            let context = self.context.0.as_ref();
            if context.streams.is_null() {
                return &[];
            }
            std::slice::from_raw_parts(context.streams, context.nb_streams as usize)
        }
    }

    fn checked(&mut self, code: i32, what: &str) -> Result<(), Error> {
        if let (true, Some(source)) = (code < 0, self.io.take_error()) {
            return Err(Error::Read { name: self.name.clone(), source });
        }
        check(code, || format!("{what} of {}", self.name)).map(drop)
    }

    /// The tracks, in the order of the file.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Reads only these tracks from now on; the others are skipped, cheaply.
    pub fn select(&mut self, tracks: &[TrackId]) {
        for (index, stream) in self.streams().to_vec().into_iter().enumerate() {
            let Some(Some(lane)) = self.lanes.get(index) else { continue };
            if !tracks.contains(&lane.id) {
                // SAFETY: a stream of the open context.
                unsafe { (*stream).discard = ff::AVDiscard::AVDISCARD_ALL };
                self.lanes[index] = None;
            }
        }
        self.tracks.retain(|t| tracks.contains(&t.id));
        self.queue.retain(|item| item.track().is_none_or(|id| tracks.contains(&id)));
    }

    /// What the container says about the whole.
    #[must_use]
    pub fn info(&self) -> Info {
        let context = self.context.0.as_ptr();
        // SAFETY: an open context; its format has a zero-terminated name.
        let (c, container) = unsafe { (&*context, CStr::from_ptr((*(*context).iformat).name)) };
        let micros = |t: i64| u64::try_from(t).ok().map(Duration::from_micros);
        let mut info = Info {
            container: container.to_string_lossy().into_owned(),
            duration: micros(c.duration).filter(|d| !d.is_zero()),
            bitrate: u64::try_from(c.bit_rate).ok().filter(|b| *b > 0),
            ..Info::default()
        };
        let mut entry: *mut ff::AVDictionaryEntry = std::ptr::null_mut();
        loop {
            // SAFETY: an empty key with this flag walks over all entries, from the last on.
            entry = unsafe { ff::av_dict_get(c.metadata, c"".as_ptr(), entry, ff::AV_DICT_IGNORE_SUFFIX) };
            // SAFETY: null, or an entry with zero-terminated strings.
            let Some((key, value)) =
                (unsafe { entry.as_ref().map(|e| (CStr::from_ptr(e.key), CStr::from_ptr(e.value))) })
            else {
                break;
            };
            info.metadata.push((key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        }
        for index in 0..c.nb_chapters as usize {
            // SAFETY: an open context's array of as many valid pointers as it says.
            let chapter = unsafe { &**c.chapters.add(index) };
            let base = chapter.time_base;
            let at = |ticks: i64| {
                let nanos = i128::from(ticks) * i128::from(base.num) * 1_000_000_000;
                let nanos = nanos.checked_div(i128::from(base.den)).unwrap_or(0);
                Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
            };
            let title = tag(chapter.metadata, c"title");
            info.chapters.push(Chapter { start: at(chapter.start), end: at(chapter.end), title });
        }
        info
    }

    /// Goes to the last key frame at or before `at` on the timeline of the packets.
    ///
    /// # Errors
    /// When the container can't be searched, or the reader fails.
    pub fn seek(&mut self, at: Duration) -> Result<(), Error> {
        let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: the context is open.
        let code =
            unsafe { ff::av_seek_frame(self.context.0.as_ptr(), -1, micros, ff::AVSEEK_FLAG_BACKWARD) };
        self.checked(code, "go to another place")?;
        self.peeked.clear();
        self.queue.retain(|item| matches!(item, Item::Track(_)));
        self.lanes.iter_mut().flatten().for_each(|lane| lane.last_dts = None);
        self.ended = false;
        Ok(())
    }

    fn read(&mut self) -> Result<Option<RawPacket>, Error> {
        // FFmpeg says "again" when it has skipped something; it does not do so for ever.
        const MOST_TRIES: u32 = 10_000;
        let packet = RawPacket::new()?;
        for _ in 0..MOST_TRIES {
            // SAFETY: the context is open and the packet ours.
            match unsafe { ff::av_read_frame(self.context.0.as_ptr(), packet.as_ptr()) } {
                0.. => return Ok(Some(packet)),
                ff::AVERROR_EOF => {
                    // A failing reader looks like the end to some demuxers.
                    return match self.io.take_error() {
                        Some(source) => Err(Error::Read { name: self.name.clone(), source }),
                        None => Ok(None),
                    };
                }
                code if code == -EAGAIN => {}
                code => {
                    self.checked(code, "read the next packet")?;
                }
            }
        }
        Err(Error::call(format!("read the next packet of {}", self.name), ff::AVERROR_INVALIDDATA))
    }

    fn convert(&mut self, packet: RawPacket) -> Result<Option<Packet>, Error> {
        let raw = packet.inner();
        let index = usize::try_from(raw.stream_index).unwrap_or(usize::MAX);
        let Some(Some(lane)) = self.lanes.get_mut(index) else { return Ok(None) };
        if packet.data().len() > self.limits.packet_bytes {
            let (value, limit) = (packet.data().len() as u64, self.limits.packet_bytes as u64);
            return Err(Error::Limit { what: "the size of a packet", value, limit });
        }
        let known = |t: i64| (t != ff::AV_NOPTS_VALUE).then_some(t);
        let duration = u64::try_from(raw.duration).unwrap_or(0);
        let after_last = lane.last_dts.map(|t| t.saturating_add_unsigned(duration.max(1)));
        // Unknown times: a decoding time follows the last one, a presentation time is the decoding
        // time. Containers with neither (raw streams) get them from FFmpeg's parsers.
        let dts = known(raw.dts).or_else(|| known(raw.pts)).or(after_last).unwrap_or(0);
        let pts = known(raw.pts).unwrap_or(dts);
        let dts = lane.last_dts.map_or(dts, |last| last.max(dts));
        lane.last_dts = Some(dts);
        let encrypted = lane.encrypted;
        let (id, key) = (lane.id, raw.flags & ff::AV_PKT_FLAG_KEY != 0);
        let data = match lane.form.apply(packet.data()) {
            // The packet itself becomes the payload's owner: no copy.
            std::borrow::Cow::Borrowed(part) if part.len() == packet.data().len() => {
                Bytes::from_owner(packet)
            }
            part => Bytes::from(part.into_owned()),
        };
        let (data, protection) = match encrypted {
            true => webm::split(data).ok_or_else(|| {
                Error::call(format!("read an encrypted block of {}", self.name), ff::AVERROR_INVALIDDATA)
            })?,
            false => (data, None),
        };
        Ok((!data.is_empty()).then(|| Packet {
            track: id,
            pts: Timestamp::new(pts),
            dts: Timestamp::new(dts),
            duration: sv_core::Duration::new(duration),
            key,
            data,
            protection,
        }))
    }
}

impl Source for Demuxer {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>, Error> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                return Ok(Some(item));
            }
            if self.ended {
                return Ok(None);
            }
            let next = match self.peeked.pop_front() {
                Some(packet) => Some(packet),
                None => self.read()?,
            };
            match next {
                Some(packet) => {
                    if let Some(packet) = self.convert(packet)? {
                        return Ok(Some(Item::Packet(packet)));
                    }
                }
                None => {
                    self.ended = true;
                    self.queue.extend(self.tracks.iter().map(|t| Item::End(t.id)));
                }
            }
        }
    }
}
