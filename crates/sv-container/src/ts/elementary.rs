//! One elementary stream: from the payloads of PES packets to the packets of a track.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sv_codec::{nal, sample_aes};
use sv_core::{
    Codec, Duration, Item, KeyId, Limits, Packet, Protection, SampleProtection, Scheme, TimeBase, Timestamp,
    Track, TrackId,
};

use super::frames;
use super::pes::Clock;
use super::psi::Stream;
use crate::byte_stream::{self, ParameterSets};
use crate::num::i64_of;

/// One elementary stream.
#[derive(Debug)]
pub(super) struct Elementary {
    limits: Limits,
    pub(super) codec: Codec,
    /// Whether samples are encrypted. What with, the stream doesn't say: the playlist does.
    pub(super) secret: bool,
    pub(super) language: Option<String>,
    pub(super) counter: Option<u8>,
    /// The payload of its last packet: one that comes twice counts once.
    pub(super) payload: Vec<u8>,
    /// Lets times go back where the stream's clock is set back.
    jumps: bool,
    /// The PES packet that is being collected.
    pub(super) pes: BytesMut,
    pub(super) collecting: bool,
    /// How long it will be, once its header has come: without end where that isn't told.
    pub(super) until: Option<usize>,
    pub(super) clock: Option<Clock>,
    pub(super) track: Option<Arc<Track>>,
    /// Video: sets, and the access unit whose duration the next one tells.
    sets: ParameterSets,
    pub(super) pending: Option<Packet>,
    duration: Duration,
    /// Audio: bytes of a frame that is not whole.
    pub(super) rest: BytesMut,
    /// Time stamps, and from which byte of `rest` on a frame must begin for each.
    pub(super) stamps: VecDeque<(usize, i64)>,
    /// The last time stamp, and samples since then, so that rounding does not add up.
    since: Option<i64>,
    samples: u64,
    /// When the last frame was decoded: broken streams go back, packets never do.
    last: Timestamp,
}

/// Whether a stream's samples are encrypted as HLS does it.
pub(super) const fn is_secret(stream: &Stream) -> bool {
    matches!(stream.kind, 0xC1 | 0xC2 | 0xCF | 0xDB)
}

/// Which codec a stream is of, or what else it holds.
pub(super) fn codec_of(stream: &Stream) -> Result<Codec, String> {
    let registered = |id: &[u8; 4]| stream.registration.as_ref() == Some(id);
    match stream.kind {
        0xDB => Ok(Codec::H264),
        0xCF => Ok(Codec::Aac),
        0xC1 => Ok(Codec::Ac3),
        0xC2 => Ok(Codec::Eac3),
        0x1B => Ok(Codec::H264),
        0x24 => Ok(Codec::Hevc),
        0x03 | 0x04 => Ok(Codec::Mp3),
        0x0F => Ok(Codec::Aac),
        0x81 => Ok(Codec::Ac3),
        0x84 | 0x87 => Ok(Codec::Eac3),
        0x06 if stream.tags.contains(&0x6A) || registered(b"AC-3") => Ok(Codec::Ac3),
        0x06 if stream.tags.contains(&0x7A) || registered(b"EAC3") => Ok(Codec::Eac3),
        0x06 if registered(b"HEVC") => Ok(Codec::Hevc),
        0x01 | 0x02 => Err("it is MPEG-2 video, which the FFmpeg backend reads".into()),
        0x11 => Err("it is AAC in LATM, which the FFmpeg backend reads".into()),
        0x15 => Err("it is timed metadata".into()),
        kind => Err(format!("its stream type is {kind:#04x}")),
    }
}

impl Elementary {
    pub(super) fn new(
        codec: Codec,
        secret: bool,
        language: Option<String>,
        limits: Limits,
        jumps: bool,
    ) -> Self {
        Self {
            limits,
            codec,
            secret,
            language,
            counter: None,
            payload: Vec::new(),
            jumps,
            pes: BytesMut::new(),
            collecting: false,
            until: None,
            clock: None,
            track: None,
            sets: ParameterSets::default(),
            pending: None,
            duration: Duration::ZERO,
            rest: BytesMut::new(),
            stamps: VecDeque::new(),
            since: None,
            samples: 0,
            last: Timestamp::new(i64::MIN),
        }
    }

    /// Announces the track when its configuration is new.
    fn configure(&mut self, pid: u16, config: Bytes, first: &[u8], out: &mut VecDeque<Item>) {
        // The bit rate in front of `dec3` is that of one frame: it says nothing about the track.
        let lasting =
            |config: &Bytes| config.slice(if self.codec == Codec::Eac3 { 2.min(config.len()) } else { 0 }..);
        if self.track.as_ref().is_some_and(|track| lasting(&track.config) == lasting(&config)) {
            return;
        }
        let Some(media) = sv_codec::describe(self.codec, &config, Some(first)) else {
            return;
        };
        if crate::check_pixels(&media, &self.limits, 0).is_err() {
            return;
        }
        let track = Arc::new(Track {
            id: TrackId(u32::from(pid)),
            codec: self.codec,
            time_base: TimeBase::MPEG,
            config,
            media,
            language: self.language.clone(),
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: self.secret.then(|| Protection {
                scheme: Scheme::SampleAes,
                default_kid: KeyId([0; 16]),
                pattern: if self.codec == Codec::H264 { (1, 9) } else { (0, 0) },
                iv_size: 0,
                constant_iv: None,
                pssh: Vec::new(),
                clear_lead: false,
            }),
        });
        self.track = Some(Arc::clone(&track));
        out.push_back(Item::Track(track));
    }

    /// Which parts of a sample are encrypted.
    fn protection(&self, data: &[u8]) -> Option<SampleProtection> {
        let subsamples = sample_aes::subsamples(self.codec, 4, data).ok().filter(|_| self.secret)?;
        Some(SampleProtection { subsamples: subsamples.into(), ..SampleProtection::default() })
    }

    /// Pictures of one PES packet with its presentation and decoding time; one without goes on
    /// with the picture before.
    pub(super) fn pictures(
        &mut self,
        pid: u16,
        payload: &Bytes,
        times: Option<(i64, i64)>,
        out: &mut VecDeque<Item>,
    ) {
        for (index, picture) in byte_stream::pictures(self.codec, payload).into_iter().enumerate() {
            let units = nal::annex_b(picture).map(|unit| unit.data);
            let Some(unit) = self.sets.convert(self.codec, units, self.secret) else {
                continue;
            };
            let (pts, dts) = match (times, &mut self.pending) {
                (Some(times), _) if index == 0 => times,
                (None, Some(pending)) if index == 0 => {
                    let mut data = BytesMut::from(&*pending.data);
                    data.extend_from_slice(&unit.data);
                    pending.data = data.freeze();
                    continue;
                }
                (_, Some(pending)) => {
                    let step = i64_of(self.duration.ticks());
                    (pending.pts.ticks().saturating_add(step), pending.dts.ticks().saturating_add(step))
                }
                (_, None) => continue,
            };
            let mut dts = Timestamp::new(dts);
            if let Some(pending) = self.pending.take() {
                dts = self.onwards(dts, pending.dts);
                self.emit(pending, Some(dts), out);
            }
            if let Some(config) = unit.config {
                self.configure(pid, config, &unit.data, out);
            }
            self.pending = Some(Packet {
                track: TrackId(u32::from(pid)),
                pts: Timestamp::new(pts),
                dts,
                duration: Duration::ZERO,
                key: unit.key,
                data: unit.data,
                protection: None,
            });
        }
    }

    /// A time that is not before `last`: a little back is a fault of the stream, far back is another clock.
    fn onwards(&self, at: Timestamp, last: Timestamp) -> Timestamp {
        const FAR: Duration = Duration::new(90_000);
        let set_back = self.jumps && last.since(at).is_some_and(|back| back > FAR) && last.ticks() > i64::MIN;
        if set_back { at } else { at.max(last) }
    }

    /// Gives a picture, which lasts until `next` is decoded.
    pub(super) fn emit(&mut self, mut packet: Packet, next: Option<Timestamp>, out: &mut VecDeque<Item>) {
        // A longer step is a jump of the clock, not a picture.
        const LONGEST: Duration = Duration::new(10 * 90_000);
        let length = next.and_then(|next| next.since(packet.dts));
        packet.duration = length.filter(|l| *l <= LONGEST && *l > Duration::ZERO).unwrap_or(self.duration);
        self.duration = packet.duration;
        packet.protection = self.protection(&packet.data);
        // Before the first parameter sets, nothing can be decoded.
        if self.track.is_some() {
            out.push_back(Item::Packet(packet));
        }
    }

    /// Frames of sound, as far as they are whole; `last` when no more bytes come.
    pub(super) fn frames(&mut self, pid: u16, last: bool, out: &mut VecDeque<Item>) {
        if self.rest.is_empty() {
            return;
        }
        let data = self.rest.split().freeze();
        let mut pos = 0usize;
        while let Some(rest) = data.get(pos..).filter(|rest| !rest.is_empty()) {
            let frame = match frames::frame(self.codec, rest, last) {
                Ok(frame) if frame.len > frame.header => frame,
                Err(true) => break,
                _ => {
                    pos = pos.saturating_add(1);
                    continue;
                }
            };
            while let Some((_, pts)) = self.stamps.front().copied().filter(|(from, _)| *from <= pos) {
                (self.since, self.samples) = (Some(pts), 0);
                self.stamps.pop_front();
            }
            let ticks = |samples: u64| {
                let ticks = samples.saturating_mul(90_000).saturating_add(u64::from(frame.rate / 2));
                i64_of(ticks.checked_div(u64::from(frame.rate)).unwrap_or(0))
            };
            let end = self.samples.saturating_add(u64::from(frame.samples));
            let payload = data.slice(pos.saturating_add(frame.header)..pos.saturating_add(frame.len));
            self.configure(pid, frame.config, &payload, out);
            if let (Some(since), Some(_)) = (self.since, &self.track) {
                let (begin, end) = (ticks(self.samples), ticks(end));
                let at = self.onwards(Timestamp::new(since.saturating_add(begin)), self.last);
                self.last = at;
                out.push_back(Item::Packet(Packet {
                    track: TrackId(u32::from(pid)),
                    pts: at,
                    dts: at,
                    duration: Duration::new(end.saturating_sub(begin).unsigned_abs()),
                    key: true,
                    protection: self.protection(&payload),
                    data: payload,
                }));
            }
            self.samples = end;
            pos = pos.saturating_add(frame.len);
        }
        let kept = data.get(pos.min(data.len())..).unwrap_or_default();
        self.rest.extend_from_slice(kept);
        for (from, _) in &mut self.stamps {
            *from = from.saturating_sub(pos);
        }
    }
}
