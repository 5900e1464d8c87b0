//! Writes the manifests that were asked for.

use sv_package::{Marks, Rendition, dash, hls};

use crate::Result;
use crate::work::Work;

/// Which manifests.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) hls: bool,
    pub(crate) dash: bool,
    pub(crate) license_url: Option<String>,
    pub(crate) key_url: Option<String>,
    pub(crate) marks: Marks,
    /// Segments tell of marks too.
    pub(crate) inband: bool,
}

/// Stores every manifest, and says what to open.
pub(crate) fn write(work: &mut Work, renditions: &[Rendition], wanted: &Wanted) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if wanted.hls {
        let mut options = hls::Options::default();
        options.key_url.clone_from(&wanted.key_url);
        options.marks.clone_from(&wanted.marks);
        for playlist in hls::playlists(renditions, &options)? {
            work.put(playlist)?;
        }
        names.push("master.m3u8".to_owned());
    }
    if wanted.dash {
        let mut options = dash::Options::default();
        options.inband = wanted.inband;
        options.license_url.clone_from(&wanted.license_url);
        options.marks.clone_from(&wanted.marks);
        work.put(dash::object(renditions, &options)?)?;
        names.push("manifest.mpd".to_owned());
    }
    Ok(names)
}
