//! Inputs with descriptors: which track, its language, its label, what it is for.

use std::collections::BTreeSet;
use std::path::Path;

use crate::kit;

fn package(output: &Path, inputs: &[String]) -> std::process::Output {
    kit::sv().args(["package", "--single-file", "--out"]).arg(output).args(inputs).output().unwrap()
}

/// Content, language and roles of each set of a manifest, by plain search.
fn sets(manifest: &str) -> BTreeSet<(String, String, Vec<String>)> {
    let value = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!(" {name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let mut all = BTreeSet::new();
    for set in manifest.split("<AdaptationSet").skip(1) {
        let mut roles: Vec<_> = set.split("<Role ").skip(1).filter_map(|r| value(r, "value")).collect();
        roles.sort();
        let head = set.split_once('>').unwrap().0;
        let content = value(head, "contentType").or_else(|| value(head, "mimeType")).unwrap();
        if !set.contains("trickmode") {
            all.insert((content, value(head, "lang").unwrap_or_default(), roles));
        }
    }
    all
}

#[test]
fn what_is_said_of_an_input_is_in_both_manifests() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let source = source.to_str().unwrap();
    let words = dir.path().join("words.vtt");
    std::fs::write(&words, "WEBVTT\n\n00:00.000 --> 00:01.000\nHallo\n").unwrap();
    let output = dir.path().join("out");
    let inputs = [
        format!("in={source},stream=video"),
        format!("in={source},stream=audio,language=en,roles=main,default=yes"),
        format!("in={source},stream=audio,lang=de,roles=dub,default=no"),
        format!("in={source},stream=1,language=en,roles=description;alternate,label=Described,default=no"),
        format!("in={},language=de,roles=caption", words.display()),
    ];
    let made = package(&output, &inputs);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let master = std::fs::read_to_string(output.join("master.m3u8")).unwrap();
    let media: Vec<_> = master.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:")).collect();
    let find = |name: &str| *media.iter().find(|line| line.contains(&format!("NAME=\"{name}\""))).unwrap();
    assert_eq!(media.len(), 4, "{master}");
    assert!(find("en").contains("LANGUAGE=\"en\"") && find("en").contains("DEFAULT=YES"));
    assert!(find("de (dub)").contains("LANGUAGE=\"de\"") && find("de (dub)").contains("DEFAULT=NO"));
    assert!(find("Described").contains("CHARACTERISTICS=\"public.accessibility.describes-video\""));
    let captions = find("de (caption)");
    assert!(
        captions.contains("TYPE=SUBTITLES") && captions.contains("transcribes-spoken-dialog"),
        "{captions}"
    );

    let manifest = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
    assert!(manifest.contains("urn:tva:metadata:cs:AudioPurposeCS:2007"), "{manifest}");
    let wanted = [
        ("audio", "de", vec!["dub"]),
        ("audio", "en", vec!["alternate", "description"]),
        ("audio", "en", vec!["main"]),
        ("text", "de", vec!["caption"]),
        ("video", "", vec!["main"]),
    ];
    let wanted: BTreeSet<_> = wanted
        .map(|(kind, lang, roles)| {
            (kind.to_owned(), lang.to_owned(), roles.into_iter().map(String::from).collect())
        })
        .into();
    assert_eq!(sets(&manifest), wanted, "{manifest}");

    // The same descriptors mean the same to shaka-packager, as far as it has them.
    let Some(packager) = sv_testkit::tool("packager-linux-x64") else { return };
    let theirs = dir.path().join("theirs.mpd");
    let mut arguments: Vec<String> = Vec::new();
    for (n, (stream, more)) in [
        ("video", ""),
        ("audio", ",lang=en,dash_roles=main"),
        ("audio", ",lang=de,dash_roles=dub"),
        ("audio", ",lang=en,dash_roles=description;alternate"),
    ]
    .into_iter()
    .enumerate()
    {
        // It has one language for a stream of a file, so each gets a file of its own.
        let (copy, out) = (dir.path().join(format!("{n}.mp4")), dir.path().join(format!("theirs-{n}.mp4")));
        std::fs::copy(source, &copy).unwrap();
        arguments.push(format!("in={},stream={stream},out={}{more}", copy.display(), out.display()));
    }
    arguments.extend(["--mpd_output".into(), theirs.to_str().unwrap().to_owned()]);
    kit::run(&packager, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let sound = |all: BTreeSet<(String, String, Vec<String>)>| -> BTreeSet<_> {
        all.into_iter().filter(|(kind, ..)| kind == "audio").collect()
    };
    assert_eq!(sound(sets(&std::fs::read_to_string(theirs).unwrap())), sound(wanted));
}

#[test]
fn wrong_descriptors_are_told_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 1) else { return };
    let source = source.to_str().unwrap();
    for (input, says) in [
        (format!("in={source},stream=3"), "no such track"),
        (format!("in={source},stream=audio,roles=boss"), "is no role"),
        (format!("in={source},colour=red"), "nothing is called \"colour\""),
        (format!("in={source},language=klingonisch"), "is no language"),
    ] {
        let output = dir.path().join("out");
        let refused = package(&output, &[input]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(says), "{said}");
        assert!(!output.exists());
    }
}
