//! Captions that pictures carry: CEA-608 and CEA-708 in supplemental enhancement information.

use sv_core::Codec;

use crate::{h264, hevc, nal, t35};

/// What is looked at of a unit: 31 triplets and what stands around them, with other messages.
const MOST: usize = 4096;
/// `user_data_registered_itu_t_t35` (H.264, D.1.6; H.265, D.2.6).
const T35: u32 = 4;

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

    /// Whether it is of CEA-708.
    #[must_use]
    pub fn is_708(self) -> bool {
        let [kind, ..] = self.0;
        kind & 4 != 0 && kind & 3 >= 2
    }
}

/// The captions of a packet of H.264 or HEVC as MP4 stores it; none of other codecs. `length_size` is how
/// many bytes the length of a unit has.
#[must_use]
pub fn of_packet(codec: Codec, packet: &[u8], length_size: u8) -> Vec<Triplet> {
    let header = match codec {
        Codec::H264 => 1,
        Codec::Hevc => 2,
        _ => return Vec::new(),
    };
    let mut out = Vec::new();
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
            if let Some(bytes) = t35::captions(payload).filter(|_| kind == T35) {
                out.extend(bytes.as_chunks().0.iter().copied().map(Triplet));
            }
        }
    }
    out
}
