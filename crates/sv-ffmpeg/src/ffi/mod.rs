//! FFmpeg's declarations, and its libraries, loaded when first needed.
//!
//! Types and constants are those of `ffmpeg-sys-next`. Functions are not linked: each library is
//! opened at run time, at the version that the headers had. So a program that only packages starts
//! in a few megabytes (Debian's FFmpeg brings 167 shared libraries along), and one binary runs
//! where FFmpeg is missing and says so. Each function below has the signature of
//! `ffmpeg-sys-next`, which the compiler checks, and stands before the one that would be linked.

#![allow(non_snake_case, reason = "functions have the names of C")]

mod library;
mod structs;

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use ffmpeg_sys_next as sys;

use library::{absent, open, symbol};
pub(crate) use structs::{AVContentLightMetadata, AVMasteringDisplayMetadata};
pub(crate) use sys::*;

use crate::Error;

#[cfg(all(target_arch = "x86_64", not(windows)))]
type LogCallback = unsafe extern "C" fn(*mut c_void, i32, *const c_char, *mut __va_list_tag);

#[cfg(not(ffmpeg_7_0))]
type WritePacket = unsafe extern "C" fn(*mut c_void, *mut u8, i32) -> i32;
#[cfg(ffmpeg_7_0)]
type WritePacket = unsafe extern "C" fn(*mut c_void, *const u8, i32) -> i32;

/// A library: a function that loads it, a table of its functions, and a wrapper for each of them.
macro_rules! library {
    (
        $(#[$about:meta])* $library:ident $table:ident $major:ident;
        $($(#[$cfg:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty;)*
    ) => {
        struct $table {
            $($(#[$cfg])* $name: unsafe extern "C" fn($($type),*) -> $result,)*
        }

        impl $table {
            fn get() -> &'static Result<Self, String> {
                static TABLE: OnceLock<Result<$table, String>> = OnceLock::new();
                TABLE.get_or_init(Self::load)
            }

            fn load() -> Result<Self, String> {
                let library = open(stringify!($library), sys::$major)?;
                Ok(Self {
                    // SAFETY: the type is that of the declaration, see `check` in the wrapper, and
                    // the library has the major version that the declaration was made of.
                    $($(#[$cfg])* $name: unsafe { symbol(library, stringify!($name)) }
                        .map_err(|e| format!("{} ({e})", stringify!($library)))?,)*
                })
            }
        }

        $(#[$about])*
        ///
        /// # Errors
        /// [`Error::Absent`] where it is not installed.
        pub(crate) fn $library() -> Result<(), Error> {
            $table::get().as_ref().map(drop).map_err(|e| absent(e))
        }

        $(
            $(#[$cfg])*
            pub(crate) unsafe fn $name($($arg: $type),*) -> $result {
                /// Compiles only if the declaration agrees; never made, so nothing is linked.
                #[allow(dead_code, clippy::extra_unused_type_parameters, reason = "its compilation is the test")]
                fn check<T>() -> unsafe extern "C" fn($($type),*) -> $result {
                    sys::$name
                }
                let Ok(table) = $table::get() else {
                    unreachable!("whatever calls FFmpeg has loaded {} before", stringify!($library))
                };
                // SAFETY: the caller's promise, the same as for the declaration.
                unsafe { (table.$name)($($arg),*) }
            }
        )*
    };
}

library! {
    /// Loads `libavutil`: memory, frames, options, messages.
    avutil Util LIBAVUTIL_VERSION_MAJOR;
    fn av_buffer_ref(buf: *const AVBufferRef) -> *mut AVBufferRef;
    fn av_buffer_unref(buf: *mut *mut AVBufferRef) -> ();
    fn av_channel_layout_copy(dst: *mut AVChannelLayout, src: *const AVChannelLayout) -> i32;
    fn av_channel_layout_default(ch_layout: *mut AVChannelLayout, nb_channels: i32) -> ();
    fn av_dict_free(m: *mut *mut AVDictionary) -> ();
    fn av_dict_get(m: *const AVDictionary, key: *const c_char, prev: *const AVDictionaryEntry, flags: i32) -> *mut AVDictionaryEntry;
    fn av_dict_set(pm: *mut *mut AVDictionary, key: *const c_char, value: *const c_char, flags: i32) -> i32;
    fn av_display_rotation_get(matrix: *const i32) -> f64;
    fn av_frame_alloc() -> *mut AVFrame;
    fn av_frame_clone(src: *const AVFrame) -> *mut AVFrame;
    fn av_frame_free(frame: *mut *mut AVFrame) -> ();
    fn av_frame_get_buffer(frame: *mut AVFrame, align: i32) -> i32;
    fn av_frame_get_side_data(frame: *const AVFrame, kind: AVFrameSideDataType) -> *mut AVFrameSideData;
    fn av_frame_remove_side_data(frame: *mut AVFrame, kind: AVFrameSideDataType) -> ();
    fn av_free(ptr: *mut c_void) -> ();
    fn av_freep(ptr: *mut c_void) -> ();
    fn av_get_pix_fmt_name(format: AVPixelFormat) -> *const c_char;
    fn av_hwdevice_ctx_create(device_ctx: *mut *mut AVBufferRef, kind: AVHWDeviceType, device: *const c_char, opts: *mut AVDictionary, flags: i32) -> i32;
    fn av_hwdevice_get_type_name(kind: AVHWDeviceType) -> *const c_char;
    fn av_hwdevice_iterate_types(prev: AVHWDeviceType) -> AVHWDeviceType;
    fn av_hwframe_transfer_data(dst: *mut AVFrame, src: *const AVFrame, flags: i32) -> i32;
    #[cfg(all(target_arch = "x86_64", not(windows)))]
    fn av_log_format_line2(
        class: *mut c_void,
        level: i32,
        format: *const c_char,
        arguments: *mut __va_list_tag,
        line: *mut c_char,
        size: i32,
        prefix: *mut i32,
    ) -> i32;
    #[cfg(all(target_arch = "x86_64", not(windows)))]
    fn av_log_set_callback(callback: Option<LogCallback>) -> ();
    #[cfg(not(all(target_arch = "x86_64", not(windows))))]
    fn av_log_set_level(level: i32) -> ();
    fn av_malloc(size: usize) -> *mut c_void;
    fn av_mallocz(size: usize) -> *mut c_void;
    fn av_frame_is_writable(frame: *mut AVFrame) -> i32;
    fn av_opt_set_int(object: *mut c_void, name: *const c_char, value: i64, flags: i32) -> i32;
    fn av_pix_fmt_desc_get_id(desc: *const AVPixFmtDescriptor) -> AVPixelFormat;
    fn av_pix_fmt_desc_next(prev: *const AVPixFmtDescriptor) -> *const AVPixFmtDescriptor;
    fn av_rescale_q(a: i64, bq: AVRational, cq: AVRational) -> i64;
    fn av_strdup(s: *const c_char) -> *mut c_char;
    fn av_strerror(errnum: i32, errbuf: *mut c_char, errbuf_size: usize) -> i32;
    fn av_version_info() -> *const c_char;
}

library! {
    /// Loads `libavcodec`: decoders and encoders.
    avcodec CodecTable LIBAVCODEC_VERSION_MAJOR;
    fn av_codec_is_encoder(codec: *const AVCodec) -> i32;
    fn av_codec_iterate(opaque: *mut *mut c_void) -> *const AVCodec;
    fn av_new_packet(pkt: *mut AVPacket, size: i32) -> i32;
    fn av_packet_alloc() -> *mut AVPacket;
    fn av_packet_free(pkt: *mut *mut AVPacket) -> ();
    #[cfg(ffmpeg_6_1)]
    fn av_packet_side_data_get(
        list: *const AVPacketSideData,
        count: i32,
        kind: AVPacketSideDataType,
    ) -> *const AVPacketSideData;
    fn avcodec_alloc_context3(codec: *const AVCodec) -> *mut AVCodecContext;
    fn avcodec_descriptor_get_by_name(name: *const c_char) -> *const AVCodecDescriptor;
    fn avcodec_find_decoder(id: AVCodecID) -> *const AVCodec;
    fn avcodec_find_decoder_by_name(name: *const c_char) -> *const AVCodec;
    fn avcodec_find_encoder_by_name(name: *const c_char) -> *const AVCodec;
    fn avcodec_free_context(avctx: *mut *mut AVCodecContext) -> ();
    fn avcodec_get_hw_config(codec: *const AVCodec, index: i32) -> *const AVCodecHWConfig;
    fn avcodec_get_name(id: AVCodecID) -> *const c_char;
    fn avcodec_license() -> *const c_char;
    fn avcodec_open2(avctx: *mut AVCodecContext, codec: *const AVCodec, options: *mut *mut AVDictionary) -> i32;
    fn avcodec_receive_frame(avctx: *mut AVCodecContext, frame: *mut AVFrame) -> i32;
    fn avcodec_receive_packet(avctx: *mut AVCodecContext, avpkt: *mut AVPacket) -> i32;
    fn avcodec_send_frame(avctx: *mut AVCodecContext, frame: *const AVFrame) -> i32;
    fn avcodec_send_packet(avctx: *mut AVCodecContext, avpkt: *const AVPacket) -> i32;
}

library! {
    /// Loads `libavformat`: containers.
    avformat Format LIBAVFORMAT_VERSION_MAJOR;
    fn av_guess_frame_rate(ctx: *mut AVFormatContext, stream: *mut AVStream, frame: *mut AVFrame) -> AVRational;
    fn av_guess_sample_aspect_ratio(format: *mut AVFormatContext, stream: *mut AVStream, frame: *mut AVFrame) -> AVRational;
    fn av_read_frame(s: *mut AVFormatContext, pkt: *mut AVPacket) -> i32;
    fn av_seek_frame(s: *mut AVFormatContext, stream_index: i32, timestamp: i64, flags: i32) -> i32;
    #[cfg(not(ffmpeg_6_1))]
    fn av_stream_get_side_data(
        stream: *const AVStream,
        kind: AVPacketSideDataType,
        size: *mut usize,
    ) -> *mut u8;
    fn avformat_alloc_context() -> *mut AVFormatContext;
    fn avformat_close_input(s: *mut *mut AVFormatContext) -> ();
    fn avformat_find_stream_info(ic: *mut AVFormatContext, options: *mut *mut AVDictionary) -> i32;
    fn avformat_open_input(ps: *mut *mut AVFormatContext, url: *const c_char, fmt: *const AVInputFormat, options: *mut *mut AVDictionary) -> i32;
    fn avio_alloc_context(
        buffer: *mut u8,
        size: i32,
        write: i32,
        opaque: *mut c_void,
        read: Option<unsafe extern "C" fn(*mut c_void, *mut u8, i32) -> i32>,
        write_packet: Option<WritePacket>,
        seek: Option<unsafe extern "C" fn(*mut c_void, i64, i32) -> i64>,
    ) -> *mut AVIOContext;
    fn avio_context_free(s: *mut *mut AVIOContext) -> ();
}

library! {
    /// Loads `libavfilter`: filters.
    avfilter Filter LIBAVFILTER_VERSION_MAJOR;
    fn av_buffersink_get_frame(ctx: *mut AVFilterContext, frame: *mut AVFrame) -> i32;
    fn av_buffersink_get_time_base(ctx: *const AVFilterContext) -> AVRational;
    fn av_buffersrc_add_frame_flags(buffer_src: *mut AVFilterContext, frame: *mut AVFrame, flags: i32) -> i32;
    fn av_buffersrc_parameters_alloc() -> *mut AVBufferSrcParameters;
    fn av_buffersrc_parameters_set(ctx: *mut AVFilterContext, param: *mut AVBufferSrcParameters) -> i32;
    fn avfilter_get_by_name(name: *const c_char) -> *const AVFilter;
    fn avfilter_graph_alloc() -> *mut AVFilterGraph;
    fn avfilter_graph_alloc_filter(graph: *mut AVFilterGraph, filter: *const AVFilter, name: *const c_char) -> *mut AVFilterContext;
    fn avfilter_graph_config(graphctx: *mut AVFilterGraph, log_ctx: *mut c_void) -> i32;
    fn avfilter_graph_free(graph: *mut *mut AVFilterGraph) -> ();
    fn avfilter_graph_parse_ptr(graph: *mut AVFilterGraph, filters: *const c_char, inputs: *mut *mut AVFilterInOut, outputs: *mut *mut AVFilterInOut, log_ctx: *mut c_void) -> i32;
    fn avfilter_init_str(ctx: *mut AVFilterContext, args: *const c_char) -> i32;
    fn avfilter_inout_alloc() -> *mut AVFilterInOut;
    fn avfilter_inout_free(inout: *mut *mut AVFilterInOut) -> ();
}

library! {
    /// Loads `libswscale`: other sizes.
    swscale Scale LIBSWSCALE_VERSION_MAJOR;
    fn sws_alloc_context() -> *mut SwsContext;
    fn sws_init_context(context: *mut SwsContext, source: *mut SwsFilter, target: *mut SwsFilter) -> i32;
    fn sws_scale(
        context: *mut SwsContext,
        source: *const *const u8,
        source_strides: *const i32,
        from: i32,
        rows: i32,
        target: *const *mut u8,
        target_strides: *const i32,
    ) -> i32;
    fn sws_freeContext(context: *mut SwsContext) -> ();
}
