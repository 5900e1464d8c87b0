//! How somebody shows that it knows a password: Basic ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)) and Digest
//! ([RFC 7616](https://www.rfc-editor.org/rfc/rfc7616)).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// What passwords for this server are for, in its challenges and in what is kept of them.
pub(super) const REALM: &str = "streams";

/// A name and a password, which nothing prints.
#[derive(Clone)]
pub(super) struct Secret {
    user: String,
    password: String,
}

impl Secret {
    pub(super) fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A digest.
    Digest {
        sha256: bool,
        realm: String,
        nonce: String,
        opaque: Option<String>,
        /// Whether requests are counted.
        counts: bool,
        stale: bool,
        /// Answers that were given.
        count: u32,
    },
    /// The password.
    Basic,
}

fn hash(sha256: bool, text: &str) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
    if sha256 { hex(&Sha256::digest(text)) } else { hex(&Md5::digest(text)) }
}

/// A word that nobody guesses, of another one, which it doesn't tell.
pub(super) fn word(of: &str) -> String {
    hash(true, &format!("nonce {of}"))
}

/// The parameters of a challenge: words, and text in quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some((name, more)) = rest.split_once('=') {
        let more = more.trim_start();
        let (value, left) = match more.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => more.split_once(',').unwrap_or((more, "")),
        };
        all.push((name.trim().trim_start_matches(',').trim().to_ascii_lowercase(), value.trim().to_owned()));
        rest = left.trim_start().trim_start_matches(',');
        if all.len() >= 32 {
            break;
        }
    }
    all
}

impl Challenge {
    /// The strongest of those that a server offers.
    pub(super) fn best<'a>(offers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut all: Vec<Self> = offers.filter_map(Self::parse).collect();
        all.sort_by_key(|challenge| match challenge {
            Self::Digest { sha256: true, .. } => 0,
            Self::Digest { .. } => 1,
            Self::Basic => 2,
        });
        all.into_iter().next()
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let all = parameters(rest);
        let of = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let sha256 = match of("algorithm").map(str::to_ascii_uppercase).as_deref() {
            None | Some("MD5") => false,
            Some("SHA-256") => true,
            _ => return None,
        };
        Some(Self::Digest {
            sha256,
            realm: of("realm")?.to_owned(),
            nonce: of("nonce")?.to_owned(),
            opaque: of("opaque").map(str::to_owned),
            counts: of("qop").is_some_and(|all| all.split(',').any(|one| one.trim() == "auth")),
            stale: of("stale").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            count: 0,
        })
    }

    /// Whether only the number that was used is too old.
    pub(super) const fn stale(&self) -> bool {
        matches!(self, Self::Digest { stale: true, .. })
    }

    /// What is said in `Authorization`; `mine` is a word that nobody guesses.
    pub(super) fn answer(&mut self, secret: &Secret, method: &str, url: &str, mine: &str) -> String {
        let Secret { user, password } = secret;
        match self {
            Self::Basic => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            Self::Digest { sha256, realm, nonce, opaque, counts, count, .. } => {
                *count = count.saturating_add(1);
                let who = hash(*sha256, &format!("{user}:{realm}:{password}"));
                let what = hash(*sha256, &format!("{method}:{url}"));
                let number = format!("{count:08x}");
                let response = if *counts {
                    hash(*sha256, &format!("{who}:{nonce}:{number}:{mine}:auth:{what}"))
                } else {
                    hash(*sha256, &format!("{who}:{nonce}:{what}"))
                };
                let mut text = format!(
                    "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{url}\", response=\"{response}\""
                );
                if *sha256 {
                    text.push_str(", algorithm=SHA-256");
                }
                if let Some(opaque) = opaque {
                    text.push_str(&format!(", opaque=\"{opaque}\""));
                }
                if *counts {
                    text.push_str(&format!(", qop=auth, nc={number}, cnonce=\"{mine}\""));
                }
                text
            }
        }
    }
}

/// What is kept of a password for those who show that they know it without saying it: its digests with the name of who does
/// (RFC 7616, 3.4.2). Nothing prints them, since who has them can pass for who knows the password.
#[derive(Clone)]
pub struct Digests {
    user: String,
    md5: String,
    sha256: String,
}

impl Digests {
    /// Of this password, said by somebody of this name.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        let whole = format!("{user}:{REALM}:{password}");
        Self { user: user.to_owned(), md5: hash(false, &whole), sha256: hash(true, &whole) }
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What somebody showed instead of a password: a digest over it and a word that the server chose.
#[derive(Clone)]
pub struct Proof {
    sha256: bool,
    user: String,
    /// What the password's own digest stands before, and what behind.
    nonce: String,
    rest: String,
    response: String,
}

impl Proof {
    /// Whether it is made of that password.
    #[must_use]
    pub fn is_of(&self, kept: &Digests) -> bool {
        let who = if self.sha256 { &kept.sha256 } else { &kept.md5 };
        let wanted = hash(self.sha256, &format!("{who}:{}", self.rest));
        self.user == kept.user && bool::from(wanted.as_bytes().ct_eq(self.response.as_bytes()))
    }

    /// The value of an `Authorization` of a request for `url`, if it is a digest.
    pub(super) fn parse(value: &str, method: &str, url: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        let all = parameters(rest);
        let of = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let sha256 = match of("algorithm").map(str::to_ascii_uppercase).as_deref() {
            None | Some("MD5") => false,
            Some("SHA-256") => true,
            _ => return None,
        };
        if !scheme.eq_ignore_ascii_case("digest") || of("realm") != Some(REALM) || of("uri") != Some(url) {
            return None;
        }
        let nonce = of("nonce")?.to_owned();
        let what = hash(sha256, &format!("{method}:{url}"));
        let rest = match of("qop") {
            None => format!("{nonce}:{what}"),
            Some("auth") => format!("{nonce}:{}:{}:auth:{what}", of("nc")?, of("cnonce")?),
            Some(_) => return None,
        };
        let response = of("response")?.to_ascii_lowercase();
        Some(Self { sha256, user: of("username")?.to_owned(), nonce, rest, response })
    }

    /// The word of the server's that it is made with.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616, 3.9.1.
    #[test]
    fn the_digests_of_the_specification() {
        let offer = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let secret = Secret::new("Mufasa", "Circle of Life");
        let mine = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let all = [offer("MD5"), offer("SHA-256"), "Basic realm=\"x\"".to_owned()];
        let mut best = Challenge::best(all.iter().map(String::as_str)).unwrap();
        let said = best.answer(&secret, "GET", "/dir/index.html", mine);
        assert!(said.contains("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"), "{said}");
        let mut md5 = Challenge::best(all.iter().take(1).map(String::as_str)).unwrap();
        let said = md5.answer(&secret, "GET", "/dir/index.html", mine);
        assert!(said.contains("8ca523f5e9506fed4657c9700eebdbec") && said.contains("nc=00000001"), "{said}");
        let mut basic = Challenge::best(["Basic realm=\"x\""].into_iter()).unwrap();
        assert_eq!(basic.answer(&Secret::new("a", "b"), "GET", "/", ""), "Basic YTpi");
    }

    #[test]
    fn who_knows_the_password_alone_can_show_it() {
        let kept = Digests::new("studio", "a long secret");
        for algorithm in ["MD5", "SHA-256"] {
            for qop in ["", "qop=\"auth\", "] {
                let offer = format!("Digest realm=\"{REALM}\", {qop}nonce=\"abc\", algorithm={algorithm}");
                for (user, password, url, right) in [
                    ("studio", "a long secret", "rtsp://h/live/x", true),
                    ("studio", "a long secre", "rtsp://h/live/x", false),
                    ("other", "a long secret", "rtsp://h/live/x", false),
                    ("studio", "a long secret", "rtsp://h/live/y", false),
                ] {
                    let mut challenge = Challenge::parse(&offer).unwrap();
                    let said = challenge.answer(&Secret::new(user, password), "ANNOUNCE", url, "mine");
                    let proof = Proof::parse(&said, "ANNOUNCE", "rtsp://h/live/x");
                    assert_eq!(proof.is_some_and(|p| p.nonce() == "abc" && p.is_of(&kept)), right, "{said}");
                }
            }
        }
    }
}
