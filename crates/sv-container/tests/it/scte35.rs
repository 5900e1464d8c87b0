//! Splice information: the standard's own messages, any section there and back, and what threefive reads in ours.

use std::process::Command;

use proptest::prelude::*;
use sv_container::scte35::{
    At, BreakDuration, Command as Splicing, Content, Descriptor, Insert, Restrictions, Section, Segmentation,
    Splice,
};
use sv_core::Bytes;

use crate::oracle;

/// ANSI/SCTE 35 2023r1, section 14: message, time, event, kinds of segmentation, and whether the programme is left.
type Sample = (&'static str, u64, u32, &'static [u8], Option<bool>);
const SAMPLES: &[Sample] = &[
    (
        "/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg==",
        0x0_72BD_0050,
        0x4800_008E,
        &[0x34],
        Some(true),
    ),
    (
        "/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo=",
        0x0_7369_C02E,
        0x4800_008F,
        &[],
        Some(true),
    ),
    (
        "/DAvAAAAAAAA///wBQb+dGKQoAAZAhdDVUVJSAAAjn+fCAgAAAAALKChijUCAKnMZ1g=",
        0x0_7462_90A0,
        0x4800_008E,
        &[0x35],
        Some(false),
    ),
    (
        "/DBIAAAAAAAA///wBQb+ek2ItgAyAhdDVUVJSAAAGH+fCAgAAAAALMvDRBEAAAIXQ1VFSUgAABl/nwgIAAAAACyk26AQAACZcuND",
        0x0_7A4D_88B6,
        0x4800_0018,
        &[0x11, 0x10],
        None,
    ),
    (
        "/DAvAAAAAAAA///wBQb+rr//ZAAZAhdDVUVJSAAACH+fCAgAAAAALKVs9RcAAJUdsKg=",
        0x0_AEBF_FF64,
        0x4800_0008,
        &[0x17],
        None,
    ),
    (
        "/DBIAAAAAAAA///wBQb+ky44CwAyAhdDVUVJSAAACn+fCAgAAAAALKCh4xgAAAIXQ1VFSUgAAAl/nwgIAAAAACygoYoRAAC0IX6w",
        0x0_932E_380B,
        0x4800_000A,
        &[0x18, 0x11],
        None,
    ),
    (
        "/DAvAAAAAAAA///wBQb+rvF8TAAZAhdDVUVJSAAAB3+fCAgAAAAALKVslxEAAMSHai4=",
        0x0_AEF1_7C4C,
        0x4800_0007,
        &[0x11],
        None,
    ),
];

fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits =
            four.iter().fold(0u32, |bits, c| bits << 6 | u32::from(value(*c))) << (6 * (4 - four.len()));
        out.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}

#[test]
fn the_standards_own_messages() {
    for (text, time, event, kinds, leaves) in SAMPLES {
        let bytes = base64(text);
        let section = Section::parse(&bytes).unwrap();
        assert_eq!(section.time(), Some(*time), "{text}");
        assert_eq!(section.event().unwrap().0, *event, "{text}");
        let told: Vec<u8> = section.segmentations().map(|s| s.content.as_ref().unwrap().kind).collect();
        assert_eq!(told, *kinds, "{text}");
        assert_eq!(section.leaves(), *leaves, "{text}");
        assert_eq!(section.build().unwrap(), bytes, "{text}");
    }
    // 307 seconds of 14.1, and 60.293 of 14.2.
    let length = |n: usize| Section::parse(&base64(SAMPLES[n].0)).unwrap().event().unwrap().1;
    assert_eq!([length(0), length(1)], [Some(307 * 90_000), Some(5_426_421)]);
}

#[test]
fn damage_and_secrets_are_told_apart() {
    let good = base64(SAMPLES[1].0);
    for n in 0..good.len() {
        let mut bad = good.clone();
        bad[n] ^= 0x40;
        assert!(Section::parse(&bad).is_err(), "byte {n}");
        assert!(Section::parse(&good[..n]).is_err(), "{n} bytes");
    }
    // encrypted_packet is set, and the checksum fits.
    let mut secret = good.clone();
    secret[4] |= 0x80;
    let sum = oracle::crc(&secret[..secret.len() - 4]).to_be_bytes();
    let end = secret.len() - 4;
    secret[end..].copy_from_slice(&sum);
    let error = Section::parse(&secret).unwrap_err();
    assert_eq!(error.kind(), sv_core::ErrorKind::Unsupported);
    assert!(error.to_string().contains("encrypted"), "{error}");
}

#[test]
fn times_are_adjusted_and_wrap() {
    let mut section = Section::new(Splicing::TimeSignal(Some((1 << 33) - 10)));
    section.pts_adjustment = 25;
    assert_eq!(section.time(), Some(15));
    assert_eq!(Section::parse(&section.build().unwrap()).unwrap(), section);
}

fn time() -> impl Strategy<Value = u64> {
    0..(1u64 << 33)
}

fn splice() -> impl Strategy<Value = Splice> {
    let at = prop_oneof![
        Just(At::Now),
        prop::option::of(time()).prop_map(At::Program),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(At::ComponentsNow),
        prop::collection::vec((any::<u8>(), prop::option::of(time())), 0..5).prop_map(At::Components),
    ];
    let duration = prop::option::of(
        (any::<bool>(), time()).prop_map(|(auto_return, ticks)| BreakDuration { auto_return, ticks }),
    );
    (any::<bool>(), at, duration, any::<bool>(), any::<u16>(), any::<(u8, u8)>()).prop_map(
        |(out, at, duration, loose_ids, program, avail)| Splice {
            out,
            at,
            duration,
            loose_ids,
            program,
            avail,
        },
    )
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let restrictions =
        prop::option::of((any::<bool>(), any::<bool>(), any::<bool>(), 0u8..4).prop_map(
            |(web, everywhere, archive, devices)| Restrictions { web, everywhere, archive, devices },
        ));
    let components = prop::option::of(prop::collection::vec((any::<u8>(), time()), 0..4));
    let kind = prop::sample::select(vec![0x10u8, 0x11, 0x22, 0x23, 0x30, 0x34, 0x35, 0x36, 0x44]);
    let content = (
        components,
        prop::option::of(0u64..1 << 40),
        restrictions,
        (any::<u8>(), bytes(40)),
        kind,
        any::<(u8, u8)>(),
        prop::option::of(any::<(u8, u8)>()),
    )
        .prop_map(|(components, duration, restrictions, upid, kind, segment, parts)| {
            let sub_segment = parts.filter(|_| matches!(kind, 0x30 | 0x34 | 0x36 | 0x44));
            Content { components, duration, restrictions, upid, kind, segment, sub_segment }
        });
    prop_oneof![
        (any::<u32>(), any::<bool>(), prop::option::of(content)).prop_map(|(event, loose_ids, content)| {
            Descriptor::Segmentation(Segmentation { event, loose_ids, content })
        }),
        (any::<u8>(), bytes(60)).prop_map(|(tag, data)| Descriptor::Other {
            tag,
            identifier: *b"TEST",
            data
        }),
    ]
}

fn section() -> impl Strategy<Value = Section> {
    let command = prop_oneof![
        Just(Splicing::Null),
        bytes(50).prop_map(Splicing::Schedule),
        (any::<u32>(), prop::option::of(splice()))
            .prop_map(|(event, splice)| Splicing::Insert(Insert { event, splice })),
        prop::option::of(time()).prop_map(Splicing::TimeSignal),
        Just(Splicing::BandwidthReservation),
        (any::<[u8; 4]>(), bytes(50)).prop_map(|(identifier, data)| Splicing::Private { identifier, data }),
    ];
    (0u8..4, time(), any::<u8>(), 0u16..0x1000, command, prop::collection::vec(descriptor(), 0..5)).prop_map(
        |(sap_type, pts_adjustment, cw_index, tier, command, descriptors)| Section {
            sap_type,
            pts_adjustment,
            cw_index,
            tier,
            command,
            descriptors,
        },
    )
}

proptest! {
    #[test]
    fn a_section_comes_back(section in section()) {
        let bytes = section.build().unwrap();
        prop_assert_eq!(Section::parse(&bytes).unwrap(), section);
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
        oracle::scte35(&data);
    }
}

/// What threefive (PyPI) reads in a section of ours; it is asked where Python has it.
#[test]
fn threefive_reads_what_we_meant() {
    let script = "import sys, threefive; c = threefive.Cue(sys.argv[1]); c.decode(); d = c.command; \
                  print(d.splice_event_id, d.out_of_network_indicator, d.pts_time, d.break_duration, d.break_auto_return, c.info_section.pts_adjustment, c.info_section.tier)";
    let known = Command::new("python3").args(["-c", "import threefive"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        println!("skipped: Python has no threefive (pip install threefive)");
        return;
    }
    let mut section = Section::new(Splicing::Insert(Insert {
        event: 7,
        splice: Some(Splice {
            out: true,
            at: At::Program(Some(90_000 * 100)),
            duration: Some(BreakDuration { auto_return: true, ticks: 90_000 * 30 }),
            loose_ids: true,
            program: 1,
            avail: (1, 2),
        }),
    }));
    section.pts_adjustment = 90_000;
    let hex: String = section.build().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new("python3").args(["-c", script, &format!("0x{hex}")]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.trim().ends_with("True 100.0 30.0 True 1.0 0x0fff"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
