//! Between FFmpeg's forms of payloads and configurations and those that MP4 stores, which are ours.
//!
//! FFmpeg hands out what the container or encoder at hand uses: Annex B start codes, ADTS headers,
//! temporal delimiters, `OpusHead`. Everything above this crate sees one form only.

pub(crate) mod aac;
pub(crate) mod av1;
pub(crate) mod nal;
pub(crate) mod small;
pub(crate) mod text;
pub(crate) mod webm;

use std::borrow::Cow;

use bytes::Bytes;
use sv_core::Codec;

/// How samples lie: what some configurations repeat from the bitstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    pub(crate) depth: u8,
    /// log2 of the chroma planes' horizontal and vertical reduction.
    pub(crate) chroma: (u8, u8),
    pub(crate) mono: bool,
}

impl Sampling {
    /// `chroma_format_idc` of H.264 and HEVC.
    pub(crate) fn chroma_format(self) -> u8 {
        match self.chroma {
            _ if self.mono => 0,
            (1, 1) => 1,
            (1, 0) => 2,
            _ => 3,
        }
    }
}

/// What has to be done to payloads so that they are in MP4's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Plain,
    /// Start codes become lengths.
    AnnexB {
        hevc: bool,
    },
    /// The header goes away.
    Adts,
    /// Temporal delimiters go away.
    Obu,
    /// Subtitle text becomes WebVTT cue text.
    SubRip,
    MovText,
    Ass,
}

impl Form {
    /// The payload in our form.
    pub(crate) fn apply(self, data: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Plain => Cow::Borrowed(data),
            Self::AnnexB { hevc } => Cow::Owned(nal::to_lengths(data, hevc)),
            Self::Adts => Cow::Borrowed(aac::strip(data)),
            Self::Obu => av1::strip(data),
            Self::SubRip => Cow::Owned(text::subrip(data).into_bytes()),
            Self::MovText => Cow::Owned(text::mov_text(data).into_bytes()),
            Self::Ass => Cow::Owned(text::ass(data).into_bytes()),
        }
    }
}

/// FFmpeg's extradata from our configuration. The inverse of what `track` and `encode` do.
pub(crate) fn extradata(codec: Codec, config: &Bytes) -> Cow<'_, [u8]> {
    match codec {
        Codec::Opus => small::opus_head(config).map_or(Cow::Borrowed(&config[..]), Cow::Owned),
        Codec::Flac => Cow::Borrowed(small::stream_info(config)),
        Codec::Alac => Cow::Owned(small::alac_box(config)),
        _ => Cow::Borrowed(config),
    }
}
