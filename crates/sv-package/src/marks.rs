//! Moments that manifests tell of: where a programme may be left, where it is come back to, and what is shown between.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sv_container::mp4::Emsg;
use sv_container::scte35::{At, BreakDuration, Command, Insert, SCHEME, Section, Splice as Content};
use sv_core::{Bytes, Cue, TimeBase};

/// Most marks that are kept: whoever sends more of them isn't telling of breaks.
const MOST: usize = 4096;
/// Splice information is sent several times, and clocks round: what is so near is the same.
const NEAR: Duration = Duration::from_millis(100);

/// A moment, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, on the presentation's timeline.
    pub at: Duration,
    /// What.
    pub what: What,
    /// Tells it from all others of its presentation.
    number: u32,
}

/// What a mark is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Splice information.
    Splice(Splice),
    /// Something to be shown between, of HLS.
    Interstitial(Interstitial),
}

/// A section of splice information (ANSI/SCTE 35), and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The `splice_info_section` as it came.
    pub section: Bytes,
    /// Whether the programme is left, or come back to; nothing where it says neither.
    pub out: Option<bool>,
    /// The identifier of the event: a return has that of its departure.
    pub event: Option<u32>,
    /// How long it is meant to be, where it says.
    pub duration: Option<Duration>,
}

/// Something to be shown between, or over the programme, by players that know HLS interstitials
/// ([rfc8216bis, appendix D](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis#appendix-D)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interstitial {
    /// The URI of a multivariant or media playlist, or of a list of such.
    pub asset: Asset,
    /// Where the programme goes on, behind where it was left; how long the interstitial was, if nothing is said. Zero for
    /// what is inserted, as an advertisement on demand.
    pub resume: Option<Duration>,
    /// When it ends at the latest, whatever its length.
    pub limit: Option<Duration>,
    /// How long it is, as far as is known.
    pub duration: Option<Duration>,
    /// Leaves at a segment's end.
    pub snap_out: bool,
    /// Comes back at a segment's beginning.
    pub snap_in: bool,
    /// Viewers may not go on before its end.
    pub no_skip: bool,
    /// Viewers may not go beyond it without having seen it.
    pub no_jump: bool,
    /// Is shown once.
    pub once: bool,
}

/// Where an interstitial is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asset {
    /// `X-ASSET-URI`: a playlist.
    Uri(String),
    /// `X-ASSET-LIST`: JSON that lists playlists, asked for when it is needed.
    List(String),
}

impl Interstitial {
    /// Of this playlist, with nothing else said.
    #[must_use]
    pub const fn new(asset: Asset) -> Self {
        Self {
            asset,
            resume: None,
            limit: None,
            duration: None,
            snap_out: false,
            snap_in: false,
            no_skip: false,
            no_jump: false,
            once: false,
        }
    }
}

impl Mark {
    /// What a cue of splice information tells; nothing for other cues, and for sections about no moment.
    #[must_use]
    pub fn of(cue: &Cue) -> Option<Self> {
        let section = Section::parse(&cue.payload).ok().filter(|s| cue.scheme == SCHEME && s.is_moment())?;
        let event = section.event();
        let ticks = event.and_then(|(_, ticks)| ticks);
        let splice = Splice {
            section: cue.payload.clone(),
            out: section.leaves(),
            event: event.map(|(event, _)| event),
            duration: ticks.map(|ticks| sv_core::Duration::new(ticks).to_std(TimeBase::MPEG)),
        };
        Some(Self { at: cue.at, what: What::Splice(splice), number: 0 })
    }

    /// The cue of a departure or a return that somebody else than the source tells of: a `splice_insert`.
    ///
    /// # Errors
    /// [`Error::Container`](crate::Error::Container), as a section may have no room for what is in it; this one has.
    pub fn cue(event: u32, out: bool, at: Duration, length: Option<Duration>) -> Result<Cue, crate::Error> {
        let ticks = |d: Duration| sv_core::Duration::from_std(d, TimeBase::MPEG).ticks() & 0x1_FFFF_FFFF;
        let section = Section::new(Command::Insert(Insert {
            event,
            splice: Some(Content {
                out,
                at: At::Program(Some(ticks(at))),
                duration: length.map(|length| BreakDuration { auto_return: out, ticks: ticks(length) }),
                loose_ids: true,
                program: 1,
                avail: (0, 0),
            }),
        }));
        let payload = section
            .build()
            .map_err(|source| crate::Error::Container { track: sv_core::TrackId(0), source })?;
        Ok(Cue { at, payload, scheme: SCHEME.to_owned() })
    }

    /// An interstitial.
    #[must_use]
    pub const fn interstitial(at: Duration, interstitial: Interstitial) -> Self {
        Self { at, what: What::Interstitial(interstitial), number: 0 }
    }

    /// What tells it from all others of its presentation.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The splice information, if it is some.
    #[must_use]
    pub const fn splice(&self) -> Option<&Splice> {
        match &self.what {
            What::Splice(splice) => Some(splice),
            What::Interstitial(_) => None,
        }
    }

    /// A number of what it says: the same for whoever meets it, now or after a restart (FNV-1a).
    fn digest(&self) -> u32 {
        let what = match &self.what {
            What::Splice(splice) => splice.section.to_vec(),
            What::Interstitial(interstitial) => format!("{interstitial:?}").into_bytes(),
        };
        let at = self.at.as_millis().to_be_bytes();
        let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        at.iter().chain(&what).fold(0x811C_9DC5, hash)
    }

    /// An `emsg` box that says the same, on a timeline of so many ticks a second (ANSI/SCTE 214-3, 7.2); nothing for
    /// interstitials.
    pub(crate) fn emsg(&self, timescale: u32) -> Option<Emsg> {
        let splice = self.splice()?;
        let base = TimeBase::new(1, timescale)?;
        let ticks = |length: Duration| sv_core::Duration::from_std(length, base).ticks();
        Some(Emsg {
            scheme: SCHEME.to_owned(),
            value: String::new(),
            timescale,
            presentation_time: ticks(self.at),
            // All ones is a length that nobody knows.
            duration: splice.duration.map_or(u32::MAX, |d| u32::try_from(ticks(d)).unwrap_or(u32::MAX)),
            id: self.number,
            data: splice.section.clone(),
        })
    }

    /// Whether both tell the same.
    fn repeats(&self, other: &Self) -> bool {
        match (&self.what, &other.what) {
            (What::Splice(a), What::Splice(b)) => {
                (a.out, a.event) == (b.out, b.event) && self.at.abs_diff(other.at) <= NEAR
            }
            (a, b) => a == b && self.at == other.at,
        }
    }
}

/// The marks of a presentation, earliest first.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    all: VecDeque<Mark>,
}

impl Marks {
    /// Takes one in; what is there already is not taken a second time. The latest of more than four thousand is lost.
    /// Says whether it was new.
    pub fn add(&mut self, mut mark: Mark) -> bool {
        if self.knows(&mark) {
            return false;
        }
        mark.number = mark.digest();
        while self.all.iter().any(|known| known.number == mark.number) {
            mark.number = mark.number.wrapping_add(1);
        }
        let place = self.all.partition_point(|known| known.at <= mark.at);
        self.all.insert(place, mark);
        self.all.truncate(MOST);
        true
    }

    /// Whether [`add`](Self::add) would take it.
    #[must_use]
    pub fn knows(&self, mark: &Mark) -> bool {
        self.all.iter().any(|known| known.repeats(mark))
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Mark> {
        self.all.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Forgets those that have ended before `until`. A departure stays until its return may be forgotten too, and the last
    /// one of unknown length until it is come back from.
    pub fn trim(&mut self, until: Duration) {
        let end = |mark: &Mark| {
            let stated = match &mark.what {
                What::Splice(splice) => splice.duration,
                What::Interstitial(interstitial) => interstitial.duration,
            };
            let returns = self.back(mark).map(|back| back.at);
            returns.unwrap_or(mark.at).max(mark.at.saturating_add(stated.unwrap_or_default()))
        };
        let open = |mark: &Mark| {
            let unknown = mark.splice().is_some_and(|s| s.out == Some(true) && s.duration.is_none());
            unknown && self.back(mark).is_none()
        };
        let last = self.all.iter().rev().find(|mark| open(mark)).map(Mark::number);
        let stays = |mark: &Mark| end(mark) >= until || Some(mark.number) == last;
        let keep: Vec<bool> = self.all.iter().map(stays).collect();
        let mut keep = keep.into_iter();
        self.all.retain(|_| keep.next().unwrap_or(true));
    }

    /// The return of a departure.
    #[must_use]
    pub fn back(&self, mark: &Mark) -> Option<&Mark> {
        let out = mark.splice().filter(|s| s.out == Some(true) && s.event.is_some())?;
        let again = |m: &&Mark| m.splice().is_some_and(|s| s.out.is_some() && s.event == out.event);
        let later = |m: &&Mark| m.at >= mark.at && m.number != mark.number;
        self.all.iter().filter(again).find(later).filter(|m| m.splice().is_some_and(|s| s.out == Some(false)))
    }

    /// The departure that a return is of.
    #[must_use]
    pub fn departure(&self, mark: &Mark) -> Option<&Mark> {
        self.all.iter().find(|out| self.back(out).is_some_and(|back| back.number == mark.number))
    }
}

impl FromIterator<Mark> for Marks {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Self {
        let mut all = Self::default();
        for mark in marks {
            all.add(mark);
        }
        all
    }
}
