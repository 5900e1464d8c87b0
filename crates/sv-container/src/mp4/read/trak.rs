//! `trak` (ISO/IEC 14496-12, 8.3): one track, its descriptions and where its samples are.

use std::sync::Arc;

use sv_core::{Codec, Duration, Limits, Media, Ratio, TimeBase, Timestamp, Track, TrackId};

use super::atom::{Atom, Kind};
use super::crypt::Auxiliary;
use super::entry::{self, Entry};
use super::spherical;
use super::tables::Tables;
use crate::language;
use crate::num::{i64_of, u32_of, u64_of};
use crate::{Error, Result};

/// A track that can be read.
pub(super) struct Trak {
    /// One for each sample entry; at least one.
    pub(super) descriptions: Vec<Arc<Track>>,
    pub(super) tables: Tables,
    pub(super) auxiliary: Option<Auxiliary>,
    /// Kept for its sample groups, which fragments may refer to.
    pub(super) stbl: Atom,
    pub(super) edit: Edit,
}

/// What `trak` turned out to be.
pub(super) enum Parsed {
    Track(Box<Trak>),
    /// Number and reason.
    Skipped(u32, String),
}

/// How an edit list moves a track (8.6.6), in the track's timescale.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edit {
    /// What is added to media times.
    pub(super) shift: i64,
    /// Where in the media the presentation begins.
    pub(super) start: i64,
    /// Where on the presentation's timeline it ends, if the list ends it before the media.
    pub(super) end: Option<i64>,
    /// Whether there is more in the list than this can express.
    pub(super) partial: bool,
}

/// Reads a `trak`; `movie` is the movie's time base.
pub(super) fn parse(trak: &Atom, movie: TimeBase, limits: &Limits, quicktime: bool) -> Result<Parsed> {
    let need = |atom: Option<Atom>, problem| atom.ok_or_else(|| trak.malformed("moov/trak", problem));
    let header = Header::parse(&need(trak.child(b"tkhd"), "it has no tkhd")?)?;
    let mdia = need(trak.child(b"mdia"), "it has no mdia")?;
    let hdlr = need(mdia.child(b"hdlr"), "it has no mdia/hdlr")?;
    let mut r = hdlr.reader("hdlr");
    r.skip(8).map_err(hdlr.error())?;
    let handler: Kind = r.array().map_err(hdlr.error())?;
    if !matches!(&handler, b"vide" | b"soun" | b"text" | b"subt" | b"sbtl") {
        return Ok(Parsed::Skipped(header.id, format!("its handler is {}", handler.escape_ascii())));
    }
    let label = handler_name(r.rest().get(12..).unwrap_or_default(), quicktime);
    let media = MediaHeader::parse(&need(mdia.child(b"mdhd"), "it has no mdia/mdhd")?)?;
    let minf = need(mdia.child(b"minf"), "it has no mdia/minf")?;
    let stbl = need(minf.child(b"stbl"), "it has no mdia/minf/stbl")?;
    let stsd = need(stbl.child(b"stsd"), "it has no mdia/minf/stbl/stsd")?;

    let mut entries: Vec<Entry> = Vec::new();
    let mut unusable = None;
    for atom in stsd.children(8) {
        match entry::parse(&atom?, handler, quicktime)? {
            Ok(entry) if entries.len() < limits.tracks => entries.push(entry),
            Ok(_) => break,
            // Numbers of descriptions count all entries: one hole makes them all wrong.
            Err(kind) => unusable = unusable.or(Some(kind)),
        }
    }
    if let Some(kind) = unusable.or_else(|| entries.is_empty().then(|| "nothing".to_owned())) {
        return Ok(Parsed::Skipped(header.id, format!("its samples are coded as {kind}")));
    }
    for entry in &entries {
        crate::check_pixels(&entry.media, limits, stsd.offset)?;
    }
    let Some(base) = TimeBase::new(1, media.timescale) else {
        return Err(trak.malformed("moov/trak/mdia/mdhd", "the timescale is zero"));
    };
    let tables = Tables::parse(&stbl, limits.samples)?;
    let edit = match trak.child(b"edts").and_then(|edts| edts.child(b"elst")) {
        Some(elst) => edit_list(&elst, movie, base)?,
        None => Edit::default(),
    };
    let auxiliary = match entries.iter().find_map(|e| e.protection.as_ref()) {
        Some(protection) if tables.count > 0 => {
            Some(Auxiliary::parse(&stbl, 0, protection, Some(&stbl), &[])?)
        }
        _ => None,
    };
    // `elng` is the full tag where there is one.
    let elng = mdia.child(b"elng").and_then(|elng| {
        let text = std::str::from_utf8(elng.body.get(4..)?).ok()?;
        Some(text.trim_end_matches('\0').to_owned()).filter(|tag| !tag.is_empty() && tag != "und")
    });
    let duration = duration(&media, &tables, &edit);
    let language = elng.or(media.language);
    let descriptions = entries
        .into_iter()
        .map(|entry| {
            let mut media = entry.media;
            finish(&mut media, &header, &tables, base, &edit, entry.codec);
            if let Media::Video(video) = &mut media
                && video.spherical.is_none()
            {
                video.spherical = spherical::v1(trak);
            }
            Arc::new(Track {
                id: TrackId(header.id),
                codec: entry.codec,
                time_base: base,
                config: entry.config,
                media,
                language: language.clone(),
                label: label.clone(),
                default: header.enabled,
                duration,
                bitrate: entry.bitrate,
                protection: entry.protection,
            })
        })
        .collect();
    Ok(Parsed::Track(Box::new(Trak { descriptions, tables, auxiliary, stbl, edit })))
}

/// What only the boxes around the sample entry know.
fn finish(media: &mut Media, header: &Header, tables: &Tables, base: TimeBase, edit: &Edit, codec: Codec) {
    match media {
        Media::Video(video) => {
            video.quarter_turns = header.quarter_turns;
            let constant = tables.constant_duration().and_then(|d| Ratio::new(base.den(), d));
            let average = || {
                let frames = u64_of(tables.count).checked_mul(u64::from(base.den()))?;
                nearest_ratio(frames, tables.total_duration())
            };
            video.frame_rate = constant.or(video.frame_rate).or_else(average);
        }
        Media::Audio(audio) => {
            if let Some(rate) = TimeBase::new(1, audio.sample_rate).filter(|_| codec != Codec::WebVtt) {
                audio.delay = u32_of(Timestamp::new(edit.start).rescale(base, rate).ticks());
            }
        }
        Media::Text(_) => {}
    }
}

/// `a / b` in 32 bits, with what precision they leave.
fn nearest_ratio(a: u64, b: u64) -> Option<Ratio> {
    let bits = u64::BITS.saturating_sub((a | b).leading_zeros()).saturating_sub(u32::BITS);
    Ratio::new(u32_of(a.checked_shr(bits)?), u32_of(b.checked_shr(bits)?))
}

fn duration(media: &MediaHeader, tables: &Tables, edit: &Edit) -> Option<Duration> {
    let whole = if media.duration > 0 { media.duration } else { tables.total_duration() };
    let end = edit.end.map(i64::unsigned_abs).unwrap_or(u64::MAX);
    let presented = i64_of(whole).saturating_add(edit.shift).max(0).unsigned_abs();
    Some(Duration::new(presented.min(end))).filter(|_| whole > 0)
}

/// The name in `hdlr`: a C string, in QuickTime a Pascal string. Names that only repeat what every
/// track is are none.
fn handler_name(bytes: &[u8], quicktime: bool) -> Option<String> {
    let bytes = match bytes.split_first() {
        Some((len, rest)) if quicktime && usize::from(*len) == rest.len() => rest,
        _ => bytes,
    };
    let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).ok()?.trim();
    let stock = ["Handler", "handler", "Media", "Video", "Audio", "Text", "ISO"];
    let generic = text.is_empty() || text.len() > 255 || stock.iter().any(|word| text.contains(word));
    (!generic).then(|| text.to_owned())
}

/// `tkhd` (8.3.2).
struct Header {
    id: u32,
    enabled: bool,
    quarter_turns: u8,
}

impl Header {
    fn parse(atom: &Atom) -> Result<Self> {
        let mut r = atom.reader("tkhd");
        let mut parse = || -> sv_codec::Result<Self> {
            let (version, flags) = Atom::version_flags(&mut r)?;
            r.skip(if version == 1 { 16 } else { 8 })?;
            let id = r.u32()?;
            // Reserved, duration, reserved, layer, group, volume, reserved.
            r.skip(if version == 1 { 4 + 8 + 16 } else { 4 + 4 + 16 })?;
            let [a, b, _, c, d] = [r.i32()?, r.i32()?, r.i32()?, r.i32()?, r.i32()?];
            let quarter_turns = match (a.signum(), b.signum(), c.signum(), d.signum()) {
                (0, 1, -1, 0) => 1,
                (-1, 0, 0, -1) => 2,
                (0, -1, 1, 0) => 3,
                _ => 0,
            };
            Ok(Self { id, enabled: flags & 1 != 0, quarter_turns })
        };
        parse().map_err(atom.error())
    }
}

/// `mdhd` (8.4.2).
struct MediaHeader {
    timescale: u32,
    duration: u64,
    language: Option<String>,
}

impl MediaHeader {
    fn parse(atom: &Atom) -> Result<Self> {
        let mut r = atom.reader("mdhd");
        let mut parse = || -> sv_codec::Result<Self> {
            let (version, _) = Atom::version_flags(&mut r)?;
            r.skip(if version == 1 { 16 } else { 8 })?;
            let timescale = r.u32()?;
            let (duration, unknown) =
                if version == 1 { (r.u64()?, u64::MAX) } else { (u64::from(r.u32()?), u64::from(u32::MAX)) };
            let duration = if duration == unknown { 0 } else { duration };
            Ok(Self { timescale, duration, language: language::unpacked(r.u16()?) })
        };
        parse().map_err(atom.error())
    }
}

/// `elst` (8.6.6): empty edits at the start and the first real one.
fn edit_list(elst: &Atom, movie: TimeBase, base: TimeBase) -> Result<Edit> {
    let mut r = elst.reader("elst");
    let mut edit = Edit::default();
    let mut parse = || -> sv_codec::Result<()> {
        let (version, _) = Atom::version_flags(&mut r)?;
        let count = r.u32()?;
        let mut empty = Duration::ZERO;
        let mut real = false;
        for _ in 0..count {
            let (length, start) = if version == 1 {
                (r.u64()?, i64::from_be_bytes(r.array()?))
            } else {
                (u64::from(r.u32()?), i64::from(r.i32()?))
            };
            r.skip(4)?;
            let length = Duration::new(length).rescale(movie, base);
            if start < 0 && !real {
                empty = empty.saturating_add(length);
            } else if !real {
                real = true;
                let empty = i64_of(empty.ticks());
                edit.start = start;
                edit.shift = empty.saturating_sub(start);
                edit.end = (length.ticks() > 0).then(|| empty.saturating_add(i64_of(length.ticks())));
            } else {
                edit.partial = true;
                edit.end = None;
            }
        }
        Ok(())
    };
    parse().map_err(elst.error())?;
    Ok(edit)
}

/// `mvhd`'s timescale (8.2.2).
pub(super) fn movie_time_base(moov: &Atom) -> Result<TimeBase> {
    let Some(mvhd) = moov.child(b"mvhd") else {
        return Err(moov.malformed("moov", "it has no mvhd"));
    };
    let mut r = mvhd.reader("mvhd");
    let mut parse = || -> sv_codec::Result<u32> {
        let (version, _) = Atom::version_flags(&mut r)?;
        r.skip(if version == 1 { 16 } else { 8 })?;
        r.u32()
    };
    let timescale = parse().map_err(mvhd.error())?;
    TimeBase::new(1, timescale).ok_or(Error::Malformed {
        path: "moov/mvhd",
        offset: mvhd.offset,
        problem: "the timescale is zero",
    })
}
