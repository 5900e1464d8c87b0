//! What a run tells while it works: one stream of plain data, for bars, logs, sockets and tests.

use serde::{Deserialize, Serialize};

/// Something worth telling about a run. Serialises as `{"type": "...", ...}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The work is known: what will be made, and why.
    Planned {
        /// The renditions, as in [`Event::Progress::rendition`], in order of falling quality.
        renditions: Vec<String>,
        /// Length of the source in milliseconds, if it is known.
        duration_ms: Option<u64>,
        /// One sentence for each choice that was made.
        reasons: Vec<String>,
    },
    /// How far one rendition is.
    Progress {
        /// Its name, such as `720p-h264`.
        rendition: String,
        /// Milliseconds of media finished.
        done_ms: u64,
        /// Done over all, 0 to 1; 0 while the length is unknown.
        fraction: f64,
        /// Media seconds per wall-clock second since the run began (or was resumed).
        speed: f64,
        /// Wall-clock milliseconds left, if they can be estimated.
        left_ms: Option<u64>,
    },
    /// A segment is stored and survives a crash.
    Segment {
        /// Its rendition.
        rendition: String,
        /// Its number, from 0.
        number: u64,
        /// Its size.
        bytes: u64,
    },
    /// Earlier work was found and is kept.
    Resumed {
        /// Segments that are not made again.
        segments: u64,
    },
    /// Something is not as it should be, but the run goes on.
    Warning {
        /// One sentence.
        message: String,
    },
    /// Everything is in its place.
    Finished {
        /// Where, relative to the output: manifests, most useful first.
        manifests: Vec<String>,
        /// Wall-clock milliseconds of the run.
        elapsed_ms: u64,
    },
}
