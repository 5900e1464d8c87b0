//! What must hold for any bytes at all, told to whatever reads keys, headers and requests of players. The fuzz target `keys`
//! runs it too.

use sv_core::KeyId;
use sv_drm::clearkey::{self, Request};
use sv_drm::pssh::{self, Pssh};
use sv_drm::token::Signer;
use sv_drm::{ContentKey, Keys};

pub(crate) fn keys(data: &[u8]) {
    if let Ok(boxes) = pssh::split(data) {
        assert_eq!(boxes.concat(), data, "nothing is lost between boxes");
        for one in &boxes {
            let read = Pssh::parse(one).expect("a box that was split off");
            assert_eq!(Pssh::parse(&read.to_bytes()).expect("our own box"), read);
        }
    }
    let _ = Pssh::parse(data);
    let text = String::from_utf8_lossy(data);
    match Keys::parse(&text) {
        Ok(keys) => {
            let all: Vec<_> = keys.iter().collect();
            assert!(!all.is_empty() && all.len() <= text.lines().count());
            for (_, kid, _) in all {
                assert!(keys.named(kid).is_some());
                assert_eq!(KeyId::from_hex(&kid.to_hex()), Some(kid));
            }
        }
        // A line of a key file may hold a key, so what is said is the same for all.
        Err(error) => assert_eq!(error.to_string(), Keys::parse("").unwrap_err().to_string()),
    }
    let _ = ContentKey::from_hex(&text);
    if let Ok(request) = Request::parse(data) {
        let licence = clearkey::license(&request, |_| Some(ContentKey::new([1; 16])));
        assert!(!licence.expect("every key is known").is_empty());
        assert!(clearkey::license(&request, |_| None).is_err());
    }
    let signer = Signer::new([1; 32]).expect("long enough");
    assert!(signer.verify(&text, "talk", 0).is_err(), "a token that nobody signed");
}
