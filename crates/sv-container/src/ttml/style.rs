//! Styles and regions, as far as WebVTT has the like.

use std::collections::BTreeMap;

use super::tree::Element;

/// How long a chain of styles that refer to styles may be.
const MOST_LINKS: usize = 16;

/// The head's styles and regions by their names.
pub(super) struct Sheet<'a> {
    styles: BTreeMap<&'a str, &'a Element>,
    pub(super) regions: BTreeMap<&'a str, &'a Element>,
}

impl<'a> Sheet<'a> {
    pub(super) fn of(root: &'a Element) -> Self {
        let named = |parent: Option<&'a Element>| -> BTreeMap<&'a str, &'a Element> {
            let all = parent.into_iter().flat_map(Element::elements);
            all.filter_map(|element| Some((element.get("xml:id")?, element))).collect()
        };
        let head = root.find("head");
        let styles = named(head.and_then(|head| head.find("styling")));
        Self { styles, regions: named(head.and_then(|head| head.find("layout"))) }
    }

    /// A property of an element itself, of the styles that it holds, or of those that it names (TTML2, 10.4.4.2).
    pub(super) fn property(&self, element: &'a Element, name: &str) -> Option<&'a str> {
        self.linked(element, name, MOST_LINKS)
    }

    fn linked(&self, element: &'a Element, name: &str, links: usize) -> Option<&'a str> {
        if let Some(value) = element.any(name) {
            return Some(value);
        }
        let nested = element.elements().filter(|e| e.is("style")).find_map(|style| style.any(name));
        let links = links.checked_sub(1)?;
        // Of several, the last one that says so; following one of them is enough to end.
        let named = || element.get("style").unwrap_or_default().split_whitespace().rev().take(MOST_LINKS);
        nested.or_else(|| {
            let direct = named().filter_map(|id| self.styles.get(id)).find_map(|style| style.any(name));
            direct.or_else(|| {
                let first = named().find_map(|id| self.styles.get(id).copied());
                first.and_then(|style| self.linked(style, name, links))
            })
        })
    }

    /// WebVTT's settings of text in a region.
    pub(super) fn settings(&self, region: Option<&'a Element>, align: Option<&str>) -> String {
        let mut out = Vec::new();
        let property = |name| region.and_then(|region| self.property(region, name));
        let origin = property("origin").and_then(percentages);
        let extent = property("extent").and_then(percentages);
        let (left, top) = origin.unwrap_or((0.0, 0.0));
        let (width, height) = extent.unwrap_or((100.0 - left, 100.0 - top));
        match property("displayAlign") {
            // As the specification has it: at the top.
            Some("before") | None if region.is_some() => out.push(format!("line:{}%", shown(top))),
            Some("center") => out.push(format!("line:{}%,center", shown(top + height / 2.0))),
            // The bottom of the picture is where WebVTT puts text by itself.
            Some("after") if top + height < 99.0 && origin.is_some() => {
                out.push(format!("line:{}%,end", shown(top + height)));
            }
            _ => {}
        }
        if let (Some(_), Some(_)) = (origin, extent) {
            if (left + width / 2.0 - 50.0).abs() > 0.5 {
                out.push(format!("position:{}%,line-left", shown(left)));
            }
            if width < 99.5 {
                out.push(format!("size:{}%", shown(width)));
            }
        }
        if let Some(align @ ("left" | "right" | "start" | "end")) = align {
            out.push(format!("align:{align}"));
        }
        out.join(" ")
    }
}

/// Two lengths in percent of the picture.
fn percentages(value: &str) -> Option<(f64, f64)> {
    let mut parts = value.split_whitespace().map(|part| {
        let number = part.strip_suffix('%')?.parse::<f64>().ok()?;
        (0.0..=100.0).contains(&number).then_some(number)
    });
    Some((parts.next()??, parts.next()??))
}

/// No more digits than anybody sees.
fn shown(percent: f64) -> String {
    let text = format!("{:.2}", percent.clamp(0.0, 100.0));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
