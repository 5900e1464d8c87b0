//! WebVTT samples back into cues (ISO/IEC 14496-30, 7).

use bytes::Bytes;

use super::atom::Atom;

/// The texts of the cues that a sample shows; none for a gap. A broken sample shows what comes
/// before its break.
pub(super) fn cues(sample: &Bytes) -> Vec<Bytes> {
    let sample = Atom { kind: *b"samp", offset: 0, body: sample.clone() };
    sample
        .children(0)
        .map_while(Result::ok)
        .filter(|atom| &atom.kind == b"vttc")
        .filter_map(|cue| cue.child(b"payl").map(|payload| payload.body))
        .collect()
}
