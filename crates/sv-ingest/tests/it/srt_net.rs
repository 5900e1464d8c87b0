//! Two ends of SRT over a network that is simulated, in time that is: the same seed, the same run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sv_core::Bytes;
use sv_ingest::srt::{
    Body, Caller, Control, Data, Heard, KeyLength, Listener, Mode, Over, Packet, Passphrase, Session,
    Settings, Stats, StreamId,
};

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn chance(&mut self, of: f64) -> bool {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64 <= of && of > 0.0
    }

    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|c| c.copy_from_slice(&self.roll().to_le_bytes()));
        seed
    }
}

/// What a network does to datagrams.
#[derive(Clone)]
pub(crate) struct Weather {
    pub(crate) loss: f64,
    /// How many are lost one behind the other.
    pub(crate) burst: u32,
    pub(crate) twice: f64,
    pub(crate) flips: f64,
    pub(crate) delay: Duration,
    /// Up to so much more, so that datagrams overtake each other.
    pub(crate) jitter: Duration,
    /// When nothing goes through.
    pub(crate) blackout: Option<(Duration, Duration)>,
}

pub(crate) const FINE: Weather = Weather {
    loss: 0.0,
    burst: 1,
    twice: 0.0,
    flips: 0.0,
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
    blackout: None,
};

struct Way {
    weather: Weather,
    dice: Dice,
    burst: u32,
    flying: BTreeMap<(Duration, u64), Vec<u8>>,
    count: u64,
}

impl Way {
    fn new(weather: &Weather, seed: u64) -> Self {
        Self { weather: weather.clone(), dice: Dice(seed), burst: 0, flying: BTreeMap::new(), count: 0 }
    }

    fn put(&mut self, datagram: Bytes, now: Duration) {
        if self.weather.blackout.is_some_and(|(from, to)| (from..to).contains(&now)) {
            return;
        }
        if self.burst > 0 {
            self.burst -= 1;
            return;
        }
        if self.dice.chance(self.weather.loss / f64::from(self.weather.burst)) {
            self.burst = self.weather.burst - 1;
            return;
        }
        let copies = if self.dice.chance(self.weather.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let mut datagram = datagram.to_vec();
            if self.dice.chance(self.weather.flips) {
                let bit = self.dice.roll() as usize % (datagram.len() * 8);
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            let more = self.weather.jitter.as_micros() as u64;
            let late = if more == 0 { 0 } else { self.dice.roll() % more };
            self.count += 1;
            let at = now + self.weather.delay + Duration::from_micros(late);
            self.flying.insert((at, self.count), datagram);
        }
    }

    fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        let at = *self.flying.first_key_value().filter(|((at, _), _)| *at <= now)?.0;
        self.flying.remove(&at)
    }

    fn next(&self) -> Option<Duration> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }
}

/// One way of two, a sender that sends `rate` payloads each second for `length`, and what came.
pub(crate) struct Run {
    pub(crate) weather: Weather,
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) length: Duration,
    pub(crate) rate: u32,
    pub(crate) mode: Mode,
    /// How much faster the sender's clock runs, in millionths.
    pub(crate) fast: i64,
}

pub(crate) struct Outcome {
    pub(crate) sent: Vec<Bytes>,
    /// With the moments at which they came.
    pub(crate) came: Vec<(Duration, Bytes)>,
    pub(crate) sender: Stats,
    pub(crate) receiver: Stats,
    pub(crate) over: (Option<Over>, Option<Over>),
}

enum End {
    Calling(Box<Caller>),
    Talking(Box<Session>),
}

impl End {
    fn outgoing(&mut self) -> Option<Bytes> {
        match self {
            Self::Calling(c) => c.outgoing(),
            Self::Talking(s) => s.outgoing(),
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Calling(c) => Some(c.deadline()),
            Self::Talking(s) => s.deadline(),
        }
    }

    fn receive(&mut self, datagram: &[u8], now: Duration) {
        match self {
            Self::Calling(c) => {
                let session = c.receive(datagram, now).expect("nobody refuses here");
                // What is still to be said is said by what comes of it.
                if let Some(session) = session {
                    *self = Self::Talking(session);
                }
            }
            Self::Talking(s) => s.receive(datagram, now),
        }
    }

    fn tick(&mut self, now: Duration) {
        match self {
            Self::Calling(c) => c.tick(now).expect("somebody answers"),
            Self::Talking(s) => s.tick(now),
        }
    }
}

impl Run {
    pub(crate) fn new(weather: Weather, seed: u64) -> Self {
        let mut settings = settings();
        settings.patience = Duration::from_secs(20);
        Self {
            weather,
            seed,
            settings,
            length: Duration::from_secs(10),
            rate: 200,
            mode: Mode::Caller,
            fast: 0,
        }
    }

    pub(crate) fn go(&self) -> Outcome {
        let mut dice = Dice(self.seed);
        let from: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let listener = Listener::new(dice.seed());
        let mut end = End::Calling(Box::new(Caller::new(
            self.settings.clone(),
            self.mode,
            StreamId::new("#!::r=one,m=publish"),
            from.ip(),
            dice.seed(),
            Duration::ZERO,
        )));
        let mut other = (self.mode == Mode::Rendezvous).then(|| {
            let stream = StreamId::default();
            End::Calling(Box::new(Caller::new(
                self.settings.clone(),
                Mode::Rendezvous,
                stream,
                from.ip(),
                dice.seed(),
                Duration::ZERO,
            )))
        });
        let (mut there, mut back) =
            (Way::new(&self.weather, dice.roll()), Way::new(&self.weather, dice.roll()));
        let (mut sent, mut came) = (Vec::new(), Vec::new());
        let mut now = Duration::ZERO;
        let step = Duration::from_secs(1) / self.rate;
        let mut next: Option<Duration> = None;
        let mut stop = None;
        // The sender's own clock.
        let local = |now: Duration| {
            let skew = now.as_micros() as i64 * self.fast / 1_000_000;
            Duration::from_micros((now.as_micros() as i64 + skew) as u64)
        };
        loop {
            // Whatever has arrived by now.
            while let Some(datagram) = there.take(now) {
                match &mut other {
                    Some(other) => other.receive(&datagram, now),
                    None => match listener.receive(&datagram, from, now) {
                        Heard::Reply(reply) => back.put(reply, now),
                        Heard::Knock(knock) => {
                            if self.weather.flips == 0.0 {
                                assert_eq!(knock.stream().expose(), "#!::r=one,m=publish");
                            }
                            match knock.accept(&self.settings, 77, dice.seed(), now) {
                                Ok(session) => other = Some(End::Talking(session)),
                                Err(code) => assert!(self.weather.flips > 0.0, "{code}"),
                            }
                        }
                        _ => {}
                    },
                }
            }
            while let Some(datagram) = back.take(now) {
                end.receive(&datagram, local(now));
            }
            end.tick(local(now));
            if let Some(other) = &mut other {
                other.tick(now);
            }
            if let End::Talking(session) = &mut end {
                // Nobody sends before the other side is there.
                let begun = *next.get_or_insert(now);
                let ends = *stop.get_or_insert(now + self.length);
                if now >= begun && now < ends {
                    let mut payload = (sent.len() as u64).to_be_bytes().to_vec();
                    payload.resize(1316, (sent.len() % 251) as u8);
                    let payload = Bytes::from(payload);
                    session.send(&payload, local(now));
                    sent.push(payload);
                    next = Some(begun + step);
                }
            }
            while let Some(datagram) = end.outgoing() {
                there.put(datagram, now);
            }
            if let Some(end) = &mut other {
                while let Some(datagram) = end.outgoing() {
                    back.put(datagram, now);
                }
                if let End::Talking(session) = end {
                    while let Some(payload) = session.delivered() {
                        came.push((now, payload));
                    }
                }
            }
            let soon = [
                there.next(),
                back.next(),
                end.deadline().map(|d| {
                    Duration::from_micros(
                        (d.as_micros() as i64 * 1_000_000 / (1_000_000 + self.fast)) as u64 + 1,
                    )
                }),
                other.as_ref().and_then(End::deadline),
                next.filter(|_| stop.is_none_or(|stop| now < stop)),
            ];
            let Some(soon) = soon.into_iter().flatten().min() else { break };
            now = soon.max(now + Duration::from_micros(1));
            if stop.is_some_and(|stop| now > stop + Duration::from_secs(2)) {
                break;
            }
            assert!(now < Duration::from_secs(20_000), "it never ends");
        }
        let stats = |end: &End| match end {
            End::Talking(s) => (s.stats(), s.over()),
            End::Calling(_) => (Stats::default(), None),
        };
        let (sender, over) = stats(&end);
        let (receiver, other) = other.as_ref().map(stats).unwrap_or_default();
        Outcome { sent, came, sender, receiver, over: (over, other) }
    }
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.latency = Duration::from_millis(300);
    settings
}

fn payloads(outcome: &Outcome) -> Vec<Bytes> {
    outcome.came.iter().map(|(_, p)| p.clone()).collect()
}

#[test]
fn a_fine_network_gives_all_of_it_when_it_is_due() {
    for seed in 0..3 {
        let outcome = Run::new(FINE, seed).go();
        assert_eq!(outcome.sent.len(), 2000);
        assert!(payloads(&outcome) == outcome.sent);
        assert_eq!((outcome.receiver.lost, outcome.sender.sent_again), (0, 0));
        let (first, last) = (outcome.came[0].0, outcome.came[1999].0);
        let gap = (last - first).as_micros() as i64 - 1999 * 5000;
        assert!(gap.abs() < 2000, "{gap}");
        assert!(outcome.sender.rtt.abs_diff(Duration::from_millis(20)) < Duration::from_millis(3));
    }
}

#[test]
fn what_is_lost_comes_again_within_the_latency() {
    for (loss, burst, jitter) in
        [(0.01, 1, 0), (0.05, 1, 4), (0.1, 1, 8), (0.1, 8, 0), (0.2, 1, 5), (0.2, 4, 2)]
    {
        for seed in 0..4 {
            let weather = Weather { loss, burst, twice: 0.02, jitter: Duration::from_millis(jitter), ..FINE };
            let outcome = Run::new(weather, seed).go();
            let note = format!("{loss} {burst} {jitter} {seed}: {:?}", outcome.receiver);
            // Six round trips and more fit into the latency.
            let few = if loss < 0.2 { 0 } else { 2 };
            assert!(outcome.came.len() + few >= outcome.sent.len(), "{note}");
            assert_eq!(outcome.sent.len() - outcome.came.len(), outcome.receiver.dropped as usize, "{note}");
            let mut all = outcome.sent.iter();
            assert!(payloads(&outcome).iter().all(|p| all.any(|s| s == p)), "{note}");
            assert!(outcome.receiver.recovered > 0 && outcome.sender.sent_again > 0, "{note}");
            // No more is sent again than is lost, by much: reports are lost too.
            let wanted = outcome.sent.len() as f64 * loss;
            assert!((outcome.sender.sent_again as f64) < 3.0 * wanted + 50.0, "{note} {:?}", outcome.sender);
        }
    }
}

#[test]
fn all_lengths_of_keys_go_through_a_bad_network_and_are_renewed() {
    for (n, key_length) in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256].into_iter().enumerate() {
        let weather = Weather { loss: 0.05, twice: 0.01, jitter: Duration::from_millis(3), ..FINE };
        for mode in [Mode::Caller, Mode::Rendezvous] {
            let mut run = Run::new(weather.clone(), n as u64);
            run.mode = mode;
            run.settings.passphrase = Some(Passphrase::new("a passphrase").unwrap());
            run.settings.key_length = key_length;
            run.settings.refresh = 400;
            let outcome = run.go();
            assert!(payloads(&outcome) == outcome.sent, "{mode:?} {:?}", outcome.receiver);
            assert_eq!(outcome.receiver.undecrypted, 0);
        }
    }
}

#[test]
fn numbers_and_clocks_wrap_around() {
    let weather = Weather { loss: 0.05, jitter: Duration::from_millis(2), ..FINE };
    let mut run = Run::new(weather, 3);
    run.settings.origin = (u32::MAX - 4_000_000, Some((1 << 31) - 900));
    let outcome = run.go();
    assert!(payloads(&outcome) == outcome.sent, "{:?}", outcome.receiver);
    // An hour and a half of a thin stream, in which the clock wraps around by itself.
    let mut run = Run::new(Weather { loss: 0.02, ..FINE }, 4);
    (run.length, run.rate) = (Duration::from_secs(5400), 5);
    let outcome = run.go();
    assert!(payloads(&outcome) == outcome.sent, "{:?}", outcome.receiver);
}

#[test]
fn five_seconds_without_a_network_are_survived() {
    let second = Duration::from_secs(1);
    let mut run = Run::new(Weather { loss: 0.01, blackout: Some((4 * second, 9 * second)), ..FINE }, 5);
    (run.length, run.settings.silence) = (15 * second, 8 * second);
    let outcome = run.go();
    assert_eq!(outcome.over, (None, None));
    // A sender keeps a second, of which what comes before newer packets are due still comes.
    let missing = outcome.sent.len() - outcome.came.len();
    assert!((790..=1000).contains(&missing), "{missing} {:?}", outcome.receiver);
    assert!(payloads(&outcome)[outcome.came.len() - 1100..] == outcome.sent[outcome.sent.len() - 1100..]);
    // Without that patience both give up.
    run.settings.silence = 4 * second;
    assert_eq!(run.go().over, (Some(Over::Silent), Some(Over::Silent)));
}

#[test]
fn clocks_that_run_apart_do_no_harm() {
    for fast in [-200, 200] {
        let mut run = Run::new(Weather { loss: 0.02, jitter: Duration::from_millis(2), ..FINE }, 6);
        (run.fast, run.length, run.rate) = (fast, Duration::from_secs(1800), 50);
        run.settings.latency = Duration::from_millis(120);
        let outcome = run.go();
        assert!(payloads(&outcome) == outcome.sent, "{:?}", outcome.receiver);
        // 360 ms in half an hour: without tracing it all of it would be late, or wait for ever longer.
        let expected = 1800 * fast;
        assert!((outcome.receiver.drift - expected).abs() < 20_000, "{fast} {:?}", outcome.receiver);
    }
}

#[test]
fn damage_is_passed_over() {
    for seed in 0..6 {
        let weather =
            Weather { loss: 0.02, flips: 0.05, twice: 0.05, jitter: Duration::from_millis(5), ..FINE };
        let mut run = Run::new(weather, seed);
        run.length = Duration::from_secs(20);
        let outcome = run.go();
        // One bit of 10,000 hits a header's flags, numbers and times now and then: nothing stands still for that.
        let good = payloads(&outcome).iter().filter(|p| outcome.sent.contains(p)).count();
        assert!(
            good * 10 >= outcome.sent.len() * 7,
            "{seed}: {good} {:?} {:?}",
            outcome.receiver,
            outcome.over
        );
    }
}

#[test]
fn a_slow_line_is_not_overrun() {
    let mut run = Run::new(Weather { loss: 0.03, ..FINE }, 9);
    run.settings.bandwidth = sv_ingest::srt::Bandwidth::Input { bytes: None, overhead: 25 };
    let outcome = run.go();
    assert!(payloads(&outcome) == outcome.sent, "{:?}", outcome.receiver);
    run.settings.bandwidth = sv_ingest::srt::Bandwidth::Most(100_000);
    let outcome = run.go();
    // 272 kB are given each second: what is too late is let go.
    let through = outcome.sender.sent_bytes + outcome.sender.sent_again * 1316;
    assert!(through < 1_150_000 && outcome.sender.unsent > 500, "{:?}", outcome.sender);
}

/// gosrt counts what it sends from the number that the listener has told for itself, as both are the same where libsrt answers.
#[test]
fn callers_that_count_from_our_number_are_heard() {
    let from: SocketAddr = ([192, 0, 2, 1], 9).into();
    for seed in 0..16 {
        for ours in [true, false] {
            let (now, listener) = (Duration::ZERO, Listener::new([7; 32]));
            let id = StreamId::new("one");
            let mut caller = Caller::new(settings(), Mode::Caller, id, from.ip(), [seed; 32], now);
            caller.tick(now).unwrap();
            let Heard::Reply(reply) = listener.receive(&caller.outgoing().unwrap(), from, now) else {
                panic!()
            };
            caller.receive(&reply, now).unwrap();
            let datagram = caller.outgoing().unwrap();
            let first = |datagram: &[u8]| match Packet::parse(datagram).unwrap() {
                Packet::Control(Control { body: Body::Handshake(handshake), .. }) => handshake.first,
                other => panic!("{other:?}"),
            };
            let Heard::Knock(knock) = listener.receive(&datagram, from, now) else { panic!() };
            let mut session = knock.accept(&settings(), 5, [seed + 100; 32], now).unwrap();
            let answer = session.outgoing().unwrap();
            let begin = if ours { first(&answer) } else { first(&datagram) };
            let count = 300u32;
            for n in 0..count {
                let data = Data {
                    seq: begin.wrapping_add(n) & 0x7FFF_FFFF,
                    position: 3,
                    ordered: true,
                    key: 0,
                    again: false,
                    message: n + 1,
                    time: n,
                    to: 5,
                    payload: &n.to_be_bytes(),
                };
                session.receive(&data.build(), now);
            }
            session.tick(Duration::from_secs(1));
            let came: Vec<Bytes> = std::iter::from_fn(|| session.delivered()).collect();
            assert_eq!(came.len(), 300, "{seed} {ours}");
            assert_eq!(session.stats().dropped, 0);
        }
    }
}
