//! HLS playlists, [RFC 8216](https://www.rfc-editor.org/rfc/rfc8216) and its successor
//! [draft-pantos-hls-rfc8216bis](https://datatracker.ietf.org/doc/draft-pantos-hls-rfc8216bis/).

mod key;
pub(crate) mod live;
mod media;
mod multivariant;
mod ranges;
mod tiles;

pub use media::{iframes, media};
pub use multivariant::multivariant;

use std::time::Duration;

use sv_core::Object;

use crate::{Error, Marks, Rendition, Steering, Tiles};

/// The media type of a playlist.
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// What playlists say beyond the renditions.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Where FairPlay's `skd://` or another key system's own URI would stand: the URI of each key
    /// tag beside ClearKey's. None by default.
    pub key_uris: Vec<KeyUri>,
    /// Where players get the 16 bytes of a key (`KEYFORMAT="identity"`); `{kid}` in it stands for the key's name in
    /// hexadecimal. Transport streams have no other way: `{kid}.key` beside the playlist, if nothing is said.
    pub key_url: Option<String>,
    /// What playlists tell of moments. With some, they say what the date is, too.
    pub marks: Marks,
    /// The date at which the presentation begins, since 1970: players only compare dates with each other.
    pub began: Duration,
    /// Small pictures to find a place by.
    pub tiles: Vec<Tiles>,
    /// Where else the presentation can be had, and who says from where to take it.
    pub steering: Option<Steering>,
    /// What stands in front of the path of each media playlist, such as `ts/`.
    pub folder: String,
    /// What stands behind it, such as `?start=10`.
    pub query: String,
    /// Which variant comes first.
    pub order: Order,
    /// Whether more may come: playlists of an event, which are read again and again.
    pub event: bool,
    /// Where playing begins, on the presentation's timeline, if the first segments begin before it.
    pub start: Option<Duration>,
}

/// In which order a multivariant playlist names its variants. Many players begin with the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// One in the middle first, then upwards, then those below: it starts soon and looks decent.
    #[default]
    Middle,
    /// From the smallest rate up.
    Ascending,
    /// From the largest rate down.
    Descending,
}

/// One key system's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUri {
    /// `KEYFORMAT`, such as `com.apple.streamingkeydelivery`.
    pub format: String,
    /// `URI`.
    pub uri: String,
}

/// Every playlist of a presentation: the multivariant playlist last, so that whoever stores them in
/// order never has a playlist that names a missing one.
///
/// # Errors
/// [`Error::Empty`] without a rendition that has segments.
pub fn playlists(renditions: &[Rendition], options: &Options) -> Result<Vec<Object>, Error> {
    let mut out = Vec::new();
    for rendition in renditions.iter().filter(|r| r.in_hls()) {
        out.push(Object::whole(media_path(&rendition.name), CONTENT_TYPE, media(rendition, options)));
        if let Some(text) = iframes(rendition, options) {
            out.push(Object::whole(iframes_path(&rendition.name), CONTENT_TYPE, text));
        }
    }
    for tiles in &options.tiles {
        out.push(Object::whole(media_path(&tiles.name), CONTENT_TYPE, tiles::media(tiles)));
    }
    out.push(Object::whole("master.m3u8", CONTENT_TYPE, multivariant(renditions, options)?));
    Ok(out)
}

fn media_path(name: &str) -> String {
    format!("{name}.m3u8")
}

/// A playlist's URL as another playlist names it.
fn url(path: &str, options: &Options) -> String {
    format!("{}{path}{}", options.folder, options.query)
}

fn iframes_path(name: &str) -> String {
    format!("{name}-iframes.m3u8")
}

/// A quoted string may hold neither quotes nor line ends (RFC 8216, section 4.2).
fn quoted(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control() && *c != '"').collect();
    format!("\"{clean}\"")
}
