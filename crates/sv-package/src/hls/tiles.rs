//! Playlists of small pictures: [image media playlists, 0.4](https://github.com/image-media-playlist/spec).

use std::fmt::Write as _;
use std::time::Duration;

use super::{media_path, quoted};
use crate::Tiles;

/// The playlist that names the sheets.
pub(super) fn media(tiles: &Tiles) -> String {
    let sheet = tiles.sheet_length();
    let target = sheet.min(tiles.length).as_secs_f64().ceil().max(1.0);
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target:.0}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-IMAGES-ONLY\n"
    );
    let (width, height) = tiles.size;
    let (columns, rows) = tiles.grid;
    let mut left = tiles.length;
    for number in 0..tiles.sheets.len() {
        let length = sheet.min(left);
        left = left.saturating_sub(length);
        let _ = writeln!(out, "#EXTINF:{:.3},", seconds(length));
        let _ = writeln!(
            out,
            "#EXT-X-TILES:RESOLUTION={width}x{height},LAYOUT={columns}x{rows},DURATION={:.3}\n{}",
            seconds(tiles.every),
            tiles.path(number)
        );
    }
    out.push_str("#EXT-X-ENDLIST\n");
    out
}

/// The line of the multivariant playlist.
pub(super) fn stream(out: &mut String, tiles: &Tiles, base: &str, pathway: &str) {
    let (width, height) = tiles.size;
    let _ = writeln!(
        out,
        "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH={},RESOLUTION={width}x{height},CODECS=\"jpeg\"{pathway},URI={}",
        tiles.bandwidth(),
        quoted(&format!("{base}{}", media_path(&tiles.name)))
    );
}

fn seconds(length: Duration) -> f64 {
    length.as_secs_f64()
}
