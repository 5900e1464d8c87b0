//! Which captions become text.

use sv_core::ErrorKind;

use crate::{Error, Result};

/// A channel of CEA-608 that becomes text, and the language that is spoken in it.
///
/// As text it is `CC1` to `CC4`, and with a language `CC1=en`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channel {
    /// From 1 to 4.
    pub number: u8,
    /// BCP 47; that of the pictures, if nothing is said.
    pub language: Option<String>,
}

impl Channel {
    /// A channel from 1 to 4.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self { number: number.clamp(1, 4), language: None }
    }
}

impl std::str::FromStr for Channel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let (name, language) = match text.split_once('=') {
            Some((name, language)) => (name, Some(crate::pick::language(language).map_err(wrong)?)),
            None => (text, None),
        };
        let number = name.strip_prefix("CC").and_then(|n| n.parse().ok()).filter(|n| (1..=4).contains(n));
        let number = number.ok_or_else(|| wrong(format!("{name:?} is none of CC1, CC2, CC3 and CC4")))?;
        Ok(Self { number, language })
    }
}
