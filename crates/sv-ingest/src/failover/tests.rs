//! Senders in a time of their own, from a seed.

use std::sync::Arc;
use std::time::Duration;

use sv_core::{
    AudioInfo, Bytes, Codec, Duration as Ticks, Item, Media, Packet, TimeBase, Timestamp, Track, TrackId,
    VideoInfo,
};
use sv_testkit::Rng;

use super::{Content, Failover, Publisher, Reason, Switch, Told};

const PICTURE: u64 = 40;
const SOUND: u64 = 20;
const GROUP: u64 = 25;
/// How often time is told.
const TICK: u64 = 20;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn track(id: u32, codec: Codec, config: u8) -> Item {
    let media = if id % 2 == 1 {
        Media::Video(VideoInfo::new(640, 360))
    } else {
        Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 })
    };
    Item::Track(Arc::new(Track {
        id: TrackId(id),
        codec,
        time_base: TimeBase::MPEG,
        config: Bytes::from(vec![config]),
        media,
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    }))
}

/// One who sends pictures and sound of a programme from a moment on.
struct Sender {
    number: Publisher,
    rank: u8,
    encoder: u8,
    /// What its clock says where the programme begins, and how late it is.
    clock: i64,
    late: u64,
    from: u64,
    until: u64,
    ids: (u32, u32),
    /// Sound alone comes from then on.
    blind: u64,
}

impl Sender {
    fn new(rank: u8, encoder: u8, from: u64, until: u64) -> Self {
        Self { number: 0, rank, encoder, clock: 0, late: 0, from, until, ids: (1, 2), blind: u64::MAX }
    }

    /// What it sends at that millisecond: pictures say which they are, and who coded them.
    fn at(&self, now: u64) -> Vec<Item> {
        let mut all = Vec::new();
        let Some(programme) = now.checked_sub(self.late).filter(|_| (self.from..self.until).contains(&now))
        else {
            return all;
        };
        let packet = |id, key, data: String| {
            let at = Timestamp::new((programme as i64 + self.clock) * 90);
            let data = Bytes::from(data);
            Item::Packet(Packet {
                track: TrackId(id),
                pts: at,
                dts: at,
                duration: Ticks::ZERO,
                key,
                data,
                protection: None,
            })
        };
        if now < self.blind && programme % PICTURE == 0 {
            let n = programme / PICTURE;
            // Encoders of their own have key pictures of their own.
            let key = (n + u64::from(self.encoder) * 7).is_multiple_of(GROUP);
            all.push(packet(self.ids.0, key, format!("v{n} {}", self.encoder)));
        }
        if programme % SOUND == 0 {
            // Sound is often the same.
            all.push(packet(self.ids.1, true, format!("a{} {}", programme / SOUND % 3, self.encoder)));
        }
        all
    }
}

#[derive(Default)]
struct Seen {
    /// When it came, where it is, and what.
    pictures: Vec<(u64, i64, String)>,
    sounds: Vec<(u64, i64)>,
    tracks: usize,
    ends: usize,
    switches: Vec<(u64, Reason)>,
}

impl Seen {
    fn take(&mut self, now: u64, switch: &mut Switch) {
        while let Some((item, _)) = switch.next() {
            match item {
                Item::Packet(p) if p.data.first() == Some(&b'v') => {
                    self.pictures.push((
                        now,
                        p.pts.ticks() / 90,
                        String::from_utf8(p.data.to_vec()).unwrap(),
                    ));
                }
                Item::Packet(p) => self.sounds.push((now, p.pts.ticks() / 90)),
                Item::Track(_) => self.tracks += 1,
                Item::End(_) => self.ends += 1,
                _ => {}
            }
        }
        for told in switch.told() {
            if let Told::Switched { reason, .. } = told {
                self.switches.push((now, reason));
            }
        }
    }

    /// The longest way from a picture to the next on the stream's clock; it never goes back.
    fn gap(&self) -> i64 {
        let steps = |times: Vec<i64>| times.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>();
        let pictures = steps(self.pictures.iter().map(|(_, at, _)| *at).collect());
        assert!(pictures.iter().all(|step| *step >= 0), "{pictures:?}");
        let sounds = steps(self.sounds.iter().map(|(_, at)| *at).collect());
        assert!(sounds.iter().all(|step| *step > 0), "{sounds:?}");
        pictures.into_iter().max().unwrap()
    }

    /// How far the stream's clock is ahead of time at the end, beside the beginning.
    fn ahead(&self) -> i64 {
        let off = |(now, at, _): &(u64, i64, String)| at - *now as i64;
        off(self.pictures.last().unwrap()) - off(&self.pictures[0])
    }
}

/// Lets senders send, and closes them where they end if `closes`; `content` is what is seen of each at a moment.
fn run(
    settings: Failover,
    mut senders: Vec<Sender>,
    length: u64,
    closes: bool,
    content: impl Fn(u64, u8) -> Content,
) -> Seen {
    let (mut switch, mut seen) = (Switch::new(settings), Seen::default());
    for now in 0..length {
        for sender in &mut senders {
            if now == sender.from {
                sender.number = switch.begin(ms(now), sender.rank, format!("sender {}", sender.rank)).0;
                for item in
                    [track(sender.ids.0, Codec::H264, sender.encoder), track(sender.ids.1, Codec::Aac, 0)]
                {
                    assert!(switch.give(ms(now), sender.number, &item));
                }
            }
            for item in sender.at(now) {
                switch.give(ms(now), sender.number, &item);
            }
            if now == sender.until && closes {
                switch.leave(ms(now), sender.number);
            }
            if now % 200 == 0 && sender.number > 0 {
                switch.observe(ms(now), sender.number, content(now, sender.rank));
            }
        }
        if now % TICK == 0 {
            switch.tick(ms(now));
        }
        seen.take(now, &mut switch);
    }
    seen
}

fn nothing(_: u64, _: u8) -> Content {
    Content::default()
}

fn numbers(seen: &Seen) -> Vec<u64> {
    seen.pictures.iter().map(|(.., what)| what[1..].split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn who_sends_the_same_takes_over_without_a_picture_lost_or_repeated() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let until = 4000 + rng.below(4000);
        let mut primary = Sender::new(0, 0, 0, until);
        let mut backup = Sender::new(1, 0, rng.below(1000), u64::MAX);
        (primary.late, backup.late) = (rng.below(8) * 20, rng.below(8) * 20);
        (backup.clock, backup.ids) = (rng.below(1_000_000) as i64 - 500_000, (257, 258));
        let seen = run(Failover::default(), vec![primary, backup], 12_000, seed % 2 == 0, nothing);
        let numbers = numbers(&seen);
        assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{seed}: {numbers:?}");
        assert!(numbers.last().unwrap() * PICTURE > 11_700, "{seed}");
        assert_eq!((seen.gap(), seen.tracks, seen.ends), (40, 2, 0), "{seed}");
        let [(at, reason)] = seen.switches[..] else { panic!("{seed}: {:?}", seen.switches) };
        assert_eq!(reason, if seed % 2 == 0 { Reason::Closed } else { Reason::Lost }, "{seed}");
        assert!((until..until + 190).contains(&at), "{seed}: {until} {at}");
    }
}

#[test]
fn another_encoder_takes_over_within_a_tenth_of_a_second() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let until = 4000 + rng.below(4000);
        let primary = Sender::new(0, 0, 0, until);
        let mut backup = Sender::new(1, 1 + rng.below(3) as u8, rng.below(1000), u64::MAX);
        backup.late = rng.below(8) * 20;
        backup.clock = if seed % 3 == 0 { 0 } else { rng.below(1_000_000) as i64 - 500_000 };
        let seen = run(Failover::default(), vec![primary, backup], 12_000, seed % 2 == 0, nothing);
        assert!(seen.gap() <= 100, "{seed}: {}", seen.gap());
        // Who watches is no later than before.
        assert!(seen.ahead().abs() <= 300, "{seed}: {}", seen.ahead());
        assert_eq!((seen.tracks, seen.ends, seen.switches.len()), (3, 0, 1), "{seed}");
        // Nothing is shown that needs a picture before it.
        let first = seen.pictures.iter().find(|(.., what)| !what.ends_with(" 0")).unwrap();
        let (number, encoder) = first.2[1..].split_once(' ').unwrap();
        let key = (number.parse::<u64>().unwrap() + encoder.parse::<u64>().unwrap() * 7) % GROUP;
        assert_eq!(key, 0, "{seed}");
        // When pictures come again.
        let came: Vec<u64> = seen.pictures.iter().map(|(now, ..)| *now).collect();
        let wait = came.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(wait <= 220, "{seed}: {wait}");
    }
}

#[test]
fn the_better_one_is_gone_back_to_once_it_has_been_well() {
    for encoder in [0, 1] {
        let mut back = Sender::new(0, 0, 7000, u64::MAX);
        back.ids = (3, 4);
        let senders = vec![Sender::new(0, 0, 0, 5000), Sender::new(1, encoder, 0, u64::MAX), back];
        let seen = run(Failover::default(), senders, 20_000, true, nothing);
        let [(first, Reason::Closed), (second, Reason::Back)] = seen.switches[..] else {
            panic!("{:?}", seen.switches)
        };
        // A clear time after it came, at a key picture.
        assert!(first == 5000 && (12_000..13_100).contains(&second), "{first} {second}");
        assert!(seen.gap() <= 100 && seen.ahead().abs() <= 200, "{} {}", seen.gap(), seen.ahead());
        assert_eq!(seen.ends, 0);
    }
    let senders =
        vec![Sender::new(0, 0, 0, 5000), Sender::new(1, 1, 0, u64::MAX), Sender::new(0, 0, 7000, u64::MAX)];
    let stay = Failover { back: false, ..Failover::default() };
    assert_eq!(run(stay, senders, 20_000, true, nothing).switches.len(), 1);
}

#[test]
fn black_frozen_and_silent_are_left_for_better() {
    let settings = Failover::default();
    let faults = [
        (Content { black: true, frozen: true, silent: false }, Reason::Black, settings.black),
        (Content { frozen: true, ..Content::default() }, Reason::Frozen, settings.frozen),
        (Content { silent: true, ..Content::default() }, Reason::Silent, settings.silent),
    ];
    for (fault, reason, after) in faults {
        let content = move |now: u64, rank: u8| {
            if rank == 0 && (4000..30_000).contains(&now) { fault } else { Content::default() }
        };
        let senders = || vec![Sender::new(0, 0, 0, u64::MAX), Sender::new(1, 1, 0, u64::MAX)];
        let seen = run(settings, senders(), 40_000, true, content);
        let [(first, why), (second, Reason::Back)] = seen.switches[..] else { panic!("{:?}", seen.switches) };
        let due = 4000 + after.as_millis() as u64;
        assert_eq!(why, reason);
        assert!((due..due + 1100).contains(&first) && (35_000..36_400).contains(&second), "{first} {second}");
        assert!(seen.gap() <= 100, "{}", seen.gap());
        // Nobody is left for one who is no better.
        let both = run(settings, senders(), 40_000, true, move |now, _| content(now, 0));
        assert_eq!(both.switches, []);
    }
}

#[test]
fn sound_without_pictures_is_not_enough() {
    let mut primary = Sender::new(0, 0, 0, u64::MAX);
    primary.blind = 5000;
    let backup = Sender::new(1, 1, 0, u64::MAX);
    let seen = run(Failover::default(), vec![primary, backup], 10_000, true, nothing);
    let [(at, Reason::Lost)] = seen.switches[..] else { panic!("{:?}", seen.switches) };
    // A second without pictures, and until the backup's next key picture.
    assert!((5950..7100).contains(&at) && seen.ahead().abs() <= 200, "{at} {}", seen.ahead());
}

#[test]
fn who_comes_again_in_its_own_place_ends_no_track() {
    for encoder in [0, 1] {
        let mut again = Sender::new(0, encoder, 5000, 20_000);
        again.clock = -5000;
        // The gateway still holds the connection that the encoder has lost.
        let seen = run(Failover::default(), vec![Sender::new(0, 0, 0, 4900), again], 10_000, false, nothing);
        assert_eq!((seen.ends, seen.tracks), (0, 2 + usize::from(encoder)));
        // As long as there was nothing there is nothing, and then it is as late as it was.
        assert!(
            (100..1300).contains(&seen.gap()) && seen.ahead().abs() <= 200,
            "{} {}",
            seen.gap(),
            seen.ahead()
        );
    }
}

#[test]
fn whatever_comes_time_never_goes_back() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let senders = (0..6)
            .map(|_| {
                let from = rng.below(20_000);
                let mut sender =
                    Sender::new(rng.below(3) as u8, rng.below(3) as u8, from, from + rng.below(15_000));
                sender.late = rng.below(20) * 20;
                sender.clock = rng.below(4_000_000) as i64 - 2_000_000;
                sender.ids = (1 + 2 * rng.below(3) as u32, 2 + 2 * rng.below(3) as u32);
                sender
            })
            .collect();
        let seen = run(Failover::default(), senders, 40_000, seed % 2 == 0, nothing);
        // A stream that ended begins anew: between its ends nothing goes back.
        if seen.ends == 0 {
            seen.gap();
        }
    }
}
