//! Parts, windows and breaks: what playlists tell must hold whatever comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration as Length;

use proptest::prelude::*;
use sv_core::{
    AudioInfo, Bytes, Codec, Duration, Item, Media, Packet, Part, Segment, Stage as _, TimeBase, Timestamp,
    Track, TrackId,
};
use sv_package::live::{Answer, Continuity, Presentation, Settings, Stream, Wanted, Window};
use sv_package::{Form, Segmenter};

const RATE: i64 = 48_000;
const BLOCK: i64 = 1024;

pub(crate) fn sound(id: u32, config: &'static [u8]) -> Arc<Track> {
    Arc::new(Track {
        id: TrackId(id),
        codec: Codec::Aac,
        time_base: TimeBase::new(1, 48_000).unwrap(),
        config: Bytes::from_static(config),
        media: Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 }),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    })
}

pub(crate) fn block(id: u32, at: i64) -> Packet {
    Packet {
        track: TrackId(id),
        pts: Timestamp::new(at),
        dts: Timestamp::new(at),
        duration: Duration::new(BLOCK as u64),
        key: true,
        data: Bytes::from(vec![at as u8; 20]),
        protection: None,
    }
}

pub(crate) fn drain(segmenter: &mut Segmenter) -> Vec<Item> {
    std::iter::from_fn(|| segmenter.pull().unwrap()).collect()
}

fn cut(count: i64, segment: Length, part: Length) -> Vec<Item> {
    let mut segmenter = Segmenter::new(segment).parts(part);
    let mut out = Vec::new();
    segmenter.push(Item::Track(sound(1, &[0x11, 0x90]))).unwrap();
    for n in 0..count {
        segmenter.push(Item::Packet(block(1, n * BLOCK))).unwrap();
        out.extend(drain(&mut segmenter));
    }
    segmenter.finish().unwrap();
    out.extend(drain(&mut segmenter));
    out
}

fn bytes(data: &[Bytes]) -> Vec<u8> {
    data.concat()
}

proptest! {
    #[test]
    fn a_segment_is_its_parts(count in 1i64..700, segment in 300u64..3000, part in 50u64..700) {
        let (segment, part) = (Length::from_millis(segment), Length::from_millis(part));
        let most = RATE as u128 * part.as_nanos() / 1_000_000_000;
        let (mut open, mut ticks, mut shown): (Vec<Part>, u64, u64) = (Vec::new(), 0, 0);
        for item in cut(count, segment, part) {
            match item {
                Item::Part(part) => {
                    prop_assert_eq!(part.number as usize, open.len());
                    // A part is never longer than it may be, but for a packet that is.
                    prop_assert!(u128::from(part.duration.ticks()) <= most.max(BLOCK as u128) + 1);
                    open.push(part);
                }
                Item::Segment(whole) => {
                    let parts: Vec<u8> = open.iter().flat_map(|p| bytes(&p.data)).collect();
                    prop_assert_eq!(parts, bytes(&whole.data));
                    prop_assert!(open.iter().all(|p| p.segment == whole.number && p.start == whole.start));
                    let sum: u64 = open.iter().map(|p| p.duration.ticks()).sum();
                    prop_assert_eq!(sum, whole.duration.ticks());
                    ticks += sum;
                    shown += u64::from(whole.packets);
                    open.clear();
                }
                _ => {}
            }
        }
        prop_assert!(open.is_empty());
        prop_assert_eq!((ticks, shown), ((count * BLOCK) as u64, count as u64));
    }

    #[test]
    fn a_part_leaves_with_its_last_packet(count in 60i64..200) {
        // 23 blocks of 21.3 ms fill half a second, and nobody waits for a 24th.
        let mut segmenter = Segmenter::new(Length::from_secs(600)).parts(Length::from_millis(500));
        segmenter.push(Item::Track(sound(1, &[0x11, 0x90]))).unwrap();
        let mut at = Vec::new();
        for n in 0..count {
            segmenter.push(Item::Packet(block(1, n * BLOCK))).unwrap();
            at.extend(drain(&mut segmenter).iter().filter(|i| matches!(i, Item::Part(_))).map(|_| n + 1));
        }
        prop_assert!(at.iter().all(|n| n % 23 == 0), "{:?}", at);
        prop_assert_eq!(at.len() as i64, count / 23);
    }

    #[test]
    fn a_delta_update_is_what_has_changed(count in 200i64..1500, skip_at in 0usize..40) {
        let mut presentation = presentation(Window::Sliding(Length::from_secs(20)));
        let (mut known, mut pushed) = (None::<String>, 0);
        for item in cut(count, Length::from_secs(1), Length::from_millis(300)) {
            let boundary = matches!(item, Item::Segment(_));
            presentation.push(0, item, false, Length::ZERO).unwrap();
            presentation.trim();
            pushed += usize::from(boundary);
            if !boundary || pushed <= skip_at { continue }
            let whole = presentation.text(Wanted::Media { stream: 0, skip: false }).unwrap().unwrap();
            let delta = presentation.text(Wanted::Media { stream: 0, skip: true }).unwrap().unwrap();
            if let Some(known) = known {
                prop_assert_eq!(segments(&merge(&known, &delta)), segments(&whole));
            }
            known = Some(whole);
        }
    }

    #[test]
    fn a_timeline_never_goes_back(jumps in prop::collection::vec((1i64..200, -400_000_000i64..400_000_000), 1..6)) {
        // Two tracks side by side; the clock of both jumps again and again.
        let mut continuity = Continuity::new(Length::from_secs(5));
        for id in [1, 2] {
            continuity.push(Item::Track(sound(id, &[0x11, 0x90]))).unwrap();
        }
        let mut at = 7 * RATE;
        let mut breaks = 0;
        for (blocks, jump) in jumps {
            for _ in 0..blocks {
                for id in [1, 2] {
                    continuity.push(Item::Packet(block(id, at))).unwrap();
                }
                at += BLOCK;
            }
            at += jump;
            breaks += usize::from(jump.abs() > RATE);
        }
        for id in [1, 2] {
            continuity.push(Item::Packet(block(id, at))).unwrap();
        }
        continuity.finish().unwrap();
        let mut told = BTreeMap::<TrackId, usize>::new();
        let mut shown = BTreeMap::<TrackId, i64>::new();
        while let Some(item) = continuity.pull().unwrap() {
            match item {
                Item::Track(track) => *told.entry(track.id).or_default() += 1,
                Item::Packet(packet) => {
                    let last = shown.insert(packet.track, packet.pts.ticks());
                    prop_assert!(last.is_none_or(|last| packet.pts.ticks() > last - RATE));
                    prop_assert!(packet.pts.ticks() >= 5 * RATE);
                }
                _ => {}
            }
        }
        // Each break is told of both tracks, so that their playlists count the same discontinuities.
        prop_assert_eq!(continuity.breaks(), breaks);
        prop_assert_eq!(told, BTreeMap::from([(TrackId(1), breaks + 1), (TrackId(2), breaks + 1)]));
    }
}

fn presentation(window: Window) -> Presentation {
    let mut settings = Settings::new(Length::from_secs(1_795_930_782));
    settings.segment = Length::from_secs(1);
    settings.part = Some(Length::from_millis(300));
    settings.window = window;
    Presentation::new(settings, vec![Stream::new("sound", Form::Cmaf)])
}

/// The segments of a playlist by their numbers, as a client has them.
fn segments(text: &str) -> BTreeMap<u64, String> {
    let first: u64 = text.split("MEDIA-SEQUENCE:").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    let names = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    (first..).zip(names.map(str::to_owned)).collect()
}

/// What a client makes of a delta update (rfc8216bis, 6.3.7): the segments that it names as skipped are those
/// that the client has.
fn merge(known: &str, delta: &str) -> String {
    let Some((head, rest)) = delta.split_once("#EXT-X-SKIP:SKIPPED-SEGMENTS=") else {
        return delta.to_owned();
    };
    let (count, rest) = rest.split_once('\n').unwrap();
    let first: u64 = delta.split("MEDIA-SEQUENCE:").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    let known = segments(known);
    let skipped: Vec<_> = (first..first + count.parse::<u64>().unwrap()).map(|n| known[&n].clone()).collect();
    format!("{head}{}\n{rest}", skipped.join("\n"))
}

#[test]
fn requests_wait_for_what_comes_and_for_nothing_else() {
    let mut presentation = presentation(Window::Event);
    assert_eq!(presentation.answer(0, 0, None), Answer::Later);
    assert!(presentation.text(Wanted::Multivariant).is_err());
    let mut whole = 0;
    for item in cut(400, Length::from_secs(1), Length::from_millis(300)) {
        let part = match &item {
            Item::Part(part) => Some((part.segment, part.number)),
            _ => None,
        };
        if let Some((segment, number)) = part {
            assert_eq!(presentation.answer(0, segment, Some(number)), Answer::Later);
        }
        whole += u64::from(matches!(item, Item::Segment(_)));
        presentation.push(0, item, false, Length::ZERO).unwrap();
        if let Some((segment, number)) = part {
            assert_eq!(presentation.answer(0, segment, Some(number)), Answer::Now);
            assert_eq!(presentation.answer(0, segment, Some(number + 1)), Answer::Later);
            assert_eq!(presentation.answer(0, segment, None), Answer::Later);
        }
        // rfc8216bis, 6.2.5.2: what is far ahead is refused, not waited for.
        assert_eq!(presentation.answer(0, whole + 1, None), Answer::Later);
        assert_eq!(presentation.answer(0, whole + 2, None), Answer::Refused);
        if whole > 0 {
            assert_eq!(presentation.answer(0, whole - 1, None), Answer::Now);
        }
    }
    presentation.end(Length::from_secs(1));
    assert_eq!(presentation.answer(0, whole + 9, None), Answer::Now);
    let text = presentation.text(Wanted::Media { stream: 0, skip: false }).unwrap().unwrap();
    assert!(text.ends_with("#EXT-X-ENDLIST\n") && !text.contains("EXT-X-PART"));
}

#[test]
fn two_tracks_that_are_described_otherwise_on_another_clock_go_on() {
    let mut continuity = Continuity::new(Length::ZERO);
    let mut sent = 0;
    for config in [&[0x11, 0x90], &[0x11, 0x88]] {
        for id in [1, 2] {
            continuity.push(Item::Track(sound(id, config))).unwrap();
        }
        for n in 0..200 {
            for id in [1, 2] {
                continuity.push(Item::Packet(block(id, n * BLOCK))).unwrap();
                sent += 1;
            }
        }
    }
    continuity.finish().unwrap();
    let mut shown = BTreeMap::<TrackId, Vec<i64>>::new();
    while let Some(item) = continuity.pull().unwrap() {
        if let Item::Packet(packet) = item {
            shown.entry(packet.track).or_default().push(packet.pts.ticks());
        }
    }
    assert_eq!(shown.values().map(Vec::len).sum::<usize>(), sent);
    for times in shown.values() {
        assert!(times.windows(2).all(|w| (w[1] - w[0] - BLOCK).abs() <= 1), "{times:?}");
    }
}

/// A property above found it: a clock that goes back by a little, right behind the first packet.
#[test]
fn nothing_is_shown_before_the_start() {
    let mut continuity = Continuity::new(Length::from_secs(5));
    continuity.push(Item::Track(sound(1, &[0x11, 0x90]))).unwrap();
    for at in [7 * RATE, 7 * RATE - 1, 7 * RATE + BLOCK] {
        continuity.push(Item::Packet(block(1, at))).unwrap();
    }
    continuity.finish().unwrap();
    let items = std::iter::from_fn(|| continuity.pull().unwrap());
    let times: Vec<i64> =
        items.filter_map(|i| if let Item::Packet(p) = i { Some(p.pts.ticks()) } else { None }).collect();
    assert_eq!(times, [5 * RATE, 5 * RATE + BLOCK]);
}

#[test]
fn a_break_is_a_discontinuity_and_a_period() {
    let mut presentation = presentation(Window::Event);
    let push = |presentation: &mut Presentation, track: Arc<Track>, from: i64, segmenter: &mut Segmenter| {
        segmenter.push(Item::Track(track)).unwrap();
        for n in 0..150 {
            segmenter.push(Item::Packet(block(1, from + n * BLOCK))).unwrap();
        }
        for item in drain(segmenter) {
            presentation.push(0, item, false, Length::ZERO).unwrap();
        }
    };
    let mut segmenter = Segmenter::new(Length::from_secs(1)).parts(Length::from_millis(300));
    push(&mut presentation, sound(1, &[0x11, 0x90]), 0, &mut segmenter);
    // Mono from here on, ten seconds later.
    push(&mut presentation, sound(1, &[0x11, 0x88]), 10 * RATE, &mut segmenter);
    let text = presentation.text(Wanted::Media { stream: 0, skip: false }).unwrap().unwrap();
    let (before, after) = text.split_once("#EXT-X-DISCONTINUITY\n").unwrap();
    assert!(before.contains("URI=\"sound/init.mp4\"") && after.contains("URI=\"sound/init-1.mp4\""));
    assert!(after.contains("PROGRAM-DATE-TIME:2026-11-29T05:39:52.000Z"), "{after}");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    let mpd = presentation.text(Wanted::Manifest).unwrap().unwrap();
    assert!(
        mpd.contains("<Period id=\"0\" start=\"PT0.000S\">")
            && mpd.contains("<Period id=\"1\" start=\"PT10.000S\">")
    );
    assert!(mpd.contains("presentationTimeOffset=\"480000\""));
}

/// Players look once at what a period is made of: dash.js and Shaka Player stood still in one that had only sound at first.
#[test]
fn a_period_is_told_of_when_all_its_streams_have_begun() {
    let mut settings = Settings::new(Length::from_secs(1_795_930_782));
    (settings.segment, settings.part) = (Length::from_secs(1), Some(Length::from_millis(300)));
    settings.waits = true;
    let streams = ["first", "second"].map(|name| Stream::new(name, Form::Cmaf));
    let mut presentation = Presentation::new(settings, streams.into());
    let mut segmenters =
        [(); 2].map(|()| Segmenter::new(Length::from_secs(1)).parts(Length::from_millis(300)));
    let mut now = 0;
    let mut give = |presentation: &mut Presentation,
                    place: usize,
                    config: &'static [u8],
                    blocks: std::ops::Range<i64>| {
        let segmenter = &mut segmenters[place];
        // Two languages, which are sets of their own.
        let mut track = Track::clone(&sound(1, config));
        track.language = Some(["de", "en"][place].into());
        segmenter.push(Item::Track(track.into())).unwrap();
        for n in blocks {
            segmenter.push(Item::Packet(block(1, n * BLOCK))).unwrap();
            while let Some(item) = segmenter.pull().unwrap() {
                now += 1;
                presentation.push(place, item, false, Length::from_secs(1_795_930_782 + now)).unwrap();
            }
        }
    };
    let manifest = |presentation: &mut Presentation| presentation.text(Wanted::Manifest).unwrap().unwrap();
    give(&mut presentation, 0, &[0x11, 0x90], 0..150);
    give(&mut presentation, 1, &[0x11, 0x88], 0..150);
    // The second comes first.
    give(&mut presentation, 1, &[0x11, 0x90], 480..530);
    let alone = manifest(&mut presentation);
    assert_eq!(alone.matches("<Period").count(), 1, "{alone}");
    let published = presentation.published();
    give(&mut presentation, 0, &[0x11, 0x88], 480..530);
    let both = manifest(&mut presentation);
    let (_, period) = both.split_once("<Period id=\"1\"").expect("the second period");
    assert!(period.contains("<AdaptationSet id=\"0\"") && period.contains("\"first/init-1.mp4\""), "{both}");
    assert!(presentation.patch(&published).unwrap().unwrap().contains("<Period id=\"1\""));
    // One that doesn't come is not waited for, and keeps its place for when it does.
    give(&mut presentation, 1, &[0x11, 0x88], 960..1200);
    let late = manifest(&mut presentation);
    let (_, period) = late.split_once("<Period id=\"2\"").expect("the third period");
    assert!(
        period.contains("<AdaptationSet id=\"1\"") && !period.contains("<AdaptationSet id=\"0\""),
        "{late}"
    );
    let published = presentation.published();
    give(&mut presentation, 0, &[0x11, 0x90], 960..1200);
    assert_eq!(manifest(&mut presentation).matches("<AdaptationSet id=\"0\"").count(), 3);
    let patch = presentation.patch(&published).unwrap().unwrap();
    assert!(
        patch.contains("<add sel=\"/MPD/Period[@id='2']/AdaptationSet[@id='1']\" pos=\"after\">"),
        "{patch}"
    );
}

#[test]
fn a_playlist_of_hours_is_asked_for_in_a_kilobyte() {
    let mut settings = Settings::new(Length::from_secs(1_795_930_782));
    settings.part = Some(Length::from_millis(500));
    settings.window = Window::Sliding(Length::from_secs(4 * 3600));
    let names = ["1080p-h264", "720p-h264", "audio-aac-2ch"];
    let streams = names.iter().map(|name| Stream::new(*name, Form::Cmaf)).collect();
    let mut presentation = Presentation::new(settings, streams);
    let segment = |number: u64| Segment {
        track: TrackId(1),
        number,
        start: Timestamp::new(number as i64 * 2 * RATE),
        duration: Duration::new(2 * RATE as u64),
        key: true,
        key_bytes: 0,
        packets: 1,
        kid: None,
        data: vec![Bytes::from_static(b"x")],
    };
    for place in 0..names.len() {
        presentation.push(place, Item::Track(sound(1, &[0x11, 0x90])), false, Length::ZERO).unwrap();
        for number in 0..8000 {
            for part in 0..4 {
                let whole = segment(number);
                let part = Part {
                    track: whole.track,
                    segment: number,
                    number: part,
                    start: whole.start,
                    duration: Duration::new(RATE as u64 / 2),
                    key: part == 0,
                    kid: None,
                    data: whole.data,
                };
                presentation.push(place, Item::Part(part), false, Length::ZERO).unwrap();
            }
            presentation.push(place, Item::Segment(segment(number)), false, Length::ZERO).unwrap();
            presentation.trim();
        }
    }
    let whole = presentation.text(Wanted::Media { stream: 0, skip: false }).unwrap().unwrap();
    let delta = presentation.text(Wanted::Media { stream: 0, skip: true }).unwrap().unwrap();
    assert_eq!(segments(&whole).len(), 7200);
    assert!(delta.len() <= 1536, "{} bytes:\n{delta}", delta.len());
    assert_eq!(segments(&merge(&whole, &delta)), segments(&whole));
}

#[test]
fn who_comes_again_with_another_clock_is_not_late_for_ever() {
    let mut continuity = Continuity::new(Length::ZERO);
    let mut push = |item: Item| continuity.push(item).unwrap();
    push(Item::Track(sound(1, &[0x11, 0x90])));
    (0..100).for_each(|n| push(Item::Packet(block(1, RATE * 50 + n * BLOCK))));
    // It was away from 2.1 s to 5 s, and counts from 0 now.
    continuity.returns(Length::from_secs(5));
    let mut push = |item: Item| continuity.push(item).unwrap();
    push(Item::Track(sound(1, &[0x11, 0x90])));
    (0..100).for_each(|n| push(Item::Packet(block(1, n * BLOCK))));
    let items: Vec<Item> = std::iter::from_fn(|| continuity.pull().unwrap()).collect();
    let times: Vec<i64> = items
        .iter()
        .filter_map(|item| match item {
            Item::Packet(packet) => Some(packet.pts.ticks()),
            _ => None,
        })
        .collect();
    let expected = (0..100).map(|n| n * BLOCK).chain((0..100).map(|n| 5 * RATE + n * BLOCK));
    assert_eq!(times, expected.collect::<Vec<_>>());
    assert_eq!(continuity.breaks(), 1);
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Track(_))).count(), 2);
}

#[test]
fn a_stream_that_is_given_up_is_named_no_more() {
    let mut settings = Settings::new(Length::from_secs(1_795_930_782));
    settings.segment = Length::from_secs(1);
    settings.part = Some(Length::from_millis(300));
    // One goes on in the fourth epoch, whatever it has had itself.
    let streams = ["high", "low"].map(|name| Stream::new(name, Form::Cmaf).from_epoch(3));
    let mut presentation = Presentation::new(settings, streams.into());
    for stream in 0..2 {
        for item in cut(150, Length::from_secs(1), Length::from_millis(300)) {
            presentation.push(stream, item, false, Length::ZERO).unwrap();
        }
    }
    let text = |presentation: &mut Presentation, wanted| presentation.text(wanted).unwrap().unwrap();
    let mpd = text(&mut presentation, Wanted::Manifest);
    assert!(mpd.contains("<Period id=\"3\"") && mpd.contains("\"high\"") && mpd.contains("\"low\""), "{mpd}");
    let before = presentation.published();
    let gone = presentation.leave(0, Length::from_secs(1_795_930_790));
    assert_eq!(gone.len(), 5, "{gone:?}");
    assert!(
        gone.iter().all(|path| path.starts_with("high/")) && gone.contains(&"high/init-3.mp4".to_owned())
    );
    assert!(presentation.streams()[0].has_left() && !presentation.is_ended() && presentation.is_ready());
    for wanted in [Wanted::Manifest, Wanted::Multivariant, Wanted::Media { stream: 1, skip: false }] {
        let told = text(&mut presentation, wanted);
        assert!(told.contains("low") && !told.contains("high"), "{told}");
    }
    // Who has the manifest of before hears of it by a patch.
    let patch = presentation.patch(&before).unwrap().unwrap();
    assert!(patch.contains("<remove"), "{patch}");
    assert!(presentation.leave(0, Length::ZERO).is_empty());
}
