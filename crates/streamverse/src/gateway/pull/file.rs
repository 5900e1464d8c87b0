//! A file, shown again and again as if it happened.

use std::path::Path;
use std::time::Duration;

use sv_core::Source as _;

use super::Outlet;
use crate::Result;
use crate::input::{Input, Prefer};
use crate::live::{Clock, Paced};

pub(super) fn run(path: &Path, outlet: &Outlet) -> Result<()> {
    let input = Input::open(path, Prefer::Own)?;
    let ids = input.tracks.iter().map(|track| track.id).collect();
    // It is called off between two packets.
    let mut paced = Paced::new(input, ids, (true, None), Duration::ZERO, Clock::beginning(), &outlet.whole)?;
    while let Some(item) = paced.next_item()? {
        outlet.give(&item)?;
    }
    Ok(())
}
