//! What comes with clocks of milliseconds, as packets that know how long they are shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sv_codec::{aac, ac3, flac, mpa, opus};
use sv_core::{Codec, Duration, Item, Packet, Stage, TimeBase, Timestamp, Track, TrackId};

use crate::{Error, Result};

/// What is taken for how long a picture is shown where nothing follows: a thirtieth of a second.
const GUESS: Duration = Duration::new(3000);
/// What follows later than this doesn't tell how long a picture is shown.
const LONGEST: u64 = 90_000;

/// Gives every packet its duration, for whoever writes files.
///
/// Pictures wait for the next one, whose time says how long they are shown. Sound is put on the clock of its samples
/// as long as the times that were told agree with it, to the length of a packet: clocks of milliseconds round each
/// of them, and a player would hear that.
#[derive(Debug, Default)]
pub struct Steady {
    lanes: BTreeMap<TrackId, Lane>,
    ready: VecDeque<Item>,
}

#[derive(Debug)]
struct Lane {
    /// The track as it comes.
    track: Arc<Track>,
    /// The clock of its samples, for sound whose packets say how many they have.
    base: Option<TimeBase>,
    counter: Counter,
    /// Where the next packet of sound should be.
    next: Option<Timestamp>,
    /// The picture that waits for the next one.
    held: Option<Packet>,
    last: Duration,
}

/// How many samples a packet has.
#[derive(Clone, Copy, Debug)]
enum Counter {
    Fixed(u32),
    Opus,
    Dolby,
    Layers,
    None,
}

impl Counter {
    fn new(track: &Track) -> (Self, Option<u32>) {
        let rate = track.audio().map(|audio| audio.sample_rate);
        match track.codec {
            Codec::Aac => match aac::Config::parse(&track.config) {
                Ok(config) => (Self::Fixed(config.frame_samples.into()), Some(config.core_rate)),
                Err(_) => (Self::None, None),
            },
            Codec::Opus => (Self::Opus, Some(48_000)),
            Codec::Ac3 | Codec::Eac3 => (Self::Dolby, rate),
            Codec::Mp3 => (Self::Layers, rate),
            // The last one may be shorter, and nothing follows it.
            Codec::Flac => match flac::StreamInfo::parse(&track.config) {
                Ok(info) => (Self::Fixed(info.max_block.into()), Some(info.sample_rate)),
                Err(_) => (Self::None, None),
            },
            _ => (Self::None, None),
        }
    }

    fn count(self, data: &[u8]) -> Option<u32> {
        match self {
            Self::Fixed(count) => Some(count),
            Self::Opus => opus::samples(data),
            Self::Dolby => ac3::Header::parse(data).ok().map(|h| h.samples),
            Self::Layers => mpa::Header::parse(data).ok().map(|h| h.samples),
            Self::None => None,
        }
        .filter(|count| *count > 0)
    }
}

impl Steady {
    /// Nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn track(&mut self, track: Arc<Track>) {
        self.flush(track.id);
        let (counter, rate) = Counter::new(&track);
        let base = rate.and_then(|rate| TimeBase::new(1, rate));
        let told = match base {
            Some(base) => Arc::new(Track { time_base: base, ..Track::clone(&track) }),
            None => Arc::clone(&track),
        };
        let lane = Lane { counter, base, next: None, held: None, last: GUESS, track };
        self.lanes.insert(lane.track.id, lane);
        self.ready.push_back(Item::Track(told));
    }

    fn packet(&mut self, mut packet: Packet) {
        let Some(lane) = self.lanes.get_mut(&packet.track) else { return };
        let from = lane.track.time_base;
        if let Some(base) = lane.base {
            let told = packet.dts.rescale(from, base);
            let count = lane.counter.count(&packet.data).unwrap_or(1024);
            let near = |next: &Timestamp| next.ticks().abs_diff(told.ticks()) <= u64::from(count);
            let at = lane.next.filter(near).unwrap_or(told);
            (packet.pts, packet.dts, packet.duration) = (at, at, Duration::new(count.into()));
            lane.next = Some(at.saturating_add(packet.duration));
            self.ready.push_back(Item::Packet(packet));
            return;
        }
        if let Some(mut held) = lane.held.take() {
            let step =
                packet.dts.since(held.dts).filter(|d| d.rescale(from, TimeBase::MPEG).ticks() <= LONGEST);
            lane.last = step.unwrap_or(lane.last);
            held.duration = lane.last;
            self.ready.push_back(Item::Packet(held));
        }
        lane.held = Some(packet);
    }

    /// What waits for the next one waits in vain.
    fn flush(&mut self, id: TrackId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && let Some(mut held) = lane.held.take()
        {
            held.duration = lane.last;
            self.ready.push_back(Item::Packet(held));
        }
    }
}

impl Stage for Steady {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Track(track) => self.track(track),
            Item::Packet(packet) => self.packet(packet),
            Item::End(id) => {
                self.flush(id);
                self.ready.push_back(Item::End(id));
            }
            other => self.ready.push_back(other),
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<()> {
        let ids: Vec<TrackId> = self.lanes.keys().copied().collect();
        ids.into_iter().for_each(|id| self.flush(id));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sv_core::{AudioInfo, Bytes, Media, VideoInfo};

    use super::*;

    fn track(codec: Codec, config: &'static [u8], media: Media) -> Item {
        Item::Track(Arc::new(Track {
            id: TrackId(1),
            codec,
            time_base: TimeBase::MPEG,
            config: Bytes::from_static(config),
            media,
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        }))
    }

    fn packet(millis: i64) -> Item {
        let at = Timestamp::new(millis * 90);
        let data = Bytes::from_static(b"x");
        Item::Packet(Packet {
            track: TrackId(1),
            pts: at,
            dts: at,
            duration: Duration::ZERO,
            key: true,
            data,
            protection: None,
        })
    }

    fn through(items: Vec<Item>) -> Vec<(i64, u64)> {
        let mut steady = Steady::new();
        items.into_iter().for_each(|item| steady.push(item).unwrap());
        steady.finish().unwrap();
        let all = std::iter::from_fn(|| steady.pull().unwrap());
        all.filter_map(|item| match item {
            Item::Packet(p) => Some((p.dts.ticks(), p.duration.ticks())),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn sound_goes_by_its_samples_until_it_jumps() {
        let audio = Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 });
        let aac = track(Codec::Aac, &[0x11, 0x90], audio);
        // 1024 samples are 21.33 ms.
        let packets = [0, 21, 43, 64, 1064, 1085].map(packet);
        let out = through([vec![aac], packets.to_vec()].concat());
        let times: Vec<i64> = out.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 1024, 2048, 3072, 51_072, 52_096]);
        assert!(out.iter().all(|(_, duration)| *duration == 1024));
    }

    #[test]
    fn pictures_are_shown_until_the_next() {
        let video = track(Codec::H264, &[], Media::Video(VideoInfo::new(16, 16)));
        let out = through([vec![video], [0, 33, 67, 60_000].map(packet).to_vec()].concat());
        let durations: Vec<u64> = out.iter().map(|(_, d)| *d).collect();
        assert_eq!(durations, [33 * 90, 34 * 90, 34 * 90, 34 * 90]);
    }
}
