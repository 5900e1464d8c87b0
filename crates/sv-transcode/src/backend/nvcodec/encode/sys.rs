//! The part of the driver's interface that encoding needs: what NVIDIA's public header
//! `nvEncodeAPI.h` (MIT) lays down for version 12.0 of the interface, which every driver since 520 takes.
//! Numbers are checked in `layout.rs`. Fields that only have to be as the driver or zero made them are
//! named `reserved`.

/// The result of a call.
pub(super) type Status = u32;

pub(super) const SUCCESS: Status = 0;
pub(super) const NO_ENCODE_DEVICE: Status = 1;
pub(super) const UNSUPPORTED_DEVICE: Status = 2;
pub(super) const OUT_OF_MEMORY: Status = 10;
pub(super) const INVALID_VERSION: Status = 15;
pub(super) const NEED_MORE_INPUT: Status = 17;
pub(super) const INCOMPATIBLE_CLIENT_KEY: Status = 21;

/// `NVENCAPI_VERSION`.
pub(super) const API: u32 = 12;
/// As the driver says which version it has: four bits of the minor one.
pub(super) const API_IN_DRIVER: u32 = 12 << 4;

const fn version(of: u32) -> u32 {
    API | of << 16 | 7 << 28
}

const MORE: u32 = 1 << 31;
pub(super) const CAPS_VERSION: u32 = version(1);
pub(super) const CREATE_INPUT_VERSION: u32 = version(1);
pub(super) const CREATE_OUTPUT_VERSION: u32 = version(1);
pub(super) const CONFIG_VERSION: u32 = version(8) | MORE;
pub(super) const INIT_VERSION: u32 = version(5) | MORE;
pub(super) const PRESET_VERSION: u32 = version(4) | MORE;
pub(super) const PICTURE_VERSION: u32 = version(6) | MORE;
pub(super) const LOCK_OUTPUT_VERSION: u32 = version(2);
pub(super) const LOCK_INPUT_VERSION: u32 = version(1);
pub(super) const HEADERS_VERSION: u32 = version(1);
pub(super) const OPEN_VERSION: u32 = version(1);
pub(super) const FUNCTIONS_VERSION: u32 = version(2);

/// `GUID`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guid(pub(super) u32, pub(super) u16, pub(super) u16, pub(super) [u8; 8]);

pub(super) const H264: Guid =
    Guid(0x6bc8_2762, 0x4e63, 0x4ca4, [0xaa, 0x85, 0x1e, 0x50, 0xf3, 0x21, 0xf6, 0xbf]);
pub(super) const HEVC: Guid =
    Guid(0x790c_dc88, 0x4522, 0x4d7b, [0x94, 0x25, 0xbd, 0xa9, 0x97, 0x5f, 0x76, 0x03]);
pub(super) const AV1: Guid =
    Guid(0x0a35_2289, 0x0aa7, 0x4759, [0x86, 0x2d, 0x5d, 0x15, 0xcd, 0x16, 0xd2, 0x54]);
pub(super) const H264_HIGH: Guid =
    Guid(0xe7cb_c309, 0x4f7a, 0x4b89, [0xaf, 0x2a, 0xd5, 0x37, 0xc9, 0x2b, 0xe3, 0x10]);
pub(super) const HEVC_MAIN: Guid =
    Guid(0xb514_c39a, 0xb55b, 0x40fa, [0x87, 0x8f, 0xf1, 0x25, 0x3b, 0x4d, 0xfd, 0xec]);
pub(super) const HEVC_MAIN10: Guid =
    Guid(0xfa4d_2b6c, 0x3a5b, 0x411a, [0x80, 0x18, 0x0a, 0x3f, 0x5e, 0x3c, 0x9b, 0xe5]);
pub(super) const AV1_MAIN: Guid =
    Guid(0x5f2a_39f5, 0xf14e, 0x4f95, [0x9a, 0x9e, 0xb7, 0x6d, 0x56, 0x8f, 0xcf, 0x97]);
/// P1, the fastest, to P7.
pub(super) const PRESETS: [Guid; 7] = [
    Guid(0xfc0a_8d3e, 0x45f8, 0x4cf8, [0x80, 0xc7, 0x29, 0x88, 0x71, 0x59, 0x0e, 0xbf]),
    Guid(0xf581_cfb8, 0x88d6, 0x4381, [0x93, 0xf0, 0xdf, 0x13, 0xf9, 0xc2, 0x7d, 0xab]),
    Guid(0x3685_0110, 0x3a07, 0x441f, [0x94, 0xd5, 0x36, 0x70, 0x63, 0x1f, 0x91, 0xf6]),
    Guid(0x90a7_b826, 0xdf06, 0x4862, [0xb9, 0xd2, 0xcd, 0x6d, 0x73, 0xa0, 0x86, 0x81]),
    Guid(0x21c6_e6b4, 0x297a, 0x4cba, [0x99, 0x8f, 0xb6, 0xcb, 0xde, 0x72, 0xad, 0xe3]),
    Guid(0x8e75_c279, 0x6299, 0x4ab6, [0x83, 0x02, 0x0b, 0x21, 0x5a, 0x33, 0x5c, 0xf5]),
    Guid(0x8484_8c12, 0x6f71, 0x4c13, [0x93, 0x1b, 0x53, 0xe2, 0x83, 0xf5, 0x79, 0x74]),
];

pub(super) const DEVICE_CUDA: u32 = 1;
pub(super) const CAP_WIDTH_MAX: u32 = 16;
pub(super) const CAP_HEIGHT_MAX: u32 = 17;
pub(super) const CAP_LOOKAHEAD: u32 = 37;
pub(super) const CAP_TEN_BITS: u32 = 39;
pub(super) const CAP_WIDTH_MIN: u32 = 45;
pub(super) const CAP_HEIGHT_MIN: u32 = 46;
pub(super) const TUNING_QUALITY: u32 = 1;
pub(super) const RATE_VARIABLE: u32 = 1;
pub(super) const FORMAT_NV12: u32 = 1;
pub(super) const FORMAT_P010: u32 = 0x1_0000;
pub(super) const FIELDS_FRAME: u32 = 1;
pub(super) const STRUCTURE_FRAME: u32 = 1;
pub(super) const INFINITE: u32 = u32::MAX;
pub(super) const VIDEO_FORMAT_UNSPECIFIED: u32 = 5;
pub(super) const AV1_LEVEL_AUTO: u32 = 24;
pub(super) const PICTURE_KEY: u32 = 2;
pub(super) const PICTURE_END: u32 = 8;
/// Bits of [`RateParams::flags`].
pub(super) const RATE_LOOKAHEAD: u32 = 1 << 5;
pub(super) const RATE_NO_SCENE_CUTS: u32 = 1 << 6;
/// Bits of [`H264Config::flags`].
pub(super) const H264_NO_SETS: u32 = 1 << 7;
pub(super) const H264_REPEAT_SETS: u32 = 1 << 12;
/// Bits of [`HevcConfig::flags`].
pub(super) const HEVC_NO_SETS: u32 = 1 << 6;
pub(super) const HEVC_REPEAT_SETS: u32 = 1 << 7;
pub(super) const HEVC_CHROMA: u32 = 3 << 9;
pub(super) const HEVC_CHROMA_420: u32 = 1 << 9;
pub(super) const HEVC_DEPTH: u32 = 7 << 11;
pub(super) const HEVC_DEPTH_10: u32 = 2 << 11;
/// Bits of [`Av1Config::flags`].
pub(super) const AV1_ANNEX_B: u32 = 1;
pub(super) const AV1_NO_HEADER: u32 = 1 << 4;
pub(super) const AV1_REPEAT_HEADER: u32 = 1 << 5;
pub(super) const AV1_CHROMA: u32 = 3 << 7;
pub(super) const AV1_CHROMA_420: u32 = 1 << 7;
pub(super) const AV1_DEPTHS: u32 = 0o77 << 12;
pub(super) const AV1_DEPTHS_10: u32 = 0o22 << 12;
