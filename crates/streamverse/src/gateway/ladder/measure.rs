//! What a source is, by what comes of it: its size from a decoded picture, its rate and bits by counting.

use std::sync::Arc;
use std::time::Duration;

use sv_core::{Frame, Item, Packet, Ratio, Timestamp, Track, VideoInfo};
use sv_transcode::decode;

use crate::Result;

/// It is counted for so long, or a little less where a group of pictures ends.
const ENOUGH: Duration = Duration::from_secs(2);
const LEAST: Duration = Duration::from_secs(1);
/// Pictures that are enough in any case, and those of which a rate can be known at all.
const MOST: usize = 1024;
const FEWEST: usize = 8;
/// How many packets may go into a decoder before the first picture comes out.
const PATIENCE: usize = 64;

/// Rates that clocks of milliseconds blur.
const USUAL: [(u32, u32); 11] = [
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (100, 1),
    (120, 1),
];

/// Counts the packets of a track.
pub(super) struct Measure {
    track: Arc<Track>,
    packets: Vec<Packet>,
}

/// What was found out.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) info: VideoInfo,
    /// Bits a second.
    pub(super) bitrate: u64,
}

impl Measure {
    pub(super) const fn new(track: Arc<Track>) -> Self {
        Self { track, packets: Vec::new() }
    }

    pub(super) fn see(&mut self, item: &Item) {
        match item {
            // It is another one now: what was counted is not about it.
            Item::Track(track) if track.id == self.track.id && *track != self.track => {
                *self = Self::new(Arc::clone(track));
            }
            Item::Packet(packet)
                if packet.track == self.track.id
                    && self.packets.len() < MOST
                    && (packet.key || !self.packets.is_empty()) =>
            {
                self.packets.push(packet.clone());
            }
            _ => {}
        }
    }

    fn between(&self, from: &Packet, to: &Packet) -> Duration {
        to.dts.since(from.dts).map_or(Duration::ZERO, |d| d.to_std(self.track.time_base))
    }

    /// The packets to count, and the first behind them.
    fn counted(&self) -> Option<(&[Packet], &Packet)> {
        let first = self.packets.first()?;
        // Whole groups say most: a key picture has more bits than others.
        let group = |p: &&Packet| p.key && self.between(first, p) >= LEAST;
        let end = self.packets.iter().rposition(|p| group(&p)).or(self.packets.len().checked_sub(1))?;
        Some((self.packets.get(..end)?, self.packets.get(end)?))
    }

    pub(super) fn is_enough(&self) -> bool {
        let Some((first, last)) = self.packets.first().zip(self.packets.last()) else { return false };
        let span = self.between(first, last);
        span >= ENOUGH || (last.key && span >= LEAST) || self.packets.len() >= MOST
    }

    /// Nothing where too little has come.
    ///
    /// # Errors
    /// When it can't be decoded.
    pub(super) fn facts(&self) -> Result<Option<Facts>> {
        let Some((counted, behind)) = self.counted().filter(|(counted, _)| counted.len() >= FEWEST) else {
            return Ok(None);
        };
        let Some(first) = counted.first() else { return Ok(None) };
        let seconds = self.between(first, behind).as_secs_f64();
        if seconds <= 0.0 {
            return Ok(None);
        }
        let bytes: usize = counted.iter().map(|p| p.data.len()).sum();
        let Some(mut info) = self.picture()? else { return Ok(None) };
        info.frame_rate = rate(counted.len() as f64 / seconds);
        Ok(Some(Facts { info, bitrate: (bytes as f64 * 8.0 / seconds) as u64 }))
    }

    /// What the first picture is, decoded.
    fn picture(&self) -> Result<Option<VideoInfo>> {
        let Some(told) = self.track.video() else { return Ok(None) };
        let mut options = decode::Options::default();
        options.threads = 1;
        let mut decoder = decode::open(&self.track, &options)?;
        let mut seen = None;
        let mut look = |decoder: &mut sv_transcode::Stage| -> Result<bool> {
            while let Some(item) = decoder.pull()? {
                if let Item::Frame(_, Frame::Video(frame)) = item {
                    seen.get_or_insert(frame);
                }
            }
            Ok(seen.is_some())
        };
        for packet in self.packets.iter().take(PATIENCE) {
            let from_zero = Packet { pts: packet.pts.max(Timestamp::ZERO), ..packet.clone() };
            decoder.push(Item::Packet(from_zero))?;
            if look(&mut decoder)? {
                break;
            }
        }
        decoder.finish()?;
        look(&mut decoder)?;
        Ok(seen.map(|frame| VideoInfo {
            width: frame.width,
            height: frame.height,
            color: frame.color,
            hdr: frame.hdr,
            ..told.clone()
        }))
    }
}

fn rate(counted: f64) -> Option<Ratio> {
    let near = |(num, den): &(u32, u32)| (f64::from(*num) / f64::from(*den) / counted - 1.0).abs();
    let usual = USUAL.iter().min_by(|a, b| near(a).total_cmp(&near(b)))?;
    if near(usual) < 0.02 {
        return Ratio::new(usual.0, usual.1);
    }
    Ratio::new((counted * 100.0).round().clamp(1.0, 100_000.0) as u32, 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_the_usual_ones_where_they_are_near() {
        let told = |counted| rate(counted).map(|r| (r.num(), r.den()));
        assert_eq!(told(30.04), Some((30, 1)));
        assert_eq!(told(29.96), Some((30_000, 1001)));
        assert_eq!(told(12.5).map(|(n, d)| f64::from(n) / f64::from(d)), Some(12.5));
    }
}
