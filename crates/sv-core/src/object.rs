//! What packaging emits and a sink stores: named bytes.

use bytes::Bytes;

/// Named bytes. Where they go (a folder, a bucket, memory, peers) is the [`Sink`](crate::Sink)'s choice.
#[derive(Clone, Debug)]
pub struct Object {
    /// A relative path of plain components separated by `/`: no `..`, no leading `/`.
    pub path: String,
    /// The media type to serve it with.
    pub content_type: &'static str,
    /// The bytes, in order; slices so that payloads are never copied together.
    pub data: Vec<Bytes>,
    /// What to do with them.
    pub write: Write,
}

/// How an object's bytes change what is stored under its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// They are all of it, at once: readers see the old bytes or these, never a part.
    Whole,
    /// They stand at this offset of an object that grows (byte-range layouts), and replace what
    /// stood there (an index whose place was reserved, a segment that a crash cut short).
    At(u64),
}

impl Object {
    /// A whole object from one run of bytes.
    #[must_use]
    pub fn whole(path: impl Into<String>, content_type: &'static str, data: impl Into<Bytes>) -> Self {
        Self { path: path.into(), content_type, data: vec![data.into()], write: Write::Whole }
    }
}
