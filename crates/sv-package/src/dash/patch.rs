//! What turns an earlier manifest into the present one: ISO/IEC 23009-1:2022, 5.15, in the operations of
//! [RFC 5261](https://www.rfc-editor.org/rfc/rfc5261).

use std::collections::VecDeque;

use super::xml::Element;

/// Manifests that clients may still have.
const KEPT: usize = 32;
/// Those that are worth storing: clients ask every few seconds.
const STORED: usize = 4;

/// The manifests that were published last.
#[derive(Debug, Default)]
pub(crate) struct Patches {
    kept: VecDeque<Element>,
}

impl Patches {
    /// Remembers a manifest that is handed out.
    pub(crate) fn keep(&mut self, tree: Element) {
        let time = tree.value("publishTime");
        if time.is_none() || self.kept.back().is_some_and(|last| last.value("publishTime") == time) {
            return;
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(tree);
    }

    /// The newest of them as text, for [`recall`](Self::recall).
    pub(crate) fn remember(&self) -> String {
        let first = self.kept.len().saturating_sub(STORED);
        let newest: Vec<&Element> = self.kept.iter().skip(first).collect();
        serde_json::to_string(&newest).unwrap_or_default()
    }

    /// What an earlier run remembered; anything else is nothing.
    pub(crate) fn recall(&mut self, text: &str) {
        let trees: Vec<Element> = serde_json::from_str(text).unwrap_or_default();
        self.kept.extend(trees.into_iter().take(KEPT));
    }

    /// The patch from the manifest of that time to `to`.
    pub(crate) fn since(&self, time: &str, to: &Element) -> Option<String> {
        let from = self.kept.iter().find(|tree| tree.value("publishTime") == Some(time))?;
        let mut out = Element::new("Patch")
            .attr("xmlns", "urn:mpeg:dash:schema:mpd-patch:2020")
            .attr("mpdId", to.value("id").unwrap_or_default())
            .attr("originalPublishTime", time)
            .attr("publishTime", to.value("publishTime").unwrap_or_default());
        for operation in difference(from, to, "/MPD") {
            out = out.child(operation);
        }
        Some(out.document())
    }
}

/// Operations, to be carried out in this order.
fn difference(from: &Element, to: &Element, path: &str) -> Vec<Element> {
    let mut out = Vec::new();
    if from == to {
        return out;
    }
    for (name, value) in to.attributes() {
        match from.value(name) {
            Some(old) if old == value => {}
            Some(_) => out.push(Element::new("replace").attr("sel", format!("{path}/@{name}")).text(value)),
            None => {
                let add = Element::new("add").attr("sel", path).attr("type", format!("@{name}"));
                out.push(add.text(value));
            }
        }
    }
    for (name, _) in from.attributes().iter().filter(|(name, _)| to.value(name).is_none()) {
        out.push(Element::new("remove").attr("sel", format!("{path}/@{name}")));
    }
    if to.name() == "SegmentTimeline" {
        out.extend(timeline(from.children(), to.children(), path));
        return out;
    }
    // Elements are named by their identifiers where they have one, and by their place among those of their
    // name otherwise.
    for (i, old) in from.children().iter().enumerate() {
        let here = selector(from.children(), i, path);
        match to.children().iter().find(|new| same(old, new, from.children(), to.children())) {
            None => out.push(Element::new("remove").attr("sel", here)),
            Some(new) if new.words() != old.words() => {
                out.push(Element::new("replace").attr("sel", here).child(new.clone()));
            }
            Some(new) => out.extend(difference(old, new, &here)),
        }
    }
    for new in to.children() {
        if !from.children().iter().any(|old| same(old, new, from.children(), to.children())) {
            // Behind its kind, which is where the schema wants it.
            let kin = from.children().iter().rposition(|old| old.name() == new.name());
            let add = match kin {
                Some(i) => {
                    Element::new("add").attr("sel", selector(from.children(), i, path)).attr("pos", "after")
                }
                None => Element::new("add").attr("sel", path),
            };
            out.push(add.child(new.clone()));
        }
    }
    out
}

fn same(old: &Element, new: &Element, olds: &[Element], news: &[Element]) -> bool {
    let place = |all: &[Element], one: &Element| {
        all.iter().filter(|e| e.name() == one.name()).position(|e| std::ptr::eq(e, one))
    };
    old.name() == new.name()
        && match (old.value("id"), new.value("id")) {
            (None, None) => place(olds, old) == place(news, new),
            (a, b) => a == b,
        }
}

fn selector(all: &[Element], at: usize, path: &str) -> String {
    let Some(one) = all.get(at) else { return path.to_owned() };
    let kin = all.iter().filter(|e| e.name() == one.name()).count();
    match one.value("id") {
        Some(id) => format!("{path}/{}[@id='{id}']", one.name()),
        // Shaka Player puts what replaces the only one of its kind beside it, unless its place is said.
        None if kin == 1 && one.words().is_none() => format!("{path}/{}", one.name()),
        None => {
            let place = all.iter().take(at).filter(|e| e.name() == one.name()).count().saturating_add(1);
            format!("{path}/{}[{place}]", one.name())
        }
    }
}

/// Runs of segments leave at the front, change, and come at the end.
fn timeline(from: &[Element], to: &[Element], path: &str) -> Vec<Element> {
    let number = |e: &Element, name: &str| e.value(name).and_then(|v| v.parse::<u64>().ok());
    // Where each run starts.
    let starts = |runs: &[Element]| -> Vec<u64> {
        let mut at = 0u64;
        runs.iter()
            .map(|run| {
                let start = number(run, "t").unwrap_or(at);
                let count = number(run, "r").unwrap_or(0).saturating_add(1);
                at = start.saturating_add(number(run, "d").unwrap_or(0).saturating_mul(count));
                start
            })
            .collect()
    };
    let ends = |runs: &[Element]| -> Vec<u64> {
        let all = starts(runs);
        let each = all.iter().zip(runs).map(|(start, run)| {
            let count = number(run, "r").unwrap_or(0).saturating_add(1);
            start.saturating_add(number(run, "d").unwrap_or(0).saturating_mul(count))
        });
        each.collect()
    };
    let first = starts(to).first().copied().unwrap_or(0);
    let gone = ends(from).iter().take_while(|end| **end <= first).count();
    let mut out = Vec::new();
    for _ in 0..gone {
        out.push(Element::new("remove").attr("sel", format!("{path}/S[1]")));
    }
    let kept = from.get(gone..).unwrap_or_default();
    for (i, (_, new)) in kept.iter().zip(to).enumerate().filter(|(_, (old, new))| old != new) {
        // As a whole: not every player can add an attribute.
        let here = format!("{path}/S[{}]", i.saturating_add(1));
        out.push(Element::new("replace").attr("sel", here).child(new.clone()));
    }
    for _ in to.len()..kept.len() {
        out.push(Element::new("remove").attr("sel", format!("{path}/S[{}]", to.len().saturating_add(1))));
    }
    let fresh = to.get(kept.len()..).unwrap_or_default();
    if !fresh.is_empty() {
        out.push(fresh.iter().cloned().fold(Element::new("add").attr("sel", path), Element::child));
    }
    out
}
