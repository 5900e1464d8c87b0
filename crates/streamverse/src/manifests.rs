//! Writes the manifests that were asked for.

use sv_core::Object;
use sv_package::steering::Answer;
use sv_package::{Marks, Rendition, Steering, Tiles, dash, hls};

use crate::Result;
use crate::work::Work;

/// Which manifests.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) hls: bool,
    pub(crate) dash: bool,
    /// Playlists are those of an event, to which more may come.
    pub(crate) event: bool,
    pub(crate) license_url: Option<String>,
    pub(crate) key_url: Option<String>,
    pub(crate) tiles: Option<Tiles>,
    pub(crate) steering: Option<Steering>,
    pub(crate) marks: Marks,
    /// Segments tell of marks too.
    pub(crate) inband: bool,
}

/// The steering server that a file is.
pub(crate) const STEERING: &str = "steering.json";

/// Seconds until players look into that file again.
const STEERING_TTL: u32 = 60;

/// What a steering server beside the manifests says: to take the pathways in their order.
pub(crate) fn steering(steering: &Steering) -> Option<Object> {
    let priority = steering.pathways().iter().map(|way| way.id.clone()).collect();
    let answer = || Object::whole(STEERING, "application/json", Answer::new(priority, STEERING_TTL).json());
    (steering.server() == STEERING).then(answer)
}

/// Stores every manifest, and says what to open.
pub(crate) fn write(work: &mut Work, renditions: &[Rendition], wanted: &Wanted) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if let Some(tiles) = &wanted.tiles {
        work.put(Object::whole(format!("{}.vtt", tiles.name), "text/vtt", tiles.webvtt()))?;
    }
    if let Some(answer) = wanted.steering.as_ref().and_then(steering) {
        work.put(answer)?;
    }
    if wanted.hls {
        let mut options = hls::Options::default();
        options.event = wanted.event;
        options.key_url.clone_from(&wanted.key_url);
        options.tiles.extend(wanted.tiles.clone());
        options.steering.clone_from(&wanted.steering);
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
        options.tiles.extend(wanted.tiles.clone());
        options.steering.clone_from(&wanted.steering);
        options.marks.clone_from(&wanted.marks);
        work.put(dash::object(renditions, &options)?)?;
        names.push("manifest.mpd".to_owned());
    }
    Ok(names)
}
