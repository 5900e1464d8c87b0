//! Content steering: the same presentation on several networks, and a server that says which to use.
//!
//! HLS: [rfc8216bis, 7](https://datatracker.ietf.org/doc/html/draft-pantos-hls-rfc8216bis#section-7). DASH: [ETSI TS 103
//! 998](https://www.etsi.org/deliver/etsi_ts/103900_103999/103998/). Both ask the same server, which answers with the
//! same document.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A place from which a whole presentation can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pathway {
    /// Its name: letters, digits, `.`, `-` and `_`.
    pub id: String,
    /// Where the presentation's folder is there, with a `/` at its end. Empty: where the manifest is.
    pub base: String,
}

/// What manifests say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering {
    server: String,
    pathways: Vec<Pathway>,
}

impl Steering {
    /// Players ask `server`, a URL, and use the first of `pathways` until it has answered.
    ///
    /// # Errors
    /// [`Error::Steering`] without a pathway, and for names and addresses that manifests can't hold.
    pub fn new(server: impl Into<String>, pathways: Vec<Pathway>) -> Result<Self, Error> {
        let server = server.into();
        let plain = |text: &str| !text.chars().any(|c| c.is_control() || c == '"' || c == ' ');
        if server.is_empty() || !plain(&server) {
            return Err(Error::Steering { what: "the server's address is no URL" });
        }
        if pathways.is_empty() {
            return Err(Error::Steering { what: "there is no pathway to steer to" });
        }
        for (index, Pathway { id, base }) in pathways.iter().enumerate() {
            let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if id.is_empty() || !id.chars().all(letter) {
                return Err(Error::Steering {
                    what: "a pathway's name has other signs than letters, digits, . - and _",
                });
            }
            if !plain(base) || !(base.is_empty() || base.ends_with('/')) {
                return Err(Error::Steering { what: "a pathway's address is no URL that ends with /" });
            }
            if pathways.iter().skip(index.saturating_add(1)).any(|other| other.id == *id) {
                return Err(Error::Steering { what: "two pathways have the same name" });
            }
        }
        Ok(Self { server, pathways })
    }

    /// Whom players ask.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The pathways, the one to begin with first.
    #[must_use]
    pub fn pathways(&self) -> &[Pathway] {
        &self.pathways
    }
}

/// What the server answers: a document of JSON, `application/json`.
///
/// A file of it beside the manifests is a server too, if a simple one: whoever changes the file steers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Answer {
    /// Always 1.
    pub version: u32,
    /// Seconds until players ask again.
    pub ttl: u32,
    /// Whom to ask then, if somebody else.
    #[serde(rename = "RELOAD-URI", default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
    /// Pathways by their names, the best first.
    #[serde(rename = "PATHWAY-PRIORITY")]
    pub priority: Vec<String>,
}

impl Answer {
    /// Players are to prefer these, and to ask again after `ttl` seconds.
    #[must_use]
    pub fn new(priority: Vec<String>, ttl: u32) -> Self {
        Self { version: 1, ttl, reload: None, priority }
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_checked() {
        let way = |id: &str, base: &str| Pathway { id: id.into(), base: base.into() };
        assert!(Steering::new("https://s/x", vec![way("a", ""), way("b", "https://b/")]).is_ok());
        for (server, ways) in [
            ("", vec![way("a", "")]),
            ("https://s/\"", vec![way("a", "")]),
            ("https://s", vec![]),
            ("https://s", vec![way("a b", "")]),
            ("https://s", vec![way("a", "https://b")]),
            ("https://s", vec![way("a", ""), way("a", "https://b/")]),
        ] {
            assert!(Steering::new(server, ways.clone()).is_err(), "{server} {ways:?}");
        }
    }

    /// The example of rfc8216bis, 7.2.
    #[test]
    fn the_specifications_answer_is_read() {
        let text = r#"{ "VERSION": 1, "TTL": 300, "RELOAD-URI": "https://example.com/steering?video=00012&session=123",
            "PATHWAY-PRIORITY": [ "CDN-A", "CDN-B" ] }"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!((answer.ttl, answer.priority.len()), (300, 2));
        assert_eq!(serde_json::from_str::<Answer>(&answer.json()).unwrap(), answer);
    }
}
