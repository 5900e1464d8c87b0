//! What FFmpeg can do here, asked at run time.

use std::ffi::{CStr, CString, c_void};

use crate::ffi as ff;
use sv_core::Codec;

use crate::Error;

/// An encoder or decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coder {
    /// FFmpeg's name: `libx264`.
    pub name: String,
    /// What it is, in FFmpeg's words.
    pub description: String,
    /// The codec.
    pub codec: Codec,
    /// Whether it runs on a device of its own.
    pub hardware: bool,
}

/// A kind of device for decoding and encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// FFmpeg's name: `cuda`, `vaapi`.
    pub name: String,
    /// Why it can't be opened here; `None` when it can.
    pub problem: Option<String>,
}

/// Whether FFmpeg can be loaded here.
///
/// # Errors
/// [`Error::Absent`], which says what to install.
pub fn available() -> Result<(), Error> {
    crate::log::init()?;
    ff::avformat()?;
    ff::avfilter()
}

/// The version of FFmpeg, as it calls itself; empty where it can't be loaded.
#[must_use]
pub fn version() -> String {
    if crate::log::init().is_err() {
        return String::new();
    }
    // SAFETY: a static, zero-terminated string.
    unsafe { CStr::from_ptr(ff::av_version_info()) }.to_string_lossy().into_owned()
}

/// What FFmpeg's licence is, and so the least that the whole program's is; empty where it can't be
/// loaded.
#[must_use]
pub fn license() -> String {
    if crate::log::init().is_err() {
        return String::new();
    }
    // SAFETY: a static, zero-terminated string.
    unsafe { CStr::from_ptr(ff::avcodec_license()) }.to_string_lossy().into_owned()
}

/// All encoders.
#[must_use]
pub fn encoders() -> Vec<Coder> {
    coders(true)
}

/// All decoders.
#[must_use]
pub fn decoders() -> Vec<Coder> {
    coders(false)
}

fn coders(encoders: bool) -> Vec<Coder> {
    let mut found = Vec::new();
    if crate::log::init().is_err() {
        return found;
    }
    let mut state: *mut c_void = std::ptr::null_mut();
    loop {
        // SAFETY: the state begins as null; results are static.
        let Some(codec) = (unsafe { ff::av_codec_iterate(&raw mut state).as_ref() }) else {
            return found;
        };
        // SAFETY: a codec of FFmpeg's tables.
        if (unsafe { ff::av_codec_is_encoder(codec) } != 0) != encoders {
            continue;
        }
        let hardware = ff::AV_CODEC_CAP_HARDWARE as i32 | ff::AV_CODEC_CAP_HYBRID as i32;
        found.push(Coder {
            name: text(codec.name),
            description: text(codec.long_name),
            codec: crate::track::codec(codec.id),
            hardware: codec.capabilities & hardware != 0,
        });
    }
}

fn text(string: *const std::ffi::c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: FFmpeg's static, zero-terminated strings.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// Whether there is an encoder of this name.
#[must_use]
pub fn has_encoder(name: &str) -> bool {
    let loaded = crate::log::init().is_ok();
    CString::new(name).is_ok_and(|name| {
        // SAFETY: a zero-terminated string.
        loaded && !unsafe { ff::avcodec_find_encoder_by_name(name.as_ptr()) }.is_null()
    })
}

/// Whether there is a filter of this name.
#[must_use]
pub fn has_filter(name: &str) -> bool {
    let loaded = crate::log::init().and_then(|()| ff::avfilter()).is_ok();
    CString::new(name).is_ok_and(|name| {
        // SAFETY: a zero-terminated string.
        loaded && !unsafe { ff::avfilter_get_by_name(name.as_ptr()) }.is_null()
    })
}

/// All kinds of devices that FFmpeg was built for, each tried.
#[must_use]
pub fn devices() -> Vec<Device> {
    let mut found = Vec::new();
    if crate::log::init().is_err() {
        return found;
    }
    let mut kind = ff::AVHWDeviceType::AV_HWDEVICE_TYPE_NONE;
    loop {
        // SAFETY: begins with "none" and takes the last result, which FFmpeg made.
        kind = unsafe { ff::av_hwdevice_iterate_types(kind) };
        if kind == ff::AVHWDeviceType::AV_HWDEVICE_TYPE_NONE {
            return found;
        }
        // SAFETY: a kind that FFmpeg gave; the name is static.
        let name = text(unsafe { ff::av_hwdevice_get_type_name(kind) });
        let mut device = std::ptr::null_mut();
        // SAFETY: opens the default device of the kind; on success the reference is ours.
        let code = unsafe {
            ff::av_hwdevice_ctx_create(&raw mut device, kind, std::ptr::null(), std::ptr::null_mut(), 0)
        };
        // SAFETY: ours, or null.
        unsafe { ff::av_buffer_unref(&raw mut device) };
        let problem = (code < 0).then(|| device_problem(code));
        found.push(Device { name, problem });
    }
}

/// Why a device can't be opened, by FFmpeg's number for it.
pub(crate) fn device_problem(code: i32) -> String {
    match code {
        // FFmpeg says "unknown error" where a driver's library is not there to be loaded.
        -1 | ff::AVERROR_UNKNOWN => "its driver is not installed".into(),
        code => crate::error::reason(code),
    }
}

/// Whether FFmpeg was built for devices of this kind.
pub(crate) fn has_device_kind(wanted: ff::AVHWDeviceType) -> bool {
    let mut kind = ff::AVHWDeviceType::AV_HWDEVICE_TYPE_NONE;
    loop {
        // SAFETY: begins with "none" and takes the last result, which FFmpeg made.
        kind = unsafe { ff::av_hwdevice_iterate_types(kind) };
        if kind == wanted || kind == ff::AVHWDeviceType::AV_HWDEVICE_TYPE_NONE {
            return kind == wanted;
        }
    }
}

/// FFmpeg's name of a layout of samples.
pub(crate) fn pixels_name(format: i32) -> Option<String> {
    // SAFETY: the function takes any number; it is passed as FFmpeg's C enum, 32 bits wide, and what was
    // read from FFmpeg is one of its values.
    let name = unsafe { ff::av_get_pix_fmt_name(std::mem::transmute::<i32, ff::AVPixelFormat>(format)) };
    Some(text(name)).filter(|name| !name.is_empty())
}
