//! Segments depend on packets alone.

use std::sync::Arc;
use std::time::Duration as Length;

use proptest::prelude::*;
use sv_core::{
    AudioInfo, Bytes, Codec, Duration, Item, Media, Packet, Segment, Stage as _, TimeBase, Timestamp, Track,
    TrackId,
};
use sv_package::{Layout, Packager, Rendition, Segmenter};

fn sound(delay: u32) -> Arc<Track> {
    Arc::new(Track {
        id: TrackId(7),
        codec: Codec::Aac,
        time_base: TimeBase::new(1, 48_000).unwrap(),
        config: Bytes::from_static(&[0x11, 0x90]),
        media: Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay, bit_depth: 0 }),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    })
}

fn packet(n: i64, delay: i64) -> Packet {
    let at = Timestamp::new(n * 1024 - delay);
    let data = Bytes::from(vec![n as u8; 100 + n as usize % 50]);
    Packet {
        track: TrackId(7),
        pts: at,
        dts: at,
        duration: Duration::new(1024),
        key: true,
        data,
        protection: None,
    }
}

fn cut(mut segmenter: Segmenter, track: &Arc<Track>, packets: &[Packet]) -> (Vec<Arc<Track>>, Vec<Segment>) {
    segmenter.push(Item::Track(Arc::clone(track))).unwrap();
    for packet in packets {
        segmenter.push(Item::Packet(packet.clone())).unwrap();
    }
    segmenter.finish().unwrap();
    let (mut tracks, mut segments) = (Vec::new(), Vec::new());
    while let Some(item) = segmenter.pull().unwrap() {
        match item {
            Item::Track(track) => tracks.push(track),
            Item::Segment(segment) => segments.push(segment),
            _ => {}
        }
    }
    (tracks, segments)
}

fn packaged(track: &Arc<Track>, packets: &[Packet], target: Length) -> Rendition {
    let (tracks, segments) = cut(Segmenter::new(target), track, packets);
    let mut packager = Packager::new("sound", Layout::Files, 100);
    packager.push(Item::Track(Arc::clone(&tracks[0]))).unwrap();
    for segment in segments {
        packager.push(Item::Segment(segment)).unwrap();
    }
    packager.finish().unwrap().0
}

proptest! {
    #[test]
    fn a_run_that_goes_on_gives_the_same_bytes(count in 1i64..400, target_ms in 200u64..3000, at in 0usize..8, delay in prop::sample::select(vec![0u32, 312, 1024, 2048])) {
        let track = sound(delay);
        let packets: Vec<_> = (0..count).map(|n| packet(n, i64::from(delay))).collect();
        let target = Length::from_millis(target_ms);
        let (_, whole) = cut(Segmenter::new(target), &track, &packets);
        let at = at.min(whole.len() - 1);

        // The earlier run is what its record says: the first `at` segments.
        let first: usize = whole[..at].iter().map(|s| s.packets as usize).sum();
        let mut earlier = packaged(&track, &packets, target);
        earlier.segments.truncate(at);
        let (_, rest) = cut(Segmenter::new(target).resume(&earlier), &track, &packets[first..]);
        prop_assert_eq!(rest.len(), whole.len() - at);
        for (a, b) in rest.iter().zip(&whole[at..]) {
            prop_assert_eq!(a.number, b.number);
            prop_assert_eq!(a.data.concat(), b.data.concat());
        }
    }

    #[test]
    fn nothing_is_lost_and_cuts_are_on_the_grid(count in 1i64..600, target_ms in 200u64..3000) {
        let track = sound(0);
        let packets: Vec<_> = (0..count).map(|n| packet(n, 0)).collect();
        let (_, segments) = cut(Segmenter::new(Length::from_millis(target_ms)), &track, &packets);
        let payload: usize = packets.iter().map(|p| p.data.len()).sum();
        let stored: usize = segments.iter().flat_map(|s| s.data.iter().skip(1)).map(Bytes::len).sum();
        prop_assert_eq!(stored, payload);
        let mut at = 0;
        let grid = |ticks: i64| ticks as u128 * 1000 / (48_000 * u128::from(target_ms));
        for segment in &segments {
            prop_assert_eq!(segment.start.ticks(), at);
            // The packet before the cut lies in an earlier cell of the grid.
            if at > 0 {
                prop_assert!(grid(at) > grid(at - 1024));
            }
            at += segment.duration.ticks() as i64;
        }
        prop_assert_eq!(at, count * 1024);
    }
}

#[test]
fn an_encoders_delay_is_not_counted_as_time() {
    let track = sound(1024);
    let packets: Vec<_> = (0..95).map(|n| packet(n, 1024)).collect();
    let rendition = packaged(&track, &packets, Length::from_secs(1));
    // 95 blocks, of which the first is the delay.
    let total: u64 = rendition.segments.iter().map(|s| s.duration).sum();
    assert_eq!(total, 94 * 1024);
    assert_eq!(rendition.segments[0].start, 0);
}

#[test]
fn the_peak_is_that_of_the_largest_run_of_segments() {
    let track = sound(0);
    let packets: Vec<_> = (0..94).map(|n| packet(n, 0)).collect();
    let mut rendition = packaged(&track, &packets, Length::from_secs(1));
    // Segments of 4, 4 and 1 s: the last alone is too short to count, with its neighbour it is not.
    let bytes = [400, 100, 300];
    let seconds = [4, 4, 1];
    let template = rendition.segments[0];
    rendition.segments = (0..3)
        .map(|i| {
            let start = seconds[..i].iter().sum::<u64>() * 48_000;
            sv_package::SegmentRecord { bytes: bytes[i], duration: seconds[i] * 48_000, start, ..template }
        })
        .collect();
    let rate = rendition.bandwidth();
    assert_eq!(rate.peak, 800); // 400 bytes in 4 s
    assert_eq!(rate.average, 800u64 * 8 / 9 + 1); // rounded up
    assert_eq!(rendition.target_duration(), 4);
}
