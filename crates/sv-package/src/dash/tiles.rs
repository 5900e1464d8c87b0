//! Small pictures as an adaptation set of images: DASH-IF IOP 4.3, 6.2.6.

use super::xml::Element;
use crate::Tiles;

pub(super) fn adaptation_set(id: usize, tiles: &Tiles) -> Element {
    let (columns, rows) = tiles.grid;
    let template = Element::new("SegmentTemplate")
        .attr("timescale", 1000)
        .attr("duration", tiles.sheet_length().as_millis())
        .attr("media", format!("{}/$Number$.jpg", tiles.name))
        .attr("startNumber", 0);
    let representation = Element::new("Representation")
        .attr("id", &tiles.name)
        .attr("bandwidth", tiles.bandwidth())
        .attr("width", tiles.size.0.saturating_mul(columns))
        .attr("height", tiles.size.1.saturating_mul(rows))
        .child(
            Element::new("EssentialProperty")
                .attr("schemeIdUri", "http://dashif.org/guidelines/thumbnail_tile")
                .attr("value", format!("{columns}x{rows}")),
        )
        .child(template);
    Element::new("AdaptationSet")
        .attr("id", id)
        .attr("contentType", "image")
        .attr("mimeType", Tiles::CONTENT_TYPE)
        .attr("segmentAlignment", "true")
        .child(representation)
}
