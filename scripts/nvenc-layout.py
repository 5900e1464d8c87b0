#!/usr/bin/env python3
"""Writes the numbers of `backend/nvcodec/encode/layout.rs` as a C compiler has them.

    scripts/nvenc-layout.py nvEncodeAPI.h > crates/sv-transcode/src/backend/nvcodec/encode/layout.rs

The header is that of FFmpeg's nv-codec-headers, tag n12.0.16.1. The Rust compiler compares.
"""

import pathlib
import subprocess
import sys
import tempfile

P = "NV_ENC_"
# Structure, ours, and pairs of fields: theirs, ours.
STRUCTS = [
    (P + "OPEN_ENCODE_SESSION_EX_PARAMS", "OpenParams", "deviceType device_type, device device, apiVersion api"),
    (P + "CAPS_PARAM", "CapsParam", "capsToQuery cap"),
    (P + "CREATE_INPUT_BUFFER", "CreateInput",
     "width width, height height, memoryHeap heap, bufferFmt format, inputBuffer buffer, reserved1 reserved1"),
    (P + "CREATE_BITSTREAM_BUFFER", "CreateOutput", "bitstreamBuffer buffer, reserved1 reserved1"),
    (P + "RC_PARAMS", "RateParams",
     "rateControlMode mode, averageBitRate average, maxBitRate most, vbvBufferSize buffer, "
     "vbvInitialDelay initial, minQP quantisers, temporallayerIdxMask layers, targetQuality quality, "
     "targetQualityLSB quality_fraction, lookaheadDepth lookahead, qpMapMode map, multiPass passes, "
     "reserved reserved3"),
    (P + "CONFIG_H264_VUI_PARAMETERS", "Vui",
     "videoSignalTypePresentFlag signal_present, videoFormat format, videoFullRangeFlag full_range, "
     "colourDescriptionPresentFlag colour_present, colourPrimaries primaries, "
     "transferCharacteristics transfer, colourMatrix matrix, bitstreamRestrictionFlag restriction, "
     "reserved reserved"),
    (P + "CONFIG_H264", "H264Config",
     "level level, idrPeriod idr_period, spsId sps_id, ppsId pps_id, maxNumRefFrames references, "
     "sliceMode slice_mode, sliceModeData slice_data, h264VUIParameters vui, chromaFormatIDC chroma, "
     "useBFramesAsRef b_reference, reserved1 reserved1, reserved2 reserved2"),
    (P + "CONFIG_HEVC", "HevcConfig",
     "level level, tier tier, minCUSize sizes, idrPeriod idr_period, vpsId ids, sliceMode slice_mode, "
     "sliceModeData slice_data, hevcVUIParameters vui, useBFramesAsRef b_reference, reserved1 reserved1, "
     "reserved2 reserved2"),
    (P + "CONFIG_AV1", "Av1Config",
     "level level, tier tier, minPartSize sizes, idrPeriod idr_period, numTileColumns tiles, "
     "tileWidths tile_sizes, colorPrimaries primaries, transferCharacteristics transfer, "
     "matrixCoefficients matrix, colorRange full_range, useBFramesAsRef b_reference, filmGrainParams grain, "
     "reserved1 reserved1, reserved2 reserved2"),
    (P + "CODEC_CONFIG", "CodecConfig", ""),
    (P + "CONFIG", "Config",
     "profileGUID profile, gopLength group, frameIntervalP interval, frameFieldMode fields, rcParams rate, "
     "encodeCodecConfig codec, reserved reserved, reserved2 reserved2"),
    (P + "PRESET_CONFIG", "PresetConfig", "presetCfg config, reserved1 reserved1"),
    (P + "INITIALIZE_PARAMS", "InitParams",
     "encodeGUID codec, presetGUID preset, encodeWidth width, encodeHeight height, darWidth aspect, "
     "frameRateNum rate_num, frameRateDen rate_den, enableEncodeAsync asynchronous, "
     "enablePTD decides_types, privDataSize private_size, encodeConfig config, maxEncodeWidth max_width, "
     "maxEncodeHeight max_height, tuningInfo tuning, bufferFormat format, reserved reserved"),
    (P + "PIC_PARAMS", "Picture",
     "inputWidth width, inputHeight height, inputPitch pitch, encodePicFlags flags, frameIdx index, "
     "inputTimeStamp timestamp, inputDuration duration, inputBuffer input, outputBitstream output, "
     "bufferFmt format, pictureStruct structure, pictureType kind, codecPicParams codec, "
     "meHintCountsPerBlock hints, qpDeltaMap map, alphaBuffer alpha, reserved3 reserved3, reserved4 reserved4"),
    (P + "LOCK_BITSTREAM", "LockOutput",
     "outputBitstream buffer, bitstreamSizeInBytes size, outputTimeStamp timestamp, "
     "bitstreamBufferPtr data, pictureType kind, reserved reserved, intraMBCount more, reserved1 reserved1"),
    (P + "LOCK_INPUT_BUFFER", "LockInput", "inputBuffer buffer, bufferDataPtr data, pitch pitch"),
    (P + "SEQUENCE_PARAM_PAYLOAD", "Headers",
     "inBufferSize room, spsId sps_id, ppsId pps_id, spsppsBuffer buffer, outSPSPPSPayloadSize size"),
    ("NV_ENCODE_API_FUNCTION_LIST", "Functions", ", ".join(
        f"nvEnc{theirs} {ours}" for theirs, ours in [
            ("GetEncodeGUIDCount", "guid_count"), ("GetEncodeProfileGUIDCount", "profile_count"),
            ("GetEncodeProfileGUIDs", "profiles"), ("GetEncodeGUIDs", "guids"), ("GetEncodeCaps", "caps"),
            ("InitializeEncoder", "init"), ("CreateInputBuffer", "create_input"),
            ("DestroyInputBuffer", "destroy_input"), ("CreateBitstreamBuffer", "create_output"),
            ("DestroyBitstreamBuffer", "destroy_output"), ("EncodePicture", "encode"),
            ("LockBitstream", "lock_output"), ("UnlockBitstream", "unlock_output"),
            ("LockInputBuffer", "lock_input"), ("UnlockInputBuffer", "unlock_input"),
            ("GetSequenceParams", "headers"), ("DestroyEncoder", "destroy"), ("OpenEncodeSessionEx", "open"),
            ("GetLastErrorString", "last_error"), ("GetEncodePresetConfigEx", "preset")])),
]
# A constant of ours, and the bit fields that it has all bits of: structure, fields, the word of ours.
BITS = [
    ("RATE_LOOKAHEAD", P + "RC_PARAMS", "enableLookahead", "RateParams"),
    ("RATE_NO_SCENE_CUTS", P + "RC_PARAMS", "disableIadapt", "RateParams"),
    ("H264_NO_SETS", P + "CONFIG_H264", "disableSPSPPS", "H264Config"),
    ("H264_REPEAT_SETS", P + "CONFIG_H264", "repeatSPSPPS", "H264Config"),
    ("HEVC_NO_SETS", P + "CONFIG_HEVC", "disableSPSPPS", "HevcConfig"),
    ("HEVC_REPEAT_SETS", P + "CONFIG_HEVC", "repeatSPSPPS", "HevcConfig"),
    ("HEVC_CHROMA", P + "CONFIG_HEVC", "chromaFormatIDC", "HevcConfig"),
    ("HEVC_CHROMA_420", P + "CONFIG_HEVC", "chromaFormatIDC=1", "HevcConfig"),
    ("HEVC_DEPTH", P + "CONFIG_HEVC", "pixelBitDepthMinus8", "HevcConfig"),
    ("HEVC_DEPTH_10", P + "CONFIG_HEVC", "pixelBitDepthMinus8=2", "HevcConfig"),
    ("AV1_ANNEX_B", P + "CONFIG_AV1", "outputAnnexBFormat", "Av1Config"),
    ("AV1_NO_HEADER", P + "CONFIG_AV1", "disableSeqHdr", "Av1Config"),
    ("AV1_REPEAT_HEADER", P + "CONFIG_AV1", "repeatSeqHdr", "Av1Config"),
    ("AV1_CHROMA", P + "CONFIG_AV1", "chromaFormatIDC", "Av1Config"),
    ("AV1_CHROMA_420", P + "CONFIG_AV1", "chromaFormatIDC=1", "Av1Config"),
    ("AV1_DEPTHS", P + "CONFIG_AV1", "inputPixelBitDepthMinus8 pixelBitDepthMinus8", "Av1Config"),
    ("AV1_DEPTHS_10", P + "CONFIG_AV1", "inputPixelBitDepthMinus8=2 pixelBitDepthMinus8=2", "Av1Config"),
]
VALUES = [
    ("API", "NVENCAPI_VERSION"), ("CAPS_VERSION", P + "CAPS_PARAM_VER"),
    ("CREATE_INPUT_VERSION", P + "CREATE_INPUT_BUFFER_VER"),
    ("CREATE_OUTPUT_VERSION", P + "CREATE_BITSTREAM_BUFFER_VER"), ("CONFIG_VERSION", P + "CONFIG_VER"),
    ("INIT_VERSION", P + "INITIALIZE_PARAMS_VER"), ("PRESET_VERSION", P + "PRESET_CONFIG_VER"),
    ("PICTURE_VERSION", P + "PIC_PARAMS_VER"), ("LOCK_OUTPUT_VERSION", P + "LOCK_BITSTREAM_VER"),
    ("LOCK_INPUT_VERSION", P + "LOCK_INPUT_BUFFER_VER"), ("HEADERS_VERSION", P + "SEQUENCE_PARAM_PAYLOAD_VER"),
    ("OPEN_VERSION", P + "OPEN_ENCODE_SESSION_EX_PARAMS_VER"),
    ("FUNCTIONS_VERSION", "NV_ENCODE_API_FUNCTION_LIST_VER"),
    ("SUCCESS", P + "SUCCESS"), ("NO_ENCODE_DEVICE", P + "ERR_NO_ENCODE_DEVICE"),
    ("UNSUPPORTED_DEVICE", P + "ERR_UNSUPPORTED_DEVICE"), ("OUT_OF_MEMORY", P + "ERR_OUT_OF_MEMORY"),
    ("INVALID_VERSION", P + "ERR_INVALID_VERSION"), ("NEED_MORE_INPUT", P + "ERR_NEED_MORE_INPUT"),
    ("INCOMPATIBLE_CLIENT_KEY", P + "ERR_INCOMPATIBLE_CLIENT_KEY"), ("DEVICE_CUDA", P + "DEVICE_TYPE_CUDA"),
    ("CAP_WIDTH_MAX", P + "CAPS_WIDTH_MAX"), ("CAP_HEIGHT_MAX", P + "CAPS_HEIGHT_MAX"),
    ("CAP_WIDTH_MIN", P + "CAPS_WIDTH_MIN"), ("CAP_HEIGHT_MIN", P + "CAPS_HEIGHT_MIN"),
    ("CAP_LOOKAHEAD", P + "CAPS_SUPPORT_LOOKAHEAD"), ("CAP_TEN_BITS", P + "CAPS_SUPPORT_10BIT_ENCODE"),
    ("TUNING_QUALITY", P + "TUNING_INFO_HIGH_QUALITY"), ("RATE_VARIABLE", P + "PARAMS_RC_VBR"),
    ("FORMAT_NV12", P + "BUFFER_FORMAT_NV12"), ("FORMAT_P010", P + "BUFFER_FORMAT_YUV420_10BIT"),
    ("FIELDS_FRAME", P + "PARAMS_FRAME_FIELD_MODE_FRAME"), ("STRUCTURE_FRAME", P + "PIC_STRUCT_FRAME"),
    ("INFINITE", "NVENC_INFINITE_GOPLENGTH"), ("VIDEO_FORMAT_UNSPECIFIED", P + "VUI_VIDEO_FORMAT_UNSPECIFIED"),
    ("AV1_LEVEL_AUTO", P + "LEVEL_AV1_AUTOSELECT"), ("PICTURE_KEY", P + "PIC_FLAG_FORCEIDR"),
    ("PICTURE_END", P + "PIC_FLAG_EOS"),
]
GUIDS = [
    ("H264", "CODEC_H264"), ("HEVC", "CODEC_HEVC"), ("AV1", "CODEC_AV1"), ("H264_HIGH", "H264_PROFILE_HIGH"),
    ("HEVC_MAIN", "HEVC_PROFILE_MAIN"), ("HEVC_MAIN10", "HEVC_PROFILE_MAIN10"),
    ("AV1_MAIN", "AV1_PROFILE_MAIN"), *((f"PRESETS[{n}]", f"PRESET_P{n + 1}") for n in range(7)),
]

HEAD = """//! Sizes, places and values as a C compiler has them for `nvEncodeAPI.h` of nv-codec-headers n12.0.16.1
//! (x86-64 Linux; none of them has a `long`, so Windows has the same). Made by `scripts/nvenc-layout.py`.

use std::mem::{offset_of, size_of};

use super::structs::*;
use super::sys::*;

/// A GUID as one number, in the order of its bytes in memory.
const fn bits(guid: Guid) -> u128 {
    let (a, b, c) = (guid.0.to_le_bytes(), guid.1.to_le_bytes(), guid.2.to_le_bytes());
    let d = guid.3;
    u128::from_be_bytes([
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7],
    ])
}
"""


def program(header):
    lines = [f'#include <stdio.h>\n#include <stddef.h>\n#include <string.h>\n#include "{header}"', "int main(void) {"]
    say = lambda text, value: lines.append(f'  printf("    assert!({text} == %zu);\\n", (size_t)({value}));')
    lines.append('  puts("\\n#[cfg(target_pointer_width = \\"64\\")]\\nconst _: () = {");')
    for theirs, ours, fields in STRUCTS:
        say(f"size_of::<{ours}>()", f"sizeof({theirs})")
        for pair in filter(None, fields.split(", ")):
            field, name = pair.split()
            say(f"offset_of!({ours}, {name})", f"offsetof({theirs}, {field})")
    lines.append('  puts("};\\n\\nconst _: () = {");')
    for ours, struct, fields, rust in BITS:
        lines.append(f"  {{ {struct} s; memset(&s, 0, sizeof s);")
        for field in fields.split():
            name, _, value = field.partition("=")
            lines.append(f"    s.{name} = {value or '~0'};")
        lines.append("    const unsigned *w = (const unsigned *)&s; size_t at = 0; while (!w[at]) at++;")
        lines.append(f'    printf("    assert!({ours} == %u && offset_of!({rust}, flags) == %zu);\\n", w[at], at * 4); }}')
    for ours, theirs in VALUES:
        say(ours, f"(unsigned)({theirs})")
    for ours, theirs in GUIDS:
        lines.append(f'  {{ const unsigned char *g = (const unsigned char *)&NV_ENC_{theirs}_GUID;')
        lines.append(f'    printf("    assert!(bits({ours}) == 0x"); for (int i = 0; i < 16; i++) printf("%s%02x", i && i % 4 == 0 ? "_" : "", g[i]);')
        lines.append('    puts(");"); }')
    lines.append('  puts("};"); return 0; }')
    return "\n".join(lines)


def main():
    header = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        source, binary = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
        source.write_text(program(header))
        subprocess.run(["cc", "-w", "-o", binary, source], check=True)
        print(HEAD + subprocess.run([binary], check=True, capture_output=True, text=True).stdout, end="")


main()
