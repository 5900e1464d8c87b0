//! Movie fragments: the path that every packet of every stream takes.
//!
//! The header is measured, allocated once and written once; payloads are passed on as they are.

use bytes::Bytes;
use sv_core::{Codec, Packet, Protection, SampleProtection, Subsample, Timestamp, Track};

use super::boxes::Boxes;
use super::event::{Emsg, Prft};
use super::groups::Groups;
use super::init::{timescale_length, timescale_ticks};
use super::{sample_entry, text};
use crate::num::{u32_of, u64_of};
use crate::{Error, Result};

/// What goes in front of a fragment's `moof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `styp`: needed at a segment's start, not at later chunks of the same segment.
    pub styp: bool,
    /// Whether this is the last segment of the presentation (brand `lmsg`).
    pub last: bool,
    /// The producer's clock.
    pub prft: Option<Prft>,
    /// Timed events.
    pub emsg: Vec<Emsg>,
}

impl Default for Options {
    fn default() -> Self {
        Self { styp: true, last: false, prft: None, emsg: Vec::new() }
    }
}

/// A fragment of one track: headers up to and including that of `mdat`, then the payloads of
/// `packets`, not copied.
///
/// `base_decode_time` is the decoding time of the first packet, in the track's time base, not
/// negative; times of the packets count relative to the first one's. A sample lasts until the next
/// one is decoded; the last lasts as long as its packet says.
///
/// WebVTT packets become `wvtt` samples that cover the time from `base_decode_time` to the last
/// packet's end without gaps; a packet without data is such a gap.
///
/// In a protected track, packets without [`SampleProtection`] are marked as wholly clear; a fragment of nothing else
/// goes by the clear sample entry, where the track has one ([`Protection::clear_lead`]). Packets with a key of their own
/// are put into sample groups of type `seig` (ISO/IEC 23001-7, 6), and that key's `pssh` boxes into the `moof`.
///
/// # Errors
/// [`Error::InvalidInput`] for no packets, decoding times that fall, and numbers that the format
/// can't hold.
pub fn fragment(
    track: &Track,
    sequence: u32,
    base_decode_time: Timestamp,
    packets: &[Packet],
    options: &Options,
) -> Result<Vec<Bytes>> {
    let samples = samples(track, base_decode_time, packets)?;
    let clear = track.protection.as_ref().is_some_and(|p| p.clear_lead)
        && packets.iter().all(|p| p.protection.is_none());
    let protection = match &track.protection {
        _ if clear => None,
        Some(protection) => Auxiliary::of(track, protection, packets)?,
        None => None,
    };
    let base = timescale_ticks(track, base_decode_time.ticks())
        .and_then(|ticks| u64::try_from(ticks).ok())
        .ok_or_else(|| invalid(track, "the fragment begins before time zero"))?;
    let payload = samples.iter().fold(0u64, |n, s| n.saturating_add(u64::from(s.size)));

    let groups = Groups::of(packets);
    let fixed = options.emsg.iter().map(Emsg::capacity).fold(256usize, usize::saturating_add);
    let tables = samples.len().saturating_mul(16);
    let auxiliary = protection.as_ref().map_or(0, Auxiliary::capacity);
    let mut w = Boxes::with_capacity(
        fixed.saturating_add(tables).saturating_add(auxiliary).saturating_add(groups.capacity()),
    );
    if options.styp {
        w.boxed(b"styp", |w| {
            w.bytes(b"msdh");
            w.u32(0);
            w.bytes(b"msdh");
            w.bytes(b"msix");
            w.bytes(b"cmfs");
            if options.last {
                w.bytes(b"lmsg");
            }
        });
    }
    if let Some(prft) = options.prft {
        prft.write(&mut w);
    }
    for emsg in &options.emsg {
        emsg.write(&mut w);
    }
    let moof = w.out.len();
    let mut data_offset_at = 0;
    w.boxed(b"moof", |w| {
        w.full(b"mfhd", 0, 0, |w| w.u32(sequence));
        w.boxed(b"traf", |w| {
            let layout = Layout::of(&samples);
            layout.write_tfhd(w, track.id.0, clear.then_some(sample_entry::CLEAR), &samples);
            w.full(b"tfdt", 1, 0, |w| w.u64(base));
            data_offset_at = layout.write_trun(w, &samples);
            // Also where samples have nothing else to say: whole ones under a constant vector.
            if let Some(protection) = &track.protection {
                groups.write(w, protection);
            }
            if let Some(auxiliary) = &protection {
                auxiliary.write(w, moof);
            }
        });
        groups.announce(w);
    });
    let long = payload > u64::from(u32::MAX - 8);
    let header: usize = if long { 16 } else { 8 };
    let data_offset = w.out.len().saturating_sub(moof).saturating_add(header);
    w.patch_u32(data_offset_at, u32_of(data_offset));
    if long {
        w.u32(1);
        w.bytes(b"mdat");
        w.u64(payload.saturating_add(16));
    } else {
        w.u32(u32_of(payload.saturating_add(8)));
        w.bytes(b"mdat");
    }

    let mut out = Vec::with_capacity(samples.len().saturating_add(1));
    out.push(w.out.freeze());
    out.extend(samples.into_iter().map(|s| s.data));
    Ok(out)
}

fn invalid(track: &Track, problem: &'static str) -> Error {
    Error::InvalidInput { track: track.id.0, problem }
}

/// One row of `trun`.
struct Sample {
    duration: u32,
    size: u32,
    flags: u32,
    offset: i32,
    data: Bytes,
}

/// `sample_flags` (ISO/IEC 14496-12, 8.8.3.1) of a sync sample: it depends on no other.
pub(super) const SYNC: u32 = 0x0200_0000;
/// `sample_flags` of any other: it depends on others and is no sync sample.
pub(super) const NON_SYNC: u32 = 0x0101_0000;

fn samples(track: &Track, from: Timestamp, packets: &[Packet]) -> Result<Vec<Sample>> {
    if packets.is_empty() {
        return Err(invalid(track, "a fragment needs a packet"));
    }
    if track.codec == Codec::WebVtt {
        return text::samples(from, packets)
            .into_iter()
            .map(|sample| {
                let length = sample.end.since(sample.start).unwrap_or_default();
                Ok(Sample {
                    duration: duration(track, timescale_length(track, length))?,
                    size: u32_of(sample.data.len()),
                    flags: SYNC,
                    offset: 0,
                    data: sample.data,
                })
            })
            .collect();
    }
    let mut out = Vec::with_capacity(packets.len());
    let mut following = packets.iter().skip(1);
    for packet in packets {
        let length = match following.next() {
            Some(next) => next.dts.since(packet.dts).ok_or_else(|| invalid(track, "decoding times fall"))?,
            None => packet.duration,
        };
        let offset = packet.pts.ticks().checked_sub(packet.dts.ticks());
        let offset = offset
            .and_then(|ticks| timescale_ticks(track, ticks))
            .and_then(|ticks| i32::try_from(ticks).ok())
            .ok_or_else(|| invalid(track, "presentation and decoding time are too far apart"))?;
        out.push(Sample {
            duration: duration(track, timescale_length(track, length))?,
            size: u32::try_from(packet.data.len())
                .map_err(|_| invalid(track, "a packet has 4 GiB or more"))?,
            flags: if packet.key { SYNC } else { NON_SYNC },
            offset,
            data: packet.data.clone(),
        });
    }
    Ok(out)
}

fn duration(track: &Track, ticks: u64) -> Result<u32> {
    u32::try_from(ticks).map_err(|_| invalid(track, "a packet lasts longer than 2^32 ticks"))
}

/// Which columns of `trun` vary; what does not vary is told once.
struct Layout {
    duration: bool,
    size: bool,
    flags: bool,
    first_flags: bool,
    offset: bool,
}

impl Layout {
    fn of(samples: &[Sample]) -> Self {
        let varies = |column: fn(&Sample) -> u32| {
            let mut values = samples.iter().map(column);
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        let mut flags = samples.iter().skip(1).map(|s| s.flags);
        let second = flags.next();
        let uniform_rest = flags.all(|value| Some(value) == second);
        let flags = varies(|s| s.flags);
        Self {
            duration: varies(|s| s.duration),
            size: varies(|s| s.size),
            flags: flags && !uniform_rest,
            first_flags: flags && uniform_rest,
            offset: samples.iter().any(|s| s.offset != 0),
        }
    }

    /// `tfhd` (8.8.7) with the values of the columns that don't vary.
    fn write_tfhd(&self, w: &mut Boxes, track: u32, description: Option<u32>, samples: &[Sample]) {
        let mut flags = 0x02_0020; // default-base-is-moof, default-sample-flags-present
        if description.is_some() {
            flags |= 0x2;
        }
        if !self.duration {
            flags |= 0x8;
        }
        if !self.size {
            flags |= 0x10;
        }
        w.full(b"tfhd", 0, flags, |w| {
            w.u32(track);
            description.into_iter().for_each(|number| w.u32(number));
            if let (false, Some(sample)) = (self.duration, samples.first()) {
                w.u32(sample.duration);
            }
            if let (false, Some(sample)) = (self.size, samples.first()) {
                w.u32(sample.size);
            }
            // The last sample's, so that `first_sample_flags` can make the exception.
            w.u32(samples.last().map_or(SYNC, |s| s.flags));
        });
    }

    /// `trun` (8.8.8); returns where its data offset is to be patched in.
    fn write_trun(&self, w: &mut Boxes, samples: &[Sample]) -> usize {
        let mut flags = 0x1; // data-offset-present
        for (present, flag) in [
            (self.first_flags, 0x4),
            (self.duration, 0x100),
            (self.size, 0x200),
            (self.flags, 0x400),
            (self.offset, 0x800),
        ] {
            if present {
                flags |= flag;
            }
        }
        let mut data_offset_at = 0;
        w.full(b"trun", 1, flags, |w| {
            w.u32(u32_of(samples.len()));
            data_offset_at = w.out.len();
            w.u32(0);
            if let (true, Some(first)) = (self.first_flags, samples.first()) {
                w.u32(first.flags);
            }
            for sample in samples {
                if self.duration {
                    w.u32(sample.duration);
                }
                if self.size {
                    w.u32(sample.size);
                }
                if self.flags {
                    w.u32(sample.flags);
                }
                if self.offset {
                    w.i32(sample.offset);
                }
            }
        });
        data_offset_at
    }
}

/// Initialisation vectors and subsamples of a protected fragment (ISO/IEC 23001-7, 7).
struct Auxiliary<'a> {
    packets: &'a [Packet],
    iv_size: usize,
    /// Whether any sample has runs; then all must.
    subsamples: bool,
}

impl<'a> Auxiliary<'a> {
    /// `None` when there is nothing to say: whole samples under a constant vector.
    fn of(track: &Track, protection: &Protection, packets: &'a [Packet]) -> Result<Option<Self>> {
        let subsamples =
            packets.iter().any(|p| p.protection.as_ref().is_none_or(|s| !s.subsamples.is_empty()));
        let iv_size = usize::from(protection.iv_size);
        for packet in packets {
            let Some(sample) = &packet.protection else { continue };
            if sample.subsamples.len() > usize::from(u16::MAX) {
                return Err(invalid(track, "a packet has more than 65535 subsamples"));
            }
            let covered = sample.subsamples.iter().fold(0u64, |n, s| {
                n.saturating_add(u64::from(s.clear)).saturating_add(u64::from(s.protected))
            });
            if !sample.subsamples.is_empty() && covered != u64_of(packet.data.len()) {
                return Err(invalid(track, "a packet's subsamples don't add up to its size"));
            }
        }
        Ok((subsamples || iv_size > 0).then_some(Self { packets, iv_size, subsamples }))
    }

    fn capacity(&self) -> usize {
        let runs = self.packets.iter().fold(0usize, |n, p| n.saturating_add(self.runs(p)));
        runs.saturating_mul(6).saturating_add(self.packets.len().saturating_mul(19)).saturating_add(64)
    }

    /// How many subsamples the entry of a packet has.
    fn runs(&self, packet: &Packet) -> usize {
        match &packet.protection {
            _ if !self.subsamples => 0,
            None => packet.data.len().div_ceil(usize::from(u16::MAX)).max(1),
            Some(sample) => sample.subsamples.len().max(1),
        }
    }

    fn entry_size(&self, packet: &Packet) -> usize {
        let runs = if self.subsamples { self.runs(packet).saturating_mul(6).saturating_add(2) } else { 0 };
        self.iv_size.saturating_add(runs)
    }

    /// `saiz` and `saio` (ISO/IEC 14496-12, 8.7.8 and 8.7.9), then the `senc` that they point into;
    /// `moof` is where offsets count from.
    fn write(&self, w: &mut Boxes, moof: usize) {
        let sizes = || self.packets.iter().map(|p| u8::try_from(self.entry_size(p)));
        let mut saio_at = None;
        // An entry beyond 255 bytes has no place in `saiz`; `senc` alone describes it.
        if sizes().all(|size| size.is_ok()) {
            let mut values = sizes().flatten();
            let first = values.next().unwrap_or(0);
            let uniform = values.all(|size| size == first);
            w.full(b"saiz", 0, 0, |w| {
                w.u8(if uniform { first } else { 0 });
                w.u32(u32_of(self.packets.len()));
                if !uniform {
                    sizes().flatten().for_each(|size| w.u8(size));
                }
            });
            w.full(b"saio", 0, 0, |w| {
                w.u32(1);
                saio_at = Some(w.out.len());
                w.u32(0);
            });
        }
        let entries = w.out.len().saturating_add(16).saturating_sub(moof);
        if let Some(at) = saio_at {
            w.patch_u32(at, u32_of(entries));
        }
        w.full(b"senc", 0, if self.subsamples { 2 } else { 0 }, |w| {
            w.u32(u32_of(self.packets.len()));
            for packet in self.packets {
                self.write_entry(w, packet);
            }
        });
    }

    fn write_entry(&self, w: &mut Boxes, packet: &Packet) {
        let clear = SampleProtection::default();
        let sample = packet.protection.as_ref().unwrap_or(&clear);
        w.bytes(sample.iv.get(..self.iv_size).unwrap_or_default());
        if !self.subsamples {
            return;
        }
        w.u16(u16::try_from(self.runs(packet)).unwrap_or(u16::MAX));
        let mut run = |clear: u16, protected: u32| {
            w.u16(clear);
            w.u32(protected);
        };
        match &packet.protection {
            Some(sample) if sample.subsamples.is_empty() => run(0, u32_of(packet.data.len())),
            Some(sample) => {
                sample.subsamples.iter().for_each(|Subsample { clear, protected }| run(*clear, *protected));
            }
            None => {
                let mut left = packet.data.len();
                for _ in 0..self.runs(packet) {
                    let part = u16::try_from(left).unwrap_or(u16::MAX);
                    run(part, 0);
                    left = left.saturating_sub(usize::from(part));
                }
            }
        }
    }
}
