//! From bodies to items.

use std::sync::Arc;

use bytes::Bytes;
use sv_codec::{ac3, av1, describe, opus, vp8, vp9};
use sv_core::{Codec, Duration, Item, Limits, Packet, TimeBase, Timestamp, Track, TrackId};

use super::tag::{Kind, Payload, parse};
use crate::{Error, Result};

/// Opus that begins without a header is taken for what it nearly always is.
const STEREO: opus::Config =
    opus::Config { channels: 2, pre_skip: 0, input_rate: 48_000, gain: 0, family: 0, mapping: Bytes::new() };

/// Makes tracks and packets of the bodies of tags.
///
/// Times are in MPEG's clock, as the tags say them: they may jump, and how long a packet is shown is not known (its
/// duration is 0). The n-th track of pictures, from 0, is number 2n+1, the n-th of sound 2n+2. A track is told when the
/// decoder's configuration is known, and again when it changes; packets before that are left out.
#[derive(Debug)]
pub struct Demuxer {
    limits: Limits,
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    id: TrackId,
    codec: Codec,
    /// What tags have said; empty where frames have to tell.
    config: Bytes,
    track: Option<Arc<Track>>,
}

impl Demuxer {
    /// Nothing is known yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, lanes: Vec::new() }
    }

    /// The tracks that are known.
    pub fn tracks(&self) -> impl Iterator<Item = &Arc<Track>> {
        self.lanes.iter().filter_map(|lane| lane.track.as_ref())
    }

    /// Takes the body of a tag of that time, in milliseconds, and gives what it holds.
    ///
    /// # Errors
    /// When the body breaks its specification, or has more tracks or larger pictures than the limits allow. What
    /// came before it is good, and so may be what comes next.
    pub fn push(&mut self, kind: Kind, millis: i64, body: &Bytes, mut give: impl FnMut(Item)) -> Result<()> {
        for message in parse(kind, body) {
            let message = message?;
            // What is neither may name another track's codec: FFmpeg does so.
            let (Some(codec), Payload::Config(_) | Payload::Frame { .. }) = (message.codec, &message.payload)
            else {
                continue;
            };
            let number = u32::from(message.track).saturating_mul(2);
            let id = TrackId(number.saturating_add(if kind == Kind::Video { 1 } else { 2 }));
            let limits = self.limits;
            let lane = self.lane(id, codec)?;
            match message.payload {
                Payload::Config(config) => lane.configure(config, None, &limits, &mut give)?,
                Payload::Frame { data, .. } if data.is_empty() => {}
                Payload::Frame { key, composition, mut data } => {
                    if codec == Codec::Av1 {
                        data = av1::without_delimiters(&data).map_err(Error::syntax(0))?;
                    }
                    lane.learn(key, &data, &limits, &mut give)?;
                    if lane.track.is_none() {
                        continue;
                    }
                    let fine = i64::from(message.nanos)
                        .saturating_mul(9)
                        .saturating_add(50_000)
                        .wrapping_div(100_000);
                    let dts = Timestamp::new(millis.saturating_mul(90).saturating_add(fine));
                    let pts = dts.offset(i64::from(composition).saturating_mul(90));
                    let duration = Duration::ZERO;
                    give(Item::Packet(Packet { track: id, pts, dts, duration, key, data, protection: None }));
                }
                Payload::End | Payload::Other => {}
            }
        }
        Ok(())
    }

    fn lane(&mut self, id: TrackId, codec: Codec) -> Result<&mut Lane> {
        let place = match self.lanes.iter().position(|lane| lane.id == id) {
            Some(place) => place,
            None if self.lanes.len() >= self.limits.tracks => {
                let limit = u64::try_from(self.limits.tracks).unwrap_or(u64::MAX);
                return Err(Error::LimitExceeded { what: "the number of tracks", offset: 0, limit });
            }
            None => {
                self.lanes.push(Lane { id, codec, config: Bytes::new(), track: None });
                self.lanes.len().saturating_sub(1)
            }
        };
        let lane = self.lanes.get_mut(place).ok_or(Error::NoTrack { track: id.0 })?;
        if lane.codec != codec {
            *lane = Lane { id, codec, config: Bytes::new(), track: None };
        }
        Ok(lane)
    }
}

impl Lane {
    /// A configuration has come, or was made of `packet`.
    fn configure(
        &mut self,
        config: Bytes,
        packet: Option<&[u8]>,
        limits: &Limits,
        give: &mut impl FnMut(Item),
    ) -> Result<()> {
        if self.track.is_some() && self.config == config {
            return Ok(());
        }
        self.config = config;
        let Some(media) = describe(self.codec, &self.config, packet) else {
            // A configuration that leaves the rest to the first packet.
            self.track = None;
            return Ok(());
        };
        crate::check_pixels(&media, limits, 0)?;
        let track = Arc::new(Track {
            id: self.id,
            codec: self.codec,
            time_base: TimeBase::MPEG,
            config: self.config.clone(),
            media,
            language: None,
            label: None,
            default: self.id.0 <= 2,
            duration: None,
            bitrate: None,
            protection: None,
        });
        self.track = Some(Arc::clone(&track));
        give(Item::Track(track));
        Ok(())
    }

    /// Streams that begin without a configuration have it in a frame.
    fn learn(&mut self, key: bool, data: &[u8], limits: &Limits, give: &mut impl FnMut(Item)) -> Result<()> {
        if self.track.is_some() || !key {
            return Ok(());
        }
        let config = match self.codec {
            _ if !self.config.is_empty() => Some(self.config.clone()),
            Codec::Av1 => av1::Config::from_packet(data).ok().map(|c| c.build()),
            Codec::Vp9 => vp9::Config::from_packet(data, 30).ok().map(|c| c.build()),
            Codec::Vp8 => vp8::Header::parse(data).ok().map(|h| h.config().build()),
            Codec::Ac3 => ac3::Header::parse(data).ok().map(|h| ac3::build_dac3(&h)),
            Codec::Eac3 => ac3::build_dec3(data).ok(),
            Codec::Mp3 => Some(Bytes::new()),
            Codec::Opus => Some(STEREO.build()),
            _ => None,
        };
        match config {
            Some(config) => self.configure(config, Some(data), limits, give),
            None => Ok(()),
        }
    }
}
