//! TTML ([TTML2](https://www.w3.org/TR/ttml2/)) and the text profile of IMSC
//! ([IMSC 1.1](https://www.w3.org/TR/ttml-imsc1.1/)).
//!
//! A document is kept as it was written, so that it can be passed on, cut or whole, with all that we don't
//! understand of it; what it says and when is read as WebVTT, and WebVTT is written as IMSC.

mod read;
mod style;
mod time;
mod tree;
mod write;

use std::fmt;

use sv_core::{Limits, Timestamp};

use crate::{Error, Result};
use time::{Clock, Span};
use tree::{Element, Node};

/// The namespace of all versions of TTML (TTML2, 5.1): what a track's configuration says.
pub const NAMESPACE: &str = "http://www.w3.org/ns/ttml";

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    root: Element,
}

impl Document {
    /// Reads a document. Entities other than those of XML itself are not expanded.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when it is no TTML, [`Error::Malformed`] for broken XML,
    /// [`Error::LimitExceeded`] beyond [`Limits::structure_bytes`], [`Limits::depth`] or
    /// [`Limits::samples`].
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let root = tree::parse(bytes, limits)?;
        match root {
            Some(root) if root.is("tt") => Ok(Self { root }),
            _ => {
                let found = crate::detect(bytes).filter(|kind| *kind != crate::Kind::Ttml);
                Err(Error::WrongKind {
                    expected: "a TTML file",
                    found: found.map_or("something else", |k| k.name()),
                })
            }
        }
    }

    /// The language of the whole, if it says.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.root.get("xml:lang").filter(|tag| !tag.is_empty())
    }

    /// When the last text disappears, in milliseconds; `None` where there is none, or it never does.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.to_webvtt().cues().map(|cue| cue.end).max()
    }

    /// The document with only what is shown at some time from `from` to before `to`, in milliseconds; times
    /// stay as they are. Head, styles and regions stay.
    #[must_use]
    pub fn segment(&self, from: Timestamp, to: Timestamp) -> String {
        let clock = Clock::of(&self.root);
        let mut root = self.root.clone();
        for child in &mut root.children {
            if let Node::Element(body) = child
                && body.is("body")
            {
                let span = clock.span(body, Span::ALL, 0);
                prune(body, span, &clock, (from.ticks(), to.ticks()));
            }
        }
        Self { root }.to_string()
    }
}

/// Takes away the paragraphs and divisions that are not shown between the two times.
fn prune(parent: &mut Element, span: Span, clock: &Clock, window: (i64, i64)) {
    // In a sequence, what comes later counts from what comes before.
    let sequence = parent.is_sequence();
    if !sequence {
        parent.children.retain(|child| match child {
            Node::Element(e) if e.is("div") || e.is("p") => {
                let own = clock.span(e, span, span.begin);
                own.begin < window.1 && own.end > window.0
            }
            _ => true,
        });
    }
    let mut at = span.begin;
    for child in &mut parent.children {
        let Node::Element(e) = child else { continue };
        let own = clock.span(e, span, at);
        if sequence {
            at = own.end;
        }
        if e.is("div") {
            prune(e, own, clock, window);
        }
    }
}

/// The whole document.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
        self.root.fmt(f)?;
        f.write_str("\n")
    }
}
