//! Splice information ([ANSI/SCTE 35 2023](https://www.scte.org/standards/library/catalog/scte-35-digital-program-insertion-cueing-message/)):
//! where a programme may be left for advertisements and other things, and where it is come back to.
//!
//! [`Section::parse`] reads a `splice_info_section` and [`Section::build`] writes one: what is read and written again has
//! the same bytes, but for reserved bits and a command length that was left open.

mod read;
mod segmentation;
mod write;

use bytes::Bytes;

pub use segmentation::{Content, Restrictions, Segmentation};

/// The scheme of whole sections: in `emsg` boxes, and of a [`Cue`](sv_core::Cue)'s payload.
pub const SCHEME: &str = "urn:scte:scte35:2013:bin";

/// Largest section (9.6.1): its length is written in 12 bits and is 4093 at most.
pub const LARGEST: usize = 4096;

/// Ticks after which the clock of splice times begins anew.
const WRAP: u64 = 1 << 33;

/// A `splice_info_section` (9.6). Times are in ticks of 90 kHz, of 33 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// How the splice point is coded (`sap_type`), 0 to 3; 3 says nothing.
    pub sap_type: u8,
    /// Added to every time in the section; [`Section::time`] has done so.
    pub pts_adjustment: u64,
    /// Which key it would be encrypted with.
    pub cw_index: u8,
    /// Whom it is for, of 12 bits; 0xFFF is everybody.
    pub tier: u16,
    /// What is to be done.
    pub command: Command,
    /// What is said besides.
    pub descriptors: Vec<Descriptor>,
}

/// What is to be done (9.7).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Nothing: the stream is alive.
    Null,
    /// Splices by the time of day, as its bytes.
    Schedule(Bytes),
    /// A splice.
    Insert(Insert),
    /// A moment, of which descriptors say what it is; none means now.
    TimeSignal(Option<u64>),
    /// Nothing: room is kept for later.
    BandwidthReservation,
    /// Somebody's own.
    Private {
        /// Whose, as registered.
        identifier: [u8; 4],
        /// What.
        data: Bytes,
    },
}

/// `splice_insert` (9.7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// `splice_event_id`: a return has that of its departure.
    pub event: u32,
    /// What it says; nothing when it takes an earlier one back.
    pub splice: Option<Splice>,
}

/// What a `splice_insert` says that takes nothing back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Whether the programme is left, or come back to.
    pub out: bool,
    /// When.
    pub at: At,
    /// How long the break is, if that is known.
    pub duration: Option<BreakDuration>,
    /// `event_id_compliance_flag` as it is written: `false` says that identifiers are unique.
    pub loose_ids: bool,
    /// `unique_program_id`.
    pub program: u16,
    /// Which break of the programme it is, and of how many; 0 says nothing.
    pub avail: (u8, u8),
}

/// When a splice is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// All components at once, as soon as possible.
    Now,
    /// All components at this time; none means now.
    Program(Option<u64>),
    /// Each of these components, by tag, for itself: as soon as possible.
    ComponentsNow(Vec<u8>),
    /// Each of these components, by tag, for itself.
    Components(Vec<(u8, Option<u64>)>),
}

/// How long a break is (9.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakDuration {
    /// Whether the break ends by itself.
    pub auto_return: bool,
    /// In ticks.
    pub ticks: u64,
}

/// What is said besides (10.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Descriptor {
    /// What begins or ends.
    Segmentation(Segmentation),
    /// Another one, as its bytes: `avail_descriptor`, DTMF, time, audio, or somebody's own.
    Other {
        /// `splice_descriptor_tag`.
        tag: u8,
        /// Whose; `CUEI` for those of the standard.
        identifier: [u8; 4],
        /// What.
        data: Bytes,
    },
}

/// `CUEI`: descriptors of the standard itself.
const CUEI: [u8; 4] = *b"CUEI";

impl Section {
    /// A section for everybody, without descriptors.
    #[must_use]
    pub const fn new(command: Command) -> Self {
        Self { sap_type: 3, pts_adjustment: 0, cw_index: 0, tier: 0xFFF, command, descriptors: Vec::new() }
    }

    /// When it happens, adjusted: the earliest time of all components. Nothing where it is now, or never.
    #[must_use]
    pub fn time(&self) -> Option<u64> {
        let time = match &self.command {
            Command::TimeSignal(at) => *at,
            Command::Insert(Insert { splice: Some(splice), .. }) => match &splice.at {
                At::Program(at) => *at,
                At::Components(all) => all.iter().filter_map(|(_, at)| *at).min(),
                At::Now | At::ComponentsNow(_) => None,
            },
            _ => None,
        };
        time?.wrapping_add(self.pts_adjustment).checked_rem(WRAP)
    }

    /// Whether it is about a moment: a splice that is not taken back, or a time signal.
    #[must_use]
    pub const fn is_moment(&self) -> bool {
        matches!(self.command, Command::TimeSignal(_) | Command::Insert(Insert { splice: Some(_), .. }))
    }

    /// The events that it takes back, which were told of before.
    pub fn cancelled(&self) -> impl Iterator<Item = u32> {
        let splice = match &self.command {
            Command::Insert(Insert { event, splice: None }) => Some(*event),
            _ => None,
        };
        let segmentations = self.segmentations().filter(|s| s.content.is_none()).map(|s| s.event);
        splice.into_iter().chain(segmentations)
    }

    /// Whether it does nothing but take events back.
    #[must_use]
    pub fn only_cancels(&self) -> bool {
        let mut told = self.segmentations().map(|s| s.content.is_some()).peekable();
        match &self.command {
            Command::Insert(insert) => insert.splice.is_none(),
            Command::TimeSignal(_) => told.peek().is_some() && !told.any(|told| told),
            _ => false,
        }
    }

    /// The segmentations that it tells of.
    pub fn segmentations(&self) -> impl Iterator<Item = &Segmentation> {
        self.descriptors.iter().filter_map(|d| match d {
            Descriptor::Segmentation(segmentation) => Some(segmentation),
            Descriptor::Other { .. } => None,
        })
    }

    /// Whether the programme is left (`Some(true)`) or come back to; nothing where it says neither.
    #[must_use]
    pub fn leaves(&self) -> Option<bool> {
        match &self.command {
            Command::Insert(insert) => insert.splice.as_ref().map(|splice| splice.out),
            Command::TimeSignal(_) => self.segmentations().find_map(Segmentation::leaves),
            _ => None,
        }
    }

    /// The identifier of the event that it is about, and how long that is in ticks, where it says.
    #[must_use]
    pub fn event(&self) -> Option<(u32, Option<u64>)> {
        match &self.command {
            Command::Insert(insert) => {
                let duration = insert.splice.as_ref().and_then(|s| s.duration);
                Some((insert.event, duration.map(|d| d.ticks)))
            }
            Command::TimeSignal(_) => {
                let telling = self.segmentations().find(|s| s.leaves().is_some());
                let first = telling.or_else(|| self.segmentations().next())?;
                Some((first.event, first.content.as_ref().and_then(|c| c.duration)))
            }
            _ => None,
        }
    }
}
