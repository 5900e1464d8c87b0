//! Names of renditions: short, plain, unique.

use std::collections::BTreeSet;

use sv_core::{Media, Track};

/// Gives names, never the same twice.
#[derive(Default)]
pub(crate) struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// `name`, or `name-2` and so on if that is taken. Characters that a path or URL would have to
    /// escape become dashes.
    pub(crate) fn unique(&mut self, name: &str) -> String {
        let clean: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
        let mut candidate = clean.clone();
        let mut n = 2;
        while !self.taken.insert(candidate.clone()) {
            candidate = format!("{clean}-{n}");
            n += 1;
        }
        candidate
    }

    /// A name that says what the track is.
    pub(crate) fn for_track(&mut self, track: &Track) -> String {
        let language =
            track.language.as_deref().filter(|l| *l != "und").map(|l| format!("-{l}")).unwrap_or_default();
        let name = match &track.media {
            Media::Video(v) => format!("{}p-{}", v.height.min(v.width), track.codec),
            // Made for as many loudspeakers as there are.
            Media::Audio(a) if a.channels == 0 => format!("audio-{}{language}", track.codec),
            Media::Audio(a) => format!("audio-{}-{}ch{language}", track.codec, a.channels),
            Media::Text(_) => format!("text{language}"),
        };
        self.unique(&name)
    }
}
