//! Media that come by RTP become tracks and packets.

use std::time::Duration;

use bytes::Bytes;
use sv_core::{Codec, Item, Limits, TrackId};

use super::depacket::Depacketizer;
use super::rtp::{Jitter, Order, Packet, Unwrap, report};
use super::sdp::{Coding, Media};
use crate::health::Link;
use crate::lane::Lane;
use crate::timeline::{StreamId, Timeline};

/// All media of one sender, on one timeline.
#[derive(Debug)]
pub(super) struct Receiver {
    timeline: Timeline,
    media: Vec<Medium>,
}

#[derive(Debug)]
struct Medium {
    kind: u8,
    rate: u32,
    jitter: Jitter,
    order: Order,
    time: Unwrap,
    depacketizer: Depacketizer,
    lane: Lane,
    stream: StreamId,
}

fn codec_of(coding: &Coding) -> Option<Codec> {
    match coding {
        Coding::Units { codec, .. } => Some(*codec),
        Coding::Aac { config, .. } => (!config.is_empty()).then_some(Codec::Aac),
        Coding::Opus => Some(Codec::Opus),
        Coding::Other(_) => None,
    }
}

/// Whether a medium is one of those that are understood here.
pub(super) fn is_known(media: &Media) -> bool {
    codec_of(&media.coding).is_some()
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { timeline: Timeline::default(), media: Vec::new() }
    }

    /// Adds a medium, and gives its number; nothing where it isn't understood.
    pub(super) fn add(&mut self, media: &Media, limits: Limits) -> Option<usize> {
        let codec = codec_of(&media.coding)?;
        let is_video = |codec: Codec| matches!(codec, Codec::H264 | Codec::Hevc);
        let same = self.media.iter().filter(|m| is_video(m.lane.codec()) == is_video(codec)).count();
        let number = u32::try_from(same).unwrap_or(0).saturating_mul(2);
        let id = TrackId(number.saturating_add(if is_video(codec) { 1 } else { 2 }));
        let mut lane = Lane::new(id, codec, limits);
        match &media.coding {
            Coding::Units { sets, .. } => lane.learn(sets),
            Coding::Aac { config, .. } => lane.configured(config.clone()),
            _ => {}
        }
        let stream = self.timeline.add(media.rate);
        let depacketizer = Depacketizer::new(media.coding.clone(), limits.packet_bytes);
        let (order, time) = (Order::default(), Unwrap::default());
        let (kind, rate, jitter) = (media.kind, media.rate, Jitter::default());
        self.media.push(Medium { kind, rate, jitter, order, time, depacketizer, lane, stream });
        Some(self.media.len().saturating_sub(1))
    }

    /// A packet of RTP of a medium has come, so long after the beginning.
    pub(super) fn packet(&mut self, number: usize, data: Bytes, now: Duration, give: &mut dyn FnMut(Item)) {
        let Some(medium) = self.media.get_mut(number) else { return };
        let Some(packet) = Packet::parse(data).filter(|packet| packet.kind == medium.kind) else { return };
        medium.jitter.see(packet.time.into(), medium.rate, now);
        let timeline = &mut self.timeline;
        let Medium { order, time, depacketizer, lane, stream, .. } = medium;
        order.push(packet, now, &mut |packet, whole| {
            frame(&packet, whole, now, (time, depacketizer, lane, *stream), timeline, give);
        });
    }

    /// A packet of RTCP of a medium.
    pub(super) fn control(&mut self, number: usize, data: &[u8]) {
        let (Some(medium), Some((wall, time))) = (self.media.get_mut(number), report(data)) else { return };
        let time = medium.time.next(time, 32);
        self.timeline.report(medium.stream, time, wall);
    }

    /// What is known of the line since this was asked last: of all media together, and of the one that comes most
    /// unevenly.
    pub(super) fn link(&mut self) -> Link {
        let mut all = (0u64, 0u64);
        let mut jitter = None;
        for medium in &mut self.media {
            let (came, lost) = medium.order.count();
            all = (all.0.saturating_add(came), all.1.saturating_add(lost));
            jitter = jitter.max(Some(medium.jitter.value(medium.rate)));
        }
        let share = |part: u64| u32::try_from(part).map_or(f64::MAX, f64::from);
        let whole = all.0.saturating_add(all.1);
        Link { rtt: None, loss: (whole > 0).then(|| share(all.1) / share(whole)), jitter }
    }

    /// So late it is: what is missing is no longer waited for.
    pub(super) fn tick(&mut self, now: Duration, give: &mut dyn FnMut(Item)) {
        for medium in &mut self.media {
            let timeline = &mut self.timeline;
            let Medium { order, time, depacketizer, lane, stream, .. } = medium;
            order.release(now, &mut |packet, whole| {
                frame(&packet, whole, now, (time, depacketizer, lane, *stream), timeline, give);
            });
        }
    }
}

type Parts<'a> = (&'a mut Unwrap, &'a mut Depacketizer, &'a mut Lane, StreamId);

fn frame(
    packet: &Packet,
    whole: bool,
    now: Duration,
    parts: Parts<'_>,
    timeline: &mut Timeline,
    give: &mut dyn FnMut(Item),
) {
    let (time, depacketizer, lane, stream) = parts;
    let time = time.next(packet.time, 32);
    depacketizer.push(packet, time, whole, &mut |(data, time, whole)| {
        let at = timeline.at(stream, time, now);
        lane.push(data, at, whole, &mut *give);
    });
}
