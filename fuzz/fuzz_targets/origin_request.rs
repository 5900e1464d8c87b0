//! Paths and queries of an origin: read without a panic, and what is read is said again in the same way.
#![no_main]

use sv_package::origin::Request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let Ok(request) = Request::parse(path, query) else { return };
    assert!(!path.contains("..") && !path.starts_with(['/', '.']), "{path:?}");
    let suffix = request.query.suffix();
    let again = Request::parse(path, suffix.trim_start_matches('?')).expect("what we write can be read");
    assert_eq!(again.query.suffix(), suffix);
    assert_eq!(again.wanted, request.wanted);
});
