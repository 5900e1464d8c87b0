//! WebVTT as IMSC's text profile ([IMSC 1.1, 8](https://www.w3.org/TR/ttml-imsc1.1/#text-profile-constraints)).

use std::collections::BTreeMap;

use super::tree::{Element, Node};
use super::{Document, NAMESPACE};
use crate::webvtt::{self, Cue};

/// What says which profile it is (IMSC 1.1, 6.3 and 8.1).
const PROFILE: &str = "http://www.w3.org/ns/ttml/profile/imsc1/text";

/// Where text stands, and how its lines are aligned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    origin: String,
    extent: String,
    display: &'static str,
    align: &'static str,
}

impl Document {
    /// Cues as a document: a region for each place, a paragraph for each cue; bold, italics and underlines
    /// stay. Style sheets, voices and ruby have no counterpart and go.
    #[must_use]
    pub fn from_webvtt(document: &webvtt::Document, language: Option<&str>) -> Self {
        let mut places: BTreeMap<Place, String> = BTreeMap::new();
        let mut div = Element::new("div");
        for cue in document.cues() {
            let next = places.len().saturating_add(1);
            let region = places.entry(place(&cue.settings)).or_insert_with(|| format!("r{next}"));
            div = div.child(paragraph(cue, region));
        }
        let mut layout = Element::new("layout");
        for (place, id) in places {
            let region = Element::new("region")
                .attr("xml:id", id)
                .attr("tts:origin", place.origin)
                .attr("tts:extent", place.extent)
                .attr("tts:displayAlign", place.display)
                .attr("tts:textAlign", place.align);
            layout = layout.child(region);
        }
        let mut root = Element::new("tt")
            .attr("xmlns", NAMESPACE)
            .attr("xmlns:ttp", "http://www.w3.org/ns/ttml#parameter")
            .attr("xmlns:tts", "http://www.w3.org/ns/ttml#styling")
            .attr("ttp:profile", PROFILE)
            .attr("xml:lang", language.unwrap_or_default());
        let mut body = Element::new("body");
        // A division of nothing is not one (TTML2, 8.1.4 allows it, some readers don't).
        if !div.children.is_empty() {
            root = root.child(Element::new("head").child(layout));
            body = body.child(div);
        }
        Self { root: root.child(body) }
    }
}

fn place(settings: &str) -> Place {
    let mut place = Place { origin: String::new(), extent: String::new(), display: "after", align: "center" };
    let (mut top, mut bottom) = (10.0, 90.0);
    for (name, value) in settings.split_whitespace().filter_map(|s| s.split_once(':')) {
        match (name, value) {
            ("align", "left") => place.align = "left",
            ("align", "right") => place.align = "right",
            ("align", "start") => place.align = "start",
            ("align", "end") => place.align = "end",
            ("line", value) => {
                let (line, edge) = value.split_once(',').unwrap_or((value, "start"));
                let percent = line.strip_suffix('%').and_then(|p| p.parse::<f64>().ok());
                match (percent.map(|p| p.clamp(0.0, 100.0)), edge) {
                    (Some(at), "end") => (place.display, top, bottom) = ("after", 0.0, at),
                    (Some(at), "center") => {
                        let half = at.min(100.0 - at);
                        (place.display, top, bottom) = ("center", at - half, at + half);
                    }
                    (Some(at), _) => (place.display, top, bottom) = ("before", at, 100.0),
                    // Lines count from the top, or, below zero, from the bottom.
                    (None, _) if !line.starts_with('-') && line.parse::<f64>().is_ok() => {
                        place.display = "before"
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    place.origin = format!("10% {top}%");
    place.extent = format!("80% {}%", bottom - top);
    place
}

fn paragraph(cue: &Cue, region: &str) -> Element {
    let mut p = Element::new("p")
        .attr("xml:space", "preserve")
        .attr("begin", webvtt::clock(cue.start))
        .attr("end", webvtt::clock(cue.end))
        .attr("region", region);
    if let Some(id) = cue.id.as_deref().filter(|id| is_name(id)) {
        p = p.attr("xml:id", id);
    }
    // Open spans, innermost last, and the tags that opened them.
    let mut open: Vec<(Element, &str)> = Vec::new();
    let mut rest = cue.text.as_str();
    while let Some(at) = rest.find(['<', '\n']) {
        let (text, tail) = rest.split_at(at);
        put_text(open.last_mut().map_or(&mut p, |(e, _)| e), text);
        if let Some(after) = tail.strip_prefix('\n') {
            put(open.last_mut().map_or(&mut p, |(e, _)| e), Element::new("br"));
            rest = after;
            continue;
        }
        let Some((tag, after)) = tail.get(1..).and_then(|t| t.split_once('>')) else {
            rest = "";
            break;
        };
        rest = after;
        match tag {
            "b" | "i" | "u" if open.len() < 16 => {
                let (name, value) = match tag {
                    "b" => ("tts:fontWeight", "bold"),
                    "i" => ("tts:fontStyle", "italic"),
                    _ => ("tts:textDecoration", "underline"),
                };
                open.push((Element::new("span").attr(name, value), tag));
            }
            _ => {
                let ends =
                    tag.strip_prefix('/').is_some_and(|name| open.last().is_some_and(|(_, o)| *o == name));
                if ends && let Some((element, _)) = open.pop() {
                    put(open.last_mut().map_or(&mut p, |(e, _)| e), element);
                }
            }
        }
    }
    put_text(open.last_mut().map_or(&mut p, |(e, _)| e), rest);
    while let Some((element, _)) = open.pop() {
        put(open.last_mut().map_or(&mut p, |(e, _)| e), element);
    }
    p
}

fn put(parent: &mut Element, child: Element) {
    parent.children.push(Node::Element(child));
}

fn put_text(parent: &mut Element, text: &str) {
    if text.is_empty() {
        return;
    }
    // WebVTT's escapes (section 6.4 of it); of others, the text is as it is.
    let text = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", "\u{A0}"),
        ("&lrm;", "\u{200E}"),
        ("&rlm;", "\u{200F}"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    parent.children.push(Node::Text(text));
}

/// Whether an identifier may be one of XML's: others are left out.
fn is_name(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
