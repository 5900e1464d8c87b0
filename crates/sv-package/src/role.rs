//! What a rendition is for.

use serde::{Deserialize, Serialize};

/// The roles of ISO/IEC 23009-1, 5.8.5.5 (`urn:mpeg:dash:role:2011`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// What is shown when nobody has said otherwise.
    Main,
    /// Another one instead.
    Alternate,
    /// Another one besides.
    Supplementary,
    /// Somebody comments.
    Commentary,
    /// Speech in another language than that of the original.
    Dub,
    /// Text of everything that is heard.
    Caption,
    /// Text of what is said.
    Subtitle,
    /// Text that is shown to those who asked for none.
    ForcedSubtitle,
    /// Sound that describes what is seen.
    Description,
    /// Sign language.
    Sign,
    /// Warnings.
    Emergency,
    /// Speech that is easier to understand.
    EnhancedAudioIntelligibility,
    /// Text that is easier to read.
    Easyreader,
    /// To sing along.
    Karaoke,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Main,
        Self::Alternate,
        Self::Supplementary,
        Self::Commentary,
        Self::Dub,
        Self::Caption,
        Self::Subtitle,
        Self::ForcedSubtitle,
        Self::Description,
        Self::Sign,
        Self::Emergency,
        Self::EnhancedAudioIntelligibility,
        Self::Easyreader,
        Self::Karaoke,
    ];

    /// Its value in DASH: `forced-subtitle`.
    #[must_use]
    pub const fn value(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Alternate => "alternate",
            Self::Supplementary => "supplementary",
            Self::Commentary => "commentary",
            Self::Dub => "dub",
            Self::Caption => "caption",
            Self::Subtitle => "subtitle",
            Self::ForcedSubtitle => "forced-subtitle",
            Self::Description => "description",
            Self::Sign => "sign",
            Self::Emergency => "emergency",
            Self::EnhancedAudioIntelligibility => "enhanced-audio-intelligibility",
            Self::Easyreader => "easyreader",
            Self::Karaoke => "karaoke",
        }
    }

    /// The role with this value.
    #[must_use]
    pub fn from_value(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.value() == value)
    }

    /// HLS's characteristics ([rfc8216bis, 4.4.6.1](https://datatracker.ietf.org/doc/draft-pantos-hls-rfc8216bis/)).
    pub(crate) const fn characteristics(self) -> &'static [&'static str] {
        match self {
            Self::Caption => &[
                "public.accessibility.transcribes-spoken-dialog",
                "public.accessibility.describes-music-and-sound",
            ],
            Self::Description => &["public.accessibility.describes-video"],
            Self::EnhancedAudioIntelligibility => &["public.accessibility.enhances-speech-intelligibility"],
            Self::Easyreader => &["public.easy-to-read"],
            _ => &[],
        }
    }
}
