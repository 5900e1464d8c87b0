//! Writing sections.

use bytes::{BufMut, Bytes, BytesMut};

use super::{At, CUEI, Command, Descriptor, Insert, LARGEST, Section, Segmentation};
use crate::ts::crc;
use crate::{Error, Result};

const LONG: Error = Error::Malformed {
    path: "splice_info_section",
    offset: 0,
    problem: "it would be longer than 4096 bytes",
};

/// A length that its field has room for.
fn length<T: TryFrom<usize>>(bytes: usize) -> Result<T> {
    T::try_from(bytes).map_err(|_| LONG)
}

/// 33 bits behind seven others.
fn put_33(out: &mut BytesMut, high: u8, value: u64) {
    out.put_u8((high & 0xFE) | u8::from(value & (1 << 32) != 0));
    out.put_u32(u32::try_from(value & 0xFFFF_FFFF).unwrap_or(0));
}

fn put_time(out: &mut BytesMut, at: Option<u64>) {
    match at {
        Some(at) => put_33(out, 0xFE, at),
        None => out.put_u8(0x7F),
    }
}

impl Section {
    /// The section, from its `table_id` to its checksum. Times keep their lower 33 bits.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a list or a payload has no room in it.
    pub fn build(&self) -> Result<Bytes> {
        let mut body = BytesMut::new();
        body.put_u8(0);
        put_33(&mut body, 0, self.pts_adjustment);
        body.put_u8(self.cw_index);
        let (kind, command) = self.command()?;
        let size: u16 = length(command.len())?;
        if size >= 0xFFF {
            return Err(LONG);
        }
        let word = u32::from(self.tier & 0xFFF).wrapping_shl(12) | u32::from(size);
        let [_, a, b, c] = word.to_be_bytes();
        body.put_slice(&[a, b, c, kind]);
        body.put_slice(&command);
        let mut descriptors = BytesMut::new();
        for descriptor in &self.descriptors {
            let (tag, identifier, data) = match descriptor {
                Descriptor::Segmentation(segmentation) => (2, CUEI, segmentation.build()?),
                Descriptor::Other { tag, identifier, data } => (*tag, *identifier, data.clone()),
            };
            descriptors.put_u8(tag);
            descriptors.put_u8(length(data.len().saturating_add(4))?);
            descriptors.put_slice(&identifier);
            descriptors.put_slice(&data);
        }
        body.put_u16(length(descriptors.len())?);
        body.put_slice(&descriptors);

        let whole = body.len().saturating_add(7);
        if whole > LARGEST {
            return Err(LONG);
        }
        let size: u16 = length(whole.saturating_sub(3))?;
        let mut out = BytesMut::with_capacity(whole);
        out.put_u8(0xFC);
        out.put_u16(u16::from(self.sap_type & 3).wrapping_shl(12) | size);
        out.put_slice(&body);
        let sum = crc(&out);
        out.put_u32(sum);
        Ok(out.freeze())
    }

    fn command(&self) -> Result<(u8, BytesMut)> {
        let mut out = BytesMut::new();
        let kind = match &self.command {
            Command::Null => 0x00,
            Command::Schedule(data) => {
                out.put_slice(data);
                0x04
            }
            Command::Insert(insert) => {
                insert.build(&mut out)?;
                0x05
            }
            Command::TimeSignal(at) => {
                put_time(&mut out, *at);
                0x06
            }
            Command::BandwidthReservation => 0x07,
            Command::Private { identifier, data } => {
                out.put_slice(identifier);
                out.put_slice(data);
                0xFF
            }
        };
        Ok((kind, out))
    }
}

impl Insert {
    fn build(&self, out: &mut BytesMut) -> Result<()> {
        out.put_u32(self.event);
        let Some(splice) = &self.splice else {
            out.put_u8(0xFF);
            return Ok(());
        };
        out.put_u8(0x7F);
        let whole = matches!(splice.at, At::Now | At::Program(_));
        let now = matches!(splice.at, At::Now | At::ComponentsNow(_));
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        out.put_u8(
            bit(splice.out, 0x80)
                | bit(whole, 0x40)
                | bit(splice.duration.is_some(), 0x20)
                | bit(now, 0x10)
                | bit(splice.loose_ids, 0x08)
                | 0x07,
        );
        match &splice.at {
            At::Now => {}
            At::Program(at) => put_time(out, *at),
            At::ComponentsNow(tags) => {
                out.put_u8(length(tags.len())?);
                out.put_slice(tags);
            }
            At::Components(all) => {
                out.put_u8(length(all.len())?);
                for (tag, at) in all {
                    out.put_u8(*tag);
                    put_time(out, *at);
                }
            }
        }
        if let Some(duration) = splice.duration {
            put_33(out, bit(duration.auto_return, 0x80) | 0x7E, duration.ticks);
        }
        out.put_u16(splice.program);
        out.put_slice(&[splice.avail.0, splice.avail.1]);
        Ok(())
    }
}

impl Segmentation {
    fn build(&self) -> Result<Bytes> {
        let mut out = BytesMut::new();
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        out.put_u32(self.event);
        out.put_u8(bit(self.content.is_none(), 0x80) | bit(self.loose_ids, 0x40) | 0x3F);
        let Some(content) = &self.content else { return Ok(out.freeze()) };
        let limits = match content.restrictions {
            None => 0x3F,
            Some(r) => bit(r.web, 0x10) | bit(r.everywhere, 0x08) | bit(r.archive, 0x04) | (r.devices & 3),
        };
        let whole = content.components.is_none();
        out.put_u8(bit(whole, 0x80) | bit(content.duration.is_some(), 0x40) | limits);
        if let Some(components) = &content.components {
            out.put_u8(length(components.len())?);
            for (tag, offset) in components {
                out.put_u8(*tag);
                put_33(&mut out, 0xFE, *offset);
            }
        }
        if let Some(duration) = content.duration {
            out.put_u8(u8::try_from(duration.wrapping_shr(32) & 0xFF).unwrap_or(0));
            out.put_u32(u32::try_from(duration & 0xFFFF_FFFF).unwrap_or(0));
        }
        let (kind, upid) = &content.upid;
        out.put_u8(*kind);
        out.put_u8(length(upid.len())?);
        out.put_slice(upid);
        out.put_slice(&[content.kind, content.segment.0, content.segment.1]);
        if let Some((part, of)) = content.sub_segment {
            out.put_slice(&[part, of]);
        }
        Ok(out.freeze())
    }
}
