//! What somebody may send, as files and answers of webhooks say it.

use std::time::SystemTime;

use serde::{Deserialize, Deserializer};
use sv_core::Codec;
use sv_ingest::gateway::{Grant, Hours};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Terms on which a stream may be sent, to be read from JSON or TOML.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Terms {
    /// Codecs that may come, by their short names (`h264`, `aac`); any, if there are none.
    #[serde(deserialize_with = "codecs")]
    pub codecs: Vec<Codec>,
    /// Bits a second, over ten seconds.
    pub bitrate: Option<u64>,
    /// Not before then: RFC 3339.
    #[serde(deserialize_with = "moment")]
    pub from: Option<SystemTime>,
    /// Not after then: RFC 3339.
    #[serde(deserialize_with = "moment")]
    pub until: Option<SystemTime>,
    /// Only at these hours of a week, in UTC: `mon-fri 08:00-18:30`.
    #[serde(deserialize_with = "hours")]
    pub hours: Vec<Hours>,
}

impl Terms {
    /// What is granted to who sends that stream on these terms.
    #[must_use]
    pub fn grant(&self, stream: &str) -> Grant {
        let mut grant = Grant::new(stream);
        grant.rules.codecs.clone_from(&self.codecs);
        grant.rules.bitrate = self.bitrate;
        (grant.rules.from, grant.rules.until) = (self.from, self.until);
        grant.rules.hours.clone_from(&self.hours);
        grant
    }
}

fn codecs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Codec>, D::Error> {
    let names = Vec::<String>::deserialize(from)?.into_iter();
    let unknown = |name: &str| serde::de::Error::custom(format!("{name:?} is no codec that is known here"));
    names.map(|name| Codec::named(&name).ok_or_else(|| unknown(&name))).collect()
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = |text: String| OffsetDateTime::parse(&text, &Rfc3339).map(SystemTime::from);
    text.map(read).transpose().map_err(|_| {
        serde::de::Error::custom("a moment must be one of RFC 3339, like \"2026-12-01T20:00:00Z\"")
    })
}

fn hours<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Hours>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?.into_iter();
    texts.map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}
