//! SubRip: the same cues with a comma in their times, and looser markup.

use sv_core::Limits;

use super::parse::text_of;
use super::{Block, Document};
use crate::{Error, Result};

/// Reads a SubRip file. Markup that WebVTT has too (`<b>`, `<i>`, `<u>`) stays, other markup goes.
///
/// # Errors
/// [`Error::WrongKind`] without any cue, [`Error::LimitExceeded`] for a file above
/// [`Limits::structure_bytes`].
pub fn parse_srt(bytes: &[u8], limits: &Limits) -> Result<Document> {
    let text = text_of(bytes, limits)?;
    let mut document =
        super::parse(format!("WEBVTT\n\n{text}").as_bytes(), limits).or_else(|error| match error {
            // The header that was put in front may be what is too much.
            Error::LimitExceeded { .. } => Err(error),
            _ => Ok(Document::default()),
        })?;
    for block in &mut document.blocks {
        if let Block::Cue(cue) = block {
            // The numbers say nothing that the order does not.
            cue.id = None;
            cue.settings.clear();
            cue.text = markup(&cue.text);
        }
    }
    if document.cues().next().is_none() {
        let found = match crate::detect(bytes) {
            Some(kind) if kind != crate::Kind::Srt => kind.name(),
            _ => "a file without any cue",
        };
        return Err(Error::WrongKind { expected: "a SubRip file", found });
    }
    document.blocks.retain(|block| matches!(block, Block::Cue(_)));
    Ok(document)
}

/// SubRip's markup as WebVTT's.
fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '{', '&']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let close = if tail.starts_with('{') { '}' } else { '>' };
        let end = tail.find(close).filter(|_| !tail.starts_with('&'));
        let tag = end.and_then(|end| tail.get(1..end)).unwrap_or_default();
        let name = tag.trim_start_matches('/');
        let (keep, used) = match (tail.as_bytes().first(), end) {
            (Some(b'<'), Some(end)) if matches!(name, "b" | "i" | "u") => {
                (format!("<{tag}>"), end.saturating_add(1))
            }
            (Some(b'<'), Some(end)) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                (String::new(), end.saturating_add(1))
            }
            // Positions of other formats, such as {\an8}.
            (Some(b'{'), Some(end)) if tag.starts_with('\\') => (String::new(), end.saturating_add(1)),
            (Some(b'<'), _) => ("&lt;".to_owned(), 1),
            (Some(b'&'), _) => ("&amp;".to_owned(), 1),
            _ => ("{".to_owned(), 1),
        };
        out.push_str(&keep);
        rest = tail.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}
