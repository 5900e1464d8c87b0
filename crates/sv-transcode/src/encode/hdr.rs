//! HDR10 metadata in the bitstream, whatever the encoder and the version of its library do about it:
//! in front of the first slice or frame of every key picture, in place of what the encoder wrote.

use bytes::{Bytes, BytesMut};
use sv_codec::{av1, hevc, nal};
use sv_core::{Codec, VideoFrame};

/// What goes into the packets of one encoder's key pictures.
pub(super) struct Metadata {
    codec: Codec,
    units: Bytes,
}

impl Metadata {
    /// For pictures like this one; `None` where there is nothing to say, or no place to say it.
    pub(super) fn of(codec: Codec, frame: &VideoFrame) -> Option<Self> {
        if !frame.color.is_pq() && !frame.color.is_hlg() {
            return None;
        }
        let units = match codec {
            Codec::Hevc => hevc::sei::build(&frame.hdr),
            Codec::Av1 => av1::metadata::build(&frame.hdr),
            // H.264 rungs are mapped to standard range; VP9 has it in the container alone.
            _ => None,
        }?;
        Some(Self { codec, units })
    }

    /// The packet of a key picture with the metadata, and with no other of its kind.
    pub(super) fn put_into(&self, packet: &Bytes) -> Bytes {
        let put = match self.codec {
            Codec::Hevc => self.hevc(packet),
            _ => self.av1(packet),
        };
        // What can't be read is not ours to change.
        put.unwrap_or_else(|| packet.clone())
    }

    fn hevc(&self, packet: &Bytes) -> Option<Bytes> {
        let mut units: Vec<Bytes> = Vec::new();
        let mut put = false;
        for unit in nal::units(packet, 4) {
            let data = packet.slice_ref(unit.ok()?.data);
            if hevc::is_slice(&data) && !put {
                units.push(self.units.clone());
                put = true;
            }
            match hevc::unit_type(&data) {
                hevc::PREFIX_SEI => units.extend(hevc::sei::without_hdr(&data)),
                _ => units.push(data),
            }
        }
        put.then(|| nal::length_prefixed(units.iter().map(|u| &u[..])))
    }

    fn av1(&self, packet: &Bytes) -> Option<Bytes> {
        let mut out = BytesMut::with_capacity(packet.len() + self.units.len());
        let mut put = false;
        for obu in av1::obus(packet) {
            let obu = obu.ok()?;
            let first = matches!(obu.kind, av1::Obu::FRAME | av1::Obu::FRAME_HEADER);
            if first && !put {
                out.extend_from_slice(&self.units);
                put = true;
            }
            if obu.kind != av1::Obu::METADATA || !av1::metadata::is_static(obu.payload) {
                out.extend_from_slice(obu.whole);
            }
        }
        put.then(|| out.freeze())
    }
}
