//! `EXT-X-KEY` and `EXT-X-SESSION-KEY`: which key systems can decrypt what follows.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sv_core::{KeyId, Scheme};

use super::{Options, quoted};
use crate::{Form, Key, Rendition};

/// One attribute list for each key system that knows `kid`, a key of the rendition that `key` describes
/// ([RFC 8216, 4.3.2.4](https://www.rfc-editor.org/rfc/rfc8216#section-4.3.2.4)).
pub(super) fn attributes(key: &Key, kid: KeyId, options: &Options) -> Vec<String> {
    let method = match key.scheme {
        Scheme::Cbcs | Scheme::Cbc1 | Scheme::SampleAes => "SAMPLE-AES",
        Scheme::Cenc | Scheme::Cens => "SAMPLE-AES-CTR",
        Scheme::Aes128 => "AES-128",
    };
    // The value of a ClearKey data URI is the key's name, as hls.js reads it; never the key.
    let name = STANDARD.encode(kid.0);
    let hex = kid.to_hex();
    let clear = key.scheme.fourcc().map(|_| {
        format!(
            "METHOD={method},URI=\"data:text/plain;base64,{name}\",KEYID=0x{hex},\
             KEYFORMAT=\"org.w3.clearkey\",KEYFORMATVERSIONS=\"1\""
        )
    });
    let others = options.key_uris.iter().map(|other| {
        format!(
            "METHOD={method},URI={},KEYID=0x{hex},KEYFORMAT={},KEYFORMATVERSIONS=\"1\"",
            quoted(&other.uri),
            quoted(&other.format)
        )
    });
    // Without a vector, it is the number of the segment in its playlist, which begins at 0 as ours do.
    let iv = key.iv.map(|iv| format!(",IV=0x{}", KeyId(iv).to_hex())).unwrap_or_default();
    let fallback = key.scheme.fourcc().is_none().then_some("{kid}.key");
    let identity = options.key_url.as_deref().or(fallback).map(|url| {
        let url = quoted(&url.replace("{kid}", &hex));
        format!("METHOD={method},URI={url}{iv},KEYFORMAT=\"identity\",KEYFORMATVERSIONS=\"1\"")
    });
    clear.into_iter().chain(others).chain(identity).collect()
}

/// The tags in front of a segment under `kid` (`None` when it is clear) that stands behind one under `before` (`None`
/// at the beginning).
pub(super) fn tags(
    rendition: &Rendition,
    kid: Option<KeyId>,
    before: Option<Option<KeyId>>,
    options: &Options,
) -> String {
    let mut out = String::new();
    let Some(key) = rendition.info.key.as_ref().filter(|_| before.unwrap_or(None) != kid) else { return out };
    // A stream whose samples become encrypted names its tracks otherwise from there on (RFC 8216, 4.3.2.3).
    let renamed = rendition.form == Form::Ts && key.scheme == Scheme::SampleAes;
    if renamed && before.is_some_and(|before| before.is_some() != kid.is_some()) {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    match kid {
        Some(kid) => {
            for attributes in attributes(key, kid, options) {
                let _ = writeln!(out, "#EXT-X-KEY:{attributes}");
            }
        }
        None => out.push_str("#EXT-X-KEY:METHOD=NONE\n"),
    }
    out
}
