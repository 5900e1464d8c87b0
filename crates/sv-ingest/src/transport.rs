//! Items as a transport stream in datagrams, and the other way around.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use sv_container::ts::{Muxer, Parser};
use sv_core::{Item, Limits, TimeBase, Track};

use crate::Result;
use crate::gateway::Publication;

/// Seven transport packets: what a datagram holds.
pub(crate) const DATAGRAM: usize = 1316;
/// How often tables are told, in ticks of 90 kHz.
const TABLES: u64 = 9000;

/// What comes in.
pub(crate) struct Incoming {
    parser: Parser,
}

impl Incoming {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { parser: Parser::new(limits).follow_jumps() }
    }

    /// Takes bytes, and gives what they hold to a stream.
    pub(crate) fn push(&mut self, bytes: &[u8], to: &mut Publication) -> Result<()> {
        let pushed = self.parser.push(bytes);
        self.give(to)?;
        Ok(pushed?)
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self, to: &mut Publication) {
        // What is broken at the end is left out.
        let _ = self.parser.finish();
        let _ = self.give(to);
    }

    fn give(&mut self, to: &mut Publication) -> Result<()> {
        while let Some(item) = self.parser.pull() {
            // Who sends ends all of its tracks at once; presentations aren't ready for cues in the middle.
            if matches!(item, Item::Track(_) | Item::Packet(_)) {
                to.give(&item)?;
            }
        }
        Ok(())
    }
}

/// What goes out.
#[derive(Default)]
pub(crate) struct Outgoing {
    tracks: Vec<Arc<Track>>,
    muxer: Option<Muxer>,
    /// When tables were told last.
    told: Option<i64>,
    rest: BytesMut,
}

impl Outgoing {
    /// Takes an item, and gives datagrams that are full.
    pub(crate) fn push(&mut self, item: &Item, mut put: impl FnMut(&[u8])) {
        match item {
            Item::Track(track) if Muxer::supports(track.codec) => {
                match self.tracks.iter_mut().find(|t| t.id == track.id) {
                    Some(old) => *old = Arc::clone(track),
                    None => self.tracks.push(Arc::clone(track)),
                }
                (self.muxer, self.told) = (None, None);
            }
            Item::End(id) => self.tracks.retain(|t| t.id != *id),
            Item::Packet(packet) => {
                let Some(track) = self.tracks.iter().find(|t| t.id == packet.track) else { return };
                let at = packet.dts.rescale(track.time_base, TimeBase::MPEG).ticks();
                if self.muxer.is_none() {
                    let tracks: Vec<&Track> = self.tracks.iter().map(|t| &**t).collect();
                    self.muxer = Muxer::new(&tracks).ok().map(Muxer::bounded);
                }
                let Some(muxer) = &mut self.muxer else { return };
                let due = self.told.is_none_or(|told| told.abs_diff(at) >= TABLES);
                let one = std::slice::from_ref(packet);
                let bytes = if due {
                    self.told = Some(at);
                    muxer.piece(one).map(|(bytes, _)| bytes)
                } else {
                    muxer.more(one)
                };
                // A packet that can't be read is left out.
                self.rest.extend_from_slice(&bytes.unwrap_or_else(|_| Bytes::new()));
                while let Some(datagram) = self.rest.get(..DATAGRAM) {
                    put(datagram);
                    self.rest.advance(DATAGRAM);
                }
            }
            _ => {}
        }
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self, put: impl FnOnce(&[u8])) {
        if !self.rest.is_empty() {
            put(&self.rest);
            self.rest.clear();
        }
    }
}
