//! What works here.

use serde::Serialize;

/// One backend, and what it can do on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Capability {
    /// Its name: `ffmpeg`, `pure`, `ffmpeg-cli`, `nvcodec`.
    pub backend: String,
    /// Whether it is compiled in, and what it loads at run time is there.
    pub enabled: bool,
    /// What would switch it on, when it is not.
    pub hint: Option<String>,
    /// Its version, if it is a library with one.
    pub version: Option<String>,
    /// What its licence makes of the whole program.
    pub license: Option<String>,
    /// Encoders of codecs that streams are made of: name, codec, and whether a device does it.
    pub encoders: Vec<Coder>,
    /// Codecs that it decodes, by their short names.
    pub decoders: Vec<String>,
    /// Devices that it was built for, each with the reason if it can't be used here.
    pub devices: Vec<Device>,
}

/// One encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coder {
    /// Its own name, as for [`Backend::Named`](crate::Backend::Named).
    pub name: String,
    /// The codec's short name.
    pub codec: String,
    /// Whether a device does it.
    pub hardware: bool,
}

/// One kind of device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its name: `cuda`, `vaapi`.
    pub name: String,
    /// Why it can't be used here, or nothing.
    pub problem: Option<String>,
    /// Codecs that it encodes, tried by opening an encoder for each.
    pub encoders: Vec<String>,
}

/// The version of the FFmpeg program that [`Backend::Named`](crate::Backend::Named)`("ffmpeg-cli")` runs, if
/// one is there and the feature is on.
#[must_use]
pub fn program_version() -> Option<String> {
    #[cfg(feature = "ffmpeg-cli")]
    return crate::backend::program::probe().ok().map(|program| program.version);
    #[cfg(not(feature = "ffmpeg-cli"))]
    None
}

/// All backends, compiled in or not. Devices are tried, which may take a moment.
#[must_use]
pub fn capabilities() -> Vec<Capability> {
    vec![ffmpeg(), pure(), program(), nvcodec()]
}

#[cfg(feature = "ffmpeg")]
fn ffmpeg() -> Capability {
    use sv_core::Codec;
    use sv_ffmpeg::probe;
    const STREAMED: [Codec; 9] = [
        Codec::H264,
        Codec::Hevc,
        Codec::Av1,
        Codec::Vp9,
        Codec::Aac,
        Codec::Opus,
        Codec::Flac,
        Codec::Ac3,
        Codec::Eac3,
    ];
    if let Err(error) = probe::available() {
        return Capability {
            backend: "ffmpeg".into(),
            hint: Some(error.to_string()),
            ..Capability::default()
        };
    }
    let encoders = probe::encoders().into_iter().filter(|c| STREAMED.contains(&c.codec));
    let encoders = encoders
        .map(|c| Coder { name: c.name, codec: c.codec.name().into(), hardware: c.hardware })
        .collect();
    let mut decoders: Vec<String> =
        probe::decoders().into_iter().map(|c| c.codec.name().to_owned()).collect();
    decoders.sort();
    decoders.dedup();
    let device = |found: probe::Device| {
        let opened = crate::Device::open(&found.name).ok().filter(|_| found.problem.is_none());
        let codecs = opened.map(|device| device.encoders()).unwrap_or_default();
        let encoders = codecs.iter().map(|codec| codec.name().to_owned()).collect();
        Device { name: found.name, problem: found.problem, encoders }
    };
    let devices = probe::devices().into_iter().map(device).collect();
    Capability {
        backend: "ffmpeg".into(),
        enabled: true,
        hint: None,
        version: Some(probe::version()),
        license: Some(probe::license()),
        encoders,
        decoders,
        devices,
    }
}

#[cfg(not(feature = "ffmpeg"))]
fn ffmpeg() -> Capability {
    Capability {
        backend: "ffmpeg".into(),
        hint: Some(
            "build with the feature `ffmpeg`; it needs the development files of FFmpeg 5.1 or later".into(),
        ),
        ..Capability::default()
    }
}

#[cfg(feature = "pure")]
fn pure() -> Capability {
    let coder = |name: &str, codec: &str| Coder { name: name.into(), codec: codec.into(), hardware: false };
    let mut encoders = vec![coder("openh264", "h264"), coder("opus", "opus")];
    if cfg!(feature = "rav1e") {
        encoders.push(coder("rav1e", "av1"));
    }
    Capability {
        backend: "pure".into(),
        enabled: true,
        license: Some("BSD-2-Clause, MPL-2.0 and BSD-3-Clause".into()),
        encoders,
        decoders: ["h264", "aac", "mp3", "flac", "opus"].map(String::from).to_vec(),
        ..Capability::default()
    }
}

#[cfg(not(feature = "pure"))]
fn pure() -> Capability {
    Capability {
        backend: "pure".into(),
        hint: Some("build with the feature `pure`; it needs a C++ compiler".into()),
        ..Capability::default()
    }
}

#[cfg(feature = "ffmpeg-cli")]
fn program() -> Capability {
    use sv_core::Codec;
    const NAMES: [(Codec, &[&str]); 8] = [
        (Codec::H264, &["libx264", "libopenh264"]),
        (Codec::Hevc, &["libx265"]),
        (Codec::Av1, &["libsvtav1", "libaom-av1"]),
        (Codec::Vp9, &["libvpx-vp9"]),
        (Codec::Aac, &["aac", "libfdk_aac"]),
        (Codec::Opus, &["libopus"]),
        (Codec::Flac, &["flac"]),
        (Codec::Eac3, &["eac3"]),
    ];
    let backend = crate::backend::program::NAME.to_owned();
    match crate::backend::program::probe() {
        Ok(program) => {
            let there = |name: &&&str| program.encoders.iter().any(|e| e == **name);
            let coders = NAMES.iter().flat_map(|(codec, names)| {
                let named = |name: &&str| Coder {
                    name: format!("{backend}:{name}"),
                    codec: codec.name().into(),
                    hardware: false,
                };
                names.iter().filter(there).map(named).collect::<Vec<_>>()
            });
            let encoders = coders.collect();
            Capability {
                backend: backend.clone(),
                enabled: true,
                version: Some(format!("{} ({})", program.version, program.path)),
                license: Some(program.license.into()),
                encoders,
                ..Capability::default()
            }
        }
        Err(hint) => Capability { backend, hint: Some(hint), ..Capability::default() },
    }
}

#[cfg(not(feature = "ffmpeg-cli"))]
fn program() -> Capability {
    Capability {
        backend: "ffmpeg-cli".into(),
        hint: Some("build with the feature `ffmpeg-cli`; it needs an FFmpeg program to run".into()),
        ..Capability::default()
    }
}

#[cfg(feature = "nvcodec")]
fn nvcodec() -> Capability {
    use crate::backend::nvcodec::{self, encode};
    let (decodes, encodes) = (nvcodec::probe(), encode::probe());
    let hint = match (&decodes, &encodes) {
        (Err(problem), Err(_)) => {
            Some(format!("a machine with an NVIDIA device and its driver is needed; here {problem}"))
        }
        _ => None,
    };
    let off =
        |name: &str, problem| Device { name: name.into(), problem: Some(problem), encoders: Vec::new() };
    let (decoder, decoders) = match decodes {
        Ok((name, codecs)) => (Device { name, problem: None, encoders: Vec::new() }, codecs),
        Err(problem) => (off("nvdec", problem), Vec::new()),
    };
    let encoder = match encodes {
        Ok(codecs) => {
            let encoders = codecs.iter().map(|codec| codec.name().to_owned()).collect();
            Device { name: encode::NAME.into(), problem: None, encoders }
        }
        Err(problem) => off(encode::NAME, problem),
    };
    let coder = |codec: &String| Coder { name: encode::NAME.into(), codec: codec.clone(), hardware: true };
    Capability {
        backend: nvcodec::NAME.into(),
        enabled: hint.is_none(),
        hint,
        encoders: encoder.encoders.iter().map(coder).collect(),
        decoders,
        devices: vec![decoder, encoder],
        ..Capability::default()
    }
}

#[cfg(not(feature = "nvcodec"))]
fn nvcodec() -> Capability {
    Capability {
        backend: "nvcodec".into(),
        hint: Some(
            "build with the feature `nvcodec`; it needs an NVIDIA device and its driver to run".into(),
        ),
        ..Capability::default()
    }
}
