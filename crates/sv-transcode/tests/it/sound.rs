//! Sound: channels in their places, and not a sample too many.

use sv_core::{AudioFrame, Codec, Frame, Item, Stage as _, Timestamp, TrackId};
use sv_testkit::audio::{self, TONES, amplitude, identify};
use sv_transcode::{encode, filter};

use crate::kit::{Encoded, decoded_sound, ffmpeg, probe, run, value, write};

/// Tones as items, in chunks of odd sizes.
fn tones(sample_rate: u32, channels: u16, count: u64) -> Vec<Item> {
    let track = std::sync::Arc::new(audio::track(3, sample_rate, channels));
    let id = track.id;
    let mut items = vec![Item::Track(track)];
    let mut at = 0;
    while at < count {
        let n = (count - at).min(1537);
        items.push(Item::Frame(id, Frame::Audio(audio::tones(sample_rate, channels, at, n as usize))));
        at += n;
    }
    items.push(Item::End(id));
    items
}

fn samples(items: &[Item]) -> Vec<f32> {
    let of = |item: &Item| match item {
        Item::Frame(_, Frame::Audio(frame)) => frame.samples.to_vec(),
        _ => Vec::new(),
    };
    items.iter().flat_map(of).collect()
}

#[test]
fn each_channel_of_surround_keeps_its_tone() {
    if ffmpeg().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (codec, channels) in
        [(Codec::Aac, 6), (Codec::Aac, 2), (Codec::Opus, 2), (Codec::Opus, 6), (Codec::Flac, 6)]
    {
        let config = encode::Audio::new(codec, 64_000 * u64::from(channels));
        let Ok(encoder) = encode::audio(&config, TrackId(1)) else { continue };
        let items = match run(vec![encoder], tones(48_000, channels, 96_123)) {
            Ok(items) => items,
            // The built-in encoder has no surround, and says so.
            Err(error) if cfg!(not(feature = "ffmpeg")) && channels > 2 => {
                assert_eq!(error.kind(), sv_core::ErrorKind::Unsupported, "{error}");
                continue;
            }
            Err(error) => panic!("{codec} of {channels} channels: {error}"),
        };
        let encoded = Encoded::of(items);
        let delay = u64::from(encoded.track.audio().unwrap().delay);
        let first = encoded.packets.first().unwrap();
        assert_eq!(
            first.pts,
            Timestamp::new(-(delay as i64)),
            "{codec}: the first packet is the delay early"
        );
        let total: u64 = encoded.packets.iter().map(|p| p.duration.ticks()).sum();
        assert_eq!(total - delay, 96_123, "{codec}: the packets are as long as the sound");
        let file = write(&dir, "sound.mp4", &encoded.mp4());
        let found = probe(&file, "stream=codec_name,channels,sample_rate");
        assert_eq!(value(&found, "codec_name"), codec.name());
        assert_eq!(value(&found, "channels"), channels.to_string());
        let sound = decoded_sound(&file);
        let middle = &sound[sound.len() / 4..sound.len() / 2];
        let middle = &middle[middle.len() % usize::from(channels)..];
        // Cutting in the middle may begin at any channel; begin at the first.
        let start = sound.len() / 4 / usize::from(channels) * usize::from(channels);
        let middle = &sound[start..start + middle.len() / usize::from(channels) * usize::from(channels)];
        let expected: Vec<_> = (0..usize::from(channels)).map(Some).collect();
        assert_eq!(identify(middle, 48_000, channels), expected, "{codec}");
    }
}

#[test]
fn surround_becomes_stereo_without_swapping_sides() {
    let track = audio::track(3, 48_000, 6);
    let mut config = filter::Audio::default();
    config.channels = Some(2);
    let out = run(vec![filter::audio(&track, &config).unwrap()], tones(48_000, 6, 48_000)).unwrap();
    let sound = samples(&out);
    assert_eq!(sound.len(), 96_000);
    let level = |channel, tone| amplitude(&sound, 48_000, 2, channel, TONES[tone]);
    let [left, right, centre, low, side_left, side_right] =
        [0, 1, 2, 3, 4, 5].map(|t| [level(0, t), level(1, t)]);
    assert!(left[0] > 0.05 && left[1] < 0.001, "{left:?}");
    assert!(right[1] > 0.05 && right[0] < 0.001, "{right:?}");
    assert!(
        (centre[0] / left[0] - std::f64::consts::FRAC_1_SQRT_2).abs() < 0.01
            && (centre[0] - centre[1]).abs() < 1e-4,
        "{centre:?}"
    );
    assert!(side_left[0] > 0.05 && side_left[1] < 0.001, "{side_left:?}");
    assert!(side_right[1] > 0.05 && side_right[0] < 0.001, "{side_right:?}");
    assert!(low[0] < 0.001 && low[1] < 0.001, "{low:?}");
}

#[test]
fn another_rate_keeps_length_and_tones() {
    let track = audio::track(3, 44_100, 2);
    let mut config = filter::Audio::default();
    config.sample_rate = Some(48_000);
    let out = run(vec![filter::audio(&track, &config).unwrap()], tones(44_100, 2, 44_100)).unwrap();
    let sound = samples(&out);
    assert_eq!(sound.len(), 96_000);
    assert_eq!(identify(&sound[9600..86_400], 48_000, 2), [Some(0), Some(1)]);
}

#[test]
fn holes_are_silent_and_overlaps_are_heard_once() {
    let track = audio::track(3, 48_000, 1);
    let frame = |at: i64, n: usize| {
        let sound = AudioFrame {
            pts: Timestamp::new(at),
            sample_rate: 48_000,
            channels: 1,
            samples: vec![0.5; n].into(),
        };
        Item::Frame(track.id, Frame::Audio(sound))
    };
    let items = [
        Item::Track(std::sync::Arc::new(track.clone())),
        frame(0, 4800),
        // Half a second is missing.
        frame(28_800, 4800),
        // A tenth comes again.
        frame(28_800, 9600),
        Item::End(track.id),
    ];
    let out = run(vec![filter::audio(&track, &filter::Audio::default()).unwrap()], items).unwrap();
    let sound = samples(&out);
    assert_eq!(sound.len(), 38_400);
    assert!(sound[4800..28_800].iter().all(|s| *s == 0.0));
    assert!(sound[28_800..].iter().all(|s| *s == 0.5));
}

/// A hole in the source is filled with silence in one go: far more than an encoder takes at once.
#[test]
fn much_sound_at_once_is_encoded_in_full() {
    for codec in [Codec::Aac, Codec::Opus] {
        if !encode::is_supported(codec) {
            continue;
        }
        let track = audio::track(1, 48_000, 2);
        let mut encoder = encode::audio(&encode::Audio::new(codec, 96_000), TrackId(1)).unwrap();
        encoder.push(Item::Track(std::sync::Arc::new(track))).unwrap();
        let seconds = 20;
        let frame = audio::tones(48_000, 2, 0, 48_000 * seconds);
        encoder.push(Item::Frame(TrackId(1), Frame::Audio(frame))).unwrap();
        encoder.push(Item::End(TrackId(1))).unwrap();
        let (mut length, mut delay) = (0, 0);
        while let Some(item) = encoder.pull().unwrap() {
            match item {
                Item::Track(track) => delay = u64::from(track.audio().unwrap().delay),
                Item::Packet(packet) => length += packet.duration.ticks(),
                _ => {}
            }
        }
        assert_eq!(length - delay, 48_000 * seconds as u64, "{codec}");
    }
}
