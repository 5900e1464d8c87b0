//! Encoders by FFmpeg's names, and their settings for what is asked: the same for the library and for the
//! program.

use sv_core::Codec;

use super::{Backend, Picture};
use crate::encode::{self, Cap, Effort, Rate};

/// Encoders of a codec, best first.
pub(super) fn candidates(codec: Codec, backend: &Backend) -> Vec<&str> {
    let software: &[&str] = match codec {
        Codec::H264 => &["libx264", "libopenh264"],
        Codec::Hevc => &["libx265", "libkvazaar"],
        Codec::Av1 => &["libsvtav1", "libaom-av1", "librav1e"],
        Codec::Vp9 => &["libvpx-vp9"],
        Codec::Aac => &["aac"],
        Codec::Opus => &["libopus"],
        Codec::Flac => &["flac"],
        Codec::Ac3 => &["ac3"],
        Codec::Eac3 => &["eac3"],
        _ => &[],
    };
    let hardware: &[&str] = match codec {
        Codec::H264 => &["h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox"],
        Codec::Hevc => &["hevc_nvenc", "hevc_qsv", "hevc_amf", "hevc_videotoolbox"],
        Codec::Av1 => &["av1_nvenc", "av1_qsv", "av1_amf"],
        _ => &[],
    };
    match backend {
        Backend::Named(name) => vec![name.as_str()],
        Backend::Hardware => hardware.to_vec(),
        Backend::Auto | Backend::Software => software.to_vec(),
    }
}

/// A setting that no film reaches: key frames are where we ask for them.
const NEVER: &str = "1000000";

pub(super) fn video_options(name: &str, config: &encode::Video, picture: &Picture) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> = Vec::new();
    let mut set = |key: &str, value: String| options.push((key.into(), value));
    set("threads", config.threads.max(1).to_string());
    set("g", NEVER.into());
    let (crf, average, cap) = match config.rate {
        Rate::Quality { crf, cap } => (Some(crf), None, cap),
        Rate::Average { bitrate, cap } => (None, Some(bitrate), cap),
    };
    if let Some(bitrate) = average {
        set("b", bitrate.to_string());
    }
    if let (Some(Cap { bitrate, buffer }), true) = (cap, name != "libvpx-vp9" || crf.is_none()) {
        set("maxrate", bitrate.to_string());
        set("bufsize", buffer.to_string());
    }
    let preset = |names: [&'static str; 5]| match config.effort {
        Effort::Fastest => names[0],
        Effort::Faster => names[1],
        Effort::Fast => names[2],
        Effort::Balanced => names[3],
        Effort::Best => names[4],
    };
    match name {
        "libx264" => {
            set("preset", preset(["ultrafast", "superfast", "veryfast", "medium", "slow"]).into());
            if let Some(crf) = crf {
                set("crf", crf.to_string());
            }
            set("sc_threshold", "0".into());
            set("forced-idr", "1".into());
            set("profile", "high".into());
            if config.effort <= Effort::Fast {
                // With the one reference that these presets keep, a pyramid of B-frames saves
                // nothing (measured: the same SSIM at the same size), but two pictures of memory.
                set("b-pyramid", "none".into());
            }
            if reads_beyond_a_row(picture.frame.width) {
                set("x264-params", "asm=AVX2".into());
            }
        }
        "libx265" => {
            set("preset", preset(["ultrafast", "superfast", "veryfast", "medium", "slow"]).into());
            if let Some(crf) = crf {
                set("crf", crf.to_string());
            }
            set("forced-idr", "1".into());
            set("x265-params", x265_parameters(config, picture));
        }
        "libsvtav1" => {
            set("preset", preset(["12", "11", "10", "8", "6"]).into());
            if let Some(crf) = crf {
                set("crf", format!("{crf:.0}"));
            }
            set("svtav1-params", svt_parameters(config, picture));
        }
        "libaom-av1" => {
            set("cpu-used", preset(["8", "7", "6", "5", "3"]).into());
            set("usage", preset(["realtime", "realtime", "good", "good", "good"]).into());
            // No key frame of its own between those that are asked for.
            set("keyint_min", NEVER.into());
            if let Some(strength) = config.film_grain {
                set("denoise-noise-level", strength.to_string());
            }
            if let Some(crf) = crf {
                set("crf", format!("{crf:.0}"));
                set("b", cap.map_or(0, |c| c.bitrate).to_string());
            }
        }
        "libvpx-vp9" => {
            set("deadline", "good".into());
            set("cpu-used", preset(["8", "7", "5", "3", "1"]).into());
            if let Some(crf) = crf {
                set("crf", format!("{crf:.0}"));
                // With a factor, the bit rate is the cap, and 0 is none.
                set("b", cap.map_or(0, |c| c.bitrate).to_string());
            }
            set("row-mt", "0".into());
        }
        _ => {
            if let Some(crf) = crf {
                // Devices have no common factor; an average that fits the cap is the nearest.
                let fallback = cap.map_or(4_000_000, |c| c.bitrate * 3 / 4);
                if !name.starts_with("lib") {
                    set("b", fallback.to_string());
                } else {
                    set("crf", format!("{crf:.0}"));
                }
            }
            if name.ends_with("_nvenc") {
                set("forced-idr", "1".into());
                set("no-scenecut", "1".into());
            }
        }
    }
    for (key, value) in &config.options {
        options.retain(|(k, _)| k != key);
        options.push((key.clone(), value.clone()));
    }
    options
}

/// Names and values.
type Settings = Vec<(String, String)>;

/// Settings of an encoder on a device: what every one of its kind has, and what is set where it has it.
///
/// Names and meanings are those of [FFmpeg's documentation](https://ffmpeg.org/ffmpeg-codecs.html).
pub(super) fn device_options(name: &str, config: &encode::Video) -> (Settings, Settings) {
    let (mut options, mut wishes) = (Vec::new(), Vec::new());
    let mut set = |key: &str, value: String| options.push((key.to_owned(), value));
    let mut wish = |key: &str, value: &str| wishes.push((key.to_owned(), value.to_owned()));
    set("g", NEVER.into());
    let (factor, average, cap) = match config.rate {
        Rate::Quality { crf, cap } => (Some(crf), None, cap),
        Rate::Average { bitrate, cap } => (None, Some(bitrate), cap),
    };
    let effort = config.effort as usize;
    let device = name.rsplit('_').next().unwrap_or_default();
    // Factors of devices go to 51 in every codec; ours to 63 in the two younger ones.
    let factor = factor.map(|crf| match config.codec {
        Codec::Av1 | Codec::Vp9 => (crf * 51.0 / 63.0).round(),
        _ => crf.round(),
    });
    if let Some(Cap { bitrate, buffer }) = cap {
        set("maxrate", bitrate.to_string());
        set("bufsize", buffer.to_string());
    }
    // Only NVENC and Quick Sync take a factor and a cap at once; the others get an average below the cap.
    let both = matches!(device, "nvenc" | "qsv") || cap.is_none();
    match (factor, average, cap) {
        (_, Some(bitrate), _) => set("b", bitrate.to_string()),
        (Some(_), None, Some(cap)) if !both => set("b", (cap.bitrate * 3 / 4).to_string()),
        _ => {}
    }
    let factor = factor.filter(|_| both).map(|factor| format!("{factor:.0}"));
    match device {
        "nvenc" => {
            wish("preset", ["p1", "p2", "p4", "p5", "p7"][effort]);
            wish("tune", "hq");
            wish("rc", "vbr");
            wish("forced-idr", "1");
            wish("no-scenecut", "1");
            wish("strict_gop", "1");
            if let Some(factor) = factor {
                set("b", "0".into());
                wish("cq", &factor);
            }
        }
        "qsv" => {
            wish("preset", ["veryfast", "faster", "fast", "medium", "slow"][effort]);
            wish("forced_idr", "1");
            wish("adaptive_i", "0");
            if let Some(factor) = factor {
                set("global_quality", factor);
            }
        }
        "vaapi" => {
            // Every key frame closes its group.
            wish("idr_interval", "0");
            if let Some(factor) = factor {
                wish("rc_mode", "CQP");
                set("global_quality", factor);
            }
        }
        "amf" => {
            wish("usage", "transcoding");
            wish("quality", ["speed", "speed", "balanced", "balanced", "quality"][effort]);
            wish("forced_idr", "1");
            wish("header_insertion_mode", "none");
            if let Some(factor) = factor {
                wish("rc", "cqp");
                for kind in ["qp_i", "qp_p", "qp_b"] {
                    wish(kind, &factor);
                }
            }
        }
        "vulkan" => {
            wish("usage", "transcode");
            wish("tune", "hq");
            if let Some(factor) = factor {
                wish("rc_mode", "cqp");
                wish("qp", &factor);
            }
        }
        // VideoToolbox has neither factors nor presets everywhere: an average does it on every Mac.
        _ => {
            wish("realtime", "0");
            if factor.is_some() {
                set("b", "4000000".into());
            }
        }
    }
    for (key, value) in &config.options {
        options.retain(|(k, _)| k != key);
        options.push((key.clone(), value.clone()));
    }
    (options, wishes)
}

/// Whether x264 would use memory that it never wrote to. Its AVX-512 code for macroblock trees takes
/// eight blocks at a time, and where a row isn't a multiple of that, what happens to lie behind it
/// finds its way into the result: two runs differ (seen with x264 164 and `MALLOC_PERTURB_`; none
/// of the other instruction sets does it, and they all give one result).
fn reads_beyond_a_row(width: u32) -> bool {
    #[cfg(target_arch = "x86_64")]
    return !width.div_ceil(16).is_multiple_of(8) && std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Whether the encoder can't be told in this mode where to make key frames. SVT-AV1 takes requests
/// only with a constant rate factor.
pub(super) fn starts_over(name: &str, config: &encode::Video) -> bool {
    name == "libsvtav1" && matches!(config.rate, Rate::Average { .. })
}

fn x265_parameters(config: &encode::Video, picture: &Picture) -> String {
    let mut p =
        String::from("log-level=none:info=0:scenecut=0:open-gop=0:keyint=-1:min-keyint=1:repeat-headers=0");
    if config.threads <= 1 {
        p.push_str(":pools=none:frame-threads=1:wpp=0");
    } else {
        p.push_str(&format!(":pools={}:frame-threads=1", config.threads));
    }
    if let Some(m) = picture.frame.hdr.mastering {
        let [[rx, ry], [gx, gy], [bx, by]] = m.primaries;
        let [wx, wy] = m.white;
        p.push_str(&format!(
            ":hdr10=1:master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({},{})",
            m.max_luminance, m.min_luminance
        ));
    }
    if let Some(light) = picture.frame.hdr.light {
        p.push_str(&format!(":max-cll={},{}", light.max_content, light.max_average));
    }
    p
}

fn svt_parameters(config: &encode::Video, picture: &Picture) -> String {
    let mut p = format!("lp={}:scd=0", config.threads.max(1));
    if let Some(strength) = config.film_grain {
        p.push_str(&format!(":film-grain={strength}"));
    }
    if !starts_over("libsvtav1", config) {
        p.push_str(":enable-force-key-frames=1");
    }
    if let Some(m) = picture.frame.hdr.mastering {
        let xy =
            |[x, y]: [u16; 2]| format!("({:.5},{:.5})", f64::from(x) / 50_000.0, f64::from(y) / 50_000.0);
        let [r, g, b] = m.primaries;
        let nits = |l: u32| format!("{:.4}", f64::from(l) / 10_000.0);
        p.push_str(&format!(
            ":mastering-display=G{}B{}R{}WP{}L({},{})",
            xy(g),
            xy(b),
            xy(r),
            xy(m.white),
            nits(m.max_luminance),
            nits(m.min_luminance)
        ));
    }
    if let Some(light) = picture.frame.hdr.light {
        p.push_str(&format!(":content-light={},{}", light.max_content, light.max_average));
    }
    p
}
