//! HDR metadata in the bitstream, whatever the encoder and the version of its library do about it: in
//! place of what the encoder wrote. HDR10 stands in front of the first slice or frame of every key
//! picture, HDR10+ in front of every picture that has it, and the RPU of Dolby Vision behind it in HEVC
//! and in front of it in AV1.

use bytes::{Bytes, BytesMut};
use sv_codec::{av1, hevc, nal, t35};
use sv_core::color::DynamicMetadata;
use sv_core::{Codec, HdrMetadata, VideoFrame};

use crate::dolby;

/// What goes into the packets of one encoder.
pub(super) struct Metadata {
    codec: Codec,
    hdr: HdrMetadata,
}

impl Metadata {
    /// For pictures like this one; `None` where there is no place for metadata.
    pub(super) fn of(codec: Codec, frame: &VideoFrame) -> Option<Self> {
        let hdr = frame.color.is_pq() || frame.color.is_hlg();
        // H.264 rungs are mapped to standard range; VP9 has it in the container alone.
        (hdr && matches!(codec, Codec::Hevc | Codec::Av1)).then_some(Self { codec, hdr: frame.hdr })
    }

    /// The packet of a picture with its metadata, and with no other of the same kind.
    pub(super) fn put_into(&self, packet: &Bytes, key: bool, dynamic: &DynamicMetadata) -> Bytes {
        let put = match self.codec {
            Codec::Hevc => self.hevc(packet, key, dynamic),
            _ => self.av1(packet, key, dynamic),
        };
        // What can't be read is not ours to change.
        put.unwrap_or_else(|| packet.clone())
    }

    fn hevc(&self, packet: &Bytes, key: bool, dynamic: &DynamicMetadata) -> Option<Bytes> {
        let fixed = key.then(|| hevc::sei::build(&self.hdr)).flatten();
        let plus = dynamic.hdr10_plus.as_ref().map(|message| hevc::sei::build_t35(message));
        let rpu = dynamic.dolby_vision.as_ref();
        if fixed.is_none() && plus.is_none() && rpu.is_none() {
            return None;
        }
        let ours = |kind: u32, payload: &[u8]| {
            fixed.is_some() && hevc::sei::is_static(kind, payload)
                || plus.is_some() && hevc::sei::is_hdr10_plus(kind, payload)
        };
        let mut units: Vec<Bytes> = Vec::new();
        let mut put = false;
        for unit in nal::units(packet, 4) {
            let data = packet.slice_ref(unit.ok()?.data);
            if hevc::is_slice(&data) && !put {
                units.extend(fixed.iter().chain(&plus).cloned());
                put = true;
            }
            match hevc::unit_type(&data) {
                hevc::PREFIX_SEI => units.extend(hevc::sei::without(&data, ours)),
                hevc::RPU if rpu.is_some() => {}
                _ => units.push(data),
            }
        }
        units.extend(rpu.cloned());
        put.then(|| nal::length_prefixed(units.iter().map(|u| &u[..])))
    }

    fn av1(&self, packet: &Bytes, key: bool, dynamic: &DynamicMetadata) -> Option<Bytes> {
        let fixed = key.then(|| av1::metadata::build(&self.hdr)).flatten();
        let plus = dynamic.hdr10_plus.as_ref().map(|message| av1::metadata::build_t35(message));
        let rpu = dynamic.dolby_vision.as_ref().and_then(dolby::to_av1).map(|m| av1::metadata::build_t35(&m));
        if fixed.is_none() && plus.is_none() && rpu.is_none() {
            return None;
        }
        let mut out = BytesMut::with_capacity(packet.len() + 512);
        let is_frame = |kind| matches!(kind, av1::Obu::FRAME | av1::Obu::FRAME_HEADER);
        let obus: Vec<_> = av1::obus(packet).collect::<Result<_, _>>().ok()?;
        let first = obus.iter().position(|obu| is_frame(obu.kind))?;
        // The last frame of a packet is the one that is shown, which these belong to.
        let shown = obus.iter().rposition(|obu| is_frame(obu.kind))?;
        for (index, obu) in obus.iter().enumerate() {
            if let Some(fixed) = fixed.as_ref().filter(|_| index == first) {
                out.extend_from_slice(fixed);
            }
            for unit in plus.iter().chain(&rpu).filter(|_| index == shown) {
                out.extend_from_slice(unit);
            }
            let ours = obu.kind == av1::Obu::METADATA
                && (fixed.is_some() && av1::metadata::is_static(obu.payload)
                    || av1::metadata::t35(obu.payload).is_some_and(|message| {
                        plus.is_some() && t35::is_hdr10_plus(message)
                            || rpu.is_some() && dolby::is_av1(message)
                    }));
            if !ours {
                out.extend_from_slice(obu.whole);
            }
        }
        Some(out.freeze())
    }
}
