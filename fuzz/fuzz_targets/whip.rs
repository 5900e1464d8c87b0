//! See `whip` among the oracles of sv-ingest's tests.
#![no_main]

#[path = "../../crates/sv-ingest/tests/it/oracle.rs"]
#[allow(dead_code)]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::whip(data));
