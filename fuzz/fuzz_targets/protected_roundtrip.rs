//! See `protected_roundtrip` among the oracles of sv-container's tests.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/sv-container/tests/it/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::protected_roundtrip(data));
