//! What stands before clusters: `EBML`, `Segment`, `SeekHead`, `Info` and `Tracks` (RFC 9559, 5.1).

use bytes::Bytes;
use sv_codec::{opus, vp9};
use sv_core::{AudioInfo, Codec, Duration, Media, Protection, Scheme, TimeBase, Track, VideoInfo};

use super::ebml::{Elements, UNKNOWN};
use super::name;
use crate::num::u64_of;
use crate::{Error, Result, language};

/// Where the body of `Segment` begins in every file of ours: positions in it count from there.
pub(super) const SEGMENT_DATA: u64 = 36 + 4 + 8;

const APPLICATION: &str = "StreamVerse";

/// What is known of a file once it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// How long it is, in the track's time base.
    pub duration: Duration,
    /// Its bytes.
    pub bytes: u64,
}

/// The head of clusters that come as they come: no length, no index.
///
/// # Errors
/// [`Error::InvalidInput`] for a track that WebM can't carry.
pub fn init_segment(track: &Track) -> Result<Bytes> {
    let mut w = Elements::default();
    opening(&mut w, UNKNOWN);
    let mut out = w.out;
    out.unsplit(info(None).out);
    out.unsplit(tracks(track)?.out);
    Ok(out.freeze())
}

/// The head of a file whose [`Cues`](super::Cues) follow at once. It has the same length before the file is whole
/// (`extent` is `None`) and after.
///
/// # Errors
/// As [`init_segment`].
pub fn file_head(track: &Track, extent: Option<Extent>) -> Result<Bytes> {
    let mut w = Elements::default();
    let size = extent.map_or(UNKNOWN, |extent| extent.bytes.saturating_sub(SEGMENT_DATA));
    opening(&mut w, size);
    let length = extent.map(|extent| extent.duration.rescale(track.time_base, TimeBase::MILLIS).ticks());
    let (info, tracks) = (info(Some(length)), tracks(track)?);
    // Positions count from the segment's body; they are as long as each other, so this needs no second look.
    let list = |positions: [u64; 3]| {
        let mut w = Elements::default();
        w.master(0x114D_9B74, |w| {
            for (id, at) in [0x1549_A966u32, 0x1654_AE6B, 0x1C53_BB6B].into_iter().zip(positions) {
                w.master(0x4DBB, |w| {
                    w.bytes(0x53AB, &id.to_be_bytes()); // SeekID
                    w.wide_uint(0x53AC, at); // SeekPosition
                });
            }
        });
        w.out
    };
    let first = u64_of(list([0; 3]).len());
    let second = first.saturating_add(u64_of(info.out.len()));
    let third = second.saturating_add(u64_of(tracks.out.len()));
    let mut out = w.out;
    out.unsplit(list([first, second, third]));
    out.unsplit(info.out);
    out.unsplit(tracks.out);
    Ok(out.freeze())
}

/// `EBML`, and the beginning of `Segment`.
fn opening(w: &mut Elements, size: u64) {
    w.master(0x1A45_DFA3, |w| {
        w.uint(0x4286, 1); // EBMLVersion
        w.uint(0x42F7, 1); // EBMLReadVersion
        w.uint(0x42F2, 4); // EBMLMaxIDLength
        w.uint(0x42F3, 8); // EBMLMaxSizeLength
        w.text(0x4282, "webm"); // DocType
        w.uint(0x4287, 4); // DocTypeVersion
        w.uint(0x4285, 2); // DocTypeReadVersion
    });
    w.id(0x1853_8067);
    w.wide_size(size);
}

/// `Info`. `length` is `None` where there will never be one, and `Some(None)` where room is left for it.
fn info(length: Option<Option<u64>>) -> Elements {
    let mut w = Elements::default();
    w.master(0x1549_A966, |w| {
        w.uint(0x2A_D7B1, 1_000_000); // TimestampScale
        match length {
            Some(Some(millis)) => w.float(0x4489, f64::from(u32::try_from(millis).unwrap_or(u32::MAX))),
            Some(None) => w.void(2 + 1 + 8),
            None => {}
        }
        w.text(0x4D80, APPLICATION); // MuxingApp
        w.text(0x5741, APPLICATION); // WritingApp
    });
    w
}

fn tracks(track: &Track) -> Result<Elements> {
    let invalid = |problem| Error::InvalidInput { track: track.id.0, problem };
    let codec = name(track.codec).ok_or_else(|| invalid("its codec has no place in WebM"))?;
    if track.protection.as_ref().is_some_and(|p| p.scheme != Scheme::Cenc || p.iv_size != 8) {
        return Err(invalid("WebM is encrypted by cenc alone, with vectors of 8 bytes"));
    }
    let private = private(track).ok_or_else(|| invalid("its codec configuration is not valid"))?;
    let mut w = Elements::default();
    w.master(0x1654_AE6B, |w| {
        w.master(0xAE, |w| {
            w.uint(0xD7, 1); // TrackNumber
            w.uint(0x73C5, 1); // TrackUID
            w.uint(0x83, if matches!(track.media, Media::Audio(_)) { 2 } else { 1 }); // TrackType
            w.uint(0x9C, 0); // FlagLacing
            languages(w, track);
            if let Some(label) = &track.label {
                w.text(0x536E, label);
            }
            w.text(0x86, codec);
            if !private.is_empty() {
                w.bytes(0x63A2, &private);
            }
            if let Some(protection) = &track.protection {
                encryption(w, protection);
            }
            match &track.media {
                Media::Video(info) => video(w, track, info),
                Media::Audio(info) => audio(w, track, info),
                Media::Text(_) => {}
            }
        });
    });
    Ok(w)
}

/// The three letters that every reader knows, and the tag where it says more.
fn languages(w: &mut Elements, track: &Track) {
    let tag = track.language.as_deref().unwrap_or("und");
    w.text(0x22_B59C, language::long(tag).as_deref().unwrap_or("und")); // Language
    if track.language.is_some() {
        w.text(0x22_B59D, tag); // LanguageBCP47
    }
}

/// `ContentEncodings`: AES in counter mode
/// ([WebM Encryption](https://www.webmproject.org/docs/webm-encryption/)).
fn encryption(w: &mut Elements, protection: &Protection) {
    w.master(0x6D80, |w| {
        w.master(0x6240, |w| {
            w.uint(0x5031, 0); // ContentEncodingOrder
            w.uint(0x5032, 1); // ContentEncodingScope: blocks
            w.uint(0x5033, 1); // ContentEncodingType: encryption
            w.master(0x5035, |w| {
                w.uint(0x47E1, 5); // ContentEncAlgo: AES
                w.bytes(0x47E2, &protection.default_kid.0); // ContentEncKeyID
                w.master(0x47E7, |w| w.uint(0x47E8, 1)); // AESSettingsCipherMode: CTR
            });
        });
    });
}

/// `CodecPrivate`; empty where a codec has none, `None` where it isn't valid.
fn private(track: &Track) -> Option<Bytes> {
    match track.codec {
        Codec::Vp9 => {
            let record = if track.config.len() >= 12 { track.config.get(4..)? } else { &track.config[..] };
            let config = vp9::Config::parse(record).ok()?;
            // A number, a length of one byte and a value for each feature (guidelines, "VP9 Codec Feature Metadata").
            let features = [config.profile, config.level, config.bit_depth, config.subsampling];
            let fields = (1u8..).zip(features).flat_map(|(id, value)| [id, 1, value]);
            Some(fields.collect())
        }
        Codec::Opus => Some(opus::Config::parse(&track.config).ok()?.build_head()),
        Codec::Av1 | Codec::Vorbis => Some(track.config.clone()).filter(|config| !config.is_empty()),
        _ => Some(Bytes::new()),
    }
}

fn video(w: &mut Elements, track: &Track, info: &VideoInfo) {
    let nanos = info.frame_rate.and_then(|rate| {
        let frame = u64::from(rate.den()).checked_mul(1_000_000_000)?;
        frame.checked_div(u64::from(rate.num())).filter(|nanos| *nanos > 0)
    });
    if let Some(nanos) = nanos {
        w.uint(0x23_E383, nanos); // DefaultDuration
    }
    w.master(0xE0, |w| {
        w.uint(0xB0, info.width.into()); // PixelWidth
        w.uint(0xBA, info.height.into()); // PixelHeight
        let (num, den) = (info.sample_aspect.num(), info.sample_aspect.den());
        if num != den {
            // As wide as it looks, at the height that it has.
            let wide = u64::from(info.width).saturating_mul(u64::from(num));
            let wide = wide.saturating_add(u64::from(den) / 2).checked_div(u64::from(den)).unwrap_or(0);
            w.uint(0x54B0, wide.max(1)); // DisplayWidth
            w.uint(0x54BA, info.height.into()); // DisplayHeight
        }
        if info.color != sv_core::ColorInfo::default() || info.hdr != sv_core::HdrMetadata::default() {
            w.master(0x55B0, |w| color(w, track, info));
        }
    });
}

/// `Colour`, whose numbers are those of H.273.
fn color(w: &mut Elements, track: &Track, info: &VideoInfo) {
    let color = info.color;
    w.uint(0x55B1, color.matrix.into());
    w.uint(0x55B2, info.bit_depth.into());
    if track.codec == Codec::Vp8 {
        w.uint(0x55B3, 1); // ChromaSubsamplingHorz
        w.uint(0x55B4, 1); // ChromaSubsamplingVert
    }
    w.uint(0x55B9, if color.full_range { 2 } else { 1 }); // Range
    w.uint(0x55BA, color.transfer.into());
    w.uint(0x55BB, color.primaries.into());
    if let Some(light) = info.hdr.light {
        w.uint(0x55BC, light.max_content.into());
        w.uint(0x55BD, light.max_average.into());
    }
    if let Some(mastering) = info.hdr.mastering {
        w.master(0x55D0, |w| {
            let [red, green, blue] = mastering.primaries;
            let points = [red, green, blue, mastering.white];
            for (id, value) in (0x55D1u32..).zip(points.as_flattened()) {
                w.float(id, f64::from(*value) / 50_000.0);
            }
            w.float(0x55D9, f64::from(mastering.max_luminance) / 10_000.0);
            w.float(0x55DA, f64::from(mastering.min_luminance) / 10_000.0);
        });
    }
}

fn audio(w: &mut Elements, track: &Track, info: &AudioInfo) {
    if track.codec == Codec::Opus {
        let delay = u64::from(info.delay).saturating_mul(1_000_000_000);
        w.uint(0x56AA, delay.checked_div(info.sample_rate.max(1).into()).unwrap_or(0)); // CodecDelay
        w.uint(0x56BB, 80_000_000); // SeekPreRoll, as RFC 7845 has it
    }
    w.master(0xE1, |w| {
        w.float(0xB5, info.sample_rate.into()); // SamplingFrequency
        w.uint(0x9F, info.channels.max(1).into()); // Channels
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_begins_where_positions_count_from() {
        let mut w = Elements::default();
        opening(&mut w, UNKNOWN);
        assert_eq!(u64_of(w.out.len()), SEGMENT_DATA);
    }
}
