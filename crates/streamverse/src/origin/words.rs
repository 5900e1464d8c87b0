//! The text of a title, from files of its own and out of MP4: all of it becomes WebVTT.

use std::path::Path;
use std::sync::Arc;

use sv_container::{mp4, ttml, webvtt};
use sv_core::{Codec, ErrorKind, Item, Limits, Packet, Source as _, TimeBase, Timestamp, Track};
use sv_package::Info;

use super::stock;
use crate::names::Names;
use crate::text::{self, Text};
use crate::{Error, Result};

/// Most cues of one text, and most bytes of it: subtitles of a day have fewer.
const MOST_CUES: usize = 1 << 17;
const MOST_BYTES: usize = 16 << 20;
/// Cues that may be shown at a time, and so go on in the next segment.
const TOGETHER: usize = 64;

/// One text: what is told of it, and its cues.
pub(super) struct Words {
    pub(super) name: String,
    pub(super) info: Info,
    pub(super) document: webvtt::Document,
}

/// A file of text.
pub(super) fn file(path: &Path, names: &mut Names) -> Result<Words> {
    let (name, language) = crate::package_files::text_name(path);
    // Whoever asks is not told where it lies.
    let broken = |e: Error| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tracing::warn!("{e}");
        Error::new(e.kind(), format!("its text {file} can't be used"))
    };
    let text = text::read(path).map_err(broken)?;
    // As packagers name their files: `text-de.vtt`.
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let told = stem.strip_prefix("text-").map(|rest| rest.split('-').next().unwrap_or(rest).to_owned());
    let language = language.or_else(|| text.language()).or(told.filter(|t| (2..=3).contains(&t.len())));
    let name = match &language {
        Some(language) => format!("text-{language}"),
        None => name,
    };
    let info = Info::of(&text::track(language))?;
    let document = match text {
        Text::WebVtt(document) => document,
        Text::Ttml(document, _) => document.to_webvtt(),
    };
    Ok(Words { name: names.unique(&name), info, document })
}

/// A track of `wvtt` or `stpp`, whose timeline is that of the file: see [`Words::rebase`].
pub(super) fn track(stored: &stock::Source, track: &Arc<Track>, names: &mut Names) -> Result<Words> {
    let mut demuxer = mp4::Demuxer::open(Arc::clone(&stored.reader), Limits::default())?;
    demuxer.select(&[track.id]);
    let mut document = match track.codec {
        // Its configuration is the head of a file (ISO/IEC 14496-30, 7.5).
        Codec::WebVtt => webvtt::parse(&track.config, &Limits::default())?,
        _ => webvtt::Document::default(),
    };
    let mut bytes = 0usize;
    while let Some(item) = demuxer.next_item()? {
        let Item::Packet(packet) = item else { continue };
        bytes = bytes.saturating_add(packet.data.len());
        if bytes > MOST_BYTES || document.blocks.len() > MOST_CUES {
            let message = format!("its text has more than {MOST_BYTES} bytes or {MOST_CUES} cues");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        for cue in cues(track, &packet)? {
            join(&mut document.blocks, cue);
        }
    }
    let mut told = text::track(track.language.clone().filter(|l| l != "und"));
    (told.label, told.default, told.media) = (track.label.clone(), track.default, track.media.clone());
    let name = match &told.language {
        Some(language) => format!("text-{language}"),
        None => stored.stem.clone().unwrap_or_else(|| "text".to_owned()),
    };
    Ok(Words { name: names.unique(&name), info: Info::of(&told)?, document })
}

/// What one sample shows.
fn cues(track: &Track, packet: &Packet) -> Result<Vec<webvtt::Cue>> {
    let millis = |at: Timestamp| at.rescale(track.time_base, TimeBase::MILLIS);
    let (start, end) = (millis(packet.pts), millis(packet.pts.saturating_add(packet.duration)));
    if packet.data.is_empty() || end <= start {
        return Ok(Vec::new());
    }
    if track.codec == Codec::WebVtt {
        return Ok(vec![webvtt::Cue { start, end, ..webvtt::sample::cue(&packet.data) }]);
    }
    let mut all: Vec<webvtt::Cue> =
        ttml::Document::parse(&packet.data, &Limits::default())?.to_webvtt().cues().cloned().collect();
    // Times of a document are the track's, and it holds while its sample does (ISO/IEC 14496-30, 5.3).
    for cue in &mut all {
        (cue.start, cue.end) = (cue.start.max(start), cue.end.min(end));
    }
    all.retain(|cue| cue.start < cue.end);
    Ok(all)
}

/// A cue that goes on where the same one ended is one: samples and segments are no reason to cut it.
fn join(blocks: &mut Vec<webvtt::Block>, cue: webvtt::Cue) {
    let same = blocks.iter_mut().rev().take(TOGETHER).find_map(|block| match block {
        webvtt::Block::Cue(before) => {
            let alike = (&before.id, &before.settings, &before.text) == (&cue.id, &cue.settings, &cue.text);
            (alike && before.end == cue.start).then_some(before)
        }
        _ => None,
    });
    match same {
        Some(before) => before.end = cue.end,
        None => blocks.push(webvtt::Block::Cue(cue)),
    }
}

impl Words {
    /// Lets its timeline begin where the pictures' does, in milliseconds.
    pub(super) fn rebase(&mut self, start: i64) {
        for block in &mut self.document.blocks {
            if let webvtt::Block::Cue(cue) = block {
                (cue.start, cue.end) = (cue.start.offset(-start), cue.end.offset(-start));
            }
        }
    }
}
