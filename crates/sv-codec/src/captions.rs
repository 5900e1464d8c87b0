//! Captions that pictures carry: CEA-608 and CEA-708 beside the coded picture, in supplemental enhancement information,
//! metadata or user data.

use bytes::{Bytes, BytesMut};
use sv_core::Codec;

use crate::{av1, h264, hevc, nal, t35};

/// What is looked at of a unit: 31 triplets and what stands around them, with other messages.
const MOST: usize = 4096;
/// `user_data_registered_itu_t_t35` (H.264, D.1.6; H.265, D.2.6).
const T35: u8 = 4;
/// Triplets of one message (`cc_count`).
const TOGETHER: usize = 31;
/// MPEG-2's video, by FFmpeg's name.
const MPEG2: Codec = Codec::Other("mpeg2video");

/// Three bytes of captions: what the other two are, and they (CTA-708, 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triplet(pub [u8; 3]);

impl Triplet {
    /// Two bytes of CEA-608, and whether they are of the second field.
    #[must_use]
    pub fn pair(self) -> Option<(bool, [u8; 2])> {
        match self.0 {
            [kind, a, b] if kind & 4 != 0 && kind & 3 < 2 => Some((kind & 3 == 1, [a, b])),
            _ => None,
        }
    }

    /// Two bytes of CEA-708, and whether a packet begins with them.
    #[must_use]
    pub fn packet(self) -> Option<(bool, [u8; 2])> {
        match self.0 {
            [kind, a, b] if kind & 4 != 0 && kind & 3 >= 2 => Some((kind & 3 == 3, [a, b])),
            _ => None,
        }
    }

    /// Whether it says anything; others only fill pictures up.
    #[must_use]
    pub fn is_valid(self) -> bool {
        let [kind, ..] = self.0;
        kind & 4 != 0
    }
}

/// Whether [`of_packet`] knows how a codec carries captions.
#[must_use]
pub fn may_carry(codec: Codec) -> bool {
    can_carry(codec) || codec == MPEG2
}

/// Whether [`insert`] can put captions into packets of a codec.
#[must_use]
pub const fn can_carry(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::Hevc | Codec::Av1)
}

/// The captions of a packet of H.264, HEVC or AV1 as MP4 stores it, or of MPEG-2 video; none of other codecs. `length_size`
/// is how many bytes the length of a unit has.
#[must_use]
pub fn of_packet(codec: Codec, packet: &[u8], length_size: u8) -> Vec<Triplet> {
    let mut out = Vec::new();
    let mut take = |bytes: Option<&[u8]>| {
        out.extend(bytes.unwrap_or_default().as_chunks().0.iter().copied().map(Triplet));
    };
    match codec {
        Codec::H264 | Codec::Hevc => {
            let header = if codec == Codec::H264 { 1 } else { 2 };
            for unit in nal::units(packet, length_size).map_while(Result::ok) {
                let is_sei = match codec {
                    Codec::H264 => h264::unit_type(unit.data) == h264::SEI,
                    _ => hevc::unit_type(unit.data) == hevc::PREFIX_SEI,
                };
                if !is_sei {
                    continue;
                }
                let rbsp = nal::rbsp(unit.data.get(header..).unwrap_or_default(), MOST);
                for (kind, payload) in h264::sei_payloads(&rbsp) {
                    take(t35::captions(payload).filter(|_| kind == u32::from(T35)));
                }
            }
        }
        Codec::Av1 => {
            let units = av1::obus(packet).map_while(Result::ok);
            for obu in units.filter(|obu| obu.kind == av1::Obu::METADATA) {
                take(av1::metadata::t35(obu.payload).and_then(t35::captions));
            }
        }
        MPEG2 => {
            // User data (ISO/IEC 13818-2, 6.2.2.2.2) stands before the slices.
            let slice = |unit: &nal::Unit<'_>| matches!(unit.data, [0x01..=0xAF, ..]);
            for unit in nal::annex_b(packet).take_while(|unit| !slice(unit)) {
                take(unit.data.strip_prefix(&[0xB2]).and_then(t35::atsc));
            }
        }
        _ => {}
    }
    out
}

/// A packet of H.264, HEVC or AV1 with captions before its picture: in one message, or in several where there are many.
/// Nothing where it can carry none: for other codecs, and packets without a picture.
#[must_use]
pub fn insert(codec: Codec, packet: &[u8], length_size: u8, captions: &[Triplet]) -> Option<Bytes> {
    let triplets: Vec<[u8; 3]> = captions.iter().map(|triplet| triplet.0).collect();
    let messages = triplets.chunks(TOGETHER).map(t35::of_captions);
    let (offset, added) = match codec {
        Codec::H264 | Codec::Hevc => {
            let is_slice = |unit: &nal::Unit<'_>| match codec {
                Codec::H264 => h264::is_slice(unit.data),
                // A unit without its whole header is none.
                _ => unit.data.len() >= 2 && hevc::unit_type(unit.data) < 32,
            };
            let slice = nal::units(packet, length_size).map_while(Result::ok).find(is_slice)?;
            let units = messages.map(|message| sei(codec, &slice, &message));
            let prefixed = units.flat_map(|unit| {
                let length = u32::try_from(unit.len()).unwrap_or(0).to_be_bytes();
                let skipped = 4usize.saturating_sub(usize::from(length_size));
                length.into_iter().skip(skipped).chain(unit)
            });
            (slice.offset.checked_sub(usize::from(length_size))?, prefixed.collect::<Vec<u8>>())
        }
        Codec::Av1 => {
            let is_frame = |obu: &av1::Obu<'_>| matches!(obu.kind, av1::Obu::FRAME_HEADER | av1::Obu::FRAME);
            let frame = av1::obus(packet).map_while(Result::ok).find(is_frame)?;
            (frame.offset, messages.flat_map(|message| av1::metadata::build_t35(&message)).collect())
        }
        _ => return None,
    };
    let (before, behind) = packet.split_at_checked(offset)?;
    let mut out = BytesMut::with_capacity(packet.len().saturating_add(added.len()));
    out.extend_from_slice(before);
    out.extend_from_slice(&added);
    out.extend_from_slice(behind);
    Some(out.freeze())
}

/// A unit of one message, of the layer of a picture's slice.
fn sei(codec: Codec, slice: &nal::Unit<'_>, message: &[u8]) -> Vec<u8> {
    let mut unit = match (codec, slice.data) {
        (Codec::Hevc, [_, layer, ..]) => vec![hevc::PREFIX_SEI.wrapping_shl(1), *layer],
        _ => vec![h264::SEI],
    };
    unit.extend([T35, u8::try_from(message.len()).unwrap_or(0)]);
    unit.extend_from_slice(message);
    unit.push(0x80);
    nal::escape(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_without_a_picture_carries_none() {
        let captions = [Triplet([0xFC, 0x14, 0x20])];
        // A unit of HEVC that ends inside of its header.
        assert_eq!(insert(Codec::Hevc, &[0, 0, 0, 1, 2], 4, &captions), None);
        assert_eq!(insert(Codec::H264, &[], 4, &captions), None);
        assert_eq!(insert(Codec::Vp9, &[0, 0, 0, 1, 2], 4, &captions), None);
    }
}
