//! Requests, responses and what is interleaved between them ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326),
//! [RFC 7826](https://www.rfc-editor.org/rfc/rfc7826)).

use std::fmt::Write as _;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::{Error, Result};

/// What the head of a message may be long at most.
const MOST_HEAD: usize = 16 << 10;
/// Headers of a message at most.
const MOST_HEADERS: usize = 64;
/// What the body of a message may be long at most.
const MOST_BODY: usize = 64 << 10;

/// What comes on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks for something.
    Request(Request),
    /// What came of a request.
    Response(Response),
    /// A packet of RTP or RTCP on one of 256 channels.
    Interleaved {
        /// Which.
        channel: u8,
        /// The packet.
        data: Bytes,
    },
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What to do: `SETUP`.
    pub method: String,
    /// With what: a URL, or `*`.
    pub url: String,
    /// The rest.
    pub headers: Headers,
    /// What it brings.
    pub body: Bytes,
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// What came of it, as in HTTP.
    pub status: u16,
    /// The rest.
    pub headers: Headers,
    /// What it brings.
    pub body: Bytes,
}

/// Headers in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first of that name, in whatever letters.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// With one more. Letters that would end a line are left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref().chars().filter(|c| !c.is_control()).collect();
        self.0.push((name.to_owned(), value));
        self
    }
}

impl Response {
    /// With that status and no headers.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.headers = self.headers.with(name, value);
        self
    }

    /// As it travels.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            415 => "Unsupported Media Type",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            461 => "Unsupported Transport",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Other",
        };
        build(&format!("RTSP/1.0 {} {reason}", self.status), &self.headers, &self.body)
    }
}

impl Request {
    /// As it travels.
    #[must_use]
    pub fn build(&self) -> Bytes {
        build(&format!("{} {} RTSP/1.0", self.method, self.url), &self.headers, &self.body)
    }
}

fn build(first: &str, headers: &Headers, body: &[u8]) -> Bytes {
    let mut text = format!("{first}\r\n");
    // Writing to a string can't fail.
    for (name, value) in &headers.0 {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(text, "Content-Length: {}\r\n", body.len());
    }
    text.push_str("\r\n");
    let mut out = BytesMut::from(text.as_bytes());
    out.extend_from_slice(body);
    out.freeze()
}

/// A packet as it travels between messages; nothing where it is too long for that.
#[must_use]
pub fn interleaved(channel: u8, packet: &[u8]) -> Bytes {
    let Ok(len) = u16::try_from(packet.len()) else { return Bytes::new() };
    let mut out = BytesMut::with_capacity(packet.len().saturating_add(4));
    out.extend_from_slice(&[b'$', channel]);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(packet);
    out.freeze()
}

/// Collects messages from pieces of a stream. What waits is never longer than one message and one piece.
#[derive(Debug, Default)]
pub struct Parser {
    rest: BytesMut,
    /// How much of the rest has no end of a head.
    seen: usize,
}

fn wrong(problem: &'static str) -> Error {
    Error::Malformed { what: "a message of RTSP", problem }
}

impl Parser {
    /// Nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next message that is whole.
    ///
    /// # Errors
    /// When what came is no message, or too long for one. Nothing can be read behind it.
    pub fn message(&mut self) -> Result<Option<Message>> {
        // Empty lines between messages are somebody's way to say that they are there.
        while self.seen == 0 && matches!(self.rest.first(), Some(b'\r' | b'\n')) {
            self.rest.advance(1);
        }
        if self.rest.first() == Some(&b'$') {
            let Some([_, channel, high, low]) = self.rest.first_chunk().copied() else { return Ok(None) };
            let len = usize::from(u16::from_be_bytes([high, low]));
            if self.rest.len().saturating_sub(4) < len {
                return Ok(None);
            }
            self.rest.advance(4);
            return Ok(Some(Message::Interleaved { channel, data: self.rest.split_to(len).freeze() }));
        }
        let from = self.seen.saturating_sub(3);
        let found = self.rest.get(from..).and_then(|new| new.windows(4).position(|w| w == b"\r\n\r\n"));
        let Some(end) = found.map(|at| at.saturating_add(from)) else {
            self.seen = self.rest.len();
            if self.seen > MOST_HEAD {
                return Err(wrong("its head is too long"));
            }
            return Ok(None);
        };
        let head = self.rest.get(..end).unwrap_or_default();
        if head.len() > MOST_HEAD {
            return Err(wrong("its head is too long"));
        }
        let head = std::str::from_utf8(head).map_err(|_| wrong("its head is no text"))?;
        let (first, headers) = self::head(head)?;
        let length = match headers.get("content-length") {
            Some(text) => text.trim().parse().map_err(|_| wrong("its length is no number"))?,
            None => 0usize,
        };
        if length > MOST_BODY {
            return Err(wrong("its body is too long"));
        }
        let start = end.saturating_add(4);
        if self.rest.len().saturating_sub(start) < length {
            // The head is read again when more has come, at most as often as pieces come.
            self.seen = end;
            return Ok(None);
        }
        self.seen = 0;
        self.rest.advance(start);
        let body = self.rest.split_to(length).freeze();
        Ok(Some(match first {
            First::Request(method, url) => Message::Request(Request { method, url, headers, body }),
            First::Response(status) => Message::Response(Response { status, headers, body }),
        }))
    }
}

enum First {
    Request(String, String),
    Response(u16),
}

fn head(text: &str) -> Result<(First, Headers)> {
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
    let (one, two, three) = (words.next(), words.next(), words.next());
    let first = match (one, two, three) {
        (Some(version), Some(status), _) if version.starts_with("RTSP/") => {
            First::Response(status.parse().map_err(|_| wrong("its status is no number"))?)
        }
        (Some(method), Some(url), Some(version))
            if version.starts_with("RTSP/")
                && !method.is_empty()
                && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') =>
        {
            First::Request(method.to_owned(), url.to_owned())
        }
        _ => return Err(wrong("its first line is none of RTSP")),
    };
    let mut headers = Headers::default();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(wrong("a header has no colon"))?;
        if headers.0.len() >= MOST_HEADERS {
            return Err(wrong("it has too many headers"));
        }
        headers = headers.with(name.trim(), value.trim());
    }
    Ok((first, headers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(stream: &[u8], cut: usize) -> Result<Vec<Message>> {
        let (mut parser, mut got) = (Parser::new(), Vec::new());
        for piece in stream.chunks(cut.max(1)) {
            parser.push(piece);
            while let Some(message) = parser.message()? {
                got.push(message);
            }
        }
        Ok(got)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            url in "rtsp://[a-z]{1,9}/[a-z]{1,9}",
            value in "[a-zA-Z0-9=;/ ]{0,30}",
            body in proptest::collection::vec(any::<u8>(), 0..100),
            channel: u8,
            cut in 1usize..40,
        ) {
            let headers = Headers::default().with("CSeq", "1").with("Transport", value.trim());
            let mut request = Request { method: "SETUP".into(), url, headers, body: body.clone().into() };
            let stream = [request.build(), interleaved(channel, &body), Response::new(200).with("CSeq", "1").build()].concat();
            let got = all(&stream, cut).unwrap();
            if !body.is_empty() {
                request.headers = request.headers.with("Content-Length", body.len().to_string());
            }
            prop_assert_eq!(&got[0], &Message::Request(request));
            prop_assert_eq!(&got[1], &Message::Interleaved { channel, data: body.into() });
            prop_assert_eq!(&got[2], &Message::Response(Response::new(200).with("CSeq", "1")));
        }

        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>, cut in 1usize..20) {
            let _ = all(&bytes, cut);
        }
    }

    #[test]
    fn a_head_has_an_end() {
        let mut parser = Parser::new();
        parser.push(&[b'A'; MOST_HEAD + 2]);
        assert!(parser.message().is_err());
        assert!(all(b"SETUP rtsp://a RTSP/1.0\r\nContent-Length: 9999999\r\n\r\n", 9).is_err());
        assert!(all(b"GET / HTTP/1.1\r\n\r\n", 100).is_err());
    }
}
