//! How well a stream comes, in numbers and in a sentence that a person understands.

use std::collections::BTreeMap;
use std::time::Duration;

use sv_core::{Codec, Item, Packet, Ratio, TimeBase, Timestamp, Track, TrackId, TrackKind};

/// What is looked back on, in seconds.
const WINDOW: usize = 10;
/// Packets further from the last than this are a jump of the clock, in nanoseconds.
const JUMP: i64 = 1_000_000_000;
/// Key pictures further apart than this make players wait, and what is wanted instead.
const KEYS: (Duration, u64) = (Duration::from_secs(5), 2);
/// Sound and pictures further apart than this are noticed.
const DRIFT: i64 = 200_000_000;
/// How long nothing may come of a track.
const SILENCE: Duration = Duration::from_secs(2);
/// How long pictures may be black or still, and sound silent, until it is said.
const LONG: Duration = Duration::from_secs(5);
/// Which share of packets may be lost until it is said.
const LOSS: f64 = 0.01;
/// What is said of a stream begins to be true after so long.
const EARLY: Duration = Duration::from_secs(3);

/// Watches a stream. The clock is an argument: how long ago something began that all moments count from.
#[derive(Debug)]
pub struct Health {
    since: Duration,
    lanes: BTreeMap<TrackId, Lane>,
}

#[derive(Debug)]
struct Lane {
    kind: TrackKind,
    codec: Codec,
    base: TimeBase,
    /// Pictures a second, as the track says.
    told: Option<Ratio>,
    /// Packets and bytes of each of the last seconds, and which second the newest is.
    seconds: [(u32, u64); WINDOW],
    newest: u64,
    /// When the last packet came, and its time, in nanoseconds.
    last: Option<(Duration, i64)>,
    /// When the last key picture was decoded, in nanoseconds, and how far it was behind the one before.
    key: Option<i64>,
    interval: Option<Duration>,
    jumps: u64,
    /// How unevenly packets arrive, in nanoseconds.
    jitter: i64,
}

/// Numbers of a stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Each track.
    pub tracks: Vec<TrackReport>,
    /// How far sound is ahead of the pictures in what has come, in milliseconds; behind, if negative.
    pub drift_ms: Option<i64>,
    /// What is wrong, a sentence each, the worst first; nothing where all is well.
    pub wrong: Vec<String>,
    /// Where it comes from, for people.
    pub from: String,
    /// Its place among those who send the stream, from 0 for the best.
    pub rank: u8,
    /// Whether it is the one that is watched.
    pub on_air: bool,
    /// For how long pictures have been black, if they are.
    pub black: Option<Duration>,
    /// For how long the picture has stood still, if it does.
    pub frozen: Option<Duration>,
    /// For how long nothing has been heard, if nothing is.
    pub silent: Option<Duration>,
    /// How unevenly packets arrive beside their times, as RTP counts it
    /// ([RFC 3550, A.8](https://www.rfc-editor.org/rfc/rfc3550#appendix-A.8)).
    pub jitter: Duration,
    /// What its protocol says of the line.
    pub link: Option<Link>,
}

/// What a protocol knows of the line on which a stream comes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// How long there and back takes.
    pub rtt: Option<Duration>,
    /// Which share of the last second's packets, or of about as many, was lost for good, 0 to 1. (WHIP's are those that
    /// had not come a second time when it was counted.)
    pub loss: Option<f64>,
    /// How unevenly datagrams arrive.
    pub jitter: Option<Duration>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(crate) fn describe(&mut self, from: String, rank: u8, on_air: bool) {
        (self.from, self.rank, self.on_air) = (from, rank, on_air);
    }

    /// What is known besides: for how long it has been black, frozen and silent, and its line.
    pub(crate) fn add(&mut self, content: [Option<Duration>; 3], link: Option<Link>) {
        [self.black, self.frozen, self.silent] = content;
        self.link = link;
        let said = [
            (self.black, "the pictures have been black", "look at the camera"),
            // A black picture stands still too.
            (
                self.frozen.filter(|_| self.black.is_none()),
                "the picture has stood still",
                "look at the encoder's source",
            ),
            (self.silent, "nothing has been heard", "look at the microphone"),
        ];
        let long = |(since, what, advice): (Option<Duration>, &str, &str)| {
            let since = since.filter(|since| *since >= LONG)?;
            Some(format!("{what} for {:.0} s: {advice}", since.as_secs_f64()))
        };
        self.wrong.extend(said.into_iter().filter_map(long));
        if let Some(loss) = link.and_then(|link| link.loss).filter(|loss| *loss > LOSS) {
            self.wrong.push(format!("{:.1} % of the packets are lost: the line is poor", loss * 100.0));
        }
    }
}

/// Numbers of a track, over the last ten seconds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrackReport {
    /// Which.
    pub id: TrackId,
    /// How it is coded.
    pub codec: Codec,
    /// Bits a second.
    pub bitrate: u64,
    /// Packets a second: of pictures, their rate.
    pub rate: f64,
    /// How far the last two key pictures are apart.
    pub key_interval: Option<Duration>,
    /// How often its clock jumped.
    pub jumps: u64,
}

impl Lane {
    fn new(track: &Track) -> Self {
        Self {
            kind: track.kind(),
            codec: track.codec,
            base: track.time_base,
            told: track.video().and_then(|video| video.frame_rate),
            seconds: [(0, 0); WINDOW],
            newest: 0,
            last: None,
            key: None,
            interval: None,
            jumps: 0,
            jitter: 0,
        }
    }

    /// Forgets seconds that have gone by.
    fn turn(&mut self, now: Duration) {
        let second = now.as_secs();
        let passed = usize::try_from(second.saturating_sub(self.newest)).unwrap_or(WINDOW).min(WINDOW);
        self.seconds.rotate_right(passed);
        self.seconds.iter_mut().take(passed).for_each(|slot| *slot = (0, 0));
        self.newest = self.newest.max(second);
    }

    fn packet(&mut self, now: Duration, packet: &Packet) {
        self.turn(now);
        if let Some((count, bytes)) = self.seconds.first_mut() {
            *count = count.saturating_add(1);
            *bytes = bytes.saturating_add(u64::try_from(packet.data.len()).unwrap_or(0));
        }
        let nanos = |at: Timestamp| at.rescale(self.base, TimeBase::NANOS).ticks();
        let at = nanos(packet.dts);
        let jumped = self.last.is_some_and(|(_, last)| at.saturating_sub(last).saturating_abs() > JUMP);
        if jumped {
            self.jumps = self.jumps.saturating_add(1);
            self.key = None;
        }
        if packet.key && self.kind == TrackKind::Video {
            let step = self.key.map(|key| at.saturating_sub(key)).and_then(|step| u64::try_from(step).ok());
            self.interval = step.map(Duration::from_nanos).or(self.interval);
            self.key = Some(at);
        }
        if let Some((then, last)) = self.last.filter(|_| !jumped) {
            let apart = i64::try_from(now.saturating_sub(then).as_nanos()).unwrap_or(i64::MAX);
            let off = apart.saturating_sub(at.saturating_sub(last)).saturating_abs();
            self.jitter = self.jitter.saturating_add(off.saturating_sub(self.jitter).wrapping_div(16));
        }
        self.last = Some((now, at));
    }

    /// Packets and bytes of whole seconds, and how many these are.
    fn count(&self, since: Duration) -> (u64, u64, u64) {
        let whole = self
            .newest
            .saturating_sub(since.as_secs())
            .min(u64::try_from(WINDOW).unwrap_or(1).saturating_sub(1));
        let seconds = self.seconds.iter().skip(1).take(usize::try_from(whole).unwrap_or(0));
        let (packets, bytes) = seconds.fold((0u64, 0u64), |(packets, bytes), (p, b)| {
            (packets.saturating_add(u64::from(*p)), bytes.saturating_add(*b))
        });
        (packets, bytes, whole)
    }

    fn report(&mut self, id: TrackId, now: Duration, since: Duration) -> TrackReport {
        self.turn(now);
        let (packets, bytes, seconds) = self.count(since);
        let rate = match (u32::try_from(packets), u32::try_from(seconds)) {
            (Ok(packets), Ok(seconds)) if seconds > 0 => f64::from(packets) / f64::from(seconds),
            _ => 0.0,
        };
        TrackReport {
            id,
            codec: self.codec,
            bitrate: bytes.saturating_mul(8).checked_div(seconds).unwrap_or(0),
            rate,
            key_interval: self.interval,
            jumps: self.jumps,
        }
    }
}

impl Health {
    /// Of a stream that begins now.
    #[must_use]
    pub const fn new(now: Duration) -> Self {
        Self { since: now, lanes: BTreeMap::new() }
    }

    /// Something has come.
    pub fn see(&mut self, now: Duration, item: &Item) {
        match item {
            Item::Track(track) => match self.lanes.get_mut(&track.id) {
                Some(lane) if lane.codec == track.codec => {
                    (lane.base, lane.told) = (track.time_base, track.video().and_then(|v| v.frame_rate));
                }
                _ => {
                    let mut lane = Lane::new(track);
                    lane.newest = now.as_secs();
                    self.lanes.insert(track.id, lane);
                }
            },
            Item::Packet(packet) => {
                if let Some(lane) = self.lanes.get_mut(&packet.track) {
                    lane.packet(now, packet);
                }
            }
            Item::End(id) => drop(self.lanes.remove(id)),
            _ => {}
        }
    }

    /// How it is.
    pub fn report(&mut self, now: Duration) -> Report {
        let since = self.since;
        let tracks: Vec<TrackReport> =
            self.lanes.iter_mut().map(|(id, lane)| lane.report(*id, now, since)).collect();
        let last = |kind| {
            let mut lanes = self.lanes.values().filter(move |lane: &&Lane| lane.kind == kind);
            lanes.find_map(|lane| lane.last).map(|(_, at)| at)
        };
        let drift = last(TrackKind::Audio).zip(last(TrackKind::Video)).map(|(a, v)| a.saturating_sub(v));
        let wrong =
            if now.saturating_sub(since) < EARLY { Vec::new() } else { self.wrong(now, &tracks, drift) };
        let jitter = self.lanes.values().map(|lane| lane.jitter).max().unwrap_or(0);
        Report {
            tracks,
            drift_ms: drift.map(|d| d.wrapping_div(1_000_000)),
            wrong,
            from: String::new(),
            rank: 0,
            on_air: true,
            black: None,
            frozen: None,
            silent: None,
            jitter: Duration::from_nanos(u64::try_from(jitter).unwrap_or(0)),
            link: None,
        }
    }

    fn wrong(&self, now: Duration, tracks: &[TrackReport], drift: Option<i64>) -> Vec<String> {
        let mut wrong = Vec::new();
        let seconds = |d: Duration| format!("{:.1} s", d.as_secs_f64());
        for lane in self.lanes.values() {
            let word = if lane.kind == TrackKind::Video { "pictures" } else { "sound" };
            let silent = now.saturating_sub(lane.last.map_or(self.since, |(at, _)| at));
            if silent > SILENCE {
                wrong.push(format!("no {word} for {}: the encoder or its line has stopped", seconds(silent)));
            }
        }
        for track in tracks {
            let told = self.lanes.get(&track.id).and_then(|lane| lane.told);
            let told = told.map(|rate| f64::from(rate.num()) / f64::from(rate.den()));
            if let Some(told) = told.filter(|told| track.rate > 0.0 && track.rate < told * 0.9) {
                wrong.push(format!(
                    "{:.1} of {told:.1} pictures a second arrive: the encoder or its line is too slow",
                    track.rate
                ));
            }
        }
        if let Some(drift) = drift.filter(|d| d.saturating_abs() > DRIFT && wrong.is_empty()) {
            let (way, by) = if drift > 0 { ("ahead of", drift) } else { ("behind", drift.saturating_neg()) };
            let by = by.wrapping_div(1_000_000);
            wrong.push(format!("sound is {by} ms {way} the pictures: look at the encoder's offset of sound"));
        }
        for track in tracks {
            if let Some(apart) = track.key_interval.filter(|apart| *apart > KEYS.0) {
                wrong.push(format!("keyframes every {}; set {} s in the encoder", seconds(apart), KEYS.1));
            }
            if track.jumps > 0 {
                let word = self.lanes.get(&track.id).map_or("", |lane| match lane.kind {
                    TrackKind::Video => "the pictures'",
                    _ => "the sound's",
                });
                wrong.push(format!("{word} clock has jumped {} times", track.jumps));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sv_core::{AudioInfo, Bytes, Duration as Ticks, Media, VideoInfo};

    use super::*;

    fn track(id: u32) -> Item {
        let media = if id == 1 {
            Media::Video(VideoInfo { frame_rate: Ratio::new(25, 1), ..VideoInfo::new(640, 360) })
        } else {
            Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 })
        };
        Item::Track(Arc::new(Track {
            id: TrackId(id),
            codec: if id == 1 { Codec::H264 } else { Codec::Aac },
            time_base: TimeBase::MILLIS,
            config: Bytes::new(),
            media,
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        }))
    }

    fn packet(id: u32, millis: i64, key: bool) -> Item {
        let at = Timestamp::new(millis);
        let data = Bytes::from(vec![0; 1000]);
        let track = TrackId(id);
        Item::Packet(Packet { track, pts: at, dts: at, duration: Ticks::ZERO, key, data, protection: None })
    }

    /// A stream of 20 s: pictures every 40 ms but those that `lost` names, sound `ahead` of them.
    fn stream(keys: i64, ahead: i64, lost: impl Fn(i64) -> bool, end: i64) -> Report {
        let mut health = Health::new(Duration::ZERO);
        health.see(Duration::ZERO, &track(1));
        health.see(Duration::ZERO, &track(2));
        for n in 0..500 {
            let millis = n * 40;
            let now = Duration::from_millis(millis as u64);
            if millis < end && !lost(n) {
                health.see(now, &packet(1, millis, n % keys == 0));
            }
            health.see(now, &packet(2, millis + ahead, true));
        }
        health.report(Duration::from_secs(20))
    }

    #[test]
    fn a_good_stream_is_good() {
        let report = stream(50, 0, |_| false, i64::MAX);
        assert!(report.is_good(), "{report:?}");
        let [pictures, sound] = &report.tracks[..] else { panic!("{report:?}") };
        assert_eq!((pictures.bitrate, pictures.rate, sound.rate), (200_000, 25.0, 25.0));
        assert_eq!((pictures.key_interval, sound.key_interval), (Some(Duration::from_secs(2)), None));
        assert_eq!(report.drift_ms, Some(0));
    }

    #[test]
    fn each_fault_has_its_sentence() {
        let said = |report: Report| report.wrong;
        assert_eq!(
            said(stream(200, 0, |_| false, i64::MAX)),
            ["keyframes every 8.0 s; set 2 s in the encoder"]
        );
        let slow = said(stream(50, 0, |n| n % 5 == 1, i64::MAX));
        assert_eq!(slow, ["20.0 of 25.0 pictures a second arrive: the encoder or its line is too slow"]);
        let late = said(stream(50, -340, |_| false, i64::MAX));
        assert_eq!(late, ["sound is 340 ms behind the pictures: look at the encoder's offset of sound"]);
        let gone = said(stream(50, 0, |_| false, 15_000));
        assert_eq!(gone[0], "no pictures for 5.0 s: the encoder or its line has stopped");
    }

    #[test]
    fn what_is_seen_and_the_line_have_their_sentences() {
        let seconds = |n| Some(Duration::from_secs(n));
        let said = |content, loss| {
            let mut report = stream(50, 0, |_| false, i64::MAX);
            report.add(content, Some(Link { loss: Some(loss), ..Link::default() }));
            report.wrong
        };
        assert_eq!(said([seconds(4), None, seconds(4)], 0.01), [""; 0]);
        let black = said([seconds(7), seconds(7), None], 0.0);
        assert_eq!(black, ["the pictures have been black for 7 s: look at the camera"]);
        let all = said([None, seconds(20), seconds(9)], 0.025);
        assert_eq!(
            all,
            [
                "the picture has stood still for 20 s: look at the encoder's source",
                "nothing has been heard for 9 s: look at the microphone",
                "2.5 % of the packets are lost: the line is poor"
            ]
        );
    }

    #[test]
    fn jitter_is_what_arrives_beside_its_time() {
        let jitter = |late: u64| {
            let mut health = Health::new(Duration::ZERO);
            health.see(Duration::ZERO, &track(2));
            for n in 0..500u64 {
                let came = Duration::from_millis(n * 40 + n % 2 * late);
                health.see(came, &packet(2, n as i64 * 40, true));
            }
            health.report(Duration::from_secs(20)).jitter
        };
        assert_eq!(jitter(0), Duration::ZERO);
        // Each is 10 ms too early or too late beside the one before.
        assert!(jitter(10).abs_diff(Duration::from_millis(10)) < Duration::from_millis(1));
    }

    #[test]
    fn clocks_that_jump_are_counted() {
        let mut health = Health::new(Duration::ZERO);
        health.see(Duration::ZERO, &track(2));
        for (n, at) in [0, 40, 80, 60_000, 60_040, 0].into_iter().enumerate() {
            health.see(Duration::from_millis(n as u64 * 40), &packet(2, at, true));
        }
        assert_eq!(health.report(Duration::from_secs(4)).tracks[0].jumps, 2);
    }
}
