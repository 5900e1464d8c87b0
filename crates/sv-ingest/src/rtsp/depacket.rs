//! From payloads of RTP to frames.

use bytes::{Buf as _, Bytes, BytesMut};
use sv_codec::aac;
use sv_core::Codec;

use super::rtp::Packet;
use super::sdp::Coding;

/// Units of one packet at most.
const MOST_UNITS: usize = 512;

/// Collects the frames of one medium.
#[derive(Debug)]
pub(super) struct Depacketizer {
    coding: Coding,
    limit: usize,
    /// What has come of the frame: a byte stream of units, or a part of an access unit of AAC.
    frame: BytesMut,
    time: i64,
    /// A unit that comes in parts.
    part: Option<BytesMut>,
    /// Whether nothing has been missing since the last frame that was given.
    whole: bool,
    /// Whether what has come of the frame is all that there is of it.
    good: bool,
}

/// A frame, its time, and whether nothing is missing since the one before.
pub(super) type Frame = (Bytes, i64, bool);

impl Depacketizer {
    /// For a medium coded so, whose frames have so many bytes at most.
    pub(super) fn new(coding: Coding, limit: usize) -> Self {
        Self { coding, limit, frame: BytesMut::new(), time: 0, part: None, whole: true, good: true }
    }

    /// Takes a packet of that time; `whole` where nothing is missing before it.
    pub(super) fn push(&mut self, packet: &Packet, time: i64, whole: bool, give: &mut dyn FnMut(Frame)) {
        if !whole {
            // Both the frame that was being collected and the one that begins may lack something.
            (self.whole, self.good, self.part) = (false, false, None);
        }
        match &self.coding {
            Coding::Units { codec, ordered, .. } => {
                let (codec, ordered) = (*codec, *ordered);
                if time != self.time {
                    // The packet with the marker may be missing, or nobody sets markers.
                    self.finish(give);
                    self.time = time;
                    self.good |= whole;
                }
                self.units(codec, ordered, packet.payload.clone());
                if packet.marker {
                    self.finish(give);
                }
            }
            Coding::Aac { config, bits } => {
                let samples =
                    aac::Config::parse(config).map_or(1024, |config| i64::from(config.frame_samples));
                let bits = *bits;
                if self.access_units(bits, packet, time, samples, give).is_none() {
                    self.whole = false;
                }
            }
            Coding::Opus => {
                let whole = std::mem::replace(&mut self.whole, true);
                give((packet.payload.clone(), time, whole));
            }
            Coding::Other(_) => {}
        }
    }

    fn finish(&mut self, give: &mut dyn FnMut(Frame)) {
        self.part = None;
        let (frame, good) = (self.frame.split().freeze(), std::mem::replace(&mut self.good, true));
        if !frame.is_empty() && good {
            give((frame, self.time, std::mem::replace(&mut self.whole, true)));
        } else if !good {
            self.whole = false;
        }
    }

    fn unit(&mut self, unit: &[u8]) {
        if self.frame.len().saturating_add(unit.len()) > self.limit {
            self.good = false;
            return;
        }
        self.frame.extend_from_slice(&[0, 0, 0, 1]);
        self.frame.extend_from_slice(unit);
    }

    /// The units of a payload (RFC 6184, 5.6 to 5.8; RFC 7798, 4.4). Numbers of the order of decoding are left out.
    fn units(&mut self, codec: Codec, ordered: bool, mut payload: Bytes) {
        let header = if codec == Codec::H264 { 1usize } else { 2 };
        let (Some(first), true) = (payload.first().copied(), payload.len() > header) else { return };
        let kind = if codec == Codec::H264 { first & 0x1F } else { (first >> 1) & 0x3F };
        let skip = if ordered && codec == Codec::Hevc { 2usize } else { 0 };
        match (codec, kind) {
            // Several units, each behind its length.
            (Codec::H264, 24) | (Codec::Hevc, 48) => {
                payload.advance(header.saturating_add(skip).min(payload.len()));
                for n in 0..MOST_UNITS {
                    if n > 0 && skip > 0 && !payload.is_empty() {
                        payload.advance(1);
                    }
                    let Some([high, low]) = payload.first_chunk().copied() else { return };
                    let len = usize::from(u16::from_be_bytes([high, low]));
                    payload.advance(2);
                    let Some(unit) = payload.get(..len) else {
                        self.good = false;
                        return;
                    };
                    if !unit.is_empty() {
                        self.unit(unit);
                    }
                    payload.advance(len);
                }
            }
            // A part of one.
            (Codec::H264, 28) | (Codec::Hevc, 49) => {
                let Some(how) = payload.get(header).copied() else { return };
                let (begins, ends) = (how & 0x80 != 0, how & 0x40 != 0);
                let second = payload.get(1).copied().unwrap_or_default();
                payload.advance(header.saturating_add(1));
                payload.advance((if begins { skip } else { 0 }).min(payload.len()));
                if begins {
                    let mut part = BytesMut::new();
                    if codec == Codec::H264 {
                        part.extend_from_slice(&[(first & 0xE0) | (how & 0x1F)]);
                    } else {
                        part.extend_from_slice(&[(first & 0x81) | ((how & 0x3F) << 1), second]);
                    }
                    self.part = Some(part);
                }
                let Some(part) = &mut self.part else {
                    self.good = false;
                    return;
                };
                if part.len().saturating_add(payload.len()) > self.limit {
                    (self.part, self.good) = (None, false);
                    return;
                }
                part.extend_from_slice(&payload);
                if ends && let Some(part) = self.part.take() {
                    self.unit(&part);
                }
            }
            (Codec::H264, 25..=31 | 0) | (Codec::Hevc, 50..) => self.good = false,
            _ => {
                payload.advance(0);
                if skip > 0 {
                    let unit =
                        [payload.get(..2).unwrap_or_default(), payload.get(4..).unwrap_or_default()].concat();
                    self.unit(&unit);
                } else {
                    self.unit(&payload);
                }
            }
        }
    }

    /// The access units of a payload (RFC 3640, 3.2); nothing where it is broken.
    fn access_units(
        &mut self,
        [size, first, later]: [u8; 3],
        packet: &Packet,
        time: i64,
        samples: i64,
        give: &mut dyn FnMut(Frame),
    ) -> Option<()> {
        let mut payload = packet.payload.clone();
        let total = usize::from(u16::from_be_bytes(*payload.first_chunk::<2>()?));
        payload.advance(2);
        let headers = payload.get(..total.div_ceil(8))?.to_vec();
        payload.advance(headers.len());
        let (mut bits, mut at) = (sv_codec::BitReader::new("headers of access units", &headers), time);
        let mut left = total;
        for n in 0..MOST_UNITS {
            let index = if n == 0 { first } else { later };
            let each = usize::from(size).checked_add(usize::from(index))?;
            if each == 0 || left < each {
                break;
            }
            left = left.saturating_sub(each);
            let len = usize::try_from(bits.bits(size.into()).ok()?).ok()?;
            let _ = bits.bits(index.into()).ok()?;
            if len > self.limit {
                return None;
            }
            if len > payload.len() {
                // A part of one, whose length stands in each packet.
                self.frame.extend_from_slice(&payload);
                if !packet.marker && self.frame.len() < len {
                    return Some(());
                }
                let unit = self.frame.split().freeze();
                return (unit.len() == len)
                    .then(|| give((unit, at, std::mem::replace(&mut self.whole, true))));
            }
            self.frame.clear();
            give((payload.split_to(len), at, std::mem::replace(&mut self.whole, true)));
            at = at.saturating_add(samples);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8], marker: bool) -> Packet {
        Packet { kind: 96, marker, sequence: 0, time: 0, payload: Bytes::copy_from_slice(payload) }
    }

    fn h264() -> Depacketizer {
        Depacketizer::new(Coding::Units { codec: Codec::H264, sets: Vec::new(), ordered: false }, 1000)
    }

    #[test]
    fn units_alone_together_and_in_parts() {
        let (mut depacketizer, mut got) = (h264(), Vec::new());
        let mut push = |payload: &[u8], marker, time, whole| {
            depacketizer.push(&packet(payload, marker), time, whole, &mut |frame| got.push(frame));
        };
        push(&[24, 0, 2, 0x67, 1, 0, 2, 0x68, 2], false, 0, true);
        push(&[0x7C, 0x85, 3, 4], false, 0, true);
        push(&[0x7C, 0x45, 5], true, 0, true);
        push(&[0x41, 9, 9], true, 3000, true);
        // The middle of a unit is missing: the picture goes, and who comes next hears of it.
        push(&[0x7C, 0x81, 1], false, 6000, true);
        push(&[0x7C, 0x41, 2], true, 6000, false);
        push(&[0x41, 7], true, 9000, true);
        let first =
            [&[0, 0, 0, 1, 0x67, 1][..], &[0, 0, 0, 1, 0x68, 2], &[0, 0, 0, 1, 0x65, 3, 4, 5]].concat();
        let frames: Vec<(&[u8], i64, bool)> = got.iter().map(|(f, t, w)| (&f[..], *t, *w)).collect();
        assert_eq!(frames[0], (&first[..], 0, true));
        assert_eq!(frames[1], (&[0, 0, 0, 1, 0x41, 9, 9][..], 3000, true));
        assert_eq!(frames[2], (&[0, 0, 0, 1, 0x41, 7][..], 9000, false));
    }

    #[test]
    fn access_units_of_aac() {
        let config = Bytes::from_static(&[0x12, 0x10]);
        let mut depacketizer = Depacketizer::new(Coding::Aac { config, bits: [13, 3, 3] }, 1000);
        let mut got = Vec::new();
        let mut push = |payload: &[u8], marker| {
            depacketizer.push(&packet(payload, marker), 5000, true, &mut |frame| got.push(frame));
        };
        push(&[0, 32, 0, 2 << 3, 0, 1 << 3, 1, 2, 3], true);
        push(&[0, 16, 0, 4 << 3, 1, 2], false);
        push(&[0, 16, 0, 4 << 3, 3, 4], true);
        push(&[0, 16, 0], true);
        let got: Vec<(Vec<u8>, i64)> = got.into_iter().map(|(f, t, _)| (f.to_vec(), t)).collect();
        assert_eq!(got, [(vec![1, 2], 5000), (vec![3], 6024), (vec![1, 2, 3, 4], 5000)]);
    }
}
