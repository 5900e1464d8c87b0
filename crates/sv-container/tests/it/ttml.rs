//! TTML: what documents say and when, and back again.

use std::process::Command;

use proptest::prelude::*;
use sv_container::{ttml, webvtt};
use sv_core::{Limits, Timestamp};

use crate::probe;

fn read(body: &str) -> webvtt::Document {
    let head = r##"<tt xmlns="http://www.w3.org/ns/ttml" xmlns:tts="http://www.w3.org/ns/ttml#styling" xml:lang="en"><head><styling>
        <style xml:id="base" tts:fontStyle="italic"/><style xml:id="loud" style="base" tts:fontWeight="bold"/></styling>
        <layout><region xml:id="top" tts:origin="10% 5%" tts:extent="80% 20%" tts:displayAlign="before"><style tts:textAlign="left"/></region></layout></head>"##;
    let text = format!("{head}{body}</tt>");
    ttml::Document::parse(text.as_bytes(), &Limits::default()).unwrap().to_webvtt()
}

fn cues(body: &str) -> Vec<(i64, i64, String)> {
    read(body).cues().map(|c| (c.start.ticks(), c.end.ticks(), c.text.clone())).collect()
}

#[test]
fn times_count_from_the_parent() {
    let body = r#"<body begin="10s"><div begin="1s" end="8s"><p begin="1s" dur="2s">a</p><p begin="5s" end="60s">b</p></div>
        <div timeContainer="seq" begin="20s"><p dur="1s">c</p><p begin="500ms" dur="1s">d</p></div></body>"#;
    let wanted = [(12_000, 14_000, "a"), (16_000, 18_000, "b"), (30_000, 31_000, "c"), (31_500, 32_500, "d")];
    assert_eq!(cues(body), wanted.map(|(start, end, text)| (start, end, text.to_owned())));
}

#[test]
fn spaces_lines_and_styles() {
    let body = "<body><div><p begin='0s' end='1s'>  one\n  <span style='loud'>two</span> <br/> R&amp;D &#x263A; <![CDATA[<3]]> </p>
        <p begin='1s' end='2s' xml:space='preserve'>a  b</p></div></body>";
    let text = [(0, 1000, "one <b><i>two</i></b>\nR&amp;D \u{263A} &lt;3"), (1000, 2000, "a  b")];
    assert_eq!(cues(body), text.map(|(start, end, text)| (start, end, text.to_owned())));
}

#[test]
fn text_that_appears_bit_by_bit() {
    let body = "<body><div><p begin='1s' end='4s'><span>a</span><span begin='1s'> b</span><span begin='2s' end='2.5s'> c</span></p></div></body>";
    let wanted = [(1000, 2000, "a"), (2000, 3000, "a b"), (3000, 3500, "a b c"), (3500, 4000, "a b")];
    assert_eq!(cues(body), wanted.map(|(start, end, text)| (start, end, text.to_owned())));
}

#[test]
fn a_region_says_where() {
    let document = read("<body><div><p region='top' begin='0s' end='1s'>up</p></div></body>");
    assert_eq!(document.cues().next().unwrap().settings, "line:5% size:80% align:left");
}

#[test]
fn a_part_has_what_it_shows_and_all_of_the_head() {
    let text = "<tt xmlns='http://www.w3.org/ns/ttml'><head><styling/></head><body><div begin='10s'><p begin='0s' end='2s'>a</p><p begin='2s' end='4s'>b</p></div></body></tt>";
    let document = ttml::Document::parse(text.as_bytes(), &Limits::default()).unwrap();
    let part = document.segment(Timestamp::new(12_000), Timestamp::new(13_000));
    assert!(part.contains("<styling/>"), "{part}");
    let part = ttml::Document::parse(part.as_bytes(), &Limits::default()).unwrap().to_webvtt();
    let cues: Vec<_> = part.cues().map(|c| (c.start.ticks(), c.end.ticks(), c.text.as_str())).collect();
    assert_eq!(cues, [(12_000, 14_000, "b")]);
}

/// Nothing of a document type is expanded, and depth has a bound.
#[test]
fn bombs() {
    let bomb = "<!DOCTYPE tt [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]><tt><body><div><p begin='0s' end='1s'>x&b;y</p></div></body></tt>";
    let document = ttml::Document::parse(bomb.as_bytes(), &Limits::default()).unwrap().to_webvtt();
    assert_eq!(document.cues().next().unwrap().text, "xy");
    let deep = format!("<tt>{}{}</tt>", "<div>".repeat(100_000), "</div>".repeat(100_000));
    let error = ttml::Document::parse(deep.as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), sv_core::ErrorKind::LimitExceeded);
    for wrong in ["", "<tt>", "<tt><body></tt>", "<html/>", "WEBVTT\n"] {
        assert!(ttml::Document::parse(wrong.as_bytes(), &Limits::default()).is_err(), "{wrong}");
    }
}

/// ExoPlayer's documents: every paragraph with a beginning and an end is a cue.
#[test]
fn the_corpus_is_read() {
    let Some(corpus) = probe::corpus() else { return };
    let mut read = 0;
    for path in crate::corpus::files(&corpus.join("exoplayer/ttml")) {
        let bytes = std::fs::read(&path).unwrap();
        let document = ttml::Document::parse(&bytes, &Limits::default()).unwrap();
        if path.to_string_lossy().contains("bitmap") {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let paragraphs = text.matches("<p ").count();
        let cues = document.to_webvtt().cues().count();
        assert_eq!(cues, paragraphs, "{}", path.display());
        read += 1;
    }
    assert!(read > 5, "only {read} files");
}

fn documents() -> impl Strategy<Value = webvtt::Document> {
    let cue = (
        0i64..10_000_000,
        1i64..100_000,
        "[a-z&]{1,8}( [a-z]{1,5})?(\n[a-z]{1,10}){0,2}",
        "(align:(left|right|start|end))?",
    );
    let cue = cue.prop_map(|(start, length, text, settings)| webvtt::Cue {
        id: None,
        start: Timestamp::new(start),
        end: Timestamp::new(start + length),
        settings,
        text: text.replace('&', "&amp;"),
    });
    prop::collection::vec(cue, 0..8).prop_map(|mut cues| {
        cues.sort_by_key(|cue| cue.start);
        let mut document = webvtt::Document::default();
        document.blocks.extend(cues.into_iter().map(webvtt::Block::Cue));
        document
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(document in documents()) {
        let text = ttml::Document::from_webvtt(&document, Some("de")).to_string();
        let again = ttml::Document::parse(text.as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(again.language(), Some("de"));
        prop_assert_eq!(again.to_string(), text);
        let back = again.to_webvtt();
        let said = |d: &webvtt::Document| -> Vec<_> {
            let align = |c: &webvtt::Cue| c.settings.split(' ').find(|s| s.starts_with("align")).map(str::to_owned);
            d.cues().map(|c| (c.start, c.end, c.text.clone(), align(c))).collect()
        };
        prop_assert_eq!(said(&back), said(&document));
    }

    #[test]
    fn no_document_is_too_odd(pieces in prop::collection::vec(prop::sample::select(vec!["<p begin='1s'>", "</p>", "<div timeContainer='seq'>", "</div>", "<span end='2s'>", "</span>", "<br/>", "x", "&lt;", "&#0;", "<![CDATA[]]>", "<", ">", "\"", " begin='99999999999h'"]), 0..30)) {
        let text = format!("<tt><body>{}</body></tt>", pieces.concat());
        crate::oracle::ttml(text.as_bytes());
    }
}

/// FFmpeg writes TTML from SubRip; what it writes, we read as what it was.
#[test]
fn what_ffmpeg_writes_is_read() {
    if !probe::have("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let srt = dir.path().join("a.srt");
    std::fs::write(
        &srt,
        "1\n00:00:01,000 --> 00:00:02,500\nTom & Jerry\n\n2\n01:00:03,040 --> 01:00:04,000\ntwo\nlines\n",
    )
    .unwrap();
    let out = dir.path().join("a.ttml");
    let done = Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(&srt).arg(&out).status().unwrap();
    assert!(done.success());
    let document =
        ttml::Document::parse(&std::fs::read(&out).unwrap(), &Limits::default()).unwrap().to_webvtt();
    let cues: Vec<_> = document.cues().map(|c| (c.start.ticks(), c.end.ticks(), c.text.as_str())).collect();
    assert_eq!(cues, [(1000, 2500, "Tom &amp; Jerry"), (3_603_040, 3_604_000, "two\nlines")]);
}
