//! What a document shows and when, as WebVTT.

use sv_core::Timestamp;

use super::Document;
use super::style::Sheet;
use super::time::{Clock, Span};
use super::tree::{Element, Node};
use crate::webvtt::{self, Block, Cue};

/// Most moments at which one paragraph changes.
const MOST_CHANGES: usize = 1000;
/// Most bytes of all cues: a paragraph that changes often is written often.
const MOST_BYTES: usize = 16 << 20;

/// What is inherited.
#[derive(Clone, Copy)]
struct Context<'a> {
    span: Span,
    preserve: bool,
    region: Option<&'a Element>,
    align: Option<&'a str>,
}

struct Reading<'a> {
    clock: Clock,
    sheet: Sheet<'a>,
    out: webvtt::Document,
    bytes: usize,
}

impl Document {
    /// Its text as cues: times, lines, bold, italics and underlines, and the places of regions. Text that
    /// appears piece by piece in a paragraph becomes a cue for each state. What never ends is left
    /// out, since no cue can say so.
    #[must_use]
    pub fn to_webvtt(&self) -> webvtt::Document {
        let clock = Clock::of(&self.root);
        let mut reading =
            Reading { clock, sheet: Sheet::of(&self.root), out: webvtt::Document::default(), bytes: 0 };
        let preserve = self.root.get("xml:space") == Some("preserve");
        let context = Context { span: Span::ALL, preserve, region: None, align: None };
        if let Some(body) = self.root.find("body") {
            reading.block(body, context, 0);
        }
        let mut out = reading.out;
        out.blocks.sort_by_key(|block| match block {
            Block::Cue(cue) => cue.start,
            _ => Timestamp::ZERO,
        });
        out
    }
}

impl<'a> Reading<'a> {
    fn block(&mut self, element: &'a Element, around: Context<'a>, after: i64) -> i64 {
        let span = self.clock.span(element, around.span, after);
        let named = element.get("region").and_then(|id| self.sheet.regions.get(id).copied());
        let region = named.or(around.region);
        let own = self.sheet.property(element, "textAlign");
        let inherited = own.or(around.align);
        let preserve = match element.get("xml:space") {
            Some(value) => value == "preserve",
            None => around.preserve,
        };
        let context = Context { span, preserve, region, align: inherited };
        if element.is("p") {
            self.paragraph(element, context);
            return span.end;
        }
        let mut at = span.begin;
        for child in element.elements().filter(|child| child.is("div") || child.is("p")) {
            let end = self.block(child, context, at);
            if element.is_sequence() {
                at = end;
            }
        }
        span.end
    }

    fn paragraph(&mut self, p: &'a Element, context: Context<'a>) {
        let mut edges = vec![context.span.begin, context.span.end];
        self.edges(p, context.span, &mut edges);
        edges.retain(|at| (context.span.begin..=context.span.end).contains(at));
        edges.sort_unstable();
        edges.dedup();
        edges.truncate(MOST_CHANGES);
        let align =
            context.align.or_else(|| context.region.and_then(|r| self.sheet.property(r, "textAlign")));
        let settings = self.sheet.settings(context.region, align);
        for pair in edges.windows(2) {
            let [start, end] = *pair else { continue };
            let mut text = String::new();
            self.text(p, context, start, &mut text);
            let lines: Vec<&str> =
                text.split('\n').map(str::trim_end).filter(|l| !l.trim().is_empty()).collect();
            let text = lines.join("\n");
            self.bytes = self.bytes.saturating_add(text.len());
            if end == i64::MAX || text.is_empty() || self.bytes > MOST_BYTES {
                let what = || format!("text without an end is left out, from {start} ms");
                if end == i64::MAX && !text.is_empty() && self.out.warnings.len() < 100 {
                    self.out.warnings.push(what());
                }
                continue;
            }
            let (start, end) = (Timestamp::new(start), Timestamp::new(end));
            self.out.blocks.push(Block::Cue(Cue { id: None, start, end, settings: settings.clone(), text }));
        }
    }

    /// When something changes below an element.
    fn edges(&self, parent: &Element, span: Span, out: &mut Vec<i64>) {
        let mut at = span.begin;
        for child in parent.elements().filter(|child| child.is("span") || child.is("br")) {
            let own = self.clock.span(child, span, at);
            if parent.is_sequence() {
                at = own.end;
            }
            if own != span && out.len() < MOST_CHANGES {
                out.extend([own.begin, own.end]);
            }
            self.edges(child, own, out);
        }
    }

    /// What an element shows at a moment, with markup.
    fn text(&self, parent: &'a Element, context: Context<'a>, now: i64, out: &mut String) {
        let mut at = context.span.begin;
        for node in &parent.children {
            let child = match node {
                Node::Text(text) => {
                    plain(text, context.preserve, out);
                    continue;
                }
                Node::Element(child) => child,
            };
            let span = self.clock.span(child, context.span, at);
            if parent.is_sequence() {
                at = span.end;
            }
            if now < span.begin || now >= span.end {
                continue;
            }
            if child.is("br") {
                while out.ends_with(' ') {
                    out.pop();
                }
                out.push('\n');
            } else if child.is("span") {
                let preserve = child.get("xml:space").map_or(context.preserve, |v| v == "preserve");
                let is = |name: &str, values: &[&str]| {
                    self.sheet.property(child, name).is_some_and(|v| values.contains(&v.trim()))
                };
                let tags = [
                    (is("fontWeight", &["bold"]), "b"),
                    (is("fontStyle", &["italic", "oblique"]), "i"),
                    (is("textDecoration", &["underline"]), "u"),
                ];
                let tags = tags.iter().filter(|(on, _)| *on).map(|(_, tag)| *tag);
                for tag in tags.clone() {
                    out.push_str(&format!("<{tag}>"));
                }
                self.text(child, Context { span, preserve, ..context }, now, out);
                for tag in tags.rev() {
                    out.push_str(&format!("</{tag}>"));
                }
            }
        }
    }
}

/// Text as WebVTT writes it; without `preserve`, blanks and line ends are one space, and none at a line's
/// beginning.
fn plain(text: &str, preserve: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => {}
            ' ' | '\t' | '\n' if !preserve => {
                if !out.is_empty() && !out.ends_with([' ', '\n']) {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
}
