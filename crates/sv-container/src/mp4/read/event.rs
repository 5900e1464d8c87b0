//! Event messages in front of fragments (`emsg`: ISO/IEC 23009-1, 5.10.3.3).

use std::collections::BTreeMap;

use bytes::Bytes;
use sv_codec::Reader;
use sv_core::{Cue, Duration, Limits, ReadAt, TimeBase, Timestamp};

use super::atom::{Atom, Header};
use super::layout::MAX_IDLE_BOXES;
use super::moof::{self, Defaults};
use super::trak::Trak;
use crate::Result;

/// Largest message that is read, and most of a scheme.
const LARGEST: usize = 64 << 10;
const MOST: usize = 4096;

/// A message, and whether its time counts from the beginning of its segment.
struct Message {
    relative: bool,
    at: std::time::Duration,
    scheme: String,
    payload: Bytes,
}

impl Message {
    /// `None` for one of a later version, or on no clock.
    fn parse(atom: &Atom) -> Result<Option<Self>> {
        let mut r = atom.reader("emsg");
        let (version, _) = Atom::version_flags(&mut r).map_err(atom.error())?;
        let mut parse = || -> sv_codec::Result<Option<Self>> {
            let (scheme, timescale, time) = match version {
                0 => {
                    let scheme = word(&mut r);
                    word(&mut r);
                    (scheme, r.u32()?, u64::from(r.u32()?))
                }
                1 => (String::new(), r.u32()?, r.u64()?),
                _ => return Ok(None),
            };
            r.skip(8)?;
            let scheme = if version == 0 { scheme } else { word(&mut r) };
            if version == 1 {
                word(&mut r);
            }
            let Some(base) = TimeBase::new(1, timescale) else { return Ok(None) };
            let at = Duration::new(time).to_std(base);
            Ok(Some(Self { relative: version == 0, at, scheme, payload: Bytes::copy_from_slice(r.rest()) }))
        };
        parse().map_err(atom.error())
    }
}

/// Characters up to a zero.
fn word(r: &mut Reader<'_>) -> String {
    let rest = r.rest();
    let length = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let text = String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into_owned();
    // The zero too, where there is one.
    let _ = r.skip(length.saturating_add(1).min(rest.len()));
    text
}

/// The events of a scheme in a file whose fragments begin at `first`: of its boxes nothing else is read but, for times that
/// count from them, fragments' headers. What can't be read is left out: whoever reads the samples tells of damage.
pub(super) fn scan(
    source: &dyn ReadAt,
    first: u64,
    scheme: &str,
    defaults: &BTreeMap<u32, Defaults>,
    traks: &BTreeMap<u32, Trak>,
    limits: &Limits,
) -> Vec<Cue> {
    let (mut out, mut held) = (Vec::new(), Vec::<Message>::new());
    let (mut next, mut idle) = (first, 0usize);
    while let Ok(Some(header)) = Header::read(source, next) {
        next = header.end;
        idle = idle.saturating_add(1);
        if idle > MAX_IDLE_BOXES || held.len().saturating_add(out.len()) >= MOST {
            break;
        }
        match &header.kind {
            b"emsg" => {
                let message = header.load(source, LARGEST).and_then(|atom| Message::parse(&atom));
                held.extend(message.ok().flatten().filter(|message| message.scheme == scheme));
            }
            b"moof" => {
                idle = 0;
                let begin = match held.iter().any(|message| message.relative) {
                    true => {
                        let atom = header.load(source, limits.structure_bytes);
                        let begin = atom.and_then(|atom| begin(&atom, &header, defaults, traks, limits));
                        begin.unwrap_or_default()
                    }
                    false => std::time::Duration::ZERO,
                };
                let cue = |m: Message| {
                    let at = if m.relative { begin.saturating_add(m.at) } else { m.at };
                    Cue { at, payload: m.payload, scheme: m.scheme }
                };
                out.extend(held.drain(..).map(cue));
            }
            _ => {}
        }
    }
    out
}

/// When the earliest track of a fragment begins.
fn begin(
    atom: &Atom,
    header: &Header,
    defaults: &BTreeMap<u32, Defaults>,
    traks: &BTreeMap<u32, Trak>,
    limits: &Limits,
) -> Result<std::time::Duration> {
    let none = BTreeMap::new();
    let fragments = moof::parse(atom, header.start, defaults, traks, &none, limits.samples)?;
    let times = fragments.iter().filter_map(|fragment| {
        let trak = traks.get(&fragment.track)?;
        let base = trak.descriptions.first()?.time_base;
        let at = Timestamp::new(fragment.dts().saturating_add(trak.edit.shift));
        Some(Duration::new(at.ticks().max(0).unsigned_abs()).to_std(base))
    });
    Ok(times.min().unwrap_or_default())
}
