//! The header of a fragmented file: a CMAF header (ISO/IEC 23000-19, 7.3.1).

use bytes::Bytes;
use sv_core::{Codec, Duration, Media, TimeBase, Timestamp, Track, TrackKind};

use super::boxes::Boxes;
use super::sample_entry;
use crate::language;
use crate::num::u32_of;
use crate::{Error, Result};

/// The timescale of movie-wide times: milliseconds would do, but this divides more frame rates.
pub(super) const MOVIE: TimeBase = TimeBase::MPEG;

/// An initialisation segment: `ftyp` and a `moov` without samples, for fragments to follow.
///
/// Protected tracks become `encv` and `enca` with `sinf`, and their `pssh` boxes come along, each
/// once. [`AudioInfo::delay`](sv_core::AudioInfo::delay) becomes an edit list: packet times are
/// expected to be shifted so that the first packet, priming included, is at zero or later.
///
/// # Errors
/// [`Error::InvalidInput`] for no track, two of the same number, or one that MP4 can't carry.
pub fn init_segment(tracks: &[&Track]) -> Result<Bytes> {
    check(tracks)?;
    let mut w = Boxes::with_capacity(
        tracks.iter().fold(512, |n: usize, t| n.saturating_add(1024).saturating_add(t.config.len())),
    );
    w.boxed(b"ftyp", |w| {
        w.bytes(b"iso6");
        w.u32(0);
        w.bytes(b"iso6");
        w.bytes(b"cmfc");
        w.bytes(b"dash");
        if tracks.iter().any(|t| t.codec == Codec::Av1) {
            w.bytes(b"av01");
        }
        if tracks.iter().any(|t| t.codec == Codec::Iamf) {
            w.bytes(b"iamf");
        }
    });
    let mut result = Ok(());
    w.boxed(b"moov", |w| {
        movie_header(w, 0, tracks);
        for track in tracks {
            if let Err(error) = track_box(w, tracks, track, 0, Edit::announced(track), &mut no_samples) {
                result = Err(error);
            }
        }
        w.boxed(b"mvex", |w| {
            let length =
                tracks.iter().map(|t| t.duration.map(|d| d.rescale(t.time_base, MOVIE))).max().flatten();
            if let Some(length) =
                length.filter(|l| l.ticks() > 0 && tracks.iter().all(|t| t.duration.is_some()))
            {
                w.full(b"mehd", 1, 0, |w| w.u64(length.ticks()));
            }
            for track in tracks {
                w.full(b"trex", 0, 0, |w| {
                    w.u32(track.id.0);
                    w.u32(1); // sample description
                    w.zeros(12);
                });
            }
        });
        let mut seen: Vec<&Bytes> = Vec::new();
        for pssh in tracks.iter().filter_map(|t| t.protection.as_ref()).flat_map(|p| &p.pssh) {
            if !seen.contains(&pssh) {
                seen.push(pssh);
                w.bytes(pssh);
            }
        }
    });
    result.map(|()| w.out.freeze())
}

pub(super) fn check(tracks: &[&Track]) -> Result<()> {
    let problem = |track: u32, problem| Err(Error::InvalidInput { track, problem });
    if tracks.is_empty() {
        return problem(0, "there is no track at all");
    }
    for (index, track) in tracks.iter().enumerate() {
        if track.id.0 == 0 {
            return problem(0, "a track's number must not be 0");
        }
        if tracks.iter().take(index).any(|other| other.id == track.id) {
            return problem(track.id.0, "two tracks have its number");
        }
        if let Some(protection) = &track.protection {
            if protection.scheme.fourcc().is_none() {
                return problem(track.id.0, "it is encrypted as only transport streams can be");
            }
            let constant = protection.constant_iv.as_ref().map_or(0, Bytes::len);
            if !matches!((protection.iv_size, constant), (8 | 16, _) | (0, 8 | 16)) {
                return problem(track.id.0, "its initialisation vectors have neither 8 nor 16 bytes");
            }
        }
    }
    Ok(())
}

/// `mvhd` (ISO/IEC 14496-12, 8.2.2), `duration` in [`MOVIE`] ticks.
pub(super) fn movie_header(w: &mut Boxes, duration: u64, tracks: &[&Track]) {
    w.full(b"mvhd", 1, 0, |w| {
        w.zeros(16); // creation and modification time: output must not depend on the clock
        w.u32(MOVIE.den());
        w.u64(duration);
        w.u32(0x0001_0000); // rate
        w.u16(0x0100); // volume
        w.zeros(10);
        matrix(w, 0, 0, 0);
        w.zeros(24);
        w.u32(tracks.iter().map(|t| t.id.0).max().unwrap_or(0).saturating_add(1));
    });
}

/// Sample tables of a track whose samples are all in fragments.
pub(super) fn no_samples(w: &mut Boxes) {
    w.full(b"stts", 0, 0, |w| w.u32(0));
    w.full(b"stsc", 0, 0, |w| w.u32(0));
    w.full(b"stsz", 0, 0, |w| w.zeros(8));
    w.full(b"stco", 0, 0, |w| w.u32(0));
}

/// `trak`, its sample tables written by `tables`; `duration` in the track's timescale.
pub(super) fn track_box(
    w: &mut Boxes,
    tracks: &[&Track],
    track: &Track,
    duration: u64,
    edit: Edit,
    tables: &mut dyn FnMut(&mut Boxes),
) -> Result<()> {
    let mut result = Ok(());
    w.boxed(b"trak", |w| {
        // What players show: all of the media but its start, and nothing for a while before.
        let rest = edit.shown.unwrap_or(duration.saturating_sub(edit.start.unsigned_abs()));
        let shown = edit.empty.saturating_add(rest);
        track_header(w, tracks, track, if duration == 0 { 0 } else { shown });
        edit_list(w, track, duration, edit);
        w.boxed(b"mdia", |w| {
            media_header(w, track, duration);
            w.boxed(b"minf", |w| {
                match track.kind() {
                    TrackKind::Video => w.full(b"vmhd", 0, 1, |w| w.zeros(8)),
                    TrackKind::Audio => w.full(b"smhd", 0, 0, |w| w.zeros(4)),
                    TrackKind::Text if track.codec == Codec::Ttml => w.full(b"sthd", 0, 0, |_| {}),
                    TrackKind::Text => w.full(b"nmhd", 0, 0, |_| {}),
                }
                w.boxed(b"dinf", |w| {
                    w.full(b"dref", 0, 0, |w| {
                        w.u32(1);
                        w.full(b"url ", 0, 1, |_| {}); // in this file
                    });
                });
                w.boxed(b"stbl", |w| {
                    w.full(b"stsd", 0, 0, |w| {
                        result = sample_entry::write_all(w, track);
                    });
                    tables(w);
                });
            });
        });
    });
    result
}

/// A duration in the track's timescale in [`MOVIE`] ticks.
pub(super) fn movie_ticks(track: &Track, duration: u64) -> u64 {
    TimeBase::new(1, track.time_base.den())
        .map_or(0, |base| Duration::new(duration).rescale(base, MOVIE).ticks())
}

/// `tkhd` (ISO/IEC 14496-12, 8.3.2).
fn track_header(w: &mut Boxes, tracks: &[&Track], track: &Track, duration: u64) {
    let rivals = || tracks.iter().filter(|t| t.kind() == track.kind());
    let enabled = track.default || rivals().count() == 1 || rivals().all(|t| !t.default);
    w.full(b"tkhd", 1, if enabled { 7 } else { 6 }, |w| {
        w.zeros(16);
        w.u32(track.id.0);
        w.u32(0);
        w.u64(movie_ticks(track, duration));
        w.zeros(8);
        w.u16(0); // layer
        let group = if rivals().count() > 1 { 1u16 } else { 0 };
        w.u16(match track.kind() {
            TrackKind::Video => 0,
            TrackKind::Audio => group,
            TrackKind::Text => group.wrapping_mul(2),
        });
        w.u16(if track.kind() == TrackKind::Audio { 0x0100 } else { 0 });
        w.u16(0);
        let (width, height, turns) = match &track.media {
            Media::Video(video) => {
                let shown = u64::from(video.width)
                    .wrapping_shl(16)
                    .saturating_mul(u64::from(video.sample_aspect.num()))
                    .checked_div(u64::from(video.sample_aspect.den()));
                (u32_of(shown.unwrap_or(0)), video.height.saturating_mul(1 << 16), video.quarter_turns)
            }
            _ => (0, 0, 0),
        };
        matrix(w, turns, width, height);
        w.u32(width);
        w.u32(height);
    });
}

/// The transformation matrix (ISO/IEC 14496-12, 6.2.2) of clockwise quarter turns, shifted so that
/// the picture stays in the positive quadrant.
fn matrix(w: &mut Boxes, quarter_turns: u8, width: u32, height: u32) {
    const ONE: i32 = 1 << 16;
    let (w_, h_) = (i32::try_from(width).unwrap_or(0), i32::try_from(height).unwrap_or(0));
    let [a, b, c, d, x, y] = match quarter_turns % 4 {
        1 => [0, ONE, -ONE, 0, h_, 0],
        2 => [-ONE, 0, 0, -ONE, w_, h_],
        3 => [0, -ONE, ONE, 0, 0, w_],
        _ => [ONE, 0, 0, ONE, 0, 0],
    };
    for value in [a, b, 0, c, d, 0, x, y, 1 << 30] {
        w.i32(value);
    }
}

/// Which part of the media players show, in the track's timescale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    /// How long nothing is shown at first.
    pub(super) empty: u64,
    /// The media time at which showing begins.
    pub(super) start: i64,
    /// How much is shown from there on, if that isn't all.
    pub(super) shown: Option<u64>,
}

impl Edit {
    /// Takes back what the track says: sound that players must drop, pictures that are shown later
    /// than they are decoded.
    fn announced(track: &Track) -> Self {
        let start = match (track.audio(), track.video()) {
            (Some(audio), _) => TimeBase::new(1, audio.sample_rate)
                .zip(TimeBase::new(1, track.time_base.den()))
                .map(|(rate, base)| Timestamp::new(i64::from(audio.delay)).rescale(rate, base).ticks()),
            (_, Some(video)) => i64::try_from(timescale_length(track, video.reorder)).ok(),
            _ => None,
        };
        Self { empty: 0, start: start.unwrap_or(0), shown: None }
    }
}

/// `edts` where it says more than nothing (ISO/IEC 14496-12, 8.6.6).
fn edit_list(w: &mut Boxes, track: &Track, duration: u64, edit: Edit) {
    if edit == Edit::default() {
        return;
    }
    w.boxed(b"edts", |w| {
        w.full(b"elst", 1, 0, |w| {
            w.u32(if edit.empty > 0 { 2 } else { 1 });
            if edit.empty > 0 {
                w.u64(movie_ticks(track, edit.empty));
                w.i64(-1);
                w.u32(0x0001_0000);
            }
            // In a fragmented file zero stands for "to the end".
            let rest = edit.shown.unwrap_or(duration.saturating_sub(edit.start.unsigned_abs()));
            w.u64(if duration == 0 { 0 } else { movie_ticks(track, rest) });
            w.i64(edit.start);
            w.u32(0x0001_0000);
        });
    });
}

/// `mdhd`, `hdlr` and `elng` (ISO/IEC 14496-12, 8.4).
fn media_header(w: &mut Boxes, track: &Track, duration: u64) {
    let tag = track.language.as_deref().unwrap_or("und");
    w.full(b"mdhd", 1, 0, |w| {
        w.zeros(16);
        w.u32(track.time_base.den());
        w.u64(duration);
        w.u16(language::packed(tag));
        w.u16(0);
    });
    let (handler, name) = match track.kind() {
        TrackKind::Video => (b"vide", "Video"),
        TrackKind::Audio => (b"soun", "Audio"),
        // Subtitles, as ISO/IEC 14496-12 has them (12.6); WebVTT is text.
        TrackKind::Text if track.codec == Codec::Ttml => (b"subt", "Text"),
        TrackKind::Text => (b"text", "Text"),
    };
    w.full(b"hdlr", 0, 0, |w| {
        w.u32(0);
        w.bytes(handler);
        w.zeros(12);
        w.cstr(track.label.as_deref().unwrap_or(name));
    });
    if language::unpacked(language::packed(tag)).as_deref() != track.language.as_deref() {
        w.full(b"elng", 0, 0, |w| w.cstr(tag));
    }
}

/// Times in the track's timescale: `1 / den`, whatever the numerator of its time base.
pub(super) fn timescale_ticks(track: &Track, ticks: i64) -> Option<i64> {
    ticks.checked_mul(i64::from(track.time_base.num()))
}

/// Durations, as for [`timescale_ticks`].
pub(super) fn timescale_length(track: &Track, length: Duration) -> u64 {
    length.ticks().saturating_mul(u64::from(track.time_base.num()))
}
