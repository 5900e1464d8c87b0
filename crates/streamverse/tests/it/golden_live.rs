//! shaka-packager's live cases: what `sv live` makes of the same inputs has the same samples in the same segments, and its
//! manifest, while it goes on, says the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use sv_testkit::corpus;

use crate::golden::{Media, files, keys, read};
use crate::kit;
use crate::live::Live;

/// A case, its inputs, and our options.
const CASES: &[(&str, &[&str], &[&str])] = &[
    (
        "live-profile-and-encryption-and-mult-files",
        &["bear-1280x720.mp4", "bear-640x360.mp4", "bear-320x180.mp4"],
        &[],
    ),
    ("live-profile-and-encryption-and-non-dash-if-iop", &["bear-640x360.mp4"], &[]),
    (
        "live-profile-and-key-rotation-and-no-pssh-in-stream",
        &["bear-640x360.mp4"],
        &["--crypto-period", "1s", "--no-pssh"],
    ),
];

/// What a manifest says of each timeline of pictures: the ticks of each segment.
fn timelines(manifest: &str) -> BTreeSet<Vec<u64>> {
    let pictures = manifest.split("<AdaptationSet").filter(|set| set.contains("contentType=\"video\""));
    let timelines = pictures.flat_map(|set| set.split("<SegmentTemplate").skip(1));
    let runs = |text: &str| -> Vec<u64> {
        let value = |s: &str, name: &str| -> Option<u64> {
            s.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.parse().ok()
        };
        let all = text.split("<S ").skip(1).flat_map(|s| {
            let s = s.split("/>").next().unwrap();
            vec![value(s, "d").unwrap(); value(s, "r").unwrap_or(0) as usize + 1]
        });
        all.collect()
    };
    timelines.map(runs).collect()
}

fn said(manifest: &str, attributes: &[&str]) -> BTreeSet<String> {
    let value = |attribute: &&str| -> Vec<String> {
        let begin = format!(" {attribute}=\"");
        let all = manifest.split(&begin).skip(1);
        all.map(|rest| format!("{attribute} {}", rest.split('"').next().unwrap())).collect()
    };
    attributes.iter().flat_map(value).collect()
}

fn media(folder: &Path, scratch: &Path) -> Vec<Media> {
    files(folder, scratch).iter().flat_map(|file| read(file)).collect()
}

#[test]
fn the_same_while_it_goes_on() {
    for (case, inputs, more) in CASES {
        let (Some(theirs), Some(root)) = (corpus(&format!("shaka/golden/{case}")), corpus("shaka/inputs"))
        else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let (out, listed) = (dir.path().join("out"), dir.path().join("keys"));
        let lines = keys().into_iter().enumerate().map(|(n, (kid, key))| format!("@{n} {kid}:{key}\n"));
        let lines: Vec<String> = lines.collect();
        let count = if more.is_empty() { 1 } else { lines.len() };
        fs::write(&listed, lines[..count].concat()).unwrap();
        let inputs: Vec<_> = inputs.iter().map(|input| root.join(input)).collect();
        let mut options = vec!["--segment", "1s", "--part", "0", "--window", "30m"];
        options.extend(["--encrypt", "cenc", "--clear-lead", "1s", "--keys", listed.to_str().unwrap()]);
        options.extend(*more);
        options.extend(inputs[1..].iter().map(|input| input.to_str().unwrap()));
        let live = Live::start(&inputs[0], &out, Stdio::null(), &options);
        for name in ["360p-h264", "audio-aac-2ch"] {
            live.text(&format!("{name}.m3u8?_HLS_msn=1"));
        }
        let (ours, their) =
            (live.text("manifest.mpd"), fs::read_to_string(theirs.join("output.mpd")).unwrap());
        fs::write(dir.path().join("manifest.mpd"), &ours).unwrap();
        kit::valid_dash(&dir.path().join("manifest.mpd"));
        let same =
            ["type", "codecs", "audioSamplingRate", "width", "height", "frameRate", "cenc:default_KID"];
        let (mut told, expected) = (said(&ours, &same), said(&their, &same));
        // Of the clock, which theirs says nothing of.
        told.remove("type encoder");
        if !expected.iter().any(|said| said.starts_with("cenc")) {
            // Theirs leaves the first key unnamed where keys change.
            told.retain(|said| !said.starts_with("cenc"));
        }
        assert_eq!(told, expected, "{case}");
        assert!(ours.contains("timeShiftBufferDepth=\"PT1800.000S\""), "{ours}");
        // The third is being made.
        let whole = |all: BTreeSet<Vec<u64>>| -> BTreeSet<Vec<u64>> {
            all.into_iter().map(|runs| runs[..2].to_vec()).collect()
        };
        assert_eq!(whole(timelines(&ours)), whole(timelines(&their)), "{case}");
        live.wait();

        assert_eq!(
            timelines(&fs::read_to_string(out.join("manifest.mpd")).unwrap()),
            timelines(&their),
            "{case}"
        );
        let mut theirs = media(&theirs, dir.path());
        let folders = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let folders: Vec<_> = folders.filter(|path| path.join("init.mp4").exists()).collect();
        assert_eq!(folders.len(), theirs.len(), "{case}");
        for folder in folders {
            let name = folder.file_name().unwrap().to_str().unwrap();
            let ours = read(&kit::joined(&out, name)).remove(0);
            let near = |(a, b): (&(i64, _), &(i64, _))| (a.0 - b.0).abs() <= 12_000 && a.1 == b.1;
            let alike = |m: &Media| {
                m.codec == ours.codec
                    && m.samples.len() == ours.samples.len()
                    && m.samples.iter().zip(&ours.samples).all(near)
                    && (&m.fragments, &m.secret) == (&ours.fragments, &ours.secret)
            };
            let at = theirs.iter().position(alike);
            let all: Vec<_> = theirs.iter().map(|m| (m.codec, m.samples.len(), &m.fragments)).collect();
            let at =
                at.unwrap_or_else(|| panic!("{case}: {name} in {:?} is none of {all:?}", ours.fragments));
            theirs.swap_remove(at);
        }
    }
}
