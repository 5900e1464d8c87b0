//! Subtitles: they come as WebVTT, SubRip or TTML, and leave as WebVTT or TTML, whole or cut.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sv_container::{ttml, webvtt};
use sv_core::{
    Bytes, Codec, ErrorKind, Item, Limits, Media, Packet, Stage as _, TextInfo, TimeBase, Timestamp, Track,
    TrackId,
};
use sv_package::{Carried, Form, Info, Layout, Packager, Rendition, Role, TextSegmenter};

use crate::finish::Common;
use crate::package_files::TextAs;
use crate::work::Work;
use crate::{Error, Result};

/// Largest subtitle file that is read.
const MOST_BYTES: u64 = 16 << 20;

/// Subtitles as they come.
pub(crate) enum Text {
    WebVtt(webvtt::Document),
    /// With its bytes, to be passed on as they are.
    Ttml(ttml::Document, Bytes),
}

/// Reads a file of WebVTT, SubRip or TTML.
pub(crate) fn read(path: &Path) -> Result<Text> {
    let what = || format!("{} can't be used", path.display());
    let bytes = std::fs::metadata(path).map_err(|e| Error::from(e).context(what()))?.len();
    if bytes > MOST_BYTES {
        let message = format!("its {bytes} bytes are more than subtitles have ({MOST_BYTES} at most)");
        return Err(Error::new(ErrorKind::LimitExceeded, message).context(what()));
    }
    let raw = std::fs::read(path).map_err(|e| Error::from(e).context(what()))?;
    // The ending says which it claims to be; all are read with forbearance.
    let limits = Limits::default();
    let ends = |ending: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
    let text = if ends("ttml") || ends("dfxp") {
        ttml::Document::parse(&raw, &limits).map(|document| Text::Ttml(document, Bytes::from(raw)))
    } else if ends("srt") {
        webvtt::parse_srt(&raw, &limits).map(Text::WebVtt)
    } else {
        webvtt::parse(&raw, &limits).map(Text::WebVtt)
    };
    text.map_err(|e| Error::from(e).context(what()))
}

impl Text {
    pub(crate) fn codec(&self) -> Codec {
        match self {
            Self::WebVtt(_) => Codec::WebVtt,
            Self::Ttml(..) => Codec::Ttml,
        }
    }

    /// What the file itself says.
    pub(crate) fn language(&self) -> Option<String> {
        match self {
            Self::WebVtt(_) => None,
            Self::Ttml(document, _) => document.language().map(sv_container::language::shortest),
        }
    }

    pub(crate) fn end(&self) -> Duration {
        let end = match self {
            Self::WebVtt(document) => document.cues().map(|cue| cue.end).max(),
            Self::Ttml(document, _) => document.end(),
        };
        Duration::from_millis(end.map_or(0, |end| end.ticks().max(0).unsigned_abs()))
    }

    /// All of it, written as its track says.
    pub(crate) fn whole(&self, track: &Track) -> String {
        match (self, track.codec) {
            (Self::WebVtt(document), Codec::Ttml) => {
                ttml::Document::from_webvtt(document, track.language.as_deref()).to_string()
            }
            (Self::WebVtt(document), _) => document.to_string(),
            (Self::Ttml(_, raw), Codec::Ttml) => String::from_utf8_lossy(raw).into_owned(),
            (Self::Ttml(document, _), _) => document.to_webvtt().to_string(),
        }
    }

    /// Its track and packets, up to the end of the presentation.
    fn items(&self, told: &Track, length: Duration) -> Vec<Item> {
        let end = Timestamp::new(i64::try_from(length.as_millis()).unwrap_or(i64::MAX));
        let empty = |at: Timestamp| Packet {
            track: told.id,
            pts: at,
            dts: at,
            duration: sv_core::Duration::ZERO,
            key: true,
            data: Bytes::new(),
            protection: None,
        };
        let (mut track, mut packets) = match self {
            Self::WebVtt(document) => (document.track(told.id, None), document.packets(told.id)),
            Self::Ttml(_, raw) => {
                let mut track = told.clone();
                set_codec(&mut track, Codec::Ttml);
                let duration = end.since(Timestamp::ZERO).unwrap_or_default();
                (track, vec![Packet { duration, data: raw.clone(), ..empty(Timestamp::ZERO) }])
            }
        };
        (track.language, track.label) = (told.language.clone(), told.label.clone());
        (track.default, track.media) = (told.default, told.media.clone());
        packets.retain(|packet| packet.pts < end);
        for packet in &mut packets {
            let shown = packet.pts.saturating_add(packet.duration).min(end);
            packet.duration = shown.since(packet.pts).unwrap_or_default();
        }
        let packets = std::iter::once(empty(Timestamp::ZERO)).chain(packets).chain([empty(end)]);
        std::iter::once(Item::Track(Arc::new(track))).chain(packets.map(Item::Packet)).collect()
    }
}

/// How text of a codec is stored where nobody has said, and whether what was said can be done.
pub(crate) fn how(asked: Option<TextAs>, codec: Codec, form: Form, hls: bool) -> Result<TextAs> {
    let plain = codec == Codec::Ttml && hls;
    let message = match asked {
        Some(TextAs::Mp4) if form == Form::Ts => {
            "text in MP4 doesn't go with transport streams: use --text segments"
        }
        None | Some(TextAs::Mp4) if plain && form == Form::Ts => {
            "HLS with transport streams has no TTML: add format=vtt to the input"
        }
        Some(TextAs::File | TextAs::Segments) if plain => {
            "HLS has no TTML but in MP4: use --text mp4, add format=vtt to the input, or write --dash alone"
        }
        Some(how) => return Ok(how),
        None if plain => return Ok(TextAs::Mp4),
        None => return Ok(TextAs::File),
    };
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Stores subtitles in segments.
#[allow(clippy::too_many_arguments)]
pub(crate) fn cut(
    work: &mut Work,
    name: &str,
    track: &Track,
    roles: Vec<Role>,
    text: &Text,
    length: Duration,
    how: TextAs,
    common: &Common,
) -> Result<Rendition> {
    let (form, layout) = match how {
        TextAs::Mp4 => (Form::Cmaf, common.layout),
        _ => (Form::Text, Layout::Files),
    };
    let length = if length.is_zero() { text.end() } else { length };
    let mut segmenter = TextSegmenter::new(common.segment, form).cuts(&common.cuts).codec(track.codec);
    if common.form == Form::Ts {
        segmenter = segmenter.clock(sv_container::ts::ORIGIN);
    }
    let count = length.as_millis() / common.segment.as_millis().max(1);
    let count =
        u32::try_from(count).unwrap_or(u32::MAX / 4).saturating_add(16 + 2 * common.cuts.len() as u32);
    let mut track = track.clone();
    if let Media::Text(info) = &mut track.media {
        info.forced |= roles.contains(&Role::ForcedSubtitle);
        info.captions |= roles.contains(&Role::Caption);
    }
    let mut packager = Packager::new(name, layout, count).form(form).roles(roles);
    let mut items = text.items(&track, length).into_iter();
    loop {
        let last = match items.next() {
            Some(item) => {
                segmenter.push(item)?;
                false
            }
            None => {
                segmenter.finish()?;
                true
            }
        };
        while let Some(item) = segmenter.pull()? {
            if let Some(object) = packager.push(item)? {
                work.put(object)?;
            }
        }
        if last {
            break;
        }
    }
    let (rendition, index) = packager.finish()?;
    if let Some(index) = index {
        work.put(index)?;
    }
    work.complete(rendition.clone())?;
    Ok(rendition)
}

/// Makes a track one of this codec.
pub(crate) fn set_codec(track: &mut Track, codec: Codec) {
    track.codec = codec;
    track.config = match codec {
        Codec::Ttml => Bytes::from_static(ttml::NAMESPACE.as_bytes()),
        _ => Bytes::from_static(b"WEBVTT"),
    };
}

/// Text that says what its times are on the clock of transport streams, if it goes with some (RFC 8216, 3.5).
pub(crate) fn on_clock(text: String, form: Form) -> String {
    match (form, text.split_once('\n')) {
        (Form::Ts, Some((title, rest))) => {
            let origin = sv_container::ts::ORIGIN;
            format!("{title}\nX-TIMESTAMP-MAP=MPEGTS:{origin},LOCAL:00:00:00.000\n{rest}")
        }
        _ => text,
    }
}

/// A track of text, of which nothing is known but its language.
pub(crate) fn track(language: Option<String>) -> Track {
    Track {
        id: TrackId(1),
        codec: Codec::WebVtt,
        time_base: TimeBase::MILLIS,
        config: Bytes::from_static(b"WEBVTT"),
        media: Media::Text(TextInfo::default()),
        language,
        label: None,
        default: false,
        duration: None,
        bitrate: None,
        protection: None,
    }
}

/// A track of what captions in the pictures of another track say.
pub(crate) fn of_captions(captions: &Carried, pictures: &Track) -> Track {
    let mut track = track(captions.language.clone().or_else(|| pictures.language.clone()));
    track.label = Some(captions.name.clone());
    track
}

/// Stores subtitles as one file.
pub(crate) fn store(
    work: &mut Work,
    name: &str,
    track: &Track,
    roles: Vec<Role>,
    text: String,
    length: Duration,
) -> Result<Rendition> {
    let mut info = Info::of(track)?;
    info.forced |= roles.contains(&Role::ForcedSubtitle);
    info.captions |= roles.contains(&Role::Caption);
    info.roles = roles;
    let (rendition, object) = Packager::sidecar(name, info, text, length);
    work.put(object)?;
    work.complete(rendition.clone())?;
    Ok(rendition)
}
