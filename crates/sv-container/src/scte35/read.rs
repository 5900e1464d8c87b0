//! Reading sections.

use bytes::Bytes;
use sv_codec::Reader;

use super::segmentation::has_parts;
use super::{
    At, BreakDuration, CUEI, Command, Content, Descriptor, Insert, LARGEST, Restrictions, Section,
    Segmentation, Splice,
};
use crate::num::u64_of;
use crate::ts::crc;
use crate::{Error, Result};

const WHAT: &str = "splice_info_section";
/// Descriptors of one section; each has six bytes at least, so there could be 680.
const MOST_DESCRIPTORS: usize = 256;

impl Section {
    /// Reads a section, from its `table_id` to its checksum. What follows is not looked at.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is none or is damaged, [`Error::Syntax`] when it ends too early, and
    /// [`Error::Unsupported`] when it is encrypted or has an unknown command: it is for somebody else.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let broken = |problem| Error::Malformed { path: WHAT, offset: 0, problem };
        let syntax = Error::syntax(0);
        let mut r = Reader::new(WHAT, bytes);
        let mut head = || -> sv_codec::Result<(u8, u16)> { Ok((r.u8()?, r.u16()?)) };
        let (table, word) = head().map_err(&syntax)?;
        if table != 0xFC {
            return Err(broken("its table identifier is not 0xFC"));
        }
        if word & 0x8000 != 0 {
            return Err(broken("it has the head of a longer kind of section"));
        }
        let whole = usize::from(word & 0xFFF).saturating_add(3);
        if whole > LARGEST {
            return Err(broken("it is longer than 4096 bytes"));
        }
        let section = bytes.get(..whole).ok_or_else(|| Error::Truncated {
            what: WHAT.into(),
            needed: u64_of(whole),
            size: u64_of(bytes.len()),
        })?;
        if crc(section) != 0 {
            return Err(broken("its checksum is wrong"));
        }
        let end = whole.checked_sub(4).ok_or_else(|| broken("it is too short for a checksum"))?;
        let sap_type = u8::try_from(word.wrapping_shr(12) & 3).unwrap_or(3);
        let mut r = Reader::new(WHAT, section.get(..end).unwrap_or_default());
        r.skip(3).map_err(&syntax)?;
        if r.u8().map_err(&syntax)? != 0 {
            return Err(broken("its protocol is of a later version"));
        }
        body(&mut r, sap_type)
    }
}

fn body(r: &mut Reader<'_>, sap_type: u8) -> Result<Section> {
    let syntax = Error::syntax(0);
    let flags = r.u8().map_err(&syntax)?;
    if flags & 0x80 != 0 {
        return Err(Error::Unsupported {
            what: "an encrypted splice_info_section".into(),
            hint: "whoever has its key must decrypt it first",
        });
    }
    let pts_adjustment = u64::from(flags & 1).wrapping_shl(32) | u64::from(r.u32().map_err(&syntax)?);
    let cw_index = r.u8().map_err(&syntax)?;
    let word = r.u24().map_err(&syntax)?;
    let tier = u16::try_from(word.wrapping_shr(12) & 0xFFF).unwrap_or(0xFFF);
    let length = usize::try_from(word & 0xFFF).unwrap_or(0xFFF);
    let kind = r.u8().map_err(&syntax)?;
    // Before 2007 the length was left open: the command tells its own.
    let command = if length == 0xFFF {
        command(kind, r)?
    } else {
        let mut inner = Reader::new("splice_command", r.take(length).map_err(&syntax)?);
        command(kind, &mut inner)?
    };
    let length = usize::from(r.u16().map_err(&syntax)?);
    let mut loops = Reader::new("splice_descriptor", r.take(length).map_err(&syntax)?);
    let mut descriptors = Vec::new();
    while !loops.is_empty() {
        if descriptors.len() >= MOST_DESCRIPTORS {
            let limit = u64_of(MOST_DESCRIPTORS);
            return Err(Error::LimitExceeded { what: "the number of splice descriptors", offset: 0, limit });
        }
        descriptors.push(descriptor(&mut loops).map_err(&syntax)?);
    }
    Ok(Section { sap_type, pts_adjustment, cw_index, tier, command, descriptors })
}

fn command(kind: u8, r: &mut Reader<'_>) -> Result<Command> {
    let mut parse = || -> sv_codec::Result<Option<Command>> {
        let rest = |r: &mut Reader<'_>| r.take(r.remaining()).map(Bytes::copy_from_slice);
        Ok(Some(match kind {
            0x00 => Command::Null,
            0x04 => Command::Schedule(rest(r)?),
            0x05 => Command::Insert(insert(r)?),
            0x06 => Command::TimeSignal(time(r)?),
            0x07 => Command::BandwidthReservation,
            0xFF => Command::Private { identifier: r.array()?, data: rest(r)? },
            _ => return Ok(None),
        }))
    };
    parse().map_err(Error::syntax(0))?.ok_or_else(|| Error::Unsupported {
        what: format!("the splice command {kind:#04x}"),
        hint: "it is reserved by the standard",
    })
}

/// `splice_time` (9.8.1).
fn time(r: &mut Reader<'_>) -> sv_codec::Result<Option<u64>> {
    let flags = r.u8()?;
    if flags & 0x80 == 0 {
        return Ok(None);
    }
    Ok(Some(u64::from(flags & 1).wrapping_shl(32) | u64::from(r.u32()?)))
}

fn insert(r: &mut Reader<'_>) -> sv_codec::Result<Insert> {
    let event = r.u32()?;
    if r.u8()? & 0x80 != 0 {
        return Ok(Insert { event, splice: None });
    }
    let flags = r.u8()?;
    let is = |bit: u8| flags & bit != 0;
    let at = match (is(0x40), is(0x10)) {
        (true, true) => At::Now,
        (true, false) => At::Program(time(r)?),
        (false, now) => {
            let count = r.u8()?;
            if now {
                At::ComponentsNow(r.take(usize::from(count))?.to_vec())
            } else {
                let one = |_| Ok((r.u8()?, time(r)?));
                At::Components((0..count).map(one).collect::<sv_codec::Result<_>>()?)
            }
        }
    };
    let duration = if is(0x20) {
        let flags = r.u8()?;
        let ticks = u64::from(flags & 1).wrapping_shl(32) | u64::from(r.u32()?);
        Some(BreakDuration { auto_return: flags & 0x80 != 0, ticks })
    } else {
        None
    };
    let splice = Splice {
        out: is(0x80),
        at,
        duration,
        loose_ids: is(0x08),
        program: r.u16()?,
        avail: (r.u8()?, r.u8()?),
    };
    Ok(Insert { event, splice: Some(splice) })
}

fn descriptor(r: &mut Reader<'_>) -> sv_codec::Result<Descriptor> {
    let tag = r.u8()?;
    let length = usize::from(r.u8()?);
    let mut body = Reader::new("splice_descriptor", r.take(length)?);
    let identifier = body.array()?;
    if tag == 2 && identifier == CUEI {
        return segmentation(&mut body).map(Descriptor::Segmentation);
    }
    Ok(Descriptor::Other { tag, identifier, data: Bytes::copy_from_slice(body.rest()) })
}

fn segmentation(r: &mut Reader<'_>) -> sv_codec::Result<Segmentation> {
    let event = r.u32()?;
    let flags = r.u8()?;
    let loose_ids = flags & 0x40 != 0;
    if flags & 0x80 != 0 {
        return Ok(Segmentation { event, loose_ids, content: None });
    }
    let flags = r.u8()?;
    let is = |bit: u8| flags & bit != 0;
    let components = if is(0x80) {
        None
    } else {
        let count = r.u8()?;
        let one = |_| {
            let (tag, high, low) = (r.u8()?, r.u8()?, r.u32()?);
            Ok((tag, u64::from(high & 1).wrapping_shl(32) | u64::from(low)))
        };
        Some((0..count).map(one).collect::<sv_codec::Result<_>>()?)
    };
    let restrictions = (!is(0x20)).then(|| Restrictions {
        web: is(0x10),
        everywhere: is(0x08),
        archive: is(0x04),
        devices: flags & 3,
    });
    let duration =
        if is(0x40) { Some(u64::from(r.u8()?).wrapping_shl(32) | u64::from(r.u32()?)) } else { None };
    let kind = r.u8()?;
    let length = usize::from(r.u8()?);
    let upid = (kind, Bytes::copy_from_slice(r.take(length)?));
    let kind = r.u8()?;
    let segment = (r.u8()?, r.u8()?);
    let sub_segment = if has_parts(kind) && r.remaining() >= 2 { Some((r.u8()?, r.u8()?)) } else { None };
    let content = Content { components, duration, restrictions, upid, kind, segment, sub_segment };
    Ok(Segmentation { event, loose_ids, content: Some(content) })
}
