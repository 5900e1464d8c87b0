//! Subtitles: whatever they come as, they leave as one WebVTT file that HLS and DASH both name.

use std::path::Path;
use std::time::Duration;

use sv_container::webvtt;
use sv_core::{Bytes, Codec, ErrorKind, Limits, Media, TextInfo, TimeBase, Track, TrackId};
use sv_package::{Form, Info, Packager, Rendition, Role};

use crate::work::Work;
use crate::{Error, Result};

/// Largest subtitle file that is read.
const MOST_BYTES: u64 = 16 << 20;

/// Reads a WebVTT or SubRip file as WebVTT.
pub(crate) fn read(path: &Path) -> Result<String> {
    let what = || format!("{} can't be used", path.display());
    let bytes = std::fs::metadata(path).map_err(|e| Error::from(e).context(what()))?.len();
    if bytes > MOST_BYTES {
        let message = format!("its {bytes} bytes are more than subtitles have ({MOST_BYTES} at most)");
        return Err(Error::new(ErrorKind::LimitExceeded, message).context(what()));
    }
    let raw = std::fs::read(path).map_err(|e| Error::from(e).context(what()))?;
    // The ending says which of the two it claims to be; both are read with forbearance.
    let limits = Limits::default();
    let srt = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("srt"));
    let document = if srt { webvtt::parse_srt(&raw, &limits) } else { webvtt::parse(&raw, &limits) };
    let document = document.map_err(|e| Error::from(e).context(what()))?;
    Ok(document.to_string())
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
