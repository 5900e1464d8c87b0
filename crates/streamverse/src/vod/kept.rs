//! Sound that is not touched.

use sv_core::{Item, Stage, Timestamp};

use crate::{Error, Result};

/// Sound that is kept as it is: what is over before the presentation begins is left out, because no
/// part of it can be cut off.
#[derive(Default)]
pub(super) struct Kept {
    ready: Option<Item>,
}

impl Stage for Kept {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<()> {
        let early = match &item {
            Item::Packet(packet) => packet.pts.saturating_add(packet.duration) <= Timestamp::ZERO,
            _ => false,
        };
        self.ready = (!early).then_some(item);
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>> {
        Ok(self.ready.take())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
