//! Where the coded tiles of each frame lie, which is what encryption covers: everything else of a packet
//! stays readable ([AV1 ISOBMFF binding](https://aomediacodec.github.io/av1-isobmff/#subsample-encryption)).

use std::ops::Range;

use super::frame::{Frame, Memory};
use super::{Config, Obu, Sequence, obus};
use crate::{BitReader, Error, Result};

/// Finds the tiles in the packets of a stream, in decode order.
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    sequence: Option<Sequence>,
    memory: Memory,
    /// The frame whose tile groups come.
    frame: Option<Frame>,
}

impl Tiles {
    /// For a stream with this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { sequence: config.sequence().ok(), ..Self::default() }
    }

    /// The bytes of each tile (`decode_tile()`, 5.11.2) of the next packet, in order.
    ///
    /// # Errors
    /// When a unit is cut short or breaks the specification.
    pub fn next(&mut self, packet: &[u8]) -> Result<Vec<Range<usize>>> {
        let mut tiles = Vec::new();
        for obu in obus(packet) {
            let obu = obu?;
            match obu.kind {
                Obu::SEQUENCE_HEADER => self.sequence = Some(Sequence::parse(obu.payload)?),
                Obu::TEMPORAL_DELIMITER => self.frame = None,
                // Further ones before the frame ends are copies of the first.
                Obu::FRAME_HEADER if self.frame.is_none() => {
                    self.header(&obu)?;
                }
                Obu::FRAME => {
                    let begin = self.header(&obu)?;
                    self.group(&obu, begin, &mut tiles)?;
                }
                Obu::TILE_GROUP => self.group(&obu, 0, &mut tiles)?,
                _ => {}
            }
        }
        Ok(tiles)
    }

    /// A frame header; gives the bytes that it takes.
    fn header(&mut self, obu: &Obu<'_>) -> Result<usize> {
        let Some(sequence) = &self.sequence else {
            return Err(Error::Truncated { what: "the AV1 stream's sequence header", offset: 0 });
        };
        let (frame, bytes) = Frame::parse(obu, sequence, &mut self.memory)?;
        self.frame = frame;
        Ok(bytes)
    }

    /// `tile_group_obu()` (5.11.1), from `begin` on in the unit.
    fn group(&mut self, obu: &Obu<'_>, begin: usize, tiles: &mut Vec<Range<usize>>) -> Result<()> {
        let data = obu.payload.get(begin..).unwrap_or_default();
        let mut r = BitReader::new("the AV1 tile group", data);
        let Some(frame) = &self.frame else {
            return Err(r.invalid("there is no frame header before it"));
        };
        let count = frame.tile_columns.saturating_mul(frame.tile_rows);
        let (mut first, mut last) = (0, count.saturating_sub(1));
        if count > 1 && r.bit()? {
            (first, last) = (r.bits(frame.tile_bits)?, r.bits(frame.tile_bits)?);
        }
        if first > last || last >= count {
            return Err(r.invalid("its tiles are not those of the frame"));
        }
        // Where the unit's payload is in the packet.
        let payload = obu.offset.saturating_add(obu.whole.len().saturating_sub(obu.payload.len()));
        let mut at = r.byte_pos();
        for tile in first..=last {
            let mut size = data.len().saturating_sub(at);
            if tile != last {
                let bytes = data.get(at..).and_then(|rest| rest.get(..frame.tile_size_bytes));
                let bytes = bytes.ok_or(Error::Truncated { what: "the AV1 tile group", offset: at })?;
                at = at.saturating_add(frame.tile_size_bytes);
                let told = bytes.iter().rev().fold(0usize, |n, byte| n.wrapping_shl(8) | usize::from(*byte));
                size = told.saturating_add(1);
            }
            let end = at.checked_add(size).filter(|end| size > 0 && *end <= data.len());
            let end = end.ok_or(Error::Truncated { what: "the AV1 tile group", offset: at })?;
            let begin = payload.saturating_add(begin);
            tiles.push(begin.saturating_add(at)..begin.saturating_add(end));
            at = end;
        }
        if last.saturating_add(1) == count {
            self.frame = None;
        }
        Ok(())
    }
}
