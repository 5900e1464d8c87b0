//! Rungs that are made live below a stream as it comes.
//!
//! The stream itself is the top rung, passed through. What is below it is decoded once, on threads of its own, and
//! encoded at each size that suits what was measured of the source; its key frames stand where the source's do, so all
//! rungs are cut at the same moments. Nothing here is in the way of what is passed through: packets that wait to be
//! decoded are bounded, and where the machine can't keep up the largest rung is given up.

mod crew;
mod mailbox;
mod measure;
mod source;
mod standing;

use std::path::Path;

use sv_core::{Codec, ErrorKind, VideoInfo};
use sv_transcode::Ladder;

use crate::{Error, Result};

pub(super) use source::Laddered;
pub(super) use standing::Standing;

/// Which rungs are made below a stream, if it is large enough for any.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Below {
    /// Those that its size, rate and bits suit: [`Ladder::auto`].
    Auto,
    /// Those of Apple's authoring specification: [`Ladder::fixed`].
    Fixed,
    /// These. Those that are as large as a stream, or need as many bits as it has, are left out of it.
    Rungs(Ladder),
}

impl Below {
    /// `auto`, `fixed`, or the path of a ladder in TOML, as `sv vod` takes it.
    ///
    /// # Errors
    /// When there is no such file, or no ladder in it.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => return Ok(Self::Auto),
            "fixed" => return Ok(Self::Fixed),
            _ => {}
        }
        let what = || format!("the ladder {} can't be used", Path::new(text).display());
        let file = std::fs::read_to_string(text).map_err(|e| Error::from(e).context(what()))?;
        let ladder: Ladder = toml::from_str(&file)
            .map_err(|e| Error::new(ErrorKind::InvalidInput, e.message().to_owned()).context(what()))?;
        // As large as any source could be: what is larger than one is left out of it.
        ladder.check(&VideoInfo::new(16_384, 16_384)).map_err(|e| Error::from(e).context(what()))?;
        Ok(Self::Rungs(ladder))
    }

    /// The rungs below a source, and why.
    fn of(&self, source: &VideoInfo, bitrate: u64) -> Ladder {
        let ladder = match self {
            Self::Auto => Ladder::auto(source, Some(bitrate), &[Codec::H264]),
            Self::Fixed => Ladder::fixed(source, &[Codec::H264]),
            Self::Rungs(ladder) => ladder.clone(),
        };
        ladder.below(source, Some(bitrate))
    }
}
