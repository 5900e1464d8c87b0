//! One chunk of work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sv_container::mp4;
use sv_core::{ErrorKind, Item, Stage as _, TimeBase, Timestamp, Track, TrackId};
use sv_package::Segmenter;
use sv_pipeline::Cancel;
use sv_pipeline::graph::Graph;
use sv_pipeline::share::Share;
use sv_transcode::Rung;
use sv_transcode::filter::Crop;

use super::Store;
use super::store::Chunk;
use crate::damage::Ledger;
use crate::input::{Input, Prefer};
use crate::package_files::failure;
use crate::place;
use crate::rungs::{self, Span, Wanted};
use crate::vod::Decoder;
use crate::{Error, Result};

/// Bytes that wait between two threads, as in a run that isn't cut.
const QUEUE: usize = 2 << 20;

/// One chunk of a presentation's pictures, in all rungs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Which chunk, from 0.
    pub number: u32,
    /// The source, at the same place for every worker.
    pub source: PathBuf,
    /// The source's size in bytes: another file under that name is refused.
    pub bytes: u64,
    /// The source's track.
    pub track: u32,
    /// Where the presentation begins on the source's timeline, in nanoseconds.
    pub start: i64,
    /// Where the chunk begins in the presentation: a line of the segment grid.
    pub from: Duration,
    /// Where it ends; `None` for the last one, which goes on to the end whatever the length told.
    pub until: Option<Duration>,
    /// How much before the chunk the encoders begin.
    pub lead: Duration,
    /// How much behind it they go on.
    pub tail: Duration,
    /// Length of a segment.
    pub segment: Duration,
    /// Where segments end besides, ascending.
    #[serde(default)]
    pub cuts: Vec<Duration>,
    /// What of the pictures is shown, if not all.
    #[serde(default)]
    pub crop: Option<Crop>,
    /// What decodes.
    #[serde(default)]
    pub decoder: Decoder,
    /// What encodes, by its own name; the best in software if nothing is said.
    #[serde(default)]
    pub encoder: Option<String>,
    /// Whether damage in the source is an error.
    #[serde(default)]
    pub strict: bool,
    /// The renditions by name.
    pub rungs: Vec<(String, Rung)>,
}

impl Unit {
    /// What the chunk of one rendition is called in the store.
    #[must_use]
    pub fn name(&self, rendition: &str) -> String {
        format!("{:05}-{rendition}.mp4", self.number)
    }

    /// What the account of damage in it is called, if there is any.
    pub(crate) fn damage_name(&self) -> String {
        format!("{:05}-damage.json", self.number)
    }

    /// Whether all of it is in the store.
    #[must_use]
    pub fn is_done(&self, store: &Store) -> bool {
        self.rungs.iter().all(|(name, _)| store.has(&self.name(name)))
    }

    /// Encodes the chunk into the store, with a share of this machine. `watch` hears for each rendition how much more of it is
    /// done, from the threads that do it.
    ///
    /// # Errors
    /// When the source can't be read or is another one, nothing here encodes the codec, the store
    /// can't be written, or the work is cancelled. Nothing is left in the store then.
    pub fn run(
        &self,
        store: &Store,
        share: &Share,
        cancel: &Cancel,
        watch: &(dyn Fn(&str, Duration) + Sync),
    ) -> Result<()> {
        let mut input = Input::open(&self.source, Prefer::Backend)?;
        let bytes = place::stat(&self.source)?.bytes;
        let track = input.tracks.iter().find(|t| t.id == TrackId(self.track)).cloned();
        let Some(track) = track.filter(|t| bytes == self.bytes && t.video().is_some()) else {
            let message = format!("{} is not the file that was planned for", self.source.display());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        input.select(&[track.id]);
        input.rebase(Timestamp::new(self.start));
        let damage = Ledger::new(self.strict);
        input.forgive(&damage);
        let begin = self.from.saturating_sub(self.lead);
        let end = self.until.map(|until| until + self.tail);
        if let Some(end) = end {
            input.limit(end);
        }
        if begin > Duration::ZERO {
            input.seek(begin)?;
        }
        let span = Span { from: (begin > Duration::ZERO).then(|| moment(begin)), until: end.map(moment) };
        let kept = Span { from: Some(moment(self.from)), until: self.until.map(moment) };

        let mut parts = Vec::new();
        let mut graph = Graph::<Error>::new(QUEUE, &cancel.part()).share(share);
        let reader = graph.source("reader", input);
        let wanted: Vec<_> =
            self.rungs.iter().map(|(name, rung)| Wanted { name, rung, span, given_up: None }).collect();
        let options = self.decoder.options(&damage, &track);
        let how = rungs::How {
            segment: self.segment,
            cuts: &self.cuts,
            crop: self.crop,
            decode: &options,
            encoder: self.encoder.as_deref(),
            device: None,
        };
        let nodes = rungs::encode(&mut graph, reader, &track, &wanted, &how)?;
        for (name, _) in &self.rungs {
            let kept = if self.number == 0 { Span { from: None, ..kept } } else { kept };
            parts.push(Part::new(
                name,
                store.create(&self.name(name))?,
                kept,
                (self.segment, &self.cuts),
                watch,
            ));
        }
        for (part, node) in parts.iter_mut().zip(nodes) {
            graph.sink("chunk", node, None, |item| part.item(item));
        }
        graph.run().map_err(failure)?;
        // Before the chunk itself: whoever finds that must find this.
        store.tell_damage(&self.damage_name(), &damage.list())?;
        parts.into_iter().try_for_each(Part::finish)
    }
}

/// A moment of the presentation.
fn moment(at: Duration) -> Timestamp {
    Timestamp::new(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX))
}

/// One rendition's chunk: what the lead and the tail gave is left out, the rest is written.
struct Part<'a> {
    name: &'a str,
    chunk: Chunk,
    kept: Span,
    base: TimeBase,
    segmenter: Segmenter,
    watch: &'a (dyn Fn(&str, Duration) + Sync),
}

impl<'a> Part<'a> {
    fn new(
        name: &'a str,
        chunk: Chunk,
        kept: Span,
        (segment, cuts): (Duration, &[Duration]),
        watch: &'a (dyn Fn(&str, Duration) + Sync),
    ) -> Self {
        Self {
            name,
            chunk,
            kept,
            base: TimeBase::NANOS,
            segmenter: Segmenter::new(segment).cuts(cuts),
            watch,
        }
    }

    fn item(&mut self, item: Item) -> Result<()> {
        match &item {
            Item::Track(track) => self.base = track.time_base,
            Item::Packet(packet) => {
                if !self.kept.holds(packet.pts.rescale(self.base, TimeBase::NANOS)) {
                    return Ok(());
                }
                (self.watch)(self.name, packet.duration.to_std(self.base));
            }
            _ => {}
        }
        self.segmenter.push(item)?;
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(item) = self.segmenter.pull()? {
            match item {
                Item::Track(track) => self.chunk.write(&[init(&track)?])?,
                Item::Segment(segment) => self.chunk.write(&segment.data)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.segmenter.finish()?;
        self.drain()?;
        self.chunk.finish()
    }
}

fn init(track: &Arc<Track>) -> Result<bytes::Bytes> {
    Ok(mp4::init_segment(&[track])?)
}
