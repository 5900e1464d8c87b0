//! Opus by libopus, mono and stereo.

use std::collections::VecDeque;

use bytes::Bytes;
use opus::{Application, Bitrate, Channels};
use sv_core::{AudioFrame, Codec, Duration, Frame, Packet, Timestamp, Track, TrackId};

use crate::Error;
use crate::backend::{Decode, EncodeAudio};

/// Opus counts in 48 kHz whatever went in.
const RATE: u32 = 48_000;
/// 20 ms, what everybody uses.
const FRAME: usize = 960;
/// 120 ms, the longest packet there is.
const LONGEST: usize = 5760;
/// The largest packet of one stream (RFC 6716, 3.2).
const LARGEST: usize = 1275 * 3 + 7;

fn library(error: &opus::Error) -> Error {
    Error::Library { library: "opus", reason: error.to_string() }
}

fn channels_of(count: u16) -> Result<Channels, Error> {
    match count {
        1 => Ok(Channels::Mono),
        2 => Ok(Channels::Stereo),
        _ => Err(Error::Incapable {
            what: format!("the built-in Opus codec has no layout for {count} channels"),
            hint: super::HINT.into(),
        }),
    }
}

pub(super) struct Decoder {
    decoder: opus::Decoder,
    channels: u16,
    ready: VecDeque<AudioFrame>,
}

impl Decoder {
    pub(super) fn open(track: &Track) -> Result<Self, Error> {
        // The body of `dOps` has the number of channels in its second byte.
        let info = track.audio().map_or(2, |a| a.channels);
        let channels = track.config.get(1).map_or(info, |c| u16::from(*c));
        let decoder = opus::Decoder::new(RATE, channels_of(channels)?).map_err(|error| library(&error))?;
        Ok(Self { decoder, channels, ready: VecDeque::new() })
    }
}

impl Decode for Decoder {
    fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        let mut samples = vec![0f32; LONGEST * usize::from(self.channels)];
        let count = self
            .decoder
            .decode_float(&packet.data, &mut samples, false)
            .map_err(|error| Error::Damaged { codec: Codec::Opus, reason: error.to_string() })?;
        samples.truncate(count * usize::from(self.channels));
        self.ready.push_back(AudioFrame {
            pts: packet.pts,
            sample_rate: RATE,
            channels: self.channels,
            samples: samples.into(),
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Frame>, Error> {
        Ok(self.ready.pop_front().map(Frame::Audio))
    }
}

pub(super) struct Encoder {
    encoder: opus::Encoder,
    channels: u16,
    delay: u32,
    buffer: Vec<f32>,
    taken: i64,
    given: i64,
    ready: VecDeque<Packet>,
}

impl Encoder {
    pub(super) fn open(bitrate: u64, sample_rate: u32, channels: u16) -> Result<Self, Error> {
        if sample_rate != RATE {
            return Err(Error::Invalid("Opus is encoded at 48000 samples a second".into()));
        }
        let mut encoder = opus::Encoder::new(RATE, channels_of(channels)?, Application::Audio)
            .map_err(|error| library(&error))?;
        let bits = i32::try_from(bitrate).unwrap_or(i32::MAX).clamp(6000, 510_000);
        encoder.set_bitrate(Bitrate::Bits(bits)).map_err(|error| library(&error))?;
        let delay = encoder.get_lookahead().map_err(|error| library(&error))?;
        let delay = u32::try_from(delay).unwrap_or(312);
        Ok(Self { encoder, channels, delay, buffer: Vec::new(), taken: 0, given: 0, ready: VecDeque::new() })
    }

    /// Encodes all whole frames in the buffer. Packets end with the sound, `end` samples in.
    fn run(&mut self, end: Option<i64>) -> Result<(), Error> {
        let size = FRAME * usize::from(self.channels);
        while self.buffer.len() >= size {
            let rest = self.buffer.split_off(size);
            let frame = std::mem::replace(&mut self.buffer, rest);
            let data = self.encoder.encode_vec_float(&frame, LARGEST).map_err(|error| library(&error))?;
            let length = end.map_or(FRAME as i64, |end| (end - self.given).clamp(0, FRAME as i64));
            let pts = Timestamp::new(self.given - i64::from(self.delay));
            self.given += length;
            if length == 0 {
                break;
            }
            self.ready.push_back(Packet {
                track: TrackId(0),
                pts,
                dts: pts,
                duration: Duration::new(length.unsigned_abs()),
                key: true,
                data: data.into(),
                protection: None,
            });
        }
        Ok(())
    }
}

impl EncodeAudio for Encoder {
    /// The body of `dOps`: version, channels, delay, rate, gain, mapping.
    fn config(&self) -> Bytes {
        let channels = u8::try_from(self.channels).unwrap_or(2);
        let mut out = vec![0, channels];
        out.extend_from_slice(&u16::try_from(self.delay).unwrap_or(312).to_be_bytes());
        out.extend_from_slice(&RATE.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0]);
        out.into()
    }

    fn delay(&self) -> u32 {
        self.delay
    }

    fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.taken += (samples.len() / usize::from(self.channels)) as i64;
        self.buffer.extend_from_slice(samples);
        self.run(None)
    }

    fn finish(&mut self) -> Result<(), Error> {
        let end = self.taken + i64::from(self.delay);
        // Silence pushes out what the encoder holds back.
        let missing = usize::try_from(end - self.given).unwrap_or(0).next_multiple_of(FRAME);
        self.buffer.resize(missing * usize::from(self.channels), 0.0);
        self.run(Some(end))
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        Ok(self.ready.pop_front().map(|packet| Packet { track: id, ..packet }))
    }
}
