//! `Cluster` (RFC 9559, 5.1.3): blocks of about a segment.

use bytes::Bytes;
use sv_codec::opus;
use sv_core::{Codec, Duration, Packet, TimeBase, Track};

use super::ebml::Elements;
use super::millis;
use crate::num::u64_of;
use crate::{Error, Result};

/// The number of the one track of a file.
const TRACK: u8 = 0x81;

/// Clusters of these packets, in order: one of them, unless it were longer than a block can count, which is 32 seconds.
/// The slices follow each other; payloads are not copied. The first ends with the first packet's payload in the second.
///
/// Presentation times are the container's: of Opus, they include the delay that the head tells.
///
/// # Errors
/// [`Error::InvalidInput`] when a packet is under another key than its track's, or has more encrypted parts than WebM can
/// say, which is 127.
pub fn cluster(track: &Track, packets: &[Packet]) -> Result<Vec<Bytes>> {
    let mut out = Vec::with_capacity(packets.len().saturating_mul(2));
    let mut rest = packets;
    while let Some(first) = rest.first() {
        let start = millis(track, first.pts);
        let near = |packet: &&Packet| millis(track, packet.pts).saturating_sub(start) <= MOST;
        let count = rest.iter().take_while(near).count().max(1);
        let (these, later) = rest.split_at(count.min(rest.len()));
        one(track, start, these, &mut out)?;
        rest = later;
    }
    Ok(out)
}

/// How far a block's time may be from its cluster's: 16 bits with a sign.
const MOST: u64 = 32_767;

/// What stands before a payload, which follows.
struct Block<'a> {
    head: Bytes,
    packet: &'a Packet,
    /// What stands behind it.
    tail: Bytes,
}

fn one(track: &Track, start: u64, packets: &[Packet], out: &mut Vec<Bytes>) -> Result<()> {
    let mut time = Elements::default();
    time.uint(0xE7, start);
    let mut blocks = Vec::with_capacity(packets.len());
    for (n, packet) in packets.iter().enumerate() {
        // A reader takes a block to last until the next one; the last has to say it.
        let last = n.saturating_add(1) == packets.len();
        blocks.push(block(track, start, packet, last)?);
    }
    let long = |bytes: &Bytes| u64_of(bytes.len());
    let size = blocks
        .iter()
        .map(|b| long(&b.head).saturating_add(long(&b.packet.data)).saturating_add(long(&b.tail)))
        .fold(u64_of(time.out.len()), u64::saturating_add);
    let mut w = Elements::default();
    w.id(0x1F43_B675);
    w.size(size);
    w.out.unsplit(time.out);
    let mut before = w.out;
    for Block { head, packet, tail } in blocks {
        before.extend_from_slice(&head);
        out.push(before.split().freeze());
        out.push(packet.data.clone());
        before.extend_from_slice(&tail);
    }
    if !before.is_empty() {
        out.push(before.freeze());
    }
    Ok(())
}

fn block<'a>(track: &Track, start: u64, packet: &'a Packet, last: bool) -> Result<Block<'a>> {
    let at = millis(track, packet.pts);
    let relative = i16::try_from(at.saturating_sub(start)).unwrap_or(i16::MAX);
    let head = |flags: u8| {
        let [high, low] = relative.to_be_bytes();
        [TRACK, high, low, flags]
    };
    let signal = match &track.protection {
        Some(_) => signal(packet).map_err(|problem| Error::InvalidInput { track: track.id.0, problem })?,
        None => Vec::new(),
    };
    let size = u64_of(packet.data.len()).saturating_add(u64_of(signal.len())).saturating_add(4);
    let mut w = Elements::default();
    let discard = discarded(track, packet);
    if !last && discard.is_none() {
        w.id(0xA3); // SimpleBlock
        w.size(size);
        w.out.extend_from_slice(&head(if packet.key { 0x80 } else { 0 }));
        w.out.extend_from_slice(&signal);
        return Ok(Block { head: w.out.freeze(), packet, tail: Bytes::new() });
    }
    let mut tail = Elements::default();
    let end = millis(track, packet.pts.saturating_add(packet.duration));
    if packet.duration > Duration::ZERO {
        tail.uint(0x9B, end.saturating_sub(at)); // BlockDuration
    }
    if !packet.key {
        // Which one it refers to is for the decoder to know; that it does is all that readers ask.
        tail.int(0xFB, -1); // ReferenceBlock
    }
    if let Some(nanos) = discard {
        tail.int(0x75A2, nanos); // DiscardPadding
    }
    let mut inner = Elements::default();
    inner.id(0xA1); // Block
    inner.size(size);
    inner.out.extend_from_slice(&head(0));
    inner.out.extend_from_slice(&signal);
    let whole = u64_of(inner.out.len()).saturating_add(u64_of(packet.data.len()));
    w.id(0xA0); // BlockGroup
    w.size(whole.saturating_add(u64_of(tail.out.len())));
    w.out.unsplit(inner.out);
    Ok(Block { head: w.out.freeze(), packet, tail: tail.out.freeze() })
}

/// What stands before the payload of a track that is encrypted
/// ([WebM Encryption, 4.7](https://www.webmproject.org/docs/webm-encryption/)): whether it is, its vector, and where
/// clear and encrypted parts take turns.
fn signal(packet: &Packet) -> Result<Vec<u8>, &'static str> {
    const ENCRYPTED: u8 = 1;
    const PARTITIONED: u8 = 2;
    let Some(sample) = &packet.protection else { return Ok(vec![0]) };
    if sample.key.is_some() {
        return Err("WebM has one key for a whole track");
    }
    let iv = sample.iv.get(..8).unwrap_or_default();
    if sample.subsamples.is_empty() {
        return Ok([&[ENCRYPTED], iv].concat());
    }
    // Runs of one kind that follow each other are one; the end of the last is that of the payload.
    let mut ends: Vec<u32> = vec![0];
    for subsample in sample.subsamples.iter() {
        for (encrypted, length) in [(false, u32::from(subsample.clear)), (true, subsample.protected)] {
            let at = ends.last().copied().unwrap_or(0);
            if length == 0 {
                continue;
            }
            // An odd number of ends is amid a clear run.
            if encrypted == (ends.len() % 2 == 1) {
                ends.push(at);
            }
            if let Some(end) = ends.last_mut() {
                *end = end.saturating_add(length);
            }
        }
    }
    ends.pop();
    let count = u8::try_from(ends.len()).map_err(|_| "it has more encrypted parts than WebM can say")?;
    if count == 0 {
        return Ok(vec![0]);
    }
    let places: Vec<u8> = ends.iter().flat_map(|end| end.to_be_bytes()).collect();
    Ok([&[ENCRYPTED | PARTITIONED], iv, &[count], &places].concat())
}

/// How much of a packet's end is not played, in nanoseconds: Opus is cut so where sound ends inside a packet.
fn discarded(track: &Track, packet: &Packet) -> Option<i64> {
    const RATE: u64 = 48_000;
    // An encrypted packet doesn't tell how long it is.
    if track.codec != Codec::Opus || packet.duration == Duration::ZERO || packet.protection.is_some() {
        return None;
    }
    let whole = u64::from(opus::samples(&packet.data)?);
    let whole = whole.checked_mul(1_000_000_000)?.checked_div(RATE)?;
    let played = packet.duration.rescale(track.time_base, TimeBase::NANOS).ticks();
    // Clocks of milliseconds round; nobody cuts off less than that.
    let cut = whole.checked_sub(played).filter(|cut| *cut > 1_000_000)?;
    i64::try_from(cut).ok()
}
