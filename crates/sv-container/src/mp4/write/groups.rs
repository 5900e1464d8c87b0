//! Sample groups of type `seig`: samples under another key than their track's (ISO/IEC 23001-7, 6).

use std::sync::Arc;

use sv_core::{Packet, Protection, SampleKey};

use super::boxes::Boxes;
use super::sample_entry::encryption_group;
use crate::num::u32_of;

/// The keys of a fragment that aren't the track's, and which samples are under which.
pub(super) struct Groups {
    keys: Vec<Entry>,
    /// Samples that follow each other, and the place of their key in the list, from 1; 0 for the track's own.
    runs: Vec<(u32, u32)>,
}

struct Entry {
    key: Arc<SampleKey>,
    /// Its vector, if the track has one for all samples.
    iv: [u8; 16],
}

impl Groups {
    pub(super) fn of(packets: &[Packet]) -> Self {
        let mut out = Self { keys: Vec::new(), runs: Vec::new() };
        for packet in packets {
            let index = match packet.protection.as_ref().and_then(|s| Some((s.key.as_ref()?, s.iv))) {
                None => 0,
                Some((key, iv)) => {
                    let known = out.keys.iter().position(|entry| entry.key.kid == key.kid);
                    let place = known.unwrap_or(out.keys.len());
                    if known.is_none() {
                        out.keys.push(Entry { key: Arc::clone(key), iv });
                    }
                    u32_of(place).saturating_add(1)
                }
            };
            match out.runs.last_mut() {
                Some((count, last)) if *last == index => *count = count.saturating_add(1),
                _ => out.runs.push((1, index)),
            }
        }
        out
    }

    /// `sbgp` and `sgpd` (ISO/IEC 14496-12, 8.9.2 and 8.9.3), where there is anything to say.
    pub(super) fn write(&self, w: &mut Boxes, protection: &Protection) {
        if self.keys.is_empty() {
            return;
        }
        w.full(b"sbgp", 0, 0, |w| {
            w.bytes(b"seig");
            w.u32(u32_of(self.runs.len()));
            for (count, index) in &self.runs {
                w.u32(*count);
                // From 65537 on, numbers mean the groups of the same fragment (8.9.4).
                w.u32(if *index == 0 { 0 } else { index.saturating_add(0x1_0000) });
            }
        });
        let constant = protection.constant_iv.as_ref().filter(|_| protection.iv_size == 0).map(|iv| iv.len());
        let size = constant.map_or(20, |bytes| bytes.saturating_add(21));
        w.full(b"sgpd", 1, 0, |w| {
            w.bytes(b"seig");
            w.u32(u32_of(size));
            w.u32(u32_of(self.keys.len()));
            for Entry { key, iv } in &self.keys {
                let iv = constant.and_then(|bytes| iv.get(..bytes)).unwrap_or_default();
                encryption_group(w, protection, key.kid, iv);
            }
        });
    }

    /// The key systems' boxes, in the `moof` of the samples that need them (ISO/IEC 23001-7, 8.1).
    pub(super) fn announce(&self, w: &mut Boxes) {
        for pssh in self.keys.iter().flat_map(|entry| &entry.key.pssh) {
            w.bytes(pssh);
        }
    }

    pub(super) fn capacity(&self) -> usize {
        let pssh = self.keys.iter().flat_map(|entry| &entry.key.pssh).map(|b| b.len());
        let boxes = self.keys.len().saturating_mul(40).saturating_add(self.runs.len().saturating_mul(8));
        pssh.fold(boxes.saturating_add(48), usize::saturating_add)
    }
}
