//! A document as a tree, read by `quick-xml` and written again.

use std::fmt;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use sv_core::Limits;

use crate::num::u64_of;
use crate::{Error, Result};

/// Deeper than any reader of boxes has to go, and shallow enough for the stack.
const MOST_DEPTH: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Element(Element),
    Text(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// As it is written, with its prefix.
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
}

/// A name without its prefix.
pub(super) fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

impl Element {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(super) fn attr(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn child(mut self, child: Element) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    pub(super) fn is(&self, name: &str) -> bool {
        local(&self.name) == name
    }

    /// An attribute by its name as written.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// An attribute of a namespace whose prefix the author chose, by its local name.
    pub(super) fn any(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| local(own) == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<&Element> {
        self.elements().find(|element| element.is(name))
    }

    /// Whether its children come one after the other (TTML2, 12.2.4).
    pub(super) fn is_sequence(&self) -> bool {
        self.get("timeContainer") == Some("seq")
    }

    fn push_text(&mut self, text: &str) {
        let text = text.chars().filter(|c| is_character(*c));
        match self.children.last_mut() {
            Some(Node::Text(before)) => before.extend(text),
            _ => self.children.push(Node::Text(text.collect())),
        }
    }
}

/// The outermost element, if there is one.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<Element>> {
    let exceeded = |what, limit: usize| Error::LimitExceeded { what, offset: 0, limit: u64_of(limit) };
    if bytes.len() > limits.structure_bytes {
        return Err(exceeded("the size of a text file", limits.structure_bytes));
    }
    let text = decoded(bytes);
    let mut reader = Reader::from_str(&text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0usize;
    loop {
        let at = reader.buffer_position();
        let broken = |problem| Error::Malformed { path: "the XML", offset: at, problem };
        let closed = match reader.read_event().map_err(|_| broken("it is not well-formed"))? {
            Event::Start(start) => {
                if open.len() >= MOST_DEPTH {
                    return Err(exceeded("the depth of elements", MOST_DEPTH));
                }
                open.push(element(&start).ok_or(broken("an attribute can't be read"))?);
                None
            }
            Event::Empty(start) => Some(element(&start).ok_or(broken("an attribute can't be read"))?),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                let text = text.decode().map_err(|_| broken("text is no UTF-8"))?;
                if let Some(parent) = open.last_mut() {
                    parent.push_text(&text);
                }
                None
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|_| broken("text is no UTF-8"))?;
                if let Some(parent) = open.last_mut() {
                    parent.push_text(&text);
                }
                None
            }
            Event::GeneralRef(name) => {
                let c = match name.resolve_char_ref() {
                    Ok(Some(c)) => Some(c),
                    _ => name.decode().ok().and_then(|name| entity(&name)),
                };
                if let (Some(parent), Some(c)) = (open.last_mut(), c) {
                    parent.push_text(c.encode_utf8(&mut [0; 4]));
                }
                None
            }
            Event::Eof => break,
            // What a document type declares is not looked at, so nothing of it can grow.
            _ => None,
        };
        count = count.saturating_add(1);
        if count > limits.samples {
            return Err(exceeded("the number of elements", limits.samples));
        }
        if let Some(element) = closed {
            match open.last_mut() {
                Some(parent) => parent.children.push(Node::Element(element)),
                None => root = root.or(Some(element)),
            }
        }
    }
    match open.is_empty() {
        true => Ok(root),
        false => Err(Error::Malformed {
            path: "the XML",
            offset: u64_of(bytes.len()),
            problem: "it ends in the middle",
        }),
    }
}

/// UTF-8, or UTF-16 with a byte order mark: the two that every XML processor reads.
fn decoded(bytes: &[u8]) -> String {
    let wide = |rest: &[u8], of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).filter_map(|c| c.try_into().ok()).map(of).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn element(start: &BytesStart<'_>) -> Option<Element> {
    let name = std::str::from_utf8(start.name().into_inner()).ok()?.to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let name = std::str::from_utf8(attribute.key.into_inner()).ok()?.to_owned();
        let raw = std::str::from_utf8(&attribute.value).ok()?;
        attributes.push((name, unescaped(raw)));
    }
    Some(Element { name, attributes, children: Vec::new() })
}

fn unescaped(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut parts = raw.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once(';').unwrap_or(("", part));
        let number = match name.strip_prefix("#x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => name.strip_prefix('#').and_then(|number| number.parse().ok()),
        };
        out.extend(number.and_then(char::from_u32).or_else(|| entity(name)));
        out.push_str(rest);
    }
    // What couldn't be written again isn't read either.
    out.retain(is_character);
    out
}

/// What XML 1.0 can say (its production 2), but for control characters that it frowns upon.
fn is_character(c: char) -> bool {
    matches!(c, '\n' | '\t' | '\r') || !(c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}'))
}

/// XML's own.
fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}=\"")?;
            escape(f, value, true)?;
            f.write_str("\"")?;
        }
        if self.children.is_empty() {
            return f.write_str("/>");
        }
        f.write_str(">")?;
        for child in &self.children {
            match child {
                Node::Element(element) => element.fmt(f)?,
                Node::Text(text) => escape(f, text, false)?,
            }
        }
        write!(f, "</{}>", self.name)
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str, attribute: bool) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' if attribute => f.write_str("&quot;")?,
            '\n' | '\t' | '\r' if attribute || c == '\r' => write!(f, "&#{};", u32::from(c))?,
            '\n' | '\t' => fmt::Write::write_char(f, c)?,
            c if is_character(c) => fmt::Write::write_char(f, c)?,
            _ => {}
        }
    }
    Ok(())
}
