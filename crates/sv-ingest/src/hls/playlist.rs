//! Playlists, as their text says.

use std::time::Duration;

use crate::{Error, Result};

/// Lines of a playlist that are read at most.
const LINES: usize = 1 << 18;

/// A playlist of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// One that lists others.
    Master(Master),
    /// One that lists segments.
    Media(Media),
}

/// What others a multivariant playlist lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Master {
    /// Ways to show the pictures, each with its sound or a group of it.
    pub variants: Vec<Variant>,
    /// Sound that is a playlist of its own.
    pub audio: Vec<Rendition>,
}

/// One way to show the pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// Its playlist, as it stands there.
    pub uri: String,
    /// Bits a second at most.
    pub bandwidth: u64,
    /// Width and height.
    pub resolution: Option<(u32, u32)>,
    /// The group that its sound is chosen from.
    pub audio: Option<String>,
}

/// Sound that is a playlist of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendition {
    /// Its playlist; none where it is inside of the variant's.
    pub uri: Option<String>,
    /// The group that it is of.
    pub group: String,
    /// BCP 47.
    pub language: Option<String>,
    /// What is played if nobody chooses.
    pub default: bool,
}

/// Segments, and what a client may expect of more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// No segment is longer than that.
    pub target: Duration,
    /// The number of the first segment.
    pub sequence: u64,
    /// The oldest first.
    pub segments: Vec<Segment>,
    /// Parts of the segment that is not there yet.
    pub ahead: Vec<Part>,
    /// Nothing more will come.
    pub ended: bool,
    /// The server holds a request until what it asks for is there.
    pub blocks: bool,
    /// No part is longer than that.
    pub part_target: Option<Duration>,
    /// How far behind the newest part a player should begin.
    pub part_hold_back: Option<Duration>,
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first one.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// Something to get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where, as it stands there.
    pub uri: String,
    /// Which bytes of it; all without.
    pub range: Option<Range>,
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// What to get.
    pub piece: Piece,
    /// How long it is shown.
    pub duration: Duration,
    /// What comes before it in MP4.
    pub map: Option<Piece>,
    /// Its times have nothing to do with those before.
    pub discontinuity: bool,
    /// It is not to be had.
    pub gap: bool,
    /// How it is encrypted, if it is.
    pub method: Option<String>,
    /// What it is made of.
    pub parts: Vec<Part>,
}

/// A part of a segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// What to get.
    pub piece: Piece,
    /// How long it is shown.
    pub duration: Duration,
    /// It begins with a key picture.
    pub independent: bool,
    /// It is not to be had.
    pub gap: bool,
}

/// Reads a playlist.
///
/// # Errors
/// When it is none, or breaks the specification where something depends on it.
pub fn parse(text: &str) -> Result<Playlist> {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some("#EXTM3U") {
        return Err(wrong("it doesn't begin with #EXTM3U"));
    }
    let lines: Vec<&str> = lines.take(LINES.saturating_add(1)).collect();
    if lines.len() > LINES {
        return Err(Error::LimitExceeded { what: "the length of a playlist", limit: 1 << 18 });
    }
    let master = lines.iter().any(|line| line.starts_with("#EXT-X-STREAM-INF:"));
    if master { master_of(&lines).map(Playlist::Master) } else { media_of(&lines).map(Playlist::Media) }
}

const fn wrong(problem: &'static str) -> Error {
    Error::Malformed { what: "a playlist of HLS", problem }
}

fn master_of(lines: &[&str]) -> Result<Master> {
    let mut master = Master::default();
    let mut next: Option<Variant> = None;
    for line in lines {
        if let Some(list) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            let list = Attributes(list);
            let bandwidth = list.get("BANDWIDTH").and_then(|v| v.parse().ok());
            let resolution = list.get("RESOLUTION").and_then(|v| {
                let (width, height) = v.split_once('x')?;
                Some((width.parse().ok()?, height.parse().ok()?))
            });
            next = Some(Variant {
                uri: String::new(),
                bandwidth: bandwidth.ok_or(wrong("a variant has no BANDWIDTH"))?,
                resolution,
                audio: list.get("AUDIO").map(str::to_owned),
            });
        } else if let Some(list) = line.strip_prefix("#EXT-X-MEDIA:") {
            let list = Attributes(list);
            if list.get("TYPE") == Some("AUDIO") {
                master.audio.push(Rendition {
                    uri: list.get("URI").map(str::to_owned),
                    group: list.get("GROUP-ID").unwrap_or_default().to_owned(),
                    language: list.get("LANGUAGE").map(str::to_owned),
                    default: list.get("DEFAULT") == Some("YES"),
                });
            }
        } else if !line.starts_with('#')
            && let Some(mut variant) = next.take()
        {
            variant.uri = (*line).to_owned();
            master.variants.push(variant);
        }
    }
    if master.variants.is_empty() { Err(wrong("no variant has a URI")) } else { Ok(master) }
}

impl Master {
    /// The best variant of at most that many bits a second, or the smallest; and the sound that belongs to it, if
    /// that is a playlist of its own.
    #[must_use]
    pub fn choose(&self, most: u64) -> Option<(&Variant, Option<&Rendition>)> {
        let fits = self.variants.iter().filter(|v| v.bandwidth <= most).max_by_key(|v| v.bandwidth);
        let variant = fits.or_else(|| self.variants.iter().min_by_key(|v| v.bandwidth))?;
        let mut group = self.audio.iter().filter(|a| variant.audio.as_ref() == Some(&a.group)).peekable();
        let first = group.peek().copied();
        let sound = group.find(|a| a.default).or(first).filter(|a| a.uri.is_some());
        Some((variant, sound))
    }
}

fn media_of(lines: &[&str]) -> Result<Media> {
    let mut media = Media::default();
    let mut segment = Segment::default();
    let (mut map, mut method) = (None, None);
    // Where the last range of each resource ended, for ranges that go on there.
    let mut last: Option<(String, u64)> = None;
    let mut range = None;
    let mut told = false;
    for line in lines {
        if !line.starts_with('#') {
            if !std::mem::take(&mut told) {
                return Err(wrong("a segment has no #EXTINF"));
            }
            segment.piece.uri = (*line).to_owned();
            segment.piece.range = ranged(range.take(), line, &mut last)?;
            (segment.map, segment.method) = (Option::clone(&map), Option::clone(&method));
            media.segments.push(std::mem::take(&mut segment));
            continue;
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-TARGETDURATION" => media.target = seconds(value)?,
            "#EXT-X-MEDIA-SEQUENCE" => {
                media.sequence = value.parse().map_err(|_| wrong("its sequence number is none"))?;
            }
            "#EXTINF" => {
                segment.duration = seconds(value.split(',').next().unwrap_or_default())?;
                told = true;
            }
            "#EXT-X-BYTERANGE" => range = Some(value),
            "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
            "#EXT-X-GAP" => segment.gap = true,
            "#EXT-X-ENDLIST" => media.ended = true,
            "#EXT-X-KEY" => {
                let said = Attributes(value).get("METHOD").unwrap_or("NONE");
                method = (said != "NONE").then(|| said.to_owned());
            }
            "#EXT-X-MAP" => map = Some(piece(value, &mut None)?),
            "#EXT-X-PART" => {
                let list = Attributes(value);
                let part = Part {
                    piece: piece(value, &mut last)?,
                    duration: seconds(list.get("DURATION").unwrap_or_default())?,
                    independent: list.get("INDEPENDENT") == Some("YES"),
                    gap: list.get("GAP") == Some("YES"),
                };
                segment.parts.push(part);
            }
            "#EXT-X-PART-INF" => {
                let target = Attributes(value).get("PART-TARGET").map(seconds);
                media.part_target = target.transpose()?;
            }
            "#EXT-X-SERVER-CONTROL" => {
                let list = Attributes(value);
                media.blocks = list.get("CAN-BLOCK-RELOAD") == Some("YES");
                media.part_hold_back = list.get("PART-HOLD-BACK").map(seconds).transpose()?;
            }
            _ => {}
        }
    }
    if media.target.is_zero() {
        return Err(wrong("it has no #EXT-X-TARGETDURATION"));
    }
    media.ahead = segment.parts;
    Ok(media)
}

fn piece(attributes: &str, last: &mut Option<(String, u64)>) -> Result<Piece> {
    let list = Attributes(attributes);
    let uri = list.get("URI").ok_or(wrong("something has no URI"))?;
    let range = ranged(list.get("BYTERANGE"), uri, last)?;
    Ok(Piece { uri: uri.to_owned(), range })
}

/// `length[@offset]`; without an offset it goes on where the last one of the same resource ended.
fn ranged(text: Option<&str>, uri: &str, last: &mut Option<(String, u64)>) -> Result<Option<Range>> {
    let Some(text) = text else { return Ok(None) };
    let problem = "a range of bytes is none";
    let (length, offset) = text.split_once('@').unwrap_or((text, ""));
    let length: u64 = length.trim().parse().map_err(|_| wrong(problem))?;
    let offset = match offset {
        "" => last.as_ref().filter(|(name, _)| name == uri).map_or(0, |(_, end)| *end),
        text => text.trim().parse().map_err(|_| wrong(problem))?,
    };
    let end = offset.checked_add(length).filter(|_| length > 0).ok_or(wrong(problem))?;
    *last = Some((uri.to_owned(), end));
    Ok(Some(Range { offset, length }))
}

/// A decimal number of seconds, of less than a day.
fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.trim().parse().map_err(|_| wrong("a length is no number"))?;
    let fair = (0.0..86_400.0).contains(&seconds);
    let length = if fair { Duration::try_from_secs_f64(seconds).ok() } else { None };
    length.ok_or(wrong("a length is negative, or longer than a day"))
}

/// `NAME=VALUE,NAME="VALUE"`.
struct Attributes<'a>(&'a str);

impl<'a> Attributes<'a> {
    /// The value of that name, without its quotes.
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.0;
        loop {
            let (found, after) = rest.split_once('=')?;
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (value, next) = quoted.split_once('"')?;
                    (value, next.strip_prefix(',').unwrap_or(next))
                }
                None => after.split_once(',').unwrap_or((after, "")),
            };
            if found.trim() == name {
                return Some(value.trim());
            }
            rest = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 8216, section 8, and of the draft's appendix on low latency, in short.
    #[test]
    fn the_specifications_examples_are_read() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1280000,AVERAGE-BANDWIDTH=1000000,CODECS=\"avc1.4d401e,mp4a.40.2\",AUDIO=\"aac\"\nhttp://example.com/low.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=7680000,RESOLUTION=1920x1080,AUDIO=\"aac\"\nhi.m3u8\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"Deutsch, ja\",LANGUAGE=\"de\",DEFAULT=NO,URI=\"de.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"en.m3u8\"\n";
        let Playlist::Master(master) = parse(text).unwrap() else { panic!("no master") };
        let (variant, sound) = master.choose(u64::MAX).unwrap();
        assert_eq!((variant.uri.as_str(), variant.resolution), ("hi.m3u8", Some((1920, 1080))));
        assert_eq!(sound.unwrap().uri.as_deref(), Some("en.m3u8"));
        assert_eq!(master.choose(2_000_000).unwrap().0.uri, "http://example.com/low.m3u8");
        assert_eq!(master.choose(1).unwrap().0.uri, "http://example.com/low.m3u8");

        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:6\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=12.0\n\
            #EXT-X-PART-INF:PART-TARGET=0.33334\n#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-MAP:URI=\"init.mp4\"\n\
            #EXTINF:4.00008,\nfileSequence266.mp4\n#EXT-X-DISCONTINUITY\n\
            #EXT-X-PART:DURATION=0.33334,URI=\"filePart267.0.mp4\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.33334,URI=\"filePart267.1.mp4\"\n\
            #EXTINF:4.00008,\nfileSequence267.mp4\n\
            #EXT-X-PART:DURATION=0.33334,URI=\"filePart268.0.mp4\",INDEPENDENT=YES\n\
            #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"filePart268.1.mp4\"\n";
        let Playlist::Media(media) = parse(text).unwrap() else { panic!("no media") };
        assert_eq!((media.sequence, media.segments.len(), media.ahead.len()), (266, 2, 1));
        assert!(media.blocks && !media.ended && media.segments[1].discontinuity);
        assert_eq!(media.part_hold_back, Some(Duration::from_secs(1)));
        assert_eq!(media.segments[1].parts.len(), 2);
        assert_eq!(media.segments[0].map.as_ref().unwrap().uri, "init.mp4");
    }

    #[test]
    fn ranges_go_on_where_the_last_ended() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n#EXT-X-BYTERANGE:100@20\na.ts\n\
            #EXTINF:9,\n#EXT-X-BYTERANGE:50\na.ts\n#EXTINF:9,\n#EXT-X-BYTERANGE:50\nb.ts\n#EXT-X-ENDLIST\n";
        let Playlist::Media(media) = parse(text).unwrap() else { panic!("no media") };
        let ranges = media.segments.iter().map(|s| s.piece.range.unwrap()).map(|r| (r.offset, r.length));
        assert_eq!(ranges.collect::<Vec<_>>(), [(20, 100), (120, 50), (0, 50)]);
        assert!(media.ended);
    }

    #[test]
    fn what_is_no_playlist_is_an_error() {
        for text in [
            "",
            "#EXTM3U",
            "#EXTM3U\n#EXT-X-TARGETDURATION:-1\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:nan\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\na.ts\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:1,\n#EXT-X-BYTERANGE:18446744073709551615@1\na.ts\n",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=x\na\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
