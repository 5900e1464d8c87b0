//! Segments in parts that leave before the segment is whole: CMAF chunks (ISO/IEC 23000-19, 7.3.2.3).

use sv_container::mp4;
use sv_core::{Bytes, Duration, KeyId, Packet, Part, Segment, Timestamp, Track};

use crate::Error;

/// Fills parts with the packets of one track, and segments with the parts.
///
/// A whole segment's decode times can be made from its presentation times, but a part leaves before the
/// others of its segment are known: so the packets' own decode times are kept, moved by what makes the
/// segment's first packet be decoded when it is shown.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Longest part, in nanoseconds.
    target_ns: u64,
    open: Option<Open>,
    /// Of the part that is being filled; times are media times already.
    packets: Vec<Packet>,
    /// What the next part tells of.
    events: Vec<mp4::Emsg>,
}

/// A segment that is not whole yet.
#[derive(Debug)]
struct Open {
    start: Timestamp,
    /// From packets' decode times to media times.
    shift: i64,
    key: bool,
    key_bytes: u64,
    kid: Option<KeyId>,
    packets: u32,
    parts: u32,
    data: Vec<Bytes>,
    /// Where decode time has come to.
    reached: Timestamp,
}

/// What is the same for all parts of a segment.
pub(crate) struct Context<'a> {
    pub(crate) track: &'a Track,
    pub(crate) number: u64,
    /// Media time is presentation time plus this: an encoder's delay.
    pub(crate) delay: i64,
    /// Ticks that pictures are shown later than decoded, at most, of the whole track.
    pub(crate) reorder: i64,
    /// The producer's clock at a moment, for the front of a segment.
    pub(crate) prft: Option<mp4::Prft>,
}

impl Parts {
    pub(crate) fn new(target: std::time::Duration) -> Self {
        let target_ns = u64::try_from(target.as_nanos().max(1)).unwrap_or(u64::MAX);
        Self { target_ns, open: None, packets: Vec::new(), events: Vec::new() }
    }

    /// Lets the next part tell of these.
    pub(crate) fn tell(&mut self, events: &[mp4::Emsg]) {
        self.events.extend_from_slice(events);
    }

    /// When the segment that is being filled starts.
    pub(crate) fn start(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.start)
    }

    /// Takes a packet, whose times are those of the presentation; gives a part that is full by it.
    pub(crate) fn push(&mut self, mut packet: Packet, context: &Context<'_>) -> Result<Vec<Part>, Error> {
        let target =
            Duration::from_std(std::time::Duration::from_nanos(self.target_ns), context.track.time_base);
        let open = self.open.get_or_insert_with(|| Open {
            start: packet.pts,
            shift: packet.pts.ticks().saturating_sub(packet.dts.ticks()),
            key: packet.key,
            key_bytes: 0,
            kid: context.track.protection.as_ref().and_then(|p| p.kid(packet.protection.as_ref())),
            packets: 0,
            parts: 0,
            data: Vec::new(),
            reached: packet.pts.offset(context.delay),
        });
        packet.pts = packet.pts.offset(context.delay).offset(context.reorder);
        // Never before what is decoded already, and never behind the moment at which it is shown.
        let at = packet.dts.offset(open.shift).offset(context.delay).min(packet.pts).max(open.reached);
        packet.dts = at;
        open.reached = at;
        let mut out = Vec::new();
        // What was said to last longer than it did.
        if let Some(last) = self.packets.last_mut() {
            last.duration = at.since(last.dts).unwrap_or_default();
        }
        let span = |packets: &[Packet]| {
            packets.iter().map(|p| p.duration).fold(Duration::ZERO, Duration::saturating_add)
        };
        if !self.packets.is_empty() && span(&self.packets).saturating_add(packet.duration) > target {
            out.extend(self.close(context)?);
        }
        let length = packet.duration;
        self.packets.push(packet);
        // The next packet is about as long as this one: where it would not fit, nobody waits for it.
        if length > Duration::ZERO && span(&self.packets).saturating_add(length) > target {
            out.extend(self.close(context)?);
        }
        Ok(out)
    }

    /// Ends the part.
    fn close(&mut self, context: &Context<'_>) -> Result<Option<Part>, Error> {
        let packets = std::mem::take(&mut self.packets);
        let (Some(open), Some(first)) = (&mut self.open, packets.first()) else { return Ok(None) };
        let options = mp4::Options {
            styp: open.parts == 0,
            prft: context.prft.filter(|_| open.parts == 0),
            emsg: std::mem::take(&mut self.events),
            ..mp4::Options::default()
        };
        // Numbers rise within a segment and from each to the next, whoever made the earlier ones.
        let sequence = context.number.wrapping_mul(256).wrapping_add(u64::from(open.parts)).wrapping_add(1);
        let sequence = u32::try_from(sequence & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let data = mp4::fragment(context.track, sequence, first.dts, &packets, &options)
            .map_err(|source| Error::Container { track: context.track.id, source })?;
        if open.parts == 0 && open.key && context.track.video().is_some() {
            let long = |b: &Bytes| u64::try_from(b.len()).unwrap_or(0);
            open.key_bytes = data.iter().take(2).map(long).fold(0, u64::saturating_add);
        }
        let part = Part {
            track: context.track.id,
            segment: context.number,
            number: open.parts,
            start: open.start,
            duration: packets.iter().map(|p| p.duration).fold(Duration::ZERO, Duration::saturating_add),
            key: first.key,
            kid: open.kid,
            data: data.clone(),
        };
        open.reached =
            packets.last().map_or(open.reached, |p| p.dts.saturating_add(p.duration)).max(open.reached);
        open.parts = open.parts.saturating_add(1);
        open.packets = open.packets.saturating_add(u32::try_from(packets.len()).unwrap_or(u32::MAX));
        open.data.extend(data);
        Ok(Some(part))
    }

    /// Ends the segment, where the next one starts at `next`.
    pub(crate) fn finish(
        &mut self,
        next: Option<Timestamp>,
        context: &Context<'_>,
    ) -> Result<Option<(Option<Part>, Segment)>, Error> {
        if let (Some(next), Some(last)) = (next, self.packets.last_mut()) {
            let end = next.offset(context.delay);
            last.duration = end.since(last.dts).unwrap_or_default();
        }
        let part = self.close(context)?;
        let Some(open) = self.open.take() else { return Ok(None) };
        let end = next.unwrap_or(open.reached.offset(context.delay.saturating_neg()));
        let segment = Segment {
            track: context.track.id,
            number: context.number,
            start: open.start,
            duration: end.since(open.start).unwrap_or_default(),
            key: open.key,
            key_bytes: open.key_bytes,
            packets: open.packets,
            kid: open.kid,
            data: open.data,
        };
        Ok(Some((part, segment)))
    }
}
