//! `EXT-X-KEY` and `EXT-X-SESSION-KEY`: which key systems can decrypt what follows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sv_core::Scheme;

use super::{Options, quoted};
use crate::Key;

/// One attribute list for each key system.
pub(super) fn attributes(key: &Key, options: &Options) -> Vec<String> {
    let method = match key.scheme {
        Scheme::Cbcs | Scheme::Cbc1 => "SAMPLE-AES",
        Scheme::Cenc | Scheme::Cens => "SAMPLE-AES-CTR",
    };
    // The value of a ClearKey data URI is the key's name, as hls.js reads it; never the key.
    let name = STANDARD.encode(key.kid.0);
    let kid = key.kid.to_hex();
    let clear = format!(
        "METHOD={method},URI=\"data:text/plain;base64,{name}\",KEYID=0x{kid},\
         KEYFORMAT=\"org.w3.clearkey\",KEYFORMATVERSIONS=\"1\""
    );
    let others = options.key_uris.iter().map(|other| {
        format!(
            "METHOD={method},URI={},KEYID=0x{kid},KEYFORMAT={},KEYFORMATVERSIONS=\"1\"",
            quoted(&other.uri),
            quoted(&other.format)
        )
    });
    std::iter::once(clear).chain(others).collect()
}
