//! Writing, whole or in segments.

use std::fmt;

use sv_core::Timestamp;

use super::{Block, Cue, Document};

/// `X-TIMESTAMP-MAP` ([RFC 8216, 3.5](https://www.rfc-editor.org/rfc/rfc8216#section-3.5)): which
/// time of the video's 90 kHz clock a cue time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampMap {
    /// The time on the video's clock.
    pub mpegts: u64,
    /// The same moment as cues count, in milliseconds.
    pub local: Timestamp,
}

impl Document {
    /// The part of the file for a segment from `from` to before `to`, in milliseconds: the styles
    /// and regions, and every cue that is shown in it, with its times as they are. A cue that spans
    /// segments is in each of them, which players expect.
    #[must_use]
    pub fn segment(&self, from: Timestamp, to: Timestamp, map: Option<TimestampMap>) -> String {
        let mut header = self.header.clone();
        if let Some(TimestampMap { mpegts, local }) = map {
            let (title, lines) = header.split_once('\n').unwrap_or((&header, ""));
            let mut own = format!("{title}\nX-TIMESTAMP-MAP=MPEGTS:{mpegts},LOCAL:{}", Clock(local));
            // A map that the file brought along is of another clock.
            for line in lines.lines().filter(|line| !line.starts_with("X-TIMESTAMP-MAP")) {
                own.push('\n');
                own.push_str(line);
            }
            header = own;
        }
        let shown = |block: &&Block| match block {
            Block::Cue(cue) => cue.start < to && cue.end > from,
            Block::Note(_) => false,
            _ => true,
        };
        let blocks = self.blocks.iter().filter(shown).cloned().collect();
        Self { header, blocks, warnings: Vec::new() }.to_string()
    }
}

/// The whole file.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WEBVTT")?;
        if !self.header.is_empty() && !self.header.starts_with([' ', '\t', '\n']) {
            f.write_str(" ")?;
        }
        writeln!(f, "{}", self.header)?;
        for block in &self.blocks {
            match block {
                Block::Note(text) => write!(f, "\nNOTE\n{text}\n")?,
                Block::Style(text) => write!(f, "\nSTYLE\n{text}\n")?,
                Block::Region(text) => write!(f, "\nREGION\n{text}\n")?,
                Block::Cue(cue) => write!(f, "\n{cue}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Cue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            writeln!(f, "{id}")?;
        }
        write!(f, "{} --> {}", Clock(self.start), Clock(self.end))?;
        if !self.settings.is_empty() {
            write!(f, " {}", self.settings)?;
        }
        writeln!(f)?;
        // An empty line would end the cue.
        for line in self.text.lines().filter(|line| !line.trim().is_empty()) {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// A time as `hh:mm:ss.mmm`.
pub(crate) fn clock(at: Timestamp) -> String {
    Clock(at).to_string()
}

/// `hh:mm:ss.mmm`; what lies before zero is shown as zero.
struct Clock(Timestamp);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.ticks().max(0);
        let (seconds, ms) = (ms / 1000, ms % 1000);
        write!(f, "{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}
