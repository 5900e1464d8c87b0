//! ClearKey licences: the JSON of [Encrypted Media Extensions, section 9.1](https://www.w3.org/TR/encrypted-media/#clear-key).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sv_core::KeyId;

use crate::{ContentKey, Error};

/// Most keys that one request may ask for.
const MAX_KIDS: usize = 64;

/// What a player asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The keys it needs.
    pub kids: Vec<KeyId>,
    /// `temporary` or `persistent-license`.
    pub session: String,
}

#[derive(Deserialize)]
struct RequestJson {
    kids: Vec<String>,
    #[serde(rename = "type", default = "temporary")]
    session: String,
}

fn temporary() -> String {
    "temporary".into()
}

impl Request {
    /// Reads a licence request.
    ///
    /// # Errors
    /// [`Error::Request`] for anything but JSON with 1 to 64 key ids of 16 bytes.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let json: RequestJson = serde_json::from_slice(body)
            .map_err(|_| Error::Request("it is not JSON with a list \"kids\""))?;
        if json.kids.is_empty() || json.kids.len() > MAX_KIDS {
            return Err(Error::Request("it must name 1 to 64 keys"));
        }
        let kids = json.kids.iter().map(|kid| decode_kid(kid)).collect::<Result<_, _>>()?;
        Ok(Self { kids, session: json.session })
    }
}

fn decode_kid(text: &str) -> Result<KeyId, Error> {
    const SHAPE: Error = Error::Request("a key id must be 16 bytes in base64url");
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| SHAPE)?;
    Ok(KeyId(bytes.try_into().map_err(|_| SHAPE)?))
}

#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    kid: String,
    k: String,
}

#[derive(Serialize)]
struct Jwks<'a> {
    keys: Vec<Jwk>,
    #[serde(rename = "type")]
    session: &'a str,
}

/// The licence for `request`: a JSON Web Key Set with those of its keys that `find` knows.
///
/// The result holds keys in the clear: send it over TLS and log none of it.
///
/// # Errors
/// [`Error::Request`] when `find` knows none of the keys.
pub fn license(request: &Request, find: impl Fn(KeyId) -> Option<ContentKey>) -> Result<Vec<u8>, Error> {
    let keys: Vec<_> = request
        .kids
        .iter()
        .filter_map(|kid| {
            find(*kid).map(|key| Jwk {
                kty: "oct",
                kid: URL_SAFE_NO_PAD.encode(kid.0),
                k: URL_SAFE_NO_PAD.encode(key.expose()),
            })
        })
        .collect();
    if keys.is_empty() {
        return Err(Error::Request("none of its keys is known here"));
    }
    serde_json::to_vec(&Jwks { keys, session: &request.session })
        .map_err(|_| Error::Request("its answer could not be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request and the keys of the examples in Encrypted Media Extensions, section 9.1.3 and 9.1.4.
    #[test]
    fn the_examples_of_the_specification() {
        let request =
            Request::parse(br#"{"kids":["LwVHf8JLtPrv2GUXFW2v_A"],"type":"persistent-license"}"#).unwrap();
        assert_eq!(request.session, "persistent-license");
        let license = license(&request, |_| Some(ContentKey::new([7; 16]))).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&license).unwrap();
        assert_eq!(json["keys"][0]["kty"], "oct");
        assert_eq!(json["keys"][0]["kid"], "LwVHf8JLtPrv2GUXFW2v_A");
        assert_eq!(json["keys"][0]["k"], "BwcHBwcHBwcHBwcHBwcHBw");
        assert_eq!(json["type"], "persistent-license");
    }

    #[test]
    fn bad_requests() {
        for body in [&b""[..], b"{}", b"{\"kids\":[]}", b"{\"kids\":[\"x\"]}", b"[1]"] {
            assert!(Request::parse(body).is_err());
        }
        let request = Request::parse(br#"{"kids":["LwVHf8JLtPrv2GUXFW2v_A"]}"#).unwrap();
        assert!(license(&request, |_| None).is_err());
    }
}
