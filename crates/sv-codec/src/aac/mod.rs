//! MPEG-4 audio: AAC-LC, HE-AAC and HE-AACv2
//! ([ISO/IEC 14496-3](https://www.iso.org/standard/76383.html)).

pub mod adts;
mod config;

pub use config::Config;

/// Rates by `samplingFrequencyIndex` (table 1.18).
const RATES: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/// Loudspeakers of `channelConfiguration` 1 to 7 and 11 to 14 (table 1.19).
fn channels(configuration: u8) -> Option<u16> {
    match configuration {
        n @ 1..=6 => Some(u16::from(n)),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    }
}
