//! The parser over random access to bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sv_core::{Item, Limits, ReadAt, Source, Track};

use super::Parser;
use crate::num::{u64_of, usize_of};
use crate::{Error, Result, detect};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Reads a transport stream through random access to its bytes, from its start to its end.
///
/// As a [`Source`] it yields an [`Item::Track`] for each track, packets as they come in the stream,
/// and an [`Item::End`] for each. NAL units come with lengths before them, their parameter sets in
/// the track's configuration; AAC comes without ADTS headers. Times count at 90 kHz and don't wrap.
pub struct Demuxer {
    source: Arc<dyn ReadAt>,
    parser: Parser,
    tracks: Vec<Arc<Track>>,
    position: u64,
    finished: bool,
}

impl std::fmt::Debug for Demuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demuxer").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}

impl Demuxer {
    /// Reads until the tracks are known.
    ///
    /// # Errors
    /// When the file is of another kind, has no track that can be read, goes beyond `limits`, or
    /// can't be read.
    pub fn open(source: Arc<dyn ReadAt>, limits: Limits) -> Result<Self> {
        let mut head = vec![0; usize_of(source.size().min(u64_of(64 << 10)))];
        source.read_exact_at(0, &mut head).map_err(|e| Error::io(0, e))?;
        check_kind(&head)?;
        let mut demuxer = Self {
            source,
            parser: Parser::new(limits).tell_cancellations(),
            tracks: Vec::new(),
            position: 0,
            finished: false,
        };
        while !demuxer.parser.is_announced() {
            demuxer.step()?;
        }
        demuxer.tracks = demuxer.parser.tracks().cloned().collect();
        if demuxer.tracks.is_empty() {
            let warnings = demuxer.parser.warnings().join("; ");
            return Err(Error::Unsupported {
                what: format!("a transport stream of which no stream can be read ({warnings})"),
                hint: "the FFmpeg backend knows more codecs",
            });
        }
        Ok(demuxer)
    }

    /// The tracks that are known after the start of the stream.
    #[must_use]
    pub fn tracks(&self) -> &[Arc<Track>] {
        &self.tracks
    }

    /// What is left out or damaged so far, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.parser.warnings()
    }

    /// Whether the stream has splice information: [`Item::Cue`]s may come, also of such that takes others back.
    #[must_use]
    pub fn has_cues(&self) -> bool {
        self.parser.has_cues()
    }

    /// The languages of captions, as [`Parser::caption_languages`] has them.
    #[must_use]
    pub const fn caption_languages(&self) -> &BTreeMap<String, String> {
        self.parser.caption_languages()
    }

    fn step(&mut self) -> Result<()> {
        let left = self.source.size().saturating_sub(self.position);
        if left == 0 {
            self.finished = true;
            return self.parser.finish();
        }
        let mut piece = vec![0; usize_of(left.min(u64_of(PIECE)))];
        self.source.read_exact_at(self.position, &mut piece).map_err(|e| Error::io(self.position, e))?;
        self.position = self.position.saturating_add(u64_of(piece.len()));
        self.parser.push(&piece)
    }
}

/// Refuses early, and by name, what is no transport stream. Some begin with junk.
fn check_kind(head: &[u8]) -> Result<()> {
    let found = match detect(head) {
        Some(crate::Kind::Ts) => return Ok(()),
        Some(other) => other.name(),
        None if (0..head.len())
            .any(|at| head.get(at..).is_some_and(|rest| super::packet_size(rest).is_some())) =>
        {
            return Ok(());
        }
        None if head.is_empty() => "an empty file",
        None => "something unknown",
    };
    Err(Error::WrongKind { expected: "an MPEG transport stream", found })
}

impl Source for Demuxer {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.parser.pull() {
                return Ok(Some(item));
            }
            if self.finished {
                return Ok(None);
            }
            if let Err(error) = self.step() {
                self.finished = true;
                return Err(error);
            }
        }
    }
}
