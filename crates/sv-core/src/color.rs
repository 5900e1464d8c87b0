//! What the numbers in a picture mean: code points of ITU-T H.273 and HDR10 metadata.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Colour description by the code points of [ITU-T H.273](https://www.itu.int/rec/T-REC-H.273).
///
/// 2 means "unspecified" in the first three fields, which is also the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColorInfo {
    /// Colour primaries: 1 BT.709, 9 BT.2020.
    pub primaries: u8,
    /// Transfer characteristics: 1 BT.709, 16 PQ, 18 HLG.
    pub transfer: u8,
    /// Matrix coefficients: 1 BT.709, 6 BT.601, 9 BT.2020 non-constant luminance.
    pub matrix: u8,
    /// Whether samples use the full range instead of the studio range.
    pub full_range: bool,
}

impl Default for ColorInfo {
    fn default() -> Self {
        Self { primaries: 2, transfer: 2, matrix: 2, full_range: false }
    }
}

impl ColorInfo {
    /// BT.709, studio range: what an untagged HD picture means.
    pub const BT709: Self = Self { primaries: 1, transfer: 1, matrix: 1, full_range: false };

    /// Perceptual quantiser, SMPTE ST 2084.
    #[must_use]
    pub const fn is_pq(&self) -> bool {
        self.transfer == 16
    }

    /// Hybrid log-gamma, ARIB STD-B67.
    #[must_use]
    pub const fn is_hlg(&self) -> bool {
        self.transfer == 18
    }
}

/// HDR10 static metadata, in the units of the bitstream so that it survives bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HdrMetadata {
    /// Mastering display colour volume, SMPTE ST 2086.
    pub mastering: Option<MasteringDisplay>,
    /// Content light level, CTA-861.3.
    pub light: Option<ContentLight>,
}

/// SMPTE ST 2086. Chromaticities in steps of 0.00002, luminances in steps of 0.0001 cd/m².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasteringDisplay {
    /// x and y of red, green and blue, in this order (bitstreams differ; this is ours).
    pub primaries: [[u16; 2]; 3],
    /// x and y of the white point.
    pub white: [u16; 2],
    /// Largest luminance.
    pub max_luminance: u32,
    /// Smallest luminance.
    pub min_luminance: u32,
}

/// CTA-861.3, both in cd/m².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentLight {
    /// Maximum content light level.
    pub max_content: u16,
    /// Maximum frame-average light level.
    pub max_average: u16,
}

/// Metadata of a single picture, as bytes that survive bit for bit. Their readers bound them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DynamicMetadata {
    /// HDR10+, SMPTE ST 2094-40: a message of ITU-T T.35 from its country code on, which is what
    /// HEVC and AV1 both carry.
    pub hdr10_plus: Option<Bytes>,
    /// Dolby Vision of profile 8: an RPU in the form of HEVC, a unit of type 62 with its header.
    pub dolby_vision: Option<Bytes>,
}

impl DynamicMetadata {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hdr10_plus.is_none() && self.dolby_vision.is_none()
    }
}

/// What a track says of its Dolby Vision: `DOVIDecoderConfigurationRecord` of Dolby's specification
/// "Dolby Vision Streams Within the ISO Base Media File Format", §3.2. Every picture has an RPU, and
/// there is a base layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DolbyVision {
    /// Profile: 5, 7, 8 of HEVC, 10 of AV1.
    pub profile: u8,
    /// Level: how many samples a second, 1 to 13.
    pub level: u8,
    /// Whether there is an enhancement layer.
    pub enhancement: bool,
    /// What the base layer is to a player without Dolby Vision: 0 nothing, 1 HDR10, 2 SDR, 4 HLG.
    pub compatibility: u8,
}
