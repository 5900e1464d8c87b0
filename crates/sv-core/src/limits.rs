//! How much a hostile input may cost.

/// Bounds that every parser honours before it allocates. The defaults suit a server that opens
/// strangers' files; a caller that trusts its input may raise them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest single structure read whole into memory (an MP4 `moov`, a playlist), in bytes.
    pub structure_bytes: usize,
    /// Largest single packet, in bytes.
    pub packet_bytes: usize,
    /// Most entries of all sample tables together.
    pub samples: usize,
    /// Most tracks in one presentation.
    pub tracks: usize,
    /// Deepest nesting of boxes or elements.
    pub depth: usize,
    /// Most pixels of one picture.
    pub pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            structure_bytes: 64 << 20,
            packet_bytes: 64 << 20,
            samples: 16 << 20,
            tracks: 64,
            depth: 16,
            pixels: 16384 * 8640,
        }
    }
}
