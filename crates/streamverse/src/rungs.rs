//! The middle of a graph: one decoder, a row of filters, an encoder for each rung.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sv_core::{Frame, Item, Stage, TimeBase, Timestamp, Track};
use sv_pipeline::graph::{Graph, Node};
use sv_transcode::filter::Crop;
use sv_transcode::{Backend, Device, Rung, decode, encode, filter};

use crate::{Error, Result};

/// A rung to make, and of which part of the source.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) rung: &'a Rung,
    pub(crate) span: Span,
    /// Nothing more is encoded of it once this is true.
    pub(crate) given_up: Option<Arc<AtomicBool>>,
}

/// What is the same for all rungs.
pub(crate) struct How<'a> {
    /// Length of a segment.
    pub(crate) segment: Duration,
    /// Where segments end besides.
    pub(crate) cuts: &'a [Duration],
    /// What of the pictures is shown, if not all.
    pub(crate) crop: Option<Crop>,
    pub(crate) decode: &'a decode::Options,
    /// What encodes, by its own name.
    pub(crate) encoder: Option<&'a str>,
    /// What decodes, scales and encodes, as far as it can.
    pub(crate) device: Option<&'a Device>,
}

/// A part of the presentation, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Pictures shown before are left out.
    pub(crate) from: Option<Timestamp>,
    /// Pictures shown then or later are left out.
    pub(crate) until: Option<Timestamp>,
}

impl Span {
    /// Whether a moment is in it.
    pub(crate) fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }
}

/// Puts a decoder behind `reader`, for each kind of picture a row of filters, each fed by the next
/// larger one, and the encoders; gives the encoders' nodes in the order of `wanted`.
pub(crate) fn encode(
    graph: &mut Graph<'_, Error>,
    reader: Node,
    track: &Arc<Track>,
    wanted: &[Wanted<'_>],
    how: &How<'_>,
) -> Result<Vec<Node>> {
    let How { segment, cuts, crop, encoder, device, .. } = *how;
    let encodes = device.filter(|_| encoder.is_none()).map(Device::encoders).unwrap_or_default();
    let decoder = decode::open(track, how.decode)?;
    let decoded = graph.stage("decoder", reader, Some(track.id), decoder);

    // Rungs of other codecs share a row where what they keep is what the others make.
    let deep = track.video().is_some_and(|v| v.bit_depth > 8 || v.color.is_pq() || v.color.is_hlg());
    let mut rows: BTreeMap<bool, Vec<(usize, &Wanted<'_>)>> = BTreeMap::new();
    for (place, one) in wanted.iter().enumerate() {
        let plain = one.rung.filter().bit_depth == Some(8);
        rows.entry(deep && !plain).or_default().push((place, one));
    }
    let mut nodes: BTreeMap<usize, Node> = BTreeMap::new();
    for mut row in rows.into_values() {
        row.sort_by_key(|(_, one)| std::cmp::Reverse(area(one.rung)));
        let mut above: Option<(Node, Arc<Track>)> = None;
        for (place, Wanted { name, rung, span, given_up }) in row {
            let mut shape = rung.filter();
            // Smaller rungs are made of what was cropped.
            shape.crop = crop.filter(|_| above.is_none());
            let mut config = rung.encode()?;
            shape.device = device.cloned();
            if encodes.contains(&config.codec) {
                shape.stays = true;
                config.device = device.cloned();
                config.fallback = true;
            }
            let (source, shown) = above.unwrap_or_else(|| (decoded, Arc::clone(track)));
            let stage = filter::video(&shown, &shape)?;
            let node = graph.stage(format!("filter {name}"), source, None, stage);
            above = Some((node, Arc::new(filtered(&shown, rung))));

            let node = match *span {
                Span { from: None, until: None } => node,
                span => graph.stage("span", node, None, Keep::new(span)),
            };
            config.grid = encode::Grid::every(segment);
            config.cuts = cuts.to_vec();
            if let Some(name) = encoder {
                config.backend = Backend::Named(name.to_owned());
            }
            let encoder = encode::video(&config, track.id)?;
            let node = match given_up {
                Some(given_up) => {
                    let stage = Until { stage: Some(encoder), given_up: Arc::clone(given_up) };
                    graph.stage(format!("encoder {name}"), node, None, stage)
                }
                None => graph.stage(format!("encoder {name}"), node, None, encoder),
            };
            nodes.insert(place, node);
        }
    }
    Ok(nodes.into_values().collect())
}

fn area(rung: &Rung) -> u64 {
    u64::from(rung.width) * u64::from(rung.height)
}

/// The track as a rung's filter leaves it: turned, whole, with square samples.
fn filtered(track: &Track, rung: &Rung) -> Track {
    let mut track = track.clone();
    if let sv_core::Media::Video(video) = &mut track.media {
        video.width = rung.width;
        video.height = rung.height;
        video.sample_aspect = sv_core::Ratio::ONE;
        video.quarter_turns = 0;
        video.interlaced = false;
    }
    track
}

/// A stage that is let go of when nobody wants what it makes any more.
struct Until {
    stage: Option<sv_transcode::Stage>,
    given_up: Arc<AtomicBool>,
}

impl Until {
    fn wanted(&mut self) -> Option<&mut sv_transcode::Stage> {
        if self.given_up.load(Ordering::Relaxed) {
            self.stage = None;
        }
        self.stage.as_mut()
    }
}

impl Stage for Until {
    type Error = sv_transcode::Error;

    fn push(&mut self, item: Item) -> Result<(), Self::Error> {
        self.wanted().map_or(Ok(()), |stage| stage.push(item))
    }

    fn pull(&mut self) -> Result<Option<Item>, Self::Error> {
        self.wanted().map_or(Ok(None), |stage| stage.pull())
    }

    fn finish(&mut self) -> Result<(), Self::Error> {
        self.wanted().map_or(Ok(()), |stage| stage.finish())
    }
}

/// Lets only the pictures of a span through.
struct Keep {
    span: Span,
    base: TimeBase,
    ready: Option<Item>,
}

impl Keep {
    fn new(span: Span) -> Self {
        Self { span, base: TimeBase::NANOS, ready: None }
    }
}

impl Stage for Keep {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<()> {
        if let Item::Track(track) = &item {
            self.base = track.time_base;
        }
        let kept = match &item {
            Item::Frame(_, Frame::Video(frame)) => {
                self.span.holds(frame.pts.rescale(self.base, TimeBase::NANOS))
            }
            _ => true,
        };
        self.ready = kept.then_some(item);
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>> {
        Ok(self.ready.take())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
