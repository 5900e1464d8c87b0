//! Following one media playlist.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sv_container::{mp4, ts};
use sv_core::{Bytes, Item, Limits, Source as _, Track, TrackId};

use super::playlist::{Media, Part, Piece, Playlist, Range, parse};
use crate::{Error, Result};

/// Segments behind the newest at which a live playlist is begun.
const BEHIND: u32 = 3;
/// Things that can't be had, one behind the other, until it is given up.
const PATIENCE: u32 = 5;
/// Numbers of tracks that a lane can have.
const LANE: u32 = 4096;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Get this, and give it to [`Lane::came`] or [`Lane::failed`].
    Get(Get),
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing any more.
    Over,
}

/// Something to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Where, relative to the playlist; empty for the playlist itself.
    pub uri: String,
    /// For the playlist itself: what stands behind its question mark, so that the server holds the request until there is more.
    pub query: Option<String>,
    /// Which bytes of it; all without.
    pub range: Option<Range>,
}

/// Follows a media playlist. The clock is an argument: how long ago something began that all moments count from.
#[derive(Debug)]
pub struct Lane {
    limits: Limits,
    playlist: Option<Media>,
    /// When the playlist may be asked for again.
    due: Duration,
    /// What comes next: the segment's number, and the part of it.
    next: Option<(u64, usize)>,
    /// What was asked for.
    asked: Option<Asked>,
    /// What stands in front of segments of MP4.
    map: Option<(Piece, Bytes)>,
    parser: Option<ts::Parser>,
    told: Vec<Arc<Track>>,
    ready: VecDeque<Item>,
    failures: u32,
    over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Playlist,
    Map(Piece),
    /// Media, and what comes behind them.
    Media((u64, usize)),
}

/// Media that can be had.
struct Found {
    piece: Piece,
    map: Option<Piece>,
    discontinuity: bool,
    gap: bool,
    after: (u64, usize),
}

impl Lane {
    /// Begins with nothing.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            playlist: None,
            due: Duration::ZERO,
            next: None,
            asked: None,
            map: None,
            parser: None,
            told: Vec::new(),
            ready: VecDeque::new(),
            failures: 0,
            over: false,
        }
    }

    /// How far behind the newest this has to stay so that it never runs dry: a segment, or a few parts where there are some.
    #[must_use]
    pub fn hold_back(&self) -> Duration {
        let Some(playlist) = &self.playlist else { return Duration::ZERO };
        match (playlist.part_target, playlist.part_hold_back) {
            (Some(target), hold) if playlist.blocks => hold.unwrap_or(target.saturating_mul(3)),
            _ => playlist.target,
        }
    }

    /// A packet, or a track of what comes next.
    pub fn item(&mut self) -> Option<Item> {
        self.ready.pop_front()
    }

    /// What to do at `now`.
    pub fn step(&mut self, now: Duration) -> Step {
        loop {
            if self.over {
                return Step::Over;
            }
            let Some(playlist) = &self.playlist else { return self.reload(now) };
            let next = *self.next.get_or_insert_with(|| begin(playlist));
            let Some(found) = find(playlist, next) else {
                if playlist.ended {
                    self.over = true;
                    self.finish();
                    continue;
                }
                // What the window has left is lost.
                let lost = next.0 < playlist.sequence;
                if lost {
                    self.next = Some((playlist.sequence, 0));
                    continue;
                }
                return self.reload(now);
            };
            if found.gap {
                self.next = Some(found.after);
                continue;
            }
            if let Some(map) = &found.map
                && self.map.as_ref().is_none_or(|(have, _)| have != map)
            {
                let map = map.clone();
                let get = Get { uri: map.uri.clone(), query: None, range: map.range };
                self.asked = Some(Asked::Map(map));
                return Step::Get(get);
            }
            if found.discontinuity && self.asked.is_none() {
                self.finish();
            }
            if found.map.is_none() {
                self.map = None;
            }
            self.asked = Some(Asked::Media(found.after));
            return Step::Get(Get { uri: found.piece.uri, query: None, range: found.piece.range });
        }
    }

    fn reload(&mut self, now: Duration) -> Step {
        if let Some(left) = self.due.checked_sub(now)
            && !left.is_zero()
        {
            return Step::Wait(left);
        }
        let query = match (&self.playlist, self.next) {
            (Some(playlist), Some((number, part))) if playlist.blocks => {
                let parts = playlist.part_target.map(|_| format!("&_HLS_part={part}")).unwrap_or_default();
                Some(format!("_HLS_msn={number}{parts}"))
            }
            _ => None,
        };
        self.asked = Some(Asked::Playlist);
        Step::Get(Get { uri: String::new(), query, range: None })
    }

    /// Takes what was asked for.
    ///
    /// # Errors
    /// When it can't be read, or is encrypted.
    pub fn came(&mut self, now: Duration, body: &Bytes) -> Result<()> {
        let Some(asked) = self.asked.take() else { return Ok(()) };
        match asked {
            Asked::Playlist => {
                let text = std::str::from_utf8(body)
                    .map_err(|_| Error::Malformed { what: "a playlist of HLS", problem: "it is no text" })?;
                let Playlist::Media(media) = parse(text)? else {
                    let problem = "it lists playlists where segments were expected";
                    return Err(Error::Malformed { what: "a playlist of HLS", problem });
                };
                if media.segments.iter().any(|s| s.method.is_some()) {
                    return Err(Error::InvalidInput {
                        what: "this HLS stream".into(),
                        problem: "it is encrypted, which is not read here",
                    });
                }
                let known = self.playlist.as_ref();
                let same = known.is_some_and(|k| newest(k) == newest(&media) && k.ended == media.ended);
                let wait = match (media.blocks, same) {
                    // Who holds requests is asked at once.
                    (true, false) => Duration::ZERO,
                    (true, true) => {
                        media.part_target.unwrap_or(media.target).checked_div(2).unwrap_or_default()
                    }
                    (false, false) => media.segments.last().map_or(media.target, |s| s.duration),
                    (false, true) => media.target.checked_div(2).unwrap_or_default(),
                };
                self.due =
                    now.saturating_add(wait.max(Duration::from_millis(if media.blocks { 0 } else { 100 })));
                self.playlist = Some(media);
            }
            Asked::Map(piece) => {
                if body.len() > self.limits.structure_bytes {
                    return Err(Error::LimitExceeded {
                        what: "the head of an MP4",
                        limit: limit(self.limits.structure_bytes),
                    });
                }
                self.map = Some((piece, body.clone()));
                self.told.clear();
            }
            Asked::Media(after) => {
                self.next = Some(after);
                self.failures = 0;
                self.media(body)?;
            }
        }
        self.failures = 0;
        Ok(())
    }

    /// What was asked for can't be had.
    ///
    /// # Errors
    /// When too many things could not be had.
    pub fn failed(&mut self, now: Duration, reason: &str) -> Result<()> {
        self.failures = self.failures.saturating_add(1);
        if self.failures > PATIENCE {
            return Err(Error::Refused { what: "a playlist of HLS", reason: reason.to_owned() });
        }
        match self.asked.take() {
            // A segment that is gone is passed over.
            Some(Asked::Media(after)) => self.next = Some(after),
            _ => {
                let wait = self.playlist.as_ref().map_or(Duration::from_secs(1), |p| p.target);
                self.due = now.saturating_add(wait.checked_div(2).unwrap_or_default());
                self.playlist = self.playlist.take().filter(|p| !p.segments.is_empty());
            }
        }
        Ok(())
    }

    fn media(&mut self, body: &Bytes) -> Result<()> {
        if let Some((_, head)) = &self.map {
            let mut whole = Vec::with_capacity(head.len().saturating_add(body.len()));
            whole.extend_from_slice(head);
            whole.extend_from_slice(body);
            let mut demuxer = mp4::Demuxer::open(Arc::new(Bytes::from(whole)), self.limits)?;
            while let Some(item) = demuxer.next_item()? {
                match item {
                    // Each piece tells its tracks: they are news once.
                    Item::Track(track) if self.told.contains(&track) => {}
                    Item::Track(track) => {
                        self.told.retain(|t| t.id != track.id);
                        self.told.push(Arc::clone(&track));
                        self.ready.push_back(Item::Track(track));
                    }
                    Item::End(_) => {}
                    item => self.ready.push_back(item),
                }
            }
            return Ok(());
        }
        let limits = self.limits;
        let parser = self.parser.get_or_insert_with(|| ts::Parser::new(limits).follow_jumps());
        parser.push(body)?;
        while let Some(item) = parser.pull() {
            if !matches!(item, Item::End(_)) {
                self.ready.push_back(item);
            }
        }
        Ok(())
    }

    /// Gives what a transport stream holds back until it knows what comes next.
    fn finish(&mut self) {
        if let Some(mut parser) = self.parser.take()
            && parser.finish().is_ok()
        {
            self.ready.extend(std::iter::from_fn(|| parser.pull()).filter(|i| !matches!(i, Item::End(_))));
        }
    }
}

fn limit(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn newest(playlist: &Media) -> (u64, usize, usize) {
    (playlist.sequence, playlist.segments.len(), playlist.ahead.len())
}

/// Where a playlist is begun: at its first segment if it is whole, near its end if it goes on.
fn begin(playlist: &Media) -> (u64, usize) {
    if playlist.ended {
        return (playlist.sequence, 0);
    }
    let behind = match playlist.part_hold_back {
        Some(hold) if playlist.blocks => hold,
        _ => playlist.target.saturating_mul(BEHIND),
    };
    let mut left = behind.saturating_sub(playlist.ahead.iter().map(|p| p.duration).sum());
    let mut number = playlist.sequence.saturating_add(limit(playlist.segments.len()));
    for segment in playlist.segments.iter().rev() {
        if left.is_zero() {
            break;
        }
        left = left.saturating_sub(segment.duration);
        number = number.saturating_sub(1);
    }
    (number, 0)
}

/// The media at a place: a whole segment where none of its parts has been got, or a part.
fn find(playlist: &Media, (number, part): (u64, usize)) -> Option<Found> {
    let index = usize::try_from(number.checked_sub(playlist.sequence)?).ok()?;
    let of_part = |parts: &[Part], map: &Option<Piece>, discontinuity: bool| {
        let found = parts.get(part)?;
        Some(Found {
            piece: found.piece.clone(),
            map: map.clone(),
            discontinuity: discontinuity && part == 0,
            gap: found.gap,
            after: (number, part.saturating_add(1)),
        })
    };
    let Some(segment) = playlist.segments.get(index) else {
        let ahead = index == playlist.segments.len() && playlist.blocks;
        let map = playlist.segments.last().and_then(|s| s.map.clone());
        return if ahead { of_part(&playlist.ahead, &map, false) } else { None };
    };
    if part > 0 {
        // Behind its last part comes the next segment. One whose parts are no longer listed can't be gone on with.
        return of_part(&segment.parts, &segment.map, segment.discontinuity)
            .or_else(|| find(playlist, (number.checked_add(1)?, 0)));
    }
    Some(Found {
        piece: segment.piece.clone(),
        map: segment.map.clone(),
        discontinuity: segment.discontinuity,
        gap: segment.gap,
        after: (number.saturating_add(1), 0),
    })
}

impl Lane {
    /// The item as one of the `lane`-th lane: its tracks have numbers that no other lane has.
    #[must_use]
    pub fn of(lane: u32, item: Item) -> Item {
        let number = |id: TrackId| TrackId((id.0 % LANE).saturating_add(lane.saturating_mul(LANE)));
        match item {
            Item::Track(track) => {
                let mut track = Track::clone(&track);
                track.id = number(track.id);
                Item::Track(Arc::new(track))
            }
            Item::Packet(mut packet) => {
                packet.track = number(packet.track);
                Item::Packet(packet)
            }
            other => other,
        }
    }
}
