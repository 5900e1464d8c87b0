//! `AV1CodecConfigurationRecord`, the body of `av1C` (AV1-ISOBMFF, 2.3.3).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Obu, Sequence, obus};
use crate::{Error, Reader, Result};

/// The decoder configuration of an AV1 track.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Profile, level, tier and sample format: the record's second and third byte.
    header: [u8; 2],
    /// The units that a decoder sees first: a sequence header, and perhaps metadata.
    pub obus: Bytes,
}

impl Config {
    /// Reads the body of an `av1C` box.
    ///
    /// # Errors
    /// When it is cut short or of another version.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new("av1C", body);
        if r.u8()? != 0x81 {
            return Err(Error::Unsupported { what: "av1C", feature: "a version other than 1" });
        }
        let header = r.array()?;
        r.skip(1)?; // initial_presentation_delay
        Ok(Self { header, obus: Bytes::copy_from_slice(r.rest()) })
    }

    /// From a packet that holds a sequence header: it and static metadata are taken.
    ///
    /// # Errors
    /// When there is no sequence header, or a unit is broken.
    pub fn from_packet(packet: &[u8]) -> Result<Self> {
        let (mut sequence, mut units) = (None, BytesMut::new());
        for obu in obus(packet) {
            let obu = obu?;
            match obu.kind {
                Obu::SEQUENCE_HEADER if sequence.is_none() => {
                    sequence = Some(Sequence::parse(obu.payload)?);
                    units.put_slice(obu.whole);
                }
                Obu::METADATA if super::metadata::is_static(obu.payload) => units.put_slice(obu.whole),
                _ => {}
            }
        }
        let missing = Error::Truncated { what: "the list of AV1 sequence headers", offset: 0 };
        let sequence = sequence.ok_or(missing)?;
        let bit = |flag: bool, mask: u8| if flag { mask } else { 0 };
        let header = [
            sequence.profile.wrapping_shl(5) | (sequence.level & 0x1F),
            bit(sequence.high_tier, 0x80)
                | bit(sequence.bit_depth > 8, 0x40)
                | bit(sequence.bit_depth > 10, 0x20)
                | bit(sequence.monochrome, 0x10)
                | bit(sequence.subsampling_x, 0x08)
                | bit(sequence.subsampling_y, 0x04)
                | (sequence.chroma_position & 3),
        ];
        Ok(Self { header, obus: units.freeze() })
    }

    /// The sequence header among its units.
    ///
    /// # Errors
    /// When there is none, or it is broken.
    pub fn sequence(&self) -> Result<Sequence> {
        for obu in obus(&self.obus) {
            let obu = obu?;
            if obu.kind == Obu::SEQUENCE_HEADER {
                return Sequence::parse(obu.payload);
            }
        }
        Err(Error::Truncated { what: "av1C", offset: 4 })
    }

    /// Writes the body of an `av1C` box.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.obus.len().saturating_add(4));
        out.put_u8(0x81);
        out.put_slice(&self.header);
        out.put_u8(0);
        out.put_slice(&self.obus);
        out.freeze()
    }
}
