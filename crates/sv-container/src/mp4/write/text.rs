//! WebVTT cues as samples (ISO/IEC 14496-30, 7): time without gaps, each sample the cues that are
//! on the screen during it.

use bytes::Bytes;
use sv_core::{Packet, Timestamp};

use crate::webvtt::sample;

/// One sample and its span.
pub(crate) struct Sample {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) data: Bytes,
}

/// The samples that show `packets` from `from` to the end of the last one. An empty packet is a
/// gap: it only says how far time goes.
pub(crate) fn samples(from: Timestamp, packets: &[Packet]) -> Vec<Sample> {
    let span = |p: &Packet| (p.pts.max(from), p.pts.saturating_add(p.duration));
    let mut edges: Vec<Timestamp> = packets.iter().flat_map(|p| <[_; 2]>::from(span(p))).collect();
    edges.push(from);
    edges.retain(|edge| *edge >= from);
    edges.sort_unstable();
    edges.dedup();
    let mut cues: Vec<&Packet> = packets.iter().filter(|p| !p.data.is_empty()).collect();
    cues.sort_by_key(|p| p.pts);
    let mut showing: Vec<&Packet> = Vec::new();
    let mut waiting = cues.into_iter().peekable();
    let mut out = Vec::with_capacity(edges.len());
    for pair in edges.windows(2) {
        let [start, end] = *pair else { continue };
        showing.retain(|p| span(p).1 > start);
        while let Some(cue) = waiting.next_if(|p| span(p).0 <= start) {
            if span(cue).1 > start {
                showing.push(cue);
            }
        }
        let data = sample::of_payloads(showing.iter().map(|cue| &*cue.data));
        out.push(Sample { start, end, data });
    }
    out
}
