//! Answers a ClearKey licence request, as a licence server would.

use sv_core::KeyId;
use sv_drm::{Keys, clearkey, token};

fn main() -> Result<(), sv_drm::Error> {
    let keys = Keys::parse("31323334353637383930313233343536:32333435363738393021323334353637")?;
    let find = |kid: KeyId| keys.iter().find(|(_, k, _)| *k == kid).map(|(_, _, key)| key.clone());

    let request = clearkey::Request::parse(br#"{"kids":["MTIzNDU2Nzg5MDEyMzQ1Ng"],"type":"temporary"}"#)?;
    let license = clearkey::license(&request, find)?;
    println!("{}", String::from_utf8_lossy(&license));

    // A playback URL that is good until a moment, and no longer.
    let signer = token::Signer::new([7; 32])?;
    let token = signer.sign("talk", 1_800_000_000)?;
    println!("/play/{token}/master.m3u8");
    signer.verify(&token, "talk", 1_700_000_000)
}
