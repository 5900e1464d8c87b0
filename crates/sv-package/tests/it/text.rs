//! Text is cut as time goes, without a look at what is to come.

use std::sync::Arc;
use std::time::Duration as Length;

use proptest::prelude::*;
use sv_container::webvtt::{self, Block, Cue};
use sv_core::{Bytes, Duration, Item, Limits, Packet, Segment, Stage as _, Timestamp, TrackId};
use sv_package::{Form, TextSegmenter};

fn empty(ms: i64) -> Item {
    let at = Timestamp::new(ms);
    let (track, data) = (TrackId(1), Bytes::new());
    Item::Packet(Packet {
        track,
        pts: at,
        dts: at,
        duration: Duration::ZERO,
        key: true,
        data,
        protection: None,
    })
}

fn segments(segmenter: &mut TextSegmenter) -> Vec<Segment> {
    let all = std::iter::from_fn(|| segmenter.pull().unwrap());
    all.filter_map(|item| if let Item::Segment(s) = item { Some(s) } else { None }).collect()
}

#[test]
fn silence_is_cut_as_soon_as_time_has_gone() {
    let mut document = webvtt::Document::default();
    let (start, end) = (Timestamp::new(11_500), Timestamp::new(12_500));
    document.blocks.push(Block::Cue(Cue { start, end, text: "now".into(), ..Cue::default() }));
    let mut live = TextSegmenter::new(Length::from_secs(1), Form::Text).clock(900_000);
    live.push(Item::Track(Arc::new(document.track(TrackId(1), None)))).unwrap();
    live.push(empty(10_000)).unwrap();
    live.push(empty(10_999)).unwrap();
    assert!(segments(&mut live).is_empty());
    live.push(empty(11_000)).unwrap();
    let first = segments(&mut live);
    assert_eq!((first.len(), first[0].number, first[0].start), (1, 10, Timestamp::new(10_000)));
    let text = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n";
    assert_eq!(first[0].data.concat(), text.as_bytes());
    for packet in document.packets(TrackId(1)) {
        live.push(Item::Packet(packet)).unwrap();
    }
    live.push(empty(13_000)).unwrap();
    let cue = "\n00:00:11.500 --> 00:00:12.500\nnow\n";
    let both = segments(&mut live);
    assert_eq!(both.len(), 2);
    assert!(both.iter().all(|s| s.data.concat() == [text, cue].concat().as_bytes()));
}

#[test]
fn times_and_cues_without_bounds_are_refused() {
    let document = webvtt::Document::default();
    let mut stage = TextSegmenter::new(Length::from_secs(1), Form::Text);
    stage.push(Item::Track(Arc::new(document.track(TrackId(1), None)))).unwrap();
    stage.push(empty(0)).unwrap();
    assert!(stage.push(empty(i64::MAX)).is_err());
}

/// Text that pictures lead: segments of any length, wherever they are, numbered on, without a packet that says that time goes.
#[test]
fn segments_are_as_long_as_those_that_lead() {
    let mut document = webvtt::Document::default();
    let cue = |start, end, text: &str| {
        let (start, end) = (Timestamp::new(start), Timestamp::new(end));
        Block::Cue(Cue { start, end, text: text.into(), ..Cue::default() })
    };
    document.blocks.extend([cue(500, 1200, "a"), cue(1800, 4100, "b")]);
    for form in [Form::Text, Form::Cmaf] {
        let mut stage = TextSegmenter::new(Length::from_secs(1), form).led(7);
        let track = Arc::new(document.track(TrackId(1), None));
        stage.push(Item::Track(Arc::clone(&track))).unwrap();
        for packet in document.packets(TrackId(1)) {
            stage.push(Item::Packet(packet)).unwrap();
        }
        assert!(segments(&mut stage).is_empty(), "nobody has said where a segment ends");
        for (from, to) in [(0, 1700), (1700, 4000), (5000, 5100)] {
            stage.segment(Timestamp::new(from), Timestamp::new(to)).unwrap();
        }
        stage.finish().unwrap();
        let all = segments(&mut stage);
        let shape = |s: &Segment| (s.number, s.start.ticks(), s.duration.ticks(), s.packets);
        let shapes: Vec<_> = all.iter().map(shape).collect();
        assert_eq!(shapes, [(7, 0, 1700, 1), (8, 1700, 2300, 1), (9, 5000, 100, 0)]);
        if form == Form::Text {
            let said = |s: &Segment| webvtt::parse(&s.data.concat(), &Limits::default()).unwrap();
            let said: Vec<_> = all.iter().flat_map(|s| said(s).cues().cloned().collect::<Vec<_>>()).collect();
            let whole: Vec<_> = document.cues().cloned().collect();
            assert_eq!(said, whole);
        }
    }
}

proptest! {
    #[test]
    fn a_cue_is_in_every_segment_that_shows_it(cues in prop::collection::vec((0i64..20_000, 1i64..5000), 0..20), target in 300u64..3000) {
        let mut document = webvtt::Document::default();
        document.blocks.extend(cues.iter().enumerate().map(|(n, (start, length))| {
            let (start, end) = (Timestamp::new(*start), Timestamp::new(start + length));
            Block::Cue(Cue { start, end, text: format!("cue {n}"), ..Cue::default() })
        }));
        let mut stage = TextSegmenter::new(Length::from_millis(target), Form::Text);
        stage.push(Item::Track(Arc::new(document.track(TrackId(1), None)))).unwrap();
        stage.push(empty(0)).unwrap();
        for packet in document.packets(TrackId(1)) {
            stage.push(Item::Packet(packet)).unwrap();
        }
        stage.finish().unwrap();
        let mut at = Timestamp::ZERO;
        for segment in segments(&mut stage) {
            prop_assert_eq!(segment.start, at);
            let to = at.saturating_add(segment.duration);
            let said = webvtt::parse(&segment.data.concat(), &Limits::default()).unwrap();
            let mut said: Vec<_> = said.cues().map(|c| c.text.clone()).collect();
            let mut wanted: Vec<_> =
                document.cues().filter(|c| c.start < to && c.end > at).map(|c| c.text.clone()).collect();
            said.sort();
            wanted.sort();
            prop_assert_eq!(said, wanted);
            at = to;
        }
        prop_assert_eq!(Some(at), document.cues().map(|c| c.end).max().or(Some(Timestamp::ZERO)));
    }
}
