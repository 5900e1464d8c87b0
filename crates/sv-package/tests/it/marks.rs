//! Cues: where they cut, what is told of them, and for how long.

use std::time::Duration as Length;

use proptest::prelude::*;
use sv_core::{Cue, Item, Packet, Segment, Stage as _};
use sv_package::live::{Continuity, Presentation, Settings, Stream, Wanted, Window};
use sv_package::{Form, Mark, Marks, Segmenter};

use crate::live::{block, drain, sound};

const RATE: i64 = 48_000;
const BLOCK: i64 = 1024;

fn ms(ms: u64) -> Length {
    Length::from_millis(ms)
}

fn cue(event: u32, out: bool, at: u64, length: Option<u64>) -> Cue {
    Mark::cue(event, out, ms(at), length.map(ms)).unwrap()
}

/// Segments of so many blocks of sound, with items put in before some of them.
fn cut(mut segmenter: Segmenter, blocks: std::ops::Range<i64>, cues: &[(i64, Cue)]) -> Vec<Segment> {
    let mut out = Vec::new();
    segmenter.push(Item::Track(sound(1, &[0x11, 0x90]))).unwrap();
    for n in blocks {
        for (_, cue) in cues.iter().filter(|(at, _)| *at == n) {
            segmenter.push(Item::Cue(cue.clone())).unwrap();
        }
        segmenter.push(Item::Packet(Packet { dts: block(1, n * BLOCK).pts, ..block(1, n * BLOCK) })).unwrap();
        out.extend(drain(&mut segmenter));
    }
    segmenter.finish().unwrap();
    out.extend(drain(&mut segmenter));
    let segment = |item| if let Item::Segment(segment) = item { Some(segment) } else { None };
    out.into_iter().filter_map(segment).collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_at_cues(
        count in 1i64..600,
        target in 200u64..3000,
        cuts in prop::collection::vec(1u64..12_000, 0..6),
    ) {
        let cuts: Vec<Length> = cuts.into_iter().map(ms).collect();
        let all = cut(Segmenter::new(ms(target)).cuts(&cuts), 0..count, &[]);
        prop_assert_eq!(all.iter().map(|s| u64::from(s.packets)).sum::<u64>(), count as u64);
        // Some segment begins within half a block of each cue that sound goes beyond.
        for at in cuts {
            let at = at.as_nanos() as i64 * RATE / 1_000_000_000;
            if at < (count - 1) * BLOCK && at > BLOCK {
                let near = |s: &Segment| (s.start.ticks() - at).abs() <= BLOCK / 2 + 1;
                prop_assert!(all.iter().any(near), "{} in {:?}", at, all.iter().map(|s| s.start).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_cue_that_comes_early_is_as_good_as_one_that_was_known(at in 300u64..5000, lead in 1i64..100, target in 500u64..3000) {
        let known = cut(Segmenter::new(ms(target)).cuts(&[ms(at)]), 0..300, &[]);
        let place = (at as i64 * RATE / 1000 / BLOCK - lead).max(0);
        let told = cut(Segmenter::new(ms(target)), 0..300, &[(place, cue(1, true, at, None))]);
        let said = |all: &[Segment]| all.iter().map(|s| (s.start, s.data.concat())).collect::<Vec<_>>();
        prop_assert_eq!(said(&known), said(&told));
    }

    #[test]
    fn numbers_are_what_marks_say(order in Just((0u32..20).collect::<Vec<_>>()).prop_shuffle()) {
        let mark = |n: &u32| Mark::of(&cue(*n, n.is_multiple_of(2), u64::from(*n) * 500, None)).unwrap();
        let straight: Marks = (0..20).map(|n| mark(&n)).collect();
        let mixed: Marks = order.iter().map(mark).collect();
        let said = |marks: &Marks| marks.iter().map(|m| (m.at, m.number())).collect::<Vec<_>>();
        prop_assert_eq!(said(&straight), said(&mixed));
    }
}

#[test]
fn what_is_said_again_is_said_once() {
    let mut marks = Marks::default();
    let add = |marks: &mut Marks, cue: &Cue| marks.add(Mark::of(cue).unwrap());
    assert!(add(&mut marks, &cue(7, true, 4200, Some(3000))));
    assert!(!add(&mut marks, &cue(7, true, 4210, Some(3000))));
    assert!(add(&mut marks, &cue(7, false, 7200, None)));
    assert!(add(&mut marks, &cue(7, true, 60_000, Some(3000))), "the same event, a minute later");
    let all: Vec<&Mark> = marks.iter().collect();
    assert_eq!(marks.back(all[0]), Some(all[1]));
    assert_eq!(marks.departure(all[1]), Some(all[0]));
    assert_eq!((marks.back(all[2]), marks.departure(all[2])), (None, None));
    // A departure stays as long as its return.
    let mut trimmed = marks.clone();
    trimmed.trim(ms(7100));
    assert_eq!(trimmed.iter().count(), 3);
    trimmed.trim(ms(8000));
    assert_eq!(trimmed.iter().map(|m| m.at).collect::<Vec<_>>(), [ms(60_000)]);
    // One of unknown length stays until somebody comes back.
    let mut open: Marks =
        [cue(1, true, 1000, None), cue(2, true, 2000, None)].iter().filter_map(Mark::of).collect();
    open.trim(ms(500_000));
    assert_eq!(open.iter().map(|m| m.at).collect::<Vec<_>>(), [ms(2000)]);
    open.add(Mark::of(&cue(2, false, 600_000, None)).unwrap());
    open.trim(ms(700_000));
    assert!(open.is_empty());
    // Four thousand are enough.
    let many: Marks =
        (0..5000).map(|n| Mark::of(&cue(n, true, u64::from(n) * 1000, None)).unwrap()).collect();
    assert_eq!(many.iter().count(), 4096);
}

#[test]
fn a_cue_is_told_until_the_window_has_left_it() {
    let mut settings = Settings::new(Length::from_secs(1_795_930_782));
    (settings.segment, settings.part, settings.splices) = (ms(1000), None, true);
    settings.window = Window::Sliding(ms(5000));
    let mut presentation = Presentation::new(settings, vec![Stream::new("sound", Form::Cmaf)]);
    let mut segmenter = Segmenter::new(ms(1000));
    segmenter.push(Item::Track(sound(1, &[0x11, 0x90]))).unwrap();
    let mut told = Vec::new();
    let mut patches = 0;
    let mut published = None;
    for n in 0..900i64 {
        if n == 100 {
            let cue = cue(9, true, 4200, Some(2000));
            assert!(presentation.mark(Mark::of(&cue).unwrap(), ms(2000)));
            segmenter.push(Item::Cue(cue)).unwrap();
        }
        segmenter.push(Item::Packet(block(1, n * BLOCK))).unwrap();
        for item in drain(&mut segmenter) {
            let whole = matches!(item, Item::Segment(_));
            presentation.push(0, item, false, ms(n as u64 * 1024 / 48)).unwrap();
            presentation.trim();
            if !whole {
                continue;
            }
            let playlist = presentation.text(Wanted::Media { stream: 0, skip: false }).unwrap().unwrap();
            told.push(playlist.contains("#EXT-X-DATERANGE:ID=\"splice-"));
            if let Some(published) = published {
                let patch = presentation.patch(published).unwrap().unwrap();
                // Players take any addition to a period for another period.
                assert!(!patch.contains("<add sel=\"/MPD/Period[@id='0']\""), "{patch}");
                patches += usize::from(patch.contains("/EventStream\""));
            }
            let manifest = presentation.text(Wanted::Manifest).unwrap().unwrap();
            assert_eq!(manifest.contains("<Event "), *told.last().unwrap(), "{manifest}");
            let time = manifest.split("publishTime=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            published = Some(Box::leak(time.into_boxed_str()) as &str);
        }
    }
    // Known from the second second on, and gone when six seconds and two more have left.
    let runs: Vec<bool> = told.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
    assert_eq!(runs, [false, true, false], "{told:?}");
    assert!(patches >= 1);
}

#[test]
fn a_cue_counts_on_the_clock_where_it_stands() {
    let mut continuity = Continuity::new(ms(5000));
    continuity.push(Item::Track(sound(1, &[0x11, 0x90]))).unwrap();
    let mut cues = Vec::new();
    // An hour in, and then the clock begins anew.
    for first in [3600 * RATE, 0] {
        for n in 0..100 {
            if n == 50 {
                let at = first * 1000 / RATE + 2000;
                continuity.push(Item::Cue(cue(1, true, at as u64, None))).unwrap();
            }
            continuity.push(Item::Packet(block(1, first + n * BLOCK))).unwrap();
        }
        while let Some(item) = continuity.pull().unwrap() {
            if let Item::Cue(cue) = item {
                cues.push(cue.at.as_millis());
            }
        }
    }
    // A hundred blocks are 2133 ms.
    assert_eq!(cues, [7000, 9133]);
}
