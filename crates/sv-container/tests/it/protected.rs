//! Files that shaka-packager encrypted: read, measured against our own slice headers, and written
//! again for FFmpeg to decrypt.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sv_codec::{h264, hevc, nal, rfc6381};
use sv_container::mp4;
use sv_core::{Codec, FileAt, Item, Limits, Packet, Source as _, Subsample, Track};

use crate::{corpus, fragments, probe};

const KEY: &str = "32333435363738393021323334353637";

fn read(path: &Path) -> (Vec<Arc<Track>>, Vec<Packet>) {
    let file = Arc::new(FileAt::open(path).unwrap());
    let (tracks, packets, error) = corpus::drain(mp4::Demuxer::open(file, Limits::default()).unwrap());
    assert!(error.is_none(), "{}: {error:?}", path.display());
    (tracks, packets)
}

/// The pictures of a file, decoded.
fn pictures(path: &Path, key: Option<&str>) -> String {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error"]);
    if let Some(key) = key {
        command.args(["-decryption_key", key]);
    }
    let output = command.arg("-i").arg(path).args(["-map", "0:0", "-f", "framemd5", "-"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Times are in other units in other files: only what the pictures are counts.
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.rsplit(',').next())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn subsamples_begin_where_slice_headers_end() {
    let Some(corpus) = probe::corpus() else { return };
    let mut compared = 0;
    for name in [
        "encryption-and-no-clear-lead/bear-640x360-video.mp4",
        "encryption/bear-640x360-video.mp4",
        "hevc-with-encryption/bear-640x360-hevc-video.mp4",
    ] {
        let (tracks, packets) = read(&corpus.join("shaka/golden").join(name));
        let track = tracks.iter().find(|t| t.protection.is_some()).unwrap();
        let (avc, hevc) = (h264::Config::parse(&track.config), hevc::Config::parse(&track.config));
        let header_len = |unit: &[u8]| match track.codec {
            Codec::H264 if h264::is_slice(unit) => {
                h264::Slices::new(avc.as_ref().unwrap()).header_len(unit).ok()
            }
            Codec::Hevc if hevc::is_slice(unit) => {
                hevc::Slices::new(hevc.as_ref().unwrap()).header_len(unit).ok()
            }
            _ => None,
        };
        for packet in &packets {
            let Some(protection) = &packet.protection else { continue };
            // shaka-packager's rule for `cenc`: header and an odd rest in the clear, then whole blocks.
            let mut expected: Vec<Subsample> = Vec::new();
            let mut clear = 0usize;
            for unit in nal::units(&packet.data, 4) {
                let unit = unit.unwrap().data;
                let Some(header) = header_len(unit) else {
                    clear += 4 + unit.len();
                    continue;
                };
                let protected = (unit.len() - header) / 16 * 16;
                clear += 4 + unit.len() - protected;
                if protected > 0 {
                    expected.push(Subsample { clear: clear as u16, protected: protected as u32 });
                    clear = 0;
                }
            }
            if clear > 0 {
                expected.push(Subsample { clear: clear as u16, protected: 0 });
            }
            assert_eq!(*protection.subsamples, *expected, "{name}: {packet:?}");
            compared += 1;
        }
    }
    assert!(compared > 150, "only {compared} packets");
}

#[test]
fn what_we_write_again_decrypts_to_the_same_pictures() {
    let Some(corpus) = probe::corpus() else { return };
    if !probe::have("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let golden = corpus.join("shaka/golden");
    for (name, clear) in [
        ("encryption/bear-640x360-video.mp4", "encryption/decrypted-bear-640x360-video-0.mp4"),
        ("encryption/bear-640x360-audio.mp4", "encryption/decrypted-bear-640x360-audio-0.mp4"),
        ("encryption-cbc-1/bear-640x360-video.mp4", "encryption-cbc-1/decrypted-bear-640x360-video-0.mp4"),
        (
            "hevc-with-encryption/bear-640x360-hevc-video.mp4",
            "hevc-with-encryption/decrypted-bear-640x360-hevc-video-0.mp4",
        ),
        (
            "av1-mp4-with-encryption/bear-av1-video.mp4",
            "av1-mp4-with-encryption/decrypted-bear-av1-video-0.mp4",
        ),
        (
            "opus-vp9-mp4-with-encryption/bear-320x240-vp9-opus-video.mp4",
            "opus-vp9-mp4-with-encryption/decrypted-bear-320x240-vp9-opus-video-0.mp4",
        ),
    ] {
        let (tracks, packets) = read(&golden.join(name));
        let track = tracks.iter().find(|t| t.protection.is_some()).unwrap();
        let copy = folder.path().join("copy.mp4");
        let (outgoing, moved) = fragments::shifted(track, &packets);
        std::fs::write(&copy, fragments::fragmented(&outgoing, &moved)).unwrap();
        let (expected, found) = (pictures(&golden.join(clear), None), pictures(&copy, Some(KEY)));
        assert!(expected.lines().count() > 20, "{name}");
        assert_eq!(found, expected, "{name}");
        // And as we read it, nothing was lost on the way.
        let (again, back) = read(&copy);
        assert_eq!(again[0].protection, track.protection, "{name}");
        for (a, b) in packets.iter().zip(&back).filter(|(a, _)| a.protection.is_some()) {
            // Beside samples with subsamples, one without gets a single one.
            let whole = [Subsample { clear: 0, protected: a.data.len() as u32 }];
            let (a, b) = (a.protection.as_ref().unwrap(), b.protection.as_ref().unwrap());
            assert_eq!(a.iv, b.iv, "{name}");
            assert!(
                a.subsamples == b.subsamples || (a.subsamples.is_empty() && *b.subsamples == whole),
                "{name}"
            );
        }
    }
}

#[test]
fn a_key_that_changes_is_told_with_its_samples() {
    let Some(corpus) = probe::corpus() else { return };
    let folder = corpus.join("shaka/golden/live-profile-and-key-rotation-and-no-pssh-in-stream");
    let mut segments: Vec<PathBuf> = corpus::files(&folder)
        .into_iter()
        .filter(|p| {
            corpus::name_of(p).starts_with("bear-640x360-video-") && p.extension().is_some_and(|e| e == "m4s")
        })
        .collect();
    segments.sort();
    let mut file = std::fs::read(folder.join("bear-640x360-video-init.mp4")).unwrap();
    segments.iter().for_each(|segment| file.extend(std::fs::read(segment).unwrap()));
    let source = Arc::new(bytes::Bytes::from(file));
    let mut demuxer = mp4::Demuxer::open(source, Limits::default()).unwrap();
    let mut kids = Vec::new();
    while let Some(item) = demuxer.next_item().unwrap() {
        if let Item::Packet(packet) = item {
            kids.push(packet.protection.map(|p| p.key.unwrap().kid.to_hex()));
        }
    }
    // A clear lead, then the key of the case and the same turned by a byte.
    kids.dedup();
    let named = |kid: &str| Some(kid.to_owned());
    let wanted = [None, named("31323334353637383930313233343536"), named("32333435363738393031323334353631")];
    assert_eq!(kids, wanted);
}

#[test]
fn names_of_codecs_are_those_of_shaka_packager() {
    let Some(corpus) = probe::corpus() else { return };
    let mut compared = 0;
    for manifest in corpus::files(&corpus.join("shaka/golden")) {
        if manifest.extension().is_none_or(|e| e != "mpd") {
            continue;
        }
        let text = std::fs::read_to_string(&manifest).unwrap();
        let names: Vec<&str> =
            text.split("codecs=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for path in corpus::files(manifest.parent().unwrap()) {
            if path.extension().is_none_or(|e| e != "mp4") || corpus::name_of(&path).starts_with("decrypted")
            {
                continue;
            }
            let Ok(demuxer) = mp4::Demuxer::open(Arc::new(FileAt::open(&path).unwrap()), Limits::default())
            else {
                continue;
            };
            let ours = rfc6381::string(&demuxer.tracks()[0]).unwrap();
            // We leave out the colour that nobody specified; hev1 and dvh1 come out as hvc1; of TTML we name the profile too.
            let same = |theirs: &&str| {
                theirs.eq_ignore_ascii_case(&ours)
                    || (ours.starts_with("vp0") && theirs.starts_with(&format!("{ours}.")))
                    || (ours.starts_with("hvc1") && theirs.replace("hev1", "hvc1") == ours)
                    || (ours.starts_with("stpp.") && *theirs == "stpp")
                    || (theirs.starts_with("dvh1") && ours.starts_with("hvc1.2"))
            };
            assert!(names.iter().any(same), "{}: {ours} is not among {names:?}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} tracks");
}
