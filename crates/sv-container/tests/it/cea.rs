//! Captions: what bytes mean, as Shaka Player's own tests of its decoder have it (test/cea of its repository) and the
//! tables of CTA-708 say.

use proptest::prelude::*;
use sv_container::cea708::Decoder;
use sv_core::Timestamp;

use crate::oracle;

/// Defines window 0, sixteen rows and visible, as Shaka Player's tests do.
const DEFINE: [u8; 7] = [0x98, 0x38, 0x00, 0x00, 0x1F, 0x1F, 0x00];
const HIDE: [u8; 2] = [0x8A, 0xFF];

/// A packet of one block of a service, in pairs.
fn packet(sequence: u8, service: u8, codes: &[u8]) -> Vec<[u8; 2]> {
    let mut bytes = match service {
        1..7 => vec![service << 5 | codes.len() as u8],
        _ => vec![0xE0 | codes.len() as u8, service],
    };
    bytes.extend(codes);
    if bytes.len().is_multiple_of(2) {
        bytes.push(0);
    }
    bytes.insert(0, sequence << 6 | bytes.len().div_ceil(2) as u8);
    bytes.as_chunks().0.to_vec()
}

/// What service 1 (or another) says of codes that come at moments: starts, ends, texts.
fn said(service: u8, script: &[(i64, &[u8])]) -> Vec<(i64, i64, String)> {
    let mut decoder = Decoder::new();
    for (sequence, (at, codes)) in (0u8..).zip(script) {
        // A block has 31 bytes at most. None is divided in the middle of a code here.
        for (n, pair) in packet(sequence % 4, service, codes).into_iter().enumerate() {
            decoder.push(Timestamp::new(*at), n == 0, pair);
        }
    }
    let cues = decoder.take();
    assert!(cues.iter().all(|(number, _)| *number == service));
    cues.into_iter().map(|(_, cue)| (cue.start.ticks(), cue.end.ticks(), cue.text)).collect()
}

/// Text in window 0 from 1000 to 2000.
fn text(codes: &[u8]) -> String {
    let all = said(1, &[(1000, &[&DEFINE, codes].concat()), (2000, &HIDE)]);
    assert_eq!(all.iter().map(|(start, end, _)| (*start, *end)).collect::<Vec<_>>(), [(1000, 2000)]);
    all[0].2.clone()
}

#[test]
fn text_and_where_it_stands() {
    assert_eq!(text(b"test"), "test");
    // Two bytes for a character.
    assert_eq!(text(&[0x18, 0xB9, 0xD9, 0x18, 0xB7, 0xCE]), "맙럎");
    assert_eq!(text(b"test\x92\x02\x00test"), "test\ntest");
    assert_eq!(text(b"te\x0Dst"), "te\nst");
    // A horizontal carriage return empties its row; a backspace takes one away.
    assert_eq!(text(b"te\x92\x01\x00mp\x0E12"), "te\n12");
    assert_eq!(text(b"testt\x08"), "test");
    // Form feed empties the window.
    assert_eq!(text(b"te\x0Cst"), "st");
    // A pen, colours and attributes are passed over.
    assert_eq!(text(b"a\x90\x00\xC0b\x91\x30\x33\x00c\x97\x00\x00\x01\x00d"), "abcd");
    // WebVTT's own signs.
    assert_eq!(text(b"a<b>&"), "a&lt;b&gt;&amp;");
}

#[test]
fn characters_of_all_sets() {
    assert_eq!(text(&[0x7F]), "♪");
    assert_eq!(text(&[0xA9, 0xB6, 0xF7]), "©¶÷");
    assert_eq!(text(&[0x10, 0x79, 0x10, 0x7B, 0x10, 0x39]), "⅞┐™");
    assert_eq!(text(&[0x10, 0x36, 0x10, 0x3C, 0x10, 0x70]), "_œ_");
    assert_eq!(text(&[0x10, 0xA0, 0x10, 0xA1, 0x10, 0xDB]), "[CC]__");
    // Codes for later use have lengths (7.1.5 and 7.1.11).
    assert_eq!(text(b"a\x10\x07b\x10\x08.c\x10\x10..d\x10\x18...e"), "abcde");
    assert_eq!(text(b"a\x10\x80....b\x10\x88.....c"), "abc");
    assert_eq!(text(b"a\x10\x90\x02..b\x11.c\x19..d"), "abcd");
}

#[test]
fn windows_pop_on_and_off() {
    let hidden = [0x99, 0x18, 0x00, 0x00, 0x01, 0x1F, 0x00];
    let script: [(i64, &[u8]); 5] = [
        (1000, &[&hidden[..], b"one"].concat()),
        (2000, &[0x89, 0x02]),
        (3000, &[0x8B, 0x02]),
        (4000, &[0x8B, 0x02]),
        (5000, &[0x8C, 0x02]),
    ];
    let one = |start, end| (start, end, "one".to_owned());
    assert_eq!(said(1, &script), [one(2000, 3000), one(4000, 5000)]);
    // The same for a service whose number has a byte of its own.
    assert_eq!(said(9, &script), [one(2000, 3000), one(4000, 5000)]);
}

#[test]
fn windows_roll_up() {
    // Two rows.
    let define = [0x98, 0x38, 0x00, 0x00, 0x01, 0x1F, 0x00];
    let script: [(i64, &[u8]); 4] = [
        (1000, &[&define[..], b"one"].concat()),
        (2000, b"\x0Dtwo"),
        // Told once more for those who join.
        (3000, &[&define[..], b"\x0Dthree"].concat()),
        (4000, &[0x88, 0x01]),
    ];
    let said = said(1, &script);
    let wanted = [(1000, 2000, "one"), (2000, 3000, "one\ntwo"), (3000, 4000, "two\nthree")];
    assert_eq!(said, wanted.map(|(start, end, text)| (start, end, text.to_owned())));
}

#[test]
fn delays_hold_back_until_they_are_over() {
    let late = |script: &[(i64, &[u8])]| said(1, script);
    let begin = [&DEFINE[..], &[0x8D, 5], b"x"].concat();
    let x = |start, end| vec![(start, end, "x".to_owned())];
    // Half a second later.
    assert_eq!(late(&[(1000, &begin), (1400, b""), (1600, b"\x00"), (2000, &HIDE)]), x(1500, 2000));
    // Cancelled.
    assert_eq!(late(&[(1000, &begin), (1200, &[0x8E]), (2000, &HIDE)]), x(1200, 2000));
    // A reset forgets what waits.
    assert_eq!(late(&[(1000, &begin), (1200, &[0x8F]), (2000, &HIDE)]), []);
}

#[test]
fn a_window_at_the_top_says_so() {
    let at = |vertical: u8, anchor: u8| {
        let mut decoder = Decoder::new();
        let codes = [&[0x98, 0x38, vertical, 0x00, anchor << 4 | 1, 0x1F, 0x00], &b"x"[..]].concat();
        for (n, pair) in packet(0, 1, &codes).into_iter().enumerate() {
            decoder.push(Timestamp::ZERO, n == 0, pair);
        }
        decoder.finish(Timestamp::new(10));
        decoder.take().remove(0).1.settings
    };
    // Hundredths with the first bit, rows of 75 without.
    assert_eq!((at(0x80 | 10, 0), at(15, 0)), ("line:10%".into(), "line:20%".into()));
    // By its lower edge; and at the bottom, where text is anyway.
    assert_eq!(
        (at(0x80 | 23, 7), at(0x80 | 95, 7), at(0x80 | 80, 1)),
        ("line:10%".into(), String::new(), String::new())
    );
}

#[test]
fn what_is_lost_shows_nothing_for_ever() {
    let mut decoder = Decoder::new();
    let mut push = |at: i64, sequence: u8, codes: &[u8]| {
        for (n, pair) in packet(sequence, 1, codes).into_iter().enumerate() {
            decoder.push(Timestamp::new(at), n == 0, pair);
        }
    };
    push(0, 0, &[&DEFINE[..], b"x"].concat());
    // Packet 1 is missing: everything begins anew.
    push(1000, 2, b"y");
    push(2000, 3, &HIDE);
    let cues = decoder.take();
    assert_eq!(cues.len(), 1);
    assert_eq!((cues[0].1.end, cues[0].1.text.as_str()), (Timestamp::new(1000), "x"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_bytes(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        oracle::cea(&data);
    }

    /// Mostly codes that do something, in packets that are whole.
    #[test]
    fn codes_in_any_order(
        blocks in proptest::collection::vec(
            (
                0u8..200,
                1u8..10,
                proptest::collection::vec(
                    prop_oneof![
                        Just(DEFINE.to_vec()),
                        any::<[u8; 6]>().prop_map(|d| [&[0x98 | d[0] & 7][..], &d].concat()),
                        (0x88u8..0x8E, any::<u8>()).prop_map(|(code, which)| vec![code, which]),
                        any::<[u8; 2]>().prop_map(|at| [&[0x92][..], &at].concat()),
                        any::<[u8; 4]>().prop_map(|how| [&[0x97][..], &how].concat()),
                        any::<[u8; 3]>().prop_map(|some| some.to_vec()),
                        Just(b"\x0D".to_vec()),
                        Just(b"text".to_vec()),
                    ],
                    0..4,
                ),
            ),
            0..60,
        )
    ) {
        let mut data = Vec::new();
        for (n, (later, service, codes)) in blocks.into_iter().enumerate() {
            for (m, [a, b]) in packet(n as u8 % 4, service, &codes.concat()).into_iter().enumerate() {
                data.extend([if m == 0 { later } else { 0 }, if m == 0 { 0xFF } else { 0xFE }, a, b]);
            }
        }
        oracle::cea(&data);
    }
}
