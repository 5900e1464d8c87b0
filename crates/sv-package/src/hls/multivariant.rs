//! The multivariant playlist: which renditions go together, and what each needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sv_core::TrackKind;

use super::{Options, Order, iframes, iframes_path, key, media_path, quoted, tiles, url};
use crate::steering::Pathway;
use crate::{Bandwidth, Error, Rendition, Role, VideoRange};

/// Where the playlists that are named lie, and what is said of it.
struct Way<'a> {
    /// In front of each address.
    base: String,
    /// Behind each group's name: a pathway has groups of its own.
    group: String,
    /// The attribute.
    pathway: String,
    options: &'a Options,
}

impl<'a> Way<'a> {
    /// Beside the manifest, and nothing else.
    fn only(options: &'a Options) -> Self {
        Self { base: String::new(), group: String::new(), pathway: String::new(), options }
    }

    fn of(pathway: &Pathway, options: &'a Options) -> Self {
        let Pathway { id, base } = pathway;
        let pathway = format!(",PATHWAY-ID=\"{id}\"");
        Self { base: base.clone(), group: format!("-{id}"), pathway, options }
    }

    fn uri(&self, path: &str) -> String {
        format!("{}{}", self.base, url(path, self.options))
    }
}

/// Sound that a player may swap: the same codec and channels, in several languages.
struct Group<'a> {
    id: String,
    members: Vec<&'a Rendition>,
}

impl Group<'_> {
    fn bandwidth(&self) -> Bandwidth {
        self.members.iter().map(|r| r.bandwidth()).fold(Bandwidth::default(), |a, b| Bandwidth {
            peak: a.peak.max(b.peak),
            average: a.average.max(b.average),
        })
    }
}

/// The playlist that names all others.
///
/// # Errors
/// [`Error::Empty`] when neither pictures nor sound are there.
pub fn multivariant(renditions: &[Rendition], options: &Options) -> Result<String, Error> {
    let of = |kind| {
        renditions
            .iter()
            .filter(move |r| r.info.kind == kind && r.trick_play_of.is_none() && !r.segments.is_empty())
    };
    let mut videos: Vec<_> = of(TrackKind::Video).map(|r| (r, r.bandwidth())).collect();
    let audio = groups(of(TrackKind::Audio));
    let subtitles: Vec<_> = of(TrackKind::Text).filter(|r| r.in_hls()).collect();
    if videos.is_empty() && audio.is_empty() {
        return Err(Error::Empty);
    }

    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for attributes in session_keys(renditions, options) {
        let _ = writeln!(out, "#EXT-X-SESSION-KEY:{attributes}");
    }
    let mut ways = vec![Way::only(options)];
    if let Some(steering) = &options.steering {
        ways = steering.pathways().iter().map(|way| Way::of(way, options)).collect();
        let first = steering.pathways().first().map_or("", |way| &way.id);
        let _ = writeln!(
            out,
            "#EXT-X-CONTENT-STEERING:SERVER-URI={},PATHWAY-ID={}",
            quoted(steering.server()),
            quoted(first)
        );
    }
    for way in &ways {
        for group in &audio {
            let chosen = group.members.iter().position(|r| r.info.default).unwrap_or(0);
            for (i, rendition) in group.members.iter().enumerate() {
                media_tag(&mut out, "AUDIO", &group.id, rendition, i == chosen, way);
            }
        }
        for rendition in &subtitles {
            media_tag(&mut out, "SUBTITLES", "subtitles", rendition, rendition.info.default, way);
        }
    }

    // Every variant has them or none (RFC 8216, 4.3.4.2).
    let carried: std::collections::BTreeSet<_> = videos.iter().flat_map(|(r, _)| &r.info.carried).collect();
    for captions in &carried {
        let name = quoted(&captions.name);
        let language =
            captions.language.as_deref().map(|l| format!(",LANGUAGE={}", quoted(l))).unwrap_or_default();
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\"{language},NAME={name},DEFAULT=NO,AUTOSELECT=NO,INSTREAM-ID={name}"
        );
    }
    let closed = if carried.is_empty() { ",CLOSED-CAPTIONS=NONE" } else { ",CLOSED-CAPTIONS=\"cc\"" };

    videos.sort_by_key(|(_, b)| b.peak);
    let middle = videos.len().checked_div(2).unwrap_or(0);
    match options.order {
        Order::Middle => videos.rotate_left(middle),
        Order::Ascending => {}
        Order::Descending => videos.reverse(),
    }
    // Every format that a variant needs is named (rfc8216bis, 4.4.6.2), but that of plain text files.
    let mut texts: Vec<_> = subtitles.iter().filter(|r| r.is_mp4()).map(|r| r.info.codec.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    for way in &ways {
        let tail = match subtitles.is_empty() {
            true => String::new(),
            false => format!(",SUBTITLES={}", quoted(&format!("subtitles{}", way.group))),
        };
        for (video, rate) in &videos {
            if audio.is_empty() {
                let codecs: Vec<_> =
                    std::iter::once(video.info.codec.as_str()).chain(texts.clone()).collect();
                variant(&mut out, video, *rate, &codecs, &format!("{tail}{closed}"), way);
            }
            for group in &audio {
                let sound = group.bandwidth();
                let rate = Bandwidth {
                    peak: rate.peak.saturating_add(sound.peak),
                    average: rate.average.saturating_add(sound.average),
                };
                let mut codecs = vec![video.info.codec.as_str()];
                codecs.extend(group.members.first().map(|r| r.info.codec.as_str()));
                codecs.extend(&texts);
                let rest = format!(",AUDIO={}{tail}{closed}", quoted(&format!("{}{}", group.id, way.group)));
                variant(&mut out, video, rate, &codecs, &rest, way);
            }
        }
        if videos.is_empty() {
            for group in &audio {
                if let Some(sound) = group.members.first() {
                    let rest = format!(",AUDIO={}{tail}", quoted(&format!("{}{}", group.id, way.group)));
                    let codecs: Vec<_> =
                        std::iter::once(sound.info.codec.as_str()).chain(texts.clone()).collect();
                    variant(&mut out, sound, group.bandwidth(), &codecs, &rest, way);
                }
            }
        }
        for (video, _) in &videos {
            if iframes(video, options).is_some() {
                iframe_variant(&mut out, video, way);
            }
        }
        for sheets in &options.tiles {
            tiles::stream(&mut out, sheets, &way.base, &way.pathway);
        }
    }
    Ok(out)
}

fn groups<'a>(sounds: impl Iterator<Item = &'a Rendition>) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<(u8, String, u16), Vec<&Rendition>> = BTreeMap::new();
    for rendition in sounds {
        let channels = rendition.info.channels.unwrap_or(0);
        let codec = rendition.info.codec.clone();
        groups.entry((rarity(&codec), codec, channels)).or_default().push(rendition);
    }
    groups
        .into_iter()
        .map(|((_, codec, channels), members)| Group {
            id: match (codec.split('.').next().unwrap_or("sound"), channels) {
                (codec, 0) => format!("audio-{codec}"),
                (codec, channels) => format!("audio-{codec}-{channels}ch"),
            },
            members,
        })
        .collect()
}

/// What every player decodes comes first: a simple one takes the first variant and looks no further.
fn rarity(codec: &str) -> u8 {
    match codec.split('.').next() {
        Some("mp4a") => 0,
        Some("opus") => 1,
        Some("fLaC") => 2,
        _ => 3,
    }
}

fn session_keys(renditions: &[Rendition], options: &Options) -> Vec<String> {
    let mut all: Vec<_> = renditions
        .iter()
        .filter_map(|r| r.info.key.as_ref())
        .flat_map(|k| key::attributes(k, k.kid, options))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn media_tag(out: &mut String, kind: &str, group: &str, rendition: &Rendition, default: bool, way: &Way<'_>) {
    let info = &rendition.info;
    let yes = |b: bool| if b { "YES" } else { "NO" };
    let mut name = info.label.as_deref().or(info.language.as_deref()).unwrap_or(&rendition.name).to_owned();
    // Names differ within a group, and a language may be there more than once.
    if let (None, Some(role)) = (&info.label, info.roles.iter().find(|role| **role != Role::Main)) {
        name = format!("{name} ({})", role.value());
    }
    let _ = write!(
        out,
        "#EXT-X-MEDIA:TYPE={kind},GROUP-ID={},NAME={},DEFAULT={},AUTOSELECT={}",
        quoted(&format!("{group}{}", way.group)),
        quoted(&name),
        yes(default),
        yes(default || info.language.is_some()),
    );
    if let Some(language) = &info.language {
        let _ = write!(out, ",LANGUAGE={}", quoted(language));
    }
    let channels = match (info.objects, info.channels) {
        // Apple's HLS authoring specification, 2.18: objects instead of channels.
        (Some(objects), _) => Some(format!("{objects}/JOC")),
        // Made for headphones of something immersive.
        (None, Some(channels)) if info.codec.starts_with("ac-4.02.02.") => Some(format!("{channels}/IMSA")),
        (None, channels) => channels.map(|channels| channels.to_string()),
    };
    if let Some(channels) = channels {
        let _ = write!(out, ",CHANNELS={}", quoted(&channels));
    }
    if kind == "SUBTITLES" {
        let _ = write!(out, ",FORCED={}", yes(info.forced));
    }
    let caption = (info.captions && !info.roles.contains(&Role::Caption)).then_some(Role::Caption);
    let all: Vec<_> =
        info.roles.iter().copied().chain(caption).flat_map(Role::characteristics).copied().collect();
    if !all.is_empty() {
        let _ = write!(out, ",CHARACTERISTICS={}", quoted(&all.join(",")));
    }
    let _ = writeln!(out, ",URI={}", quoted(&way.uri(&media_path(&rendition.name))));
}

fn variant(
    out: &mut String,
    rendition: &Rendition,
    rate: Bandwidth,
    codecs: &[&str],
    rest: &str,
    way: &Way<'_>,
) {
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
        rate.peak,
        rate.average,
        codecs.join(",")
    );
    picture(out, rendition);
    if let Some(rate) = rendition.frame_rate() {
        let _ = write!(out, ",FRAME-RATE={rate:.3}");
    }
    let _ = writeln!(out, "{rest}{}\n{}", way.pathway, way.uri(&media_path(&rendition.name)));
}

fn iframe_variant(out: &mut String, rendition: &Rendition, way: &Way<'_>) {
    let rate = key_rate(rendition);
    let _ = write!(
        out,
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
        rate.peak, rate.average, rendition.info.codec
    );
    picture(out, rendition);
    let uri = quoted(&way.uri(&iframes_path(&rendition.name)));
    let _ = writeln!(out, "{},URI={uri}", way.pathway);
}

/// The rate of a rendition's key pictures, counted as if they were all of it.
fn key_rate(rendition: &Rendition) -> Bandwidth {
    let mut keys = rendition.clone();
    keys.info.told_bandwidth = None;
    keys.segments.retain(|s| s.key_bytes > 0);
    for segment in &mut keys.segments {
        segment.bytes = segment.key_bytes;
    }
    keys.bandwidth()
}

fn picture(out: &mut String, rendition: &Rendition) {
    if let Some(codec) = &rendition.info.supplemental {
        let _ = write!(out, ",SUPPLEMENTAL-CODECS=\"{codec}\"");
    }
    if let Some((width, height)) = rendition.info.size {
        let _ = write!(out, ",RESOLUTION={width}x{height}");
        let range = match rendition.info.range {
            VideoRange::Sdr => "SDR",
            VideoRange::Pq => "PQ",
            VideoRange::Hlg => "HLG",
        };
        let _ = write!(out, ",VIDEO-RANGE={range}");
    }
}
