//! Media playlists of presentations that go on, with parts, hints, reports and delta updates
//! ([rfc8216bis](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis), 4.4.3, 4.4.4.9 and 6.2.5.1).

use std::fmt::Write as _;
use std::time::Duration;

use sv_core::{KeyId, TrackKind};

use super::media::seconds;
use super::{key, media_path, ranges};
use crate::live::{Settings, Stream, Window};
use crate::{Form, Marks, Rendition, SegmentRecord};

/// Where the newest segment or part of another rendition is.
pub(crate) struct Report<'a> {
    pub(crate) name: &'a str,
    pub(crate) segment: u64,
    pub(crate) part: Option<usize>,
}

/// What a playlist tells besides its own stream.
pub(crate) struct View<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) marks: &'a Marks,
    /// `EXT-X-TARGETDURATION`, the same for all renditions.
    pub(crate) target: u64,
    /// `PART-TARGET`, with parts.
    pub(crate) part_target: Option<Duration>,
    /// Leave out what the client has (`_HLS_skip=YES`).
    pub(crate) skip: bool,
    pub(crate) reports: Vec<Report<'a>>,
}

impl View<'_> {
    /// How far from the end segments may be left out: six target durations at least.
    fn skip_until(&self) -> Duration {
        Duration::from_secs(self.target.saturating_mul(6))
    }
}

/// The media playlist of one rendition.
pub(crate) fn media(stream: &Stream, view: &View<'_>) -> String {
    let mut out = head(stream, view, "");
    // All of them, also in a delta update: nothing promises clients that some may be left out (CAN-SKIP-DATERANGES).
    out.push_str(&ranges::tags(view.marks, view.settings.began));
    let end = stream.reached();
    let skipped = if view.skip { skippable(stream, end.saturating_sub(view.skip_until())) } else { 0 };
    if skipped > 0 {
        let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    let mut place = 0usize;
    let mut listed = 0usize;
    let mut before = None;
    for rendition in stream.epochs() {
        for (i, segment) in rendition.segments.iter().enumerate() {
            place = place.saturating_add(1);
            if place <= skipped {
                continue;
            }
            if i == 0 && place > 1 {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if i == 0 || listed == 0 {
                begin(&mut out, rendition, segment.start, segment.kid, view);
            } else {
                out.push_str(&key::tags(rendition, segment.kid, before, &view.settings.hls));
            }
            before = Some(segment.kid);
            listed = listed.saturating_add(1);
            parts(&mut out, stream, segment.number, rendition);
            let _ = writeln!(
                out,
                "#EXTINF:{},\n{}",
                seconds(rendition, segment.duration),
                rendition.path(segment.number)
            );
        }
    }
    if stream.is_ended() {
        out.push_str("#EXT-X-ENDLIST\n");
        return out;
    }
    if let (Some(rendition), Some(_)) = (stream.newest(), view.part_target) {
        open_segment(&mut out, stream, rendition, (listed, before), view);
    }
    for report in &view.reports {
        let _ = write!(
            out,
            "#EXT-X-RENDITION-REPORT:URI=\"{}\",LAST-MSN={}",
            media_path(report.name),
            report.segment
        );
        if let Some(part) = report.part {
            let _ = write!(out, ",LAST-PART={part}");
        }
        out.push('\n');
    }
    out
}

/// The parts of the segment that is being made, and the next one. So many segments were listed before, the last of them
/// under that key.
fn open_segment(
    out: &mut String,
    stream: &Stream,
    rendition: &Rendition,
    (listed, before): (usize, Option<Option<KeyId>>),
    view: &View<'_>,
) {
    if let Some(open) = stream.parted.back().filter(|p| p.number == stream.next()) {
        if rendition.segments.is_empty() {
            if listed > 0 {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            begin(out, rendition, open.start, open.kid, view);
        } else {
            out.push_str(&key::tags(rendition, open.kid, before, &view.settings.hls));
        }
    }
    parts(out, stream, stream.next(), rendition);
    let _ = writeln!(
        out,
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}/{}.{}.m4s\"",
        stream.name(),
        stream.next(),
        stream.open().len()
    );
}

/// The I-frame playlist, or nothing for what has no pictures to show alone.
pub(crate) fn iframes(stream: &Stream, view: &View<'_>) -> Option<String> {
    let keys = |r: &Rendition| r.segments.iter().any(|s| s.key_bytes > 0);
    if stream.newest()?.info.kind != TrackKind::Video || !stream.epochs().any(keys) {
        return None;
    }
    let mut out = head(stream, view, "#EXT-X-I-FRAMES-ONLY\n");
    let mut listed = false;
    let mut before = None;
    for rendition in stream.epochs() {
        for (i, segment) in rendition.segments.iter().enumerate().filter(|(_, s)| s.key_bytes > 0) {
            if i == 0 && listed {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if i == 0 || !listed {
                begin(&mut out, rendition, segment.start, segment.kid, view);
            } else {
                out.push_str(&key::tags(rendition, segment.kid, before, &view.settings.hls));
            }
            before = Some(segment.kid);
            listed = true;
            let _ = writeln!(
                out,
                "#EXTINF:{},\n#EXT-X-BYTERANGE:{}@0\n{}",
                seconds(rendition, segment.duration),
                segment.key_bytes,
                rendition.path(segment.number)
            );
        }
    }
    if stream.is_ended() {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    Some(out)
}

fn head(stream: &Stream, view: &View<'_>, kind: &str) -> String {
    let segments = |r: &Rendition| r.segments.first().map(|s| (s.number, r.epoch));
    let (first, epoch) = stream.epochs().find_map(segments).unwrap_or((stream.next(), 0));
    // Version 9 is the first that knows EXT-X-SKIP.
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{}\n", view.target);
    let event = view.settings.window == Window::Event;
    let hold = view.target.saturating_mul(3);
    if kind.is_empty() && !stream.is_ended() && !view.settings.waits {
        let _ = writeln!(out, "#EXT-X-SERVER-CONTROL:HOLD-BACK={hold}.0");
    } else if kind.is_empty() && !stream.is_ended() {
        let _ = write!(
            out,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={}.0",
            view.skip_until().as_secs()
        );
        if let Some(part) = view.part_target {
            let _ = write!(out, ",PART-HOLD-BACK={}", decimal(part.saturating_mul(3)));
        }
        let _ = writeln!(out, ",HOLD-BACK={hold}.0");
        if let Some(part) = view.part_target {
            let _ = writeln!(out, "#EXT-X-PART-INF:PART-TARGET={}", decimal(part));
        }
    }
    if event {
        out.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n");
    }
    let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}");
    if epoch > 0 {
        let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{epoch}");
    }
    out.push_str(kind);
    if stream.epochs().any(|r| r.info.kind == TrackKind::Video) {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    out
}

/// What holds from here on: the key, the initialisation, the time of day.
fn begin(out: &mut String, rendition: &Rendition, start: u64, kid: Option<KeyId>, view: &View<'_>) {
    out.push_str(&key::tags(rendition, kid, None, &view.settings.hls));
    if rendition.form == Form::Cmaf {
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", rendition.init_path());
    }
    let at = sv_core::Duration::new(start).to_std(rendition.info.time_base());
    let _ = writeln!(
        out,
        "#EXT-X-PROGRAM-DATE-TIME:{}",
        crate::clock::date_time(view.settings.began.saturating_add(at))
    );
}

fn parts(out: &mut String, stream: &Stream, segment: u64, rendition: &Rendition) {
    let Some(parted) = stream.parted.iter().find(|p| p.number == segment) else { return };
    for (i, part) in parted.parts.iter().enumerate() {
        let _ = write!(
            out,
            "#EXT-X-PART:DURATION={},URI=\"{}/{segment}.{i}.m4s\"",
            seconds(rendition, part.duration),
            stream.name()
        );
        out.push_str(if part.key { ",INDEPENDENT=YES\n" } else { "\n" });
    }
}

/// Segments at the front that ended before `until`.
fn skippable(stream: &Stream, until: Duration) -> usize {
    let ended = |r: &Rendition, s: &SegmentRecord| {
        let end = sv_core::Duration::new(s.start.saturating_add(s.duration));
        end.to_std(r.info.time_base()) <= until
    };
    let all = stream.epochs().flat_map(|r| r.segments.iter().map(move |s| (r, s)));
    all.take_while(|(r, s)| ended(r, s)).count()
}

fn decimal(length: Duration) -> String {
    format!("{}.{:03}", length.as_secs(), length.subsec_millis())
}
