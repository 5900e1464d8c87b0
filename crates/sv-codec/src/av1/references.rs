//! What earlier frames decide: which slots a frame refers to, and whether blocks may be skipped.

use super::frame::{Memory, Slot};

/// Puts a frame into the slots that `flags` names (7.20).
pub(super) fn refresh(memory: &mut Memory, flags: u8, frame: Slot) {
    for (bit, slot) in memory.slots.iter_mut().enumerate() {
        if flags.wrapping_shr(u32::try_from(bit).unwrap_or(0)) & 1 == 1 {
            *slot = frame;
        }
    }
}

/// The order in which frames are shown, as far as headers tell it.
pub(super) struct Hints<'a> {
    pub(super) memory: &'a Memory,
    /// `OrderHintBits`, above 0.
    pub(super) bits: u32,
    pub(super) current: u32,
}

impl Hints<'_> {
    /// `get_relative_dist()` (7.9.3) between two hints.
    fn distance(&self, a: u32, b: u32) -> i32 {
        let half = 1i32.wrapping_shl(self.bits.saturating_sub(1));
        let difference = i32::try_from(a).unwrap_or(0).wrapping_sub(i32::try_from(b).unwrap_or(0));
        (difference & half.wrapping_sub(1)).wrapping_sub(difference & half)
    }

    fn hint(&self, slot: usize) -> u32 {
        self.memory.slots.get(slot).map_or(0, |slot| slot.order_hint)
    }

    /// How long after the current frame the one in a slot is shown.
    fn ahead(&self, slot: usize) -> i32 {
        self.distance(self.hint(slot), self.current)
    }

    /// Whether there are two references to skip to (5.9.22).
    pub(super) fn skip_mode_allowed(&self, references: &[usize; 7]) -> bool {
        let hints = references.iter().map(|slot| self.hint(*slot));
        let (mut forward, mut backward) = (None::<u32>, None::<u32>);
        for hint in hints.clone() {
            let side = self.distance(hint, self.current);
            if side < 0 && forward.is_none_or(|f| self.distance(hint, f) > 0) {
                forward = Some(hint);
            } else if side > 0 && backward.is_none_or(|b| self.distance(hint, b) < 0) {
                backward = Some(hint);
            }
        }
        match (forward, backward) {
            (None, _) => false,
            (Some(_), Some(_)) => true,
            (Some(forward), None) => hints.into_iter().any(|hint| self.distance(hint, forward) < 0),
        }
    }

    /// `set_frame_refs()` (7.8): all seven references, of which two are told.
    pub(super) fn frame_refs(&self, last: u32, gold: u32) -> Option<[usize; 7]> {
        const LAST: usize = 0;
        const GOLD: usize = 3;
        const BACKWARD: usize = 4;
        const ALT2: usize = 5;
        const ALT: usize = 6;
        let (last, gold) = (usize::try_from(last).ok()?, usize::try_from(gold).ok()?);
        let mut chosen = [None::<usize>; 7];
        let mut used = [false; 8];
        *chosen.get_mut(LAST)? = Some(last);
        *chosen.get_mut(GOLD)? = Some(gold);
        *used.get_mut(last)? = true;
        *used.get_mut(gold)? = true;
        let free = |used: &[bool; 8]| -> Vec<usize> {
            used.iter().enumerate().filter(|(_, used)| !**used).map(|(slot, _)| slot).collect()
        };
        // Of equals, the last is the latest and the first the earliest (7.8, `find_latest_backward()`
        // and the like).
        let mut choose = |which: usize, slot: Option<usize>, used: &mut [bool; 8]| {
            if let (Some(slot), Some(place)) = (slot, chosen.get_mut(which)) {
                *place = Some(slot);
                if let Some(used) = used.get_mut(slot) {
                    *used = true;
                }
            }
        };
        let behind: Vec<_> = free(&used).into_iter().filter(|slot| self.ahead(*slot) >= 0).collect();
        choose(ALT, behind.into_iter().max_by_key(|slot| self.ahead(*slot)), &mut used);
        for which in [BACKWARD, ALT2] {
            let behind: Vec<_> = free(&used).into_iter().filter(|slot| self.ahead(*slot) >= 0).collect();
            choose(which, behind.into_iter().min_by_key(|slot| self.ahead(*slot)), &mut used);
        }
        for which in [1, 2, BACKWARD, ALT2, ALT] {
            if chosen.get(which).copied().flatten().is_some() {
                continue;
            }
            let before: Vec<_> = free(&used).into_iter().filter(|slot| self.ahead(*slot) < 0).collect();
            let slot = before.into_iter().max_by_key(|slot| self.ahead(*slot));
            if let (Some(slot), Some(place)) = (slot, chosen.get_mut(which)) {
                *place = Some(slot);
                *used.get_mut(slot)? = true;
            }
        }
        // What is left refers to the earliest of all.
        let earliest = (0..8).min_by_key(|slot| self.ahead(*slot))?;
        Some(chosen.map(|slot| slot.unwrap_or(earliest)))
    }
}
