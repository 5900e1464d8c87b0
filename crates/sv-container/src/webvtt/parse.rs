//! Reading (section 6.1 of the specification).

use sv_core::{Limits, Timestamp};

use super::{Block, Cue, Document};
use crate::num::u64_of;
use crate::{Error, Result};

/// Most warnings that are kept: a file of nothing but mistakes needs no more.
const MAX_WARNINGS: usize = 100;

/// Reads a WebVTT file. Bytes that are no UTF-8 are replaced; a cue whose timing can't be
/// understood is left out with a warning.
///
/// # Errors
/// [`Error::WrongKind`] without the `WEBVTT` line, [`Error::LimitExceeded`] for a file above
/// [`Limits::structure_bytes`].
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Document> {
    let text = text_of(bytes, limits)?;
    let mut blocks = text.split("\n\n");
    let head = blocks.next().unwrap_or_default();
    let Some(header) =
        head.strip_prefix("WEBVTT").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']))
    else {
        let found = match crate::detect(bytes) {
            Some(kind) => kind.name(),
            None if bytes.trim_ascii().is_empty() => "an empty file",
            None => "something unknown",
        };
        return Err(Error::WrongKind { expected: "a WebVTT file", found });
    };
    // A cue may follow the header without an empty line between.
    let (header, glued) = match header.find("-->") {
        Some(arrow) => {
            let line = header.get(..arrow).and_then(|before| before.rfind('\n')).unwrap_or(0);
            header.split_at(line)
        }
        None => (header, ""),
    };
    let mut document = Document { header: header.trim_end().to_owned(), ..Document::default() };
    for block in std::iter::once(glued).chain(blocks) {
        document.block(block.trim_matches('\n'));
    }
    Ok(document)
}

/// The text without byte order mark, with `\n` for every line break, and with exactly one empty
/// line between blocks.
pub(super) fn text_of(bytes: &[u8], limits: &Limits) -> Result<String> {
    if bytes.len() > limits.structure_bytes {
        let limit = u64_of(limits.structure_bytes);
        return Err(Error::LimitExceeded { what: "the size of a text file", offset: 0, limit });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text =
        String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{FFFD}");
    let mut out = String::with_capacity(text.len());
    let mut empty = 0u8;
    for line in text.split('\n') {
        if line.trim().is_empty() {
            empty = 1;
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
            if std::mem::take(&mut empty) > 0 {
                out.push('\n');
            }
        }
        out.push_str(line);
    }
    Ok(out)
}

impl Document {
    pub(super) fn warn(&mut self, warning: impl FnOnce() -> String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning());
        }
    }

    fn block(&mut self, block: &str) {
        let lines: Vec<&str> = block.lines().collect();
        let Some((first, rest)) = lines.split_first() else {
            return;
        };
        match first.trim_end() {
            "STYLE" => return self.blocks.push(Block::Style(rest.join("\n"))),
            "REGION" => return self.blocks.push(Block::Region(rest.join("\n"))),
            _ => {}
        }
        if let Some(note) =
            block.strip_prefix("NOTE").filter(|n| n.is_empty() || n.starts_with([' ', '\t', '\n']))
        {
            return self.blocks.push(Block::Note(note.trim().to_owned()));
        }
        // Cues that no empty line separates are cues all the same.
        let mut cues = lines.split_inclusive(|line| line.contains("-->")).peekable();
        let mut before = cues.next().unwrap_or_default();
        if !before.last().is_some_and(|line| line.contains("-->")) {
            return self.warn(|| format!("a block that is no cue is left out: {:?}", shortened(first)));
        }
        loop {
            let following = cues.next().unwrap_or_default();
            let last = cues.peek().is_none();
            let own = match following.split_last() {
                Some((arrow, text)) if arrow.contains("-->") => text,
                _ => following,
            };
            if let Some((timing, ids)) = before.split_last() {
                self.cue(ids.last().filter(|_| ids.len() == 1).copied(), timing, own);
            }
            match following.split_last() {
                Some((arrow, _)) if arrow.contains("-->") => before = std::slice::from_ref(arrow),
                _ if last => return,
                _ => {}
            }
        }
    }

    fn cue(&mut self, id: Option<&str>, timing: &str, text: &[&str]) {
        let Some((start, end, settings)) = times(timing) else {
            return self.warn(|| format!("a cue is left out: its timing is {:?}", shortened(timing)));
        };
        if end <= start {
            return self
                .warn(|| format!("a cue is left out: it ends before it begins, at {:?}", shortened(timing)));
        }
        let (id, settings, text) = (id.map(str::to_owned), settings.to_owned(), text.join("\n"));
        self.blocks.push(Block::Cue(Cue { id, start, end, settings, text }));
    }
}

/// Start, end and settings of a timing line.
fn times(line: &str) -> Option<(Timestamp, Timestamp, &str)> {
    let (start, rest) = line.split_once("-->")?;
    let rest = rest.trim();
    let (end, settings) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    Some((time(start.trim())?, time(end)?, settings.trim()))
}

/// `[hours:]minutes:seconds.fraction`. Wider than the specification: a comma is as good as a
/// point, and the fraction may have any number of digits or be missing.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut total = 0i64;
    let parts = whole.split(':').collect::<Vec<_>>();
    if !matches!(parts.len(), 2 | 3) {
        return None;
    }
    for (index, part) in parts.iter().enumerate() {
        let digits = !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
        let value: i64 = part.parse().ok().filter(|_| digits)?;
        let hours = index == 0 && parts.len() == 3;
        if value > 59 && !hours {
            return None;
        }
        total = total.checked_mul(60)?.checked_add(value)?;
    }
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(Timestamp::new(total.checked_mul(1000)?.checked_add(millis)?))
}

/// At most forty characters, for messages.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
