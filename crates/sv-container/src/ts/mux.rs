//! Writes transport streams: one program, in pieces that each can be played from their beginning.

use bytes::{BufMut, Bytes, BytesMut};
use sv_codec::{aac, ac3, h264, hevc, nal, sample_aes};
use sv_core::{Codec, Packet, Scheme, TimeBase, Timestamp, Track};

use super::psi;
use crate::{Error, Result};

const PACKET: usize = 188;
const PAYLOAD: usize = PACKET - 4;
const PMT: u16 = 0x1000;
const FIRST: u16 = 0x100;
/// Ticks of the system clock's 90 kHz.
const CLOCK: TimeBase = TimeBase::MPEG;
/// How long before its decoding a picture's first byte arrives.
const AHEAD: u64 = 63_000;
/// Frames of sound share a PES packet up to this size, so that headers don't weigh more than they.
const GROUP: usize = 2800;

/// What presentation time 0 is in a stream, in ticks of 90 kHz: ten seconds, so that what is decoded before
/// it is shown never has a negative time.
pub const ORIGIN: u64 = 900_000;

/// Writes the packets of some tracks as pieces of one transport stream (ISO/IEC 13818-1, 2.4).
///
/// Each piece begins with the tables that players need, and counters go on from piece to piece. A piece has one
/// packet for each of the two tables, so a writer that goes on after others' work can tell all counters from how
/// many bytes there are: see [`resume`](Self::resume).
#[derive(Clone, Debug)]
pub struct Muxer {
    streams: Vec<Stream>,
    tables: [Bytes; 2],
    table_counter: u8,
    /// Whether a piece ends where the counters begin again.
    alone: bool,
    /// Whether pictures say how long they are.
    bounded: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    track: Track,
    pid: u16,
    stream_id: u8,
    form: Form,
    counter: u8,
}

/// How samples become access units of a byte stream.
#[derive(Clone, Debug)]
enum Form {
    /// NAL units behind start codes: bytes of a length, the parameter sets, and the delimiter that
    /// [HLS](https://www.rfc-editor.org/rfc/rfc8216#section-3.2)'s players want in front.
    Units { length_size: u8, sets: Vec<Bytes>, delimiter: &'static [u8] },
    /// AAC frames, each behind a header.
    Adts(aac::Config),
    /// As they are.
    Plain,
}

impl Muxer {
    /// Whether tracks of this codec have a place in a transport stream here.
    #[must_use]
    pub const fn supports(codec: Codec) -> bool {
        matches!(codec, Codec::H264 | Codec::Hevc | Codec::Aac | Codec::Ac3 | Codec::Eac3 | Codec::Mp3)
    }

    /// A stream of these tracks; the first with pictures, or else the first, carries the clock. Tracks may be encrypted
    /// by [`Scheme::SampleAes`]; those that will be by [`Scheme::Aes128`] are written as clear.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other codecs and for tracks that are encrypted otherwise, [`Error::Syntax`] for a track whose
    /// configuration is broken.
    pub fn new(tracks: &[&Track]) -> Result<Self> {
        let mut streams = Vec::new();
        for track in tracks {
            let pid = FIRST.saturating_add(u16::try_from(streams.len()).unwrap_or(u16::MAX));
            streams.push(Stream::new(track, pid)?);
        }
        let clock =
            streams.iter().find(|s| s.track.video().is_some()).or(streams.first()).map_or(FIRST, |s| s.pid);
        // Of a piece that is clear, and of one that is encrypted.
        let entries = |secret| streams.iter().map(|s| s.entry(secret)).collect::<Vec<_>>();
        let tables = [false, true].map(|secret| psi::build(PMT, clock, &entries(secret), u8::from(secret)));
        if streams.is_empty() || streams.len() > 16 || tables.iter().any(|t| t.len() != 2 * PACKET) {
            let what = format!("a transport stream of {} tracks", streams.len());
            return Err(Error::Unsupported { what, hint: "it has between one and sixteen" });
        }
        Ok(Self { streams, tables, table_counter: 0, alone: false, bounded: false })
    }

    /// Goes on behind `pieces` pieces of `bytes` bytes together, of a stream with one track.
    #[must_use]
    pub fn resume(mut self, pieces: u64, bytes: u64) -> Self {
        let low = |n: u64| u8::try_from(n & 15).unwrap_or(0);
        self.table_counter = low(pieces);
        let packets = bytes.checked_div(188).unwrap_or(0).saturating_sub(pieces.saturating_mul(2));
        for stream in &mut self.streams {
            stream.counter = low(packets);
        }
        self
    }

    /// For piece `number` of a stream with one track that others write the rest of, knowing nothing of each other:
    /// every piece begins with the same counters and ends where they begin again, because its last access unit
    /// is spread over as many packets as that takes, 15 more at most.
    #[must_use]
    pub fn alone(mut self, number: u64) -> Self {
        self.table_counter = u8::try_from(number & 15).unwrap_or(0);
        self.alone = true;
        self
    }

    /// Pictures say how long they are where that can be said, so that who receives them live needn't wait for the next one.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.bounded = true;
        self
    }

    /// The next piece: these packets, in the order in which they shall arrive. Gives it and how many of its bytes
    /// end with the first packet.
    ///
    /// # Errors
    /// [`Error::NoTrack`] for a packet of another track, [`Error::Syntax`] for a broken one.
    pub fn piece(&mut self, packets: &[Packet]) -> Result<(Bytes, usize)> {
        let mut out = room(packets);
        let [clear, secret] = &self.tables;
        out.put_slice(if packets.iter().any(|p| p.protection.is_some()) { secret } else { clear });
        for at in [3, PACKET.saturating_add(3)] {
            if let Some(byte) = out.get_mut(at) {
                *byte = (*byte & 0xF0) | self.table_counter;
            }
        }
        self.table_counter = self.table_counter.wrapping_add(1) & 15;
        let first = self.packets(packets, &mut out)?;
        Ok((out.freeze(), first))
    }

    /// What follows a piece without tables, for a stream that goes on and is told its tables now and then.
    ///
    /// # Errors
    /// As [`piece`](Self::piece).
    pub fn more(&mut self, packets: &[Packet]) -> Result<Bytes> {
        let mut out = room(packets);
        self.packets(packets, &mut out)?;
        Ok(out.freeze())
    }

    fn packets(&mut self, packets: &[Packet], out: &mut BytesMut) -> Result<usize> {
        let clock = self.streams.iter().position(|s| s.track.video().is_some()).unwrap_or(0);
        let mut rest = packets;
        let mut first = None;
        while let Some(packet) = rest.first() {
            let missing = Error::NoTrack { track: packet.track.0 };
            let index = self.streams.iter().position(|s| s.track.id == packet.track).ok_or(missing)?;
            let Some(stream) = self.streams.get_mut(index) else { break };
            let group = stream.group(rest);
            let (now, later) = rest.split_at_checked(group).unwrap_or((rest, &[]));
            rest = later;
            let last = self.alone && rest.is_empty();
            stream.write(now, index == clock, last, self.bounded, out)?;
            first.get_or_insert(out.len());
        }
        Ok(first.unwrap_or(0))
    }
}

/// Room for the packets and what stands around them.
fn room(packets: &[Packet]) -> BytesMut {
    let size = packets.iter().map(|p| p.data.len()).fold(4 * PACKET, usize::saturating_add);
    BytesMut::with_capacity(size.saturating_add(size / 8))
}

impl Stream {
    pub(super) fn new(track: &Track, pid: u16) -> Result<Self> {
        let unsupported =
            |what: String| Error::Unsupported { what, hint: "CMAF segments have a place for it" };
        match track.protection.as_ref().map(|protection| protection.scheme) {
            None | Some(Scheme::Aes128) => {}
            Some(Scheme::SampleAes) if sample_aes::supports(track.codec) => {}
            Some(scheme) => {
                let what = format!("{} of {} in a transport stream", scheme.as_str(), track.codec);
                return Err(unsupported(what));
            }
        }
        let (stream_id, form) = match track.codec {
            Codec::H264 => {
                let config = h264::Config::parse(&track.config).map_err(Error::syntax(0))?;
                let sets = config.sps.iter().chain(&config.pps).cloned().collect();
                // Any kind of slice may follow.
                (0xE0, Form::Units { length_size: config.length_size, sets, delimiter: &[0x09, 0xF0] })
            }
            Codec::Hevc => {
                let config = hevc::Config::parse(&track.config).map_err(Error::syntax(0))?;
                let sets = config.units().cloned().collect();
                (0xE0, Form::Units { length_size: config.length_size, sets, delimiter: &[0x46, 0x01, 0x50] })
            }
            Codec::Aac => {
                let config = aac::Config::parse(&track.config).map_err(Error::syntax(0))?;
                (0xC0, Form::Adts(config))
            }
            Codec::Mp3 => (0xC0, Form::Plain),
            Codec::Ac3 | Codec::Eac3 => (0xBD, Form::Plain),
            codec => return Err(unsupported(format!("{codec} in a transport stream"))),
        };
        let stream = Self { track: track.clone(), pid, stream_id, form, counter: 0 };
        if let Form::Adts(config) = &stream.form {
            config.adts(0).map_err(Error::syntax(0))?;
        }
        Ok(stream)
    }

    /// Whether samples are encrypted, where they are encrypted at all.
    fn sampled(&self) -> bool {
        self.track.protection.as_ref().is_some_and(|protection| protection.scheme == Scheme::SampleAes)
    }

    fn entry(&self, secret: bool) -> psi::Stream {
        let language = self.track.language.as_deref().and_then(crate::language::long);
        let stream = psi::Stream { pid: self.pid, language, ..psi::Stream::default() };
        // MPEG-2 Stream Encryption Format for HTTP Live Streaming, 2.3: how the program map names encrypted streams.
        let mark = |kind, private: [u8; 4]| psi::Stream { kind, private: Some(private), ..stream.clone() };
        let sound = |kind, private| psi::Stream {
            registration: Some(*b"apad"),
            registered: self.setup(&[]).unwrap_or_default(),
            ..mark(kind, private)
        };
        let clear = |kind, registration| psi::Stream { kind, registration, ..stream.clone() };
        match self.track.codec {
            Codec::H264 if secret && self.sampled() => mark(0xDB, *b"zavc"),
            Codec::Aac if secret && self.sampled() => sound(0xCF, *b"aacd"),
            Codec::Ac3 if secret && self.sampled() => sound(0xC1, *b"ac3d"),
            Codec::Eac3 if secret && self.sampled() => sound(0xC2, *b"ec3d"),
            Codec::Hevc => clear(0x24, Some(*b"HEVC")),
            Codec::Aac => clear(0x0F, None),
            Codec::Mp3 => clear(0x03, None),
            Codec::Ac3 => clear(0x81, Some(*b"AC-3")),
            Codec::Eac3 => clear(0x87, Some(*b"EAC3")),
            _ => clear(0x1B, None),
        }
    }

    /// What must be said of encrypted sound; of AC-3 by the first of these packets, or else by its configuration.
    pub(super) fn setup(&self, packets: &[Packet]) -> Option<Vec<u8>> {
        let codec = self.track.codec;
        let first = packets.first().map(|packet| packet.data.clone());
        let first = first.or_else(|| ac3::sync_header(&self.track.config)).unwrap_or_default();
        sample_aes::setup(codec, &self.track.config, &first).filter(|_| self.sampled())
    }

    /// How many of the packets go into one PES packet.
    fn group(&self, packets: &[Packet]) -> usize {
        if matches!(self.form, Form::Units { .. }) {
            return 1;
        }
        let mut size = 0usize;
        let fits = packets.iter().take_while(|packet| {
            size = size.saturating_add(packet.data.len()).saturating_add(7);
            packet.track == self.track.id && size <= GROUP
        });
        fits.count().max(1)
    }

    fn write(
        &mut self,
        packets: &[Packet],
        clock: bool,
        last: bool,
        bounded: bool,
        out: &mut BytesMut,
    ) -> Result<()> {
        let Some(packet) = packets.first() else { return Ok(()) };
        let data = self.access_units(packets)?;
        let (pts, dts) = (self.time(packet.pts), self.time(packet.dts));
        let mut pes = BytesMut::with_capacity(data.len().saturating_add(19));
        pes.put_slice(&[0, 0, 1, self.stream_id]);
        let two = pts != dts;
        let fields: u8 = if two { 10 } else { 5 };
        let length = data.len().saturating_add(usize::from(fields)).saturating_add(3);
        // Only pictures may leave their length open.
        let open = self.track.video().is_some() && !bounded;
        pes.put_u16(if open { 0 } else { u16::try_from(length).unwrap_or(0) });
        // Each begins with an access unit.
        pes.put_slice(&[0x84, if two { 0xC0 } else { 0x80 }, fields]);
        time_stamp(&mut pes, if two { 3 } else { 2 }, pts);
        if two {
            time_stamp(&mut pes, 1, dts);
        }
        pes.put_slice(&data);
        let clock = clock.then(|| dts.wrapping_sub(AHEAD) & 0x1_FFFF_FFFF);
        self.split(&pes, packet.key, clock, last, out);
        Ok(())
    }

    /// A time on the stream's clock, whose 33 bits wrap around.
    pub(super) fn time(&self, at: Timestamp) -> u64 {
        let ticks = at.rescale(self.track.time_base, CLOCK).ticks();
        let ticks = i64::try_from(ORIGIN).unwrap_or(0).saturating_add(ticks);
        u64::try_from(ticks.rem_euclid(1 << 33)).unwrap_or(0)
    }

    /// The bytes of some packets as a decoder of a byte stream takes them.
    pub(super) fn access_units(&self, packets: &[Packet]) -> Result<Bytes> {
        let Some(packet) = packets.first() else { return Ok(Bytes::new()) };
        match &self.form {
            Form::Units { length_size, sets, delimiter } => {
                let mut out = BytesMut::with_capacity(packet.data.len().saturating_add(256));
                let mut put = |unit: &[u8]| {
                    out.put_slice(&[0, 0, 0, 1]);
                    out.put_slice(unit);
                };
                put(delimiter);
                sets.iter().filter(|_| packet.key).for_each(|set| put(set));
                for unit in nal::units(&packet.data, *length_size) {
                    let unit = unit.map_err(Error::syntax(0))?.data;
                    let kind = unit.first().copied().unwrap_or(0);
                    let own = match self.track.codec {
                        Codec::H264 => kind & 0x1F == 9,
                        _ => (kind >> 1) & 0x3F == 35,
                    };
                    // The source's own delimiter would stand behind the sets.
                    if own {
                        continue;
                    }
                    // What is encrypted may look like a start code.
                    if self.sampled() && packet.protection.is_some() && sample_aes::covers(unit) {
                        put(&nal::escape(unit));
                    } else {
                        put(unit);
                    }
                }
                Ok(out.freeze())
            }
            Form::Adts(config) => {
                let mut out = BytesMut::new();
                for packet in packets {
                    out.put_slice(&config.adts(packet.data.len()).map_err(Error::syntax(0))?);
                    out.put_slice(&packet.data);
                }
                Ok(out.freeze())
            }
            Form::Plain => Ok(packets
                .iter()
                .fold(BytesMut::new(), |mut out, packet| {
                    out.put_slice(&packet.data);
                    out
                })
                .freeze()),
        }
    }

    /// Cuts a PES packet into transport packets; the last of a piece that stands alone into so many that the
    /// counter comes to 0.
    fn split(&mut self, pes: &[u8], key: bool, clock: Option<u64>, last: bool, out: &mut BytesMut) {
        let mut rest = pes;
        let mut start = true;
        let fewest = {
            let fields: usize = if clock.is_some() {
                8
            } else if key {
                2
            } else {
                0
            };
            pes.len().saturating_add(fields).div_ceil(PAYLOAD)
        };
        let reached = usize::from(self.counter).saturating_add(fewest) % 16;
        let more = if last && reached > 0 { 16usize.saturating_sub(reached) } else { 0 };
        // Packets that are still to come behind the one at hand, each with a byte at least.
        let mut behind = fewest.saturating_add(more).min(pes.len());
        while !rest.is_empty() {
            let mut fields = BytesMut::new();
            if start && (key || clock.is_some()) {
                fields.put_u8((if key { 0x40 } else { 0 }) | (if clock.is_some() { 0x10 } else { 0 }));
                if let Some(clock) = clock {
                    // 33 bits of base, 6 reserved, 9 of extension.
                    let value = clock.wrapping_shl(15) | 0x7E00;
                    fields.put_slice(value.to_be_bytes().get(2..).unwrap_or_default());
                }
            }
            let room =
                PAYLOAD.saturating_sub(if fields.is_empty() { 0 } else { fields.len().saturating_add(1) });
            behind = behind.saturating_sub(1);
            let spare = if last { rest.len().saturating_sub(behind) } else { rest.len() };
            let take = spare.min(room).max(1);
            let (now, later) = rest.split_at_checked(take).unwrap_or((rest, &[]));
            rest = later;
            // What is over is filled in the adaptation field, which may be a single length of 0.
            let adaptation = PAYLOAD.saturating_sub(now.len());
            let [high, low] = self.pid.to_be_bytes();
            let control = if adaptation > 0 { 0x30 } else { 0x10 };
            out.put_slice(&[0x47, high | if start { 0x40 } else { 0 }, low, control | self.counter]);
            if adaptation > 0 {
                let length = adaptation.saturating_sub(1);
                out.put_u8(u8::try_from(length).unwrap_or(u8::MAX));
                if length > 0 && fields.is_empty() {
                    fields.put_u8(0);
                }
                out.put_slice(&fields);
                out.put_bytes(0xFF, length.saturating_sub(fields.len()));
            }
            out.put_slice(now);
            self.counter = self.counter.wrapping_add(1) & 15;
            start = false;
        }
    }
}

/// Four bits of `mark`, and a time in three parts with marker bits.
fn time_stamp(out: &mut BytesMut, mark: u8, time: u64) {
    let bits = |shift: u32, mask: u64| u8::try_from(time.wrapping_shr(shift) & mask).unwrap_or(0);
    out.put_u8(mark.wrapping_shl(4) | bits(30, 7).wrapping_shl(1) | 1);
    out.put_u8(bits(22, 0xFF));
    out.put_u8(bits(15, 0x7F).wrapping_shl(1) | 1);
    out.put_u8(bits(7, 0xFF));
    out.put_u8(bits(0, 0x7F).wrapping_shl(1) | 1);
}
