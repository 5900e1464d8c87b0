//! Devices that decode, scale and encode, through FFmpeg's hardware contexts: pictures stay on the
//! device from one step to the next.
//!
//! A [`Device`] is opened once and given to each step: to a decoder
//! ([`decode::Settings::device`](crate::decode::Settings)), whose pictures are then on it; to filters
//! ([`Filter::on`](crate::Filter::on)); to an encoder by the pictures themselves
//! ([`encode::Video::like`](crate::encode::Video)).

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use sv_core::{Codec, VideoFrame};

use crate::error::libc_code::ENOMEM;
use crate::error::{Error, check};
use crate::ffi as ff;
use crate::frame::Frame;
use crate::probe;

/// What differs from one kind of device to the next.
struct Kind {
    /// FFmpeg's name.
    name: &'static str,
    id: ff::AVHWDeviceType,
    /// What its pictures are called.
    pixels: ff::AVPixelFormat,
    /// How its encoders' names end.
    encoder: &'static str,
    /// How its decoders' names end, where they are decoders of their own.
    decoder: Option<&'static str>,
    /// The filter that scales, and how it is told to do that well.
    scaler: (&'static str, &'static str),
    /// Whether that filter changes depth and layout too.
    converts: bool,
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "cuda",
        id: ff::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA,
        pixels: ff::AVPixelFormat::AV_PIX_FMT_CUDA,
        encoder: "nvenc",
        decoder: None,
        scaler: ("scale_cuda", ":interp_algo=bicubic"),
        converts: true,
    },
    Kind {
        name: "qsv",
        id: ff::AVHWDeviceType::AV_HWDEVICE_TYPE_QSV,
        pixels: ff::AVPixelFormat::AV_PIX_FMT_QSV,
        encoder: "qsv",
        decoder: Some("qsv"),
        scaler: ("vpp_qsv", ""),
        converts: true,
    },
    Kind {
        name: "vaapi",
        id: ff::AVHWDeviceType::AV_HWDEVICE_TYPE_VAAPI,
        pixels: ff::AVPixelFormat::AV_PIX_FMT_VAAPI,
        encoder: "vaapi",
        decoder: None,
        scaler: ("scale_vaapi", ":mode=hq"),
        converts: true,
    },
    Kind {
        name: "videotoolbox",
        id: ff::AVHWDeviceType::AV_HWDEVICE_TYPE_VIDEOTOOLBOX,
        pixels: ff::AVPixelFormat::AV_PIX_FMT_VIDEOTOOLBOX,
        encoder: "videotoolbox",
        decoder: None,
        scaler: ("scale_vt", ""),
        converts: false,
    },
    Kind {
        name: "d3d11va",
        id: ff::AVHWDeviceType::AV_HWDEVICE_TYPE_D3D11VA,
        pixels: ff::AVPixelFormat::AV_PIX_FMT_D3D11,
        encoder: "amf",
        decoder: None,
        scaler: ("vpp_amf", ""),
        converts: true,
    },
    Kind {
        name: "vulkan",
        id: ff::AVHWDeviceType::AV_HWDEVICE_TYPE_VULKAN,
        pixels: ff::AVPixelFormat::AV_PIX_FMT_VULKAN,
        encoder: "vulkan",
        decoder: None,
        scaler: ("scale_vulkan", ""),
        converts: false,
    },
];

/// The kinds that are known here, those that are tried first before the others.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// A counted reference to one of FFmpeg's buffers.
#[derive(Debug)]
pub(crate) struct Reference(NonNull<ff::AVBufferRef>);

// SAFETY: references are counted atomically, and what they refer to here (contexts of devices and
// pictures) is made for use by several threads.
unsafe impl Send for Reference {}
// SAFETY: as above.
unsafe impl Sync for Reference {}

impl Reference {
    /// Takes over a reference, unless it is null.
    fn own(reference: *mut ff::AVBufferRef) -> Result<Self, Error> {
        NonNull::new(reference).map(Self).ok_or_else(|| Error::call("reference a device", -ENOMEM))
    }

    /// Another reference, for FFmpeg to keep.
    pub(crate) fn give(&self) -> Result<*mut ff::AVBufferRef, Error> {
        // SAFETY: a valid reference.
        let another = unsafe { ff::av_buffer_ref(self.0.as_ptr()) };
        match another.is_null() {
            true => Err(Error::call("reference a device", -ENOMEM)),
            false => Ok(another),
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let mut reference = self.0.as_ptr();
        // SAFETY: ours.
        unsafe { ff::av_buffer_unref(&raw mut reference) };
    }
}

/// An open device. Clones are the same device, which closes with the last of them and of the pictures
/// on it.
#[derive(Clone)]
pub struct Device {
    context: Arc<Reference>,
    kind: &'static Kind,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Device").field(&self.kind.name).finish()
    }
}

impl Device {
    /// Opens a device of a kind by FFmpeg's name for it (see [`kinds`]), the first one or that of this
    /// name: a number for CUDA and Vulkan, a render node for VAAPI.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a kind that is not known; FFmpeg's reason, usually that no driver is there.
    pub fn open(kind: &str, name: Option<&str>) -> Result<Self, Error> {
        crate::log::init()?;
        let Some(kind) = KINDS.iter().find(|k| k.name == kind) else {
            let known: Vec<_> = kinds().collect();
            return Err(Error::Invalid(format!("{kind:?} is no kind of device: {}", known.join(", "))));
        };
        if !probe::has_device_kind(kind.id) {
            return Err(Error::missing(format!("devices of kind {}", kind.name)));
        }
        let zero = |_| Error::Invalid("a device's name has no zero bytes".into());
        let text = name.map(CString::new).transpose().map_err(zero)?;
        let text = text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
        let mut context = std::ptr::null_mut();
        // SAFETY: a name or null; on success the reference is ours.
        let code =
            unsafe { ff::av_hwdevice_ctx_create(&raw mut context, kind.id, text, std::ptr::null_mut(), 0) };
        if code < 0 {
            let reason = probe::device_problem(code);
            return Err(Error::Call { what: format!("open a {} device", kind.name), reason, code });
        }
        Ok(Self { context: Arc::new(Reference::own(context)?), kind })
    }

    /// FFmpeg's name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// The name of its encoder for a codec, if FFmpeg has it. Whether the device at hand can do it
    /// shows when it is opened.
    #[must_use]
    pub fn encoder(&self, codec: Codec) -> Option<String> {
        let prefix = short(codec)?;
        Some(format!("{prefix}_{}", self.kind.encoder)).filter(|name| probe::has_encoder(name))
    }

    /// The filter that makes pictures of another size, if FFmpeg has it and it can make this depth of
    /// pictures like `video`, which are on the device.
    #[must_use]
    pub fn scaler(&self, video: &VideoFrame, width: u32, height: u32, depth: u8) -> Option<String> {
        let (name, more) = self.kind.scaler;
        let wanted = if depth == 10 { "p010le" } else { "nv12" };
        let format = match self.kind.converts {
            true => format!(":format={wanted}"),
            false if crate::filter::bit_depth(video) == depth => String::new(),
            false => return None,
        };
        probe::has_filter(name).then(|| format!("{name}=w={width}:h={height}{format}{more}"))
    }

    /// The filters that put planar pictures on it.
    #[must_use]
    pub fn upload(&self, depth: u8) -> String {
        let format = match (self.uploads_late(), depth) {
            // As they are: a copy that is made on the way can't be kept until the device has it.
            (true, 10) => "yuv420p10le",
            (true, _) => "yuv420p",
            (false, 10) => "p010le",
            (false, _) => "nv12",
        };
        format!("format={format},hwupload=extra_hw_frames={SPARE}")
    }

    /// Whether pictures are read from memory some time after an upload says that it is done, and nobody
    /// keeps them until then: so does Vulkan of FFmpeg 5.1 (half of a picture was another one's). Later
    /// ones encode through Vulkan, for which pictures have to be semi-planar.
    pub(crate) fn uploads_late(&self) -> bool {
        self.kind.id == ff::AVHWDeviceType::AV_HWDEVICE_TYPE_VULKAN && !cfg!(ffmpeg_6_1)
    }

    /// Whether this picture is on a device of this kind.
    #[must_use]
    pub fn holds(&self, video: &VideoFrame) -> bool {
        let frame = video.picture.as_any().downcast_ref::<Frame>();
        frame.is_some_and(|f| f.is_on_device() && f.format_number() == self.kind.pixels as i32)
    }

    pub(crate) fn context(&self) -> &Reference {
        &self.context
    }

    /// The format of pictures on it.
    pub(crate) fn pixels(&self) -> i32 {
        self.kind.pixels as i32
    }

    pub(crate) fn id(&self) -> ff::AVHWDeviceType {
        self.kind.id
    }

    /// The name of its own decoder for a codec, where it has decoders apart from FFmpeg's.
    pub(crate) fn decoder(&self, codec: Codec) -> Option<String> {
        Some(format!("{}_{}", short(codec)?, self.kind.decoder?))
    }
}

/// Pictures that wait in queues and encoders while a decoder or an upload goes on. Some devices have
/// to be told beforehand how many there can be at once.
pub(crate) const SPARE: u8 = 24;

fn short(codec: Codec) -> Option<&'static str> {
    Some(match codec {
        Codec::H264 => "h264",
        Codec::Hevc => "hevc",
        Codec::Av1 => "av1",
        Codec::Vp9 => "vp9",
        _ => return None,
    })
}

/// What the pictures of a kind of device are called.
pub(crate) fn pixels_of(id: ff::AVHWDeviceType) -> Option<ff::AVPixelFormat> {
    KINDS.iter().find(|kind| kind.id == id).map(|kind| kind.pixels)
}

/// Whether this picture is on a device, so that its samples can't be read.
#[must_use]
pub fn is_on_device(video: &VideoFrame) -> bool {
    video.picture.as_any().downcast_ref::<Frame>().is_some_and(Frame::is_on_device)
}

/// The filters that bring pictures like this one into memory, in the layout that they have on the
/// device; `None` for a picture that is not on one.
#[must_use]
pub fn download(video: &VideoFrame) -> Option<String> {
    let frame = video.picture.as_any().downcast_ref::<Frame>()?;
    let format = frame.on_device()?;
    Some(format!("hwdownload,format={}", probe::pixels_name(format)?))
}

/// The picture in memory, with its samples as they are on the device.
///
/// # Errors
/// FFmpeg's reason: the device may be gone.
pub fn fetch(video: &VideoFrame) -> Result<VideoFrame, Error> {
    let Some(frame) = video.picture.as_any().downcast_ref::<Frame>().filter(|f| f.is_on_device()) else {
        return Ok(video.clone());
    };
    let memory = Frame::new()?;
    let _turn = crate::turn::take(frame.format_number());
    // SAFETY: a picture on a device and an empty frame, which gets memory of the device's choice.
    let code = unsafe { ff::av_hwframe_transfer_data(memory.as_ptr(), frame.as_ptr(), 0) };
    check(code, || "copy a picture from the device".into())?;
    Ok(VideoFrame { picture: Arc::new(memory), ..video.clone() })
}
