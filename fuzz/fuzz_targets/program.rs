//! Matroska as an encoder's program writes it into a pipe: read without a panic, the same however the bytes come, and no more
//! of it than there is.
#![no_main]

use std::io::Read;

#[allow(dead_code)]
#[path = "../../crates/sv-transcode/src/backend/program/matroska.rs"]
mod matroska;

/// Gives a byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let one = to.len().min(1);
        self.0.read(&mut to[..one])
    }
}

fn all(from: impl Read) -> Vec<matroska::Found> {
    let mut reader = matroska::Reader::new(from);
    let mut found = Vec::new();
    while let Ok(Some(next)) = reader.next() {
        found.push(next);
    }
    found
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let found = all(data);
    let bytes: usize = found
        .iter()
        .map(|found| match found {
            matroska::Found::Track { private, .. } => private.len(),
            matroska::Found::Packet { data, .. } => data.len(),
        })
        .sum();
    assert!(bytes <= data.len());
    assert_eq!(found, all(Slow(data)));
});
