//! Bodies of the type `application/trickle-ice-sdpfrag` ([RFC 8840](https://www.rfc-editor.org/rfc/rfc8840#section-9)).

use std::fmt::Write as _;

use crate::{Error, Result};

/// What a body may be long at most.
pub const MOST_BYTES: usize = 16 << 10;
/// Candidates in one body at most.
pub const MOST_CANDIDATES: usize = 64;

/// What a fragment says of ICE. Everything else in it is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The name of the m-line that has the candidates, if it says one.
    pub mid: Option<String>,
    /// The user name and password of ICE, which come together.
    pub credentials: Option<(String, String)>,
    /// Candidates: the text behind `a=`.
    pub candidates: Vec<String>,
    /// Whether no more will come.
    pub end: bool,
}

const WHAT: &str = "the fragment of a session description";

const fn wrong(problem: &'static str) -> Error {
    Error::Malformed { what: WHAT, problem }
}

/// Whether it is made of ICE's letters, and has so many of them ([RFC 8839](https://www.rfc-editor.org/rfc/rfc8839#section-5.4)).
fn is_word(text: &str, least: usize) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    letters && (least..=256).contains(&text.len())
}

impl Fragment {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is too long, a line is none of a session description, or ICE's name and password are no such or don't come
    /// together.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MOST_BYTES {
            let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
            return Err(Error::LimitExceeded { what: WHAT, limit });
        }
        let mut fragment = Self::default();
        let (mut name, mut password) = (None, None);
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let (kind, value) = line.split_once('=').ok_or(wrong("a line has no ="))?;
            if kind.len() != 1 {
                return Err(wrong("a line has no type of one letter"));
            }
            if kind != "a" {
                continue;
            }
            let (attribute, value) = value.split_once(':').unwrap_or((value, ""));
            match attribute {
                // The bundle has one transport: of several m-lines with the same, the first says it.
                "ice-ufrag" if is_word(value, 4) => name = name.or(Some(value)),
                "ice-pwd" if is_word(value, 22) => password = password.or(Some(value)),
                "ice-ufrag" | "ice-pwd" => {
                    return Err(wrong("its ICE name or password has other letters, or too few"));
                }
                "mid" if fragment.mid.is_none() && is_mid(value) => fragment.mid = Some(value.to_owned()),
                "candidate" if fragment.candidates.len() < MOST_CANDIDATES => {
                    fragment.candidates.push(format!("candidate:{value}"));
                }
                "candidate" => {
                    let limit = u64::try_from(MOST_CANDIDATES).unwrap_or(u64::MAX);
                    return Err(Error::LimitExceeded { what: "the number of candidates", limit });
                }
                "end-of-candidates" => fragment.end = true,
                _ => {}
            }
        }
        fragment.credentials = match (name, password) {
            (Some(name), Some(password)) => Some((name.to_owned(), password.to_owned())),
            (None, None) => None,
            _ => return Err(wrong("its ICE name and password don't come together")),
        };
        Ok(fragment)
    }

    /// Writes a body.
    #[must_use]
    pub fn build(&self) -> String {
        let mut text = String::from("a=ice-lite\r\na=ice-options:trickle ice2\r\n");
        // Writing to a string can't fail.
        if let Some((name, password)) = &self.credentials {
            let _ = write!(text, "a=ice-ufrag:{name}\r\na=ice-pwd:{password}\r\n");
        }
        if let Some(mid) = &self.mid {
            let _ = write!(text, "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n");
        }
        for candidate in &self.candidates {
            let _ = write!(text, "a={candidate}\r\n");
        }
        if self.end {
            text.push_str("a=end-of-candidates\r\n");
        }
        text
    }
}

/// Whether it is a token of a session description ([RFC 8866](https://www.rfc-editor.org/rfc/rfc8866#section-9)).
fn is_mid(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_fragment_of_a_browser() {
        let text = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
                    a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
                    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
                    a=end-of-candidates\r\n";
        let fragment = Fragment::parse(text).unwrap();
        assert_eq!(fragment.mid.as_deref(), Some("0"));
        assert_eq!(fragment.credentials.unwrap().0, "EsAw");
        assert_eq!(fragment.candidates.len(), 1);
        assert!(fragment.end);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in
            ["x", "a=ice-ufrag:abcd\r\n", "a=ice-ufrag:a b c\r\na=ice-pwd:short\r\n", "candidate=1\r\n"]
        {
            assert!(Fragment::parse(text).is_err(), "{text:?}");
        }
        let many = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n".repeat(MOST_CANDIDATES + 1);
        assert!(matches!(Fragment::parse(&many), Err(Error::LimitExceeded { .. })));
        assert!(Fragment::parse(&"\r\n".repeat(MOST_BYTES)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            mid in proptest::option::of("[a-z0-9]{1,8}"),
            credentials in proptest::option::of(("[A-Za-z0-9+/]{4,32}", "[A-Za-z0-9+/]{22,40}")),
            candidates in proptest::collection::vec("candidate:[0-9]{1,9} 1 udp [0-9]{1,9} 192\\.0\\.2\\.1 9 typ host", 0..5),
            end: bool,
        ) {
            let fragment = Fragment { mid, credentials, candidates, end };
            prop_assert_eq!(Fragment::parse(&fragment.build()).unwrap(), fragment);
        }

        #[test]
        fn nothing_breaks_it(text: String) {
            let _ = Fragment::parse(&text);
        }
    }
}
