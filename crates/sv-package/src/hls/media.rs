//! Media playlists and I-frame playlists.

use std::fmt::Write as _;

use sv_core::{Duration, Scheme, TrackKind};

use super::{Options, key, ranges};
use crate::{Form, Layout, Rendition, SegmentRecord};

/// The media playlist of one rendition.
#[must_use]
pub fn media(rendition: &Rendition, options: &Options) -> String {
    let mut out = head(rendition, options, "");
    let mut before = rendition.segments.first().map(|s| s.kid);
    let mut chances = Chances::new(rendition, options);
    for segment in &rendition.segments {
        chances.tag(&mut out, segment);
        out.push_str(&key::tags(rendition, segment.kid, before.replace(segment.kid), options));
        let _ = writeln!(out, "#EXTINF:{},", seconds(rendition, segment.duration));
        if rendition.layout == Layout::SingleFile {
            let _ = writeln!(out, "#EXT-X-BYTERANGE:{}@{}", segment.bytes, segment.offset);
        }
        let query = if rendition.layout == Layout::Sidecar { options.query.as_str() } else { "" };
        let _ = writeln!(out, "{}{query}", rendition.path_of(segment));
    }
    end(&mut out, options);
    out
}

/// Nothing more comes, if that is so.
fn end(out: &mut String, options: &Options) {
    if !options.event {
        out.push_str("#EXT-X-ENDLIST\n");
    }
}

/// The I-frame playlist of a video rendition: from each segment the range up to the end of its
/// first picture, which a player decodes alone (RFC 8216, section 4.3.3.6). `None` for other
/// renditions, and where segments are encrypted as a whole: a part of one can't be decrypted alone.
#[must_use]
pub fn iframes(rendition: &Rendition, options: &Options) -> Option<String> {
    if rendition.info.kind != TrackKind::Video || rendition.segments.iter().all(|s| s.key_bytes == 0) {
        return None;
    }
    if rendition.info.key.as_ref().is_some_and(|key| key.scheme == Scheme::Aes128) {
        return None;
    }
    let mut out = head(rendition, options, "#EXT-X-I-FRAMES-ONLY\n");
    let mut before = rendition.segments.first().map(|s| s.kid);
    let mut chances = Chances::new(rendition, options);
    for segment in rendition.segments.iter().filter(|s| s.key_bytes > 0) {
        chances.tag(&mut out, segment);
        out.push_str(&key::tags(rendition, segment.kid, before.replace(segment.kid), options));
        let _ = writeln!(out, "#EXTINF:{},", seconds(rendition, segment.duration));
        let _ = writeln!(out, "#EXT-X-BYTERANGE:{}@{}", segment.key_bytes, segment.offset);
        let _ = writeln!(out, "{}", rendition.path_of(segment));
    }
    end(&mut out, options);
    Some(out)
}

fn head(rendition: &Rendition, options: &Options, kind: &str) -> String {
    // Version 7 is the first whose EXT-X-MAP and key formats cover all that follows.
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:{}\n{kind}",
        rendition.target_duration(),
        if options.event { "EVENT" } else { "VOD" }
    );
    let number = rendition.segments.first().map_or(0, |s| s.number);
    if number > 0 {
        let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{number}");
    }
    if rendition.info.kind == TrackKind::Video {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    if let Some(offset) = begins_after(rendition, options) {
        let _ = writeln!(
            out,
            "#EXT-X-START:TIME-OFFSET={}.{:06},PRECISE=YES",
            offset.as_secs(),
            offset.subsec_micros()
        );
    }
    let first = rendition.segments.first().and_then(|s| s.kid);
    out.push_str(&key::tags(rendition, first, None, options));
    match rendition.layout {
        _ if rendition.form != Form::Cmaf => {}
        Layout::Files => {
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", rendition.init_path());
        }
        Layout::SingleFile => {
            let _ = writeln!(
                out,
                "#EXT-X-MAP:URI=\"{}.mp4\",BYTERANGE=\"{}@0\"",
                rendition.name, rendition.init_bytes
            );
        }
        Layout::Sidecar => {}
    }
    if let Some(first) = rendition.segments.first().filter(|_| !options.marks.is_empty()) {
        let at = Duration::new(first.start).to_std(rendition.info.time_base());
        let date = crate::clock::date_time(options.began.saturating_add(at));
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date}");
        out.push_str(&ranges::tags(&options.marks, options.began));
    }
    out
}

/// How far behind the beginning of the first segment playing begins.
fn begins_after(rendition: &Rendition, options: &Options) -> Option<std::time::Duration> {
    let first = Duration::new(rendition.segments.first()?.start).to_std(rendition.info.time_base());
    options
        .start?
        .checked_sub(first)
        .filter(|offset| !offset.is_zero() && rendition.layout != Layout::Sidecar)
}

/// `EXT-X-PLACEMENT-OPPORTUNITY` in front of the first segment behind each departure: what shaka-packager has there, and
/// what some who insert advertisements look for. Others pass over tags that they don't know.
struct Chances {
    base: sv_core::TimeBase,
    left: std::collections::VecDeque<std::time::Duration>,
}

impl Chances {
    fn new(rendition: &Rendition, options: &Options) -> Self {
        let out = |mark: &&crate::Mark| mark.splice().is_some_and(|splice| splice.out == Some(true));
        let left = options.marks.iter().filter(out).map(|mark| mark.at).collect();
        Self { base: rendition.info.time_base(), left }
    }

    fn tag(&mut self, out: &mut String, segment: &SegmentRecord) {
        let passed = self.left.iter().take_while(|at| segment.is_behind(**at, self.base)).count();
        if passed > 0 {
            self.left.drain(..passed);
            out.push_str("#EXT-X-PLACEMENT-OPPORTUNITY\n");
        }
    }
}

/// Decimal seconds with microseconds, without floating point.
pub(super) fn seconds(rendition: &Rendition, ticks: u64) -> String {
    let length = Duration::new(ticks).to_std(rendition.info.time_base());
    format!("{}.{:06}", length.as_secs(), length.subsec_micros())
}
