//! `segmentation_descriptor` (10.3.3): what begins or ends at a moment.

use bytes::Bytes;

/// What begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// `segmentation_event_id`: an end has that of its beginning.
    pub event: u32,
    /// `segmentation_event_id_compliance_indicator` as it is written: `false` says that identifiers are unique.
    pub loose_ids: bool,
    /// What it says; nothing when it takes an earlier one back.
    pub content: Option<Content>,
}

/// What a segmentation says that takes nothing back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Components, by tag, and how many ticks after the rest each is; empty for the whole programme.
    pub components: Option<Vec<(u8, u64)>>,
    /// In ticks of 90 kHz, of 40 bits.
    pub duration: Option<u64>,
    /// What may not be done; nothing where nobody minds.
    pub restrictions: Option<Restrictions>,
    /// `segmentation_upid_type` and `segmentation_upid`: what it is of.
    pub upid: (u8, Bytes),
    /// `segmentation_type_id`, such as 0x34: a provider's placement opportunity begins.
    pub kind: u8,
    /// Which of how many.
    pub segment: (u8, u8),
    /// Which part of it, of how many; older writers leave it out.
    pub sub_segment: Option<(u8, u8)>,
}

/// What may not be done (table 21). Fields say what may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restrictions {
    /// It may go over the web.
    pub web: bool,
    /// It may be shown in every region.
    pub everywhere: bool,
    /// It may be kept.
    pub archive: bool,
    /// `device_restrictions`, 0 to 3; 3 is none.
    pub devices: u8,
}

impl Segmentation {
    /// Whether the programme is left by it (`Some(true)`) or come back to; nothing where it says neither. What leaves
    /// are breaks, advertisements and opportunities for them (10.3.3.1).
    #[must_use]
    pub fn leaves(&self) -> Option<bool> {
        let kind = self.content.as_ref()?.kind;
        match kind {
            0x22 | 0x30 | 0x32 | 0x34 | 0x36 | 0x44 | 0x46 => Some(true),
            0x23 | 0x31 | 0x33 | 0x35 | 0x37 | 0x45 | 0x47 => Some(false),
            _ => None,
        }
    }
}

/// Whether a kind has parts (`sub_segment_num`).
pub(super) const fn has_parts(kind: u8) -> bool {
    matches!(kind, 0x30 | 0x32 | 0x34 | 0x36 | 0x38 | 0x3A | 0x44 | 0x46)
}
