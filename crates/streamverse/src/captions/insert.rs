//! Captions put back into pictures that were encoded anew, whatever encoded them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sv_codec::captions::{self, Triplet};
use sv_core::{Codec, Item, Packet, Stage, TimeBase, Timestamp, Track};

use crate::{Error, Result};

/// Clocks of different ticks round: what is so little before a picture belongs to it. In nanoseconds.
const SLACK: i64 = 500_000;

/// The captions of a film's pictures, in the order in which they are shown.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// When a picture is shown, in nanoseconds, and which triplet is its first.
    moments: Vec<(Timestamp, usize)>,
    triplets: Vec<Triplet>,
}

impl Data {
    /// Adds those of the next picture.
    pub(super) fn add(&mut self, at: Timestamp, triplets: &[Triplet]) {
        self.moments.push((at, self.triplets.len()));
        self.triplets.extend_from_slice(triplets);
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        self.moments.len() * 16 + self.triplets.len() * 3
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.triplets.is_empty()
    }

    /// Those of pictures from one moment up to another.
    fn between(&self, from: Timestamp, until: Timestamp) -> &[Triplet] {
        let first = |bound: Timestamp| {
            let bound = bound.offset(-SLACK);
            let place = self.moments.partition_point(|(at, _)| *at < bound);
            self.moments.get(place).map_or(self.triplets.len(), |(_, first)| *first)
        };
        self.triplets.get(first(from)..first(until)).unwrap_or_default()
    }
}

/// Gives each coded picture the captions from when it is shown until the next one is: at another frame rate, pictures
/// have those of several, or none. What a picture gets depends on its group of pictures alone, so it is the same
/// wherever a run began and whoever encoded it. Groups are closed, as encoders here are told to make them, and held until
/// the next one begins.
pub(crate) struct Insert {
    data: Arc<Data>,
    codec: Option<Codec>,
    length_size: u8,
    base: TimeBase,
    /// From when on the group's first picture has captions.
    from: Timestamp,
    group: Vec<Packet>,
    /// A description that holds from the next group on.
    next: Option<Arc<Track>>,
    ready: VecDeque<Item>,
}

impl Insert {
    /// For pictures from the film's beginning on, or from later.
    pub(crate) fn new(data: Arc<Data>, later: bool) -> Self {
        Self {
            data,
            codec: None,
            length_size: 4,
            base: TimeBase::NANOS,
            from: Timestamp::new(if later { i64::MAX } else { i64::MIN }),
            group: Vec::new(),
            next: None,
            ready: VecDeque::new(),
        }
    }

    /// Lets the group go, whose last picture is shown until a moment.
    fn release(&mut self, until: Timestamp) {
        let nanos = |packet: &Packet| packet.pts.rescale(self.base, TimeBase::NANOS);
        let mut shown: Vec<Timestamp> = self.group.iter().map(nanos).collect();
        shown.sort_unstable();
        let ends = shown.iter().skip(1).copied().chain([until]);
        let ends: BTreeMap<Timestamp, Timestamp> = shown.iter().copied().zip(ends).collect();
        let first = shown.first().copied();
        for mut packet in std::mem::take(&mut self.group) {
            let at = packet.pts.rescale(self.base, TimeBase::NANOS);
            let from = if Some(at) == first { self.from.min(at) } else { at };
            let until = ends.get(&at).copied().unwrap_or(at);
            let captions = self.data.between(from, until);
            if let (false, Some(codec)) = (captions.is_empty(), self.codec)
                && let Some(data) = captions::insert(codec, &packet.data, self.length_size, captions)
            {
                packet.data = data;
            }
            self.ready.push_back(Item::Packet(packet));
        }
        if first.is_some() {
            self.from = until;
        }
        self.describe();
    }

    fn describe(&mut self) {
        if let Some(track) = self.next.take() {
            (self.codec, self.base) = (Some(track.codec), track.time_base);
            self.length_size = super::length_size(&track);
            self.ready.push_back(Item::Track(track));
        }
    }
}

impl Stage for Insert {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Packet(packet) => {
                if packet.key {
                    self.release(packet.pts.rescale(self.base, TimeBase::NANOS));
                }
                self.group.push(packet);
            }
            Item::Track(track) => {
                self.next = Some(track);
                if self.group.is_empty() {
                    self.describe();
                }
            }
            item => {
                if matches!(item, Item::End(_)) {
                    self.release(Timestamp::new(i64::MAX));
                }
                self.ready.push_back(item);
            }
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<()> {
        self.release(Timestamp::new(i64::MAX));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sv_core::{Duration, TrackId};

    /// Sixty pictures of two triplets each, one second.
    fn data() -> (Arc<Data>, Vec<Triplet>) {
        let mut data = Data::default();
        for n in 0..60i64 {
            let triplets = [0xFC, 0xFD].map(|kind| Triplet([kind, n as u8 | 0x80, 0x80]));
            data.add(Timestamp::new(n * 1_000_000_000 / 60), &triplets);
        }
        let all = data.triplets.clone();
        (Arc::new(data), all)
    }

    fn track() -> Item {
        Item::Track(Arc::new(Track {
            id: TrackId(1),
            codec: Codec::H264,
            time_base: TimeBase::MPEG,
            config: Bytes::from_static(&[1, 0x64, 0, 30, 0xFF]),
            media: sv_core::Media::Video(sv_core::VideoInfo::new(16, 16)),
            language: None,
            label: None,
            default: false,
            duration: None,
            bitrate: None,
            protection: None,
        }))
    }

    /// What pictures of so many a second have, from one on, in groups of six whose last two are decoded in another order.
    fn given(rate: i64, from: i64) -> Vec<(i64, Vec<Triplet>)> {
        let mut insert = Insert::new(data().0, from > 0);
        insert.push(track()).unwrap();
        let order = (from..rate).map(|n| match n % 6 {
            4 if n + 1 < rate => n + 1,
            5 => n - 1,
            _ => n,
        });
        let mut out = Vec::new();
        for (place, n) in order.enumerate() {
            insert
                .push(Item::Packet(Packet {
                    track: TrackId(1),
                    pts: Timestamp::new(n * 90_000 / rate),
                    dts: Timestamp::new((from + place as i64) * 90_000 / rate),
                    duration: Duration::new(90_000 / rate as u64),
                    key: n % 6 == 0,
                    data: Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]),
                    protection: None,
                }))
                .unwrap();
        }
        insert.finish().unwrap();
        while let Some(item) = insert.pull().unwrap() {
            if let Item::Packet(packet) = item {
                out.push((packet.pts.ticks(), captions::of_packet(Codec::H264, &packet.data, 4)));
            }
        }
        out.sort_by_key(|(at, _)| *at);
        out
    }

    #[test]
    fn none_is_lost_or_doubled_at_any_rate_of_pictures() {
        let (_, all) = data();
        for rate in [6, 24, 25, 30, 50, 60, 120] {
            let given = given(rate, 0);
            assert_eq!(given.iter().flat_map(|(_, t)| t.clone()).collect::<Vec<_>>(), all, "{rate}");
        }
        assert!(given(60, 0).iter().all(|(_, t)| t.len() == 2));
        assert!(given(30, 0).iter().all(|(_, t)| t.len() == 4));
        assert!(given(24, 0).iter().all(|(_, t)| t.len() == 4 || t.len() == 6));
    }

    #[test]
    fn where_a_run_began_makes_no_difference() {
        for rate in [24, 30, 60] {
            let whole = given(rate, 0);
            assert_eq!(given(rate, 12), whole[12..], "{rate}");
        }
    }
}
