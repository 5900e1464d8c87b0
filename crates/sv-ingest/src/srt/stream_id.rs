//! What a caller says that it wants.

use std::fmt;

/// What a stream id may hold, in bytes.
const MOST: usize = 512;

/// What a caller tells a listener: 512 bytes of UTF-8 at most, which may be or hold a secret: nothing prints it unasked.
///
/// What it means is up to the listener. [`wish`](Self::wish) reads it as
/// [the standard for access control](https://github.com/Haivision/srt/blob/master/docs/features/access-control.md) does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StreamId(String);

/// What a caller wants, as its stream id says.
#[derive(Clone, PartialEq, Eq)]
pub struct Wish {
    /// To send; otherwise to get.
    pub publish: bool,
    /// Which stream, or a key for it: a secret.
    pub name: String,
    /// The host or application that it is about, if it says so.
    pub host: String,
}

impl StreamId {
    /// From what it is as a string; what goes beyond 512 bytes is left out.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        let mut id: String = id.into();
        while id.len() > MOST {
            id.pop();
        }
        Self(id)
    }

    /// Itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What a caller wants by it. `#!::r=NAME,m=publish` is the standard, in which `u` stands in for a missing `r`, and
    /// what else is said stands behind a question mark of the name, as in a URL. Without `m` it is a wish to get.
    /// `publish:NAME` and `read:NAME` are common; anything else is the name of what is sent. `None` where two things are wanted at
    /// once, or something else than a stream.
    #[must_use]
    pub fn wish(&self) -> Option<Wish> {
        let Some(pairs) = self.0.strip_prefix("#!::") else {
            let (publish, name) = match self.0.split_once(':') {
                Some(("publish", name)) => (true, name),
                Some(("read" | "request" | "play", name)) => (false, name),
                _ => (true, &*self.0),
            };
            return Some(Wish { publish, name: name.to_owned(), host: String::new() });
        };
        let (mut resource, mut user, mut host, mut publish) = (None, None, "", false);
        let mut others = Vec::new();
        for pair in pairs.split(',') {
            match pair.split_once('=')? {
                ("r", value) => resource = Some(value),
                ("u", value) => user = Some(value),
                ("h", value) => host = value,
                ("m", "publish") => publish = true,
                ("m", "request") => publish = false,
                ("m", _) => return None,
                ("t", "stream") | ("s", _) => {}
                ("t", _) => return None,
                _ => others.push(pair),
            }
        }
        let mut name = resource.or(user).unwrap_or_default().to_owned();
        if let (Some(_), Some(user)) = (resource, user) {
            name.push_str("?u=");
            name.push_str(user);
        }
        for pair in others {
            name.push(if name.contains('?') { '&' } else { '?' });
            name.push_str(pair);
        }
        Some(Wish { publish, name, host: host.to_owned() })
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamId(hidden)")
    }
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wish").field("publish", &self.publish).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        let wish = |id: &str| StreamId::new(id).wish().map(|w| (w.publish, w.name, w.host));
        let some = |publish, name: &str, host: &str| Some((publish, name.to_owned(), host.to_owned()));
        assert_eq!(wish("#!::r=studio,m=publish"), some(true, "studio", ""));
        assert_eq!(wish("#!::m=request,h=example.com,r=a"), some(false, "a", "example.com"));
        assert_eq!(wish("#!::u=key,m=publish"), some(true, "key", ""));
        assert_eq!(wish("#!::r=a,u=b,x=c,m=publish,t=stream"), some(true, "a?u=b&x=c", ""));
        assert_eq!(wish("#!::r=a"), some(false, "a", ""));
        assert_eq!(wish("#!::r=a,m=bidirectional"), None);
        assert_eq!(wish("#!::r=a,t=file"), None);
        assert_eq!(wish("key"), some(true, "key", ""));
        assert_eq!(wish("read:a"), some(false, "a", ""));
        assert_eq!(wish("publish:a"), some(true, "a", ""));
        assert_eq!(wish("#!:{r=a}"), some(true, "#!:{r=a}", ""));
        assert!(!format!("{:?}", StreamId::new("key").wish()).contains("key"));
        assert_eq!(StreamId::new("ä".repeat(300)).expose().len(), 512);
    }
}
