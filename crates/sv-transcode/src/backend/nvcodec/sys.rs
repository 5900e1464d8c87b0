//! The part of the driver's interface that decoding needs: what NVIDIA's public headers
//! `dynlink_cuda.h`, `dynlink_cuviddec.h` and `dynlink_nvcuvid.h` (MIT) lay down. Fields that only
//! have to be zero are named `reserved`; where it helps, an array stands as rows, because the
//! standard library has defaults for up to 32 elements only.

use std::ffi::{c_int, c_longlong, c_short, c_uchar, c_uint, c_ulong, c_ulonglong, c_ushort, c_void};

/// Something of the driver's own: a context, a parser, a decoder.
pub(super) type Handle = *mut c_void;

pub(super) const SUCCESS: c_int = 0;
pub(super) const NO_DEVICE: c_int = 100;

pub(super) const H264: c_int = 4;
pub(super) const HEVC: c_int = 8;
pub(super) const VP9: c_int = 10;
pub(super) const AV1: c_int = 11;

pub(super) const CHROMA_420: c_int = 1;
pub(super) const SURFACE_NV12: c_int = 0;
pub(super) const SURFACE_P016: c_int = 1;
/// Use the video engine itself, not shaders.
pub(super) const CREATE_PREFER_ENGINE: c_ulong = 4;

pub(super) const PACKET_END_OF_STREAM: c_ulong = 1;
pub(super) const PACKET_TIMESTAMP: c_ulong = 2;

pub(super) const MEMORY_HOST: c_int = 1;
pub(super) const MEMORY_DEVICE: c_int = 2;

/// `CUVIDDECODECAPS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DecodeCaps {
    pub(super) codec: c_int,
    pub(super) chroma: c_int,
    pub(super) depth_minus_8: c_uint,
    reserved1: [c_uint; 3],
    pub(super) supported: c_uchar,
    pub(super) engines: c_uchar,
    pub(super) output_formats: c_ushort,
    pub(super) max_width: c_uint,
    pub(super) max_height: c_uint,
    /// In blocks of 16 x 16 samples.
    pub(super) max_blocks: c_uint,
    pub(super) min_width: c_ushort,
    pub(super) min_height: c_ushort,
    histogram: c_uchar,
    counter_depth: c_uchar,
    histogram_bins: c_ushort,
    reserved3: [c_uint; 10],
}

impl DecodeCaps {
    /// The question; the driver writes the answer into the same value.
    pub(super) fn ask(codec: c_int, depth: u8) -> Self {
        Self {
            codec,
            chroma: CHROMA_420,
            depth_minus_8: c_uint::from(depth.saturating_sub(8)),
            ..Self::default()
        }
    }
}

/// A rectangle of a decoder: the sides, not a size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShortRect {
    pub(super) left: c_short,
    pub(super) top: c_short,
    pub(super) right: c_short,
    pub(super) bottom: c_short,
}

/// `CUVIDDECODECREATEINFO`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct DecodeCreateInfo {
    pub(super) width: c_ulong,
    pub(super) height: c_ulong,
    pub(super) decode_surfaces: c_ulong,
    pub(super) codec: c_int,
    pub(super) chroma: c_int,
    pub(super) flags: c_ulong,
    pub(super) depth_minus_8: c_ulong,
    pub(super) intra_only: c_ulong,
    pub(super) max_width: c_ulong,
    pub(super) max_height: c_ulong,
    pub(super) reserved1: c_ulong,
    pub(super) display_area: ShortRect,
    pub(super) output_format: c_int,
    /// 0: both fields as they are.
    pub(super) deinterlace: c_int,
    pub(super) target_width: c_ulong,
    pub(super) target_height: c_ulong,
    pub(super) output_surfaces: c_ulong,
    pub(super) lock: usize,
    pub(super) target_rect: ShortRect,
    pub(super) histogram: c_ulong,
    pub(super) reserved2: [c_ulong; 4],
}

/// `CUVIDPROCPARAMS`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct ProcParams {
    pub(super) progressive_frame: c_int,
    pub(super) second_field: c_int,
    pub(super) top_field_first: c_int,
    pub(super) unpaired_field: c_int,
    pub(super) reserved_flags: c_uint,
    pub(super) reserved_zero: c_uint,
    pub(super) raw_input: c_ulonglong,
    pub(super) raw_input_pitch: c_uint,
    pub(super) raw_input_format: c_uint,
    pub(super) raw_output: c_ulonglong,
    pub(super) raw_output_pitch: c_uint,
    pub(super) reserved1: c_uint,
    /// 0: the default stream.
    pub(super) output_stream: usize,
    pub(super) reserved: [[c_uint; 23]; 2],
    pub(super) histogram: usize,
    pub(super) reserved2: usize,
}

/// `CUVIDEOFORMAT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct VideoFormat {
    pub(super) codec: c_int,
    frame_rate: [c_uint; 2],
    progressive: c_uchar,
    pub(super) luma_depth_minus_8: c_uchar,
    pub(super) chroma_depth_minus_8: c_uchar,
    pub(super) min_decode_surfaces: c_uchar,
    pub(super) coded_width: c_uint,
    pub(super) coded_height: c_uint,
    /// Left, top, right, bottom.
    pub(super) display_area: [c_int; 4],
    pub(super) chroma: c_int,
    bitrate: c_uint,
    aspect: [c_int; 2],
    signal: [c_uchar; 4],
    header_len: c_uint,
}

/// `CUVIDSOURCEDATAPACKET`.
#[repr(C)]
pub(super) struct SourcePacket {
    pub(super) flags: c_ulong,
    pub(super) len: c_ulong,
    pub(super) data: *const c_uchar,
    pub(super) timestamp: c_longlong,
}

/// `CUVIDPARSERDISPINFO`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct DisplayInfo {
    pub(super) picture: c_int,
    pub(super) progressive_frame: c_int,
    pub(super) top_field_first: c_int,
    pub(super) repeat_first_field: c_int,
    pub(super) timestamp: c_longlong,
}

pub(super) type OnSequence = unsafe extern "C" fn(*mut c_void, *mut VideoFormat) -> c_int;
/// The picture's parameters go from the parser to the decoder unread.
pub(super) type OnDecode = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
pub(super) type OnDisplay = unsafe extern "C" fn(*mut c_void, *mut DisplayInfo) -> c_int;

/// `CUVIDPARSERPARAMS`.
#[repr(C)]
pub(super) struct ParserParams {
    pub(super) codec: c_int,
    pub(super) decode_surfaces: c_uint,
    pub(super) clock_rate: c_uint,
    pub(super) error_threshold: c_uint,
    pub(super) display_delay: c_uint,
    pub(super) flags: c_uint,
    pub(super) reserved1: [c_uint; 4],
    pub(super) user: *mut c_void,
    pub(super) on_sequence: OnSequence,
    pub(super) on_decode: OnDecode,
    pub(super) on_display: OnDisplay,
    pub(super) on_operating_point: usize,
    pub(super) on_sei: usize,
    pub(super) reserved2: [usize; 5],
    pub(super) extended_format: usize,
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
pub(super) struct Copy2d {
    pub(super) source_x: usize,
    pub(super) source_y: usize,
    pub(super) source_type: c_int,
    pub(super) source_host: *const c_void,
    pub(super) source_device: c_ulonglong,
    pub(super) source_array: usize,
    pub(super) source_pitch: usize,
    pub(super) target_x: usize,
    pub(super) target_y: usize,
    pub(super) target_type: c_int,
    pub(super) target_host: *mut c_void,
    pub(super) target_device: c_ulonglong,
    pub(super) target_array: usize,
    pub(super) target_pitch: usize,
    pub(super) row_bytes: usize,
    pub(super) rows: usize,
}

/// Sizes and places as a C compiler has them for nv-codec-headers 13.0 (x86-64 Linux). On Windows
/// a `long` has 32 bits, so that only those without one are the same.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<DecodeCaps>() == 88);
    assert!(offset_of!(DecodeCaps, supported) == 24);
    assert!(offset_of!(DecodeCaps, max_width) == 28);
    assert!(offset_of!(DecodeCaps, min_width) == 40);
    assert!(offset_of!(DecodeCaps, reserved3) == 48);
    assert!(size_of::<ProcParams>() == 264);
    assert!(offset_of!(ProcParams, raw_input) == 24);
    assert!(offset_of!(ProcParams, output_stream) == 56);
    assert!(offset_of!(ProcParams, histogram) == 248);
    assert!(size_of::<VideoFormat>() == 64);
    assert!(offset_of!(VideoFormat, min_decode_surfaces) == 15);
    assert!(offset_of!(VideoFormat, coded_width) == 16);
    assert!(offset_of!(VideoFormat, display_area) == 24);
    assert!(offset_of!(VideoFormat, chroma) == 40);
    assert!(offset_of!(VideoFormat, header_len) == 60);
    assert!(size_of::<DisplayInfo>() == 24);
    assert!(offset_of!(DisplayInfo, timestamp) == 16);
    assert!(size_of::<ParserParams>() == 136);
    assert!(offset_of!(ParserParams, display_delay) == 16);
    assert!(offset_of!(ParserParams, user) == 40);
    assert!(offset_of!(ParserParams, on_sequence) == 48);
    assert!(offset_of!(ParserParams, on_operating_point) == 72);
    assert!(offset_of!(ParserParams, extended_format) == 128);
    assert!(size_of::<Copy2d>() == 128);
    assert!(offset_of!(Copy2d, source_type) == 16);
    assert!(offset_of!(Copy2d, source_device) == 32);
    assert!(offset_of!(Copy2d, source_pitch) == 48);
    assert!(offset_of!(Copy2d, target_type) == 72);
    assert!(offset_of!(Copy2d, target_host) == 80);
    assert!(offset_of!(Copy2d, target_pitch) == 104);
    assert!(offset_of!(Copy2d, rows) == 120);
};

#[cfg(all(target_pointer_width = "64", not(windows)))]
const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<DecodeCreateInfo>() == 176);
    assert!(offset_of!(DecodeCreateInfo, codec) == 24);
    assert!(offset_of!(DecodeCreateInfo, flags) == 32);
    assert!(offset_of!(DecodeCreateInfo, display_area) == 80);
    assert!(offset_of!(DecodeCreateInfo, output_format) == 88);
    assert!(offset_of!(DecodeCreateInfo, target_width) == 96);
    assert!(offset_of!(DecodeCreateInfo, lock) == 120);
    assert!(offset_of!(DecodeCreateInfo, target_rect) == 128);
    assert!(offset_of!(DecodeCreateInfo, histogram) == 136);
    assert!(size_of::<SourcePacket>() == 32);
    assert!(offset_of!(SourcePacket, data) == 16);
    assert!(offset_of!(SourcePacket, timestamp) == 24);
};
