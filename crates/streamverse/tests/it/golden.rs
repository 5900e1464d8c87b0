//! shaka-packager's own expected outputs: from the same inputs and options we make the same samples at the same
//! times, cut at the same places. `docs/status.md` lists all of its cases.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamverse::container::{mp4, ts};
use streamverse::core::{Bytes, Codec, FileAt, Item, Limits, Packet, Source as _, TimeBase, Track};
use streamverse::drm::{ContentKey, cenc};
use streamverse::ffmpeg;
use sv_testkit::{corpus, tool};

use crate::kit;

const KEY: &str = "32333435363738393021323334353637";
const KID: &str = "31323334353637383930313233343536";

/// The keys of the periods as shaka-packager's tests make them: key and name, turned by a byte each time.
pub(crate) fn keys() -> Vec<(String, String)> {
    let turn = |text: &str, n: usize| format!("{}{}", &text[2 * n..], &text[..2 * n]);
    (0..4).map(|n| (turn(KID, n), turn(KEY, n))).collect()
}

/// The keys of sound and of small pictures where each has its own: label, name and key.
const LABELS: [(&str, &str, &str); 2] = [
    ("AUDIO", "10111213141516171819202122232425", "11121314151617181920212223242526"),
    ("SD", "20212223242526272829303132333435", "21222324252627282930313233343536"),
];

/// One track of a file, decrypted: its codec and language, and for each sample its time from the first in
/// nanoseconds, and its bytes.
pub(crate) struct Media {
    pub(crate) codec: Codec,
    language: Option<String>,
    pub(crate) samples: Vec<(i64, Bytes)>,
    /// Whether each sample was encrypted.
    pub(crate) secret: Vec<bool>,
    /// Samples in each fragment.
    pub(crate) fragments: Vec<usize>,
}

fn drain(tracks: &[Arc<Track>], mut next: impl FnMut() -> Option<Item>) -> Vec<Media> {
    let mut packets: Vec<Vec<Packet>> = vec![Vec::new(); tracks.len()];
    while let Some(item) = next() {
        if let Item::Packet(packet) = item {
            let at = tracks.iter().position(|t| t.id == packet.track).unwrap();
            packets[at].push(packet);
        }
    }
    let media = |(track, packets): (&Arc<Track>, Vec<Packet>)| {
        let ns = |p: &Packet| p.pts.rescale(track.time_base, TimeBase::NANOS).ticks();
        let first = packets.iter().map(ns).min().unwrap_or(0);
        let secret = packets.iter().map(|packet| packet.protection.is_some()).collect();
        let sample = |packet: Packet| {
            let at = ns(&packet) - first;
            let kid = track.protection.as_ref().and_then(|p| p.kid(packet.protection.as_ref()));
            let labelled = LABELS.map(|(_, kid, key)| (kid.to_owned(), key.to_owned()));
            let mut known = keys().into_iter().chain(labelled);
            let key = kid.and_then(|kid| known.find(|(name, _)| *name == kid.to_hex()));
            let data = match (&track.protection, key) {
                (Some(p), Some((_, key))) => {
                    cenc::decrypt(p, &ContentKey::from_hex(&key).unwrap(), packet).unwrap().data
                }
                _ => packet.data,
            };
            (at, data)
        };
        let samples = packets.into_iter().map(sample).collect();
        Media { codec: track.codec, language: track.language.clone(), samples, secret, fragments: Vec::new() }
    };
    tracks.iter().zip(packets).map(media).collect()
}

/// Samples of each fragment, by `trun` boxes, which both packagers write one of for each.
fn fragments(bytes: &[u8]) -> Vec<usize> {
    let found = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"trun").map(|(at, _)| at);
    found.map(|at| u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize).collect()
}

/// Blocks of each cluster of a WebM file, which begin where ffprobe says.
fn clusters(path: &Path) -> Vec<usize> {
    let bytes = std::fs::read(path).unwrap();
    let starts = bytes.windows(4).enumerate().filter(|(_, four)| *four == [0x1F, 0x43, 0xB6, 0x75]);
    // The first may be what a list of elements calls them, ahead of all blocks.
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    let args = ["-v", "error", "-show_entries", "packet=pos", "-of", "csv=p=0", path.to_str().unwrap()];
    let places = kit::run(&tool("ffprobe").unwrap(), &args);
    let places: Vec<usize> =
        places.lines().filter_map(|l| l.split(',').next()).filter_map(|pos| pos.parse().ok()).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let blocks = |(a, b): (&usize, usize)| places.iter().filter(|pos| (*a..b).contains(pos)).count();
    starts.iter().zip(ends).map(blocks).filter(|count| *count > 0).collect()
}

pub(crate) fn read(path: &Path) -> Vec<Media> {
    let file = Arc::new(FileAt::open(path).unwrap());
    if path.extension().is_some_and(|e| e == "webm") {
        let mut demuxer = ffmpeg::Demuxer::open(file, "golden.webm", Limits::default()).unwrap();
        let tracks: Vec<_> = demuxer.tracks().iter().cloned().map(Arc::new).collect();
        let mut all = drain(&tracks, || demuxer.next_item().unwrap());
        for media in &mut all {
            media.fragments = clusters(path);
        }
        return all;
    }
    if path.extension().is_some_and(|e| e == "ts") {
        let mut demuxer = ts::Demuxer::open(file, Limits::default()).unwrap();
        let tracks = demuxer.tracks().to_vec();
        return drain(&tracks, || demuxer.next_item().unwrap());
    }
    let mut demuxer = mp4::Demuxer::open(file, Limits::default()).unwrap();
    let tracks = demuxer.tracks().to_vec();
    let mut all = drain(&tracks, || demuxer.next_item().unwrap());
    for media in &mut all {
        media.fragments = fragments(&std::fs::read(path).unwrap());
    }
    all
}

/// A codec's name without what may be said in two ways: the sample entry of HEVC (we keep parameter sets in one place),
/// FLAC's capitals, and what VP9's names may leave out (VP9 binding, "Codecs Parameter String").
fn plain(codec: &str) -> String {
    let codec = codec.replace("hev1.", "hvc1.").replace("fLaC", "flac");
    match codec.split_once('.') {
        Some(("vp08" | "vp09", _)) => codec.split('.').take(4).collect::<Vec<_>>().join("."),
        _ => codec.split('/').next().unwrap_or_default().to_owned(),
    }
}

/// What a manifest or playlist says of codecs, languages and sizes: every value of these attributes.
fn said(folder: &Path, names: &[&str], attributes: &[&str]) -> BTreeSet<String> {
    let text =
        names.iter().find_map(|name| std::fs::read_to_string(folder.join(name)).ok()).unwrap_or_default();
    // Fast motion has sets of its own there and here.
    let sets = text.split("<AdaptationSet").filter(|set| !set.contains("trickmode"));
    let mut all = BTreeSet::new();
    for set in sets {
        for attribute in attributes {
            for rest in set.split(&format!("{attribute}=\"")).skip(1) {
                let value = rest.split('"').next().unwrap_or_default();
                // That a language isn't known is said in ours.
                all.extend(
                    value
                        .split(',')
                        .filter(|value| *value != "und")
                        .map(|value| format!("{} {}", attribute.trim_start(), plain(value))),
                );
            }
        }
    }
    all
}

/// How long each period is, in milliseconds, where there are several; theirs are a little off by rounding.
fn breaks(folder: &Path, name: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let each = text.split("<Period ").skip(1).filter_map(|period| {
        let length = period
            .split('>')
            .next()?
            .split("duration=\"PT")
            .nth(1)?
            .split('S')
            .next()?
            .parse::<f64>()
            .ok()?;
        Some((length * 1000.0).floor() as u64)
    });
    // The last one ends with pictures there and with sound here.
    let all: Vec<u64> = each.collect();
    all[..all.len().saturating_sub(1)].to_vec()
}

/// How many segments stand before each opportunity, of every playlist that has one.
fn chances(folder: &Path) -> BTreeSet<Vec<usize>> {
    let playlists = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = playlists
        .filter(|p| p.extension().is_some_and(|e| e == "m3u8"))
        .map(|p| std::fs::read_to_string(p).unwrap());
    let before = |text: String| -> Vec<usize> {
        let parts: Vec<&str> = text.split("#EXT-X-PLACEMENT-OPPORTUNITY\n").collect();
        let count = |n: usize| parts[..n].iter().map(|part| part.matches("#EXTINF").count()).sum();
        (1..parts.len()).map(count).collect()
    };
    texts.map(before).filter(|all| !all.is_empty()).collect()
}

/// Whole files below a folder, and segments put behind their initialisation.
pub(crate) fn files(folder: &Path, scratch: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut out = Vec::new();
    for path in &names {
        let file = name(path);
        if file.starts_with("decrypted-") || file.contains("trick") {
            continue;
        }
        if let Some(stem) = file.strip_suffix("-init.mp4") {
            let mut whole = std::fs::read(path).unwrap();
            for n in 1.. {
                let Ok(segment) = std::fs::read(folder.join(format!("{stem}-{n}.m4s"))) else { break };
                whole.extend(segment);
            }
            let joined = scratch.join(format!("{stem}.joined.mp4"));
            std::fs::write(&joined, whole).unwrap();
            out.push(joined);
        } else if let Some(stem) = file.strip_suffix("-1.ts") {
            let all = (1..).map_while(|n| std::fs::read(folder.join(format!("{stem}-{n}.ts"))).ok());
            let joined = scratch.join(format!("{stem}.joined.ts"));
            std::fs::write(&joined, all.flatten().collect::<Vec<u8>>()).unwrap();
            out.push(joined);
        } else if file.ends_with(".mp4")
            || file.ends_with(".webm")
            || (file.ends_with(".ts") && !file.contains("-2.") && !file.contains("-3."))
        {
            out.push(path.clone());
        }
    }
    out
}

/// A case: its folder, our inputs among shaka-packager's, and our options.
type Case = (&'static str, &'static [&'static str], &'static str);

const BEAR: &str = "in=bear-640x360.mp4";
const CASES: &[Case] = &[
    ("acc-he", &["in=bear-640x360-aac_he-silent_right.mp4,stream=audio"], ""),
    ("audio-video", &[BEAR], ""),
    (
        "audio-video-with-language-override",
        &["in=bear-640x360.mp4,stream=video", "in=bear-640x360.mp4,stream=audio,language=por"],
        "",
    ),
    (
        "audio-video-with-language-override-with-subtag",
        &["in=bear-640x360.mp4,stream=video", "in=bear-640x360.mp4,stream=audio,language=por-BR"],
        "",
    ),
    ("av1-mp4-to-webm", &["in=bear-av1.mp4"], "webm"),
    ("av1-mp4-with-encryption", &["in=bear-av1.mp4"], "cenc --clear-lead 1s"),
    ("av1-webm", &["in=bear-av1.webm"], ""),
    ("avc-ts-event-playlist", &["in=bear-640x360.ts,stream=video"], "ts"),
    ("dolby-vision-profile-8-with-encryption", &["in=sparks_dovi_8.mp4"], "cenc --clear-lead 1s"),
    ("ec3-and-hls-single-segment-mp4-encrypted", &["in=bear-640x360-ec3.mp4"], "cbcs --clear-lead 1s"),
    ("encryption", &[BEAR], "cenc --clear-lead 1s"),
    ("encryption-and-ad-cues", &[BEAR], "cenc --clear-lead 1s --ad-cues 1.5"),
    ("encryption-cbc-1", &[BEAR], "cbc1 --clear-lead 1s"),
    ("encryption-and-no-clear-lead", &[BEAR], "cenc"),
    ("encryption-and-no-pssh-in-stream", &[BEAR], "cenc --clear-lead 1s --no-pssh"),
    ("encryption-multi-keys", &[BEAR], "cenc --clear-lead 1s"),
    ("encryption-of-only-video-stream", &["in=bear-640x360.mp4,stream=video"], "cenc --clear-lead 1s"),
    (
        "encryption-using-explicit-pssh",
        &[BEAR],
        "cenc --clear-lead 1s --pssh 0000002070737368000000001077efecc0b24d02ace33c1e52e2fb4b00000000",
    ),
    ("flac-with-encryption", &["in=bear-flac.mp4"], "cenc --clear-lead 1s"),
    ("forced-subtitle", &[BEAR], ""),
    ("hevc-with-encryption", &["in=bear-640x360-hevc.mp4,stream=video"], "cenc --clear-lead 1s"),
    ("hls-single-segment-mp4-encrypted", &[BEAR], "cbcs --clear-lead 1s"),
    ("hls-single-segment-mp4-encrypted-and-ad-cues", &[BEAR], "cenc --clear-lead 1s --ad-cues 1.5"),
    ("hls-single-segment-ts", &["in=bear-640x360.ts,stream=video"], "ts"),
    ("hls-with-bandwidth-override", &[BEAR], ""),
    ("live-profile-and-encryption-and-non-dash-if-iop", &[BEAR], "cenc --clear-lead 1s"),
    (
        "live-profile-and-key-rotation-and-no-pssh-in-stream",
        &[BEAR],
        "cenc --clear-lead 1s --crypto-period 1s --no-pssh",
    ),
    ("live-static-profile-and-ad-cues", &[BEAR], "--ad-cues 1.5"),
    ("iamf-base-opus-mp4", &["in=bear-iamf-base-opus.mp4"], ""),
    ("iamf-simple-aac-lc-mp4", &["in=bear-iamf-simple-aac-lc.mp4"], ""),
    ("mp4-trailing-moov", &["in=bear-640x360-trailing-moov.mp4"], ""),
    ("opus-vp9-mp4-with-encryption", &["in=bear-320x240-vp9-opus.webm"], "cenc --clear-lead 1s"),
    ("vp9-webm", &["in=bear-320x240-vp9-opus.webm"], "webm"),
    ("vp8-mp4-with-encryption", &["in=bear-640x360.webm,stream=video"], "cenc --clear-lead 1s"),
];

#[test]
fn the_same_samples_at_the_same_times() {
    let mut failures = Vec::new();
    for (case, inputs, options) in CASES {
        let Some(theirs) = corpus(&format!("shaka/golden/{case}")) else { return };
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        let keys = dir.path().join("keys");
        let periods =
            self::keys().into_iter().enumerate().map(|(n, (kid, key))| format!("@{n} {kid}:{key}\n"));
        let lines: String = match *case {
            "encryption-multi-keys" => {
                LABELS.map(|(label, kid, key)| format!("{label} {kid}:{key}\n")).concat()
            }
            _ => periods.collect(),
        };
        std::fs::write(&keys, lines).unwrap();
        let mut command = kit::sv();
        command.args(["package", "--single-file", "--segment", "1s", "--out"]).arg(&output);
        match *options {
            "" => {}
            cues if cues.starts_with("--") => drop(command.args(cues.split(' '))),
            format @ ("ts" | "webm") => drop(command.args(["--format", format])),
            scheme => drop(command.arg("--encrypt").args(scheme.split(' ')).arg("--keys").arg(&keys)),
        }
        let Some(root) = corpus("shaka/inputs") else { return };
        for input in *inputs {
            command.arg(input.replace("in=", &format!("in={}/", root.display())));
        }
        let made = command.output().unwrap();
        if !made.status.success() {
            failures.push(format!("{case}: {}", String::from_utf8_lossy(&made.stderr)));
            continue;
        }
        let all = |folder: &Path| -> Vec<Media> {
            files(folder, dir.path()).iter().flat_map(|f| read(f)).collect()
        };
        let attributes = [" codecs", ",CODECS", " width", " height", " audioSamplingRate"];
        let names = [["manifest.mpd", "output.mpd"], ["master.m3u8", "output.m3u8"]];
        for [ours, other] in names {
            let (ours, other) = (said(&output, &[ours], &attributes), said(&theirs, &[other], &attributes));
            // What we took of the inputs may be less than they did, and what they don't know is 0.
            let unknown =
                |said: &str| said.split(' ').next().is_some_and(|a| other.contains(&format!("{a} 0")));
            let more: Vec<_> = ours.difference(&other).filter(|said| !unknown(said)).collect();
            if !ours.is_empty() && !other.is_empty() && !more.is_empty() {
                failures.push(format!("{case}: {more:?} is not said in {other:?}"));
            }
        }
        let (ours_said, theirs_said) = (breaks(&output, "manifest.mpd"), breaks(&theirs, "output.mpd"));
        if ours_said != theirs_said && theirs.join("output.mpd").exists() {
            failures.push(format!("{case}: periods of {ours_said:?}, not {theirs_said:?}"));
        }
        let (ours_said, theirs_said) = (chances(&output), chances(&theirs));
        if !ours_said.is_subset(&theirs_said) && !theirs_said.is_empty() {
            failures.push(format!("{case}: opportunities behind {ours_said:?}, not {theirs_said:?}"));
        }
        let (ours, theirs) = (all(&output), all(&theirs));
        for ours in &ours {
            let Some(theirs) = theirs.iter().find(|t| t.codec == ours.codec) else {
                failures.push(format!("{case}: theirs has no {}", ours.codec));
                continue;
            };
            let what = format!("{case}, {}", ours.codec);
            if ours.samples.len() != theirs.samples.len() {
                failures.push(format!(
                    "{what}: {} samples, not {}",
                    ours.samples.len(),
                    theirs.samples.len()
                ));
                continue;
            }
            for (n, (a, b)) in ours.samples.iter().zip(&theirs.samples).enumerate() {
                // A tick of 90 kHz, or WebM's of a millisecond: the coarsest clocks here.
                let tick = if *options == "webm" { 1_000_000 } else { 12_000 };
                if (a.0 - b.0).abs() > tick || a.1 != b.1 {
                    failures.push(format!(
                        "{what}: sample {n} at {} of {} bytes, not at {} of {}",
                        a.0,
                        a.1.len(),
                        b.0,
                        b.1.len()
                    ));
                    break;
                }
            }
            // Opus begins before the presentation does; it cuts on its clock and we on the presentation's.
            let off = if ours.codec == Codec::Opus { 1 } else { 0 };
            let pairs = ours.secret.iter().zip(&theirs.secret);
            if pairs.filter(|(a, b)| a != b).count() > off {
                let count = |m: &Media| m.secret.iter().filter(|secret| **secret).count();
                failures.push(format!("{what}: {} samples encrypted, not {}", count(ours), count(theirs)));
            }
            let near = ours.fragments.len() == theirs.fragments.len()
                && ours.fragments.iter().zip(&theirs.fragments).all(|(a, b)| a.abs_diff(*b) <= off);
            if !near {
                failures
                    .push(format!("{what}: fragments of {:?}, not {:?}", ours.fragments, theirs.fragments));
            }
            // It writes the language without its region into the file.
            let primary =
                |m: &Media| m.language.as_deref().and_then(|l| l.split('-').next()).map(str::to_owned);
            // And into WebM none where there is none, which readers take for English.
            let unsaid = *options == "webm" && primary(ours).is_none();
            if primary(ours) != primary(theirs) && !unsaid {
                failures.push(format!("{what}: language {:?}, not {:?}", ours.language, theirs.language));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A case with options of its own: theirs, and what we make.
fn made(case: &str, input: &str, options: &[&str]) -> Option<(PathBuf, tempfile::TempDir)> {
    let theirs = corpus(&format!("shaka/golden/{case}"))?;
    let input = corpus("shaka/inputs")?.join(input);
    let dir = tempfile::tempdir().unwrap();
    let mut command = kit::sv();
    command.args(["package", "--segment", "1s", "--out"]).arg(dir.path().join("out")).args(options);
    for stream in ["video", "audio"] {
        command.arg(format!("in={},stream={stream},bandwidth={}", input.display(), rate(stream)));
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some((theirs, dir))
}

/// What their tests say of bandwidths.
fn rate(stream: &str) -> u32 {
    if stream == "video" { 44_444 } else { 11_111 }
}

#[test]
fn fast_motion_of_several_factors() {
    let options = ["--single-file", "--trick-play", "1,2", "--dash"];
    let Some((theirs, dir)) = made("audio-video-with-two-trick-play", "bear-640x360.mp4", &options) else {
        return;
    };
    let output = dir.path().join("out");
    for (ours, other, keys) in [("trick", "1", 3), ("trick2", "2", 2)] {
        let ours = read(&output.join(format!("360p-h264-{ours}.mp4")));
        let other = read(&theirs.join(format!("bear-640x360-video-trick_play_factor_{other}.mp4")));
        assert_eq!(ours[0].samples.len(), keys);
        assert_eq!(ours[0].samples.len(), other[0].samples.len());
        for (a, b) in ours[0].samples.iter().zip(&other[0].samples) {
            assert!((a.0 - b.0).abs() <= 12_000 && a.1 == b.1, "at {} and not {}", a.0, b.0);
        }
    }
    let mpd = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
    let sets: Vec<_> = mpd.split("<AdaptationSet").filter(|set| set.contains("trickmode")).collect();
    assert_eq!(sets.len(), 1, "{mpd}");
    assert_eq!(sets[0].matches("<Representation ").count(), 2, "{mpd}");
}

#[test]
fn files_named_by_time() {
    let options = ["--names", "time", "--dash"];
    let Some((theirs, dir)) =
        made("live-static-profile-with-time-in-segment-name", "bear-640x360.mp4", &options)
    else {
        return;
    };
    let output = dir.path().join("out");
    let mpd = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
    for (folder, other) in [("360p-h264", "bear-640x360-video"), ("audio-aac-2ch", "bear-640x360-audio")] {
        assert!(mpd.contains(&format!("media=\"{folder}/$Time$.m4s\"")), "{mpd}");
        let times = |dir: &Path, prefix: &str| -> BTreeSet<u64> {
            let names =
                std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let time = |name: String| name.strip_prefix(prefix)?.strip_suffix(".m4s")?.parse().ok();
            names.filter_map(time).collect()
        };
        let ours = times(&output.join(folder), "");
        // Sound is cut between the same packets; its times count from the presentation's beginning in ours.
        let their = times(&theirs, &format!("{other}-"));
        if folder.starts_with("360p") {
            assert_eq!(ours, their);
        }
        assert_eq!(ours.len(), their.len());
        // A player finds each by the timeline.
        let timeline = mpd.split(&format!("media=\"{folder}/")).nth(1).unwrap();
        let timeline = timeline.split("</SegmentTimeline>").next().unwrap();
        let (mut asked, mut at) = (BTreeSet::new(), 0);
        for s in timeline.split("<S ").skip(1) {
            let value = |name: &str| -> Option<u64> {
                format!(" {s}").split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok()
            };
            at = value("t").unwrap_or(at);
            for _ in 0..=value("r").unwrap_or(0) {
                asked.insert(at);
                at += value("d").unwrap();
            }
        }
        assert_eq!(ours, asked, "{timeline}");
    }
}

/// Playlists to which more may come: theirs and ours say the same, each of its own segments.
#[test]
fn a_playlist_of_an_event() {
    let options = ["--format", "ts", "--playlist", "event"];
    let Some((theirs, dir)) = made("avc-ts-event-playlist", "bear-640x360.ts", &options) else { return };
    let output = dir.path().join("out");
    let meaning = |path: PathBuf| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let tags = ["#EXT-X-PLAYLIST-TYPE", "#EXT-X-ENDLIST", "#EXT-X-I-FRAMES-ONLY", "#EXTINF"];
        let lines = text.lines().filter(|line| tags.iter().any(|tag| line.starts_with(tag)));
        // A millisecond is what theirs are rounded to.
        let length = |line: &str| {
            let seconds = line.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok()?;
            Some(format!("{seconds:.3}"))
        };
        lines.map(|line| length(line).unwrap_or_else(|| line.to_owned())).collect()
    };
    for (ours, their) in [("360p-h264", "video"), ("360p-h264-iframes", "video-iframe")] {
        let ours = meaning(output.join(format!("{ours}.m3u8")));
        assert_eq!(ours, meaning(theirs.join(format!("bear-640x360-{their}.m3u8"))));
        assert!(ours.contains(&"#EXT-X-PLAYLIST-TYPE:EVENT".to_owned()), "{ours:?}");
    }
}

#[test]
fn bandwidth_is_what_was_told() {
    let Some((theirs, dir)) = made("hls-with-bandwidth-override", "bear-640x360.mp4", &["--hls"]) else {
        return;
    };
    let peaks = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let rates = text.lines().filter_map(|line| line.strip_prefix("#EXT-X-STREAM-INF:BANDWIDTH="));
        rates.map(|rest| rest.split(',').next().unwrap().to_owned()).collect()
    };
    assert_eq!(peaks(&dir.path().join("out/master.m3u8")), ["55555"]);
    assert_eq!(peaks(&theirs.join("output.m3u8")), ["55555"]);
}
