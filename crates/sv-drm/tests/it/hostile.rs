//! Keys, headers and requests that are cut short or have a byte changed.

use sv_core::KeyId;
use sv_drm::pssh::{CLEARKEY, Pssh};

use crate::oracle;

#[test]
fn what_is_broken_is_refused_and_breaks_nothing() {
    let kids = [KeyId([1; 16]), KeyId([2; 16])];
    let plain = Pssh { system: CLEARKEY, kids: Vec::new(), data: sv_core::Bytes::from_static(b"data") };
    let line = format!("AUDIO @1 {}:{}\n# one\n", "1".repeat(32), "2".repeat(32));
    let request = br#"{"kids":["MTIzNDU2Nzg5MDEyMzQ1Ng"],"type":"temporary"}"#;
    let both = [Pssh::common(&kids).to_bytes(), plain.to_bytes()].concat();
    for whole in [&both[..], line.as_bytes(), request, b"", b"1700000000.c2lnbmF0dXJl"] {
        oracle::keys(whole);
        for at in 0..whole.len() {
            oracle::keys(&whole[..at]);
            for with in [0, 1, 0x7f, 0xff] {
                let mut other = whole.to_vec();
                other[at] = with;
                oracle::keys(&other);
            }
        }
    }
}
