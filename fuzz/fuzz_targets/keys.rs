//! See `keys` among the oracles of sv-drm's tests.
#![no_main]

#[path = "../../crates/sv-drm/tests/it/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::keys(data));
