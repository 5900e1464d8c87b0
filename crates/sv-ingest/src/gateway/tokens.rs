//! Admission by JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)): whoever signs them decides, and the gateway need not ask.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use sv_core::Codec;

use super::{Admission, Answer, Ask, Grant, Hours, Verdict};
use crate::{Error, Result};

/// Streams by signed tokens: in place of the name (`rtmp://HOST/live/TOKEN`), or behind it (`NAME?token=TOKEN`).
///
/// A token must have `exp`, and says in `stream` which stream it is good for; `nbf` and `aud` are looked at. It lets send,
/// unless `publish` is false: then it lets play. What who sends is bound to stands in `rank`, `codecs`, `bitrate` and
/// `hours`, each as in [`Rules`](super::Rules); `until` is a moment in seconds of 1970 at which the stream must end, while `exp` is
/// about beginning it. Everybody may play what has been sent, unless [`private`](Self::private) says that this needs a token too.
#[derive(Clone)]
pub struct Tokens {
    keys: Vec<(Algorithm, DecodingKey)>,
    audience: Option<String>,
    private: bool,
}

#[derive(Deserialize)]
struct Claims {
    stream: String,
    #[serde(default = "yes")]
    publish: bool,
    #[serde(default)]
    rank: u8,
    #[serde(default)]
    codecs: Vec<String>,
    bitrate: Option<u64>,
    until: Option<u64>,
    #[serde(default)]
    hours: Vec<String>,
}

const fn yes() -> bool {
    true
}

impl Tokens {
    /// Signed by a secret that both sides know, by HMAC with SHA-256.
    ///
    /// # Errors
    /// When the secret has fewer than 32 bytes ([RFC 7518, section 3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
    pub fn secret(secret: &[u8]) -> Result<Self> {
        if secret.len() < 32 {
            let problem = "it must have 32 bytes or more";
            return Err(Error::InvalidInput { what: "the secret of tokens".into(), problem });
        }
        let problem = "it can't be a key";
        let key = DecodingKey::from_secret(secret)
            .map_err(|_| Error::InvalidInput { what: "the secret of tokens".into(), problem })?;
        Ok(Self::of(vec![(Algorithm::HS256, key)]))
    }

    /// Signed by whoever has the private key of a public key in PEM: RSA, P-256 or Ed25519, by RS256, ES256 or EdDSA.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn public(pem: &[u8]) -> Result<Self> {
        let keys = [
            (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)),
            (Algorithm::ES256, DecodingKey::from_ec_pem(pem)),
            (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)),
        ];
        let key = keys.into_iter().find_map(|(algorithm, key)| Some((algorithm, key.ok()?)));
        let problem = "it must be a public key in PEM: of RSA, P-256 or Ed25519";
        let key = key.ok_or(Error::InvalidInput { what: "the key of tokens".into(), problem })?;
        Ok(Self::of(vec![key]))
    }

    const fn of(keys: Vec<(Algorithm, DecodingKey)>) -> Self {
        Self { keys, audience: None, private: false }
    }

    /// Signed by any of both: for a key that is changed.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self
    }

    /// Tokens must be made for that audience.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Who plays needs a token too.
    #[must_use]
    pub const fn private(mut self) -> Self {
        self.private = true;
        self
    }

    fn claims(&self, token: &str) -> Result<Claims, String> {
        let header = decode_header(token).map_err(|error| told(&error))?;
        let mut reason = None;
        for (algorithm, key) in self.keys.iter().filter(|(algorithm, _)| *algorithm == header.alg) {
            let mut validation = Validation::new(*algorithm);
            validation.leeway = 5;
            validation.validate_nbf = true;
            validation.validate_aud = self.audience.is_some();
            if let Some(audience) = &self.audience {
                validation.set_audience(&[audience]);
                validation.set_required_spec_claims(&["exp", "aud"]);
            }
            match decode::<Claims>(token, key, &validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) => reason = reason.or(Some(told(&error))),
            }
        }
        Err(reason.unwrap_or_else(|| "the token was signed in a way that isn't taken".into()))
    }
}

/// What is wrong with a token, without what stands in it.
fn told(error: &jsonwebtoken::errors::Error) -> String {
    use jsonwebtoken::errors::ErrorKind as Kind;
    match error.kind() {
        Kind::ExpiredSignature => "the token is too old".into(),
        Kind::ImmatureSignature => "the token is not good yet".into(),
        Kind::InvalidAudience => "the token was made for somebody else".into(),
        Kind::MissingRequiredClaim(claim) => format!("the token has no {claim:?}"),
        Kind::InvalidSignature => "the token was signed by somebody else".into(),
        _ => "this is no token as this gateway wants it".into(),
    }
}

impl Claims {
    fn grant(self) -> Result<Grant, String> {
        let mut grant = Grant::new(self.stream);
        grant.rank = self.rank;
        for name in &self.codecs {
            let codec = Codec::named(name).ok_or_else(|| format!("the token names a codec {name:?}"))?;
            grant.rules.codecs.push(codec);
        }
        for hours in &self.hours {
            grant.rules.hours.push(hours.parse::<Hours>().map_err(|e| e.to_string())?);
        }
        grant.rules.bitrate = self.bitrate;
        grant.rules.until =
            self.until.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        Ok(grant)
    }
}

impl Admission for Tokens {
    fn decide(&self, ask: Ask, answer: Answer) {
        let (name, query) = (ask.name.expose(), ask.name.query("token"));
        // What has the form of a token is one also where none is needed.
        if !ask.publish && !self.private && query.is_none() && name.matches('.').count() != 2 {
            return answer.say(Verdict::allow(name));
        }
        let decided = self.claims(query.unwrap_or(name)).and_then(|claims| {
            if query.is_some() && claims.stream != name {
                return Err("the token is for another stream".into());
            }
            if ask.publish && !claims.publish {
                return Err("the token is only for playing".into());
            }
            claims.grant()
        });
        answer.say(match decided {
            Ok(grant) => Verdict::Allow(grant),
            Err(reason) => Verdict::Refuse { reason },
        });
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.keys.iter().map(|(algorithm, _)| algorithm).collect();
        f.debug_struct("Tokens").field("algorithms", &algorithms).finish_non_exhaustive()
    }
}
