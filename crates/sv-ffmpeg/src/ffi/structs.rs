//! Structures of headers that `ffmpeg-sys-next` leaves out. Layouts are FFmpeg's public ABI, the
//! same from 5.1 to 9 (fields may only be appended).

use ffmpeg_sys_next::AVRational;

/// `libavutil/mastering_display_metadata.h`: SMPTE ST 2086.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct AVMasteringDisplayMetadata {
    pub(crate) display_primaries: [[AVRational; 2]; 3],
    pub(crate) white_point: [AVRational; 2],
    pub(crate) min_luminance: AVRational,
    pub(crate) max_luminance: AVRational,
    pub(crate) has_primaries: i32,
    pub(crate) has_luminance: i32,
}

/// `libavutil/mastering_display_metadata.h`: CTA-861.3.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct AVContentLightMetadata {
    pub(crate) max_cll: u32,
    pub(crate) max_fall: u32,
}
