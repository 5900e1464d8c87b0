//! Which sound tracks to make of a source.

use serde::{Deserialize, Serialize};
use sv_core::{AudioInfo, Codec};

use crate::{encode, filter};

/// One sound rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendition {
    /// What people call it: `stereo`, `5.1`.
    pub name: String,
    /// The codec's short name: `aac`, `opus`.
    pub codec: String,
    /// Channels.
    pub channels: u16,
    /// Samples per second.
    pub sample_rate: u32,
    /// Bits per second.
    pub bitrate: u64,
}

impl Rendition {
    /// How to filter for it.
    #[must_use]
    pub fn filter(&self) -> filter::Audio {
        filter::Audio {
            channels: Some(self.channels),
            sample_rate: Some(self.sample_rate),
            ..filter::Audio::default()
        }
    }

    /// How to encode it.
    #[must_use]
    pub fn encode(&self) -> encode::Audio {
        let codec = match &self.codec[..] {
            "opus" => Codec::Opus,
            "flac" => Codec::Flac,
            _ => Codec::Aac,
        };
        encode::Audio::new(codec, self.bitrate)
    }
}

/// Sound to make of a source track: stereo always, because everything plays it, and the surround
/// as well where the source has it. A mono source stays mono.
///
/// `codec` is AAC, Opus or FLAC. Rates that every decoder takes are kept, others become 48 kHz.
#[must_use]
pub fn plan(source: &AudioInfo, codec: Codec) -> Vec<Rendition> {
    let sample_rate = match (codec, source.sample_rate) {
        (Codec::Opus, _) => 48_000,
        (_, rate @ (44_100 | 48_000)) => rate,
        (_, 88_200 | 22_050 | 11_025) => 44_100,
        _ => 48_000,
    };
    let rendition = |name: &str, channels: u16, bitrate: u64| Rendition {
        name: name.into(),
        codec: codec.name().into(),
        channels,
        sample_rate,
        bitrate,
    };
    // Opus does as well with three quarters of AAC's bits.
    let bits = |aac: u64| if codec == Codec::Opus { aac * 3 / 4 } else { aac };
    match source.channels {
        0 => Vec::new(),
        1 => vec![rendition("mono", 1, bits(80_000))],
        2..=5 => vec![rendition("stereo", 2, bits(128_000))],
        _ => vec![rendition("stereo", 2, bits(128_000)), rendition("5.1", 6, bits(384_000))],
    }
}
