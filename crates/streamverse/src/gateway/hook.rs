//! Webhooks: what happens is told to a URL, and a URL may decide who sends.
//!
//! Requests are signed as [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
//! has it: `webhook-id`, `webhook-timestamp`, and in `webhook-signature` the HMAC-SHA256 of both and the body.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use sv_core::ErrorKind;

use crate::{Error, Result};

/// How long a URL may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer.
const ANSWER: u64 = 64 << 10;

/// A URL to which something is posted, with the secret that signs it. Neither is printed.
#[derive(Clone)]
pub struct Hook {
    url: String,
    secret: Option<Arc<[u8]>>,
}

impl Hook {
    /// A URL of `https`, or of `http`.
    ///
    /// # Errors
    /// When it is no such URL. The error doesn't repeat it.
    pub fn new(url: impl Into<String>) -> Result<Self> {
        let url = url.into();
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
            || url.contains(char::is_whitespace)
        {
            let message = "a webhook is a URL that begins with https:// or http://";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self { url, secret: None })
    }

    /// Signed by that secret: `whsec_` and its bytes in Base64, or else the bytes of the text itself.
    ///
    /// # Errors
    /// When the secret has fewer than 24 bytes.
    pub fn signed(mut self, secret: &str) -> Result<Self> {
        let coded = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        let secret = coded.unwrap_or_else(|| secret.as_bytes().to_vec());
        if secret.len() < 24 {
            return Err(Error::new(ErrorKind::InvalidInput, "a webhook's secret has 24 bytes or more"));
        }
        self.secret = Some(secret.into());
        Ok(self)
    }

    /// Posts something, and gives status and answer.
    pub(super) fn post(&self, agent: &ureq::Agent, id: &str, body: &str) -> Result<(u16, Value), String> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let mut request = agent.post(&self.url).header("content-type", "application/json");
        request = request.header("webhook-id", id).header("webhook-timestamp", &at);
        if let Some(secret) = &self.secret {
            request = request.header("webhook-signature", signature(secret, id, &at, body));
        }
        // What a client says of a failure names hosts, not secrets; the URL's query may be one.
        let mut answer = request.send(body).map_err(|error| match error {
            ureq::Error::Timeout(_) => "it took too long".to_owned(),
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "its host isn't known".to_owned(),
            _ => "it can't be asked".to_owned(),
        })?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER).read_to_string().unwrap_or_default();
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("signed", &self.secret.is_some()).finish_non_exhaustive()
    }
}

pub(super) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        // Whoever is asked answers itself.
        .max_redirects(0)
        .build();
    config.into()
}

/// `v1,` and the signature in Base64.
fn signature(secret: &[u8], id: &str, at: &str, body: &str) -> String {
    // A key of HMAC can have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    for part in [id, ".", at, ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// A name that no other message has.
pub(super) fn unique() -> String {
    let mut bytes = [0; 15];
    if getrandom::fill(&mut bytes).is_err() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_be_bytes();
        bytes.copy_from_slice(&now[1..]);
    }
    format!("msg_{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn messages_are_signed_as_the_standard_has_it() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let said = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(said, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn nothing_secret_is_printed_and_nonsense_refused() {
        let hook = Hook::new("https://u:p@example.org/hook?token=abc").unwrap();
        let hook = hook.signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let printed = format!("{hook:?}");
        assert!(!printed.contains("abc") && !printed.contains("MfKQ"), "{printed}");
        for url in ["", "ftp://a/", "https://", "https:///a", "http://a b"] {
            assert!(Hook::new(url).is_err(), "{url}");
        }
        assert!(Hook::new("http://a/").unwrap().signed("short").is_err());
    }
}
