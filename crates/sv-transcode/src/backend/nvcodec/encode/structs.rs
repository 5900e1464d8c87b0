//! The structures of the interface, see `sys.rs`.

use std::ffi::{c_char, c_int};

use super::super::sys::Handle;
use super::sys::{Guid, Status};

/// A structure of the driver's.
///
/// # Safety
/// All of its bytes may be zero.
pub(super) unsafe trait Plain: Sized {
    /// All zero, as the interface wants what is not said.
    fn zero() -> Self {
        // SAFETY: the promise of the trait.
        unsafe { std::mem::zeroed() }
    }
}

/// Structures of numbers, pointers and nothing else.
macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(super) struct $name { $(pub(super) $field: $kind),* }

        // SAFETY: numbers, raw pointers, and functions that may be absent.
        unsafe impl Plain for $name {}
    )*};
}

plain! {
    /// `NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS`.
    OpenParams {
        version: u32, device_type: u32, device: Handle, reserved: Handle, api: u32, reserved1: [u32; 253],
        reserved2: [usize; 64],
    }
    /// `NV_ENC_CAPS_PARAM`.
    CapsParam { version: u32, cap: u32, reserved: [u32; 62] }
    /// `NV_ENC_CREATE_INPUT_BUFFER`.
    CreateInput {
        version: u32, width: u32, height: u32, heap: u32, format: u32, reserved: u32, buffer: Handle,
        system: Handle, reserved1: [u32; 57], reserved2: [usize; 63],
    }
    /// `NV_ENC_CREATE_BITSTREAM_BUFFER`.
    CreateOutput {
        version: u32, size: u32, heap: u32, reserved: u32, buffer: Handle, pointer: Handle,
        reserved1: [u32; 58], reserved2: [usize; 64],
    }
    /// `NV_ENC_RC_PARAMS`.
    RateParams {
        version: u32, mode: u32, constant: [u32; 3], average: u32, most: u32, buffer: u32, initial: u32,
        flags: u32, quantisers: [u32; 9], layers: u32, layer_quantisers: [u8; 8], quality: u8,
        quality_fraction: u8, lookahead: u16, reserved1: [u8; 4], map: u32, passes: u32, alpha: u32,
        chroma: [u8; 2], reserved2: u16, reserved3: [u32; 4],
    }
    /// `NV_ENC_CONFIG_H264_VUI_PARAMETERS`, which is that of HEVC too.
    Vui {
        overscan_present: u32, overscan: u32, signal_present: u32, format: u32, full_range: u32,
        colour_present: u32, primaries: u32, transfer: u32, matrix: u32, location: [u32; 3],
        restriction: u32, timing: [u32; 3], reserved: [u32; 12],
    }
    /// `NV_ENC_CONFIG_H264`.
    H264Config {
        flags: u32, level: u32, idr_period: u32, separate_planes: u32, deblocking: u32, layers: u32,
        sps_id: u32, pps_id: u32, adaptive_transform: u32, fmo: u32, direct: u32, entropy: u32, stereo: u32,
        refresh: [u32; 2], references: u32, slice_mode: u32, slice_data: u32, vui: Vui, long_term: [u32; 2],
        chroma: u32, max_layers: u32, b_reference: u32, reference_lists: [u32; 2], reserved1: [u32; 267],
        reserved2: [usize; 64],
    }
    /// `NV_ENC_CONFIG_HEVC`.
    HevcConfig {
        level: u32, tier: u32, sizes: [u32; 2], flags: u32, idr_period: u32, refresh: [u32; 2],
        references: u32, long_term: u32, ids: [u32; 3], slice_mode: u32, slice_data: u32, layers: u32,
        vui: Vui, trust: u32, b_reference: u32, reference_lists: [u32; 2], reserved1: [u32; 214],
        reserved2: [usize; 64],
    }
    /// `NV_ENC_CONFIG_AV1`.
    Av1Config {
        level: u32, tier: u32, sizes: [u32; 2], flags: u32, idr_period: u32, refresh: [u32; 2],
        references: u32, tiles: [u32; 2], tile_sizes: [usize; 2], layers: u32, primaries: u32,
        transfer: u32, matrix: u32, full_range: u32, chroma_position: u32, b_reference: u32, grain: usize,
        reference_lists: [u32; 2], reserved1: [u32; 235], reserved2: [usize; 62],
    }
    /// `NV_ENC_CONFIG`.
    Config {
        version: u32, profile: Guid, group: u32, interval: i32, monochrome: u32, fields: u32, vectors: u32,
        rate: RateParams, codec: CodecConfig, reserved: [u32; 278], reserved2: [usize; 64],
    }
    /// `NV_ENC_PRESET_CONFIG`.
    PresetConfig { version: u32, config: Config, reserved1: [u32; 255], reserved2: [usize; 64] }
    /// `NV_ENC_INITIALIZE_PARAMS`.
    InitParams {
        version: u32, codec: Guid, preset: Guid, width: u32, height: u32, aspect: [u32; 2], rate_num: u32,
        rate_den: u32, asynchronous: u32, decides_types: u32, flags: u32, private_size: u32,
        private: usize, config: *mut Config, max_width: u32, max_height: u32, hints: [u32; 8], tuning: u32,
        format: u32, reserved: [u32; 287], reserved2: [usize; 64],
    }
    /// `NV_ENC_PIC_PARAMS`.
    Picture {
        version: u32, width: u32, height: u32, pitch: u32, flags: u32, index: u32, timestamp: u64,
        duration: u64, input: Handle, output: Handle, event: Handle, format: u32, structure: u32, kind: u32,
        codec: [u64; 194], hints: [u32; 8], external: usize, reserved1: [u32; 6], reserved2: [usize; 2],
        map: usize, map_size: u32, bits: u32, distances: [u16; 2], alpha: usize, block_hints: usize,
        block_count: u32, reserved3: [u32; 285], reserved4: [usize; 58],
    }
    /// `NV_ENC_LOCK_BITSTREAM`.
    LockOutput {
        version: u32, flags: u32, buffer: Handle, offsets: usize, index: u32, status: u32, slices: u32,
        size: u32, timestamp: u64, duration: u64, data: *const u8, kind: u32, structure: u32,
        statistics: [u32; 5], reserved: [u32; 12], more: [u32; 5], reserved1: [u32; 218],
        reserved2: [usize; 64],
    }
    /// `NV_ENC_LOCK_INPUT_BUFFER`.
    LockInput {
        version: u32, flags: u32, buffer: Handle, data: *mut u8, pitch: u32, reserved1: [u32; 251],
        reserved2: [usize; 64],
    }
    /// `NV_ENC_SEQUENCE_PARAM_PAYLOAD`.
    Headers {
        version: u32, room: u32, sps_id: u32, pps_id: u32, buffer: *mut u8, size: *mut u32,
        reserved: [u32; 250], reserved2: [usize; 64],
    }
}

/// `NV_ENC_CODEC_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union CodecConfig {
    pub(super) h264: H264Config,
    pub(super) hevc: HevcConfig,
    pub(super) av1: Av1Config,
}

/// A function of a session.
pub(super) type Call<T> = Option<unsafe extern "system" fn(Handle, T) -> Status>;
type Call2<T, U> = Option<unsafe extern "system" fn(Handle, T, U) -> Status>;
type Call3<T, U, V> = Option<unsafe extern "system" fn(Handle, T, U, V) -> Status>;
type Call4<T, U, V, W> = Option<unsafe extern "system" fn(Handle, T, U, V, W) -> Status>;
type Open = Option<unsafe extern "system" fn(*mut OpenParams, *mut Handle) -> Status>;

plain! {
    /// `NV_ENCODE_API_FUNCTION_LIST`; what isn't called is only a place in it.
    Functions {
        version: u32, reserved: u32, open_old: usize, guid_count: Call<*mut u32>,
        profile_count: Call2<Guid, *mut u32>, profiles: Call4<Guid, *mut Guid, u32, *mut u32>,
        guids: Call3<*mut Guid, u32, *mut u32>, format_count: usize, formats: usize,
        caps: Call3<Guid, *mut CapsParam, *mut c_int>, presets: [usize; 3], init: Call<*mut InitParams>,
        create_input: Call<*mut CreateInput>, destroy_input: Call<Handle>,
        create_output: Call<*mut CreateOutput>, destroy_output: Call<Handle>,
        encode: Call<*mut Picture>, lock_output: Call<*mut LockOutput>, unlock_output: Call<Handle>,
        lock_input: Call<*mut LockInput>, unlock_input: Call<Handle>, statistics: usize,
        headers: Call<*mut Headers>, events: [usize; 2], map: [usize; 2],
        destroy: Option<unsafe extern "system" fn(Handle) -> Status>, invalidate: usize, open: Open,
        resources: [usize; 3], reserved1: usize, motion: [usize; 3],
        last_error: Option<unsafe extern "system" fn(Handle) -> *const c_char>, streams: usize,
        preset: Call4<Guid, Guid, u32, *mut PresetConfig>, headers_for: usize, reserved2: [usize; 277],
    }
}
